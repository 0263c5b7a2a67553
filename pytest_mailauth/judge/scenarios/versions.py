"""Class K: servers that speak exactly one version of TLS, one that reads the ClientHello, and some that refuse it."""

from __future__ import annotations

from typing import Any, Final

from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.deviations import RefuseHello
from pytest_mailauth.model.terms import PortState

_PROTOCOL_VERSION: Final = 70
"""The alert with which a server refuses a version (RFC 8446 section 6.2)."""


def _only(version: str, *, severity: str, sources: tuple[str, ...]) -> Scenario:
    return Scenario(
        name=f"tls{version.replace('.', '')}-only",
        family="K",
        summary=f"The server speaks TLS {version} and nothing else.",
        rules=("tls12-or-newer",),
        severity=severity,
        sources=sources,
        host_may_decide=version < "1.2",
        settings={"tls": TLSPolicy(min_version=version, max_version=version)},
    )


def _dance(name: str, summary: str, variant_of: str = "", **server: Any) -> Scenario:
    """Return a server that lets no handshake begin, however old the ClientHello is."""
    return Scenario(
        name=name,
        family="K",
        summary=summary,
        rules=("no-version-fallback",),
        severity="high",
        sources=("RFC 9325 section 3.1.3", "RFC 8446 appendix D.1"),
        profile="full",
        variant_of=variant_of,
        **server,
    )


ROWS: Final = (
    Scenario(
        name="tls-version-offered",
        family="K",
        summary="An honest server; the TLS versions that the ClientHello lists are looked at.",
        rules=("tls12-or-newer",),
        severity="medium",
        sources=("RFC 8996 section 4", "RFC 8996 section 5", "RFC 8446 section 4.2.1"),
        profile="full",
    ),
    _dance(
        "tls-fallback-dance",
        "Every ClientHello is answered by a reset of the connection.",
        settings={"port_state": PortState.HANDSHAKE_RESET},
    ),
    _dance(
        "tls-fallback-dance-close",
        "Every ClientHello is answered by the end of the connection.",
        "tls-fallback-dance",
        settings={"port_state": PortState.HANDSHAKE_CLOSE},
    ),
    _dance(
        "tls-fallback-dance-alert",
        "Every ClientHello is answered with the alert protocol_version.",
        "tls-fallback-dance",
        deviations=lambda _protocol, _timeout: (RefuseHello(alert=_PROTOCOL_VERSION),),
    ),
    _only("1.0", severity="high", sources=("S2", "S5", "S12", "RFC 8996 section 4")),
    _only("1.1", severity="high", sources=("S2", "S12", "RFC 8996 section 5", "RFC 8997")),
    _only("1.2", severity="info", sources=("S5", "S9", "RFC 9325 section 3.1.1")),
    _only("1.3", severity="info", sources=("RFC 9325 section 3.1.1",)),
)
