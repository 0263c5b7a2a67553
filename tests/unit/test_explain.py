"""What can be explained, in which words, and what `mailauth explain --from` makes of a report and of other files."""

from __future__ import annotations

import json
import smtplib

import pytest
from click.testing import CliRunner
from made_rows import made_report, made_row, plain_console, printed

from pytest_mailauth import (
    AuthPolicy,
    ClientViolation,
    ConfigError,
    Diagnosis,
    assert_commands,
    assert_obeys,
    diagnose,
    explain,
)
from pytest_mailauth.cli import main
from pytest_mailauth.judge.ruleset import RuleSet
from pytest_mailauth.judge.scenarios import baseline
from pytest_mailauth.judge.trialrun import TrialRun
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration
from pytest_mailauth.report.machine import document
from pytest_mailauth.report.terminal import TerminalReport

VERIFY = "verify-before-credentials"
IN_CLEAR = AuthPolicy(before_tls=("PLAIN",))
GOLDEN = """\
The server was reached, but the client offered its password before TLS. Session
1: AUTH PLAIN <initial response of 76 bytes> in clear. Start TLS first, and give
the password only inside it. (source document S2, S9, S12; RFC 8314 section 5.2)"""
BLOCKED = Diagnosis(
    name="port-25-blocked",
    cause="Nothing answered on port 25: your provider may block it",
    evidence="attempt 1, smtp.example.test:25 timeout after 5 s",
    advice="Use port 587 instead.",
    sources=("S7", "S11"),
)


def log_in(server, *, tls=False):
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        if tls:
            client.starttls(context=server.ssl_context())
        client.login(server.account.username, server.account.password)


def wrong_password(server):
    with smtplib.SMTP(server.host, server.port, timeout=5) as client:
        client.starttls(context=server.ssl_context())
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("nobody", "Not-The-Password-1")


@pytest.fixture
def server(mailauth):
    server = mailauth.smtp(auth=IN_CLEAR)
    log_in(server)
    return server


def test_the_text_to_the_letter(server):
    assert explain(server, width=80) == GOLDEN


def test_everything_with_a_session_can_be_explained(mailauth, server):
    for subject in (server, mailauth, server.sessions[0], server.sessions, iter(server.sessions)):
        assert explain(subject, width=80) == GOLDEN


def test_a_network_its_attempts_and_one_attempt_can_be_explained(mailauth_network):
    mailauth_network.host("smtp.example.test").smtp(587, auth=IN_CLEAR)
    with smtplib.SMTP("smtp.example.test", 587, timeout=5) as client:
        client.login(mailauth_network.account.username, mailauth_network.account.password)
    for subject in (mailauth_network, mailauth_network.attempts, mailauth_network.attempts[0]):
        (one,) = diagnose(subject)
        assert one.name == "password-before-tls"
        assert one.evidence.startswith("attempt 1 (smtp.example.test:587): AUTH PLAIN")


def test_a_trial_and_its_result_can_be_explained(mailauth):
    run = TrialRun(mailauth, Declaration(), baseline(Protocol.SMTP, Security.STARTTLS))
    trial = run.finish(None, hung=False)
    assert diagnose(trial)[0].name == "nobody-came"
    assert diagnose(made_row("cert-expired", (VERIFY, Verdict.VIOLATION, "crossed"), diagnosis=(BLOCKED,))) == (
        BLOCKED,
    )


@pytest.mark.parametrize("subject", [None, 25, "smtp", b"x", ["smtp"], object()])
def test_what_cannot_be_explained(subject):
    with pytest.raises(ConfigError, match="cannot explain"):
        explain(subject)


def test_a_diagnosis_is_a_paragraph():
    assert str(BLOCKED) == (
        "Nothing answered on port 25: your provider may block it. Attempt 1, smtp.example.test:25 timeout after 5 s. "
        "Use port 587 instead. (source document S7, S11)"
    )
    assert str(Diagnosis(name="x", cause="It failed", evidence="so.")) == "It failed. So."


def test_nothing_is_explained_twice_and_several_causes_are_told_apart(mailauth):
    server = mailauth.smtp(auth=IN_CLEAR)
    log_in(server)
    wrong_password(server)
    first, second = explain(server, width=10_000).split("\n\n")
    assert first.startswith("The server was reached")
    assert second.startswith("The server says that user name or password are wrong.")


# The same text ends every failure.


@pytest.mark.parametrize(("claim", "arguments"), [(assert_obeys, ()), (assert_commands, (["EHLO"],))])
def test_an_assertion_ends_with_it(server, claim, arguments):
    with pytest.raises(ClientViolation) as caught:
        claim(server, *arguments)
    last = str(caught.value).rpartition("  Diagnosis:   ")[2]
    assert " ".join(last.split()) == explain(server, width=10_000)


def test_several_causes_end_it_one_after_another(mailauth):
    server = mailauth.smtp(auth=IN_CLEAR)
    log_in(server)
    wrong_password(server)
    with pytest.raises(ClientViolation) as caught:
        assert_obeys(server)
    last = str(caught.value).rpartition("  Diagnosis:   ")[2]
    assert " ".join(last.split()) == explain(server, width=10_000).replace("\n\n", " Also: ")


def test_the_terminal_report_ends_a_lesson_with_it():
    row = made_row("cert-expired", (VERIFY, Verdict.VIOLATION, "the password crossed"), diagnosis=(BLOCKED,))
    console = plain_console(80)
    TerminalReport(console, RuleSet()).print([made_report(row)])
    assert "  Diagnosis:   Nothing answered on port 25: your provider may block it. Attempt\n" in printed(console)


# mailauth explain --from


def told(*arguments, text=None):
    return CliRunner().invoke(main, ["explain", *map(str, arguments)], input=text)


def report(*rows, error=None):
    return document([made_report(*rows)] if rows else [], {}, error)


ROWS = (
    made_row("tls12-only", ("tls12-or-newer", Verdict.PASS, "logged in over TLS 1.2")),
    made_row("port-drop", ("blocked-port-diagnosed", Verdict.NOTE, "gave up in time")),
    made_row("cert-expired", (VERIFY, Verdict.VIOLATION, "the password crossed"), diagnosis=(BLOCKED,)),
    made_row("cert-expired", (VERIFY, Verdict.VIOLATION, "again"), diagnosis=(BLOCKED,), security=Security.IMPLICIT),
)
EXPLAINED = """\
smtplib:default: VIOLATION, verify-before-credentials
  Cases:       smtp-starttls-cert-expired, smtp-implicit-cert-expired
  Actual:      The password crossed.
  Diagnosis:   Nothing answered on port 25: your provider may block it. Attempt
               1, smtp.example.test:25 timeout after 5 s. Use port 587 instead.
               (source document S7, S11)

smtplib:default: NOTE, blocked-port-diagnosed
  Cases:       smtp-starttls-port-drop
  Actual:      Gave up in time.
"""


def test_a_report_is_explained_case_by_case_worst_first(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    file = tmp_path / "report.json"
    file.write_text(report(*ROWS))
    assert told("--from", file).output == EXPLAINED
    assert told("--from", "-", text=report(*ROWS)).output == EXPLAINED


def test_a_report_in_which_everything_passed():
    assert told("--from", "-", text=report(ROWS[0])).output == (
        "1 case, and none asks for an explanation: all have passed.\n"
    )


def test_a_report_without_results_says_why():
    text = report(error="no Python here can do that")
    assert told("--from", "-", text=text).output == "Nothing was judged: No Python here can do that.\n"


def test_what_a_file_says_cannot_speak_to_the_terminal():
    rows = json.loads(report(ROWS[2]))
    rows["results"][0]["client"] = "\x1b[31m\nlies"
    rows["results"][0]["diagnosis"][0]["cause"] = "\x1b[2J"
    output = told("--from", "-", text=json.dumps(rows)).output
    assert "\x1b" not in output
    assert output.startswith("\\x1b[31m lies: VIOLATION")


def broken(change):
    made = json.loads(report(ROWS[2]))
    change(made["results"][0])
    return json.dumps(made)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("[]", "it is no report of `mailauth check`"),
        ('{"results": {}}', "it is no report of `mailauth check`"),
        ('{"results": [1]}', "a case in it is not as `mailauth check` writes them"),
        (broken(lambda row: row.pop("diagnosis")), "an older version wrote this report"),
        (broken(lambda row: row.update(verdict="GREAT")), "a case in it is not as"),
        (broken(lambda row: row.update(rules=[])), "a case in it is not as"),
        (broken(lambda row: row.update(diagnosis="bad luck")), "a case in it is not as"),
        (broken(lambda row: row["diagnosis"][0].update(cause=7)), "a case in it is not as"),
        (broken(lambda row: row["diagnosis"][0].pop("sources")), "a case in it is not as"),
    ],
)
def test_a_file_that_is_no_report_is_a_mistake_of_usage(text, said):
    result = told("--from", "-", text=text)
    assert result.exit_code == 2
    assert said in result.output
    assert "--json" in result.output


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name, said in (("gone", "No such file"), (".", "Is a directory"), ("bytes", "it is no JSON, which is UTF-8")):
        result = told("--from", tmp_path / name)
        assert result.exit_code == 2
        assert said in result.output


@pytest.mark.parametrize("arguments", [(), ("cert-expired", "--from", "x.json")])
def test_one_thing_at_a_time_is_explained(arguments):
    result = told(*arguments)
    assert result.exit_code == 2
    assert "name a rule, scenario or law, or give a report" in result.output
