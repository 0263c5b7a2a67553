"""A mail server as its users hold it."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Self

from pytest_mailauth.model.config import ServerConfig, TLSPolicy
from pytest_mailauth.model.deviations import Negotiate, Swap
from pytest_mailauth.model.errors import ConfigError, ServerFault
from pytest_mailauth.model.events import Authentication
from pytest_mailauth.model.record import SessionRecord
from pytest_mailauth.model.terms import (
    URL_SCHEMES,
    Certificate,
    PortState,
    Protocol,
    Security,
)
from pytest_mailauth.servers.behind import BEHIND
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
    from pytest_mailauth.servers.wire.channel import Terms
    from pytest_mailauth.servers.wire.listener import Make
    from pytest_mailauth.servers.wire.port import Socket


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
        config: The settings it was made from, with the state that its port is in now.
        host: The name to connect to, which is also the name on a valid certificate.
        port: The TCP port, chosen by the system.
        account: The account that may log in: ``account.username``, ``account.password``, ``account.address``.
        closed: True once it no longer serves.
    """

    def __init__(
        self, config: ServerConfig, shared: MailServers, listener_name: str = "main", sock: Socket | None = None
    ) -> None:
        self.config = config
        self.host = config.host
        self.account = shared.account
        self._shared = shared
        self._name = listener_name
        shared.store.hide_issued(config.auth.accept_token)
        self._script = Script(self.protocol)
        self._policy = Policy(config, shared.store.accounts, self._script, monotonic)
        self._answering: dict[PortState, Make] = {}
        self.closed = False
        self._states = [PortState(config.port_state)]
        self._watching: list[Callable[[], object]] = []
        self._listener = Listener(shared.loop, self._states[0], self._who_answers(self._states[0]), sock)
        self.port = self._listener.port

    def _who_answers(self, state: PortState) -> Make:
        """Return what makes the connections of clients that meet this state; another server has other settings."""
        if state not in self._answering:
            self._answering[state] = self._made_for(state)
        return self._answering[state]

    def _made_for(self, state: PortState) -> Make:
        shared, own = self._shared, self._policy
        config = BEHIND[state].server(self.config)
        policy = Policy(config, shared.store.accounts, self._script, monotonic)
        if config.host == self.config.host:
            policy.remember(own)
        terms = swapped = None
        if config.security is not Security.NONE:
            terms = self._terms(config, policy)
            swap = policy.one(Swap)
            if swap is not None:
                swapped = server_context(config.tls, swap.certificate, shared.ca, config.host)
        make_engine = engine_of(self.protocol)

        def engine(over_tls: bool) -> Engine:  # noqa: FBT001 - the contract's one argument
            return make_engine(policy, shared.store, over_tls=over_tls)

        def eavesdropper() -> Engine:
            accounts = tuple(shared.store.accounts)
            return make_engine(Policy(config, accounts), MailStore(accounts), over_tls=False)

        def connection(on_end: Callable[[Connection], None]) -> Connection:
            shown = swapped if swapped is not None and self.has_logged_in() else terms
            return Connection(engine, eavesdropper, policy, shown, on_end, state=state)

        return connection

    def _terms(self, config: ServerConfig, policy: Policy) -> Terms:
        """Return what makes TLS, proved to serve what the settings say.

        Raises:
            CannotServe: This host cannot.
        """
        certificate, ca = Certificate(config.certificate), self._shared.ca
        obsolete = policy.one(Negotiate)
        if obsolete is not None:
            from pytest_mailauth.servers.wire.legacy import legacy_terms

            return legacy_terms(obsolete.what, ca, config.host)
        context = server_context(config.tls, certificate, ca, config.host)
        if config.tls != TLSPolicy() or certificate is not Certificate.VALID:
            probe(context, config.tls)
        return context

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
    def port_state(self) -> PortState:
        """What a connecting client meets. Assign another state, or its name, while the server runs.

        Once it is assigned, clients that connect meet it. Open connections go on as they are, as behind a firewall
        whose rule is about new connections: nothing that was promised to a client is taken back. A client whose attempt
        waits on a port that does not answer comes through at its next retry once the port is open.

        Raises:
            ConfigError: There is no such state, or it contradicts the server's settings.
            CannotServe: This port, or this system, cannot do it.
            RuntimeError: The server is closed.
        """
        return self._states[-1]

    @port_state.setter
    def port_state(self, state: PortState | str) -> None:
        config = replace(self.config, port_state=state)
        wanted = PortState(config.port_state)

        def switched() -> None:
            self.config = config
            self._states.append(wanted)

        self._listener.switch(wanted, self._who_answers(wanted), switched)
        for watcher in tuple(self._watching):
            watcher()

    @property
    def port_states(self) -> tuple[PortState, ...]:
        """Every state that the port has been in, in order."""
        return tuple(self._states)

    def block(self, how: PortState | str = PortState.TIMEOUT) -> None:
        """Block the port: let clients that connect from now on meet *how*. See :attr:`port_state`.

        Raises:
            ConfigError: *how* is no state, or ``"open"``.
            CannotServe: This port, or this system, cannot do it.
        """
        if how == PortState.OPEN:
            raise ConfigError("how='open' blocks nothing; use lift()")
        self.port_state = how

    def lift(self) -> None:
        """Open the port."""
        self.port_state = PortState.OPEN

    def listen_on(
        self,
        sock: Socket,
        came: Callable[[Socket, int], object] = lambda *_: None,
        switched: Callable[[], object] = lambda: None,
    ) -> Callable[[], None]:
        """Serve on a further socket, too: one of another network, say. Records, script and settings are the same.

        Args:
            sock: A socket that listens. It is the server's to close.
            came: Called for each client that comes in there, on the thread that serves: its socket and the
                number of its session.
            switched: Called when :attr:`port_state` has changed. While the state is one in which nobody answers, it is
                for whoever made the socket to keep clients from it.

        Returns:
            What ends it.

        Raises:
            RuntimeError: The server is closed.
        """
        leave = self._listener.also(sock, came)
        self._watching.append(switched)

        def end() -> None:
            if switched in self._watching:
                self._watching.remove(switched)
            leave()

        return end

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
        """Return :attr:`sessions` to whoever is on the loop."""
        kind, accounts = (self.protocol, self.security, self._name), tuple(self._store.accounts)
        return tuple(
            SessionRecord(number, *kind, tuple(entries), accounts, self._store.issued)
            for number, entries in enumerate(self._listener.records, 1)
        )

    def has_logged_in(self) -> bool:
        """Return whether any client has logged in here. Call it on the loop."""
        return any(fact.accepted for session in self._records() for fact in session.of(Authentication))

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
