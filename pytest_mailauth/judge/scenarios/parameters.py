"""Class L: servers that have one kind of cipher suites and nothing else, and honest ones that read the ClientHello."""

from __future__ import annotations

from typing import Final

from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.model.config import TLSPolicy


def _only(
    name: str,
    ciphers: str,
    summary: str,
    *,
    severity: str,
    sources: tuple[str, ...],
    rule: str = "no-weak-ciphers",
    profile: str = "full",
) -> Scenario:
    """Return a server of TLS 1.2 that has these suites alone. Each is proved by a handshake before a client comes."""
    return Scenario(
        name=name,
        family="L",
        summary=summary,
        rules=(rule,),
        severity=severity,
        sources=sources,
        host_may_decide=True,
        profile=profile,
        settings={"tls": TLSPolicy(max_version="1.2", ciphers=ciphers)},
    )


ROWS: Final = (
    _only(
        "cipher-null",
        "NULL-SHA256",
        "The server has a suite without encryption, NULL-SHA256, and nothing else.",
        severity="high",
        sources=("S2", "RFC 9325 section 4.1"),
    ),
    _only(
        "cipher-static-rsa",
        "AES128-GCM-SHA256:AES128-SHA",
        "The server has suites with static RSA, AES128-GCM-SHA256 and AES128-SHA, and nothing else.",
        severity="low",
        sources=("RFC 9325 section 4.1",),
        profile="core",
    ),
    # With RSA alone: one key, so that all clients meet the same server.
    _only(
        "cipher-cbc-only",
        "ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES256-SHA",
        "The server has suites of ECDHE with CBC, and nothing else. It takes encrypt-then-MAC from who offers it.",
        severity="low",
        sources=("RFC 9325 section 4.2",),
    ),
    _only(
        "cipher-mti-only",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "The server has ECDHE-RSA-AES128-GCM-SHA256 of TLS 1.2, and nothing else.",
        severity="low",
        sources=("RFC 9051 section 11.1", "RFC 9325 section 4.2"),
        rule="support-mti-suite",
    ),
    Scenario(
        name="cipher-offered-list",
        family="L",
        summary="An honest server; the cipher suites in the ClientHello are looked at.",
        rules=("no-weak-ciphers",),
        severity="medium",
        sources=("S2", "RFC 9325 section 4.1", "RFC 7465"),
        profile="full",
    ),
)
