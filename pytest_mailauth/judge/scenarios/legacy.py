"""Classes K and L: servers that negotiate one thing of TLS which nobody may accept any more, and nothing else.

The certificate is valid and everything else in the handshake is right. Where no engine can finish such a handshake, its
first flight is forged, and what counts is whether the client answers it with ClientKeyExchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.model.deviations import Negotiate
from pytest_mailauth.model.obsolete import FORGED, Obsolete

if TYPE_CHECKING:
    from pytest_mailauth.judge.scenarios.scenario import Deviations


def _negotiating(what: Obsolete) -> Deviations:
    return lambda _protocol, _timeout: (Negotiate(what=what),)


def _row(
    name: str, what: Obsolete, summary: str, *, rule: str, severity: str, sources: tuple[str, ...], family: str = "L"
) -> Scenario:
    how = " The flight is forged, and no handshake ends." if what in FORGED else ""
    return Scenario(
        name=name,
        family=family,
        summary=f"{summary}{how}",
        rules=(rule,),
        severity=severity,
        sources=sources,
        host_may_decide=what is Obsolete.DHE_1024,  # a security level of OpenSSL
        profile="extended",
        deviations=_negotiating(what),
    )


ROWS: Final = (
    _row(
        "ssl3-only",
        Obsolete.SSL3,
        "The server speaks SSL 3.0 and nothing else, with AES.",
        rule="tls12-or-newer",
        severity="high",
        sources=("RFC 7568", "RFC 9325 section 3.1.1"),
        family="K",
    ),
    _row(
        "tls13-to-12-downgrade-marker",
        Obsolete.DOWNGRADE_MARKER,
        "The server chooses TLS 1.2 although the client offers 1.3, and its random says that it knows 1.3.",
        rule="no-version-fallback",
        severity="low",
        sources=("RFC 8446 section 4.1.3",),
        family="K",
    ),
    _row(
        "cipher-rc4",
        Obsolete.RC4,
        "The server has cipher suites of RC4, and nothing else.",
        rule="no-weak-ciphers",
        severity="high",
        sources=("S2", "RFC 7465", "RFC 9325 section 4.1"),
    ),
    _row(
        "cipher-export",
        Obsolete.EXPORT,
        "The server chooses a cipher suite of export strength, and a temporary RSA key of 512 bits.",
        rule="no-weak-ciphers",
        severity="high",
        sources=("RFC 9325 section 4.1",),
    ),
    _row(
        "cipher-3des",
        Obsolete.TRIPLE_DES,
        "The server has cipher suites of 3DES, and nothing else.",
        rule="no-weak-ciphers",
        severity="medium",
        sources=("S2", "RFC 9325 section 4.1"),
    ),
    _row(
        "cipher-dhe-1024",
        Obsolete.DHE_1024,
        "The server has Diffie-Hellman over a group of 1024 bits, and nothing else.",
        rule="no-weak-keys",
        severity="medium",
        sources=("RFC 9325 section 4.5",),
    ),
    _row(
        "curve-too-small",
        Obsolete.SMALL_CURVE,
        "The server chooses the curve secp192r1, whether or not the client offers it.",
        rule="no-weak-keys",
        severity="low",
        sources=("RFC 9325 section 4.5",),
    ),
    _row(
        "no-renegotiation-info",
        Obsolete.NO_RENEGOTIATION_INFO,
        "The server speaks TLS 1.2 and does not acknowledge renegotiation_info.",
        rule="secure-renegotiation",
        severity="low",
        sources=("RFC 9325 section 3.5",),
    ),
    _row(
        "tls-compression",
        Obsolete.COMPRESSION,
        "The server chooses the compression DEFLATE, whether or not the client offers it.",
        rule="no-tls-compression",
        severity="low",
        sources=("RFC 9325 section 3.3",),
    ),
)
