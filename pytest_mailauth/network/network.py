"""A network for one test: names and real port numbers in front of the fakes, and what clients tried there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from pytest_mailauth.model.attempts import AttemptOutcome
from pytest_mailauth.model.config import choose, config_for
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import STANDARD_PORTS, PortState, Protocol, Security
from pytest_mailauth.network import redirect
from pytest_mailauth.network.directory import Directory

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from pytest_mailauth.model.attempts import Attempt
    from pytest_mailauth.model.canary import Account
    from pytest_mailauth.network.directory import Entry
    from pytest_mailauth.servers.environment import MailServers
    from pytest_mailauth.servers.server import MailServer

_AT_THE_DOOR: Final = (PortState.REFUSED, PortState.TIMEOUT)
"""What a client meets before any server could answer."""


class Host:
    """One name of the network. Its methods add a server each and return the host, so that they can be chained."""

    def __init__(self, network: Network, entry: Entry) -> None:
        self._network = network
        self._entry = entry

    def __repr__(self) -> str:
        return f"<Host {self.name} ports={sorted(self._entry.doors)}>"

    @property
    def name(self) -> str:
        """The name that clients look up, and that a valid certificate carries."""
        return self._entry.name

    def __getitem__(self, port: int) -> MailServer:
        try:
            return self._entry.doors[port]
        except KeyError:
            has = ", ".join(map(str, sorted(self._entry.doors))) or "none yet"
            raise ConfigError(f"{self.name} has no server on port {port}; it has {has}") from None

    def smtp(self, port: int = STANDARD_PORTS[Protocol.SMTP, Security.STARTTLS], **settings: Any) -> Host:
        """Add an SMTP server, by default with STARTTLS. Settings as for ``mailauth.smtp(...)``."""
        return self._add(Protocol.SMTP, Security.STARTTLS, port, settings)

    def smtps(self, port: int = STANDARD_PORTS[Protocol.SMTP, Security.IMPLICIT], **settings: Any) -> Host:
        """Add an SMTP server with implicit TLS (RFC 8314 section 3.3)."""
        return self._add(Protocol.SMTP, Security.IMPLICIT, port, settings)

    def pop3(self, port: int = STANDARD_PORTS[Protocol.POP3, Security.STARTTLS], **settings: Any) -> Host:
        """Add a POP3 server, by default with STLS."""
        return self._add(Protocol.POP3, Security.STARTTLS, port, settings)

    def pop3s(self, port: int = STANDARD_PORTS[Protocol.POP3, Security.IMPLICIT], **settings: Any) -> Host:
        """Add a POP3 server with implicit TLS (RFC 8314 section 3.1)."""
        return self._add(Protocol.POP3, Security.IMPLICIT, port, settings)

    def imap(self, port: int = STANDARD_PORTS[Protocol.IMAP, Security.STARTTLS], **settings: Any) -> Host:
        """Add an IMAP server, by default with STARTTLS."""
        return self._add(Protocol.IMAP, Security.STARTTLS, port, settings)

    def imaps(self, port: int = STANDARD_PORTS[Protocol.IMAP, Security.IMPLICIT], **settings: Any) -> Host:
        """Add an IMAP server with implicit TLS (RFC 8314 section 3.2)."""
        return self._add(Protocol.IMAP, Security.IMPLICIT, port, settings)

    def _add(self, protocol: Protocol, security: Security, port: int, settings: dict[str, Any]) -> Host:
        if port in self._entry.doors:
            raise ConfigError(f"port {port} of {self.name} has a server already: {self._entry.doors[port]!r}")
        made = config_for(protocol, {"security": security, "host": self.name, **settings}, {})
        self._entry.doors[port] = self._network.servers.serve(made, f"{self.name}:{port}")
        return self


class Network:
    """Names, ports and blocked ports for the Python clients of this process, while it is open.

    Args:
        servers: Who makes the servers.

    Examples:
        >>> import smtplib
        >>> from pytest_mailauth import MailServers
        >>> with MailServers() as servers, Network(servers) as network:
        ...     _ = network.host("smtp.example.test").smtp(587)
        ...     client = smtplib.SMTP("smtp.example.test", 587, timeout=5)
        ...     _ = client.starttls(context=network.ssl_context())
        ...     _ = client.quit()
        ...     print(network.attempts[0])
        smtp.example.test:587 connected, text first, spoke inside TLS
    """

    def __init__(self, servers: MailServers) -> None:
        self.servers = servers
        self._directory = Directory()

    def __enter__(self) -> Self:
        redirect.install(self._directory)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None:
            self.raise_escapes()

    @property
    def account(self) -> Account:
        """The account that may log in to every server here."""
        return self.servers.account

    @property
    def cafile(self) -> str:
        """Path of a PEM file with the certificate authority that a client has to trust."""
        return self.servers.ca.cafile

    def ssl_context(self) -> ssl.SSLContext:
        """Return a client context that verifies the certificate chain and the host name."""
        return self.servers.ca.ssl_context()

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What clients tried, in order, with what the servers saw of it up to now."""
        return self._directory.journal.attempts()

    def host(self, name: str) -> Host:
        """Return a host by name, made when it is asked for first.

        Raises:
            ConfigError: It is no host name.
        """
        return Host(self, self._directory.entry(name))

    def block(self, *where: str | int, how: PortState | str = PortState.TIMEOUT) -> None:
        """Block a port of a host, ``block("smtp.example.test", 25)``, or of all hosts, ``block(25)``.

        Raises:
            ConfigError: The arguments make no sense.
        """
        state = choose(PortState, how, "how")
        if state not in _AT_THE_DOOR:
            raise ConfigError(f"how={str(state)!r} is for one server: give its port_state")
        self._blocked(where)[_port(where)] = state

    def lift(self, *where: str | int) -> None:
        """Take a block back: that of one port, or with no argument all of them."""
        if not where:
            for blocked in (self._directory.blocked, *(entry.blocked for entry in self._directory.hosts.values())):
                blocked.clear()
            return
        self._blocked(where).pop(_port(where), None)

    def _blocked(self, where: tuple[str | int, ...]) -> dict[int, PortState]:
        if len(where) == 1:
            return self._directory.blocked
        return self._directory.entry(str(where[0])).blocked

    def raise_escapes(self) -> None:
        """Fail when a client tried to reach another machine.

        Raises:
            AssertionError: One did; the attempts are in the message.
        """
        left = [str(one) for one in self.attempts if one.outcome is AttemptOutcome.LEFT_LOOPBACK]
        if left:
            raise AssertionError(
                f"a client tried to reach another machine: {'; '.join(left)}. It was kept from it. Give the host a "
                "name with network.host(...), and let the client use that"
            )

    def close(self) -> None:
        """Put the functions of the socket module back. The servers stay with who made them."""
        redirect.remove(self._directory)


def _port(where: tuple[str | int, ...]) -> int:
    port = where[-1] if where else None
    if len(where) > 2 or not isinstance(port, int) or (len(where) == 2 and not isinstance(where[0], str)):
        raise ConfigError(f"{where!r} names no port; give a port such as 25, or a host and a port")
    return port
