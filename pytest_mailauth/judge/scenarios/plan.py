"""What a network holds in a trial, as data: names, real port numbers, and the servers beside the one under test.

Names are made for each trial, since trials run side by side in one process: a plan has ``{domain}`` for the mail
domain of the account, and ``{stranger}`` for a domain of somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.terms import RELAY_PORT, STANDARD_PORTS, PortState, Protocol, Security

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mailauth.model.trial import Declaration

MAIN_HOST: Final = "mail.{domain}"
"""The name of the server under test."""

WEAKER_PORTS: Final = {465: 587, 587: 25, 25: 2525, 993: 143, 143: 1143, 995: 110, 110: 1110}
"""Where a client turns that finds a port blocked: the other port of the account (S11, S13, S14)."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A further server of the trial.

    Attributes:
        host: Its name.
        port: Its port.
        listener: What its sessions are called in the record.
        security: Its mode.
        settings: Its other settings, see :class:`~pytest_mailauth.model.config.ServerConfig`.
    """

    host: str = MAIN_HOST
    port: int
    listener: str = "other"
    security: Security
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """The network of a scenario.

    Attributes:
        ports: The ports of the server under test, by protocol and mode, the one that the client is told first; those
            that the mode stands for where there is no entry.
        beside: Further servers, by protocol.
        blocked: Ports of the server's host that do not answer, and how.
        resolves: Whether the name of the server has an address.
        is_optional: Whether a free port of localhost will do for clients that do not meet real port numbers.
    """

    ports: Mapping[tuple[Protocol, Security], tuple[int, ...]] = field(default_factory=dict)
    beside: Mapping[Protocol, tuple[Beside, ...]] = field(default_factory=dict)
    blocked: Mapping[int, PortState] = field(default_factory=dict)
    resolves: bool = True
    is_optional: bool = False

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


def plan_for(network: NetworkPlan | None, declared: Declaration, *, reachable: bool = True) -> NetworkPlan | None:
    """Return the network that a trial needs, or None when a free port of localhost will do.

    Whoever is not told the mode or the port has to meet real port numbers, in every scenario.

    Args:
        network: The network of the scenario.
        declared: What the client is declared to do.
        reachable: Whether the client meets names and real port numbers at all.
    """
    if network is not None and network.is_optional and not reachable:
        network = None
    return network if network is not None or not declared.untold else REAL_PORTS
