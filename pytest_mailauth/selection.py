"""Property tests of the logic that chooses port and TLS mode: the documented table, its laws, and their checker."""

from __future__ import annotations

from pytest_mailauth.judge.selection.check import Checked, LawBroken, check_selection
from pytest_mailauth.judge.selection.laws import LAWS, Law
from pytest_mailauth.judge.selection.planlaws import PLAN_LAWS
from pytest_mailauth.judge.selection.plans import PlanBroken, PlanChecked, check_connection_plan
from pytest_mailauth.judge.selection.questions import NotAsked
from pytest_mailauth.judge.selection.situation import Attempted, Choice, Failure, Service, Situation
from pytest_mailauth.judge.selection.table import COLUMNS, MODES, TABLE, Row, plan_for, rows_for

__all__ = [
    "COLUMNS",
    "LAWS",
    "MODES",
    "PLAN_LAWS",
    "TABLE",
    "Attempted",
    "Checked",
    "Choice",
    "Failure",
    "Law",
    "LawBroken",
    "NotAsked",
    "PlanBroken",
    "PlanChecked",
    "Row",
    "Service",
    "Situation",
    "check_connection_plan",
    "check_selection",
    "plan_for",
    "rows_for",
]
