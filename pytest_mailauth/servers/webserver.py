"""A web server on loopback with one file, and the record of what it was asked. After its end nothing is left.

The standard library does HTTP. Each connection has a thread of its own, which ends with it.
"""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import sys
import threading
import traceback
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.canary import SHOWN, find
from pytest_mailauth.model.errors import ServerFault
from pytest_mailauth.model.terms import Certificate
from pytest_mailauth.model.webrequests import FOUND, WebRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WEB_PORTS: Final = {"https": 443, "http": 80}
"""The ports that a URL without one means (RFC 9110 section 4.2)."""
LOOPBACK: Final = "127.0.0.1"
PATIENCE: Final = 5
"""Seconds for which a silent client is waited for."""
LARGEST: Final = 100_000
"""Bytes of the longest body that is read."""
BOTH_WAYS: Final = 2
"""``socket.SHUT_RDWR``: sockets are the wire's, and the standard library's."""
_ASKS_FOR_PASSWORD: Final = 401
_NOT_FOUND: Final = 404
_MADE_FOR_SECRETS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})


class _Forgotten(ssl.SSLSocket):
    """A socket that Python makes, and forgets with an error where its client has reset the connection already."""

    def __del__(self) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE
    server: _Server

    def handle(self) -> None:
        self._has_asked, self._begun = False, monotonic()
        self.server.enter(self.connection)
        try:
            super().handle()
        except OSError:
            pass  # it left, or it refused the certificate
        finally:
            self.server.leave(self.connection)
            if not self._has_asked:
                self.server.note(method=None, at=self._begun)

    def do_GET(self) -> None:
        self._has_asked = True
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(min(int(length), LARGEST)) if length.isdecimal() else b""
        status = self.server.status if self.path.partition("?")[0] == self.server.path else _NOT_FOUND
        # Noted before it is answered: what a client has got is in the record.
        self.server.note(
            method=self.command,
            path=self.server.shown("", self.path),
            headers=tuple((name, self.server.shown(name, value)) for name, value in self.headers.items()),
            carried=tuple(self.server.carried([("its address", self.path), *self.headers.items()], body)),
            status=status,
            at=self._begun,
        )
        data = self.server.text.encode() if status == FOUND else b""
        self.send_response(status)
        if status == _ASKS_FOR_PASSWORD:
            self.send_header("WWW-Authenticate", 'Basic realm="Mail account"')
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_HEAD = do_POST = do_PUT = do_OPTIONS = do_PROPFIND = do_GET  # noqa: N815 - the standard library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Say nothing: a test's output is not ours."""


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 50

    def __init__(self, owner: WebServer, context: ssl.SSLContext | None) -> None:
        self.status, self.path, self.text = owner.status, owner.path, owner.text
        self._owner = owner
        self._lock = threading.Lock()
        self._connections: set[Any] = set()
        self._talks: list[threading.Thread] = []
        self._is_ending = self._is_over = False
        self._last: Any = None
        super().__init__((LOOPBACK, 0), _Handler)
        if context is not None:
            # Without a handshake where connections are accepted: one silent client would stop all others.
            context.sslsocket_class = _Forgotten
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._is_over = client_address == self._last
        if self._is_over:
            return self.shutdown_request(request)
        arguments = (request, client_address)
        talk = threading.Thread(
            target=self.process_request_thread, args=arguments, name="mailauth web request", daemon=True
        )
        self._talks.append(talk)
        return talk.start()

    def serve(self) -> None:
        """Answer until the last connection. It never looks at a clock: many of these are open at once, and idle."""
        while not self._is_over:
            self.handle_request()

    def enter(self, connection: Any) -> None:
        with self._lock:
            self._connections.add(connection)
            is_ending = self._is_ending
        if is_ending:
            _cut(connection)

    def leave(self, connection: Any) -> None:
        with self._lock:
            self._connections.discard(connection)

    def end(self) -> HTTPConnection:
        """End every connection, and return the last one, which is ours: it comes behind all those that have arrived.

        What those have sent by now is still read and noted. Close the last one when nobody serves any more.
        """
        last = HTTPConnection(LOOPBACK, self.server_address[1], timeout=PATIENCE)
        with self._lock:
            self._is_ending = True
            last.connect()
            self._last = last.sock.getsockname()
            connections = list(self._connections)
        for connection in connections:
            _cut(connection)
        return last

    def wait(self) -> None:
        """Wait for the threads of all connections."""
        for talk in self._talks:
            talk.join()

    def note(self, **seen: Any) -> None:
        owner = self._owner
        owner.requests.append(WebRequest(scheme=owner.scheme, host=owner.host, certificate=owner.certificate, **seen))

    def carried(self, fields: list[tuple[str, str]], body: bytes) -> Iterator[tuple[str, str]]:
        """Yield the secrets that are in a request, and where each was found first."""
        parts = [*((name, value.encode("utf-8", "surrogateescape")) for name, value in fields), ("its body", body)]
        for name, secret in self._owner.secrets.items():
            where = next((where for where, data in parts if find(secret, data)), None)
            if where is not None:
                yield name, where

    def shown(self, name: str, value: str) -> str:
        """Return what may be shown of a header field, or of an address."""
        data = value.encode("utf-8", "surrogateescape")
        holds_secret = any(find(secret, data) for secret in self._owner.secrets.values())
        return SHOWN if holds_secret or name.lower() in _MADE_FOR_SECRETS else value

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the signature of socketserver
        # A client that leaves is no failure of ours.
        if not isinstance(sys.exc_info()[1], OSError):
            self._owner.faults.append(traceback.format_exc())


def _cut(connection: Any) -> None:
    with contextlib.suppress(OSError):  # it has ended by itself
        connection.shutdown(BOTH_WAYS)


class WebServer:
    """One name and one scheme, with one file.

    Args:
        host: The name under which clients ask it.
        path: The path of the file; everything else is not found.
        status: The HTTP status of the answer there.
        text: The file, in UTF-8; sent with status 200 alone.
        secrets: What is searched for in each request, by name.
        context: For https; None for http.
        certificate: What the context shows.

    Attributes:
        port: Its port of 127.0.0.1.
        requests: What it was asked so far.
    """

    def __init__(
        self,
        host: str,
        path: str,
        *,
        status: int,
        text: str,
        secrets: Mapping[str, str],
        context: ssl.SSLContext | None = None,
        certificate: Certificate = Certificate.VALID,
    ) -> None:
        self.host, self.path, self.status, self.text = host, path, status, text
        self.secrets = dict(secrets)
        self.scheme = "http" if context is None else "https"
        self.certificate = certificate
        self.requests: list[WebRequest] = []
        self.faults: list[str] = []
        self._closed = False
        self._server = _Server(self, context)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve, name="mailauth web server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and wait until every thread has ended. Harmless when repeated.

        Raises:
            ServerFault: It failed inside.
        """
        if self._closed:
            return
        self._closed = True
        last = self._server.end()
        self._thread.join()
        last.close()
        self._server.server_close()
        self._server.wait()
        if self.faults:
            raise ServerFault(f"the web server for {self.host} failed inside: {self.faults[0]}")
