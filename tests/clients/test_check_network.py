"""Programs that are judged at names and real port numbers: the same verdicts as without, and those that need them."""

from __future__ import annotations

import secrets
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from clients import FAULTY

from pytest_mailauth.cli import main
from pytest_mailauth.judge.clients.catalogue import builtin
from pytest_mailauth.judge.clients.client import Client
from pytest_mailauth.judge.clients.command import command_client
from pytest_mailauth.judge.group import Group
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.judge.scenarios import SCENARIOS, Setting
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration
from pytest_mailauth.network.namespace import Namespace

PROGRAM = (sys.executable, str(Path(__file__).with_name("reference_program.py")))
NAMESERVER = "127.0.0.53"
needs_namespace = pytest.mark.skipif(Namespace.probe("timeout") is not None, reason=str(Namespace.probe("timeout")))


def reference(name, protocol=Protocol.SMTP, *securities, **declared):
    argv = (*PROGRAM, name, protocol, *([NAMESERVER] if declared.get("discovers") == "srv" else []))
    return command_client(argv, protocol, securities or (Security.STARTTLS,), Declaration(timeout=3.0, **declared))


def judged(client, *select):
    """Return the verdict of every case, and what each of its rules said of it."""
    rows = Runner([client], select=select).run()
    return {row.setting.id: (row.verdict, {one.rule: one.finding.verdict for one in row.judgements}) for row in rows}


EVERYWHERE = ("base-starttls-ok", "cert-wrong-host", "starttls-not-offered", "port-refuse", "port-blocked-by-banner")


@needs_namespace
@pytest.mark.parametrize("name", ["honest", "clear-when-starttls-missing", "no-name-check", "blames-password"])
def test_a_program_gets_the_verdicts_that_it_gets_without(name):
    client = reference(name)
    without, inside = judged(client, *EVERYWHERE), judged(client.in_network, *EVERYWHERE)
    assert inside == without
    found = {verdict for verdict, _ in inside.values()}
    assert (Verdict.VIOLATION in found) == (name != "honest")
    assert Verdict.INCONCLUSIVE not in found
    assert Verdict.ERROR not in found


@needs_namespace
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("protocol", Protocol)
def test_curl_gets_the_verdicts_that_it_gets_without(protocol):
    (curl,) = builtin("curl")
    scenarios = ("cert-expired", "cert-wrong-host", "starttls-offered-502", "starttls-not-offered", "port-refuse")
    client = Client(**(vars(curl) | {"protocols": (protocol,)}))
    assert judged(client.in_network, *scenarios) == judged(client, *scenarios)


NAMED = {
    ("knows-weaker-ports", "port-587-blocked-25-clear"): {},
    ("guesses-host", "dns-name-unresolvable"): {},
    ("takes-every-port-for-implicit", "port-default-mode"): {"mode": "from-port"},
    ("submits-on-25", "port-587-default"): {"port": "chosen"},
    ("follows-srv-anywhere", "srv-target-other-domain"): {"mode": "from-port", "port": "chosen", "discovers": "srv"},
    ("trusts-second-guess", "guess-hosts"): {"mode": "from-port", "port": "chosen", "discovers": "guess"},
}


@needs_namespace
@pytest.mark.parametrize(("name", "scenario"), NAMED)
def test_what_needs_names_and_real_ports_is_judged(name, scenario):
    pytest.importorskip("dnslib")
    declared = NAMED[name, scenario]
    (told,) = judged(reference(name, **declared), scenario).values()
    assert told[0] is Verdict.NOT_APPLICABLE
    for client, verdict in ((name, Verdict.VIOLATION), ("honest", Verdict.PASS)):
        found = judged(reference(client, **declared).in_network, scenario)
        assert found[f"smtp-starttls-{scenario}"][0] is verdict, (client, found)
        assert found[f"smtp-starttls-{scenario}"][1][FAULTY[name].rule] is verdict


HANGS = """
import socket, subprocess, sys, time
if sys.argv[2:]:
    subprocess.Popen([sys.executable, "-c", open("/proc/self/cmdline").read().split("\\0")[2], sys.argv[1]], start_new_session=True)
    one = socket.create_connection((sys.argv[2], sys.argv[3]))
while True:
    time.sleep(60)
"""


def running(word):
    """Return the processes that have a word among their arguments, in whatever namespace they are."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [file.parent.name] if word.encode() in file.read_bytes().split(b"\0") else []
        except OSError:
            continue  # it has just ended
    return found


@needs_namespace
def test_a_program_that_hangs_is_ended_and_nothing_is_left():
    word = f"word-{secrets.token_hex(8)}"
    argv = (sys.executable, "-c", HANGS, word, "{host}", "{port}")
    client = command_client(argv, Protocol.SMTP, (Security.IMPLICIT,), Declaration(timeout=0.2)).in_network
    threads = set(threading.enumerate())
    (row,) = Runner([client], select=("cert-expired",)).run()
    assert row.verdict is Verdict.ERROR
    assert "still running at its time limit, and stopped" in row.judgements[0].finding.evidence
    assert set(threading.enumerate()) <= threads
    late = time.monotonic() + 20
    while running(word):
        assert time.monotonic() < late


TOLD = "import os, sys; sys.exit(' '.join(sys.argv[1:] + [os.environ['MAILAUTH_PORT'], os.environ['MAILAUTH_URL']]))"


@needs_namespace
@pytest.mark.parametrize(
    ("protocol", "security", "port", "scheme"),
    [
        ("smtp", "starttls", 587, "smtp"),
        ("smtp", "implicit", 465, "smtps"),
        ("pop3", "starttls", 110, "pop3"),
        ("pop3", "implicit", 995, "pop3s"),
        ("imap", "starttls", 143, "imap"),
        ("imap", "implicit", 993, "imaps"),
    ],
)
def test_it_is_told_a_name_and_the_real_port(protocol, security, port, scheme):
    options = ["--network", "--protocol", protocol, "--security", security, "--scenario", "cert-expired", "-v"]
    done = CliRunner().invoke(main, ["check", *options, "--", sys.executable, "-c", TOLD, "{host}", "{port}"])
    said = " ".join(done.output.split())
    assert done.exit_code == 3, said
    name = said.partition("exit status 1: ")[2].split()[0]
    assert name.startswith("mail.trial-")
    assert f"{name} {port} {port} {scheme}://{name}:{port}" in said


def test_it_says_why_where_it_cannot_be_had(monkeypatch):
    monkeypatch.setattr(Namespace, "probe", lambda how=None: "none is allowed" if how == "timeout" else None)
    options = ["check", "--network", "--protocol", "smtp", "--json", "-", "--", sys.executable]
    done = CliRunner().invoke(main, options)
    assert done.exit_code == 3
    assert "--network cannot be had here: none is allowed" in done.output


def test_it_is_for_programs_alone():
    done = CliRunner().invoke(main, ["check", "--network", "smtplib"])
    assert done.exit_code == 2
    assert "--network is for programs outside this Python" in " ".join(done.output.split())


def test_a_program_waits_for_a_blocked_port_among_those_that_wait():
    """In this process such a time-out comes at once."""
    client = command_client((sys.executable,), Protocol.SMTP, (Security.STARTTLS,))
    cases = [
        Setting(SCENARIOS[name], Protocol.SMTP, Security.STARTTLS)
        for name in ("port-25-blocked-587-open", "port-refuse")
    ]
    waits = [
        [Group(one, Protocol.SMTP, Security.STARTTLS, tuple(cases)).waits(case) for case in cases]
        for one in (client, client.in_network)
    ]
    assert waits == [[False, False], [True, False]]
