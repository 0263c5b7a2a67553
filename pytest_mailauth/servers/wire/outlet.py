"""The way out of one connection: through TLS once there is any, and into the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.model import events as e
from pytest_mailauth.model.floods import FLOOD, Torrent

if TYPE_CHECKING:
    from pytest_mailauth.servers.wire.channel import Channel
    from pytest_mailauth.servers.wire.notes import Notes
    from pytest_mailauth.servers.wire.transport import SocketTransport


_BLOCK: Final = 65_536
"""Bytes of a flood that are written at once."""


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
        self._flood = b""
        self._left = 0
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
        self._notes.add(e.Sent(bytes(data)))
        self._notes.sent += len(data)
        self.was_used = True
        write = self.transport.write if self.channel is None else self._encrypt
        if bytewise:
            for at in range(len(data)):
                write(data[at : at + 1])
        else:
            write(data)
            if isinstance(data, Torrent):
                self._flood = data.rest * (_BLOCK // len(data.rest) + 1)
                self._left = FLOOD
                self.caught_up()

    def caught_up(self) -> None:
        """Go on with a flood, as far as the client reads; note it when all was taken. Nothing where there is none."""
        write = self.transport.write if self.channel is None else self._encrypt
        while self._flood and self._left > 0 and self.is_open and not self.transport.is_full:
            write(self._flood)
            self._left -= len(self._flood)
        if self._flood and self._left <= 0 and self.is_open and not self.transport.is_full:
            self._flood = b""
            self._notes.add(e.Deviated("flood taken", "", b""))

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
