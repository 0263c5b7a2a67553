"""What a scenario is: a row of data that sets up one server, and the rules that look at what a client did with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.model.deviations import Deviation, Hide
from pytest_mailauth.model.terms import Protocol, Security

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mailauth.judge.scenarios.plan import Decoy, NetworkPlan
    from pytest_mailauth.model.trial import Declaration, Earlier

EVERY = tuple(Protocol)
BOTH = (Security.STARTTLS, Security.IMPLICIT)

OTHER_MODE: Final = {Security.STARTTLS: Security.IMPLICIT, Security.IMPLICIT: Security.STARTTLS}
"""For a server that speaks the mode which its port does not stand for."""

Deviations = Callable[[Protocol, float], tuple[Deviation, ...]]
"""Makes the deviations for one protocol; the number is the client's time-out in seconds."""


_WITHOUT_LOGIN: Final = ("A", "M")
"""Classes that tell something of a client without credentials too. For others there are rows of its own, since what a
server takes from it in clear is no login."""


def without_starttls(protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    """Offer no STARTTLS."""
    return (Hide(names=("STLS" if protocol is Protocol.POP3 else "STARTTLS",)),)


def _none(_protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    return ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Scenario:
    """A row of the scenario tables. There is one object a row, and it equals only itself.

    Attributes:
        name: Its name in the catalogue of scenarios.
        family: Its class in the catalogue, a letter.
        summary: What the server does, in one sentence.
        rules: The rules that look at it; all must be registered.
        severity: How bad a violation is.
        sources: Where it comes from.
        protocols: The protocols it exists for.
        modes: The client's security settings it exists for.
        auth: ``"oauth"`` for a scenario that only clients with tokens meet, ``"password"`` for one that they do not,
            ``"none"`` for one that only clients without credentials meet; None for all.
        needs: What a client has to be declared for the scenario to exist: ``{"mode": "from-port"}``.
        settings: Settings of the server, see :class:`~pytest_mailauth.model.config.ServerConfig`.
        server_security: The server's mode when it is not the client's, or that for each of the client's.
        deviations: Makes the deviations.
        control: Makes the deviations of a run to compare with, when the baseline is not enough.
        compared_with: The scenario whose trial is what to compare with; empty for the control or the baseline.
        host_may_decide: Whether this host may refuse in the client's place: a client that can be is run once more
            with the host's TLS policy relaxed.
        other_port: Whether the account has a second, weaker port.
        supplied: Whether the client is offered a connection that somebody else opened.
        earlier: A transfer that the client is told to make first; None for none.
        repeat: How often it is run, for clients that are racy.
        waits: Whether an obedient client waits for its time-out.
        patience: The limit of a run in multiples of the client's time-out.
        network: Names, real port numbers and what else there is beside the server; None for a server on a free port
            of localhost, unless the client is declared to need more.
        decoy: A further server that only the server under test names; None for none.
        stands_alone: Whether a violation shows by itself, also when the control fails because of it.
        tells: Fields of the client's case that this scenario sets: those of :data:`~pytest_mailauth.model.reports.WORK`
            (a client that never reads them is not judged), ``sender``, ``recipient``, ``username``, ``password``.
        wants: What a client has to report to be judged, keys of :data:`~pytest_mailauth.model.reports.REPORTS`.
        marker: A text that only the hostile part of the server says. A client that reports or uses it, believed it.
        profile: The smallest profile that it is part of: ``"core"``, ``"full"`` or ``"extended"``.
        variant_of: The scenario of the catalogue that it is a variant of; empty for the one of its own name.
        since: The rule set that it came with.
        inbox: Messages that lie in the mailbox.
    """

    name: str
    family: str
    summary: str
    rules: tuple[str, ...]
    severity: str
    sources: tuple[str, ...]
    protocols: tuple[Protocol, ...] = EVERY
    modes: tuple[Security, ...] = BOTH
    auth: str | None = None
    needs: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    server_security: Security | Mapping[Security, Security] | None = None
    deviations: Deviations = _none
    control: Deviations | None = None
    compared_with: str = ""
    host_may_decide: bool = False
    other_port: bool = False
    supplied: bool = False
    earlier: Earlier | None = None
    repeat: int = 1
    waits: bool = False
    patience: float = 2.5
    network: NetworkPlan | None = None
    decoy: Decoy | None = None
    stands_alone: bool = False
    tells: Mapping[str, Any] = field(default_factory=dict)
    wants: tuple[str, ...] = ()
    marker: str = ""
    profile: str = "core"
    variant_of: str = ""
    since: str = "2026.1"
    inbox: tuple[bytes, ...] = ()

    @property
    def only_for(self) -> dict[str, str]:
        """What a client has to be declared to meet the scenario; empty where every client does."""
        return ({"auth": self.auth} if self.auth else {}) | dict(self.needs)

    def is_for(self, protocol: Protocol, mode: Security, declared: Declaration) -> bool:
        """Return whether the scenario exists for a protocol and mode, and for a client so declared."""
        if declared.role == "mta" and self.family != "A" and self.needs.get("role") != "mta":
            return False  # the others are about what an MTA is free to do, or about logging in
        if declared.auth == "none" and self.auth != "none" and self.family not in _WITHOUT_LOGIN:
            return False
        return (
            protocol in self.protocols
            and mode in self.modes
            and all(getattr(declared, name) == value for name, value in self.only_for.items())
            # Who takes a connection from somebody else, or keeps one, was told where it goes.
            # Two transfers are told apart by their logins.
            and not (declared.auth == "none" and self.earlier)
            and not (declared.untold and (self.supplied or (self.earlier and not self.earlier.records_change)))
        )

    def config(self, protocol: Protocol, mode: Security, timeout: float, *, control: bool = False) -> ServerConfig:
        """Return the server's settings for one protocol and mode, or those of its control."""
        make = self.control if control and self.control else self.deviations
        served = self.server_security
        return ServerConfig(
            protocol=protocol,
            security=mode if served is None else served if isinstance(served, Security) else served[mode],
            deviations=make(protocol, timeout),
            **self.settings,
        )


@dataclass(frozen=True)
class Setting:
    """A scenario for one protocol and one mode: what a client is run against."""

    scenario: Scenario
    protocol: Protocol
    security: Security

    @property
    def id(self) -> str:
        """The stable identifier, for example ``"smtp-starttls-starttls-offered-454"``."""
        return f"{self.protocol}-{self.security}-{self.scenario.name}"
