"""What the rule about bounds makes of a record."""

from __future__ import annotations

import pytest
from recorded_trials import CLEAR, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.verdict import judge
from pytest_mailauth.model import events as e
from pytest_mailauth.model.floods import Flood, Trickle
from pytest_mailauth.model.terms import Verdict
from pytest_mailauth.model.trial import Outcome

PASS, VIOLATION, INCONCLUSIVE = Verdict.PASS, Verdict.VIOLATION, Verdict.INCONCLUSIVE
RULE = "bounded-resources"
OPENED = (CLEAR, e.Opened("127.0.0.1:1"))
ENDLESS = {"deviations": (Flood(verb="", piece=b"220-x\r\n"),)}
TRICKLING = {"deviations": (Trickle(pause=0.5, most=20),)}
GAVE_UP = Outcome(error="ProtocolError: an answer without end")


def judged(*facts, outcome=None, **served):
    return RULES[RULE].check(recorded([OPENED, *facts], outcome=outcome, **served)).verdict


def test_a_flood_that_was_taken_is_a_violation_whatever_is_said():
    taken = (CLEAR, e.Deviated("flood taken", "", b""))
    assert judged(taken, outcome=GAVE_UP, **ENDLESS) is VIOLATION
    assert judged(outcome=GAVE_UP, **ENDLESS) is PASS
    assert judged(**ENDLESS) is INCONCLUSIVE
    assert judged(outcome=Outcome(hung=True), **ENDLESS) is INCONCLUSIVE
    assert judged(taken, outcome=Outcome(hung=True), **ENDLESS) is VIOLATION
    assert RULES[RULE].check(recorded()).verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ([(TLS, e.Command("CAPA", b"", "CAPA"))], PASS),
        ([(CLEAR, e.Command("CAPA", b"", "CAPA"))], Verdict.NOT_APPLICABLE),
        ([(TLS, e.Command("USER", b"x", "USER x"))], Verdict.NOT_APPLICABLE),
        ([], Verdict.NOT_APPLICABLE),
    ],
)
def test_a_flood_that_nobody_asked_for_shows_nothing(facts, verdict):
    flood = Flood(verb="CAPA", piece=b"x\r\n")
    assert judged(*facts, outcome=GAVE_UP, deviations=(flood,)) is verdict


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("RecursionError: maximum recursion depth exceeded", VIOLATION),
        ("KeyError: 'AUTH'", VIOLATION),
        ("killed by signal 11", VIOLATION),
        ("exit status 139", VIOLATION),
        ("NoMechanism: the server offers no way to log in", PASS),
        ("exit status 1: no such mechanism", PASS),
        (None, PASS),
    ],
)
def test_falling_over_is_a_violation_and_giving_up_is_not(said, verdict):
    assert judged(outcome=Outcome(error=said)) is verdict


@pytest.mark.parametrize(("times", "verdict"), [(2, PASS), (10, PASS), (11, VIOLATION)])
def test_asking_for_ever_is_a_violation(times, verdict):
    asked = (TLS, e.Command("CAPABILITY", b"", "CAPABILITY", b"A1"))
    assert judged(*[asked] * times, outcome=Outcome(error="gave up")) is verdict


def test_who_leaves_a_greeting_without_end_need_not_close_in_good_order():
    greeted = [OPENED, (CLEAR, e.Sent(b"220-x\r\n")), (CLEAR, e.Closed("client", "reset"))]
    (found,) = judge(recorded(greeted, outcome=GAVE_UP, **ENDLESS), (RULE,))
    assert found.finding.verdict is PASS
    (found,) = judge(recorded(greeted, outcome=GAVE_UP), (RULE,))
    assert found.finding.verdict is INCONCLUSIVE


def byte_by_byte(text):
    return [(CLEAR, e.Sent(bytes((byte,)))) for byte in text]


OVER = (CLEAR, e.Deviated("trickle over", "", b""))
LEFT, RESET = (CLEAR, e.Closed("client", "close")), (CLEAR, e.Closed("client", "reset"))
CUT_OFF = (CLEAR, e.Closed("server", "abort"))


@pytest.mark.parametrize(
    ("facts", "outcome", "verdict"),
    [
        ([*byte_by_byte(b"220 m"), LEFT], GAVE_UP, PASS),
        ([*byte_by_byte(b"220 m"), RESET], GAVE_UP, PASS),
        ([*byte_by_byte(b"220 m"), LEFT], None, INCONCLUSIVE),
        ([*byte_by_byte(b"2"), LEFT], GAVE_UP, INCONCLUSIVE),
        ([LEFT], GAVE_UP, INCONCLUSIVE),
        ([*byte_by_byte(b"220 m"), OVER, LEFT], GAVE_UP, VIOLATION),
        ([*byte_by_byte(b"220 m"), OVER, LEFT], None, VIOLATION),
        # Who has no limit at all outstays the silence, too, and another rule is about that.
        ([*byte_by_byte(b"220 m"), OVER, CUT_OFF], Outcome(hung=True), INCONCLUSIVE),
        ([*byte_by_byte(b"220 m"), CUT_OFF], Outcome(hung=True), INCONCLUSIVE),
    ],
)
def test_a_reply_that_trickles_has_to_be_given_up_as_a_whole(facts, outcome, verdict):
    (found,) = judge(recorded([OPENED, *facts], outcome=outcome, **TRICKLING), (RULE,))
    assert found.finding.verdict is verdict


def test_the_evidence_says_how_long_a_reply_trickled():
    found = RULES[RULE].check(recorded([OPENED, OVER, LEFT], outcome=GAVE_UP, **TRICKLING))
    assert "10.0 s, 5 times its time-out" in found.evidence
