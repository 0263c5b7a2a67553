"""What the rules about submission make of refused recipients, and of logins that come too early or twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_trials import ACCOUNT, CLEAR, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.terms import Protocol, Verdict
from pytest_mailauth.model.trial import Outcome

PASS, NOTE, VIOLATION, INCONCLUSIVE = Verdict.PASS, Verdict.NOTE, Verdict.VIOLATION, Verdict.INCONCLUSIVE
NOT_APPLICABLE = Verdict.NOT_APPLICABLE
OPENED = (CLEAR, e.Opened("127.0.0.1:1"))
TOLD = {"recipients": ("bob@example.test", "eve@example.test")}
REPORTED = Outcome(error="OperationFailed: recipient eve@example.test refused: 550 no such user")
BLAMES = Outcome(error="LoginFailed: authentication failed: check user name and password")


def rcpt(address, reply):
    argument = f"TO:<{address}>".encode()
    return [(TLS, e.Command("RCPT", argument, f"RCPT TO:<{address}>")), (TLS, e.Sent(reply))]


LOGIN = [(TLS, e.Authentication("PLAIN", ACCOUNT.username, Secret("x"), accepted=True))]
GOOD = rcpt("bob@example.test", b"250 fine\r\n")
BAD = rcpt("eve@EXAMPLE.test", b"550 5.1.1 no\r\n")


def judged(rule, *facts, protocol=Protocol.SMTP, outcome=None):
    trial = recorded([OPENED, *facts], protocol=protocol, outcome=outcome)
    return RULES[rule].check(replace(trial, tells=TOLD)).verdict


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (Outcome(facts={"sent": ["bob@example.test", "eve@example.test"]}), VIOLATION),
        (Outcome(error="failed", facts={"sent": ["eve@example.test"]}), VIOLATION),
        (Outcome(facts={"sent": ["bob@example.test"]}), PASS),
        (REPORTED, PASS),
        (Outcome(), NOT_APPLICABLE),
    ],
)
def test_a_refused_recipient_is_reported(outcome, verdict):
    assert judged("report-rejected-recipients", *GOOD, *BAD, outcome=outcome) is verdict


def test_without_a_refusal_nothing_is_known():
    assert judged("report-rejected-recipients", *GOOD, outcome=REPORTED) is INCONCLUSIVE
    assert judged("no-open-relay-reliance", *GOOD) is INCONCLUSIVE
    assert RULES["no-open-relay-reliance"].check(recorded()).verdict is INCONCLUSIVE
    assert judged("no-open-relay-reliance", protocol=Protocol.IMAP) is NOT_APPLICABLE


@pytest.mark.parametrize(("outcome", "verdict"), [(REPORTED, PASS), (BLAMES, VIOLATION), (Outcome(), NOT_APPLICABLE)])
def test_a_refusal_to_relay_is_no_wrong_password(outcome, verdict):
    assert judged("no-open-relay-reliance", *LOGIN, *BAD, outcome=outcome) is verdict


def test_who_logged_in_and_was_taken_depends_on_nobody():
    stored = (TLS, e.Stored(10, ("bob@example.test",)))
    assert judged("no-open-relay-reliance", *LOGIN, *GOOD, stored) is PASS
    assert judged("no-open-relay-reliance", *GOOD, stored) is INCONCLUSIVE


def test_a_second_login_is_noted_and_mail_before_the_first_is_worse():
    rule = "authenticate-before-submission"
    auth = (TLS, e.Command("AUTH", b"PLAIN x", "AUTH PLAIN"))
    mail = (TLS, e.Command("MAIL", b"FROM:<a@b>", "MAIL FROM:<a@b>"))
    assert judged(rule, auth, *LOGIN, mail) is PASS
    assert judged(rule, auth, *LOGIN, auth, mail) is NOTE
    assert judged(rule, mail, auth, *LOGIN, auth) is VIOLATION
