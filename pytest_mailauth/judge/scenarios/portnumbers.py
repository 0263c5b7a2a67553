"""Class B on real port numbers: what a client makes of a number, for clients that derive the TLS mode from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from pytest_mailauth.judge.scenarios.plan import REAL_PORTS, Beside, NetworkPlan
from pytest_mailauth.judge.scenarios.scenario import BOTH, OTHER_MODE, Scenario, without_starttls
from pytest_mailauth.model.config import IN_CLEAR, AuthPolicy
from pytest_mailauth.model.terms import RELAY_PORT, STANDARD_PORTS, PortState, Protocol, Security

_STARTTLS, _IMPLICIT = Security.STARTTLS, Security.IMPLICIT
FROM_PORT: Final = {"mode": "from-port", "port": "given"}
"""Clients that are told a port and no mode."""
STATED: Final = {"mode": "stated", "port": "given"}
"""Clients that are told both."""
CHOOSES_PORT: Final = {"port": "chosen", "discovers": "no"}
"""Clients that are told a host and no port."""
CHOOSES: Final = {"mode": "from-port", "port": "chosen", "discovers": "no"}
"""Clients that are told a host alone."""

CUSTOM_PORTS: Final = {Protocol.SMTP: 2525, Protocol.POP3: 2110, Protocol.IMAP: 2143}
"""Ports that stand for no mode (S10)."""
_CUSTOM: Final = NetworkPlan(
    ports={(protocol, mode): (port,) for protocol, port in CUSTOM_PORTS.items() for mode in BOTH}
)
_IMPLICIT_PORTS: Final = {protocol: STANDARD_PORTS[protocol, _IMPLICIT] for protocol in Protocol}
_BOTH: Final = NetworkPlan(
    beside={protocol: (Beside(port=port, security=_IMPLICIT),) for protocol, port in _IMPLICIT_PORTS.items()}
)
"""The implicit TLS port of the account is open as well, and as honest."""
_IMPLICIT_DROPPED: Final = NetworkPlan(blocked=dict.fromkeys(_IMPLICIT_PORTS.values(), PortState.TIMEOUT))


def _custom(name: str, mode: Security, summary: str, needs: dict[str, str], **served: Any) -> Scenario:
    return Scenario(
        name=name,
        family="B",
        summary=summary,
        rules=("custom-port-needs-mode",),
        modes=(mode,),
        needs=needs,
        network=_CUSTOM,
        **{"severity": "high", "sources": ("S10",)} | served,
    )


def _autodetect(name: str, summary: str, auth: AuthPolicy) -> Scenario:
    return Scenario(
        name=name,
        family="S",
        summary=summary,
        rules=("discovery-keeps-floor",),
        severity="critical",
        sources=("S11", "RFC 8314 section 5.1"),
        modes=(_STARTTLS,),
        needs=CHOOSES,
        settings={"auth": auth},
        deviations=without_starttls,
        network=_IMPLICIT_DROPPED,
        waits=True,
    )


ROWS: Final = (
    # The server speaks the other mode, so that a client which takes the port for that one gets on and shows it.
    Scenario(
        name="port-default-mode",
        family="B",
        summary="The client is told the port alone (587, 110, 143 or 465, 995, 993); the server there speaks the mode "
        "that the port does not stand for.",
        rules=("port-implies-mode",),
        severity="high",
        sources=("S9", "S13", "S14", "RFC 8314 section 3"),
        needs=FROM_PORT,
        server_security=OTHER_MODE,
        network=REAL_PORTS,
        waits=True,
        stands_alone=True,
    ),
    Scenario(
        name="port-default-mode-25",
        family="B",
        summary="The client is told port 25 alone; the server there has implicit TLS, which the port does not stand "
        "for.",
        rules=("port-implies-mode",),
        severity="high",
        sources=("S9",),
        protocols=(Protocol.SMTP,),
        modes=(Security.STARTTLS,),
        needs=FROM_PORT,
        server_security=OTHER_MODE,
        network=NetworkPlan(ports={(Protocol.SMTP, Security.STARTTLS): (RELAY_PORT,)}),
        variant_of="port-default-mode",
        waits=True,
        stands_alone=True,
    ),
    _custom(
        "custom-port-no-mode-plain-server",
        _STARTTLS,
        "The client is told a port that stands for no mode (2525, 2110, 2143); there STARTTLS is offered, and "
        "authentication in clear.",
        FROM_PORT,
        settings={"auth": IN_CLEAR},
    ),
    _custom(
        "custom-port-no-mode-tls-server",
        _IMPLICIT,
        "The client is told a port that stands for no mode; the server there waits for a TLS handshake.",
        FROM_PORT,
        waits=True,
    ),
    _custom(
        "custom-port-no-mode-no-tls",
        _STARTTLS,
        "The client is told a port that stands for no mode; the server there has no TLS and takes passwords in clear.",
        FROM_PORT,
        severity="critical",
        sources=("S10", "S9"),
        server_security=Security.NONE,
        settings={"auth": IN_CLEAR},
    ),
    _custom(
        "custom-port-explicit-stated",
        _STARTTLS,
        "Honest server with STARTTLS on a port that stands for no mode; the client is told STARTTLS.",
        STATED,
        severity="medium",
    ),
    _custom(
        "custom-port-implicit-stated",
        _IMPLICIT,
        "Honest server with implicit TLS on a port that stands for no mode; the client is told implicit TLS.",
        STATED,
        severity="medium",
        waits=True,
    ),
    Scenario(
        name="port-587-default",
        family="B",
        summary="The client is told the host alone; ports 25 and 587 are open and honest, and so is 465.",
        rules=("submission-port-not-25",),
        severity="low",
        sources=("S6", "RFC 6409 section 3.1"),
        protocols=(Protocol.SMTP,),
        modes=(_STARTTLS,),
        needs=CHOOSES_PORT,
        network=_BOTH,
    ),
    Scenario(
        name="implicit-preferred-when-both",
        family="B",
        summary="The client is told the host alone; the ports for STARTTLS and for implicit TLS are open and honest.",
        rules=("prefer-implicit-tls",),
        severity="low",
        sources=("S14", "RFC 8314 section 3"),
        modes=(_STARTTLS,),
        needs=CHOOSES,
        network=_BOTH,
    ),
    _autodetect(
        "autodetect-order",
        "The client is told the host alone; the implicit TLS port is never answered, and the others (587 and 25, 110, "
        "143) offer no STARTTLS and take passwords in clear.",
        IN_CLEAR,
    ),
    _autodetect(
        "autodetect-probe-with-credentials",
        "The client is told the host alone; the implicit TLS port is never answered, and the others offer no STARTTLS "
        "and refuse every password.",
        replace(IN_CLEAR, reject="invalid"),
    ),
)
