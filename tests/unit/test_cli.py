"""The command: exit statuses, what it writes and where, and that no secret is in it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import ssl
import subprocess
import sys
from dataclasses import fields
from datetime import datetime
from inspect import signature
from pathlib import Path

import pytest
from click.testing import CliRunner
from clients import FAULTY, make_client

import pytest_mailauth
from pytest_mailauth.cli import main
from pytest_mailauth.judge.clients import catalogue
from pytest_mailauth.judge.clients.client import Client
from pytest_mailauth.judge.clients.command import PLACEHOLDERS
from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios import SCENARIOS
from pytest_mailauth.judge.selection.laws import LAWS
from pytest_mailauth.model.canary import Account, find
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Protocol, Security
from pytest_mailauth.model.trial import Declaration
from pytest_mailauth.report.machine import Destination
from pytest_mailauth.report.reference import CLASSES

DEADLINE = 30.0
ROOT = Path(pytest_mailauth.__file__).parents[1]
IMPLICIT = ("--security", "implicit")
VERIFYING = ("smtplib:verifying", *IMPLICIT)
DEFAULT = ("smtplib:default", *IMPLICIT)
EXPIRED = ("--scenario", "cert-expired")


# Older releases of click mix the two streams unless they are told not to; newer ones cannot be told.
SEPARATE = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}


def run(*arguments):
    return CliRunner(**SEPARATE).invoke(main, [str(argument) for argument in arguments])


# Exit statuses.


def test_a_client_that_obeys():
    result = run("check", *VERIFYING, *EXPIRED)
    assert result.exit_code == 0, result.output
    assert "✓ smtplib:verifying  SMTP  1 passed" in result.stdout
    assert "judging 1 client in 3 trials ..." in result.stderr


def test_a_client_that_breaks_a_rule():
    result = run("check", *DEFAULT, *EXPIRED)
    assert result.exit_code == 1, result.output
    assert "✗ VIOLATION verify-chain" in result.stdout
    assert result.stdout.endswith("Exit status 1: a rule was broken.\n")


def test_a_declaration_decides_what_counts():
    result = run("check", *DEFAULT, *EXPIRED, "--declare", "verify=none")
    assert result.exit_code == 0, result.output
    assert "1 case (declared: verify=none)" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["check"], "name a client, for example: mailauth check smtplib"),
        (["check", "smtplb"], "did you mean 'smtplib'"),
        (["check", "smtplib:x"], "smtplib has no style 'x'"),
        (["check", "smtplib", "--protocol", "imap"], "smtplib does not speak imap; leave it out"),
        (["check", "smtplib", "imaplib", "--protocol", "imap"], "smtplib does not speak imap; leave it out"),
        (["check", "smtplib", "--protocol", "nntp"], "'nntp' is not one of"),
        (["check", "smtplib", "--security", "tls"], "'tls' is not one of"),
        (["check", "smtplib", "--scenario", "cert-expird"], "did you mean cert-expired"),
        (["check", "smtplib", "--scenario", "preauth-no-caps"], "no case of preauth-no-caps exists"),
        (["check", "smtplib", "--declare", "verify"], "--declare takes NAME=VALUE"),
        (["check", "smtplib", "--declare", "verfy=none"], "declaration 'verfy' is not known"),
        (["check", "smtplib", "--declare", "verify=maybe"], "verify='maybe' is not known"),
        (["check", "smtplib", "--declare", "timeout=soon"], "must be a number of seconds"),
        (["check", "smtplib", "--json", "/no/such/folder/x"], "No such file or directory"),
        (["check", "--", "prog"], "say what the program speaks, for example --protocol smtp"),
        (["check", "--protocol", "smtp", "--"], "there is no program to run"),
        (["check", "--protocol", "smtp", "smtplib", "--", "prog"], "name clients or give a program"),
        (["check", "--protocol", "smtp", "--", sys.executable, "{user}"], "did you mean {username}"),
        (["explain", "cert-expird"], "did you mean cert-expired"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_usage_is_explained(arguments, told):
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert told in result.stderr
    assert result.stdout == ""


def test_a_program_that_does_not_exist():
    result = run("check", "--protocol", "smtp", "--", "no-such-program-here", "{host}")
    assert result.exit_code == 3
    assert result.stderr == "Error: there is no program 'no-such-program-here' that could be run\n"


def test_a_program_that_does_nothing_fails_its_control():
    result = run("check", "--protocol", "smtp", *IMPLICIT, *EXPIRED, "--", sys.executable, "-c", "pass")
    assert result.exit_code == 3, result.output
    assert "! ERROR control" in result.stdout
    assert "Make the client work with this server first" in result.stdout


def test_a_failed_control_quotes_a_program_that_ends_well():
    code = "print('Error: certificate verify failed')"
    result = run("check", "--protocol", "smtp", *IMPLICIT, *EXPIRED, "--", sys.executable, "-c", code)
    assert result.exit_code == 3, result.output
    assert "it never connected; it said: Error: certificate verify failed." in " ".join(result.stdout.split())


# The program form.

VISIT = """
import os, smtplib, ssl, sys
told = {name: os.environ["MAILAUTH_" + name] for name in ("HOST", "PORT", "USERNAME", "PASSWORD", "CAFILE")}
assert sys.argv[1:] == ["--verbose", "--", "-v", told["HOST"]], sys.argv
context = ssl.create_default_context(cafile=told["CAFILE"])
with smtplib.SMTP_SSL(told["HOST"], int(told["PORT"]), timeout=5, context=context) as client:
    client.login(told["USERNAME"], told["PASSWORD"])
"""


def test_a_program_is_judged_and_its_arguments_are_its_own():
    program = (sys.executable, "-c", VISIT, "--verbose", "--", "-v", "{host}")
    result = run("check", "--protocol", "smtp", *IMPLICIT, *EXPIRED, "--", *program)
    assert result.exit_code == 0, result.output
    assert "SMTP with implicit TLS: 1 case\n" in result.stdout


def test_options_narrow_built_in_clients():
    result = run("check", "imaplib:verifying", "IMAPLIB:Verifying", "--security", "starttls", *EXPIRED, "-v")
    assert result.exit_code == 0, result.output
    assert re.findall(r"imap-\S+", result.stdout) == ["imap-starttls-cert-expired"]


# JSON.


def test_json_is_complete_and_says_what_was_found(tmp_path):
    file = tmp_path / "results.json"
    result = run("check", *DEFAULT, *EXPIRED, "--scenario", "tls12-only", "--json", file)
    assert result.exit_code == 1, result.output
    document = json.loads(file.read_text())
    assert set(document) == {"results", "environment", "error"}
    assert document["error"] is None
    told = {row["id"]: row for row in document["results"]}
    assert set(told) == {"smtp-implicit-cert-expired", "smtp-implicit-tls12-only"}
    row = told["smtp-implicit-cert-expired"]
    assert isinstance(row.pop("seconds"), float)
    assert "AUTH PLAIN <" in row.pop("transcript")
    (diagnosis,) = row.pop("diagnosis")
    assert set(diagnosis) == {"name", "cause", "evidence", "advice", "sources"}
    assert diagnosis["name"] == "certificate-not-verified"
    assert told["smtp-implicit-tls12-only"]["diagnosis"] == []
    rule, other = row.pop("rules")
    assert "expired" in rule.pop("evidence")
    assert rule == {
        "rule": "verify-chain",
        "verdict": "VIOLATION",
        "requirement": RULES["verify-chain"].requirement,
    }
    assert (other["rule"], other["verdict"]) == ("verify-before-credentials", "NOT-APPLICABLE")
    assert row == {
        "client": "smtplib:default",
        "protocol": "smtp",
        "security": "implicit",
        "scenario": "cert-expired",
        "id": "smtp-implicit-cert-expired",
        "verdict": "VIOLATION",
    }


def test_json_names_the_environment(tmp_path):
    file = tmp_path / "results.json"
    assert run("check", *VERIFYING, *EXPIRED, "--json", file).exit_code == 0
    environment = json.loads(file.read_text())["environment"]
    assert environment["openssl"] == ssl.OPENSSL_VERSION
    assert {"1.2", "1.3"} <= set(environment["servable_tls"])
    assert environment["interrupted"] is False
    assert datetime.fromisoformat(environment["time"]).utcoffset().total_seconds() == 0
    assert set(environment) >= {"package", "python", "implementation", "platform"}


def module(*arguments, **environment):
    """Run the command in a process of its own."""
    return subprocess.run(
        (sys.executable, "-m", "pytest_mailauth", *arguments),
        capture_output=True,
        timeout=DEADLINE,
        check=False,
        cwd=ROOT,
        env=os.environ | environment,
    )


# In a process of its own, since click wraps standard output where its encoding is not to be trusted.
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_json_on_standard_output_stands_alone(locale):
    ran = module("check", *VERIFYING, *EXPIRED, "--json", "-", LC_ALL=locale, PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["results"]
    assert b"Exit status 0: no rule was broken." in ran.stderr


@pytest.mark.parametrize("arguments", [("smtplb",), ("smtplib", "--scenario", "preauth-no-caps")])
def test_wrong_usage_leaves_the_file_as_it_was(arguments, tmp_path):
    file = tmp_path / "results.json"
    file.write_text("{}")
    assert run("check", *arguments, "--json", file).exit_code == 2
    assert file.read_text() == "{}"
    assert list(tmp_path.iterdir()) == [file]


def test_json_says_why_nothing_was_judged(tmp_path):
    file = tmp_path / "results.json"
    assert run("check", "--protocol", "smtp", "--json", file, "--", "no-such-program-here").exit_code == 3
    document = json.loads(file.read_text())
    assert document["results"] == []
    assert document["error"] == "there is no program 'no-such-program-here' that could be run"


def test_a_file_is_replaced_where_a_link_points_and_keeps_its_mode(tmp_path):
    (tmp_path / "real").mkdir()
    file, link = tmp_path / "real" / "results.json", tmp_path / "link.json"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    Destination(str(link)).write("new")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o640)
    assert link.is_symlink()
    assert list(file.parent.iterdir()) == [file]


def test_what_is_no_file_is_not_replaced():
    Destination(os.devnull).write("nothing")
    assert not Path(os.devnull).is_file()


def test_a_file_that_cannot_be_replaced_is_written_in_place(tmp_path, monkeypatch):
    def refuse(self, _target):
        raise PermissionError(errno.EPERM, "no", str(self))

    monkeypatch.setattr(Path, "replace", refuse)
    file = tmp_path / "results.json"
    Destination(str(file)).write("new")
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_is_told_and_costs_no_older_file(tmp_path, monkeypatch):
    file = tmp_path / "results.json"
    file.write_text("old")

    def full(_self, _target):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ConfigError, match=r"--json .*results\.json: No space left on device"):
        Destination(str(file)).write("new")
    assert file.read_text() == "old"


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="Is a directory"):
        Destination(str(tmp_path))


# A reader that leaves.


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("check", *VERIFYING, *EXPIRED), 0),
        (("check", *DEFAULT, *EXPIRED), 1),
        (("check", *DEFAULT, *EXPIRED, "--json", "-"), 1),
        (("scenarios",), 0),
        (("explain", "cert-expired"), 0),
    ],
)
def test_a_reader_that_leaves_changes_no_status(arguments, status):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ran = subprocess.run(
            (sys.executable, "-m", "pytest_mailauth", *arguments),
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=DEADLINE,
            check=False,
            cwd=ROOT,
        )
    finally:
        os.close(writing)
    assert ran.returncode == status, ran.stderr
    assert b"Broken" not in ran.stderr


# The registries.


@pytest.mark.parametrize(
    ("command", "registry"), [("rules", [name for name in RULES if name != "control"]), ("scenarios", SCENARIOS)]
)
def test_the_registries_are_listed_by_name(command, registry):
    listed = json.loads(run(command, "--json").stdout)
    assert [each["name"] for each in listed] == list(registry)
    text = run(command).stdout
    assert all(name in text for name in registry)
    assert "\ncontrol (" not in f"\n{text}"  # the ground that the rules stand on, and none of them


def test_what_json_says_about_a_scenario():
    row = next(each for each in json.loads(run("scenarios", "--json").stdout) if each["name"] == "preauth-no-caps")
    assert row == {
        "name": "preauth-no-caps",
        "class": "G",
        "summary": SCENARIOS["preauth-no-caps"].summary,
        "protocols": ["imap"],
        "modes": ["starttls"],
        "declared": {},
        "rules": ["preauth-ends-required-starttls"],
        "severity": "high",
        "sources": list(SCENARIOS["preauth-no-caps"].sources),
        "profile": "core",
        "since": "2026.1",
        "catalogue": "preauth-no-caps",
        "ids": ["imap-starttls-preauth-no-caps"],
    }


def test_every_class_of_scenarios_is_described():
    assert {scenario.family for scenario in SCENARIOS.values()} <= set(CLASSES)


@pytest.mark.parametrize("name", [*RULES, *SCENARIOS, "imap-starttls-preauth-no-caps"])
def test_every_name_can_be_explained(name):
    result = run("explain", name)
    assert result.exit_code == 0, result.output
    for label in ("Requirement:", "Expected:", "Severity:", "Sources:", "Next step:"):
        assert label in result.stdout


@pytest.mark.parametrize("name", LAWS)
def test_every_law_of_selection_can_be_explained(name):
    result = run("explain", name)
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert f"{name} (law of selection) Law: {LAWS[name].statement} Why: {LAWS[name].reason} Sources: S" in text
    assert (f"{name} (rule)" in text) is (name in RULES)


def test_version_and_help():
    assert "0." in run("--version").stdout
    assert "mailauth check smtplib poplib imaplib" in run("--help").stdout
    text = run("check", "--help").stdout
    assert all(word in text for word in ("MAILAUTH_HOST", "Exit status: 0", *(f"{{{name}}}" for name in PLACEHOLDERS)))
    assert all(f"  {field.name}=" in text for field in fields(Declaration))


def test_the_module_is_the_command():
    ran = subprocess.run(
        (sys.executable, "-m", "pytest_mailauth", "--version"),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    assert "mailauth, version" in ran.stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys, pytest_mailauth.cli\n"
        "sys.exit(str({'rich', 'cryptography', 'trustme', 'aiosmtpd', 'hypothesis', 'pytest'} & set(sys.modules)))"
    )
    ran = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert ran.stderr.strip() == "set()"


# Secrets.


@pytest.fixture
def passwords(monkeypatch):
    """Every password that is made from here on."""
    made: list[str] = []
    fresh = Account.fresh.__func__

    def recorded(cls, *arguments):
        account = fresh(cls, *arguments)
        made.append(account.password)
        return account

    monkeypatch.setattr(Account, "fresh", classmethod(recorded))
    return made


def _shouts(case):
    """Log in without any care, then blame the password, and quote it."""
    with contextlib.suppress(Exception):
        make_client("smtp", FAULTY["no-chain-check"].faults)(case)
    raise RuntimeError(
        f"cannot log in as {case.username} with {str(case.password)!r}, in hex {case.password.encode().hex()}"
    )


CARELESS = {
    "leaks": make_client("smtp", FAULTY["password-before-starttls"].faults),
    "accepts": make_client("smtp", FAULTY["checks-after-login"].faults),
    "shouts": _shouts,
}


@pytest.mark.parametrize("options", [(), ("-v",)])
@pytest.mark.parametrize("name", CARELESS)
def test_no_secret_is_printed_or_written(name, options, passwords, monkeypatch, tmp_path):
    client = Client(name=name, run=CARELESS[name], protocols=(Protocol.SMTP,), securities=(Security.STARTTLS,))
    monkeypatch.setattr(catalogue, "builtin", lambda _name: (client,))
    file = tmp_path / "results.json"
    chosen = ("base-opportunistic-setup", "cert-self-signed", "port-refuse", "port-accept-then-rst")
    result = run("check", name, *(part for each in chosen for part in ("--scenario", each)), *options, "--json", file)
    assert result.exit_code == 1, result.output
    assert len(passwords) > len(chosen)
    for shown in (result.stdout, result.stderr, file.read_text(), run("explain", "--from", file).output):
        for password in passwords:
            assert find(password, shown.encode()) is None


def test_no_secret_of_a_program_is_printed_or_written(passwords, tmp_path):
    file = tmp_path / "results.json"
    code = "import os, sys; print(sys.argv[1]); sys.exit(os.environ['MAILAUTH_PASSWORD'])"
    program = (sys.executable, "-c", code, "{password}")
    result = run("check", "--protocol", "smtp", *IMPLICIT, *EXPIRED, "-v", "--json", file, "--", *program)
    assert result.exit_code == 3, result.output
    for shown in (result.stdout, result.stderr, file.read_text()):
        for password in passwords:
            assert find(password, shown.encode()) is None
    assert "<password>" in result.stdout


def test_the_profile_and_the_version_are_chosen_and_told(tmp_path):
    file = tmp_path / "results.json"
    result = run("check", *VERIFYING, "--scenario", "tls12-only", "--profile", "core,strict", "--json", str(file))
    assert "Asked: the extended,strict profile of the rules 2026.1.\n" in result.stdout
    about = json.loads(file.read_text(encoding="utf-8"))["environment"]
    assert (about["profile"], about["rules"]) == ("extended,strict", "2026.1")


@pytest.mark.parametrize(
    ("option", "value", "said"), [("--profile", "huge", "core, full, extended, strict"), ("--rules", "1.0", "2026.1")]
)
def test_an_unknown_profile_or_version_is_wrong_usage(option, value, said):
    result = run("check", *VERIFYING, option, value)
    assert result.exit_code == 2
    assert f"is not known; use one of {said}" in result.stderr
