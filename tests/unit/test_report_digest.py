"""Results sorted for readers: what is put together, what is counted, and which exit status it comes to."""

from __future__ import annotations

import pytest
from made_rows import made_report, made_row

from pytest_mailauth.judge.clients.client import Client
from pytest_mailauth.judge.group import Group
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration
from pytest_mailauth.report.digest import Status, declared_otherwise, digest, lessons, status

VERIFY = "verify-before-credentials"
PASSED = made_row("tls12-only", ("tls12-or-newer", Verdict.PASS, "logged in"))
BROKEN = made_row("cert-expired", (VERIFY, Verdict.VIOLATION, "sent the password"))
UNSURE = made_row("port-drop", ("blocked-port-diagnosed", Verdict.INCONCLUSIVE, "said nothing useful"))
FAILED = made_row("base-starttls-ok", ("control", Verdict.ERROR, "did not log in"))
TORN = made_row(
    "tls10-only", (VERIFY, Verdict.ERROR, "contradiction"), ("tls12-or-newer", Verdict.VIOLATION, "negotiated TLS 1.0")
)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((PASSED,), Status.OBEYED),
        ((PASSED, UNSURE), Status.OBEYED),
        ((PASSED, BROKEN), Status.BROKEN),
        ((FAILED,), Status.UNUSABLE),
        ((FAILED, BROKEN), Status.BROKEN),
        ((TORN,), Status.BROKEN),
    ],
)
def test_the_exit_status(rows, expected):
    assert status([made_report(row) for row in rows]) is expected


def test_rows_that_say_the_same_are_one_kind():
    rows = [
        made_row("cert-expired", (VERIFY, Verdict.VIOLATION, "first"), security=mode)
        for mode in (Security.STARTTLS, Security.IMPLICIT)
    ]
    other = made_row("cert-cn-only", (VERIFY, Verdict.NOTE, "allowed"))
    report = made_report(PASSED, other, *rows)
    assert [(kind.verdict, kind.rule, len(kind.rows)) for kind in report.kinds] == [
        (Verdict.VIOLATION, VERIFY, 2),
        (Verdict.NOTE, VERIFY, 1),
    ]
    assert report.counts == {Verdict.VIOLATION: 2, Verdict.NOTE: 1, Verdict.PASS: 1}


def test_a_mode_is_named_only_where_the_modes_differ():
    both = [made_row("cert-expired", (VERIFY, Verdict.VIOLATION, "x"), security=mode) for mode in Security]
    one = [
        made_row("tls10-only", ("tls12-or-newer", verdict, "x"), security=mode)
        for mode, verdict in ((Security.STARTTLS, Verdict.VIOLATION), (Security.IMPLICIT, Verdict.PASS))
    ]
    report = made_report(*both, *one)
    assert report.scenarios([*both, one[0]]) == ("cert-expired", "tls10-only (starttls)")


def test_a_broken_rule_is_one_lesson_over_all_clients():
    reports = [made_report(made_row("cert-expired", (VERIFY, Verdict.VIOLATION, c), client=c)) for c in ("one", "two")]
    (lesson,) = lessons(reports, Verdict.VIOLATION)
    row, finding = lesson.example
    assert (row.client, finding.evidence) == ("one", "one")
    assert [report.name for report, _ in lesson.cases] == ["one", "two"]
    assert lessons(reports, Verdict.NOTE) == ()


def test_a_violation_beside_an_error_is_a_lesson_too():
    (lesson,) = lessons([made_report(TORN)], Verdict.VIOLATION)
    assert lesson.example[1].evidence == "negotiated TLS 1.0"


def test_groups_become_one_report_a_client_and_protocol():
    client = Client(name="a", run=lambda _case: None, protocols=(Protocol.SMTP, Protocol.IMAP))
    groups = [Group(client, protocol, mode, ()) for protocol in client.protocols for mode in client.securities]
    for group in groups[:-1]:
        group.failure = "could not be run"
    reports = digest(groups)
    assert [(report.protocol, report.securities) for report in reports] == [
        (Protocol.SMTP, (Security.STARTTLS, Security.IMPLICIT)),
        (Protocol.IMAP, (Security.STARTTLS,)),
    ]
    assert [row.verdict for report in reports for row in report.rows] == [Verdict.ERROR] * 3


def test_what_was_declared_is_written_as_on_the_command_line():
    declared = Declaration(verify="none", timeout=0.5, allow_insecure_auth=True)
    assert declared_otherwise(declared) == {"verify": "none", "timeout": "0.5", "allow_insecure_auth": "yes"}
    assert Declaration.parse(declared_otherwise(declared)) == declared
    assert declared_otherwise(Declaration()) == {}
