"""Class M, a certificate that fails in its chain, and of class L the server that has none; in both TLS modes."""

from __future__ import annotations

from typing import Final

from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.terms import Certificate

CHAIN_RULES: Final = ("verify-chain", "verify-before-credentials")
"""The rules of a row whose certificate fails in its chain."""

_FAULTS: Final = (
    ("cert-self-signed", Certificate.SELF_SIGNED, "critical", "RFC 8314 section 5.3"),
    ("cert-unknown-ca", Certificate.UNTRUSTED_ROOT, "critical", "RFC 8314 section 5.3"),
    ("cert-chain-bad-signature", Certificate.BAD_SIGNATURE, "critical", "RFC 5280 section 6"),
    ("cert-expired", Certificate.EXPIRED, "high", "RFC 5280 section 6"),
    ("cert-not-yet-valid", Certificate.NOT_YET_VALID, "high", "RFC 5280 section 6"),
    ("cert-expired-intermediate", Certificate.EXPIRED_INTERMEDIATE, "medium", "RFC 5280 section 6"),
    ("cert-missing-intermediate", Certificate.INCOMPLETE_CHAIN, "info", "RFC 5280 section 6"),
    ("cert-leaf-as-ca", Certificate.LEAF_AS_CA, "critical", "RFC 5280 section 4.2.1.9"),
    ("cert-pathlen-violation", Certificate.PATH_TOO_LONG, "medium", "RFC 5280 section 4.2.1.9"),
    ("cert-name-constraint", Certificate.NAME_CONSTRAINT, "medium", "RFC 5280 section 4.2.1.10"),
    ("cert-eku-client-only", Certificate.CLIENT_AUTH_ONLY, "medium", "RFC 5280 section 4.2.1.12"),
    ("cert-unknown-critical-extension", Certificate.UNKNOWN_CRITICAL, "low", "RFC 5280 section 4.2"),
    ("cert-rsa-1024", Certificate.WEAK_KEY, "medium", "RFC 9325 section 4.5"),
    ("cert-sha1-signature", Certificate.SHA1, "medium", "RFC 9325 section 4.5"),
)

_WEAK: Final = (Certificate.WEAK_KEY, Certificate.SHA1)

_ANONYMOUS: Final = Scenario(
    name="cipher-anonymous",
    family="L",
    summary="The server has no certificate: it offers anonymous cipher suites of TLS 1.2, and nothing else.",
    rules=("no-weak-ciphers",),
    severity="critical",
    sources=("RFC 5246 appendix A.5",),
    settings={"tls": TLSPolicy(max_version="1.2", ciphers="aNULL:!eNULL")},
)

ROWS: Final = (
    *(
        Scenario(
            name=name,
            family="M",
            summary=f"The server shows a certificate with one fault: {fault}.",
            rules=("no-weak-keys",) if fault in _WEAK else CHAIN_RULES,
            severity=severity,
            sources=(source,),
            settings={"certificate": fault},
        )
        for name, fault, severity, source in _FAULTS
    ),
    _ANONYMOUS,
)
