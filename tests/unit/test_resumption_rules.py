"""A transfer to another name of the same server, on records: what is judged is that the client went on there."""

from dataclasses import replace

import pytest
from recorded_trials import CLEAR, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.terms import HandshakeOutcome, Verdict
from pytest_mailauth.model.trial import Earlier, Outcome

CHECK = RULES["verify-hostname"].check


def session(name, *said, extensions=(), alert=None):
    outcome = HandshakeOutcome.COMPLETED if alert is None else HandshakeOutcome.CLIENT_ALERT
    return [
        (CLEAR, e.HelloSeen(ClientHello("1.2", server_name=name, extensions=extensions))),
        (CLEAR, e.HandshakeEnded(outcome, alert=alert)),
        *((TLS, e.Command(verb, b"", verb)) for verb in said),
        (CLEAR, e.Closed("client", "close")),
    ]


LOGIN = (TLS, e.Authentication("PLAIN", "alice", Secret("x"), accepted=True))
FIRST = [*session("localhost", "EHLO", "AUTH", "MAIL", "QUIT")[:-1], LOGIN]


def twice_logged_in(*sessions):
    """Return a trial with two transfers, one after the other, to two names."""
    trial = recorded(*sessions)
    later = (
        replace(one, entries=tuple(x._replace(at=x.at + 100 * number) for x in one.entries))
        for number, one in enumerate(trial.sessions)
    )
    return replace(trial, sessions=tuple(later), earlier=Earlier(other_host=True))


def finding(*sessions):
    return CHECK(twice_logged_in(*sessions))


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        (session("elsewhere.test", "EHLO", "AUTH", "MAIL", extensions=(41,)), Verdict.VIOLATION),
        (session("elsewhere.test", "EHLO", "AUTH", "MAIL"), Verdict.VIOLATION),
        (session(None, "AUTH", "MAIL"), Verdict.VIOLATION),
        (session("elsewhere.test", alert="bad_certificate"), Verdict.PASS),
        (session("elsewhere.test", "QUIT"), Verdict.PASS),
        (session("elsewhere.test")[:-1], Verdict.INCONCLUSIVE),
    ],
)
def test_the_second_name_gets_no_credentials(second, verdict):
    assert finding(FIRST, second).verdict is verdict


def test_who_leaves_after_the_login_checks_too_late():
    second = session("elsewhere.test", "EHLO", "AUTH")
    second.insert(-1, LOGIN)
    trial = twice_logged_in(FIRST, second)
    assert CHECK(trial).verdict is Verdict.NOT_APPLICABLE
    assert RULES["verify-before-credentials"].check(trial).verdict is Verdict.VIOLATION
    went_on = twice_logged_in(FIRST, session("elsewhere.test", "MAIL"))
    assert RULES["verify-before-credentials"].check(went_on).verdict is Verdict.NOT_APPLICABLE


def test_how_it_came_about_is_said():
    assert "it resumed" in finding(FIRST, session("a.test", "AUTH", extensions=(41,))).evidence
    assert "a full handshake" in finding(FIRST, session("a.test", "AUTH")).evidence


def test_without_a_second_transfer_nothing_is_known():
    assert finding(FIRST).verdict is Verdict.INCONCLUSIVE
    assert finding(session("other.test", "EHLO"), session("elsewhere.test", "MAIL")).verdict is Verdict.INCONCLUSIVE


def test_a_wrong_name_in_the_first_hello_is_another_matter():
    first = [*session("other.test", "EHLO", "AUTH", "MAIL")[:-1], LOGIN]
    assert finding(first, session("elsewhere.test", alert="bad_certificate")).verdict is Verdict.PASS


EARLY = RULES["no-early-data"].check


def twice(*sessions, version="1.3", earlier=Earlier(), error=None):  # noqa: B008 - it is frozen
    first = [
        (CLEAR, e.HelloSeen(ClientHello("1.2", server_name="localhost"))),
        (CLEAR, e.HandshakeEnded(HandshakeOutcome.COMPLETED, version)),
        (TLS, e.Received(b"EHLO x\r\n")),
    ]
    return EARLY(replace(recorded(first, *sessions, outcome=Outcome(error=error)), earlier=earlier))


def test_early_data_is_never_announced():
    assert twice(session("localhost", extensions=(42, 41))).verdict is Verdict.VIOLATION
    assert twice(session("localhost", extensions=(41,))).verdict is Verdict.PASS
    assert "asked to resume" in twice(session("localhost", extensions=(41,))).evidence
    assert "a full handshake" in twice(session("localhost")).evidence


def test_where_no_ticket_can_have_been_used_nothing_is_known():
    assert twice().verdict is Verdict.NOT_APPLICABLE
    assert twice(error="lost").verdict is Verdict.INCONCLUSIVE
    assert EARLY(replace(recorded(), earlier=Earlier())).verdict is Verdict.INCONCLUSIVE
    assert twice(session("localhost"), version="1.2").verdict is Verdict.NOT_APPLICABLE
    assert twice(session("localhost"), earlier=None).verdict is Verdict.NOT_APPLICABLE
