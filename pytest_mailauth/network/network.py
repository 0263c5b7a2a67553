"""A network for one test: names and real port numbers in front of the fakes, and what clients tried there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from pytest_mailauth.model.attempts import AttemptOutcome
from pytest_mailauth.model.config import ServerConfig, choose
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.portstates import RELAY_HOST, UNSEEN
from pytest_mailauth.model.terms import STANDARD_PORTS, PortState, Protocol, Security
from pytest_mailauth.network import isps, redirect, uncovered
from pytest_mailauth.network.directory import Directory
from pytest_mailauth.network.hosts import Host, check_port, families
from pytest_mailauth.network.providers import provider
from pytest_mailauth.network.records import MX, SRV, TXT, host_name, number, service_name
from pytest_mailauth.network.running import RunsPrograms

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from pytest_mailauth.model.attempts import Attempt
    from pytest_mailauth.model.canary import Account
    from pytest_mailauth.network.directory import Place
    from pytest_mailauth.network.dns import NameServer
    from pytest_mailauth.network.profile import Provider
    from pytest_mailauth.network.records import Record
    from pytest_mailauth.servers.environment import MailServers
    from pytest_mailauth.servers.server import MailServer

_ON_PORT: Final = {port: kind for kind, port in STANDARD_PORTS.items()} | {25: (Protocol.SMTP, Security.STARTTLS)}
"""What a box on the path takes a connection for, by its port."""
_BOX: Final = "box.isp.test"


class Network(RunsPrograms):
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
        self._directory = Directory(lambda: servers.servers)
        self._at_servers: dict[int, PortState] = {}
        """Blocks of all hosts that the servers themselves carry out, by port."""
        self._dns: NameServer | None = None
        super().__init__()

    def __enter__(self) -> Self:
        self.open()
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
        self._let_programs_in()
        return self._directory.journal.attempts()

    def host(self, name: str, addresses: Iterable[str] | str = ()) -> Host:
        """Return a host by name, made when it is asked for first.

        Args:
            name: Its name.
            addresses: The families of its addresses, in the order in which a look-up returns them:
                ``("ipv6", "ipv4")``. One of IPv4 when nothing is said.

        Raises:
            ConfigError: It is no host name, or the host has other addresses already.
        """
        host = Host(self, self._directory.entry(name, families(addresses)).places)
        self.changed()
        return host

    def provider(self, name: str, *, less_secure_apps: bool | None = None, **auth: Any) -> Provider:
        """Add every service of a provider profile under its own name and port, and return the profile.

        Args:
            name: The profile, see :func:`~pytest_mailauth.network.providers.provider`.
            less_secure_apps: As in :meth:`~pytest_mailauth.network.profile.Provider.config`.
            auth: The same.

        Raises:
            ConfigError: There is no such profile, a setting is unknown, or one of its ports has a server already.
            CannotServe: This host cannot serve it: TLS 1.0 for ``"legacy"``.
        """
        profile = provider(name)
        configs = [service.config(less_secure_apps=less_secure_apps, **auth) for service in profile.services]
        for service, config in zip(profile.services, configs, strict=True):
            self.host(service.host).serve(config, service.port)
        return profile

    def isp(self, name: str) -> Self:
        """Connect this network through an access provider: ``"blocks-25"`` or ``"forces-relay"`` (S7, S11).

        Raises:
            ConfigError: There is none of that name.
        """
        isp = isps.isp(name)
        for port, state in isp.blocks.items():
            self.block(port, how=state)
        for port in isp.forces:
            relay = self.host(RELAY_HOST).smtp(port, **isps.RELAY_SETTINGS)
            self._directory.forced[port] = relay[port]
        self.changed()
        return self

    def unresolvable(self, *names: str) -> Self:
        """Let these names have no address, whoever asks for them and whatever servers they have."""
        self._directory.unknown |= {host_name(name, "name") for name in names}
        self.changed()
        return self

    def alias(self, name: str, target: str) -> Self:
        """Let a look-up say that a host is an alias of another name (CNAME). It keeps its own addresses and servers.

        Raises:
            ConfigError: One of the two is no host name.
        """
        self._directory.entry(name).alias_of = host_name(target, "target")
        self.changed()
        return self

    def mx(self, domain: str, exchange: str, preference: int = 10) -> Self:
        """Say who takes the mail of a domain. The exchange ``"."`` says that nobody does (RFC 7505)."""
        return self._record(domain, MX(number(preference, "preference"), host_name(exchange, "exchange")))

    def srv(self, service: str, target: str, port: int, *, priority: int = 0, weight: int = 0) -> Self:
        """Say where a service of a domain is: ``srv("_submissions._tcp.example.test", "smtp.example.test", 465)``.

        The target ``"."`` says that the service is not offered (RFC 2782). For the names of mail services see
        RFC 6186 section 3 and RFC 8314.

        Raises:
            ConfigError: A value is none.
        """
        where = number(port, "port"), host_name(target, "target")
        return self._record(service_name(service), SRV(number(priority, "priority"), number(weight, "weight"), *where))

    def txt(self, name: str, text: str) -> Self:
        """Give a name a text."""
        return self._record(name, TXT(text))

    def withdraw(self, name: str) -> Self:
        """Take the records of a name back: those that ``mx()``, ``srv()`` and ``txt()`` gave it."""
        self._directory.records.pop(host_name(name, "name"), None)
        return self

    def when_asked(self, do: Callable[[], object]) -> Self:
        """Call *do* before each question is answered that comes to :meth:`dns`: what it says in the records holds.

        It is called on the thread of the servers, and must not wait for them.
        """
        self._directory.before_answer = do
        return self

    def _record(self, name: str, record: Record) -> Self:
        self._directory.records.setdefault(host_name(name, "name"), []).append(record)
        return self

    def dns(self) -> tuple[str, int]:
        """Return host and port of a real DNS server on loopback (UDP and TCP) that answers from this network only.

        It is started by the first call.

        Raises:
            ConfigError: The optional package for it is not installed.
        """
        if self._dns is None:
            from pytest_mailauth.network.dns import NameServer  # noqa: PLC0415 - of an optional package

            self._dns = NameServer(self._directory, self.servers.loop)
        return self._dns.address

    def block(self, *where: str | int, how: PortState | str = PortState.TIMEOUT) -> Self:
        """Block a port of a host, ``block("smtp.example.test", 25)``, or of all hosts, ``block(25)``.

        Args:
            where: The name of a host, which may be left out, and a port.
            how: What clients meet there, a :class:`~pytest_mailauth.model.terms.PortState`.

        Raises:
            ConfigError: The arguments make no sense, or a server would have to answer on a port of which nothing
                says for which protocol.
        """
        port = _port(where)
        if len(where) == 2:
            self.host(str(where[0])).block(port, how)
            return self
        state = _state(how)
        self.lift(port)
        if state in UNSEEN:
            self._directory.blocked[port] = state
            self.changed()
            return self
        for server in self._servers_on(port):
            server.block(state)
        self._directory.boxes[port] = self._box(port, state)
        self._at_servers[port] = state
        self.changed()
        return self

    def lift(self, *where: str | int) -> Self:
        """Take a block back: that of one port, or with no argument all of them."""
        directory = self._directory
        if len(where) == 2:
            self.host(str(where[0])).lift(_port(where))
            return self
        everywhere = {*directory.blocked, *self._at_servers}
        for port in (_port(where),) if where else everywhere:
            directory.blocked.pop(port, None)
            directory.boxes.pop(port, None)
            if self._at_servers.pop(port, None) is not None:
                for server in self._servers_on(port):
                    _open(server)
        if not where:
            for entry in tuple(directory.hosts.values()):
                for port in {port for place in entry.places for port in (*place.blocked, *place.boxes)}:
                    self.lift_at(entry.places, port)
        self.changed()
        return self

    def block_at(self, places: Iterable[Place], port: int, how: PortState | str) -> None:
        """Block a port of some addresses; :meth:`Host.block` is the way to call it."""
        state = _state(how)
        check_port(port)
        for place in places:
            self.lift_at((place,), port)
            if state in UNSEEN:
                place.blocked[port] = state
            elif port in place.doors:
                place.doors[port].block(state)
                place.held[port] = state
            else:
                place.boxes[port] = self._box(port, state, place.name)
        self.changed()

    def lift_at(self, places: Iterable[Place], port: int) -> None:
        """Take the block of a port of some addresses back."""
        for place in places:
            place.blocked.pop(port, None)
            place.boxes.pop(port, None)
            if place.held.pop(port, None) is not None:
                _open(place.doors[port])
        self.changed()

    def block_late(self, server: MailServer, port: int) -> None:
        """Let a server that was just added meet the block of its port that all hosts have."""
        if port in self._at_servers:
            server.block(self._at_servers[port])

    def _servers_on(self, port: int) -> list[MailServer]:
        places = (place for entry in tuple(self._directory.hosts.values()) for place in entry.places)
        return list(dict.fromkeys(place.doors[port] for place in places if port in place.doors))

    def _box(self, port: int, state: PortState, host: str = _BOX) -> MailServer:
        """Return a server that answers where a host has none, in the name of whoever is on the path."""
        if port not in _ON_PORT:
            raise ConfigError(
                f"how={str(state)!r} needs a server to answer, and nothing says for which protocol on port {port}; add "
                "one there first, or block it with 'timeout', 'refused' or 'prohibited'"
            )
        protocol, security = _ON_PORT[port]
        config = ServerConfig(protocol=protocol, security=security, host=host, port_state=state)
        return self.servers.serve(config, f"{host}:{port}")

    def wait_really(self) -> Self:
        """Let attempts that nobody answers take as long as their clients wait, in place of ending them at once."""
        self._directory.really = True
        return self

    def summary(self) -> str:
        """Return what clients tried, a line for each attempt, or why none may have come."""
        lines = [f"{one.number}. {one}" for one in self.attempts] + self._directory.bypassed
        return "\n".join(lines) or uncovered.told(self._directory) or "no client tried to connect"

    def raise_escapes(self) -> None:
        """Fail when a client tried to reach another machine, or went past this network.

        Raises:
            AssertionError: One did; the attempts are in the message.
        """
        left = [str(one) for one in self.attempts if one.outcome is AttemptOutcome.LEFT_LOOPBACK]
        if left:
            raise AssertionError(
                f"a client tried to reach another machine: {'; '.join(left)}. It was kept from it. Give the host a "
                "name with network.host(...), and let the client use that"
            )
        if self._directory.bypassed:
            raise AssertionError("; ".join(self._directory.bypassed))

    def open(self) -> None:
        """Lead the connections of this process, until :meth:`close`."""
        self._runs_none = False
        redirect.install(self._directory)

    def close(self) -> None:
        """Put the functions of the socket module back. The servers stay with who made them."""
        redirect.remove(self._directory)
        self._end_programs()
        self._directory.unanswered.close()
        if self._dns is not None:
            self._dns.close()
            self._dns = None


def _port(where: tuple[str | int, ...]) -> int:
    port = where[-1] if where else None
    if len(where) > 2 or not isinstance(port, int) or (len(where) == 2 and not isinstance(where[0], str)):
        raise ConfigError(f"{where!r} names no port; give a port such as 25, or a host and a port")
    return check_port(port)


def _state(how: PortState | str) -> PortState:
    state = choose(PortState, how, "how")
    if state is PortState.OPEN:
        raise ConfigError("how='open' blocks nothing; use lift()")
    return state


def _open(server: MailServer) -> None:
    if not server.closed:
        server.lift()
