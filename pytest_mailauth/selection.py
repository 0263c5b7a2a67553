"""Property tests of the logic that chooses port and TLS mode: the documented table, its laws, and their checker."""

from __future__ import annotations

from pytest_mailauth.judge.selection.check import Checked, LawBroken, check_selection
from pytest_mailauth.judge.selection.laws import LAWS, Law
from pytest_mailauth.judge.selection.questions import NotAsked
from pytest_mailauth.judge.selection.situation import Attempted, Choice, Failure, Service, Situation
from pytest_mailauth.judge.selection.table import COLUMNS, MODES, TABLE, Row, plan_for, rows_for

__all__ = [
    "COLUMNS",
    "LAWS",
    "MODES",
    "TABLE",
    "Attempted",
    "Checked",
    "Choice",
    "Failure",
    "Law",
    "LawBroken",
    "NotAsked",
    "Row",
    "Service",
    "Situation",
    "check_selection",
    "plan_for",
    "rows_for",
]
