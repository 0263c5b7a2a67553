"""Causes on the way to a server: nobody was reached. They look at attempts, in the order of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.attempts import Attempt, AttemptOutcome
from pytest_mailauth.model.causes.cause import SMTP_PORTS, Obstacle
from pytest_mailauth.model.terms import RELAY_PORT

if TYPE_CHECKING:
    from collections.abc import Callable

_SILENCE: Final = (AttemptOutcome.TIMEOUT, AttemptOutcome.UNBOUNDED)


def _ended(*outcomes: AttemptOutcome, relay: bool | None = None) -> Callable[[Attempt], str | None]:
    """Return what looks for attempts that ended so; with *relay*, for those to port 25 alone, or for all others."""

    def look(attempt: Attempt) -> str | None:
        fits = attempt.outcome in outcomes and relay in (None, attempt.port == RELAY_PORT)
        return str(attempt) if fits else None

    return look


OBSTACLES: Final = (
    Obstacle(
        "left-loopback",
        "The client tried to reach another machine, and was kept from it",
        "Give the host a name with network.host(...), and let the client use that.",
        (),
        _ended(AttemptOutcome.LEFT_LOOPBACK),
    ),
    Obstacle(
        "unknown-name",
        "The name has no address",
        "Verify that it is the right domain name: sending and reading may need different ones.",
        ("S4", "S8"),
        _ended(AttemptOutcome.UNRESOLVABLE),
    ),
    Obstacle(
        "port-25-blocked",
        "Nothing answered on port 25: your provider may block it",
        "Use port 587 instead.",
        ("S6", "S7", "S11"),
        _ended(*_SILENCE, relay=True),
    ),
    Obstacle(
        "port-blocked",
        "Nothing answered on the port",
        "With the right name and port, ask your provider whether access to the port is restricted.",
        ("S11",),
        _ended(*_SILENCE, relay=False),
    ),
    Obstacle(
        "no-time-out",
        "The client set no time-out, and would have waited as long as the system does",
        "Set a time-out on connecting and on every reply.",
        ("RFC 5321 section 4.5.3.2",),
        _ended(AttemptOutcome.UNBOUNDED),
    ),
    Obstacle(
        "port-25-refused",
        "Nothing listens on port 25 of this host",
        "Most servers expect submission on port 587 instead.",
        ("S4", "S6"),
        _ended(AttemptOutcome.REFUSED, relay=True),
    ),
    Obstacle(
        "port-refused",
        "Nothing listens on this port of the host",
        f"Verify name and port: {SMTP_PORTS}.",
        ("S4", "S6", "S13", "S14"),
        _ended(AttemptOutcome.REFUSED, relay=False),
    ),
    Obstacle(
        "no-way-there",
        "The network said that there is no way to this port, or that it is prohibited",
        "Ask your provider whether access to the port is restricted.",
        ("S11",),
        _ended(AttemptOutcome.UNREACHABLE),
    ),
)
"""Most telling first."""
