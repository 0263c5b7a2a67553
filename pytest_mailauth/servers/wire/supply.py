"""Connections that somebody else opened, for clients that can be given one: through a proxy, or from a pool."""

from __future__ import annotations

import contextlib
import socket


class Supply:
    """Opens connections to one port on demand, and closes what is left of them at the end.

    Args:
        address: Host and port.
        timeout: Seconds for each attempt, and the time-out that the socket has when it is handed over.
    """

    def __init__(self, address: tuple[str, int], timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._given: list[socket.socket] = []

    def __call__(self) -> socket.socket:
        """Return a connected socket. It is the client's to close.

        Raises:
            OSError: Nobody could be reached.
        """
        connection = socket.create_connection(self._address, self._timeout)
        self._given.append(connection)
        return connection

    def close(self) -> None:
        """Close what the client left open."""
        for connection in self._given:
            with contextlib.suppress(OSError):
                connection.close()
