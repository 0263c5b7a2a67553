"""What a provider profile is made of, and how it becomes the settings of a server. No provider is named here.

The host names and ports of a profile are facts to compare with, never a place to connect to: every server is served
on loopback, as ``localhost``, on a port that the system chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_mailauth.model.config import AuthPolicy, ServerConfig, TLSPolicy, choose
from pytest_mailauth.model.deviations import Announce, Greet, Hide
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import PortState, Protocol, Refusal, Security

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mailauth.model.deviations import Deviation


@dataclass(frozen=True)
class Source:
    """Where a fact can be read.

    Attributes:
        title: The title of a page, or the name of an RFC or of a paragraph of the source document.
        address: The address of a page, empty for the others.
    """

    title: str
    address: str = ""


@dataclass(frozen=True)
class Wording:
    r"""Something a server says.

    Attributes:
        text: The line without its end; the lines of a longer reply are separated by ``\n``.
        source: Where it was seen. None when it was not: the wording is then ours, neutral, in the provider's style.
        invented: True for a server that does not exist, where there is nothing to see.
    """

    text: str
    source: Source | None = None
    invented: bool = False

    @property
    def verified(self) -> bool:
        """True when the wording was seen somewhere public."""
        return self.source is not None

    @property
    def on_the_wire(self) -> str:
        """The text with the line ends of the protocols between its lines."""
        return self.text.replace("\n", "\r\n")


@dataclass(frozen=True, kw_only=True)
class Service:
    """One protocol of a provider in one TLS mode.

    Attributes:
        protocol: ``smtp``, ``pop3`` or ``imap``.
        security: ``implicit``, ``starttls`` or ``none``.
        host: The name that users are told. Never looked up.
        port: The port that users are told. Never connected to.
        located: Where host, port and mode can be read; None when they are an assumption.
        mechanisms: SASL mechanisms inside TLS.
        offered: Where the mechanisms were seen; None when they are an assumption.
        before_tls: SASL mechanisms in clear.
        password_commands: Where IMAP ``LOGIN`` and POP3 ``USER``/``PASS`` are accepted, as in ``AuthPolicy``.
        token_scope: The scope that the error challenge for a refused token tells; None for the usual one, or where
            no tokens are taken.
        challenges: Whether a refused token is answered with an error challenge first.
        token_answer: Where scope and challenge can be read; None when they are an assumption.
        less_secure_apps: False when the account's own password is refused because OAuth 2.0 is required (S16).
        tls: The TLS versions.
        port_state: What a client meets on the port.
        greeting: The greeting; None for the server's usual one.
        texts: Refusals in the provider's wording; the others are worded as usual.
        hides: Capabilities of these servers that the provider does not announce.
        announces: Capability lines that the provider adds and that promise nothing a client could use.
    """

    protocol: Protocol
    security: Security
    host: str
    port: int
    located: Source | None
    mechanisms: tuple[str, ...]
    offered: Source | None
    before_tls: tuple[str, ...] = ()
    password_commands: str = "tls"
    token_scope: str | None = None
    challenges: bool = True
    token_answer: Source | None = None
    less_secure_apps: bool = True
    tls: TLSPolicy = field(default_factory=TLSPolicy)
    port_state: PortState = PortState.OPEN
    greeting: Wording | None = None
    texts: Mapping[Refusal, Wording] = field(default_factory=dict, hash=False)
    hides: tuple[str, ...] = ()
    announces: tuple[str, ...] = ()

    @property
    def wordings(self) -> Iterator[Wording]:
        """Everything this service says in its own words."""
        if self.greeting is not None:
            yield self.greeting
        yield from self.texts.values()

    def config(self, *, less_secure_apps: bool | None = None, **auth: Any) -> ServerConfig:
        """Return the settings of a server on loopback that behaves like this service.

        Args:
            less_secure_apps: True lets the password in all the same, as an app password would be; None for what the
                provider does.
            auth: Other settings of ``AuthPolicy`` in place of the provider's, for example ``accept_token``. ``texts``
                are added to the provider's.

        Raises:
            ConfigError: A setting is unknown, or its value is.
        """
        deviations: list[Deviation] = []
        if self.greeting is not None:
            deviations.append(Greet(data=f"{self.greeting.on_the_wire}\r\n".encode()))
        if self.hides:
            deviations.append(Hide(names=self.hides))
        if self.announces:
            deviations += [Announce(lines=self.announces, over_tls=over_tls) for over_tls in (False, True)]
        allowed = self.less_secure_apps if less_secure_apps is None else less_secure_apps
        texts = {str(refusal): wording.on_the_wire for refusal, wording in self.texts.items()}
        if isinstance(given := auth.get("texts"), Mapping):
            auth["texts"] = {**texts, **given}
        return ServerConfig(
            protocol=self.protocol,
            security=self.security,
            tls=self.tls,
            port_state=self.port_state,
            deviations=tuple(deviations),
            auth=AuthPolicy(
                **{
                    "mechanisms": self.mechanisms,
                    "before_tls": self.before_tls,
                    "password_commands": self.password_commands,
                    "less_secure_apps": allowed,
                    "token_scope": self.token_scope,
                    "error_challenge": self.challenges,
                    "texts": texts,
                    **auth,
                }
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A provider of mail: its services, the recommended one of each protocol first.

    Attributes:
        name: The name to ask for, for example ``"gmail"``.
        title: What people call it.
        services: No two have the same protocol and mode.
        notes: What else a client has to know, a sentence or two.
        sources: Where the notes can be read.
    """

    name: str
    title: str
    services: tuple[Service, ...]
    notes: str
    sources: tuple[Source, ...]

    def service(self, protocol: Protocol | str, security: Security | str | None = None) -> Service:
        """Return one service; without *security* the recommended one of the protocol.

        Raises:
            ConfigError: The provider has no such service, or an argument is unknown.
        """
        wanted = choose(Protocol, protocol, "protocol")
        mode = None if security is None else choose(Security, security, "security")
        for service in self.services:
            if service.protocol is wanted and mode in (None, service.security):
                return service
        has = ", ".join(f"{service.protocol}/{service.security}" for service in self.services)
        asked = wanted.value if mode is None else f"{wanted}/{mode}"
        raise ConfigError(f"provider {self.name!r} has no service {asked}; it has {has}")

    def config(
        self,
        protocol: Protocol | str,
        security: Security | str | None = None,
        *,
        less_secure_apps: bool | None = None,
        **auth: Any,
    ) -> ServerConfig:
        """Return the settings of a server on loopback that behaves like one service.

        Args:
            protocol: ``"smtp"``, ``"pop3"`` or ``"imap"``.
            security: ``"implicit"``, ``"starttls"`` or ``"none"``; None for the recommended one.
            less_secure_apps: True lets the password in where OAuth 2.0 is required, as an app password would be, and
                False keeps it out; None for what the provider does (S16).
            auth: Other settings of ``AuthPolicy`` in place of the provider's, for example ``accept_token`` or
                ``decide``. ``texts`` are added to the provider's.

        Raises:
            ConfigError: The provider has no such service, or an argument is unknown.
        """
        return self.service(protocol, security).config(less_secure_apps=less_secure_apps, **auth)
