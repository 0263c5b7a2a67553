"""A server's first flight made by hand, from ServerHello to ServerHelloDone, with one thing in it that is forbidden.

It takes no engine and carries no session: what counts is the answer. Everything else in the flight is right, signatures
included, and chosen from what the client offers, so that a client that breaks off does so over the one thing.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519

from pytest_mailauth.model.events import AlertReceived, HandshakeEnded
from pytest_mailauth.model.hello import rank
from pytest_mailauth.model.obsolete import WENT_ON, Obsolete, offers_secure_renegotiation
from pytest_mailauth.model.terms import HandshakeOutcome
from pytest_mailauth.servers.wire.tls import ALERTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_mailauth.model.hello import ClientHello
    from pytest_mailauth.servers.pki import Issued, KeyType

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE = 20, 21, 22
CLIENT_KEY_EXCHANGE: Final = 16
DEFLATE: Final = 1
"""The compression method (RFC 3749)."""
MARKER: Final = b"DOWNGRD\x01"
"""The end of the random of a server that knows TLS 1.3 and negotiates TLS 1.2 (RFC 8446 section 4.1.3)."""
SECP192R1, SECP256R1, SECP384R1, X25519 = 19, 23, 24, 29

_RECORD_HEADER: Final = 5
_VERSIONS: Final = {"SSL 3.0": b"\x03\x00", "1.0": b"\x03\x01", "1.1": b"\x03\x02", "1.2": b"\x03\x03"}
_CURVES: Final[dict[int, Callable[[], ec.EllipticCurve]]] = {
    SECP192R1: ec.SECP192R1,
    SECP256R1: ec.SECP256R1,
    SECP384R1: ec.SECP384R1,
}
_EXPORT: Final = {0x0003: "EXP-RC4-MD5", 0x0006: "EXP-RC2-CBC-MD5", 0x0008: "EXP-DES-CBC-SHA"}
"""Suites with a temporary RSA key of 512 bits (RFC 2246 appendix A.5), in OpenSSL's spelling."""
_EXPORT_KEY: Final = bytes.fromhex(
    "baca0cf30ec6c3e3c85b9cb7c0ff8f16f22302d13cda1f37499e1d4b4519e6d1"
    "4e3d59b3b85ddd84139413938b328255f93d261ba62630589feff86a6643edcf"
)
"""The modulus of that key. What a client encrypts with it is never read, so nobody has to know the rest of the key."""
_EXPONENT: Final = b"\x01\x00\x01"


class Suite(NamedTuple):
    """A cipher suite as far as the flight differs: its name in OpenSSL's spelling, its key exchange and key."""

    name: str
    exchange: str
    key: KeyType


SUITES: Final = {
    0xC02F: Suite("ECDHE-RSA-AES128-GCM-SHA256", "ecdhe", "rsa"),
    0xC030: Suite("ECDHE-RSA-AES256-GCM-SHA384", "ecdhe", "rsa"),
    0xCCA8: Suite("ECDHE-RSA-CHACHA20-POLY1305", "ecdhe", "rsa"),
    0xC02B: Suite("ECDHE-ECDSA-AES128-GCM-SHA256", "ecdhe", "ec"),
    0xC02C: Suite("ECDHE-ECDSA-AES256-GCM-SHA384", "ecdhe", "ec"),
    0xCCA9: Suite("ECDHE-ECDSA-CHACHA20-POLY1305", "ecdhe", "ec"),
    0xC013: Suite("ECDHE-RSA-AES128-SHA", "ecdhe", "rsa"),
    0xC014: Suite("ECDHE-RSA-AES256-SHA", "ecdhe", "rsa"),
    0xC009: Suite("ECDHE-ECDSA-AES128-SHA", "ecdhe", "ec"),
    0x009C: Suite("AES128-GCM-SHA256", "rsa", "rsa"),
    0x009D: Suite("AES256-GCM-SHA384", "rsa", "rsa"),
    0x002F: Suite("AES128-SHA", "rsa", "rsa"),
    0x0035: Suite("AES256-SHA", "rsa", "rsa"),
}
"""What an honest server would choose, the preferred ones first."""
# RFC 8446 section 4.2.3.
_RSA_PKCS1_SHA256, _RSA_PSS_SHA256, _ECDSA_SHA256 = 0x0401, 0x0804, 0x0403


class Flight(NamedTuple):
    """What is sent, and what it says."""

    data: bytes
    version: str
    cipher: str


def flight(what: Obsolete | None, hello: ClientHello, issued: Callable[[KeyType], Issued]) -> Flight:
    """Return the flight that answers *hello*.

    Args:
        what: What is wrong with it; None for a flight with which nothing is.
        hello: What the client offers.
        issued: Returns the certificate with a key of one type.
    """
    version = _version(hello)
    code, suite = _suite(what, hello)
    wire = _VERSIONS[version]
    shown = issued(suite.key)
    server_random = os.urandom(24) + (MARKER if what is Obsolete.DOWNGRADE_MARKER else os.urandom(8))
    compression = DEFLATE if what is Obsolete.COMPRESSION else 0
    body = wire + server_random + b"\0" + code.to_bytes(2) + bytes((compression,)) + _extensions(hello, suite)
    messages = [(2, body), (11, _certificates(shown))]
    parameters = _parameters(what, suite, hello)
    if parameters:
        # It was made here: to have it tested for primes takes longer than all the rest.
        key = serialization.load_pem_private_key(shown.key_pem, None, unsafe_skip_rsa_key_validation=True)
        signed = _client_random(hello) + server_random + parameters
        messages.append((12, parameters + _signature(key, signed, version, hello)))
    messages.append((14, b""))
    return Flight(b"".join(_record(HANDSHAKE, wire, _message(*one)) for one in messages), version, suite.name)


def _version(hello: ClientHello) -> str:
    """Return the newest version up to TLS 1.2 that the client offers, and 1.2 for one that offers only newer ones."""
    offered = hello.versions or (hello.legacy_version,)
    return max((name for name in offered if name in _VERSIONS), key=rank, default="1.2")


def _suite(what: Obsolete | None, hello: ClientHello) -> tuple[int, Suite]:
    if what is Obsolete.EXPORT:
        # Whether or not it is offered: clients took export keys that they had not asked for (CVE-2015-0204).
        code = next((one for one in hello.ciphers if one in _EXPORT), 0x0003)
        return code, Suite(_EXPORT[code], "export", "rsa")
    wanted = {code: suite for code, suite in SUITES.items() if what is not Obsolete.SMALL_CURVE or suite[1] == "ecdhe"}
    code = next((one for one in wanted if one in hello.ciphers), next(iter(wanted)))
    return code, wanted[code]


def _extensions(hello: ClientHello, suite: Suite) -> bytes:
    answered = b""
    if offers_secure_renegotiation(hello):
        answered += b"\xff\x01\x00\x01\x00"
    if 11 in hello.extensions and suite.exchange == "ecdhe":  # ec_point_formats: uncompressed (RFC 8422 section 5.2)
        answered += b"\x00\x0b\x00\x02\x01\x00"
    if 23 in hello.extensions:  # extended_master_secret (RFC 7627 section 5.1)
        answered += b"\x00\x17\x00\x00"
    return _counted(answered, 2) if answered else b""


def _certificates(shown: Issued) -> bytes:
    blocks = shown.chain_pem.decode().split("-----END CERTIFICATE-----\n")[:-1]
    chain = (ssl.PEM_cert_to_DER_cert(block + "-----END CERTIFICATE-----\n") for block in blocks)
    return _counted(b"".join(_counted(one, 3) for one in chain), 3)


def _parameters(what: Obsolete | None, suite: Suite, hello: ClientHello) -> bytes:
    """Return what of the ServerKeyExchange is signed; nothing for a suite that has none."""
    if suite.exchange == "export":
        return _counted(_EXPORT_KEY, 2) + _counted(_EXPONENT, 2)
    if suite.exchange == "rsa":
        return b""
    group = SECP192R1 if what is Obsolete.SMALL_CURVE else _group(hello)
    if group == X25519:
        point = x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()
    else:
        form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        point = ec.generate_private_key(_CURVES[group]()).public_key().public_bytes(*form)
    return b"\x03" + group.to_bytes(2) + _counted(point, 1)  # 3: a named curve (RFC 8422 section 5.4)


def _group(hello: ClientHello) -> int:
    return next((one for one in (SECP256R1, X25519, SECP384R1) if one in hello.groups), SECP256R1)


def _signature(key: object, signed: bytes, version: str, hello: ClientHello) -> bytes:
    """Return the signature over *signed* with what says how it was made (RFC 5246 section 7.4.3)."""
    old = version < "1.2" or version.startswith("SSL")
    if isinstance(key, ec.EllipticCurvePrivateKey):
        made = key.sign(signed, ec.ECDSA(hashes.SHA1() if old else hashes.SHA256()))  # noqa: S303 - TLS 1.0 has no other
        return _counted(made, 2) if old else _ECDSA_SHA256.to_bytes(2) + _counted(made, 2)
    assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 - there are two types of keys
    if old:
        return _counted(_md5_sha1(key, signed), 2)
    scheme = _RSA_PKCS1_SHA256
    if hello.signature_algorithms and scheme not in hello.signature_algorithms:
        scheme = _RSA_PSS_SHA256
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
    made = key.sign(signed, pss if scheme == _RSA_PSS_SHA256 else padding.PKCS1v15(), hashes.SHA256())
    return scheme.to_bytes(2) + _counted(made, 2)


def _md5_sha1(key: rsa.RSAPrivateKey, signed: bytes) -> bytes:
    """Sign as before TLS 1.2: both digests, one behind the other, without a name (RFC 4346 section 7.4.3)."""
    digests = hashlib.md5(signed, usedforsecurity=False).digest() + hashlib.sha1(signed, usedforsecurity=False).digest()
    size = key.key_size // 8
    padded = b"\x00\x01" + b"\xff" * (size - len(digests) - 3) + b"\x00" + digests
    numbers = key.private_numbers()
    return pow(int.from_bytes(padded), numbers.d, numbers.public_numbers.n).to_bytes(size)


def _client_random(hello: ClientHello) -> bytes:
    if hello.sslv2:  # the challenge stands at the end, and is filled up with zeros in front (RFC 5246 appendix E.2)
        size = int.from_bytes(hello.raw[7:9])
        return hello.raw[len(hello.raw) - size :][-32:].rjust(32, b"\0")
    return hello.raw[6:38]


def _counted(data: bytes, width: int) -> bytes:
    return len(data).to_bytes(width) + data


def _message(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + _counted(body, 3)


def _record(kind: int, version: bytes, content: bytes) -> bytes:
    return bytes((kind,)) + version + _counted(content, 2)


def client_key_exchange(version: str, content: bytes) -> bytes:
    """Return the answer of a client that goes on, whatever is in it: nobody reads that."""
    return _record(HANDSHAKE, _VERSIONS[version], _message(CLIENT_KEY_EXCHANGE, content))


class ForgedChannel:
    """The server's end of a handshake that stops at the client's answer.

    It is used like :class:`~pytest_mailauth.servers.wire.tls.TLSChannel`, and never gets as far as carrying data.
    """

    def __init__(self, what: Obsolete | None, hello: ClientHello, issued: Callable[[KeyType], Issued]) -> None:
        self._said = flight(what, hello, issued)
        self._skip = len(hello.raw)
        self._is_sslv2 = hello.sslv2
        self._buffer = bytearray()
        self.outgoing = ssl.MemoryBIO()
        self.outgoing.write(self._said.data)
        self.established = False
        self.ended: HandshakeEnded | None = None
        self.alert: AlertReceived | None = None
        self.error: str | None = None
        self.closed = False

    @property
    def version(self) -> str:
        """The version that was chosen."""
        return self._said.version

    @property
    def broken(self) -> bool:
        """False: what breaks here is the handshake."""
        return False

    def channel_bindings(self) -> Mapping[str, bytes]:
        """Return nothing: no handshake ends."""
        return {}

    def identities(self) -> tuple[str, ...]:
        """Return nobody."""
        return ()

    def feed(self, raw: bytes) -> bytes:
        """Take bytes from the socket; return nothing, since nothing is decrypted."""
        self._buffer += raw
        while not self.closed and self._take_record():
            pass
        while self.closed and bytes(self._buffer[:1]) in (b"\x14", b"\x16") and self._next() is not None:
            pass  # ChangeCipherSpec and Finished belong to the answer
        return b""

    def _next(self) -> tuple[int, bytes] | None:
        """Take the next whole record out of what has come."""
        header = _RECORD_HEADER
        if self._is_sslv2:  # the hello, once
            kind, size, header = HANDSHAKE, self._skip, 2
        else:
            kind, size = (self._buffer or b"\0")[0], int.from_bytes(self._buffer[3:5])
        if len(self._buffer) < header + size:
            return None
        content = bytes(self._buffer[header : header + size])
        del self._buffer[: header + size]
        self._is_sslv2 = False
        return kind, content

    def _take_record(self) -> bool:
        if self._buffer and self._buffer[0] not in range(CHANGE_CIPHER_SPEC, 25) and not self._is_sslv2:
            self._end(HandshakeEnded(HandshakeOutcome.SERVER_REFUSED, reason="no TLS record"))
            return False
        record = self._next()
        if record is None:
            return False
        kind, content = record
        if kind == HANDSHAKE and self._skip:
            self._skip -= min(self._skip, len(content))
        elif kind == HANDSHAKE:
            self._answered(content)
        elif kind == ALERT:
            name = "close_notify" if content[1:2] == b"\0" else ALERTS.get(content[-1], f"alert {content[-1]}")
            outcome = HandshakeOutcome.CLIENT_ALERT if content[1:2] != b"\0" else HandshakeOutcome.CLIENT_LEFT_DURING
            self._end(HandshakeEnded(outcome, alert=name if outcome is HandshakeOutcome.CLIENT_ALERT else None))
        return True

    def _answered(self, content: bytes) -> None:
        if content[0] == CLIENT_KEY_EXCHANGE:
            reason, alert = WENT_ON, 40
        else:
            reason, alert = f"a handshake message of type {content[0]} where ClientKeyExchange belongs", 10
        said = self._said
        self.outgoing.write(_record(ALERT, _VERSIONS[said.version], bytes((2, alert))))
        self._end(HandshakeEnded(HandshakeOutcome.SERVER_REFUSED, said.version, said.cipher, reason=reason))

    def _end(self, ended: HandshakeEnded) -> None:
        self.ended, self.closed = ended, True

    def unread(self) -> bytes:
        """Return the bytes behind the answer."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def send(self, data: bytes) -> None:
        """Refuse: nobody is there to read it.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"{len(data)} bytes cannot be sent: the handshake was forged")

    def take(self) -> bytes:
        """Return what has to go to the socket now."""
        return self.outgoing.read()

    def close(self) -> None:
        """Do nothing: there is no TLS to end."""
