"""The way out of one connection: through TLS once there is any, and into the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.model import events as e

if TYPE_CHECKING:
    from pytest_mailauth.servers.wire.channel import Channel
    from pytest_mailauth.servers.wire.notes import Notes
    from pytest_mailauth.servers.wire.transport import SocketTransport


class Outlet:
    """Writes to one client.

    Args:
        notes: Where what is sent is written down.

    Attributes:
        transport: The socket; set when the client has come.
        channel: The TLS in front of it, or None.
        was_used: True once something was sent since this was last set to False.
        says_goodbye: Whether the end of TLS is told.
    """

    transport: SocketTransport

    def __init__(self, notes: Notes) -> None:
        self.channel: Channel | None = None
        self.was_used = False
        self.says_goodbye = True
        self._notes = notes

    @property
    def is_open(self) -> bool:
        """True while something that is sent may still arrive."""
        broken = self.channel is not None and self.channel.broken
        return not broken and not self.transport.is_closing()

    def send(self, data: bytes, bytewise: bool = False) -> None:  # noqa: FBT001, FBT002 - see Pace
        """Send a reply, in one piece or byte by byte."""
        if not data or not self.is_open:  # a greeting may be empty
            return
        self._notes.add(e.Sent(data))
        self._notes.sent += len(data)
        self.was_used = True
        write = self.transport.write if self.channel is None else self._encrypt
        if bytewise:
            for at in range(len(data)):
                write(data[at : at + 1])
        else:
            write(data)

    def _encrypt(self, data: bytes) -> None:
        assert self.channel is not None  # noqa: S101 - only then is it called
        self.channel.send(data)
        self.transport.write(self.channel.take())

    def flush(self) -> None:
        """Send what TLS has to say by itself."""
        out = self.channel.take() if self.channel is not None else b""
        if out and not self.transport.is_closing():
            self.transport.write(out)

    def end_tls(self) -> None:
        """Say close_notify, if there is TLS."""
        if self.channel is not None and self.says_goodbye:
            self.channel.close()
            self.flush()
