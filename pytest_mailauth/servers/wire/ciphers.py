"""OpenSSL cipher lists: what one asks for by name, and that nothing in it is misspelt.

OpenSSL passes over what it does not know, as long as something is left: a server would quietly differ from its
settings.
"""

from __future__ import annotations

import difflib
import re
import ssl
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.errors import CannotServe, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Parts of cipher names that are right but that OpenSSL is usually built without.
_LEFT_OUT: Final = ("RC4", "RC2", "DES", "EXP", "IDEA", "SEED", "PSK", "SRP", "DSS", "MD5", "ECDH-", "DH-RSA", "KRB5")

_SEPARATORS: Final = re.compile("[:;, ]+")
_SUITE_NAME: Final = re.compile(r"\w+([-_]\w+)+")
"""The names of suites have several parts (``AES128-SHA``); keywords that select many have one (``HIGH``)."""

_LISTED: Final = """
    DEFAULT COMPLEMENTOFDEFAULT ALL COMPLEMENTOFALL HIGH MEDIUM LOW EXP EXPORT EXPORT40 EXPORT56 eNULL NULL aNULL
    kRSA aRSA RSA kDHr kDHd kDH aDH DH kDHE kEDH DHE EDH ADH kECDHr kECDHe kECDH aECDH ECDH kECDHE kEECDH ECDHE EECDH
    AECDH aDSS DSS aECDSA ECDSA TLSv1.2 TLSv1.0 TLSv1 SSLv3 SSLv2 AES128 AES256 AES AESGCM AESCCM AESCCM8 ARIA128
    ARIA256 ARIAGCM ARIA CAMELLIA128 CAMELLIA256 CAMELLIA CHACHA20 3DES DES RC4 RC2 IDEA SEED MD5 SHA1 SHA SHA256
    SHA384 aGOST aGOST01 aGOST94 kGOST GOST94 GOST89MAC PSK kPSK kECDHEPSK kDHEPSK kRSAPSK aPSK SRP kSRP aSRP CBC
    KRB5 kKRB5 aKRB5 SUITEB128 SUITEB128ONLY SUITEB128C2 SUITEB192 FIPS
"""
KEYWORDS: Final = frozenset(_LISTED.split())
"""The keywords of openssl-ciphers(1), and those of older versions. A host may have no suite for some of them."""


def set_ciphers(context: ssl.SSLContext, ciphers: str) -> None:
    """Let *context* serve a cipher list.

    Raises:
        ConfigError: A part of the list means nothing to OpenSSL.
        CannotServe: OpenSSL on this host was built without what the list asks for.
    """
    # What is asked for by name is served, however weak: level 0 switches OpenSSL's own opinion off.
    listed = ciphers if "@SECLEVEL" in ciphers else f"{ciphers}:@SECLEVEL=0"
    scratch = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for word in _keywords(ciphers):
        if word not in KEYWORDS and not _selects(scratch, f"{word}:@SECLEVEL=0"):
            raise _misspelt(word, ciphers)
    for name in named_suites(ciphers):
        if not _selects(scratch, name):
            raise _unknown(name, ciphers)
    if not _selects(context, listed):
        raise _unknown(ciphers, ciphers)


def _selects(context: ssl.SSLContext, ciphers: str) -> bool:
    try:
        context.set_ciphers(ciphers)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _keywords(ciphers: str) -> Iterator[str]:
    """Yield the words that select many suites, also where they take some out (``!MD5``) or are joined with a plus."""
    for part in _SEPARATORS.split(ciphers):
        for word in part.lstrip("!-+").partition("@")[0].split("+"):
            if word and not _SUITE_NAME.fullmatch(word):
                yield word


def _misspelt(word: str, ciphers: str) -> ConfigError:
    close = difflib.get_close_matches(word.upper(), KEYWORDS, n=1)
    remedy = f"did you mean {close[0]!r}?" if close else "openssl-ciphers(1) lists the keywords"
    return ConfigError(f"ciphers={ciphers!r}: {word!r} selects no cipher in {ssl.OPENSSL_VERSION}; {remedy}")


def _unknown(name: str, ciphers: str) -> CannotServe | ConfigError:
    if any(part in name.upper() for part in _LEFT_OUT):
        return CannotServe(f"{ssl.OPENSSL_VERSION} does not have the cipher {name!r} of ciphers={ciphers!r}")
    return ConfigError(
        f"ciphers={ciphers!r}: {name!r} selects no cipher in {ssl.OPENSSL_VERSION}; use an OpenSSL cipher list for "
        "TLS 1.2 or older, for example 'ECDHE+AESGCM' or 'AES128-SHA' (the suites of TLS 1.3 can't be chosen)"
    )


def named_suites(ciphers: str) -> tuple[str, ...]:
    """Return the suites that a cipher list asks for by name; keywords, and what it takes out, are left out.

    Examples:
        >>> named_suites("ECDHE+AESGCM:AES128-SHA:!NULL-MD5:HIGH:@SECLEVEL=0")
        ('AES128-SHA',)
    """
    return tuple(part for part in _SEPARATORS.split(ciphers) if _SUITE_NAME.fullmatch(part))
