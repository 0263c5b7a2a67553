"""Classes B, C and S: ports that are blocked, silent, cut off, or speak the other mode, and weaker ones beside them."""

from __future__ import annotations

from typing import Final

from pytest_mailauth.judge.scenarios.plan import IF_REACHABLE, Beside, NetworkPlan
from pytest_mailauth.judge.scenarios.scenario import BOTH, Scenario, without_starttls
from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.model.terms import RELAY_PORT, STANDARD_PORTS, Certificate, PortState, Protocol, Security


def _blocked(name: str, state: PortState, summary: str, *, waits: bool) -> Scenario:
    return Scenario(
        name=name,
        family="C",
        summary=summary,
        rules=("blocked-port-diagnosed",),
        severity="medium",
        sources=("S7", "S11"),
        settings={"port_state": state},
        waits=waits,
    )


def _switched(
    name: str, mode: Security, protocols: tuple[Protocol, ...], summary: str, variant_of: str = ""
) -> Scenario:
    return Scenario(
        name=name,
        family="C",
        summary=summary,
        rules=("no-silent-port-switch",),
        severity="critical",
        sources=("S11", "S13", "S14"),
        protocols=protocols,
        modes=(mode,),
        settings={"port_state": PortState.REFUSED},
        other_port=True,
        network=IF_REACHABLE,
        variant_of=variant_of,
    )


def _guessable() -> dict[Protocol, tuple[Beside, ...]]:
    """Return honest servers under the names that a client may come upon by itself, on the usual ports."""
    names = {Protocol.SMTP: "smtp", Protocol.POP3: "pop", Protocol.IMAP: "imap"}
    return {
        protocol: tuple(
            Beside(host=host, port=STANDARD_PORTS[protocol, mode], security=mode, listener="decoy")
            for host in ("{domain}", f"{name}.{{domain}}")
            for mode in BOTH
        )
        for protocol, name in names.items()
    }


ROWS: Final = (
    _blocked("port-refuse", PortState.REFUSED, "Nothing listens on the port.", waits=False),
    _blocked("port-drop", PortState.TIMEOUT, "The connection attempt is never answered.", waits=True),
    _blocked("port-tarpit", PortState.SILENT, "The connection is accepted, and nothing is ever sent.", waits=True),
    _blocked("port-accept-then-rst", PortState.RESET, "The connection is accepted and reset at once.", waits=False),
    Scenario(
        name="port-blocked-by-banner",
        family="C",
        summary="A box on the way answers in clear that the port is blocked, and closes.",
        rules=("blocked-port-diagnosed",),
        severity="medium",
        sources=("S11", "RFC 5321 section 3.1"),
        modes=(Security.STARTTLS,),
        settings={"port_state": PortState.BANNER},
    ),
    Scenario(
        name="port-intercepted-by-isp",
        family="C",
        summary="The provider's own relay answers: a valid certificate for its name, and every login is taken.",
        rules=("verify-hostname", "verify-before-credentials"),
        severity="critical",
        sources=("S11", "RFC 7817 section 3"),
        protocols=(Protocol.SMTP,),
        settings={"port_state": PortState.INTERCEPTED},
    ),
    Scenario(
        name="port-intercepted-no-tls",
        family="C",
        summary="The provider's own relay answers without STARTTLS: it takes every login in clear and relays anything.",
        rules=("starttls-required-is-required",),
        severity="critical",
        sources=("S11", "RFC 3207 section 6"),
        protocols=(Protocol.SMTP,),
        modes=(Security.STARTTLS,),
        settings={"port_state": PortState.INTERCEPTED_NO_TLS},
    ),
    _switched(
        "port-465-blocked-587-clear",
        Security.IMPLICIT,
        (Protocol.SMTP,),
        "The implicit TLS port is refused; the other port of the account offers no STARTTLS.",
    ),
    _switched(
        "port-993-blocked-143-clear",
        Security.IMPLICIT,
        (Protocol.IMAP, Protocol.POP3),
        "The implicit TLS port (993, or 995) is refused; the other port of the account offers no STARTTLS.",
    ),
    # The catalogue has these two inside autodetect-order; here each is a row, called like those above.
    _switched(
        "port-587-blocked-25-clear",
        Security.STARTTLS,
        (Protocol.SMTP,),
        "The submission port is refused; the other port of the account, such as 25, offers no STARTTLS.",
        "autodetect-order",
    ),
    _switched(
        "port-143-blocked-other-clear",
        Security.STARTTLS,
        (Protocol.IMAP, Protocol.POP3),
        "The STARTTLS port (143, or 110) is refused; the other port of the account offers no STARTTLS.",
        "autodetect-order",
    ),
    Scenario(
        name="implicit-client-on-explicit-server",
        family="B",
        summary="The server greets in clear at once and takes passwords in clear; the client was told implicit TLS.",
        rules=("no-silent-port-switch", "mode-mismatch-diagnosed"),
        severity="critical",
        sources=("S10",),
        modes=(Security.IMPLICIT,),
        server_security=Security.STARTTLS,
        settings={"auth": IN_CLEAR},
        deviations=without_starttls,
        waits=True,
    ),
    Scenario(
        name="implicit-mode-over-supplied-socket",
        family="B",
        summary="The server greets in clear; the client is told implicit TLS, on a connection that is open already.",
        rules=("tls-really-started",),
        severity="critical",
        sources=("S10",),
        modes=(Security.IMPLICIT,),
        server_security=Security.STARTTLS,
        settings={"auth": IN_CLEAR},
        deviations=without_starttls,
        supplied=True,
        waits=True,
    ),
    Scenario(
        name="retry-after-cert-failure",
        family="S",
        summary="The certificate is not trusted; the other port of the account offers no STARTTLS.",
        rules=("no-silent-port-switch",),
        severity="critical",
        sources=("RFC 8314 section 5.2", "RFC 7817 section 3"),
        settings={"certificate": Certificate.UNTRUSTED_ROOT},
        other_port=True,
        network=IF_REACHABLE,
    ),
    Scenario(
        name="port-25-blocked-587-open",
        family="C",
        summary="The client is told port 25, which is never answered; port 587 of the same host is open and honest.",
        rules=("blocked-port-diagnosed",),
        severity="info",
        sources=("S6", "S7"),
        protocols=(Protocol.SMTP,),
        modes=(Security.STARTTLS,),
        needs={"port": "given"},
        settings={"port_state": PortState.TIMEOUT},
        network=NetworkPlan(
            ports={(Protocol.SMTP, Security.STARTTLS): (RELAY_PORT,)},
            beside={Protocol.SMTP: (Beside(port=587, security=Security.STARTTLS),)},
        ),
    ),
    Scenario(
        name="dns-name-unresolvable",
        family="C",
        summary="The name of the server has no address; the mail domain, and usual names in it, have honest servers.",
        rules=("blocked-port-diagnosed",),
        severity="low",
        sources=("S4", "S8"),
        needs={"discovers": "no"},
        network=NetworkPlan(resolves=False, beside=_guessable()),
    ),
)
