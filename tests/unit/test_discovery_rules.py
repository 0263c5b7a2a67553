"""The rule about what a client finds out by itself, asked about records that change and configuration files."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_trials import PASSWORD, TLS, attempted, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.terms import Verdict
from pytest_mailauth.model.trial import Earlier, Outcome

DOMAIN = "example.test"
SAVED, MOVED = "mail.example.test", "moved.example.test"
LOOKED = ((TLS, e.Opened("127.0.0.1:40000")),)
LOGGED_IN = (
    *LOOKED,
    (TLS, e.Received(PASSWORD.encode())),
    (TLS, e.Authentication("PLAIN", "u", Secret(PASSWORD), accepted=True)),
)


def came(*visits, host=SAVED, said=None, **seen):
    """Return the trial of a client that made these visits, each a name and what was observed there."""
    made = recorded(*(session for _, session in visits), host=host, outcome=Outcome(error=said))
    attempts = tuple(
        attempted(number, 465, name=name, session=session)
        for number, ((name, _), session) in enumerate(zip(visits, made.sessions, strict=True), start=1)
    )
    return replace(made, attempts=attempts, domain=DOMAIN, in_network=True, **seen)


def asked(trial):
    return RULES["discovery-keeps-floor"].check(trial)


# Records that change between two connections.

ONE = came((SAVED, LOGGED_IN))


@pytest.mark.parametrize(
    ("visits", "usual", "verdict"),
    [
        (((SAVED, LOGGED_IN), (SAVED, LOGGED_IN)), ONE, Verdict.PASS),
        (((SAVED, LOGGED_IN), (MOVED, LOGGED_IN)), ONE, Verdict.VIOLATION),
        (((SAVED, LOGGED_IN), (MOVED, LOOKED)), ONE, Verdict.VIOLATION),
        (((SAVED, LOGGED_IN), (MOVED, LOOKED), (SAVED, LOGGED_IN)), ONE, Verdict.VIOLATION),
        # One connection for both, or for one: nothing shows where another would have gone.
        (((SAVED, LOGGED_IN),), ONE, Verdict.INCONCLUSIVE),
        (((SAVED, LOGGED_IN), (SAVED, LOOKED)), ONE, Verdict.INCONCLUSIVE),
        # Each transfer of this client takes two.
        (((SAVED, LOGGED_IN),) * 2, came((SAVED, LOGGED_IN), (SAVED, LOGGED_IN)), Verdict.INCONCLUSIVE),
        (((SAVED, LOGGED_IN),) * 3, came((SAVED, LOGGED_IN), (SAVED, LOGGED_IN)), Verdict.PASS),
        (((SAVED, LOGGED_IN),) * 2, None, Verdict.INCONCLUSIVE),
        ((), ONE, Verdict.INCONCLUSIVE),
    ],
)
def test_a_server_that_was_found_is_kept(visits, usual, verdict):
    trial = came(*visits, control=usual, earlier=Earlier(records_change=True), moved_to=MOVED)
    assert asked(trial).verdict is verdict


def test_a_client_of_one_transfer_is_not_judged_by_what_the_next_would_do():
    finding = asked(came((SAVED, LOGGED_IN), control=ONE, moved_to=MOVED))
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert "case.earlier" in finding.evidence
