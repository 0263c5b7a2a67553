"""A port of loopback that answers no attempt to connect, opened by the first client that has to meet one."""

from __future__ import annotations

import threading

from pytest_mailauth.servers.behind import Attempt
from pytest_mailauth.servers.wire.port import Port


class Unanswered:
    """One such port for a network. Clients are led to it that have to wait, or to believe that they do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._port: Port | None = None

    @property
    def number(self) -> int:
        """Its number.

        Raises:
            CannotServeHere: This system answers whatever is done.
        """
        with self._lock:
            if self._port is None:
                port = Port()
                try:
                    port.meet(Attempt.UNANSWERED)
                except BaseException:
                    port.close()
                    raise
                self._port = port
            return self._port.number

    def close(self) -> None:
        """Close it. Who is still waiting is refused at the next repetition."""
        if self._port is not None:
            self._port.close()
