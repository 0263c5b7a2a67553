"""Certificates, names and exceptions on real connections: other clients, and those that only seem to look."""

from __future__ import annotations

import gc
import hashlib
import smtplib
import ssl
import warnings

import pytest
from trying import broken_in, tried

from pytest_mailauth.judge.clients.catalogue import builtin
from pytest_mailauth.judge.clients.thirdparty import is_installed
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.judge.scenarios import SCENARIOS, certificates, names
from pytest_mailauth.model.terms import Security, Verdict

OURS = [row.name for table in (certificates, names) for row in table.ROWS]
ALLOWED = (Verdict.PASS, Verdict.NOTE, Verdict.NOT_APPLICABLE)


def judged(run, *select, **declared):
    return tried(run, select, securities=(Security.IMPLICIT,), **declared)


def send(case, context, *, works=True):
    with smtplib.SMTP_SSL(case.host, case.port, timeout=case.timeout, context=context) as client:
        client.login(case.username, case.password)
        if works:
            client.sendmail(case.sender, [case.recipient], "Subject: hello\r\n\r\nhello\r\n")


def nameless(case):
    context = case.ssl_context()
    context.check_hostname = False
    send(case, context)


@pytest.mark.parametrize(
    "name", ["smtplib:verifying", "poplib:verifying", "imaplib:verifying", "aiosmtplib", "IMAPClient", "curl"]
)
def test_an_honest_client_of_another_make_breaks_nothing(name):
    if not name.endswith(":verifying") and not is_installed(name):
        pytest.skip(f"{name} is not installed")
    with warnings.catch_warnings():
        # A library that leaves a socket to the collector is not ours to mend.
        warnings.simplefilter("ignore", ResourceWarning)
        rows = Runner(builtin(name), select=OURS).run()
        gc.collect()
    assert {row.setting.scenario.name for row in rows} >= {"cert-wrong-host", "verify-off-is-explicit"}
    assert {row.setting.id: row.judgements for row in rows if row.verdict not in ALLOWED} == {}


@pytest.mark.parametrize("name", [name for name in OURS if SCENARIOS[name].compared_with == "cert-wrong-host"])
def test_a_client_that_looks_at_no_name_is_told_so_in_every_row_about_names(name):
    rows = judged(nameless, name)
    assert list(rows) == [name]  # and not the one that it is compared with
    assert rows[name].verdict is Verdict.NOTE or broken_in(rows[name]) == ["verify-hostname"]


def test_what_is_compared_with_runs_once_for_all_that_need_it():
    runs = []

    def counts(case):
        runs.append(case)
        nameless(case)

    judged(counts, "cert-wildcard-bare", "cert-uri-id-only", "cert-nul-in-name")
    assert len(runs) == 3 + 1 + 2  # and the controls, first and last
    runs.clear()
    judged(counts, "cert-wildcard-bare", "cert-wrong-host")
    assert len(runs) == 2 + 2


def test_a_client_that_leaves_after_its_login_looked_too_late():
    def late(case):
        context = ssl._create_unverified_context()
        with smtplib.SMTP_SSL(case.host, case.port, timeout=case.timeout, context=context) as client:
            client.login(case.username, case.password)
            send(case, case.ssl_context(), works=False)  # to see whether it is the right one
            client.sendmail(case.sender, [case.recipient], "Subject: hello\r\n\r\nhello\r\n")

    rows = judged(late, "cert-wrong-host", "cert-expired")
    assert [broken_in(row) for row in rows.values()] == [["verify-before-credentials"]] * 2


# Exceptions.


def connect(case, memory, *, covers):
    """Connect and return the client, or verify; a certificate that was accepted is accepted for what *covers* says."""
    accepted = case.pinned
    keys = {"certificate": accepted, "host": case.host if accepted else None, "any account": accepted}
    if keys[covers]:
        memory.add(keys[covers])
    context = ssl._create_unverified_context()
    client = smtplib.SMTP_SSL(case.host, case.port, timeout=case.timeout, context=context)
    shown = hashlib.sha256(client.sock.getpeercert(binary_form=True)).hexdigest()
    if {"certificate": shown == accepted, "host": case.host in memory, "any account": shown in memory}[covers]:
        return client
    client.close()
    return smtplib.SMTP_SSL(case.host, case.port, timeout=case.timeout, context=case.ssl_context())


def makes_exceptions(covers):
    def run(case):
        memory = set()
        for one in filter(None, (case.earlier, case)):
            with connect(one, memory, covers=covers) as client:
                client.login(one.username, one.password)
                client.sendmail(one.sender, [one.recipient], "Subject: hello\r\n\r\nhello\r\n")

    return run


EXCEPTIONS = ("cert-exception-scope", "cert-exception-other-account", "cert-swap-between-connections")


@pytest.mark.parametrize(
    ("covers", "flagged"),
    [
        ("certificate", set()),
        ("host", {"cert-exception-scope", "cert-exception-other-account"}),
        ("any account", {"cert-exception-other-account"}),
    ],
)
def test_how_far_an_exception_goes(covers, flagged):
    rows = judged(makes_exceptions(covers), *EXCEPTIONS)
    wanted = {name: ["no-blanket-exception"] if name in flagged else [] for name in EXCEPTIONS}
    assert {name: broken_in(row) for name, row in rows.items()} == wanted
    assert {row.verdict for name, row in rows.items() if name not in flagged} <= {Verdict.PASS}


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_a_client_without_exceptions_is_not_judged_by_them(name):
    row = judged(lambda case: send(case, case.ssl_context()), name)[name]
    assert row.verdict is Verdict.NOT_APPLICABLE


def test_a_connection_that_is_kept_for_the_same_terms_is_no_exception():
    def keeps(case):
        first = case.earlier or case
        with smtplib.SMTP_SSL(first.host, first.port, timeout=first.timeout, context=first.ssl_context()) as client:
            client.login(first.username, first.password)
            for one in filter(None, (case.earlier, case)):
                client.sendmail(one.sender, [one.recipient], "Subject: hello\r\n\r\nhello\r\n")

    name = "cert-swap-between-connections"
    row = judged(keeps, name)[name]
    assert row.verdict is Verdict.NOT_APPLICABLE
    assert "one connection" in row.judgements[0].finding.evidence


# What a library does when nobody speaks of TLS.


def by_default(verifies):
    def run(case):
        default = ssl.create_default_context() if verifies else None
        send(case, default if case.by_default else case.ssl_context())

    return run


@pytest.mark.parametrize(("verifies", "flagged"), [(True, []), (False, ["verify-before-credentials"])])
def test_the_default_is_a_row_of_its_own_beside_the_client_as_it_is_configured(verifies, flagged):
    rows = judged(by_default(verifies), "cert-self-signed", "verify-off-is-explicit")
    assert rows["cert-self-signed"].verdict is Verdict.PASS
    assert broken_in(rows["verify-off-is-explicit"]) == flagged
    assert rows["verify-off-is-explicit"].verdict is (Verdict.VIOLATION if flagged else Verdict.PASS)


def test_a_client_that_has_no_default_is_not_judged_by_it():
    row = judged(lambda case: send(case, case.ssl_context()), "verify-off-is-explicit")["verify-off-is-explicit"]
    assert row.verdict is Verdict.NOT_APPLICABLE
    assert "case.by_default" in row.judgements[0].finding.evidence


@pytest.mark.parametrize("library", ["smtplib", "poplib", "imaplib"])
def test_the_styles_of_a_library_are_judged_apart(library):
    rows = Runner(builtin(library), select=["verify-off-is-explicit"]).run()
    found = {row.client: row.verdict for row in rows}
    assert found[f"{library}:verifying"] is Verdict.NOT_APPLICABLE
    assert found[f"{library}:default"] is Verdict.VIOLATION
