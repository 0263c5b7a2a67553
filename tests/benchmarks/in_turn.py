"""Measuring in turn, so that a machine whose speed changes changes it for everybody."""

from __future__ import annotations

import statistics
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WARM_UP = 20


def once(action: Callable[[], object]) -> float:
    """Return how long *action* takes, in milliseconds."""
    begin = perf_counter()
    action()
    return (perf_counter() - begin) * 1e3


def medians(actions: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = WARM_UP) -> dict[str, float]:
    """Run each of *actions* in turn, *rounds* times, and return the median of each in milliseconds."""
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for round_ in range(-warm_up, rounds):
        for name, action in actions.items():
            action()  # not measured: a server still tidies up after the contender before
            milliseconds = once(action)
            if round_ >= 0:
                taken[name].append(milliseconds)
    return {name: statistics.median(values) for name, values in taken.items()}
