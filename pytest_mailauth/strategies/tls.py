"""Which TLS a server speaks. Everything here is what OpenSSL serves without a patch; nothing is a fault of the wire."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.terms import ClientCertificate
from pytest_mailauth.strategies.cases import mix, one

STRONG: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
"""The suites that RFC 9325 section 4.2 recommends for TLS 1.2."""
KEYWORDS: Final = ("ECDHE+AESGCM", "ECDHE+AESGCM:ECDHE+CHACHA20", "HIGH:!aNULL:!eNULL", "DEFAULT")
WEAK: Final = ("AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "AES128-SHA", "AES256-SHA", "aNULL", "NULL")
"""Suites that RFC 9325 section 4 advises against, or forbids: static RSA, CBC, nobody authenticated, no encryption."""


def cipher_lists(*, weak: bool = True) -> st.SearchStrategy[str]:
    """Return OpenSSL cipher lists for TLS 1.2, each of which a server can serve.

    Args:
        weak: Whether lists of weak suites alone are among them. Default True.

    Distribution:
        3/8 keyword: keywords such as ``ECDHE+AESGCM``.
        3/8 suites: one to four recommended suites by name, in any order (RFC 9325 section 4.2).
        2/8 weak: one that RFC 9325 section 4 advises against or forbids: static RSA, CBC, aNULL or NULL.

    Shrinks to: ``"ECDHE+AESGCM"``.
    """
    return mix(
        "cipher_lists",
        (3, "keyword", one(KEYWORDS)),
        (3, "suites", st.lists(one(STRONG), min_size=1, max_size=4, unique=True).map(":".join)),
        (2 * weak, "weak", one(WEAK)),
    )


def tls_policies(*, sound: bool | None = None) -> st.SearchStrategy[TLSPolicy]:
    """Return TLS policies, each of which a server can have.

    Args:
        sound: True leaves out those that a good client without a certificate refuses, or is refused by: old versions,
            weak ciphers, and a certificate required of the client. False draws those alone. None (default) draws both.

    Distribution:
        3/12 default: TLS 1.2 or newer.
        1/12 1.3 only: TLS 1.3 and nothing older.
        1/12 1.2 only: TLS 1.2 and nothing newer.
        1/12 ciphers: TLS 1.2 with keywords or recommended suites, see :func:`cipher_lists`.
        1/12 asks for a certificate: the client may show one.
        1/12 resumption: sessions can be resumed, or SNI is acknowledged (RFC 6066 section 3).
        1/12 weak ciphers: TLS 1.2 with weak suites alone.
        1/12 requires a certificate: the client has to show one.
        1/12 old only: TLS 1.0 or 1.1 and nothing newer (RFC 8996, RFC 8997).
        1/12 old too: TLS 1.0 or 1.1 beside the newer ones.

    Shrinks to: ``TLSPolicy()``.

    Examples:
        >>> from hypothesis import find
        >>> find(tls_policies(), lambda policy: policy.is_legacy).max_version
        '1.0'
    """
    good, bad = sound is not False, sound is not True
    return mix(
        "tls_policies",
        (3 * good, "default", st.just(TLSPolicy())),
        (good, "1.3 only", st.just(TLSPolicy(min_version="1.3"))),
        (good, "1.2 only", st.just(TLSPolicy(max_version="1.2"))),
        (good, "ciphers", cipher_lists(weak=False).map(_with_ciphers)),
        (good, "asks for a certificate", st.just(TLSPolicy(client_certificate=ClientCertificate.OPTIONAL))),
        (good, "resumption", one((TLSPolicy(resumption=True), TLSPolicy(acknowledges_name=True)))),
        (bad, "weak ciphers", one(WEAK).map(_with_ciphers)),
        (bad, "requires a certificate", st.just(TLSPolicy(client_certificate=ClientCertificate.REQUIRED))),
        (bad, "old only", one(("1.0", "1.1")).map(lambda version: TLSPolicy(max_version=version))),
        (bad, "old too", one(("1.0", "1.1")).map(lambda version: TLSPolicy(min_version=version))),
    )


def _with_ciphers(ciphers: str) -> TLSPolicy:
    return TLSPolicy(ciphers=ciphers, max_version="1.2")
