"""Worlds: what an account's servers and the network before them are like, as data, and as a play for a real client.

A world decides nothing about a client. Who plays in it is judged by what crossed the wire: by the rules that one
server's record can answer, and by the attempts, none of which may be weaker than one before.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.scenarios.scenario import without_starttls
from pytest_mailauth.model.config import AuthPolicy, ServerConfig, TLSPolicy, choose
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import SOUND, Certificate, ClientCertificate, PortState, Protocol, Security
from pytest_mailauth.model.trial import Declaration
from pytest_mailauth.network.hosts import check_port
from pytest_mailauth.plays import Played, WorldBroken, play
from pytest_mailauth.servers.environment import MailServers

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.judge.clients.case import Case

__all__ = ["Played", "Port", "World", "WorldBroken"]

_MODES: Final = {
    Security.IMPLICIT: "implicit TLS",
    Security.STARTTLS: "STARTTLS",
    Security.NONE: "no TLS",
}
_STATES: Final = {
    PortState.OPEN: "",
    PortState.REFUSED: "the port is closed",
    PortState.TIMEOUT: "nothing answers",
    PortState.SILENT: "somebody accepts and says nothing",
    PortState.RESET: "the connection is reset",
    PortState.HANDSHAKE_RESET: "the connection is reset in the handshake",
    PortState.HANDSHAKE_CLOSE: "the connection is closed in the handshake",
    PortState.BANNER: "a box on the path refuses in clear",
    PortState.INTERCEPTED: "another server answers, with a certificate of its own",
    PortState.INTERCEPTED_NO_TLS: "another server answers, in clear",
    PortState.PROHIBITED: "the network says that it is prohibited",
    PortState.SLOW: "a server answers byte by byte",
}
"""What a client meets on a port, in words."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Port:
    """What is behind one port of a world.

    Attributes:
        number: The TCP port.
        security: How the server there wants the connection to become secure.
        state: What a client meets, see :class:`~pytest_mailauth.model.terms.PortState`. Default ``"open"``.
        strips: Whether somebody on the path takes the offer of STARTTLS away. Default False.
        certificate: ``"valid"`` (default), or the name of one fault.
        tls: Which TLS the server speaks.
        auth: Who may log in, how, and on which layer.

    Raises:
        ConfigError: A value is unknown, or what is said does not go together.
    """

    number: int
    security: Security | str
    state: PortState | str = PortState.OPEN
    strips: bool = False
    certificate: Certificate | str = Certificate.VALID
    tls: TLSPolicy = field(default_factory=TLSPolicy)
    auth: AuthPolicy = field(default_factory=AuthPolicy)

    def __post_init__(self) -> None:
        check_port(self.number)
        for name, kind in (("security", Security), ("state", PortState), ("certificate", Certificate)):
            object.__setattr__(self, name, choose(kind, getattr(self, name), name))
        if self.strips and self.security is not Security.STARTTLS:
            raise ConfigError(f"strips=True takes STARTTLS away, and security is {str(self.security)!r}")

    def config(self, protocol: Protocol, host: str) -> ServerConfig:
        """Return the settings of the server behind the port.

        Raises:
            ConfigError: What is said does not go together.
        """
        return ServerConfig(
            protocol=protocol,
            security=self.security,
            host=host,
            port_state=self.state,
            certificate=self.certificate,
            tls=self.tls,
            auth=self.auth,
            deviations=without_starttls(protocol, 0.0) if self.strips else (),
        )

    @property
    def is_honest(self) -> bool:
        """True when a client that requires TLS, verifies and has the right password can log in."""
        auth, tls = self.auth, self.tls
        takes_passwords = auth.less_secure_apps and auth.reject is None and auth.decide is None
        return (
            self.state is PortState.OPEN
            and self.security is not Security.NONE
            and not self.strips
            and self.certificate in SOUND
            and (tls.max_version is None or tls.max_version >= "1.2")
            and tls.ciphers is None
            and tls.client_certificate is not ClientCertificate.REQUIRED
            and takes_passwords
            and auth.advertised
            and {"PLAIN", "LOGIN"} <= {*auth.mechanisms} - {*auth.too_weak}
            and auth.password_commands != "never"
        )

    def __repr__(self) -> str:
        return brief(self)

    def __str__(self) -> str:
        oldest_too = self.tls.min_version < "1.2"
        said = [
            _STATES[PortState(self.state)],
            "STARTTLS is stripped" if self.strips else "",
            f"the certificate is {self.certificate}" if self.certificate is not Certificate.VALID else "",
            f"TLS {self.tls.min_version} is served" if oldest_too else "",
            f"no TLS newer than {self.tls.max_version} is" if self.tls.max_version else "",
            "passwords are taken in clear" if self.auth.before_tls else "",
            f"every login is refused: {self.auth.reject}" if self.auth.reject else "",
        ]
        told = "; ".join(one for one in said if one) or "an honest server"
        return f"port {self.number}, {_MODES[Security(self.security)]}: {told}"


@dataclass(frozen=True, kw_only=True, repr=False)
class World:
    """An account, its servers, and what is in the way. As text it is a story; nothing runs before :meth:`play`.

    Attributes:
        protocol: What the account speaks. Default ``"smtp"``.
        host: The name of its server.
        ports: What is there; any other port is closed. By default one honest server on port 465.
        port: The port that the account's settings state; None (default) for the first of *ports*.
        security: The mode that they state; None (default) for the one of that port.

    Raises:
        ConfigError: There is no port, one is there twice, a value is unknown, or what is said does not go together.

    Examples:
        >>> print(World(ports=(Port(number=587, security="starttls", strips=True),)))
        smtp.example.test over SMTP, stated: port 587, STARTTLS
          port 587, STARTTLS: STARTTLS is stripped
          any other port is closed
    """

    protocol: Protocol | str = Protocol.SMTP
    host: str = "smtp.example.test"
    ports: tuple[Port, ...] = (Port(number=465, security=Security.IMPLICIT),)
    port: int | None = None
    security: Security | str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "protocol", choose(Protocol, self.protocol, "protocol"))
        numbers = [one.number for one in self.ports]
        if not numbers or len(set(numbers)) < len(numbers):
            raise ConfigError(f"ports={numbers} must be one port or more, each of them once")
        if self.port is not None:
            check_port(self.port)
        if self.security is not None:
            object.__setattr__(self, "security", choose(Security, self.security, "security"))
        elif self.port is not None and self.port not in numbers:
            raise ConfigError(f"port={self.port} has nothing behind it, so state its security, too")
        for one in self.ports:
            one.config(Protocol(self.protocol), self.host)  # which raises where it does not go together

    @property
    def stated(self) -> tuple[int, Security]:
        """The port and the mode that the account's settings state."""
        port = self.ports[0].number if self.port is None else self.port
        there = next((one.security for one in self.ports if one.number == port), None)
        return port, Security(self.security or there or Security.IMPLICIT)

    @property
    def is_honest(self) -> bool:
        """True when a client that does what the settings state logs in: then it has to."""
        port, security = self.stated
        return any(one.is_honest and (one.number, one.security) == (port, security) for one in self.ports)

    def __repr__(self) -> str:
        return brief(self)

    def __str__(self) -> str:
        port, security = self.stated
        head = f"{self.host} over {str(self.protocol).upper()}, stated: port {port}, {_MODES[security]}"
        return "\n  ".join([head, *map(str, self.ports), "any other port is closed"])

    def play(
        self,
        client: Callable[[Case], object],
        servers: MailServers | None = None,
        *,
        declared: Declaration | None = None,
    ) -> Played:
        """Let a client log in to this world for real, and judge what crossed the wire.

        The servers, names and ports are those of a :class:`~pytest_mailauth.network.network.Network` in this process:
        nothing leaves loopback, and a port that never answers takes no time. Only a port that accepts and is
        ``"silent"`` or ``"slow"`` takes the client's own time.

        Args:
            client: Called with a :class:`~pytest_mailauth.judge.clients.case.Case`: ``host``, ``port``, ``security``,
                ``username``, ``password``, ``ssl_context()``, ``timeout``. It may try other ports of the host, and is a
                coroutine function if you like. Whatever it raises is its way to give up, but for an AssertionError.
            servers: Whose thread and certificate authority to use: ``mailauth_factory``, which is safe under
                ``@given``. None (default) makes both for this play, which takes longer.
            declared: What the client is declared to do; None for one that requires TLS, verifies and has a limit of 2
                seconds.

        Returns:
            How it went: sessions, attempts, and what the client raised.

        Raises:
            WorldBroken: The client broke a rule, or an attempt was weaker than one before. The text has the rule, the
                transcript without secrets, and this world.
            ClientUnusable: The client tried nothing, or it did not log in to an honest server.
            CannotServe: This host cannot serve what a port asks for.

        Examples:
            >>> import smtplib
            >>> def client(case):
            ...     how = {"context": case.ssl_context(), "timeout": case.timeout}
            ...     with smtplib.SMTP_SSL(case.host, case.port, **how) as smtp:
            ...         smtp.login(case.username, case.password)
            >>> World().play(client).logged_in
            True
        """
        __tracebackhide__ = True
        declared = declared or Declaration()
        if servers is not None:
            return play(self, client, servers, declared)
        with MailServers() as own:
            return play(self, client, own, declared)


def brief(value: Any) -> str:
    """Return the call that makes *value*, without what it has by default.

    Examples:
        >>> brief(TLSPolicy(max_version="1.2"))
        "TLSPolicy(max_version='1.2')"
    """
    if isinstance(value, tuple):
        return f"({', '.join(map(brief, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, Enum):
        return repr(value.value)
    if not is_dataclass(value) or isinstance(value, type):
        return repr(value)
    said = []
    for one in fields(value):
        usual = one.default_factory() if one.default_factory is not MISSING else one.default
        if one.init and getattr(value, one.name) != usual:
            said.append(f"{one.name}={brief(getattr(value, one.name))}")
    return f"{type(value).__name__}({', '.join(said)})"
