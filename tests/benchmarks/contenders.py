"""Who is measured: this package, aiosmtpd's ``Controller`` (SMTP alone), and the floor below both."""

from __future__ import annotations

import contextlib
import logging
import smtplib
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from floor import MESSAGE, Floor
from sessions import HOST, OWN_NAME, Endpoint, imap_starttls, pop3_stls, smtp_implicit, smtp_plain, smtp_starttls

from pytest_mailauth import MailServers

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

OURS, CONTROLLER, FLOOR = "ours", "Controller", "floor"

SESSIONS = {
    "SMTP plain, message": (smtp_plain, "smtp", "none"),
    "SMTP STARTTLS, AUTH, message": (smtp_starttls, "smtp", "starttls"),
    "SMTP implicit TLS, AUTH, message": (smtp_implicit, "smtp", "implicit"),
    "POP3 STLS, USER/PASS, RETR": (pop3_stls, "pop3", "starttls"),
    "IMAP STARTTLS, LOGIN, FETCH": (imap_starttls, "imap", "starttls"),
}
"""Name of a session to what the client does, the protocol and the mode."""


class _Keep:
    """The least that a Controller's handler can do with a message."""

    async def handle_DATA(self, _server, _session, _envelope):  # noqa: N802 - aiosmtpd's name
        return "250 OK"


def _controller(context: ssl.SSLContext | None = None, security: str = "none") -> Controller:
    # Controller(port=0) does not work: it connects to the port that it was given.
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    return Controller(
        _Keep(),
        hostname=HOST,
        port=port,
        server_hostname="localhost",  # it would look up the host's own name
        ssl_context=context if security == "implicit" else None,
        tls_context=context if security == "starttls" else None,
        authenticator=lambda *_: AuthResult(success=True),
        auth_require_tls=security == "starttls",
    )


class Contenders:
    """Starts the servers of every session, and stops them all at the end."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._factory = self._stack.enter_context(MailServers(isolated=True))
        self._servers = self._stack.enter_context(self._factory.environment())
        self._client_context = self._factory.ca.ssl_context()
        # One message in the mailbox that POP3 and IMAP read.
        account = self._servers.account
        with self._servers.smtp(security="none") as server, smtplib.SMTP(HOST, server.port, OWN_NAME) as client:
            client.sendmail("a@example.test", [account.address], MESSAGE)
        # The Controller logs every command; writing that out is not its work.
        self._logger = logging.getLogger("mail.log")
        self._level = self._logger.level
        self._logger.setLevel(logging.CRITICAL)
        self.sessions: dict[str, dict[str, Callable[[], None]]] = {
            name: {who: partial(client, make(protocol, security)) for who, make in self._makers(protocol).items()}
            for name, (client, protocol, security) in SESSIONS.items()
        }
        """By name of the session and contender, one complete session."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)
        self._stack.close()

    def _makers(self, protocol: str) -> dict[str, Callable[[str, str], Endpoint]]:
        makers = {OURS: self._ours, FLOOR: self._floor}
        return {**makers, CONTROLLER: self._theirs} if protocol == "smtp" else makers

    def open_and_close(self) -> dict[str, Callable[[], None]]:
        """Return a server's start and stop for each contender, as a fixture would do them."""

        def ours() -> None:
            with self._factory.smtp():
                pass

        def theirs() -> None:
            server = _controller()
            server.start()
            server.stop()

        def floor() -> None:
            with Floor("smtp"):
                pass

        return {OURS: ours, FLOOR: floor, CONTROLLER: theirs}

    def _ours(self, protocol: str, security: str) -> Endpoint:
        make = {"smtp": self._servers.smtp, "pop3": self._servers.pop3, "imap": self._servers.imap}[protocol]
        server = make(security=security)
        return Endpoint(server.port, self._client_context, server.account.username, server.account.password)

    def _theirs(self, _protocol: str, security: str) -> Endpoint:
        server = _controller(self._server_context(tickets=True), security)
        server.start()
        self._stack.callback(server.stop)
        return Endpoint(server.port, self._client_context)

    def _floor(self, protocol: str, security: str) -> Endpoint:
        context = self._server_context(tickets=False)
        server = self._stack.enter_context(Floor(protocol, context, implicit=security == "implicit"))
        return Endpoint(server.port, self._client_context)

    def _server_context(self, *, tickets: bool) -> ssl.SSLContext:
        """Return a context with the certificate that ours shows too."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._factory.ca.issue().configure(context)
        if not tickets:
            context.num_tickets = 0
        return context
