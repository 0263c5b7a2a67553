"""Class M, whose certificate it is: names of others, names that are almost the host's, and exceptions a user has made.

Where an accepted certificate may mean that no name is looked at, the row is compared with a certificate for quite
another host; where it may mean that anybody's is accepted, with a self-signed one. The rules read off which it is.
Names that localhost cannot have are those of a network; its clients are told the host, since most of these
certificates are made for one that nobody finds by himself.
"""

from __future__ import annotations

from typing import Any, Final

from pytest_mailauth.judge.scenarios.certificates import CHAIN_RULES
from pytest_mailauth.judge.scenarios.plan import NetworkPlan
from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.model.deviations import Swap
from pytest_mailauth.model.terms import CNAME_TARGET, Certificate, Protocol
from pytest_mailauth.model.trial import Earlier

_HOST_RULES: Final = ("verify-hostname", "verify-before-credentials")
_NAME_RULES: Final = ("strict-name-matching", *_HOST_RULES)
_EXCEPTION_RULES: Final = ("no-blanket-exception", *CHAIN_RULES)
_TOLD: Final = {"discovers": "no"}
_NAMED: Final = NetworkPlan()
_BY_ADDRESS: Final = NetworkPlan(by_address=True, is_optional=True)


def _other(name: str, certificate: Certificate, summary: str, severity: str, **row: Any) -> Scenario:
    """Return a row about a certificate for another host."""
    fields: dict[str, Any] = {
        "name": name,
        "family": "M",
        "summary": summary,
        "rules": _HOST_RULES,
        "severity": severity,
        "sources": ("RFC 7817 section 3",),
        "settings": {"certificate": certificate},
    }
    return Scenario(**fields | row)


def _almost(name: str, certificate: Certificate, summary: str, severity: str, **row: Any) -> Scenario:
    """Return a row about a certificate that names the host in a way that does not count."""
    fields: dict[str, Any] = {
        "name": name,
        "family": "M",
        "summary": summary,
        "rules": _NAME_RULES,
        "severity": severity,
        "sources": ("RFC 9525 section 6.3",),
        "settings": {"certificate": certificate},
        "compared_with": "cert-wrong-host",
    }
    return Scenario(**fields | row)


def _sound(name: str, certificate: Certificate, summary: str, **row: Any) -> Scenario:
    """Return a row about a certificate that names the host in a way that counts: refusing it is worth a note."""
    fields: dict[str, Any] = {
        "name": name,
        "family": "M",
        "summary": summary,
        "rules": ("strict-name-matching",),
        "severity": "info",
        "sources": ("RFC 9525 section 6.3",),
        "needs": _TOLD,
        "settings": {"certificate": certificate},
        "network": _NAMED,
        "profile": "full",
    }
    return Scenario(**fields | row)


_ELSEWHERE: Final[dict[str, Any]] = {"needs": _TOLD, "network": _NAMED, "profile": "full"}
_AT_ADDRESS: Final[dict[str, Any]] = {"needs": _TOLD, "network": _BY_ADDRESS, "profile": "full"}


def _at_address(certificate: Certificate) -> dict[str, Any]:
    return _AT_ADDRESS | {"settings": {"certificate": certificate, "host": "127.0.0.1"}}


ROWS: Final = (
    _other(
        "cert-wrong-host",
        Certificate.WRONG_HOST,
        "The server shows a certificate for quite another host.",
        "critical",
        sources=("S4", "RFC 7817 section 3"),
    ),
    _other(
        "cert-for-other-service-host",
        Certificate.OTHER_SERVICE,
        "The server for sending shows the certificate of the one for retrieving, or the reverse.",
        "high",
        sources=("S4", "S8", "RFC 7817 section 3"),
        protocols=(Protocol.SMTP, Protocol.IMAP),
        **_ELSEWHERE,
    ),
    _other(
        "cert-cname-target",
        Certificate.CNAME_TARGET,
        "The DNS says that the host is an alias of another name, and the certificate is for that.",
        "critical",
        needs=_TOLD,
        network=NetworkPlan(alias_of=CNAME_TARGET),
        profile="full",
    ),
    _other(
        "cert-mail-domain-name",
        Certificate.MAIL_DOMAIN,
        "The certificate is for the domain of the mail addresses, and not for the host.",
        "info",
        **_ELSEWHERE,
    ),
    _almost(
        "cert-lookalike-host",
        Certificate.LOOKALIKE_HOST,
        "The names in the certificate begin and end with the host's, and are others.",
        "critical",
    ),
    _almost(
        "cert-cn-match-san-mismatch",
        Certificate.CN_MATCH_SAN_MISMATCH,
        "The host is the common name of the certificate, and its subjectAltName has another.",
        "critical",
        sources=("RFC 9525 section 2",),
    ),
    _almost(
        "cert-cn-only",
        Certificate.NO_SAN,
        "The host is the common name of the certificate, and there is no subjectAltName.",
        "info",
        sources=("RFC 9525 section 2", "RFC 7817 section 3"),
    ),
    _sound("cert-wildcard-ok", Certificate.WILDCARD, "A wildcard stands for the first label of the host, as it may."),
    _almost(
        "cert-wildcard-two-labels",
        Certificate.WILDCARD_ABOVE,
        "A wildcard would have to stand for two labels of the host.",
        "high",
        **_ELSEWHERE | {"network": NetworkPlan(host="mail.office.{domain}")},
    ),
    _almost(
        "cert-wildcard-no-label",
        Certificate.WILDCARD_BELOW,
        "A wildcard is for names below the host, and would have to stand for no label.",
        "high",
        variant_of="cert-wildcard-two-labels",
        **_ELSEWHERE,
    ),
    _almost(
        "cert-wildcard-partial",
        Certificate.WILDCARD_PARTIAL,
        "Wildcards are parts of the first label: m*l, *ail and m*.",
        "high",
        sources=("RFC 7817 section 3", "RFC 9525 section 6.3"),
        **_ELSEWHERE,
    ),
    # Of *.test the catalogue leaves it to the client; no host here is of two labels.
    _almost(
        "cert-wildcard-bare",
        Certificate.WILDCARD_BARE,
        "A wildcard is the whole name in the certificate.",
        "high",
        **_ELSEWHERE,
    ),
    _sound(
        "cert-ip-san-ok",
        Certificate.IP_ONLY,
        "The client is told an address, which the certificate names as such.",
        sources=("RFC 9525 section 6.4",),
        **_at_address(Certificate.IP_ONLY),
    ),
    _almost(
        "cert-ip-in-dnsname",
        Certificate.IP_IN_DNS_NAME,
        "The client is told an address, which is a dNSName in the certificate.",
        "medium",
        sources=("RFC 9525 section 6.4",),
        **_at_address(Certificate.IP_IN_DNS_NAME),
    ),
    _almost(
        "cert-uri-id-only",
        Certificate.URI_ONLY,
        "The names in the certificate are URIs of the host, and nothing else.",
        "medium",
        sources=("RFC 7817 section 3",),
        **_ELSEWHERE,
    ),
    # A client that was sent here by SRV records has to take it (RFC 7817 section 3), so it exists for the others.
    _almost(
        "cert-srv-id-only",
        Certificate.SRV_ONLY,
        "The names in the certificate are services of the domain, which the client did not ask for.",
        "medium",
        sources=("RFC 7817 section 3",),
        **_ELSEWHERE,
    ),
    _almost(
        "cert-nul-in-name",
        Certificate.NUL_IN_NAME,
        "In the certificate a NUL follows the name of the host, and then another domain.",
        "high",
        sources=("CVE-2009-2408",),
        **_ELSEWHERE,
    ),
    _sound("cert-case-and-dot", Certificate.UPPER_CASE, "The name of the host stands in the certificate in capitals."),
    _sound(
        "cert-case-and-final-dot",
        Certificate.UPPER_CASE,
        "The client is told the host with a final dot; its name stands in the certificate without, and in capitals.",
        network=NetworkPlan(spelled="mail.{domain}."),
        variant_of="cert-case-and-dot",
    ),
    _sound(
        "cert-case-and-a-label",
        Certificate.UPPER_CASE,
        "The client is told a host with an umlaut; its A-label stands in the certificate, and in capitals.",
        network=NetworkPlan(host="xn--bcher-kva.{domain}", spelled="b\u00fccher.{domain}"),
        variant_of="cert-case-and-dot",
    ),
    Scenario(
        name="cert-swap-between-connections",
        family="M",
        summary="The client is told to make two transfers; after the login of the first, the server shows a "
        "certificate that it has signed itself.",
        # Not reuse-matches-security: the terms of both transfers are the same, so one connection may serve both.
        rules=_EXCEPTION_RULES,
        severity="critical",
        sources=("RFC 8314 section 5.3", "CVE-2020-24661"),
        deviations=lambda _protocol, _timeout: (Swap(certificate=Certificate.SELF_SIGNED),),
        earlier=Earlier(),
        compared_with="cert-self-signed",
        profile="full",
    ),
    Scenario(
        name="cert-exception-scope",
        family="M",
        summary="The user has accepted one certificate that does not verify; the server shows another one.",
        rules=_EXCEPTION_RULES,
        severity="high",
        sources=("RFC 8314 section 5.4", "CVE-2020-24661"),
        settings={"certificate": Certificate.SELF_SIGNED},
        tells={"pinned": Certificate.UNTRUSTED_ROOT},
        compared_with="cert-self-signed",
        profile="full",
    ),
    Scenario(
        name="cert-exception-other-account",
        family="M",
        summary="The user has accepted the server's certificate for one account; the client is told to make a transfer "
        "for that first, and then one for another.",
        rules=_EXCEPTION_RULES,
        severity="high",
        sources=("RFC 8314 section 5.4",),
        settings={"certificate": Certificate.SELF_SIGNED},
        earlier=Earlier(other_account=True, pinned=Certificate.SELF_SIGNED),
        compared_with="cert-self-signed",
        profile="full",
        variant_of="cert-exception-scope",
    ),
    Scenario(
        name="verify-off-is-explicit",
        family="M",
        summary="The client is called in the shortest way, without any TLS setting; the server shows a certificate "
        "that it has signed itself.",
        rules=("verify-before-credentials", "verify-chain"),
        severity="critical",
        sources=("S9", "RFC 8314 section 5.3", "CVE-2026-41132", "CVE-2026-41016"),
        settings={"certificate": Certificate.SELF_SIGNED},
        tells={"by_default": True},
        compared_with="cert-self-signed",
    ),
)
