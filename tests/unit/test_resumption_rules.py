"""A transfer to another name of the same server, on records: what is judged is that the client went on there."""

from dataclasses import replace

import pytest
from recorded_trials import CLEAR, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.terms import HandshakeOutcome, Verdict
from pytest_mailauth.model.trial import Earlier

CHECK = RULES["verify-before-credentials"].check


def session(name, *said, extensions=(), alert=None):
    outcome = HandshakeOutcome.COMPLETED if alert is None else HandshakeOutcome.CLIENT_ALERT
    return [
        (CLEAR, e.HelloSeen(ClientHello("1.2", server_name=name, extensions=extensions))),
        (CLEAR, e.HandshakeEnded(outcome, alert=alert)),
        *((TLS, e.Command(verb, b"", verb)) for verb in said),
        (CLEAR, e.Closed("client", "close")),
    ]


FIRST = session("localhost", "EHLO", "AUTH", "MAIL", "QUIT")


def finding(*sessions):
    return CHECK(replace(recorded(*sessions), earlier=Earlier(other_host=True)))


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        (session("elsewhere.test", "EHLO", "AUTH", extensions=(41,)), Verdict.VIOLATION),
        (session("elsewhere.test", "EHLO", "AUTH"), Verdict.VIOLATION),
        (session(None, "EHLO", "AUTH"), Verdict.VIOLATION),
        (session("elsewhere.test", alert="bad_certificate"), Verdict.PASS),
        (session("elsewhere.test", "QUIT"), Verdict.PASS),
        (session("elsewhere.test")[:-1], Verdict.INCONCLUSIVE),
    ],
)
def test_the_second_name_gets_no_credentials(second, verdict):
    assert finding(FIRST, second).verdict is verdict


def test_how_it_came_about_is_said():
    assert "it resumed" in finding(FIRST, session("a.test", "AUTH", extensions=(41,))).evidence
    assert "a full handshake" in finding(FIRST, session("a.test", "AUTH")).evidence


def test_without_a_second_transfer_nothing_is_known():
    assert finding(FIRST).verdict is Verdict.INCONCLUSIVE
