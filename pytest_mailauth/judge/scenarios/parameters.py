"""Class L: servers that have one kind of cipher suites, that read the ClientHello, and that want to know a name."""

from __future__ import annotations

from typing import Final

from pytest_mailauth.judge.scenarios.plan import IF_REACHABLE, REAL_PORTS
from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.deviations import AllowEarlyData
from pytest_mailauth.model.terms import Certificate, Protocol
from pytest_mailauth.model.trial import Earlier

_HOST_RULES: Final = ("verify-hostname", "verify-before-credentials")


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
    Scenario(
        name="sni-sent",
        family="L",
        summary="An honest server; the name of the server in the ClientHello is looked at.",
        rules=("send-sni",),
        severity="low",
        sources=("RFC 9325 section 3.7", "RFC 6066 section 3"),
        # Some libraries never send a name without a dot, as localhost is.
        network=IF_REACHABLE,
        profile="full",
    ),
    Scenario(
        name="sni-sent-address",
        family="L",
        summary="An honest server at an address, which the client is told in place of a name.",
        rules=("send-sni",),
        severity="low",
        sources=("RFC 6066 section 3",),
        needs={"mode": "stated", "port": "given"},
        settings={"host": "127.0.0.1"},
        profile="full",
        variant_of="sni-sent",
    ),
    # The catalogue has alpn-mismatch beside it, a server that answers with a name it was not offered. The ssl module
    # lets no server do that, and newer OpenSSL no client accept it: it would take another TLS library at both ends.
    Scenario(
        name="alpn-offered",
        family="L",
        summary="An honest server; the name of the protocol in the ClientHello (ALPN) is looked at.",
        rules=("enforce-alpn",),
        severity="info",
        sources=("RFC 9325 section 3.8",),
        protocols=(Protocol.POP3, Protocol.IMAP),  # there is no name for submission
        profile="full",
    ),
    Scenario(
        name="sni-ack-wrong-cert",
        family="L",
        summary="The server says that it knows the name it was asked for, and shows a certificate for another one.",
        rules=_HOST_RULES,
        severity="critical",
        sources=("RFC 9325 section 3.7", "RFC 7817 section 3"),
        settings={"certificate": Certificate.WRONG_HOST, "tls": TLSPolicy(acknowledges_name=True)},
        profile="full",
    ),
    Scenario(
        name="session-resumption-other-name",
        family="L",
        summary="Sessions can be resumed; the client is told to make a transfer first, and the next to another name of "
        "the server, for which it has no certificate.",
        rules=_HOST_RULES,
        severity="medium",
        sources=("RFC 8446 section 4.6.1",),
        settings={"tls": TLSPolicy(resumption=True)},
        earlier=Earlier(other_host=True),
        network=REAL_PORTS,
        profile="full",
    ),
    Scenario(
        name="early-data-offered",
        family="L",
        summary="Session tickets allow early data; the client is told to make the same transfer twice.",
        rules=("no-early-data",),
        severity="medium",
        sources=("RFC 9325 section 3.10", "RFC 8446 appendix E.5"),
        settings={"tls": TLSPolicy(resumption=True)},
        deviations=lambda _protocol, _timeout: (AllowEarlyData(),),
        earlier=Earlier(),
        profile="full",
    ),
    # The catalogue has client-cert-unasked beside it: no library shows a certificate that was not asked for, since a
    # handshake has no place for it (RFC 8446 section 4.4.2), so there is nothing to be seen.
    Scenario(
        name="client-cert-asked-not-authorised",
        family="L",
        summary="The server asks for a certificate; the client has one, for another account.",
        rules=("client-cert-restraint",),
        severity="medium",
        sources=("RFC 8314 section 5.5",),
        settings={"tls": TLSPolicy(client_certificate="optional")},
        tells={"client_certificates": ("carol@example.test",)},
        profile="full",
    ),
)
