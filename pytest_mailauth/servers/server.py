"""A mail server as its users hold it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Self

from pytest_mailauth.model.config import ServerConfig, TLSPolicy
from pytest_mailauth.model.errors import ServerFault
from pytest_mailauth.model.record import SessionRecord
from pytest_mailauth.model.terms import (
    URL_SCHEMES,
    Certificate,
    PortState,
    Protocol,
    Security,
)
from pytest_mailauth.servers.expectations import Scripted
from pytest_mailauth.servers.inbox import Inbox, ReadsMail
from pytest_mailauth.servers.mailstore import MailStore
from pytest_mailauth.servers.policy import Policy
from pytest_mailauth.servers.script import Script
from pytest_mailauth.servers.showing import ShowsSessions
from pytest_mailauth.servers.wire.connection import Connection
from pytest_mailauth.servers.wire.contexts import probe, server_context
from pytest_mailauth.servers.wire.listener import Listener

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType

    from pytest_mailauth.servers.engines.contract import Engine
    from pytest_mailauth.servers.environment import MailServers


def engine_of(protocol: Protocol) -> Callable[..., Engine]:
    """Return the engine of a protocol. Imported on first use: aiosmtpd alone costs more than a test."""
    match protocol:
        case Protocol.SMTP:
            from pytest_mailauth.servers.engines.smtp import SmtpEngine

            return SmtpEngine
        case Protocol.POP3:
            from pytest_mailauth.servers.engines.pop3 import Pop3Engine

            return Pop3Engine
        case Protocol.IMAP:  # pragma: no branch - there is no fourth
            from pytest_mailauth.servers.engines.imap import ImapEngine

            return ImapEngine


class MailServer(ReadsMail, Scripted, ShowsSessions):
    """One running fake server. Make it with ``MailServers`` or with the fixtures ``mailauth...``.

    Attributes:
        config: The settings it was made from.
        host: The name to connect to, which is also the name on a valid certificate.
        port: The TCP port, chosen by the system.
        account: The account that may log in: ``account.username``, ``account.password``, ``account.address``.
        closed: True once it no longer serves.
    """

    def __init__(self, config: ServerConfig, shared: MailServers, listener_name: str = "main") -> None:
        self.config = config
        self.host = config.host
        self.account = shared.account
        self._shared = shared
        self._name = listener_name
        shared.store.hide_issued(config.auth.accept_token)
        self._script = Script(self.protocol)
        self._policy = Policy(config, shared.store.accounts, self._script, monotonic)
        context = None
        if config.security is not Security.NONE:
            certificate = Certificate(config.certificate)
            context = server_context(config.tls, certificate, shared.ca, config.host)
            if config.tls != TLSPolicy() or certificate is not Certificate.VALID:
                probe(context, config.tls)
        make_engine = engine_of(self.protocol)

        def engine(over_tls: bool) -> Engine:  # noqa: FBT001 - the contract's one argument
            return make_engine(self._policy, shared.store, over_tls=over_tls)

        def eavesdropper() -> Engine:
            accounts = tuple(shared.store.accounts)
            return make_engine(Policy(config, accounts), MailStore(accounts), over_tls=False)

        def connection(on_end: Callable[[Connection], None]) -> Connection:
            return Connection(engine, eavesdropper, self._policy, context, on_end)

        self.closed = False
        self._listener = Listener(shared.loop, PortState(config.port_state), connection)
        self.port = self._listener.port

    def __repr__(self) -> str:
        return f"<MailServer {self.url} security={self.security.value!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is not None:
            self.excuse()
        else:
            self.raise_faults()
            self.raise_unmet()

    @property
    def protocol(self) -> Protocol:
        """``smtp``, ``pop3`` or ``imap``."""
        return Protocol(self.config.protocol)

    @property
    def security(self) -> Security:
        """``starttls``, ``implicit`` or ``none``."""
        return Security(self.config.security)

    @property
    def url(self) -> str:
        """The server as a URL, for example ``"imaps://localhost:40993"``."""
        return f"{URL_SCHEMES[self.protocol, self.security]}://{self.host}:{self.port}"

    @property
    def cafile(self) -> str:
        """Path of a PEM file with the certificate authority that a client has to trust."""
        return self._shared.ca.cafile

    def ssl_context(self) -> ssl.SSLContext:
        """Return a client context that verifies the certificate chain and the host name."""
        return self._shared.ca.ssl_context()

    @property
    def sessions(self) -> tuple[SessionRecord, ...]:
        """What was observed, one record a connection, up to this moment."""
        still = self.closed or not self._shared.loop.running  # nothing is added any more, so nobody has to be asked
        return self._records() if still else self._shared.loop.call(self._records)

    def _records(self) -> tuple[SessionRecord, ...]:
        kind, accounts = (self.protocol, self.security, self._name), tuple(self._store.accounts)
        return tuple(
            SessionRecord(number, *kind, tuple(entries), accounts, self._store.issued)
            for number, entries in enumerate(self._listener.records, 1)
        )

    @property
    def _store(self) -> MailStore:
        return self._shared.store

    @property
    def inbox(self) -> Inbox:
        """The inbox of the environment."""
        return self._shared.inbox

    def _sources(self) -> tuple[MailServer, ...]:
        return tuple(dict.fromkeys((*self._shared.servers, self)))

    def _nothing_more_comes(self) -> bool:
        return all(server.closed for server in self._sources())

    def drain(self, timeout: float) -> None:
        """Wait until no client is connected, for at most *timeout* seconds."""
        if self._shared.loop.running:
            self._shared.loop.run(self._listener.drained(timeout))

    def cut(self) -> None:
        """Cut off every client as overdue, and leave no attempt waiting. Call it on the loop."""
        self._listener.cut()

    def close(self) -> None:
        """Stop serving and free the port. Records and messages stay readable."""
        self._listener.close()
        self.closed = True
        self.inbox.ring()

    def raise_faults(self) -> None:
        """Raise the failures that happened inside this server.

        Raises:
            ServerFault: An engine or the wire failed. Our bug; it never passes as a client's behaviour.
        """
        self._shared.raise_loop_errors()
        for failure in self.failures:
            raise ServerFault(failure)
