"""A port of loopback that answers no attempt to connect, opened by the first client that has to meet one."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading

from pytest_mailauth.model.errors import CannotServe

_HERE = "127.0.0.1"


class Unanswered:
    """One such port for a network. Clients are led to it that have to wait, or to believe that they do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened = contextlib.ExitStack()
        self._port = 0

    @property
    def port(self) -> int:
        """Its number.

        Raises:
            CannotServe: This system answers at a full accept queue, or it is not known what it does.
        """
        with self._lock:
            if not self._port:
                if not sys.platform.startswith("linux"):
                    raise CannotServe(f"a port that never answers needs Linux's accept queue; this is {sys.platform}")
                listening = self._opened.enter_context(socket.socket())
                listening.bind((_HERE, 0))
                # A queue of length 0 holds one connection; with ours in it, Linux answers no further attempt.
                listening.listen(0)
                filler = self._opened.enter_context(socket.socket())
                filler.connect(listening.getsockname())
                self._port = listening.getsockname()[1]
            return self._port

    def close(self) -> None:
        """Close it. Who is still waiting is refused at the next repetition."""
        self._opened.close()
