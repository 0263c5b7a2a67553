"""A port in one of its states, on loopback only. Opened in the caller's thread, served on the loop.

The socket listens before the loop knows of it, so opening a server waits for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.errors import CannotServe
from pytest_mailauth.model.terms import PortState
from pytest_mailauth.servers.wire.loop import silence
from pytest_mailauth.servers.wire.transport import SocketTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.events import Entry
    from pytest_mailauth.servers.wire.connection import Connection
    from pytest_mailauth.servers.wire.loop import LoopThread

ADDRESS: Final = "127.0.0.1"
BACKLOG: Final = 1024
"""Clients that may connect at once. One too many would be left to its next retry, a second later."""


class Listener:
    """One listening socket and the connections that came in through it.

    Args:
        loop: The loop that serves.
        state: What a connecting client meets.
        make: Makes the connection object for a new client; its argument is called when the connection is over.

    Raises:
        CannotServe: This system cannot leave a connection attempt unanswered.
    """

    def __init__(
        self, loop: LoopThread, state: PortState, make: Callable[[Callable[[Connection], None]], Connection]
    ) -> None:
        self.records: list[list[Entry]] = []
        """What was noted of every connection that ever came in, in order. Only the loop changes it."""
        self._live: set[Connection] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop = loop
        self._make = make
        self._filler: socket.socket | None = None
        self._serving = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._socket.bind((ADDRESS, 0))
            self.port: int = self._socket.getsockname()[1]
            self._open(state)
        except BaseException:
            self._socket.close()
            raise

    def _open(self, state: PortState) -> None:
        match state:
            case PortState.REFUSED:
                return  # bound and not listening: refused, and the port stays ours
            case PortState.TIMEOUT:
                self._fill_the_queue()
            case _:
                self._socket.listen(BACKLOG)
                self._socket.setblocking(False)  # noqa: FBT003 - the socket module's own signature
                self._loop.soon(self._serve)
                self._serving = True

    def _fill_the_queue(self) -> None:
        if not sys.platform.startswith("linux"):
            raise CannotServe(f"port_state='timeout' needs Linux's accept queue; this is {sys.platform}")
        # A queue of length 0 holds one connection; with ours in it, Linux answers no further attempt.
        self._socket.listen(0)
        self._filler = socket.create_connection((ADDRESS, self.port))

    def _serve(self) -> None:
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        while True:
            try:
                client, peer = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                # Out of descriptors, say. The loop would come back at every pass for as long as it lasts.
                asyncio.get_running_loop().remove_reader(self._socket)
                raise
            connection = self._make(self._ended)
            self._idle.clear()
            self.records.append(connection.entries)  # not the connection, which holds on to its TLS
            self._live.add(connection)
            SocketTransport(client, peer, connection)

    def _ended(self, connection: Connection) -> None:
        self._live.discard(connection)
        if not self._live:
            self._idle.set()

    async def drained(self, timeout: float) -> None:  # noqa: ASYNC109 - a deadline is what the caller has
        """Wait until no connection is open, for at most *timeout* seconds. Await it on the loop."""
        await silence()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout)

    def cut(self) -> None:
        """Cut off every client as overdue, and answer no further attempt. Call it on the loop."""
        for connection in tuple(self._live):
            connection.overdue()
        if self._filler is not None:
            # Without a listener the next retry of a pending attempt is refused.
            self._socket.close()

    def close(self) -> None:
        """Stop listening and cut off whoever is still connected. Nothing is left behind; calling again is harmless."""
        if self._serving:
            self._serving = False
            self._loop.run(self._shut())
        with contextlib.suppress(OSError):
            self._socket.close()
        if self._filler is not None:
            self._filler.close()

    async def _shut(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        for connection in tuple(self._live):
            connection.abort()
        await self._idle.wait()
