"""Class K: servers that speak exactly one version of TLS."""

from __future__ import annotations

from typing import Final

from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.model.config import TLSPolicy


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


ROWS: Final = (
    _only("1.0", severity="high", sources=("S2", "S5", "S12", "RFC 8996 section 4")),
    _only("1.1", severity="high", sources=("S2", "S12", "RFC 8996 section 5", "RFC 8997")),
    _only("1.2", severity="info", sources=("S5", "S9", "RFC 9325 section 3.1.1")),
    _only("1.3", severity="info", sources=("RFC 9325 section 3.1.1",)),
)
