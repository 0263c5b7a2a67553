"""The ClientHello, read from the bytes before OpenSSL sees them. Sans-I/O; pieces of any size give the same hello.

Whatever a client sends ends in a hello, in an error or in "this is not TLS", never in an exception, and takes no
more memory than the longest hello that is read.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.hello import ClientHello, rank

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD_BEHIND_A_LINE: Final = b"\n\x16"
"""A handshake record where the next command would begin; no command begins so."""
LIMIT: Final = 65_536
"""Longest hello in bytes, header included. Real ones are shorter than 4 KiB."""
RECORD_LIMIT: Final = 16_384
"""Longest fragment of one record (RFC 8446 section 5.1)."""
GREASE: Final = frozenset(0x0A0A + 0x1010 * n for n in range(16))
"""Values without meaning that clients mix in to keep servers tolerant (RFC 8701 section 2)."""
VERSION_NAMES: Final = {
    0x0002: "SSL 2.0",
    0x0300: "SSL 3.0",
    0x0301: "1.0",
    0x0302: "1.1",
    0x0303: "1.2",
    0x0304: "1.3",
}

_GREASE_NAMES: Final = frozenset(value.to_bytes(2, "big") for value in GREASE)
_REMEMBERED: Final = 64
"""Lists and extensions that are read once for all hellos that have them; each may be as long as a hello."""
_HANDSHAKE: Final = 22
_CONTENT_TYPES: Final = range(20, 25)
_MAJOR: Final = 3
"""The first byte of the version of every record, from SSL 3.0 to TLS 1.3."""
_RECORD_HEADER: Final = 5
_CLIENT_HELLO: Final = 1
_HEADER: Final = 4
_RANDOM: Final = 32
_EXTENSION_HEADER: Final = struct.Struct(">HH")
"""Code and length (RFC 8446 section 4.2)."""
_SSLV2_FIELDS: Final = ">BHHHH"
"""Type, version, and the lengths of cipher specs, session id and challenge."""


class _Broken(Exception):
    """The hello breaks its syntax; the text says where."""


def _version(code: int) -> str:
    return VERSION_NAMES.get(code, f"0x{code:04x}")


def _vector(data: bytes, at: int, width: int, what: str) -> tuple[bytes, int]:
    """Return the vector at *at*, whose length is written in *width* bytes, and the place behind it."""
    start = at + width
    end = start + int.from_bytes(data[at:start], "big")
    if end > len(data):
        raise _Broken(f"{what} is cut off")
    return data[start:end], end


def _only_vector(data: bytes, width: int, what: str) -> bytes:
    inner, end = _vector(data, 0, width, what)
    if end != len(data):
        raise _Broken(f"{what} has bytes behind its end")
    return inner


@functools.lru_cache(maxsize=_REMEMBERED)
def _numbers(data: bytes, what: str) -> tuple[int, ...]:
    if len(data) % 2:
        raise _Broken(f"{what} is no list of two-byte numbers")
    codes = struct.unpack(f">{len(data) // 2}H", data)
    return codes if GREASE.isdisjoint(codes) else tuple(code for code in codes if code not in GREASE)


def _server_name(data: bytes) -> str | None:
    """RFC 6066 section 3."""
    names, at = _only_vector(data, 2, "server_name"), 0
    while at < len(names):
        kind = names[at]
        name, at = _vector(names, at + 1, 2, "server_name")
        if kind == 0:
            return name.decode("ascii", "backslashreplace")
    return None


def _alpn(data: bytes) -> tuple[str, ...]:
    """RFC 7301 section 3.1."""
    names, at, found = _only_vector(data, 2, "ALPN"), 0, []
    while at < len(names):
        name, at = _vector(names, at, 1, "ALPN")
        if name not in _GREASE_NAMES:
            found.append(name.decode("ascii", "backslashreplace"))
    return tuple(found)


def _supported_versions(data: bytes) -> tuple[str, ...]:
    """RFC 8446 section 4.2.1."""
    codes = _numbers(_only_vector(data, 1, "supported_versions"), "supported_versions")
    return tuple(sorted(map(_version, codes), key=rank, reverse=True))


_EXTENSIONS: Final[dict[int, tuple[str, Callable[[bytes], Any]]]] = {
    0: ("server_name", _server_name),
    10: ("groups", lambda data: _numbers(_only_vector(data, 2, "supported_groups"), "supported_groups")),
    13: (
        "signature_algorithms",
        lambda data: _numbers(_only_vector(data, 2, "signature_algorithms"), "signature_algorithms"),
    ),
    16: ("alpn", _alpn),
    43: ("versions", _supported_versions),
}
"""Extension code point to the field it fills and its reader (RFC 8446 section 4.2)."""


@functools.lru_cache(maxsize=_REMEMBERED)
def _extension(code: int, content: bytes) -> tuple[str, Any]:
    """Return the field that an extension fills, and its value: a client says the same in each of its hellos."""
    name, read = _EXTENSIONS[code]
    return name, read(content)


def _extensions(data: bytes) -> dict[str, Any]:
    codes: dict[int, None] = {}
    fields: dict[str, Any] = {}
    at, end = 0, len(data)
    while at < end:
        start = at + _EXTENSION_HEADER.size
        if start > end:
            raise _Broken("an extension is cut off")
        code, length = _EXTENSION_HEADER.unpack_from(data, at)
        at = start + length
        if at > end:
            raise _Broken("an extension is cut off")
        content = data[start:at]
        if code in codes:
            raise _Broken(f"extension {code} comes twice")
        codes[code] = None
        if code in _EXTENSIONS:
            name, value = _extension(code, content)
            fields[name] = value
    return {"extensions": tuple(code for code in codes if code not in GREASE), **fields}


def _client_hello(raw: bytes) -> ClientHello:
    """Read a handshake message, header included (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2)."""
    _session_id, at = _vector(raw, _HEADER + 2 + _RANDOM, 1, "the session id")
    ciphers, at = _vector(raw, at, 2, "the list of cipher suites")
    compression, at = _vector(raw, at, 1, "the list of compression methods")
    # An old hello ends here: extensions are younger than TLS 1.0 (RFC 3546).
    extensions = _only_vector(raw[at:], 2, "the list of extensions") if at < len(raw) else b""
    return ClientHello(
        _version(int.from_bytes(raw[_HEADER : _HEADER + 2], "big")),
        ciphers=_numbers(ciphers, "the list of cipher suites"),
        compression=tuple(compression),
        raw=raw,
        **_extensions(extensions),
    )


def _sslv2_hello(raw: bytes) -> ClientHello:
    """Read a message in SSLv2 format (RFC 5246 appendix E.2)."""
    _type, version, ciphers, session_id, challenge = struct.unpack_from(_SSLV2_FIELDS, raw)
    begin = struct.calcsize(_SSLV2_FIELDS)
    if ciphers % 3 or begin + ciphers + session_id + challenge != len(raw):
        raise _Broken("the lengths in the hello in SSLv2 format do not add up")
    codes = (int.from_bytes(raw[at : at + 3], "big") for at in range(begin, begin + ciphers, 3))
    return ClientHello(
        _version(version), ciphers=tuple(code for code in codes if code not in GREASE), sslv2=True, raw=raw
    )


def _may_begin_tls(head: bytes) -> bool:
    """Tell whether up to five *head* bytes may begin a record or a hello in SSLv2 format, as far as they go."""
    if head[0] & 0x80:
        # The version stands behind length and message type: 2.0, or 3.x for a client that knows better.
        old = head[3:4] == b"\0" and head[4:5] in (b"", b"\2")
        return head[2:3] in (b"", b"\1") and (old or head[3:4] in (b"", b"\3"))
    return head[0] in _CONTENT_TYPES and head[1:2] in (b"", b"\3")


class HelloParser:
    """Reads one ClientHello. Once :attr:`done`, what is fed is ignored.

    Attributes:
        hello: The hello once it has come completely, or None.
        not_tls: True when the first bytes begin neither a TLS record nor a hello in SSLv2 format.
        error: What is wrong with a thing that began like TLS, or None.
    """

    def __init__(self) -> None:
        self.hello: ClientHello | None = None
        self.not_tls = False
        self.error: str | None = None
        self._head = bytearray()
        self._message = bytearray()
        self._fragment_left = 0
        self._wanted = 0
        self._read = _client_hello

    @property
    def done(self) -> bool:
        """True when nothing that follows can change the outcome."""
        return self.hello is not None or self.not_tls or self.error is not None

    def __len__(self) -> int:
        """The number of bytes that are kept."""
        return len(self._head) + len(self._message)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the client, of any size."""
        at = 0
        try:
            while at < len(data) and not self.done:
                at = self._fragment(data, at) if self._fragment_left else self._header(data, at)
        except _Broken as broken:
            self.error = str(broken)
        if self.done:
            self._head.clear()
            self._message.clear()

    def _header(self, data: bytes, at: int) -> int:
        """Collect the five bytes that say what follows: a record header, or the beginning of an SSLv2 hello."""
        first = not self._message
        taken = data[at : at + _RECORD_HEADER - len(self._head)]
        self._head += taken
        if first and not _may_begin_tls(bytes(self._head)):
            self.not_tls = True
        elif len(self._head) == _RECORD_HEADER:
            if first and self._head[0] & 0x80:
                self._begin_sslv2()
            else:
                self._begin_record()
            self._head.clear()
        return at + len(taken)

    def _begin_record(self) -> None:
        kind, major, _minor, length = struct.unpack(">BBBH", self._head)
        if kind != _HANDSHAKE or major != _MAJOR:
            raise _Broken(f"a record of type {kind} where the hello belongs")
        if not 0 < length <= RECORD_LIMIT:
            raise _Broken(f"a record of {length} bytes")
        self._fragment_left = length

    def _begin_sslv2(self) -> None:
        self._read = _sslv2_hello
        self._wanted = int.from_bytes(self._head[:2], "big") & 0x7FFF
        self._message += self._head[2:]
        if self._wanted < struct.calcsize(_SSLV2_FIELDS):
            raise _Broken("the hello in SSLv2 format is too short")
        self._fragment_left = self._wanted - len(self._message)

    def _fragment(self, data: bytes, at: int) -> int:
        piece = data[at : at + self._fragment_left]
        self._fragment_left -= len(piece)
        self._message += piece
        if not self._wanted:
            self._measure()
        if self._wanted and len(self._message) >= self._wanted:
            self.hello = self._read(bytes(self._message[: self._wanted]))
        return at + len(piece)

    def _measure(self) -> None:
        """Learn the length of the hello from its handshake header, once that is complete."""
        if self._message[0] != _CLIENT_HELLO:
            raise _Broken(f"a handshake message of type {self._message[0]} where the hello belongs")
        if len(self._message) >= _HEADER:
            self._wanted = _HEADER + int.from_bytes(self._message[1:_HEADER], "big")
            if self._wanted > LIMIT:
                raise _Broken(f"a hello of {self._wanted} bytes")


class WholeHello(HelloParser):
    """Reads one ClientHello and keeps the bytes, for whoever reads them next or takes them for something else."""

    def __init__(self) -> None:
        super().__init__()
        self._raw = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the client, of any size."""
        self._raw += data
        super().feed(data)

    def take(self) -> bytes:
        """Return every byte that was fed, and forget them."""
        raw = bytes(self._raw)
        self._raw.clear()
        return raw
