"""A connected socket as an asyncio transport: everything is read and written in the loop's own callback.

asyncio's server makes a task and a future for each client and greets it three passes of the loop later, or, when it
is closed by then, loses its socket. Here a client is accepted, greeted and known in one step.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any, ClassVar, Final

from pytest_mailauth.servers.wire.unread import unread_by
from pytest_mailauth.servers.wire.watch import running

READ_SIZE: Final = 65_536
"""Bytes read at once: four TLS records of the longest kind."""
HIGH_WATER: Final = 1_048_576
"""Unsent bytes from which on the protocol is asked to say nothing more until the client has read."""
LOW_WATER: Final = HIGH_WATER // 4
"""Unsent bytes from which on it may go on."""

_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class SocketTransport(asyncio.Transport):
    """Carries the bytes of one socket to and from a protocol. Make and use it on the loop.

    Args:
        connected: The socket, with TCP_NODELAY; this object closes it.
        peer: The client's address.
        protocol: Told of everything as asyncio tells it, but connected before this returns.

    Attributes:
        reads: How often anything was read from any socket of this process; who waits for silence watches it.
    """

    reads: ClassVar[int] = 0

    def __init__(self, connected: socket.socket, peer: Any, protocol: asyncio.Protocol) -> None:
        super().__init__({"socket": connected, "peername": peer})
        self._loop = running()
        self._socket = connected
        self._descriptor = connected.fileno()  # a socket it does not know yet asyncio would first describe
        self._protocol = protocol
        self._unsent = bytearray()
        self._closing = False
        self._over = False
        self._eof_follows = False
        self._is_full = False
        self._write_error: OSError | None = None
        connected.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        self._watch()
        protocol.connection_made(self)

    def is_closing(self) -> bool:
        """Return True once nothing more can be written."""
        return self._closing or self._write_error is not None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send *data* now, and what the socket does not take as soon as it does."""
        if self._over or self._write_error is not None:
            return
        if not self._unsent:
            try:
                sent = self._socket.send(data)
            except OSError as error:
                sent = self._not_sent(error)
            if sent == len(data) or self._write_error is not None:
                return
            data = data[sent:]
        self._unsent += data
        is_full, self._is_full = self._is_full, self._is_full or len(self._unsent) > HIGH_WATER
        self._watch()
        if self._is_full and not is_full:
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        """Say that nothing more will be sent, once everything has been."""
        self._eof_follows = True
        if not self._unsent:
            with contextlib.suppress(OSError):  # the client may have reset the connection by now
                self._socket.shutdown(socket.SHUT_WR)

    def can_write_eof(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Read nothing more, and end once everything has been sent."""
        if self._closing:
            return
        self._closing = True
        if self._unsent:
            self._watch()
        else:
            self._end(None)

    def abort(self) -> None:
        """End now. What has not been sent is dropped."""
        self._end(None)

    def reset(self) -> None:
        """End now with a reset, whatever the peer still has to read."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abort()

    def acknowledge(self) -> None:
        """Acknowledge at once what was read and not answered.

        A client without TCP_NODELAY holds its next write back until then, and the kernel delays an acknowledgement
        that travels alone by 40 ms. The option is not sticky.
        """
        if _QUICKACK is not None:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def unread_by_peer(self) -> int | None:
        """Return how many bytes the client has received and not read, or None where nobody tells."""
        return unread_by(self._socket)

    def _watch(self) -> None:
        """Wait for what can be used: bytes unless enough is unsent, and room as long as something is."""
        reads = not self._closing and not self._is_full
        self._loop.watch(self._descriptor, self._read if reads else None, self._write_rest if self._unsent else None)

    def _read(self) -> None:
        SocketTransport.reads += 1
        try:
            data = self._socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._protocol.data_received(data)
        elif self._write_error is not None:  # the end of a connection that was reset while we wrote
            self._end(self._write_error)
        else:
            self._protocol.eof_received()
            self.close()

    def _not_sent(self, error: OSError) -> int:
        """Take note of why nothing was sent; return how much was."""
        if not isinstance(error, BlockingIOError | InterruptedError):
            self._write_error = error
            if self._closing:
                self._end(error)
            # Else what the client said before it left is still to be read, and the end with it.
        return 0

    def _write_rest(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except OSError as error:
            sent = self._not_sent(error)
        del self._unsent[:sent]
        if self._over:
            return
        if self._write_error is not None:
            self._unsent.clear()
        is_full, self._is_full = self._is_full, self._is_full and len(self._unsent) > LOW_WATER
        self._watch()
        if is_full and not self._is_full:
            self._protocol.resume_writing()
        if self._unsent or self._over:
            return
        if self._closing:
            self._end(None)
        elif self._eof_follows:
            self.write_eof()

    def _end(self, error: OSError | None) -> None:
        if self._over:
            return
        self._closing = self._over = True
        self._unsent.clear()
        self._watch()
        # Not at once: the protocol may be in the middle of the call that led here.
        self._loop.afterwards(lambda: self._leave(error))

    def _leave(self, error: OSError | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._socket.close()
