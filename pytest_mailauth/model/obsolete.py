"""Parameters of TLS that nobody may accept any more, and that OpenSSL does not serve. What a server negotiates of them.

Where an engine can finish the handshake, a client that then speaks has accepted the parameter. Where none can, the
server forges its flight up to ServerHelloDone and goes no further: a client that answers it with ClientKeyExchange has.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_mailauth.model.hello import ClientHello


class Obsolete(StrEnum):
    """What is wrong with a handshake; everything else in it is as it should be."""

    SSL3 = "ssl3"
    """The version is SSL 3.0 (RFC 7568)."""
    RC4 = "rc4"
    """The cipher is RC4 (RFC 7465)."""
    TRIPLE_DES = "3des"
    """The cipher is 3DES, whose keys are worth 112 bits (RFC 9325 section 4.1)."""
    EXPORT = "export"
    """The cipher has keys of 40 bits (RFC 9325 section 4.1)."""
    DHE_1024 = "dhe-1024"
    """The group of the Diffie-Hellman exchange has 1024 bits (RFC 9325 section 4.5)."""
    SMALL_CURVE = "small-curve"
    """The curve of the Diffie-Hellman exchange is secp192r1 (RFC 9325 section 4.5)."""
    NO_RENEGOTIATION_INFO = "no-renegotiation-info"
    """The server does not acknowledge the extension renegotiation_info (RFC 9325 section 3.5)."""
    COMPRESSION = "compression"
    """The records are compressed with DEFLATE (RFC 9325 section 3.3)."""
    DOWNGRADE_MARKER = "downgrade-marker"
    """The version is TLS 1.2, and the server's random says that it knows TLS 1.3 (RFC 8446 section 4.1.3)."""


FORGED: Final = (Obsolete.EXPORT, Obsolete.SMALL_CURVE, Obsolete.COMPRESSION, Obsolete.DOWNGRADE_MARKER)
"""What no engine serves: the handshake ends after the client's answer."""

WENT_ON: Final = "the client answered the forged flight with ClientKeyExchange"
"""``TLSFacts.reason`` when a client accepted what was forged."""

SECURE_RENEGOTIATION: Final = 0xFF01
"""The extension renegotiation_info (RFC 5746 section 3.2)."""
SECURE_RENEGOTIATION_SUITE: Final = 0x00FF
"""What stands for it in the list of cipher suites (RFC 5746 section 3.3)."""


def offers_secure_renegotiation(hello: ClientHello) -> bool:
    """Return whether a client says that it knows renegotiation_info, in either way."""
    return SECURE_RENEGOTIATION in hello.extensions or SECURE_RENEGOTIATION_SUITE in hello.ciphers
