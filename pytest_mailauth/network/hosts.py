"""A host of a test network as its users hold it: a name, its addresses, and the servers behind its ports."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_mailauth.model.config import config_for
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import STANDARD_PORTS, PortState, Protocol, Security
from pytest_mailauth.network.directory import FAMILIES

if TYPE_CHECKING:
    from pytest_mailauth.model.config import ServerConfig
    from pytest_mailauth.network.directory import Place
    from pytest_mailauth.network.network import Network
    from pytest_mailauth.servers.server import MailServer


class Host:
    """One name of the network. Its methods add a server each and return the host, so that they can be chained."""

    def __init__(self, network: Network, places: tuple[Place, ...]) -> None:
        self._network = network
        self._places = places

    def __repr__(self) -> str:
        return f"<Host {self.name} ports={sorted({port for place in self._places for port in place.doors})}>"

    @property
    def name(self) -> str:
        """The name that clients look up, and that a valid certificate carries."""
        return self._places[0].name

    @property
    def addresses(self) -> tuple[str, ...]:
        """The loopback addresses that a look-up of the name returns, in this order."""
        return tuple(place.address for place in self._places)

    def __getitem__(self, port: int) -> MailServer:
        for place in self._places:
            if port in place.doors:
                return place.doors[port]
        has = ", ".join(map(str, sorted({port for place in self._places for port in place.doors}))) or "none yet"
        raise ConfigError(f"{self.name} has no server on port {port}; it has {has}")

    def at(self, which: str | int) -> Host:
        """Return the same host at one of its addresses only: what is added or blocked there is nowhere else.

        Args:
            which: ``"ipv4"`` or ``"ipv6"`` for its addresses of that family, or a number that counts them from 0.

        Raises:
            ConfigError: It has no such address.
        """
        if isinstance(which, int) and not isinstance(which, bool):
            chosen = self._places[which : which + 1] if which >= 0 else ()
        else:
            chosen = tuple(place for place in self._places if place.family == which)
        if not chosen:
            has = ", ".join(f"{number} ({place.family})" for number, place in enumerate(self._places))
            raise ConfigError(
                f"{self.name} has no address {which!r}; it has {has}. Give it others where it is first asked for: "
                f"host({self.name!r}, addresses=('ipv6', 'ipv4'))"
            )
        return Host(self._network, chosen)

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

    def leads_to(self, server: MailServer, port: int) -> Host:
        """Let a server that exists answer on *port*, too: under another name than the one on its certificate, say.

        Raises:
            ConfigError: The port has a server, or is none.
        """
        self._must_be_free(port)
        for place in self._places:
            place.doors[port] = server
        self._network.changed()
        return self

    def leads_elsewhere(self, port: int, to: int) -> Host:
        """Let a port lead to a port of 127.0.0.1 where something listens that is no mail server.

        Connections there are no attempts to reach a mail server, and are not noted.

        Raises:
            ConfigError: The port has a server, or is none.
        """
        self._must_be_free(port)
        for place in self._places:
            place.elsewhere[port] = to
        return self

    def serve(self, config: ServerConfig, port: int) -> Host:
        """Add a server with settings that are complete but for its name, which is this host's.

        Raises:
            ConfigError: The port has a server, or is none.
            CannotServe: This host cannot serve what the settings ask for.
        """
        self._must_be_free(port)
        # The network answers that, so the server behind it is never asked.
        prohibited = config.port_state is PortState.PROHIBITED
        config = replace(config, host=self.name, port_state=PortState.OPEN if prohibited else config.port_state)
        server = self._network.servers.serve(config, f"{self.name}:{port}")
        self.leads_to(server, port)
        if prohibited:
            self.block(port, PortState.PROHIBITED)
        self._network.block_late(server, port)
        return self

    def block(self, port: int, how: PortState | str = PortState.TIMEOUT) -> Host:
        """Block a port of this host, or with ``at(...)`` of one of its addresses."""
        self._network.block_at(self._places, port, how)
        return self

    def lift(self, port: int) -> Host:
        """Take the block of a port back."""
        self._network.lift_at(self._places, port)
        return self

    def _add(self, protocol: Protocol, security: Security, port: int, settings: dict[str, Any]) -> Host:
        return self.serve(
            config_for(protocol, {"security": security, **settings}, self._network.servers.defaults), port
        )

    def _must_be_free(self, port: int) -> None:
        check_port(port)
        taken = next((place.doors[port] for place in self._places if port in place.doors), None)
        if taken is not None:
            raise ConfigError(f"port {port} of {self.name} has a server already: {taken!r}")


def check_port(port: Any) -> int:
    """Return a port number.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port <= 0xFFFF:
        raise ConfigError(f"port={port!r} must be a number from 1 to 65535, such as 587")
    return port


def families(addresses: Any) -> tuple[str, ...]:
    """Return the families of a host's addresses.

    Raises:
        ConfigError: One is not known.
    """
    given = (addresses,) if isinstance(addresses, str) else tuple(addresses)
    for family in given:
        if family not in FAMILIES:
            raise ConfigError(f"addresses: {family!r} is not known; use 'ipv4' and 'ipv6', in the order of a look-up")
    return given
