"""ENVELOPE and BODYSTRUCTURE: what FETCH says about a message without sending it (RFC 3501 section 7.4.2).

Addresses are read here and not by the standard library, because the protocol wants display names as they stand in
the header, encoded words included, and groups kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.servers.engines.imap import mime
from pytest_mailauth.servers.engines.imap.strings import nstring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mailauth.servers.engines.imap.mime import Parameters, Part

_SENDERS: Final = (b"from", b"sender", b"reply-to")
_RECIPIENTS: Final = (b"to", b"cc", b"bcc")

# What is opened and never closed ends with the value: scanning on for a closing mark would take quadratic time.
_TOKEN: Final = re.compile(
    rb'"([^"\\]*(?:\\.[^"\\]*)*)(?:"|\\?\Z)|(\[[^\]]*(?:\]|\Z)|[^\s"<>,;:@\[\]()]+)|([<>,;:@])|(\()|.',
    re.DOTALL,
)
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)


class Address(NamedTuple):
    """One address, or the begin or end of a group: then *host* is None (RFC 3501 section 7.4.2)."""

    name: bytes | None
    mailbox: bytes | None
    host: bytes | None


class _Collected:
    """The words of the address that is being read."""

    def __init__(self) -> None:
        self.phrase: list[bytes] = []
        self.spec: list[bytes] = []
        self.comment: bytes | None = None
        self.angle = False

    def address(self) -> Address | None:
        """Return the address the words make, or None when there are none."""
        words = self.spec if self.angle else self.phrase
        name = b" ".join(self.phrase) if self.angle else None
        if not words:
            return None
        # A route (<@a,@b:user@host>) ends before the last local part; obsolete, and dropped (RFC 5322 section 4.4).
        at = len(words) - 1 - words[::-1].index(b"@") if b"@" in words else len(words)
        local, host = b"".join(words[:at]), b"".join(words[at + 1 :])
        return Address(name or self.comment, local, host)


def addresses(value: bytes) -> list[Address]:
    """Return the addresses of a header field's *value*, groups included."""
    found: list[Address | None] = []
    now = _Collected()
    for kind, text in _tokens(value):
        if kind == "comment":
            now.comment = text
        elif kind == "word" or text == b"@":
            (now.spec if now.angle else now.phrase).append(text)
        elif text == b"<":
            now.angle = True
        elif text == b":" and now.angle:
            now.spec.clear()
        elif text == b":":
            found.append(Address(None, b" ".join(now.phrase), None))
            now = _Collected()
        elif text == b";":
            found += [now.address(), Address(None, None, None)]
            now = _Collected()
        elif text == b"," and not (now.angle and now.spec[:1] == [b"@"]):
            found.append(now.address())
            now = _Collected()
    found.append(now.address())
    return [address for address in found if address]


def _tokens(value: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while match := _TOKEN.match(value, at):
        at = match.end()
        quoted, word, special, comment = match.groups()
        if quoted is not None:
            yield "word", _ESCAPED.sub(rb"\1", quoted)
        elif word:
            yield "word", word
        elif special:
            yield "special", special
        elif comment:
            end = _comment_end(value, at)
            yield "comment", value[at : end - 1]
            at = end


def _comment_end(value: bytes, at: int) -> int:
    """Return the place behind the comment whose text begins at *at*; comments nest (RFC 5322 section 3.2.2)."""
    depth = 1
    while at < len(value):
        char = value[at : at + 1]
        at += 2 if char == b"\\" else 1
        depth += (char == b"(") - (char == b")")
        if depth == 0:
            return at
    return len(value) + 1


def envelope(part: Part) -> bytes:
    """Return the ENVELOPE of a message."""
    fields = part.fields
    # Sender and Reply-To say the same as From when they are absent or empty (RFC 3501 section 7.4.2).
    author = _address_list(fields.get(b"from"))
    senders = [author if (listed := _address_list(fields.get(name))) == b"NIL" else listed for name in _SENDERS]
    recipients = [_address_list(fields.get(name)) for name in _RECIPIENTS]
    head = [nstring(fields.get(b"date")), nstring(fields.get(b"subject"))]
    tail = [nstring(fields.get(b"in-reply-to")), nstring(fields.get(b"message-id"))]
    return b"(" + b" ".join(head + senders + recipients + tail) + b")"


def _address_list(value: bytes | None) -> bytes:
    listed = b"".join(
        b"(%b NIL %b %b)" % (nstring(name), nstring(mailbox), nstring(host))
        for name, mailbox, host in addresses(value or b"")
    )
    return b"(" + listed + b")" if listed else b"NIL"


def structure(part: Part, *, extended: bool) -> bytes:
    """Return the BODYSTRUCTURE of a part, or its BODY when not *extended*."""
    kind, subtype = part.media_type
    if part.children:
        parts = b"".join(structure(child, extended=extended) for child in part.children)
        words = [parts, nstring(subtype.upper())]
        if extended:
            words += [_parameters(part.parameters), *_extension(part)]
        return b"(" + b" ".join(words) + b")"
    fields = part.fields
    words = [
        nstring(kind.upper()),
        nstring(subtype.upper()),
        _parameters(part.parameters),
        nstring(fields.get(b"content-id")),
        nstring(fields.get(b"content-description")),
        nstring(part.encoding.upper()),
        b"%d" % len(part.body),
    ]
    if part.message:
        words += [envelope(part.message), structure(part.message, extended=extended)]
    if part.message or kind == b"text":
        words.append(b"%d" % part.line_count)
    if extended:
        words += [nstring(fields.get(b"content-md5")), *_extension(part)]
    return b"(" + b" ".join(words) + b")"


def _extension(part: Part) -> list[bytes]:
    """Return disposition, language and location."""
    fields = part.fields
    kind, parameters = mime.token(fields.get(b"content-disposition", b""))
    disposition = b"(%b %b)" % (nstring(kind.upper()), _parameters(parameters)) if kind else b"NIL"
    return [disposition, nstring(fields.get(b"content-language")), nstring(fields.get(b"content-location"))]


def _parameters(parameters: Parameters) -> bytes:
    words = [nstring(word) for name, value in parameters for word in (name.upper(), value)]
    return b"(" + b" ".join(words) + b")" if words else b"NIL"
