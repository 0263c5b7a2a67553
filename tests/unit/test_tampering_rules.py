"""What the rule about early data makes of a record and of what a client reports."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_trials import ACCOUNT, CLEAR, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios.tampering import MARKER
from pytest_mailauth.judge.verdict import judge
from pytest_mailauth.model import events as e
from pytest_mailauth.model.config import AuthPolicy
from pytest_mailauth.model.deviations import Answer, Greet, Precede, fill, pointed
from pytest_mailauth.model.reports import MAILBOX, texts
from pytest_mailauth.model.terms import HandshakeOutcome, Protocol, Verdict
from pytest_mailauth.model.trial import Outcome
from pytest_mailauth.servers.policy import Policy
from pytest_mailauth.servers.script import Script

RULE = "ignore-unsolicited-before-auth"
LOGIN = (TLS, e.Authentication("PLAIN", ACCOUNT.username, ACCOUNT.password, accepted=True))


def trial(line, *said, facts=None, wants=("mailbox",), control=None, layer=CLEAR, logs_in=True):
    """Return the trial of a client that was told *line* early, said what is given, and reports *facts*."""
    session = [(layer, e.Sent(line + b"\r\n")), *([LOGIN] if logs_in else []), *said]
    made = recorded(
        session,
        protocol=Protocol.IMAP,
        deviations=(Greet(data=b"* OK hello\r\n"), Precede(verb="STARTTLS", data=line + b"\r\n")),
        outcome=Outcome(facts=facts or {}),
        control=control,
    )
    return replace(made, wants=wants, marker=MARKER)


def found(*args, **kwargs):
    return RULES[RULE].check(trial(*args, **kwargs))


EXISTS = f"* {MARKER}1 EXISTS".encode()
LIST = f'* LIST () "/" Box{MARKER}1'.encode()


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        (EXISTS, {"mailbox": {"exists": int(f"{MARKER}1")}}),
        (EXISTS, {"mailbox": {"exists": [b"3", f"{MARKER}1".encode()]}}),
        (EXISTS, {"mailbox": f"{MARKER}1 messages"}),
        (LIST, {"folders": ["INBOX", f"Box{MARKER}1"]}),
        (LIST, {"folders": {"INBOX": 1, f"Box{MARKER}1": 2}}),
        (LIST, {"messages": [("1", f"to Box{MARKER}1")]}),
    ],
)
def test_what_only_the_hostile_lines_said_is_found_in_what_is_reported(line, facts):
    finding = found(line, facts=facts)
    assert finding.verdict is Verdict.VIOLATION
    assert "before TLS" in finding.evidence


def test_what_a_client_says_about_its_error_is_no_belief():
    assert found(LIST, facts={"error": f"unexpected: Box{MARKER}1", "folders": []}).verdict is Verdict.PASS


def test_using_it_shows_on_the_wire_without_any_report():
    command = e.Command("SELECT", f"Box{MARKER}1".encode(), f"SELECT Box{MARKER}1")
    finding = found(LIST, (TLS, command))
    assert finding.verdict is Verdict.VIOLATION
    assert "SELECT Box" in finding.evidence


def test_using_it_in_a_literal_shows_too():
    assert found(LIST, (TLS, e.Received(f"Box{MARKER}1\r\n".encode()))).verdict is Verdict.VIOLATION


def test_without_the_lines_nothing_is_proved():
    made = recorded([LOGIN], protocol=Protocol.IMAP, deviations=(Precede(verb="STARTTLS", data=LIST + b"\r\n"),))
    assert RULES[RULE].check(replace(made, marker=MARKER)).verdict is Verdict.INCONCLUSIVE


def test_status_and_capabilities_may_come_at_any_time():
    line = f"* CAPABILITY {MARKER}".encode()
    assert found(line, facts={"mailbox": {"exists": f"{MARKER}"}}).verdict is Verdict.INCONCLUSIVE


def test_who_gives_up_needs_to_report_nothing():
    (judgement,) = judge(trial(EXISTS, (CLEAR, e.Received(b"A1 LOGOUT\r\n")), logs_in=False), (RULE,))
    assert judgement.finding.verdict is Verdict.PASS
    assert "gave up" in judgement.finding.evidence


def test_who_logs_in_and_reports_nothing_is_told_how():
    (judgement,) = judge(trial(EXISTS), (RULE,))
    assert judgement.finding.verdict is Verdict.NOT_APPLICABLE
    assert "case.report(mailbox=" in judgement.finding.evidence


def test_who_reports_something_else_is_told_what_is_missing():
    finding = found(EXISTS, facts={"mailbox": {"flags": []}})
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert "did not report exists" in finding.evidence


EXPUNGE = b"* 1 EXPUNGE"


@pytest.mark.parametrize(
    ("usual", "now", "verdict"),
    [
        ({"exists": 4}, {"exists": 4}, Verdict.PASS),
        ({"exists": 4}, {"exists": 3}, Verdict.VIOLATION),
        ({"expunged": []}, {"expunged": [1]}, Verdict.VIOLATION),
        ({"flags": ["a"]}, {"flags": ["b"], "exists": 4}, Verdict.PASS),
    ],
)
def test_what_was_expunged_is_compared_with_the_control(usual, now, verdict):
    control = recorded([LOGIN], protocol=Protocol.IMAP, outcome=Outcome(facts={"mailbox": usual}))
    assert found(EXPUNGE, facts={"mailbox": now}, control=control).verdict is verdict


def test_other_rows_are_compared_with_nothing():
    control = recorded([LOGIN], protocol=Protocol.IMAP, outcome=Outcome(facts={"mailbox": {"exists": 4}}))
    assert found(EXISTS, facts={"mailbox": {"exists": 5}}, control=control).verdict is Verdict.PASS


def test_lines_inside_tls_are_called_what_they_are():
    finding = found(EXISTS, facts={"mailbox": {"exists": f"{MARKER}1"}}, layer=TLS)
    assert "before a mailbox was selected" in finding.evidence


def test_texts_at_any_depth():
    assert list(texts({"a": [1, (b"b\xff", None)], "c": {"d": "e"}})) == ["a", "c", "1", "b\ufffd", "d", "e"]


def test_every_key_of_a_mailbox_is_explained():
    assert all(MAILBOX.values())


def test_what_precedes_a_reply_is_said_before_the_command_is_carried_out():
    made = trial(LIST)
    policy = Policy(made.served, [])
    dialogue = Script(Protocol.IMAP).dialogue()
    act = policy.act_on("STARTTLS", b"", dialogue, over_tls=False)
    assert act.carries_out
    assert act.outputs("STARTTLS", b"A1")[0] == e.Deviated("precede", "STARTTLS", LIST + b"\r\n")
    assert policy.act_on("STARTTLS", b"", dialogue, over_tls=True) is None


def test_the_address_of_a_decoy_is_put_in_everywhere():
    made = (Greet(data=b"* BYE {decoy} or {decoy host} {tag}\r\n"),)
    (greet,) = pointed(made, "decoy.example.test", 143)
    assert fill(greet.data) == b"* BYE decoy.example.test:143 or decoy.example.test *\r\n"


TWICE = (Answer(verb="EHLO", reply=b"250 one\r\n250 two\r\n"),)
ANSWERED = (CLEAR, e.Deviated("answer", "EHLO", TWICE[0].reply))
INSIDE = [(CLEAR, e.HandshakeEnded(HandshakeOutcome.COMPLETED, "1.3")), (TLS, e.Command("EHLO", b"x", "EHLO x"))]


def login(mechanism):
    return (TLS, e.Command("AUTH", mechanism.encode(), f"AUTH {mechanism}"))


@pytest.mark.parametrize(
    ("session", "verdict"),
    [
        ([ANSWERED], Verdict.PASS),
        ([], Verdict.INCONCLUSIVE),
        ([ANSWERED, *INSIDE, login("LOGIN")], Verdict.PASS),
        ([ANSWERED, *INSIDE, login("PLAIN")], Verdict.VIOLATION),
    ],
)
def test_a_second_answer_in_clear_is_forgotten_or_ends_the_session(session, verdict):
    control = recorded([*INSIDE, login("LOGIN")])
    made = recorded(session, control=control, deviations=TWICE, auth=AuthPolicy(mechanisms=("LOGIN",)))
    assert RULES["discard-pretls-state"].check(made).verdict is verdict
