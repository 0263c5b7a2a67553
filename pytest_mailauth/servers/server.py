"""A mail server as its users hold it, and the environment that makes servers and owns what they share."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from pytest_mailauth.model.canary import Account
from pytest_mailauth.model.config import ServerConfig, TLSPolicy, config_for
from pytest_mailauth.model.errors import ConfigError, ServerFault
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
from pytest_mailauth.servers.pki import CertificateAuthority
from pytest_mailauth.servers.policy import Policy
from pytest_mailauth.servers.script import Script
from pytest_mailauth.servers.showing import RECENT, ShowsSessions
from pytest_mailauth.servers.wire.connection import Connection
from pytest_mailauth.servers.wire.contexts import probe, server_context
from pytest_mailauth.servers.wire.listener import Listener
from pytest_mailauth.servers.wire.loop import LoopThread

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType

    from pytest_mailauth.servers.engines.contract import Engine


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
    """One running fake server. Make it with :class:`MailServers` or with the ``mailauth`` fixtures.

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


class MailServers(ReadsMail):
    """Makes servers that share accounts, messages, one certificate authority and one thread.

    Args:
        parent: Share thread and certificate authority with these servers; accounts and messages are new.
        isolated: Give every server accounts and messages of its own.
        defaults: Settings of the servers made here, where the call does not say otherwise.

    Examples:
        >>> with MailServers() as servers:
        ...     server = servers.smtp(security="implicit")
        ...     server.security.value
        'implicit'
    """

    def __init__(
        self, parent: MailServers | None = None, *, isolated: bool = False, defaults: dict[str, Any] | None = None
    ) -> None:
        if parent is not None:
            parent._must_be_open()  # noqa: SLF001 - the same class
            parent._environments.add(self)  # noqa: SLF001
        self._parent = parent
        self._isolated = isolated
        self._defaults = defaults or {}
        self._lock = threading.Lock()
        self._ca = parent.ca if parent else None
        self.loop: LoopThread = parent.loop if parent else LoopThread()
        self.account: Account = Account.fresh()
        self.store = MailStore((self.account,))
        self._inbox = Inbox(self.store, self.loop)
        self._servers: list[MailServer] = []
        self.recent: deque[MailServer] = deque(maxlen=RECENT if isolated else 0)
        self._environments: weakref.WeakSet[MailServers] = weakref.WeakSet()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # One that was left has answered for itself.
        open_still = self._servers if not self._isolated else [server for server in self._servers if not server.closed]
        self.close()
        if error is None:
            self.raise_faults()
            for server in open_still:
                server.raise_unmet()

    @property
    def ca(self) -> CertificateAuthority:
        """The certificate authority that signs the valid certificates."""
        with self._lock:
            if self._ca is None:
                self._ca = CertificateAuthority()
            return self._ca

    @property
    def servers(self) -> tuple[MailServer, ...]:
        """Every server made here, in order."""
        return tuple(self._servers)

    @property
    def inbox(self) -> Inbox:
        """What clients submitted to any of these servers, and who waits for it.

        Raises:
            ConfigError: Each of these servers has an inbox of its own.
        """
        if self._isolated:
            raise ConfigError(
                "each of these servers has messages of its own; ask the server, or make servers in an environment()"
            )
        return self._inbox

    def _sources(self) -> tuple[MailServer, ...]:
        return self.servers

    def _nothing_more_comes(self) -> bool:
        return self._closed and all(server.closed for server in self._servers)

    def environment(self, **defaults: Any) -> MailServers:
        """Return an environment with accounts and messages of its own, on the same thread and authority.

        It is closed together with this one, if not before.

        Args:
            defaults: Settings of the servers that its ``smtp()`` and so on make, where the call has no other.

        Raises:
            RuntimeError: This environment is closed.
        """
        return MailServers(self, defaults=defaults)

    def _must_be_open(self) -> None:
        if self._closed:
            raise RuntimeError("these servers are closed; make new ones with MailServers()")

    def serve(self, config: ServerConfig, listener_name: str = "main") -> MailServer:
        """Start a server with these settings.

        Raises:
            RuntimeError: This environment is closed.
            CannotServe: This host cannot serve what the settings ask for.
        """
        self._must_be_open()
        home = self.environment() if self._isolated else self
        server = MailServer(config, home, listener_name)
        if self._isolated:
            # A session makes thousands of servers under Hypothesis: those that are closed are let go.
            self._servers = [one for one in self._servers if not one.closed]
        self._servers.append(server)
        self.recent.append(server)
        return server

    def smtp(self, **settings: Any) -> MailServer:
        """Start an SMTP server. See :class:`~pytest_mailauth.model.config.ServerConfig` for the settings."""
        return self.serve(config_for(Protocol.SMTP, settings, self._defaults))

    def pop3(self, **settings: Any) -> MailServer:
        """Start a POP3 server. See :class:`~pytest_mailauth.model.config.ServerConfig` for the settings."""
        return self.serve(config_for(Protocol.POP3, settings, self._defaults))

    def imap(self, **settings: Any) -> MailServer:
        """Start an IMAP server. See :class:`~pytest_mailauth.model.config.ServerConfig` for the settings."""
        return self.serve(config_for(Protocol.IMAP, settings, self._defaults))

    def raise_loop_errors(self) -> None:
        """Raise what failed on the thread that serves, outside any connection; once, since all servers share it.

        Raises:
            ServerFault: Something did. Our bug.
        """
        errors = self.loop.take_errors()
        if errors:
            raise ServerFault("the servers' thread failed inside:\n" + "\n".join(errors))

    def raise_faults(self) -> None:
        """Raise the failures that happened inside any of the servers.

        Raises:
            ServerFault: Something failed inside. Our bug; it never passes as a client's behaviour.
        """
        self.raise_loop_errors()
        for server in self._servers:
            server.raise_faults()

    def excuse(self) -> None:
        """Let it be no failure that expectations were not met: the test has failed already."""
        for server in self._servers:
            server.excuse()

    def close(self) -> None:
        """Close every server, and thread and authority if they are this environment's own. Harmless when repeated."""
        self._closed = True
        # Last in, first out; what one of them raises keeps none of the others open.
        with contextlib.ExitStack() as everything:
            if self._parent is None:
                if self._ca is not None:
                    everything.callback(self._ca.close)
                everything.callback(self.loop.stop)
            for environment in self._environments:
                everything.callback(environment.close)
            everything.callback(self._inbox.ring)
            for server in self._servers:
                everything.callback(server.close)
