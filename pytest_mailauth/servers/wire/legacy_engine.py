"""The server's side of TLS as tlslite-ng speaks it, on bytes: what OpenSSL has forgotten, SSL 3.0, RC4 and 3DES.

tlslite-ng is the extra ``legacy``; this module is imported only where it is wanted. It is given one record at a time,
so that what it has not looked at is known.
"""

from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.events import AlertReceived, HandshakeEnded
from pytest_mailauth.model.obsolete import SECURE_RENEGOTIATION, Obsolete
from pytest_mailauth.model.terms import NO_COMMON_SUITE, NO_COMMON_VERSION, HandshakeOutcome
from pytest_mailauth.servers.wire.legacy_package import (
    HandshakeSettings,
    TLSConnection,
    TLSLocalAlert,
    TLSRemoteAlert,
    X509CertChain,
    parsePEMKey,
)
from pytest_mailauth.servers.wire.tls import ALERTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_mailauth.model.hello import ClientHello
    from pytest_mailauth.servers.pki import Issued

SSL3: Final = (3, 0)
TLS12: Final = (3, 3)
_STARVED: Final = 0
"""What tlslite-ng's generators yield when they want to read."""
_RECORDS: Final = range(20, 25)
"""Content types (RFC 8446 section 5.1; 24 is heartbeat, RFC 6520)."""
_RECORD_HEADER: Final = 5

VERSIONS: Final = {(3, 0): "SSL 3.0", (3, 1): "1.0", (3, 2): "1.1", (3, 3): "1.2", (3, 4): "1.3"}
SUITES: Final = {
    0x0004: "RC4-MD5",
    0x0005: "RC4-SHA",
    0xC011: "ECDHE-RSA-RC4-SHA",
    0x000A: "DES-CBC3-SHA",
    0x0016: "EDH-RSA-DES-CBC3-SHA",
    0xC012: "ECDHE-RSA-DES-CBC3-SHA",
    0x002F: "AES128-SHA",
    0x0035: "AES256-SHA",
    0x0033: "DHE-RSA-AES128-SHA",
    0x0039: "DHE-RSA-AES256-SHA",
    0xC02F: "ECDHE-RSA-AES128-GCM-SHA256",
    0x009C: "AES128-GCM-SHA256",
    0xC030: "ECDHE-RSA-AES256-GCM-SHA384",
    0x009D: "AES256-GCM-SHA384",
}
"""What is served, in OpenSSL's spelling (openssl-ciphers(1) of OpenSSL 1.0.2)."""

_SERVED: Final[dict[Obsolete, dict[str, Any]]] = {
    # With AES, so that nothing but the version is old.
    Obsolete.SSL3: {
        "minVersion": SSL3,
        "maxVersion": SSL3,
        "versions": [SSL3],
        "cipherNames": ["aes128", "aes256"],
        "macNames": ["sha"],
        "keyExchangeNames": ["rsa", "dhe_rsa"],
        "useExtendedMasterSecret": False,  # SSL 3.0 has neither (RFC 7627, RFC 7366)
        "useEncryptThenMAC": False,
    },
    Obsolete.RC4: {"cipherNames": ["rc4"], "macNames": ["sha", "md5"], "keyExchangeNames": ["rsa", "ecdhe_rsa"]},
    Obsolete.TRIPLE_DES: {"cipherNames": ["3des"], "macNames": ["sha"], "keyExchangeNames": ["rsa", "ecdhe_rsa"]},
    Obsolete.NO_RENEGOTIATION_INFO: {
        "minVersion": TLS12,
        "versions": [TLS12],
        "cipherNames": ["aes128gcm", "aes256gcm"],
        "macNames": ["aead"],
        "keyExchangeNames": ["ecdhe_rsa", "rsa"],
    },
}
"""Settings of tlslite-ng, where they differ from those below."""
_USUAL: Final[dict[str, Any]] = {
    "minVersion": (3, 1),
    "maxVersion": TLS12,
    "versions": [(3, 3), (3, 2), (3, 1)],
    "ticket_count": 0,
    "certificate_compression_send": [],
}


_STATIC_RSA: Final = {
    Obsolete.SSL3: {0x002F, 0x0035},
    Obsolete.RC4: {0x0004, 0x0005},
    Obsolete.TRIPLE_DES: {0x000A},
}
"""Suites that need no signature over the key exchange, which a client may dislike for what it is made with."""


def settings_for(what: Obsolete, hello: ClientHello | None = None) -> HandshakeSettings:
    """Return what is negotiated, by either side; with a client that said *hello* by static RSA if it has that."""
    settings = HandshakeSettings()
    for name, value in {**_USUAL, **_SERVED[what]}.items():
        setattr(settings, name, value)
    if hello is not None and not _STATIC_RSA.get(what, set()).isdisjoint(hello.ciphers):
        settings.keyExchangeNames = ["rsa"]
    return settings


class Pipe:
    """The place of a socket: what is to be read is put in, and what is written is taken out."""

    def __init__(self) -> None:
        self.incoming = bytearray()
        self.outgoing = ssl.MemoryBIO()

    def recv(self, size: int) -> bytes:
        """Return what there is.

        Raises:
            BlockingIOError: There is nothing; tlslite-ng asks again later.
        """
        if not self.incoming:
            raise BlockingIOError(11, "there is nothing to read yet")
        data = bytes(self.incoming[:size])
        del self.incoming[:size]
        return data

    def send(self, data: bytes) -> int:
        """Take everything."""
        return self.outgoing.write(bytes(data))

    sendall = send


class Identity:
    """A certificate chain and its key, read for tlslite-ng."""

    def __init__(self, issued: Issued) -> None:
        self.chain = X509CertChain()
        self.chain.parsePemList(issued.chain_pem.decode())
        self.key = parsePEMKey(issued.key_pem.decode(), private=True)
        self.leaf = bytes(self.chain.x509List[0].bytes)


class _Server(TLSConnection):  # type: ignore[misc]  # tlslite-ng has no types
    """Leaves an extension out of its ServerHello, which tlslite-ng has no switch for."""

    leaves_out: int | None = None

    def _serverCertKeyExchange(self, hello: Any, answer: Any, *others: Any) -> Iterator[Any]:  # noqa: N802
        kept = [one for one in answer.extensions or () if one.extType != self.leaves_out]
        answer.extensions = kept or None
        return super()._serverCertKeyExchange(hello, answer, *others)  # type: ignore[no-any-return]


class LegacyChannel:
    """One TLS connection by tlslite-ng. It is used like :class:`~pytest_mailauth.servers.wire.tls.TLSChannel`.

    Args:
        what: What is negotiated.
        identity: The certificate, and its key.
        hello: What the client has offered.
    """

    def __init__(self, what: Obsolete, identity: Identity, hello: ClientHello) -> None:
        self._leaf = identity.leaf
        self._hello = hello
        self._pipe = Pipe()
        self._unread = bytearray()
        self._tls = _Server(self._pipe)
        self._tls.closeSocket = False
        if what is Obsolete.NO_RENEGOTIATION_INFO:
            self._tls.leaves_out = SECURE_RENEGOTIATION
        self._shaking = self._tls.handshakeServerAsync(
            certChain=identity.chain, privateKey=identity.key, settings=settings_for(what, hello)
        )
        self.established = False
        self.ended: HandshakeEnded | None = None
        self.alert: AlertReceived | None = None
        self.error: str | None = None
        self.closed = False

    @property
    def outgoing(self) -> ssl.MemoryBIO:
        """What waits to be taken."""
        return self._pipe.outgoing

    @property
    def broken(self) -> bool:
        """True when nothing can be sent any more."""
        return self.alert is not None or self.error is not None

    def channel_bindings(self) -> Mapping[str, bytes]:
        """Return what a SASL mechanism may bind to (RFC 5929 section 4)."""
        return {"tls-server-end-point": hashlib.sha256(self._leaf).digest()}

    def identities(self) -> tuple[str, ...]:
        """Return the names of the client: none, since it is not asked for a certificate."""
        return ()

    def feed(self, raw: bytes) -> bytes:
        """Take bytes from the socket; return what they decrypt to."""
        self._unread += raw
        plain = b""
        while not self.closed and (record := self._next_record()):
            self._pipe.incoming += record
            if self.established:
                plain += self._read()
            else:
                self._handshake()
        return plain

    def _next_record(self) -> bytes:
        """Return the next whole record, or nothing. A hello in SSLv2 format comes first, if at all."""
        head = self._unread[:_RECORD_HEADER]
        if len(head) < _RECORD_HEADER:
            return b""
        if self._hello.sslv2 and head[0] & 0x80:
            size = 2 + (int.from_bytes(head[:2], "big") & 0x7FFF)
        elif head[0] in _RECORDS:
            size = _RECORD_HEADER + int.from_bytes(head[3:5], "big")
        else:
            self._broke("no TLS record")
            return b""
        if len(self._unread) < size:
            return b""
        record = bytes(self._unread[:size])
        del self._unread[:size]
        return record

    def _broke(self, reason: str) -> None:
        self.closed = True
        if self.established:
            self.error = reason
        else:
            self.ended = HandshakeEnded(HandshakeOutcome.SERVER_REFUSED, reason=reason)

    def _handshake(self) -> None:
        try:
            for wants in self._shaking:
                if wants == _STARVED:
                    return
        except TLSRemoteAlert as error:
            self.closed = True
            self.ended = HandshakeEnded(HandshakeOutcome.CLIENT_ALERT, alert=_alert(error))
        except TLSLocalAlert as error:
            self._broke(self._reason(error))
        except Exception as error:  # noqa: BLE001 - a client may send anything, and tlslite-ng may stumble over it
            self._broke(f"tlslite-ng broke off: {type(error).__name__}")
        else:
            self.established = True
            suite = self._tls.session.cipherSuite
            self.ended = HandshakeEnded(
                HandshakeOutcome.COMPLETED, VERSIONS[tuple(self._tls.version)], SUITES.get(suite, f"0x{suite:04x}")
            )

    def _reason(self, error: TLSLocalAlert) -> str:
        name = ALERTS.get(error.description)
        if name == "protocol_version":
            return NO_COMMON_VERSION
        if "cipher" in (error.message or ""):
            return NO_COMMON_SUITE
        return f"{name}: {error.message}" if error.message else str(name)

    def _read(self) -> bytes:
        try:
            for result in self._tls.readAsync(max=None, min=1):
                if isinstance(result, bytes):
                    self.closed = bool(self._tls.closed)
                    return result
                if result == _STARVED:
                    break
        except TLSRemoteAlert as error:
            self.closed = True
            self.alert = AlertReceived(_alert(error))
        except TLSLocalAlert as error:
            self._broke(ALERTS.get(error.description, "an alert"))
        except Exception as error:  # noqa: BLE001 - see above
            self._broke(f"tlslite-ng broke off: {type(error).__name__}")
        return b""

    def unread(self) -> bytes:
        """Return the bytes that tlslite-ng has not looked at."""
        rest = bytes(self._unread)
        self._unread.clear()
        return rest

    def send(self, data: bytes) -> None:
        """Encrypt *data*; it is part of the next :meth:`take`.

        After the client's close_notify nothing is sent any more (RFC 5246 section 7.2.1); tlslite-ng has answered it.
        """
        if self._tls.closed:
            return
        for _ in self._tls.writeAsync(data):
            pass

    def take(self) -> bytes:
        """Return what has to go to the socket now."""
        return self._pipe.outgoing.read()

    def close(self) -> None:
        """Say close_notify, if the handshake got that far."""
        if self.established and not self._tls.closed and not self.broken:
            for wants in self._tls.closeAsync():
                if wants == _STARVED:  # for the answer, which nobody waits for
                    return


def _alert(error: TLSRemoteAlert) -> str:
    return ALERTS.get(error.description, f"alert {error.description}")
