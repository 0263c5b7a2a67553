"""Observed facts. An engine or the wire states them, a recorder stamps them, rules read them.

A fact says what happened and never what it means. ``shown`` is the form that may be displayed: the parts that
carry credentials are already replaced, whether or not the credentials are known to us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pytest_mailauth.model.canary import Secret
    from pytest_mailauth.model.hello import ClientHello
    from pytest_mailauth.model.terms import HandshakeOutcome, Layer


class Opened(NamedTuple):
    """A client connected."""

    peer: str


class Received(NamedTuple):
    """Bytes came in: in clear as they were, inside TLS as they were decrypted. They may hold credentials."""

    data: bytes

    def __repr__(self) -> str:
        return f"Received(<{len(self.data)} bytes>)"


class Sent(NamedTuple):
    """Bytes were written in one piece: in clear as one segment, inside TLS as one record."""

    data: bytes

    def __repr__(self) -> str:
        return f"Sent(<{len(self.data)} bytes>)"


class Command(NamedTuple):
    """A complete command line. *verb* is upper case; *argument* is raw and may hold credentials."""

    verb: str
    argument: bytes
    shown: str
    tag: bytes = b""

    @property
    def line(self) -> str:
        """The command as it may be displayed, without the tag that IMAP puts before it."""
        return self.shown.removeprefix(f"{self.tag.decode('utf-8', 'backslashreplace')} ") if self.tag else self.shown

    def __str__(self) -> str:
        return self.line

    def __repr__(self) -> str:
        return f"Command({self.line})"


class Response(NamedTuple):
    """A line or block that answers a server's continuation: a SASL response, a literal, message data."""

    shown: str


class Authentication(NamedTuple):
    """A complete set of credentials was presented."""

    mechanism: str
    identity: str
    secret: Secret
    accepted: bool
    authorization: str = ""

    def __repr__(self) -> str:
        # A password may come where the identity belongs, and is not known for one here.
        return f"Authentication({self.mechanism}, {'accepted' if self.accepted else 'refused'})"


class Stored(NamedTuple):
    """A message was taken over from the client."""

    size: int
    recipients: tuple[str, ...]


class Malformed(NamedTuple):
    """The client broke the protocol's syntax or limits; the session goes on or is closed by the engine."""

    reason: str


class Deviated(NamedTuple):
    """The server did what a deviation told it to do: the trigger of a scenario fired."""

    kind: str
    verb: str
    data: bytes

    def __repr__(self) -> str:
        # A reply repeats the client's tag (RFC 9051 section 2.2.2), and that may be anything.
        return f"Deviated({self.kind!r}, {self.verb!r}, <{len(self.data)} bytes>)"


class LeftUnread(NamedTuple):
    """So many bytes lay unread in the client's system when its ClientHello began to arrive."""

    octets: int


class HelloSeen(NamedTuple):
    """A complete ClientHello arrived."""

    hello: ClientHello


class HandshakeEnded(NamedTuple):
    """The handshake is over. *alert* is set for a client's alert, *reason* for our refusal.

    *shown* holds the names in the certificate that the client showed, and nothing when it showed none.
    """

    outcome: HandshakeOutcome
    version: str | None = None
    cipher: str | None = None
    alert: str | None = None
    reason: str | None = None
    shown: tuple[str, ...] = ()


class AlertReceived(NamedTuple):
    """A fatal alert arrived after the handshake had finished for this side (usual with TLS 1.3)."""

    alert: str


class Closed(NamedTuple):
    """The connection ended: *by* ``"client"`` or ``"server"``, *how* ``"close"``, ``"reset"`` or ``"abort"``."""

    by: str
    how: str


class Overdue(NamedTuple):
    """The client was still connected when its declared limit had passed, and was disconnected."""


class Failed(NamedTuple):
    """This package failed inside; *error* is the traceback."""

    error: str


Fact = (
    Opened
    | Received
    | Sent
    | Command
    | Response
    | Authentication
    | Stored
    | Malformed
    | Deviated
    | LeftUnread
    | HelloSeen
    | HandshakeEnded
    | AlertReceived
    | Closed
    | Overdue
    | Failed
)


class Entry(NamedTuple):
    """A fact with its time (seconds on the monotonic clock) and the layer it happened on."""

    at: float
    layer: Layer
    fact: Fact
