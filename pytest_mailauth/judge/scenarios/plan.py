"""What a network holds in a trial, as data: names, real port numbers, and the servers beside the one under test.

Names are made for each trial, since trials run side by side in one process: a plan has ``{domain}`` for the mail
domain of the account, and ``{stranger}`` for a domain of somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.terms import RELAY_PORT, STANDARD_PORTS, PortState, Protocol, Security
from pytest_mailauth.servers.configfile import ConfigFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mailauth.model.trial import Declaration

MAIN_HOST: Final = "mail.{domain}"
"""The name of the server under test, unless a client has to guess it."""

GUESSED: Final = {Protocol.SMTP: "smtp.{domain}", Protocol.POP3: "pop.{domain}", Protocol.IMAP: "imap.{domain}"}
"""The name that a client guesses first."""

SERVICES: Final = {
    (Protocol.SMTP, Security.IMPLICIT): "_submissions._tcp",
    (Protocol.SMTP, Security.STARTTLS): "_submission._tcp",
    (Protocol.POP3, Security.IMPLICIT): "_pop3s._tcp",
    (Protocol.POP3, Security.STARTTLS): "_pop3._tcp",
    (Protocol.IMAP, Security.IMPLICIT): "_imaps._tcp",
    (Protocol.IMAP, Security.STARTTLS): "_imap._tcp",
}
"""What a service is called in the SRV records of a domain (RFC 6186 section 3, RFC 8314 section 5.1)."""

WEAKER_PORTS: Final = {465: 587, 587: 25, 25: 2525, 993: 143, 143: 1143, 995: 110, 110: 1110}
"""Where a client turns that finds a port blocked: the other port of the account (S11, S13, S14)."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A further server of the trial.

    Attributes:
        host: Its name; None for that of the server under test.
        port: Its port.
        listener: What its sessions are called in the record.
        security: Its mode.
        settings: Its other settings, see :class:`~pytest_mailauth.model.config.ServerConfig`.
        at: The address family at which it answers; None for every address of its host.
    """

    host: str | None = None
    port: int
    listener: str = "other"
    security: Security
    settings: Mapping[str, Any] = field(default_factory=dict)
    at: str | None = None


DECOY_HOST: Final = "decoy.{stranger}"
"""The name of a decoy where there are names."""


@dataclass(frozen=True, kw_only=True)
class Decoy:
    """A further server that nobody names but the server under test: ``{decoy}`` in its deviations.

    Its sessions are called ``"decoy"`` in the record.

    Attributes:
        security: Its mode.
        settings: Its other settings, see :class:`~pytest_mailauth.model.config.ServerConfig`.
        in_error_challenge: Whether it is a web server in place of all that, and the error challenge of a refused token
            names it for ``openid-configuration`` (RFC 7628 section 3.2.2). Then every token is refused.
    """

    security: Security = Security.NONE
    settings: Mapping[str, Any] = field(default_factory=dict)
    in_error_challenge: bool = False


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """The network of a scenario.

    Attributes:
        ports: The ports of the server under test, by protocol and mode, the one that the client is told first; those
            that the mode stands for where there is no entry.
        beside: Further servers, by protocol.
        blocked: Ports of the server's host that do not answer, and how.
        resolves: Whether the name of the server has an address.
        host: The name of the server under test; None for :data:`MAIN_HOST`, or what the client guesses.
        addresses: The families of its addresses, in the order of a look-up; the server answers at the first alone.
        denies_implicit: Whether the domain says that it has no service with implicit TLS (RFC 6186 section 3.4).
        moves_to: The name of a further server, which the records of the domain name in place of the first one once a
            client has logged in there; None when they stay as they are.
        config_file: How the domain serves the file that a client reads which is declared ``discovers="autoconfig"``.
        is_optional: Whether a free port of localhost will do for clients that do not meet real port numbers.
        by_address: Whether the client is told the address of the server in place of its name.
        spelled: How the client is told the name, where that is not how it stands in certificates.
        alias_of: The name that the name of the server is an alias of, as the DNS says; None when it is none.
    """

    ports: Mapping[tuple[Protocol, Security], tuple[int, ...]] = field(default_factory=dict)
    beside: Mapping[Protocol, tuple[Beside, ...]] = field(default_factory=dict)
    blocked: Mapping[int, PortState] = field(default_factory=dict)
    resolves: bool = True
    host: str | None = None
    addresses: tuple[str, ...] = ()
    denies_implicit: bool = False
    moves_to: str | None = None
    config_file: ConfigFile = field(default_factory=ConfigFile)
    is_optional: bool = False
    by_address: bool = False
    spelled: str | None = None
    alias_of: str | None = None

    def host_of(self, protocol: Protocol, declared: Declaration) -> str:
        """Return the name of the server under test."""
        return self.host or (GUESSED[protocol] if declared.discovers == "guess" else MAIN_HOST)

    def ports_of(self, protocol: Protocol, mode: Security, declared: Declaration) -> tuple[int, ...]:
        """Return the ports at which the server under test answers, the one that the client is told first."""
        if (protocol, mode) in self.ports:
            return self.ports[protocol, mode]
        usual = (STANDARD_PORTS[protocol, mode],)
        # A client that chooses may come to either, and the server is the same at both: which it takes is seen.
        is_both = declared.port == "chosen" and usual == (STANDARD_PORTS[Protocol.SMTP, Security.STARTTLS],)
        return (*usual, RELAY_PORT) if is_both else usual


REAL_PORTS: Final = NetworkPlan()
"""The server under test under a name of its own at its real port, and nothing beside it."""


IF_REACHABLE: Final = NetworkPlan(is_optional=True)
"""The same for clients that meet real port numbers; others are told a free port, and the other port of the account."""


def plan_for(
    network: NetworkPlan | None, declared: Declaration, *, reachable: bool = True, by_name: bool = False
) -> NetworkPlan | None:
    """Return the network that a trial needs, or None when a free port of localhost will do.

    Whoever is not told the mode or the port has to meet real port numbers, in every scenario.

    Args:
        network: The network of the scenario.
        declared: What the client is declared to do.
        reachable: Whether the client meets names and real port numbers at all.
        by_name: Whether it is told nothing else.
    """
    if network is not None and network.is_optional and not reachable:
        network = None
    return network if network is not None or not (declared.untold or by_name) else REAL_PORTS
