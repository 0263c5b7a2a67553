"""`orderly-close` on records: what a client may say of a message that was cut off."""

import pytest
from recorded_trials import TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.terms import Protocol, Verdict
from pytest_mailauth.model.trial import Outcome

CHECK = RULES["orderly-close"].check
CUT = (TLS, e.Deviated("broken off", "RETR", b"half"))


def finding(*sessions, protocol=Protocol.POP3, **outcome):
    return CHECK(recorded(*sessions, protocol=protocol, outcome=Outcome(**outcome)))


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        ({"facts": {"messages": ["half"]}}, Verdict.VIOLATION),
        ({"facts": {"messages": []}}, Verdict.PASS),
        ({"facts": {"messages": "half"}}, Verdict.VIOLATION),
        ({"facts": {"sent": ["bob@example.test"]}}, Verdict.VIOLATION),
        ({"facts": {"sent": []}, "error": "lost"}, Verdict.PASS),
        ({"error": "the connection was lost"}, Verdict.PASS),
        ({}, Verdict.NOT_APPLICABLE),
    ],
)
def test_what_is_reported_of_half_a_message_is_judged(outcome, verdict):
    assert finding([CUT], **outcome).verdict is verdict


def test_a_message_that_was_cut_off_is_not_deleted():
    deleted = (TLS, e.Command("DELE", b"1", "DELE 1"))
    assert (
        finding([CUT], [(TLS, e.Received(b"DELE 1\r\n")), deleted], facts={"messages": []}).verdict is Verdict.VIOLATION
    )
    assert finding([deleted, CUT], facts={"messages": []}).verdict is Verdict.PASS


def test_where_nothing_was_cut_off_nothing_is_known():
    assert finding([], facts={"messages": ["half"]}).verdict is Verdict.INCONCLUSIVE


def test_a_client_is_told_what_it_may_report():
    assert "case.report(sent=" in finding([CUT], protocol=Protocol.SMTP).evidence
    assert "case.report(messages=" in finding([CUT], protocol=Protocol.IMAP).evidence
