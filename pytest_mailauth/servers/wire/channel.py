"""What a connection asks of TLS, whoever speaks it: OpenSSL, an older engine, or a forger. Contracts alone, no code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from pytest_mailauth.model.events import AlertReceived, HandshakeEnded
    from pytest_mailauth.model.hello import ClientHello


class Channel(Protocol):
    """One TLS connection as two byte streams. :class:`~pytest_mailauth.servers.wire.tls.TLSChannel` says the rest."""

    established: bool
    ended: HandshakeEnded | None
    alert: AlertReceived | None
    error: str | None
    closed: bool

    @property
    def outgoing(self) -> ssl.MemoryBIO:
        """What waits to be taken."""

    @property
    def broken(self) -> bool:
        """True when nothing can be sent any more."""

    def channel_bindings(self) -> Mapping[str, bytes]:
        """Return what a SASL mechanism may bind to."""

    def identities(self) -> tuple[str, ...]:
        """Return the names in the client's verified certificate."""

    def feed(self, raw: bytes) -> bytes:
        """Take bytes from the socket; return what they decrypt to."""

    def unread(self) -> bytes:
        """Return the bytes that were not looked at."""

    def send(self, data: bytes) -> None:
        """Encrypt *data*."""

    def take(self) -> bytes:
        """Return what has to go to the socket now."""

    def close(self) -> None:
        """Say close_notify, if the handshake got that far."""


class Terms(Protocol):
    """What is served: makes the server's end for each client."""

    def channel(self, hello: ClientHello, *, may_export: bool = False, early_data: bool = False) -> Channel:
        """Return the server's end for the client that sent *hello*."""
