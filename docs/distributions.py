"""The strategies of ``pytest_mailauth.strategies`` as a table, as their docstrings describe them."""

from __future__ import annotations

import inspect
import re
from typing import Final

from registries import code, prose, table

from pytest_mailauth import strategies

_CASE: Final = re.compile(r"^ +(\d+/\d+) ([^:\n]+): (.*)\.$", re.MULTILINE)
_SIMPLEST: Final = re.compile(r"^Shrinks to: (.*)\.$", re.MULTILINE)


def distributions() -> str:
    """Return every strategy with its cases, their shares, and what it shrinks to."""
    rows = []
    for name in sorted(name for name in strategies.__all__ if name.islower()):
        text = inspect.cleandoc(getattr(strategies, name).__doc__)
        cases = "<br>".join(f"{share} **{case}**: {prose(told)}" for share, case, told in _CASE.findall(text))
        rows.append((code(name), cases, prose(_SIMPLEST.findall(text)[0])))
    return table(("Strategy", "Cases, with their shares", "Shrinks to"), rows)
