"""The judge on trial: every rule flags its faulty client and no other rule does; honest clients are left alone."""

from __future__ import annotations

import re

import pytest
from clients import FAULTY, HONEST
from matrix import broken, matrix

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios import SCENARIOS
from pytest_mailauth.model.terms import Protocol, Verdict

# One worker runs the whole matrix: it is one run, whose waiting happens side by side (--dist loadgroup).
pytestmark = pytest.mark.xdist_group("matrix")

EXCUSED = {
    # It hangs wherever the server falls silent, and a hang is no obedience.
    "no-timeout": lambda scenario: scenario.waits,
    # What it says about a refused port does not show that it tried the port at all.
    "blames-password": lambda scenario: scenario.other_port,
}
"""Where a faulty client cannot be judged by other rules, because of what it does wrong."""

SECRET = re.compile(r"(Pw|Tk)[0-9a-f]{8}")
"""How the password and the token of every trial begin."""

CASES = [
    pytest.param(protocol, name, id=f"{protocol}-{name}")
    for protocol in Protocol
    for name, row in FAULTY.items()
    if protocol in row.protocols
]
ADVICE = {"cert-missing-intermediate", "cert-rsa-1024", "cert-sha1-signature", "cert-cn-only"}
"""Faults that an honest client may accept: accepting them is a NOTE."""
ONE_VERSION = {"tls12-only", "tls13-only"}
"""Not speaking one modern version is a NOTE; see test_other_clients.py."""


@pytest.mark.parametrize(("protocol", "name"), CASES)
def test_a_faulty_client_is_flagged_by_its_rule_and_by_no_other(protocol, name):
    assert list(broken(matrix(protocol)[name])) == [FAULTY[name].rule]


@pytest.mark.parametrize(("protocol", "name"), CASES)
def test_every_verdict_on_a_faulty_client_is_a_decision(protocol, name):
    undecided = {row.setting for row in matrix(protocol)[name] if row.verdict in (Verdict.ERROR, Verdict.INCONCLUSIVE)}
    expected = {setting for setting in undecided if EXCUSED.get(name, lambda _: False)(setting.scenario)}
    assert undecided == expected


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("name", [f"honest {habit}" for habit in HONEST] + ["honest in clear", "honest with a token"])
def test_an_honest_client_passes_everything(protocol, name):
    rows = matrix(protocol)[name]
    assert {row.setting.id: row.verdict.value for row in rows if row.verdict is not Verdict.PASS} == {}
    assert all(judgement.finding.evidence for row in rows for judgement in row.judgements)


@pytest.mark.parametrize("protocol", Protocol)
def test_the_honest_clients_met_every_scenario(protocol):
    met = {
        row.setting.scenario.name
        for name, rows in matrix(protocol).items()
        if name.startswith("honest")
        for row in rows
    }
    assert met == {name for name, scenario in SCENARIOS.items() if protocol in scenario.protocols}


def test_every_rule_has_a_faulty_client():
    assert {row.rule for row in FAULTY.values()} == set(RULES) - {"control"}


def test_every_scenario_has_a_faulty_client_that_it_flags():
    by_verdict = {verdict: set() for verdict in Verdict}
    for protocol in Protocol:
        for name in FAULTY:
            for row in matrix(protocol).get(name, ()):
                for judgement in row.judgements:
                    # The safety net does not count: the scenario's own rule has to see it.
                    if judgement.rule in row.setting.scenario.rules:
                        by_verdict[judgement.finding.verdict].add(row.setting.scenario.name)
    controls = {name for name, scenario in SCENARIOS.items() if scenario.rules == ("control",)}
    assert set(SCENARIOS) - by_verdict[Verdict.VIOLATION] - controls == ADVICE | ONE_VERSION
    assert by_verdict[Verdict.NOTE] >= ADVICE - {"cert-cn-only"}


@pytest.mark.parametrize("protocol", Protocol)
def test_no_transcript_or_evidence_shows_a_password(protocol):
    for rows in matrix(protocol).values():
        for row in rows:
            shown = row.transcript + "".join(judgement.finding.evidence for judgement in row.judgements)
            assert not SECRET.search(shown)
