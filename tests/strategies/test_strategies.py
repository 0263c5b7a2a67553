"""Every strategy deals its cases as its docstring says, shrinks to the simplest secure one, and reaches the rest."""

from __future__ import annotations

import functools

import pytest
from drawing import dealt, documented, drawn
from hypothesis import find
from interesting import INTERESTING, SIMPLEST

from pytest_mailauth import strategies

NAMES = [name for name in strategies.__all__ if name.islower()]
"""The strategies; the classes of what is drawn have other names."""
ENOUGH = 500
"""Within so many examples everything interesting has been there."""


@functools.cache
def drawn_by(name):
    """Return what a strategy draws, asked with nothing."""
    return drawn(getattr(strategies, name)(), ENOUGH)


@pytest.mark.parametrize("name", NAMES)
def test_cases_are_dealt_as_documented(name):
    strategy = getattr(strategies, name)
    assert dealt(strategy, name) == documented(strategy)


@pytest.mark.parametrize("name", NAMES)
def test_every_case_comes_and_is_counted(name):
    strategy = getattr(strategies, name)
    counted = drawn_by(name).counted
    assert {text for text in counted if text.startswith(f"{name}: ")} == {
        f"{name}: {case}" for case in documented(strategy)
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_simplest_is_secure(name):
    found = find(getattr(strategies, name)(), lambda _: True)
    assert found == SIMPLEST[name]
    assert "Shrinks to: " in getattr(strategies, name).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_what_is_interesting_is_reached(name):
    values = drawn_by(name).values
    missing = [what for what, holds in INTERESTING[name].items() if not any(holds(value) for value in values)]
    assert not missing, missing


def test_every_strategy_has_something_interesting():
    assert set(INTERESTING) == set(SIMPLEST) == set(NAMES)
    assert all(len(cases) >= 3 for cases in INTERESTING.values())
