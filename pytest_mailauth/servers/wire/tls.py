"""The server's side of TLS on bytes, and the names of how a handshake can end. No socket is known here.

A client's alert is named from OpenSSL's reason, or from the last cleartext alert record when OpenSSL gives none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.events import AlertReceived, HandshakeEnded
from pytest_mailauth.model.terms import NO_COMMON_SUITE, NO_COMMON_VERSION, UNTRUSTED_CLIENT, HandshakeOutcome
from pytest_mailauth.servers.wire.exporter import SERVER_TRAFFIC, KeyLog
from pytest_mailauth.servers.wire.tickets import with_early_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mailauth.servers.wire.contexts import ServerContext

ALERTS: Final[dict[int, str]] = {
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    41: "no_certificate",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}
"""Alert descriptions by code point (RFC 8446 section 6, RFC 5246 section 7.2; 41 is SSL 3.0's)."""

_PREFIXES: Final = ("SSLV3_", "TLSV1_", "TLSV13_")
# OpenSSL names these without ALERT_, in the style of its own errors.
_BARE: Final = frozenset(ALERTS[code] for code in (110, 112, 113))
_SPOKEN: Final = {
    "UNSUPPORTED_PROTOCOL": NO_COMMON_VERSION,
    "NO_SHARED_CIPHER": NO_COMMON_SUITE,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client showed no certificate",
    "CERTIFICATE_VERIFY_FAILED": UNTRUSTED_CLIENT,
}


def alert_name(reason: str | None, raw: bytes = b"") -> str | None:
    """Return the RFC name of the client's alert behind an ``SSLError.reason``, or None when it was no alert.

    Args:
        reason: OpenSSL's reason, for example ``"TLSV1_ALERT_UNKNOWN_CA"``.
        raw: The last bytes read from the client, used when OpenSSL does not read the alert: it has no name for it,
            or the record is of another version than was chosen, as from a client that refuses that version.
    """
    for prefix in _PREFIXES:
        if reason and reason.startswith(prefix):
            bare = reason.removeprefix(prefix)
            name = bare.removeprefix("ALERT_").lower()
            if name in ALERTS.values() and (bare.startswith("ALERT_") or name in _BARE):
                return name
    return cleartext_alert(raw[-7:]) if reason in (None, "WRONG_VERSION_NUMBER") else None


def cleartext_alert(record: bytes) -> str | None:
    """Return the name of the alert in a record that is not encrypted, or None when it holds no alert."""
    if record[:1] == b"\x15" and record[3:5] == b"\x00\x02" and len(record) >= 7:
        return ALERTS.get(record[6], f"alert {record[6]}")
    return None


class TLSChannel:
    """One TLS connection as two byte streams: feed it what came from the socket, write out what it gives back.

    Args:
        context: What is served.
        may_export: Whether keying material is going to be asked for; *context* is not used itself then.
        early_data: Whether the session tickets allow early data; the same holds then.

    Attributes:
        established: True once the handshake has finished.
        ended: The fact that tells how the handshake ended, or None while it goes on.
        alert: The fact of a fatal alert after the handshake, or None.
        error: What is wrong with a record that came after the handshake, or None.
        closed: True when the peer said close_notify, or when the channel broke.
        outgoing: What waits to be taken.
    """

    def __init__(self, context: ServerContext, *, may_export: bool = False, early_data: bool = False) -> None:
        self._leaf = context.leaf
        self._exporter: bytes | None = None
        self._log: KeyLog | None = None
        self._early_data = early_data
        if (may_export or early_data) and os.name == "posix":  # elsewhere a file that is open keeps its name
            context = context.again()
            self._log = KeyLog(context)
        self._incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self.outgoing, server_side=True)
        self.established = False
        self.ended: HandshakeEnded | None = None
        self.alert: AlertReceived | None = None
        self.error: str | None = None
        self.closed = False

    def channel_bindings(self) -> Mapping[str, bytes]:
        """Return what a SASL mechanism may bind to (RFC 5929, RFC 9266).

        tls-unique is defined up to TLS 1.2 only, and tls-exporter can be had from TLS 1.3 only.
        """
        # The certificates here are signed with SHA-256, or with SHA-1, for which SHA-256 stands in (section 4.1).
        found = {"tls-server-end-point": hashlib.sha256(self._leaf).digest()}
        if self._exporter is not None:
            found["tls-exporter"] = self._exporter
        unique = None if self._ssl.version() == "TLSv1.3" else self._ssl.get_channel_binding("tls-unique")
        return found if unique is None else {**found, "tls-unique": unique}

    def identities(self) -> tuple[str, ...]:
        """Return the names in the client's verified certificate: subjectAltName first, then common names."""
        shown: dict[str, Any] = self._ssl.getpeercert() or {}
        alternative = tuple(value for kind, value in shown.get("subjectAltName", ()) if kind in ("email", "DNS"))
        subject = tuple(value for rdn in shown.get("subject", ()) for kind, value in rdn if kind == "commonName")
        return alternative + subject

    @property
    def broken(self) -> bool:
        """True when nothing can be sent any more: after a fatal alert or a broken record."""
        return self.alert is not None or self.error is not None

    def feed(self, raw: bytes) -> bytes:
        """Take bytes from the socket; return what they decrypt to, empty during the handshake."""
        self._incoming.write(raw)
        if not self.established and not self._handshake(raw):
            return b""
        return self._read(raw)

    def _handshake(self, raw: bytes) -> bool:
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            self.closed = True
            self.ended = self._failure(error, raw)
            return False
        self.established = True
        cipher = self._ssl.cipher()
        if self._log is not None:
            digest = "sha384" if cipher is not None and cipher[0].endswith("SHA384") else "sha256"
            self._exporter = self._log.channel_binding(digest)
            traffic = self._log.secret(SERVER_TRAFFIC) if self._early_data and self.outgoing.pending else None
            if traffic is not None and cipher is not None:
                self.outgoing.write(with_early_data(self.outgoing.read(), traffic, cipher[0]))
            self._log.close()
        version = (self._ssl.version() or "").removeprefix("TLSv")
        self.ended = HandshakeEnded(
            HandshakeOutcome.COMPLETED,
            "1.0" if version == "1" else version,
            cipher[0] if cipher else None,
            shown=self.identities(),
        )
        return True

    @staticmethod
    def _failure(error: ssl.SSLError, raw: bytes) -> HandshakeEnded:
        alert = alert_name(error.reason, raw)
        if alert is not None:
            return HandshakeEnded(HandshakeOutcome.CLIENT_ALERT, alert=alert)
        reason = error.reason or str(error)
        return HandshakeEnded(HandshakeOutcome.SERVER_REFUSED, reason=_SPOKEN.get(reason, reason))

    def _read(self, raw: bytes) -> bytes:
        pieces: list[bytes] = []
        # Nothing can come of it when both are empty, and OpenSSL says so with an exception.
        while not self.closed and (self._incoming.pending or self._ssl.pending()):
            try:
                piece = self._ssl.read(65_536)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                self.closed = True
                name = alert_name(error.reason, raw)
                if name is not None:
                    self.alert = AlertReceived(name)
                else:
                    self.error = error.reason or str(error)
            else:
                pieces.append(piece)
                if not piece:  # close_notify
                    self.closed = True
        return b"".join(pieces)

    def unread(self) -> bytes:
        """Return the bytes that OpenSSL has not looked at: after a handshake that failed, or behind a close_notify."""
        return self._incoming.read()

    def send(self, data: bytes) -> None:
        """Encrypt *data*; it is part of the next :meth:`take`."""
        self._ssl.write(data)

    def take(self) -> bytes:
        """Return what has to go to the socket now."""
        return self.outgoing.read()

    def close(self) -> None:
        """Say close_notify (RFC 8446 section 6.1), if the handshake got that far."""
        # It fails when the peer has not answered yet, which we do not wait for, and when there is nobody to tell.
        with contextlib.suppress(ssl.SSLError):
            self._ssl.unwrap()
