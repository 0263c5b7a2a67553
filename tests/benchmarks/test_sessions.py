"""Opening a server, and whole sessions, beside aiosmtpd's Controller and the floor."""

from __future__ import annotations

import pytest
from contenders import CONTROLLER, FLOOR, OURS, SESSIONS
from in_turn import WARM_UP, medians

ROUNDS = 200
OPEN_AND_CLOSE = "open and close"
ACTIONS = (OPEN_AND_CLOSE, *SESSIONS)
CASES = [
    pytest.param(name, who, id=f"{name}: {who}")
    for name in ACTIONS
    for who in (FLOOR, OURS, CONTROLLER)
    if who != CONTROLLER or not name.startswith(("POP3", "IMAP"))
]


def _actions(contenders, name):
    return contenders.open_and_close() if name == OPEN_AND_CLOSE else contenders.sessions[name]


@pytest.mark.parametrize(("name", "who"), CASES)
def test_alone(contenders, benchmark, name, who):
    benchmark.group = name
    benchmark.pedantic(_actions(contenders, name)[who], rounds=ROUNDS, warmup_rounds=WARM_UP)


@pytest.mark.parametrize("name", ACTIONS)
def test_in_turn(contenders, ratios, name):
    ratios[name] = medians(_actions(contenders, name), ROUNDS)
