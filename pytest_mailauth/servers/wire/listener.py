"""A port in one of its states, on loopback only. Opened in the caller's thread, served on the loop.

The socket listens before the loop knows of it, so opening a server waits for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from pytest_mailauth.servers.behind import BEHIND, Attempt
from pytest_mailauth.servers.wire.loop import silence
from pytest_mailauth.servers.wire.port import Port
from pytest_mailauth.servers.wire.transport import SocketTransport
from pytest_mailauth.servers.wire.watch import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_mailauth.model.events import Entry
    from pytest_mailauth.model.terms import PortState
    from pytest_mailauth.servers.wire.connection import Connection
    from pytest_mailauth.servers.wire.loop import LoopThread
    from pytest_mailauth.servers.wire.port import Client, Socket

    Make = Callable[[Callable[[Connection], None]], Connection]


class Listener:
    """One port and the connections that came in through it.

    Args:
        loop: The loop that serves.
        state: What a connecting client meets.
        make: Makes the connection object for a new client; its argument is called when the connection is over.
        sock: A socket to listen on, IPv4 or IPv6, which may listen already. It is closed with the listener. None for a
            port of 127.0.0.1 that the system chooses.

    Raises:
        CannotServe: This port cannot be in this state.
    """

    def __init__(self, loop: LoopThread, state: PortState, make: Make, sock: Socket | None = None) -> None:
        self.records: list[list[Entry]] = []
        """What was noted of every connection that ever came in, in order. Only the loop changes it."""
        self._live: set[Connection] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop = loop
        self._make = make
        self._answering = make
        """That of the last state in which somebody answers: what further sockets have, whose network does the rest."""
        self._further: dict[Port, Callable[[], None]] = {}
        self._attempt = BEHIND[state].attempt
        self._is_watched = False
        self._is_closed = False
        self._port = Port(sock)
        self.port: int = self._port.number
        try:
            came = self._port.meet(self._attempt)
        except BaseException:
            self._port.close()
            raise
        self._serves = False
        if came or self._attempt is Attempt.ANSWERED:
            self._serves = True
            loop.soon(lambda: self._go_on(came))

    def switch(self, state: PortState, make: Make, switched: Callable[[], None]) -> None:
        """Let clients that connect from now on meet another state. Open connections go on as they are.

        When this returns, it is so. Whoever had connected before is still served as before.

        Args:
            state: What a connecting client meets.
            make: As for a new listener.
            switched: Called when it is done, in the order in which it is done if several threads ask.

        Raises:
            CannotServe: This port cannot be in this state; it stays as it was.
            RuntimeError: The port is closed.
        """
        attempt = BEHIND[state].attempt
        self._port.check(attempt)  # not on the loop: it may have to measure

        def switch() -> None:
            self._switch(attempt, make)
            switched()

        self._loop.do(switch)

    def _switch(self, attempt: Attempt, make: Make) -> None:
        if self._is_closed:
            raise RuntimeError("this server is closed; its port is in no state any more")
        self._serves = True
        self._look_away()
        for accept in tuple(self._further.values()):
            accept()
        came: list[Client] = []
        try:
            came = self._port.meet(attempt)
            self._attempt = attempt
        finally:
            self._go_on(came)
        self._make = make
        if attempt is Attempt.ANSWERED:
            self._answering = make

    def also(self, sock: Socket, came: Callable[[Socket, int], object]) -> Callable[[], None]:
        """Serve what comes in through a further socket, too, into the same records.

        Args:
            sock: A socket that listens. It is closed with the listener, or by what is returned.
            came: Called on the loop for each client: its socket, and the number of its record from 1.

        Returns:
            What ends it. Who had connected before is still served.

        Raises:
            RuntimeError: The port is closed.
        """
        port = Port(sock)

        def accept() -> None:
            try:
                for client, peer in port.accepted():
                    SocketTransport.reads += 1
                    came(client, len(self.records) + 1)
                    self._take(client, peer, self._answering)
            except OSError:
                running().watch(port.fileno(), None)  # as for our own
                raise

        def begin() -> None:
            if self._is_closed:
                raise RuntimeError("this server is closed; it serves on no further socket")
            self._serves = True
            self._further[port] = accept
            running().watch(port.fileno(), accept)

        def end() -> None:
            if port in self._further:
                accept()
                self._leave(port)

        try:
            self._loop.do(begin)
        except BaseException:
            port.close()
            raise
        return lambda: self._loop.do(end) if not self._is_closed else None

    def _leave(self, port: Port) -> None:
        del self._further[port]
        running().watch(port.fileno(), None)
        port.close()

    def _go_on(self, came: Iterable[Client]) -> None:
        for client, peer in came:
            self._take(client, peer, self._make)
        if self._attempt is Attempt.ANSWERED and not self._is_closed:
            running().watch(self._port.fileno(), self._accept)
            self._is_watched = True

    def _look_away(self) -> None:
        if self._is_watched:
            running().watch(self._port.fileno(), None)
            self._is_watched = False

    def _accept(self) -> None:
        try:
            # One at a time: to ask for a second costs more than to be called again for it.
            client, peer = self._port.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:
            # Out of descriptors, say. The loop would come back at every pass for as long as it lasts.
            self._look_away()
            raise
        SocketTransport.reads += 1
        self._take(client, peer, self._make)

    def _take(self, client: Socket, peer: Any, make: Make) -> None:
        connection = make(self._ended)
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
        """Cut off every client as overdue, and leave no attempt waiting. Call it on the loop."""
        if self._attempt is Attempt.UNANSWERED and not self._is_closed:
            # The next retry of a pending attempt is refused.
            self._go_on(self._port.meet(Attempt.REFUSED))
        for connection in tuple(self._live):
            connection.overdue()

    def close(self) -> None:
        """Stop listening and cut off whoever is still connected. Nothing is left behind; calling again is harmless."""
        if self._serves:
            self._serves = False
            self._loop.run(self._shut())
        self._is_closed = True
        self._port.close()

    async def _shut(self) -> None:
        self._is_closed = True
        self._look_away()
        for port in tuple(self._further):
            self._leave(port)
        for connection in tuple(self._live):
            connection.abort()
        await self._idle.wait()
