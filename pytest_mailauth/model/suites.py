"""What is wrong with a cipher suite (RFC 9325 section 4): by its name when it was used, by its number when offered."""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Weakness(NamedTuple):
    """Why a suite should not be used.

    Attributes:
        words: What is wrong with it, as the end of a sentence.
        is_forbidden: Whether a MUST NOT speaks of it; else a SHOULD NOT does.
        is_anonymous: Whether nobody is authenticated in it.
    """

    words: str
    is_forbidden: bool = True
    is_anonymous: bool = False


NULL: Final = Weakness("which encrypts nothing")
ANONYMOUS: Final = Weakness("in which nobody shows a certificate", is_anonymous=True)
RC4: Final = Weakness("which is RC4")
EXPORT: Final = Weakness("which has keys of export strength")
DES: Final = Weakness("which is single DES")
RC2: Final = Weakness("which is RC2")
TRIPLE_DES: Final = Weakness("which is 3DES", is_forbidden=False)
STATIC_RSA: Final = Weakness("which has static RSA and so no forward secrecy", is_forbidden=False)
STATIC_DH: Final = Weakness("which has static Diffie-Hellman keys and so no forward secrecy", is_forbidden=False)
FINITE_FIELD: Final = Weakness("which has Diffie-Hellman over a finite field", is_forbidden=False)
CBC: Final = Weakness("which is CBC, without encrypt-then-MAC", is_forbidden=False)

_BY_NAME: Final = (
    ("NULL", NULL),
    ("^A(EC)?DH-|ANON", ANONYMOUS),
    ("^EXP|EXPORT", EXPORT),
    ("RC4", RC4),
    ("RC2", RC2),
    ("DES-CBC3|3DES", TRIPLE_DES),
    ("DES-CBC|_DES", DES),
    ("^(TLS_RSA|AES|CAMELLIA|ARIA|IDEA|SEED)", STATIC_RSA),
    ("^(EC)?DH-", STATIC_DH),
    ("^(DHE|EDH)-(RSA|DSS)", FINITE_FIELD),
)
"""Names in OpenSSL's spelling, the worst first. Suites of TLS 1.3 begin with ``TLS_AES`` or ``TLS_CHACHA20``."""
_AUTHENTICATES_ITSELF: Final = re.compile("GCM|CCM|POLY1305|^TLS_")
"""Suites that are not CBC (RFC 5116)."""
ENCRYPT_THEN_MAC: Final = 22
"""The extension (RFC 7366 section 2)."""


def weakness(name: str, *, encrypts_then_macs: bool = False) -> Weakness | None:
    """Return what is wrong with a suite that was negotiated, or None.

    Args:
        name: Its name in OpenSSL's spelling.
        encrypts_then_macs: Whether encrypt-then-MAC was negotiated, too.

    Examples:
        >>> weakness("ECDHE-RSA-AES128-GCM-SHA256"), weakness("AES128-SHA").is_forbidden
        (None, False)
    """
    upper = name.upper()
    found = next((what for pattern, what in _BY_NAME if re.search(pattern, upper)), None)
    if found is not None or _AUTHENTICATES_ITSELF.search(upper):
        return found
    return None if encrypts_then_macs else CBC


_CODES: Final[tuple[tuple[Weakness, frozenset[int]], ...]] = (
    (
        NULL,
        # RFC 5246 appendix A.5, RFC 4785, RFC 5487, RFC 8422, RFC 5489, RFC 9150.
        frozenset({0x00, 0x01, 0x02, 0x2C, 0x2D, 0x2E, 0x3B, 0xB0, 0xB1, 0xB4, 0xB5, 0xB8, 0xB9})
        | {0xC001, 0xC006, 0xC00B, 0xC010, 0xC015, 0xC039, 0xC03A, 0xC03B, 0xC0B4, 0xC0B5},
    ),
    (
        ANONYMOUS,
        frozenset({0x17, 0x18, 0x19, 0x1A, 0x1B, 0x34, 0x3A, 0x46, 0x6C, 0x6D, 0x89, 0x9B, 0xA6, 0xA7, 0xBF, 0xC5})
        | {0xC016, 0xC017, 0xC018, 0xC019, 0xC046, 0xC047, 0xC05A, 0xC05B, 0xC084, 0xC085},
    ),
    # RFC 2246 appendix A.5, RFC 2712; the last are those with 56 bits that never left the state of a draft.
    (EXPORT, frozenset({0x03, 0x06, 0x08, 0x0B, 0x0E, 0x11, 0x14, *range(0x26, 0x2C), *range(0x60, 0x66)})),
    (
        RC4,  # RFC 7465
        frozenset({0x04, 0x05, 0x20, 0x24, 0x66, 0x8A, 0x8E, 0x92, 0xC002, 0xC007, 0xC00C, 0xC011, 0xC033}),
    ),
    (DES, frozenset({0x09, 0x0C, 0x0F, 0x12, 0x15, 0x1E, 0x22})),  # RFC 5469
    (
        TRIPLE_DES,
        frozenset({0x0A, 0x0D, 0x10, 0x13, 0x16, 0x1F, 0x23, 0x8B, 0x8F, 0x93})
        | {0xC003, 0xC008, 0xC00D, 0xC012, 0xC01A, 0xC01B, 0xC01C, 0xC034},
    ),
    (
        STATIC_RSA,
        frozenset({0x07, 0x2F, 0x35, 0x3C, 0x3D, 0x41, 0x84, 0x96, 0x9C, 0x9D, 0xBA, 0xC0})
        | {0xC03C, 0xC03D, 0xC050, 0xC051, 0xC07A, 0xC07B, 0xC09C, 0xC09D, 0xC0A0, 0xC0A1},
    ),
)
"""Suites by what is worst about them, as they stand in the registry "TLS Cipher Suites" of IANA."""

_OFFERED: Final = {code: what for what, codes in reversed(_CODES) for code in codes}


def offered_weakness(code: int) -> Weakness | None:
    """Return what is wrong with a suite that is offered, or None. What depends on more than the suite is left out."""
    return _OFFERED.get(code)
