"""What a strategy draws in a run that is the same every time, counted by the names of its cases."""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction
from typing import NamedTuple

import hypothesis
from hypothesis import Phase, given, settings

from pytest_mailauth.strategies import cases

_CASE = re.compile(r"^ +(\d+)/(\d+) ([^:\n]+): ", re.MULTILINE)


class Drawn(NamedTuple):
    """The values that were drawn, and how often each case was."""

    values: list
    counted: Counter


def drawn(strategy, examples):
    """Draw so many examples. Health checks are on, as they are in a user's test."""
    values, counted = [], Counter()

    def count(text):
        counted[text] += 1
        hypothesis.event(text)

    @settings(max_examples=examples, derandomize=True, database=None, deadline=None, phases=[Phase.generate])
    @given(strategy)
    def draw(value):
        values.append(value)

    real, cases.event = cases.event, count
    try:
        draw()
    finally:
        cases.event = real
    return Drawn(values, counted)


def dealt(make, name):
    """Return the shares that the table of a strategy deals, by the name of the case."""
    tables = {}

    def noting(of, rows):
        tables[of] = Counter(case for case, _ in rows)
        return real(of, rows)

    real, cases._drawn = cases._drawn, noting
    try:
        make()
    finally:
        cases._drawn = real
    return {case: Fraction(weight, tables[name].total()) for case, weight in tables[name].items()}


def documented(strategy):
    """Return the shares that the docstring tells, by the name of the case."""
    return {name: Fraction(int(part), int(whole)) for part, whole, name in _CASE.findall(strategy.__doc__)}
