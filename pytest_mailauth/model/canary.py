"""Credentials made for one trial, and the search for them in raw bytes.

A canary is long and random, so that finding it anywhere is proof. The search knows the encodings that mail
protocols use; it never parses the protocol, which makes it the second, independent witness of a leak.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import html
import json
import re
import secrets
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote_from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from collections.abc import Set as AbstractSet

SHOWN: Final = "<redacted>"
CANARY: Final = 12
"""Characters from which on a secret does not stand in a text by chance. A test may choose shorter passwords."""


class Secret(str):
    """A string that never shows itself: ``repr`` is redacted, everything else is an ordinary ``str``.

    Examples:
        >>> password = Secret("hunter2")
        >>> password
        Secret(<redacted>)
        >>> password == "hunter2"
        True
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Secret({SHOWN})"


@dataclass(frozen=True)
class Account:
    """One mail account: its login name, its password and its address.

    Attributes:
        username: The authentication identity (RFC 4422 section 2).
        password: The password; a :class:`Secret`, so assertion diffs and logs do not show it.
        address: The mail address. Mail to it lands in this account's INBOX.
        token: The bearer token (RFC 6750); a :class:`Secret` too.
    """

    username: str
    password: Secret
    address: str
    token: Secret = field(default_factory=lambda: Secret(f"Tk{secrets.token_hex(12)}"))

    def __hash__(self) -> int:
        return hash(self.username)  # enough to tell accounts apart, and asked for at every command

    @property
    def secrets(self) -> dict[str, Secret]:
        """What must not be seen, by the name that may be seen in its place."""
        return {"password": self.password, "token": self.token}

    @classmethod
    def fresh(cls, address: str = "alice@example.test") -> Self:
        """Return an account with an unguessable password, made for one test.

        The login name carries a random part of its own, so that it can be searched for apart from the address.
        """
        local, _, domain = address.partition("@")
        tail = secrets.token_hex(4)
        return cls(
            username=f"{local}-{tail}@{domain}",
            password=Secret(f"Pw{secrets.token_hex(12)}"),
            address=address,
        )


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
"""From base64 to its form for URLs and file names (RFC 4648 section 5)."""
_UNESCAPED: Final = ("", "/", "!*'()", "!$&'()*+,;=:")
"""What is left as it is by programs that percent-encode: nothing, paths, JavaScript, the user part of a URL."""
_PRINTABLE: Final = frozenset(range(32, 127))
_SAFE: Final = frozenset(f"{string.ascii_letters}{string.digits}!*+-/".encode())
"""What may stand in an encoded word everywhere (RFC 2047 section 5)."""
_HEX: Final = re.compile(r"%[0-9A-F]{2}")


def _percent(raw: bytes) -> Iterator[str]:
    """Yield the percent-encoded forms (RFC 3986 section 2.1), and those of HTML forms, with ``+`` for a space."""
    for safe in _UNESCAPED:
        upper = quote_from_bytes(raw, safe)
        for form in (upper, _HEX.sub(lambda found: found[0].lower(), upper)):
            yield form
            yield form.replace("%20", "+")


def _quoted_printable(raw: bytes) -> Iterator[str]:
    """Yield the form in a body (RFC 2045 section 6.7), and those in an encoded word (RFC 2047 section 4.2)."""
    yield _equals(raw, _PRINTABLE - {*b"="})
    for kept in (_PRINTABLE - {*b"=?_"}, _PRINTABLE - {*b"=_"}, _SAFE):
        yield _equals(raw, kept).replace(" ", "_").replace("=20", "_")


def _equals(raw: bytes, kept: AbstractSet[int]) -> str:
    return "".join(chr(byte) if byte in kept else f"={byte:02X}" for byte in raw)


def _apostrophes(parts: Iterable[str]) -> Iterator[str]:
    """Yield *parts* joined as Python shows an apostrophe: whether it is escaped depends on what else is quoted."""
    joined = "\0".join(parts)  # which no part holds: it is escaped there
    yield joined.replace("\0", "'")
    yield joined.replace("\0", "\\'")


def _repr(text: str) -> Iterator[str]:
    return _apostrophes(repr(f'"{part}')[2:-1] for part in text.split("'"))


def _ascii(text: str) -> Iterator[str]:
    return _apostrophes(ascii(f'"{part}')[2:-1] for part in text.split("'"))


def _repr_of_bytes(raw: bytes) -> Iterator[str]:
    return _apostrophes(repr(b'"' + part)[3:-1] for part in raw.split(b"'"))


def _base64(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what is certain of the base64 of a text that holds *raw*, at each of the three alignments."""
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + raw)
        # The first group mixes in the padding, the last may mix in what follows: only the middle is certain.
        middle = encoded[4 if shift else 0 : len(encoded) - 4]
        if len(middle) >= 8:
            yield "base64", middle
            yield "base64url", middle.translate(_URL_SAFE)


_TEXTS: Final[tuple[tuple[str, Callable[[str], Iterable[str]]], ...]] = (
    ("a quoted string", lambda text: [text.replace("\\", "\\\\").replace('"', '\\"')]),
    ("JSON", lambda text: [json.dumps(text, ensure_ascii=way)[1:-1] for way in (True, False)]),
    ("HTML", lambda text: [html.escape(text), html.escape(text, quote=False), _numbered(text)]),
    ("Python's repr", _repr),
    ("Python's ascii", _ascii),
)
"""The escaped forms of a text, by their names."""
_BYTES: Final[tuple[tuple[str, Callable[[bytes], Iterable[str]]], ...]] = (
    ("percent-encoded", _percent),
    ("quoted-printable", _quoted_printable),
    ("Python's repr of bytes", _repr_of_bytes),
)
"""The escaped forms of bytes, by their names; they are made of UTF-8 and of ISO-8859-1."""


def _numbered(text: str) -> str:
    """Return *text* escaped for HTML with decimal numbers for quotation marks, as template engines do."""
    return html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")


def _octets(text: str) -> bytes:
    """Return the bytes that *text* was read from, or for a surrogate that no bytes are read as, what comes nearest."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


@functools.lru_cache(maxsize=1024)
def encodings(secret: str) -> tuple[tuple[str, bytes], ...]:
    """Return the byte forms in which *secret* may travel or be shown, each once and with its name.

    Base64 is searched at its three alignments: the characters that depend on unknown neighbours are cut off.
    """
    text = str(secret)  # a Secret has a repr of its own
    raw = _octets(text)
    forms = [("plain text", raw)]
    with contextlib.suppress(UnicodeEncodeError):
        forms.append(("ISO-8859-1", text.encode("latin-1")))
    octets = dict.fromkeys(form for _, form in forms)
    # Names of hosts mean the same in small letters (RFC 4343), which is how many programs write them.
    if len(text) >= CANARY and any(character.isdigit() for character in text):
        forms += [("small letters", _octets(text.lower())), ("capitals", _octets(text.upper()))]
    for data in octets:
        every = "".join(f"%{byte:02X}" for byte in data)
        forms += [("percent-encoded", form.encode()) for form in (every, every.lower())]
    # Letters and digits are nowhere else escaped, and made canaries have nothing else: there are thousands of them.
    if not (text.isascii() and text.isalnum()):
        for name, ways in _TEXTS:
            forms += [(name, _octets(form)) for form in ways(text)]
        for data in octets:
            for name, shapes in _BYTES:
                forms += [(name, form.encode()) for form in shapes(data)]
    for data in octets:
        forms += [("hex", data.hex().encode()), ("hex", data.hex().upper().encode())]
    forms += [(f"UTF-16{end}", text.encode(f"utf-16-{end.lower()}", "surrogatepass")) for end in ("LE", "BE")]
    for data in octets:
        forms += _base64(data)
    distinct: dict[bytes, str] = {}
    for name, form in forms:
        distinct.setdefault(form, name)
    return tuple((name, form) for form, name in distinct.items() if form)


def looks(data: bytes) -> Iterator[bytes]:
    """Yield what is searched for a secret: *data*, and where it has lines, all of them as one.

    Base64 may be split over continuation lines, and quoted-printable by soft line breaks (RFC 2045 section 6.7).
    """
    yield data
    if b"\n" in data or b"\r" in data:
        joined = data.replace(b"\r", b"")
        yield joined.replace(b"\n", b"")
        if b"=\n" in joined:
            yield joined.replace(b"=\n", b"")


def find(secret: str, data: bytes) -> str | None:
    """Return the name of the encoding under which *secret* stands in *data*, or None; line breaks hide nothing."""
    looked = tuple(looks(data))
    for name, form in encodings(secret):
        if any(form in one for one in looked):
            return name
    return None


def redact(text: str, hidden: tuple[tuple[str, str], ...]) -> str:
    """Return *text* with each hidden value replaced by its label, in every encoding.

    Args:
        text: What is about to be shown to somebody.
        hidden: Pairs of value and label, for example ``(password, "<password>")``.
    """
    return replaced(text, replacements(hidden))


def replaced(text: str, known: tuple[tuple[str, str], ...]) -> str:
    """Return *text* with each form replaced by its label; *known* as :func:`replacements` returns it."""
    if not known or len(text) < len(known[-1][0]):  # the shortest
        return text
    for shown, label in known:
        if shown in text:
            text = text.replace(shown, label)
    return text


@functools.lru_cache(maxsize=256)
def replacements(hidden: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return what stands in a text for each hidden value, with its label; the longest first, which may hold others."""
    forms = [(form, label) for value, label in hidden if value for _, form in encodings(value)]
    found: dict[str, str] = {}
    for form, label in forms:
        # As whoever shows bytes may have decoded them.
        for text in (
            form.decode("utf-8", "backslashreplace"),
            form.decode("utf-8", "surrogateescape"),
            form.decode("latin-1"),
            *_repr_of_bytes(form),
        ):
            found.setdefault(text, label)
    return tuple(sorted(found.items(), key=lambda pair: -len(pair[0])))
