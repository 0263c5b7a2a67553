"""What a port state has in store for one connection, stated when it happens. How it is done is the connection's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.model import events as e
from pytest_mailauth.model.portstates import port_fact
from pytest_mailauth.model.terms import HandshakeOutcome
from pytest_mailauth.servers.behind import BEHIND, Moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.terms import PortState, Protocol
    from pytest_mailauth.servers.behind import End


class Fate:
    """The fate of one connection.

    Args:
        state: The port state that the client met.
        protocol: What would be spoken here.
        note: Writes down a fact.
        send: Writes to the client; its second argument is whether each byte becomes a segment of its own.
    """

    def __init__(
        self,
        state: PortState,
        protocol: Protocol,
        note: Callable[[e.Fact], None],
        send: Callable[[bytes, bool], None],
    ) -> None:
        self._state = state
        self._protocol = protocol
        self._behind = BEHIND[state]
        self._note = note
        self._send = send

    def at(self, moment: Moment) -> End | None:
        """State what befalls a client at this moment, say what there is to say, and return how it ends, if it does."""
        if self._behind.moment is not moment:
            return None
        fact, says = port_fact(self._state), self._behind.says.get(self._protocol, b"")
        self._note(e.Deviated(fact, "", says))
        if moment is Moment.HELLO:
            self._note(e.HandshakeEnded(HandshakeOutcome.SERVER_REFUSED, reason=fact))
        if says:
            self._send(says, False)  # noqa: FBT003 - in one piece
        return self._behind.end
