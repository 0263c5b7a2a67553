"""Credentials made for one trial, and the search for them in raw bytes.

A canary is long and random, so that finding it anywhere is proof. The search knows the encodings that mail
protocols use; it never parses the protocol, which makes it the second, independent witness of a leak.
"""

from __future__ import annotations

import base64
import functools
import secrets
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import quote

SHOWN: Final = "<redacted>"


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
        username: The authentication identity (RFC 4422 section 3.4.1).
        password: The password; a :class:`Secret`, so assertion diffs and logs do not show it.
        address: The mail address. Mail to it lands in this account's INBOX.
        token: The bearer token (RFC 6750); a :class:`Secret` too.
    """

    username: str
    password: Secret
    address: str
    token: Secret = field(default_factory=lambda: Secret(f"Tk{secrets.token_hex(12)}"))

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


@functools.lru_cache(maxsize=256)
def encodings(secret: str) -> tuple[tuple[str, bytes], ...]:
    """Return the byte forms in which *secret* may travel, each with its name.

    Base64 is searched at its three alignments: the characters that depend on unknown neighbours are cut off.
    """
    raw = secret.encode("utf-8", "surrogateescape")
    forms = [("plain text", raw), ("percent-encoded", quote(secret, safe="").encode())]
    escaped = raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    forms += [("a quoted string", escaped), ("hex", raw.hex().encode()), ("hex", raw.hex().upper().encode())]
    forms += [(f"UTF-16{end}", secret.encode(f"utf-16-{end.lower()}", "surrogatepass")) for end in ("LE", "BE")]
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + raw)
        # The first group mixes in the padding, the last may mix in what follows: only the middle is certain.
        middle = encoded[4 if shift else 0 : len(encoded) - 4]
        if len(middle) >= 8:
            forms += [("base64", middle), ("base64url", middle.translate(_URL_SAFE))]
    distinct = {form: name for name, form in reversed(forms) if form}
    return tuple((name, form) for form, name in reversed(distinct.items()))


def find(secret: str, data: bytes) -> str | None:
    """Return the name of the encoding under which *secret* stands in *data*, or None.

    Line breaks are ignored on a second look, since base64 may be split over continuation lines.
    """
    joined = data.replace(b"\r", b"").replace(b"\n", b"") if b"\n" in data else data
    for name, form in encodings(secret):
        if form in data or form in joined:
            return name
    return None


def redact(text: str, hidden: tuple[tuple[str, str], ...]) -> str:
    """Return *text* with each hidden value replaced by its label, in every encoding.

    Args:
        text: What is about to be shown to somebody.
        hidden: Pairs of value and label, for example ``(password, "<password>")``.
    """
    for shown, label in _replacements(hidden):
        if shown in text:
            text = text.replace(shown, label)
    return text


@functools.lru_cache(maxsize=256)
def _replacements(hidden: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((form.decode("latin-1"), label) for value, label in hidden if value for _, form in encodings(value))
