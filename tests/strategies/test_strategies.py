"""Every strategy deals its cases as its docstring says, shrinks to the simplest secure one, and reaches the rest."""

from __future__ import annotations

import pytest
from drawing import documented, drawn
from hypothesis import find
from interesting import INTERESTING, SIMPLEST

from pytest_mailauth import strategies

NAMES = strategies.__all__
EXAMPLES = 600
ENOUGH = 500
"""Within so many examples everything interesting has been there."""


@pytest.mark.parametrize("name", NAMES)
def test_cases_are_dealt_as_documented(name):
    strategy = getattr(strategies, name)
    shares = documented(strategy)
    assert sum(shares.values()) == 1
    counted = drawn(strategy(), EXAMPLES).counted
    own = {text.partition(": ")[2]: count for text, count in counted.items() if text.startswith(f"{name}: ")}
    assert set(own) == set(shares)
    for case, share in shares.items():
        # Hypothesis builds on what it has drawn before: shares are not met exactly.
        assert share / 3 <= own[case] / sum(own.values()) <= share * 3, case


@pytest.mark.parametrize("name", NAMES)
def test_the_simplest_is_secure(name):
    found = find(getattr(strategies, name)(), lambda _: True)
    assert found == SIMPLEST[name]
    assert "Shrinks to: " in getattr(strategies, name).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_what_is_interesting_is_reached(name):
    values = drawn(getattr(strategies, name)(), ENOUGH).values
    missing = [what for what, holds in INTERESTING[name].items() if not any(holds(value) for value in values)]
    assert not missing, missing


def test_every_strategy_has_something_interesting():
    assert set(INTERESTING) == set(SIMPLEST) == set(NAMES)
    assert all(len(cases) >= 3 for cases in INTERESTING.values())
