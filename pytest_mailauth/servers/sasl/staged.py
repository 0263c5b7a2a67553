"""Exchanges that a server's deviations cut short, or fill with other challenges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.deviations import Admit, Challenge
from pytest_mailauth.servers.sasl.exchange import Attempt, Claim, Decision, Kind, OddChallenge

if TYPE_CHECKING:
    from pytest_mailauth.servers.sasl.exchange import Exchange, Server

ADMITTED: Final = "admitted"
CHALLENGED: Final = "challenge"


def staged(mechanism: str, exchange: Exchange, server: Server) -> Exchange:
    """Return *exchange* as the deviations of *server* want it; the same one where there are none about it."""
    admit, challenge = server.deviation(Admit), server.deviation(Challenge)
    if admit is not None and mechanism in admit.mechanisms:
        return _at_once(server)
    if challenge is not None and mechanism in challenge.mechanisms:
        return _with(challenge.line, exchange)
    return exchange


def _at_once(server: Server) -> Exchange:
    yield from ()
    account = server.somebody
    claim = Claim(account.username if account else "", Secret(""), kind=Kind.PROOF, proved=True)
    return Attempt(claim, Decision(account), deviated=ADMITTED)


def _with(line: bytes, exchange: Exchange) -> Exchange:
    try:
        next(exchange)
        while True:
            exchange.send((yield OddChallenge(line, CHALLENGED, is_line=True)))
    except StopIteration as done:
        attempt: Attempt = done.value
        return attempt
