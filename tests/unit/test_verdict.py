"""From findings to the verdict of a row: which run speaks, what silence is worth, and what becomes of our own faults."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from recorded_trials import ACCOUNT, CLEAR, PASSWORD, TLS, recorded, trials

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.rules.evidence import leak
from pytest_mailauth.judge.verdict import Judgement, combine, judge
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.terms import Protocol, Verdict
from pytest_mailauth.model.trial import Finding, Outcome

PASS, VIOLATION, INCONCLUSIVE, ERROR = Verdict.PASS, Verdict.VIOLATION, Verdict.INCONCLUSIVE, Verdict.ERROR


def runs(*verdicts):
    return [(Judgement("discard-pretls-bytes", Finding(verdict, f"run {n}")),) for n, verdict in enumerate(verdicts)]


@pytest.mark.parametrize(
    ("verdicts", "speaks", "evidence"),
    [
        ((VIOLATION,), VIOLATION, "run 0"),
        ((PASS, PASS, PASS), PASS, "run 0"),
        ((PASS, VIOLATION, PASS), VIOLATION, "run 1 (1 of 3 runs)"),
        ((PASS, VIOLATION, VIOLATION), VIOLATION, "run 1 (2 of 3 runs)"),
        ((INCONCLUSIVE, PASS, PASS), INCONCLUSIVE, "run 0 (1 of 3 runs)"),
        ((PASS, VIOLATION, ERROR), ERROR, "run 2 (1 of 3 runs)"),
    ],
)
def test_of_several_runs_the_worst_speaks_and_the_share_is_said(verdicts, speaks, evidence):
    assert combine(runs(*verdicts)) == (Judgement("discard-pretls-bytes", Finding(speaks, evidence)),)


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(trials())
def test_no_rule_raises_whatever_the_record_holds(trial):
    for rule in RULES.values():
        assert rule.check(trial).evidence


def test_a_rule_that_raises_is_an_error_of_its_row(monkeypatch):
    def fails(trial):
        raise ValueError(trial.account.secrets["password"])

    broken = dataclasses.replace(RULES["tls12-or-newer"], check=fails)
    monkeypatch.setitem(RULES, "tls12-or-newer", broken)
    (judgement,) = judge(recorded(), ("tls12-or-newer",))
    assert judgement.finding.verdict is ERROR
    assert judgement.finding.evidence.startswith("the rule failed inside: ValueError at test_verdict.py:")
    assert PASSWORD not in judgement.finding.evidence


def test_a_rule_that_raises_hides_no_leak(monkeypatch):
    broken = dataclasses.replace(RULES["tls12-or-newer"], check=lambda _trial: next(iter(())))
    monkeypatch.setitem(RULES, "tls12-or-newer", broken)
    trial = recorded([(CLEAR, e.Received(PASSWORD.encode()))])
    found = [(j.rule, j.finding.verdict) for j in judge(trial, ("tls12-or-newer",))]
    assert found == [("tls12-or-newer", ERROR), ("no-cleartext-credentials", VIOLATION)]


@pytest.mark.parametrize("layer", [CLEAR, TLS])
def test_a_password_that_only_the_parser_saw_is_our_contradiction(layer):
    seen = e.Authentication("PLAIN", ACCOUNT.username, Secret(PASSWORD), accepted=True)
    finding = leak(recorded([(layer, e.Received(b"AUTH PLAIN AGFsaWNl\r\n")), (layer, seen)]), layer)
    assert finding.verdict is ERROR
    assert finding.evidence.startswith("session 1 on the main port: the parser saw the password")
    assert PASSWORD not in finding.evidence


GREETING = (CLEAR, e.Sent(b"* PREAUTH ready\r\n"))
LEFT = (CLEAR, e.Closed("client", "close"))
RESET = (CLEAR, e.Closed("client", "reset"))
LOGOUT = [(CLEAR, e.Received(b"a LOGOUT\r\n")), (CLEAR, e.Command("LOGOUT", b"", "a LOGOUT", b"a"))]
REPORTED = Outcome(error="ProtocolError: logged in before TLS")


@pytest.mark.parametrize(
    ("session", "outcome", "verdict"),
    [
        ([GREETING, LEFT], Outcome(), INCONCLUSIVE),
        ([GREETING, LEFT], REPORTED, PASS),
        ([GREETING, LEFT], Outcome(facts={"error": "no TLS"}), PASS),
        ([GREETING, LEFT], Outcome(error="no TLS", facts={"error": None}), INCONCLUSIVE),
        ([GREETING, RESET], REPORTED, INCONCLUSIVE),
        ([GREETING, *LOGOUT, LEFT], Outcome(), PASS),
        ([GREETING, *LOGOUT, RESET], Outcome(), PASS),
    ],
)
def test_silence_is_obedience_only_of_one_who_can_have_read(session, outcome, verdict):
    trial = recorded([(CLEAR, e.Opened("x")), *session], protocol=Protocol.IMAP, outcome=outcome)
    assert judge(trial, ("preauth-ends-required-starttls",))[0].finding.verdict is verdict


def test_one_connection_that_was_read_speaks_for_the_others():
    trial = recorded([GREETING, RESET], [GREETING, *LOGOUT, LEFT], protocol=Protocol.IMAP)
    assert judge(trial, ("preauth-ends-required-starttls",))[0].finding.verdict is PASS


def test_where_nobody_was_greeted_nothing_had_to_be_read():
    trial = recorded(
        [
            (CLEAR, e.Opened("x")),
            (CLEAR, e.Deviated("port state reset", "", b"")),
            (CLEAR, e.Closed("server", "reset")),
        ],
        outcome=Outcome(error="localhost:25: connection reset"),
        port_state="reset",
    )
    trial = dataclasses.replace(trial, ports=(25,))
    assert judge(trial, ("blocked-port-diagnosed",))[0].finding.verdict is PASS
