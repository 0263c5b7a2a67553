"""Profiles and versions: what is asked of a client is what was chosen, and no more."""

from __future__ import annotations

import pytest

from pytest_mailauth.judge import ruleset
from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.ruleset import EVERYTHING, PROFILES, VERSIONS, RuleSet, chosen
from pytest_mailauth.judge.scenarios import SCENARIOS
from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Verdict
from pytest_mailauth.model.trial import Finding

ADVICE = Finding(Verdict.NOTE, "not as it should be", should=True)


def scenario(profile="core", since=VERSIONS[0]):
    return Scenario(
        name="x", family="A", summary="x", rules=("control",), severity="low", sources=(), profile=profile, since=since
    )


@pytest.mark.parametrize(
    ("profile", "had"),
    [
        ("core", ["core"]),
        ("full", ["core", "full"]),
        ("extended", ["core", "full", "extended"]),
        ("strict", ["core", "full"]),
        ("core,strict", ["core"]),
        ("strict, extended", ["core", "full", "extended"]),
    ],
)
def test_a_profile_holds_the_smaller_ones(profile, had):
    assert [size for size in PROFILES if RuleSet(profile).has(scenario(size))] == had


def test_a_should_counts_under_strict_alone():
    assert RuleSet("strict").weighed(ADVICE).verdict is Verdict.VIOLATION
    assert RuleSet("core,strict").weighed(ADVICE).evidence == ADVICE.evidence
    for profile in PROFILES:
        assert RuleSet(profile).weighed(ADVICE) is ADVICE
    allowed = Finding(Verdict.NOTE, "as it may be")
    assert RuleSet("strict").weighed(allowed) is allowed


def test_a_version_holds_what_came_with_it_or_before(monkeypatch):
    monkeypatch.setattr(ruleset, "VERSIONS", ("2026.1", "2027.1"))
    later = RULES["control"].__class__(**{**vars(RULES["control"]), "since": "2027.1"})
    monkeypatch.setitem(RULES, "control", later)
    old, new = RuleSet(rules="2026.1"), RuleSet(rules="2027.1")
    assert (old.asks("control"), new.asks("control")) == (False, True)
    assert (old.has(scenario(since="2027.1")), new.has(scenario(since="2027.1"))) == (False, True)
    assert old.has(scenario())


@pytest.mark.parametrize("profile", ["", "huge", "core,full", "strict,strict", "core;strict"])
def test_an_unknown_profile_is_refused_with_those_there_are(profile):
    with pytest.raises(ConfigError, match="use one of core, full, extended, strict"):
        RuleSet(profile)


def test_an_unknown_version_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"rules=.1999\.1. is not known; use one of 2026\.1"):
        RuleSet(rules="1999.1")


def test_what_is_named_is_run_whatever_its_profile():
    assert chosen(None, None) == RuleSet("core")
    assert chosen("core", None, by_name=True).has(scenario("extended"))
    assert chosen("strict", "2026.1", by_name=True) == RuleSet("extended,strict", "2026.1")


def test_every_rule_and_scenario_is_of_a_version_and_a_profile():
    assert {rule.since for rule in RULES.values()} <= set(VERSIONS)
    assert {row.since for row in SCENARIOS.values()} <= set(VERSIONS)
    assert {row.profile for row in SCENARIOS.values()} <= set(PROFILES)
    assert all(EVERYTHING.has(row) for row in SCENARIOS.values())
    # A scenario cannot come before a rule that looks at it.
    assert all(RULES[name].since <= row.since for row in SCENARIOS.values() for name in row.rules)
