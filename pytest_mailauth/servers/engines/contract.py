"""The contract between an engine and whatever carries its bytes.

1. Bytes in, outputs out. The same bytes give the same outputs however they were cut into pieces.
2. After :class:`StartTLS` an engine is fed nothing until :meth:`Engine.tls_started`; what the client had sent
   behind the STARTTLS line is dropped (RFC 3207 section 4.2, RFC 9051 section 6.2.1).
3. No input raises. Whatever a client sends ends in an error reply or in :class:`Close`, and in a fact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from pytest_mailauth.model.events import Fact

if TYPE_CHECKING:
    from pytest_mailauth.servers.sasl import Peer


class Send(NamedTuple):
    """Write these bytes to the client in one piece."""

    data: bytes


class StartTLS(NamedTuple):
    """Write the success *reply*, then begin the TLS handshake. *tag* is that of the IMAP command."""

    reply: bytes
    tag: bytes = b""


class Close(NamedTuple):
    """Close the connection once everything before has been written; *abruptly*, TLS does not end before TCP does."""

    abruptly: bool = False


class Reset(NamedTuple):
    """Reset the connection, without a word."""


class Wait(NamedTuple):
    """Let everything that follows wait, and what the client sends meanwhile behind it. In seconds."""

    seconds: float


class Drip(NamedTuple):
    """Let the next reply out byte by byte, with so many seconds between two of them."""

    seconds: float


Output = Send | StartTLS | Close | Reset | Wait | Drip | Fact


class Engine(Protocol):
    """What SMTP, POP3 and IMAP have in common."""

    def greet(self) -> list[Output]:
        """Return the greeting. Called once, when the connection is ready for it."""

    def receive(self, data: bytes) -> list[Output]:
        """Take the next bytes and return what follows from them."""

    def met(self, peer: Peer) -> None:
        """Take note of the other end of a TLS connection; called before :meth:`greet` or :meth:`tls_started`."""

    def tls_started(self) -> list[Output]:
        """Forget everything from before TLS; called when the handshake after :class:`StartTLS` is done."""

    def eof(self) -> list[Output]:
        """Take note that the client will send nothing more."""
