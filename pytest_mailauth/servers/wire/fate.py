"""What a port state, or a deviation, has in store for one connection, stated when it happens.

How it is done is the connection's.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import RefuseHello
from pytest_mailauth.model.portstates import port_fact
from pytest_mailauth.model.terms import HandshakeOutcome, Protocol
from pytest_mailauth.servers.behind import BEHIND, End, Moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.terms import PortState
    from pytest_mailauth.servers.policy import Policy

REFUSED: Final = "the ClientHello was refused with an alert"
_ALERT: Final = struct.Struct(">BHHBB")
_ALERT_RECORD: Final = 21
_VERSION: Final = 0x0303
_ALERT_LENGTH: Final = 2
_FATAL: Final = 2
"""An alert record (RFC 8446 sections 5.1 and 6)."""


class Fate:
    """The fate of one connection.

    Args:
        state: The port state that the client met.
        policy: What would be spoken here, and how a ClientHello is answered.
        note: Writes down a fact.
        send: Writes to the client; its second argument is whether each byte becomes a segment of its own.
    """

    def __init__(
        self,
        state: PortState,
        policy: Policy,
        note: Callable[[e.Fact], None],
        send: Callable[[bytes, bool], None],
    ) -> None:
        self._state = state
        self._protocol = Protocol(policy.config.protocol)
        self._refuses = policy.one(RefuseHello)
        self._behind = BEHIND[state]
        self._note = note
        self._send = send

    def at(self, moment: Moment) -> End | None:
        """State what befalls a client at this moment, say what there is to say, and return how it ends, if it does."""
        if moment is Moment.HELLO and self._refuses is not None:
            record = _ALERT.pack(_ALERT_RECORD, _VERSION, _ALERT_LENGTH, _FATAL, self._refuses.alert)
            self._note(e.Deviated(REFUSED, "", record))
            self._note(e.HandshakeEnded(HandshakeOutcome.SERVER_REFUSED, reason=REFUSED))
            self._send(record, False)  # noqa: FBT003 - in one piece
            return End.CLOSE
        if self._behind.moment is not moment:
            return None
        fact, says = port_fact(self._state), self._behind.says.get(self._protocol, b"")
        self._note(e.Deviated(fact, "", says))
        if moment is Moment.HELLO:
            self._note(e.HandshakeEnded(HandshakeOutcome.SERVER_REFUSED, reason=fact))
        if says:
            self._send(says, False)  # noqa: FBT003 - in one piece
        return self._behind.end
