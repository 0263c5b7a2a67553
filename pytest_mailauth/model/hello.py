"""A ClientHello as the client wrote it (RFC 8446 section 4.1.2). The parser lives with the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pytest_mailauth.model.terms import TLS_VERSIONS

VERSIONS: Final = ("SSL 2.0", "SSL 3.0", *TLS_VERSIONS)
"""The versions that a hello can name, oldest first. Compare them by :func:`rank`: as strings they do not sort."""


def rank(version: str) -> int:
    """Return the place of *version* in :data:`VERSIONS`, or -1 for a version that is none of them.

    Examples:
        >>> rank("SSL 3.0") < rank("1.0") < rank("1.3")
        True
    """
    return VERSIONS.index(version) if version in VERSIONS else -1


def in_words(version: str | None) -> str:
    """Return a version with the name of its protocol.

    Examples:
        >>> in_words("SSL 3.0"), in_words("1.2")
        ('SSL 3.0', 'TLS 1.2')
    """
    return str(version) if version is None or version.startswith("SSL") else f"TLS {version}"


@dataclass(frozen=True)
class ClientHello:
    """What a client offered. GREASE values (RFC 8701) are left out of every list.

    Attributes:
        legacy_version: The version field of the hello, for example ``"1.2"`` or ``"SSL 3.0"``; only a maximum.
        versions: The versions that the client states it accepts (``supported_versions``), newest first.
            Empty when the client did not state any: an old hello shows only its maximum. A version without a name
            is written as its code point, for example ``"0x7f1c"``, and stands last.
        ciphers: Cipher suite code points in the client's order. In SSLv2 format they have three bytes, and those
            above 0xffff are SSL 2.0's own.
        server_name: The SNI host name, or None (RFC 6066 section 3).
        alpn: ALPN protocol names (RFC 7301).
        groups: Code points of the named groups.
        signature_algorithms: Code points of the signature schemes.
        compression: Code points of the compression methods.
        extensions: Code points of all extensions in the client's order.
        sslv2: True when the hello came in SSLv2 format (RFC 5246 appendix E.2).
        raw: The handshake message itself.
    """

    legacy_version: str
    versions: tuple[str, ...] = ()
    ciphers: tuple[int, ...] = ()
    server_name: str | None = None
    alpn: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()
    signature_algorithms: tuple[int, ...] = ()
    compression: tuple[int, ...] = ()
    extensions: tuple[int, ...] = ()
    sslv2: bool = False
    raw: bytes = field(default=b"", repr=False)

    @property
    def offered(self) -> str:
        """The newest version the client offered."""
        return max(self.versions, key=rank, default=self.legacy_version)
