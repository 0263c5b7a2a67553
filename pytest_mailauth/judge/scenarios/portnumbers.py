"""Class B on real port numbers: what a client makes of a number, for clients that derive the TLS mode from it."""

from __future__ import annotations

from typing import Final

from pytest_mailauth.judge.scenarios.plan import REAL_PORTS, NetworkPlan
from pytest_mailauth.judge.scenarios.scenario import OTHER_MODE, Scenario
from pytest_mailauth.model.terms import RELAY_PORT, Protocol, Security

FROM_PORT: Final = {"mode": "from-port", "port": "given"}
"""Clients that are told a port and no mode."""

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
        waits=True,
        stands_alone=True,
    ),
)
