"""Session tickets that allow early data, which Python's ssl gives to nobody (RFC 8446 section 4.6.1).

The ticket that OpenSSL wrote is opened with the keys of its connection, gets the extension, and is sealed again. It is
the first record under these keys, and its length counts for nothing: OpenSSL never knows.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from pytest_mailauth.servers.wire.exporter import expanded

MOST: Final = 16_384
"""Bytes of early data that the ticket allows: what OpenSSL passes over without complaint."""
_EARLY_DATA: Final = 42
_NEW_SESSION_TICKET: Final = 4
_HANDSHAKE: Final = b"\x16"
"""The true type of the record, which stands behind its content (RFC 8446 section 5.2)."""
_HEADER: Final = 5
_TAG: Final = 16
_NONCE: Final = 12


def with_early_data(record: bytes, secret: bytes, suite: str) -> bytes:
    """Return the record with a ticket so that it allows early data; any other record as it was.

    Args:
        record: The first record that was sealed with *secret*.
        secret: The server's application traffic secret.
        suite: The cipher suite in OpenSSL's spelling.
    """
    digest = "sha384" if suite.endswith("SHA384") else "sha256"
    is_aes = "AES" in suite
    key_length = 16 if "AES_128" in suite else 32
    key = expanded(secret, b"key", b"", key_length, digest)
    nonce = expanded(secret, b"iv", b"", _NONCE, digest)  # of the record with the number 0
    sealing = AESGCM(key) if is_aes else ChaCha20Poly1305(key)
    content = sealing.decrypt(nonce, record[_HEADER:], record[:_HEADER])
    if content[:1] != bytes((_NEW_SESSION_TICKET,)) or content[-1:] != _HANDSHAKE:
        return record
    ticket = content[4:-1]
    at = 8 + 1 + ticket[8]  # lifetime, age_add and nonce come first (RFC 8446 section 4.6.1)
    at += 2 + int.from_bytes(ticket[at : at + 2], "big")
    extension = _EARLY_DATA.to_bytes(2, "big") + b"\0\4" + MOST.to_bytes(4, "big")
    extensions = ticket[at + 2 :] + extension
    body = ticket[:at] + len(extensions).to_bytes(2, "big") + extensions
    message = bytes((_NEW_SESSION_TICKET,)) + len(body).to_bytes(3, "big") + body + _HANDSHAKE
    header = record[:3] + (len(message) + _TAG).to_bytes(2, "big")
    return header + sealing.encrypt(nonce, message, header)
