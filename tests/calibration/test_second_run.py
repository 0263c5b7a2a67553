"""What proves nothing is run once more: a busy machine is not the client's fault, and luck is no obedience."""

from __future__ import annotations

import pytest
from clients import Faults, make_client

from pytest_mailauth.judge.clients.client import Client
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration

SCENARIO = "starttls-not-offered"
HONEST, FAULTY = make_client(Protocol.SMTP), make_client(Protocol.SMTP, Faults(clear_when_starttls_missing=True))


def kept_away(_case):
    raise OSError("too busy to connect")


@pytest.mark.parametrize(
    ("runs", "verdict", "number"),
    [
        ((HONEST,), Verdict.PASS, 1),
        ((FAULTY,), Verdict.VIOLATION, 1),
        ((kept_away, HONEST), Verdict.PASS, 2),
        ((kept_away, FAULTY), Verdict.VIOLATION, 2),
        ((kept_away, kept_away), Verdict.INCONCLUSIVE, 2),
    ],
)
def test_a_second_run_decides_what_the_first_did_not(runs, verdict, number):
    calls, told = [], []

    def run(case):
        # The control comes first, and the closing control last.
        turn = len(calls) - 1
        calls.append(case)
        (runs[turn] if 0 <= turn < len(runs) else HONEST)(case)

    client = Client(
        name="moody",
        run=run,
        protocols=(Protocol.SMTP,),
        securities=(Security.STARTTLS,),
        declared=Declaration(timeout=1.0),
    )
    (row,) = Runner([client], select=[SCENARIO], progress=lambda *seen: told.append(seen[:2])).run()
    assert row.verdict is verdict
    assert len(calls) == number + 2
    assert told[-1] == (len(calls), len(calls))


def test_the_closing_control_may_fail_once():
    turns = iter([HONEST, HONEST, kept_away, HONEST])

    def run(case):
        turn = next(turns)
        turn(case)

    client = Client(
        name="moody",
        run=run,
        protocols=(Protocol.SMTP,),
        securities=(Security.STARTTLS,),
        declared=Declaration(timeout=1.0),
    )
    (row,) = Runner([client], select=[SCENARIO]).run()
    assert row.verdict is Verdict.PASS
