"""Draws from a table of cases, each with a weight and a name. Hypothesis' statistics show the names.

The first case of a table is the simplest secure one: what Hypothesis shrinks towards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from hypothesis import event
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


@st.composite
def _drawn(draw: st.DrawFn, of: str, cases: tuple[tuple[str, st.SearchStrategy[T]], ...]) -> T:
    name, strategy = draw(st.sampled_from(cases))
    value = draw(strategy)
    # Hypothesis prefers the example with fewer choices: a constant would win over a first case that has two of them.
    if name != cases[0][0]:
        draw(st.booleans())
    event(f"{of}: {name}")
    return value


def mix(of: str, *cases: tuple[int, str, st.SearchStrategy[T]]) -> st.SearchStrategy[T]:
    """Return a strategy that draws a case first, then a value of it.

    Args:
        of: The name of the strategy, under which ``--hypothesis-show-statistics`` counts the cases.
        cases: Rows of weight, name and strategy; the simplest secure one first. One with weight 0 is left out.

    Examples:
        >>> from hypothesis import find
        >>> find(mix("ports", (2, "submissions", st.just(465)), (1, "any", st.integers(1, 65535))), lambda port: True)
        465
    """
    dealt = tuple((name, strategy) for weight, name, strategy in cases for _ in range(weight))
    # composite takes the type of its arguments for free, not for checked.
    return cast("st.SearchStrategy[T]", _drawn(of, dealt))


def one(values: Iterable[T]) -> st.SearchStrategy[T]:
    """Return a strategy of these values; the first is the simplest."""
    return st.sampled_from(tuple(values))
