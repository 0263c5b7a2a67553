"""The thread that serves the authorization server on loopback, and its end, after which nothing is left.

Werkzeug does HTTP. A client that connects and says nothing, in clear or before its handshake, holds up one thread for
a few seconds and nobody else.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, Final

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from pytest_mailauth.servers.oauth_paths import LOOPBACK

if TYPE_CHECKING:
    import ssl

    from pytest_mailauth.servers.oauth_http import Application

PATIENCE: Final = 5
"""Seconds for which a silent client is waited for."""
TICK: Final = 0.01
"""Seconds between two looks whether to stop: closing takes half of it."""
BOTH_WAYS: Final = 2
"""``socket.SHUT_RDWR``: sockets are the wire's, and Werkzeug's."""


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.enter(self.connection)

    def finish(self) -> None:
        self.server.leave(self.connection)
        super().finish()

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - Werkzeug's name
        """Say nothing: a request line may hold a code, and a test's output is not ours."""


class _Server(ThreadedWSGIServer):
    daemon_threads = False  # those are the ones that are waited for

    def __init__(self, application: Application, context: ssl.SSLContext | None) -> None:
        self._connections: set[Any] = set()
        self._lock = threading.Lock()
        self._ending = False
        self._faults = application.faults
        super().__init__(LOOPBACK, 0, application, _Handler, ssl_context=context)
        if context is not None:
            # Else the handshake happens where connections are accepted, and one silent client stops all others.
            self.socket.do_handshake_on_connect = False  # type: ignore[attr-defined]

    def enter(self, connection: Any) -> None:
        with self._lock:
            self._connections.add(connection)
            ending = self._ending
        if ending:
            _cut(connection)

    def leave(self, connection: Any) -> None:
        with self._lock:
            self._connections.discard(connection)

    def cut(self) -> None:
        """End every connection, those that are yet to come too."""
        with self._lock:
            self._ending = True
            connections = list(self._connections)
        for connection in connections:
            _cut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the signature of socketserver
        # A client that leaves, or that refuses the certificate, is no failure of ours.
        if not isinstance(sys.exc_info()[1], OSError):
            self._faults.append(traceback.format_exc())

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - Werkzeug's name
        """Say nothing, as above."""


def _cut(connection: Any) -> None:
    with contextlib.suppress(OSError):  # it has ended by itself
        connection.shutdown(BOTH_WAYS)


class Serving:
    """An application that is being served.

    Args:
        application: What answers.
        context: For https; None for http.

    Attributes:
        url: Where it can be reached, without a slash at the end.
    """

    def __init__(self, application: Application, context: ssl.SSLContext | None) -> None:
        self._server = _Server(application, context)
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://{LOOPBACK}:{self._server.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(TICK,), name="mailauth-oauth", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving and wait until every thread has ended."""
        self._server.shutdown()
        self._server.cut()
        self._thread.join()
