"""The channel binding ``tls-exporter`` (RFC 9266): keying material that Python's ssl does not export.

OpenSSL tells the exporter secret of a TLS 1.3 handshake to whoever debugs TLS: Python writes it into a key log. What is
exported is made of it here, as RFC 8446 sections 7.1 and 7.5 say.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl

LABEL: Final = b"EXPORTER-Channel-Binding"
LENGTH: Final = 32
"""What is asked of the exporter, with an empty context (RFC 9266 section 2)."""
_SECRET: Final = b"EXPORTER_SECRET "
SERVER_TRAFFIC: Final = b"SERVER_TRAFFIC_SECRET_0 "
"""What the log calls the secret that the server's records are sealed with."""


class KeyLog:
    """The key log of a context that serves one connection. The file has no name, and goes with this object.

    Args:
        context: Whose handshake is logged; nothing else may use it.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._file, path = tempfile.mkstemp(prefix="mailauth-")
        self.close = weakref.finalize(self, _close, context, self._file)
        """Ends the log. Harmless when called twice."""
        try:
            context.keylog_filename = path
        finally:
            Path(path).unlink()

    def channel_binding(self, digest: str) -> bytes | None:
        """Return the channel binding of the handshake, or None when no exporter secret was logged.

        Args:
            digest: The hash of the cipher suite, for example ``"sha384"``.
        """
        secret = self.secret(_SECRET)
        return None if secret is None else exported(secret, digest)

    def secret(self, label: bytes) -> bytes | None:
        """Return the last secret that was logged under *label*, which ends with a space, or None."""
        logged = os.pread(self._file, os.fstat(self._file).st_size, 0)
        secrets = [line.split()[2] for line in logged.splitlines() if line.startswith(label)]
        return bytes.fromhex(secrets[-1].decode()) if secrets else None


def _close(context: ssl.SSLContext, file: int) -> None:
    context.keylog_filename = None  # type: ignore[assignment] # typeshed knows no way to end it
    os.close(file)


def exported(secret: bytes, digest: str) -> bytes:
    """Return what TLS 1.3 exports for the channel binding from its exporter secret (RFC 8446 section 7.5)."""
    nothing = hashlib.new(digest).digest()
    derived = expanded(secret, LABEL, nothing, len(nothing), digest)
    return expanded(derived, b"exporter", nothing, LENGTH, digest)


def expanded(secret: bytes, label: bytes, context: bytes, length: int, digest: str) -> bytes:
    """Return HKDF-Expand-Label (RFC 8446 section 7.1). One round of HKDF-Expand has all that is asked for here."""
    info = length.to_bytes(2) + _counted(b"tls13 " + label) + _counted(context)
    return hmac.digest(secret, info + b"\x01", digest)[:length]


def _counted(data: bytes) -> bytes:
    return bytes((len(data),)) + data
