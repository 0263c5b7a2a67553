"""The environment that makes mail servers and owns what they share: accounts, messages, an authority, a thread."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from pytest_mailauth.model.canary import Account
from pytest_mailauth.model.config import ServerConfig, config_for
from pytest_mailauth.model.errors import ConfigError, ServerFault
from pytest_mailauth.model.terms import (
    Protocol,
)
from pytest_mailauth.servers.inbox import Inbox, ReadsMail
from pytest_mailauth.servers.mailstore import MailStore
from pytest_mailauth.servers.pki import CertificateAuthority
from pytest_mailauth.servers.server import MailServer
from pytest_mailauth.servers.showing import RECENT
from pytest_mailauth.servers.wire.loop import LoopThread

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_mailauth.servers.wire.port import Socket


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
    def defaults(self) -> dict[str, Any]:
        """Settings of the servers made here, where the call does not say otherwise."""
        return dict(self._defaults)

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

    def serve(self, config: ServerConfig, listener_name: str = "main", sock: Socket | None = None) -> MailServer:
        """Start a server with these settings.

        Args:
            config: The settings.
            listener_name: What its port is called in records.
            sock: A socket to listen on, which may listen already; the server closes it. None for a port of 127.0.0.1
                that the system chooses.

        Raises:
            RuntimeError: This environment is closed.
            CannotServe: This host cannot serve what the settings ask for.
        """
        self._must_be_open()
        home = self.environment() if self._isolated else self
        try:
            server = MailServer(config, home, listener_name, sock)
        except BaseException:
            if sock is not None:
                sock.close()
            raise
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
