"""A message cut into its parts, byte for byte (RFC 2045, RFC 2046), for the sections that FETCH names.

The standard library's parser does not keep the octets of a part; here every part is a slice of the message. Anything
can be cut, however broken: what is not understood stays one part.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

DEEPEST: Final = 20
"""Parts nested deeper than this are not opened."""

_EMPTY_LINE: Final = re.compile(rb"(?:\A|\n)\r?\n")
_FIELD: Final = re.compile(rb"^([^\s:]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)(?:\n|\Z)", re.MULTILINE)
_LINE_BREAK: Final = re.compile(rb"[\r\n]+")
_MEDIA_TYPE: Final = re.compile(rb"\s*([^\s/;\"]+)/([^\s/;\"]+)\s*")
_TOKEN: Final = re.compile(rb"\s*([^\s;\"]+)\s*")
_PARAMETER: Final = re.compile(rb';\s*([^\s=;"]+)\s*=\s*(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^\s;"]*))\s*', re.DOTALL)
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)

Parameters = tuple[tuple[bytes, bytes], ...]


def split(content: bytes) -> tuple[bytes, bytes]:
    """Return header and body of *content*; the empty line between them ends the header."""
    border = _EMPTY_LINE.search(content)
    if border is None:
        return content, b""
    return content[: border.end()], content[border.end() :]


def fields(header: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields of *header* in order: name in lower case, and the value on one line."""
    return [(found[1].lower(), _LINE_BREAK.sub(b"", found[2]).strip()) for found in _FIELD.finditer(header)]


def subset(header: bytes, wanted: Iterable[bytes], *, inverted: bool) -> bytes:
    """Return the fields that are named in *wanted*, or those that are not, as they stand, and the empty line."""
    named = {name.lower() for name in wanted}
    kept = [found[0] for found in _FIELD.finditer(header) if (found[1].lower() in named) is not inverted]
    return b"".join(kept) + b"\r\n"


def parameters(value: bytes, start: int = 0) -> Parameters:
    """Return the ``; name=value`` pairs of a structured header field, names in lower case (RFC 2045 section 5.1)."""
    found = []
    while match := _PARAMETER.match(value, start):
        quoted = match[2]
        found.append((match[1].lower(), match[3] if quoted is None else _ESCAPED.sub(rb"\1", quoted)))
        start = match.end()
    return tuple(found)


def token(value: bytes) -> tuple[bytes, Parameters]:
    """Return the first word of a structured field such as Content-Disposition, and its parameters."""
    found = _TOKEN.match(value)
    return (found[1], parameters(value, found.end())) if found else (b"", ())


class Part:
    """A message or a body part: a header, a body, and what the body consists of.

    Args:
        content: Header and body.
        depth: How many parts this one is nested in.
        default: The media type of a part that names none.
    """

    def __init__(self, content: bytes, depth: int = 0, default: tuple[bytes, bytes] = (b"text", b"plain")) -> None:
        self.content = content
        self.header, self.body = split(content)
        self._depth = depth
        self._default = default

    @cached_property
    def fields(self) -> dict[bytes, bytes]:
        """The header fields by lower-case name; of a repeated field the first."""
        return dict(reversed(fields(self.header)))

    @cached_property
    def _content_type(self) -> tuple[bytes, bytes, Parameters]:
        value = self.fields.get(b"content-type", b"")
        found = _MEDIA_TYPE.match(value)
        if found:
            return found[1].lower(), found[2].lower(), parameters(value, found.end())
        charset = ((b"charset", b"us-ascii"),) if self._default[0] == b"text" else ()
        return (*self._default, charset)

    @property
    def media_type(self) -> tuple[bytes, bytes]:
        """Type and subtype in lower case (RFC 2045 section 5.2 names the default)."""
        return self._content_type[:2]

    @property
    def parameters(self) -> Parameters:
        """The parameters of the Content-Type field."""
        return self._content_type[2]

    @property
    def encoding(self) -> bytes:
        """The content transfer encoding, ``7bit`` when none is named (RFC 2045 section 6.1)."""
        return token(self.fields.get(b"content-transfer-encoding", b""))[0] or b"7bit"

    @cached_property
    def children(self) -> tuple[Part, ...]:
        """The parts of a multipart body; none for every other type."""
        kind, subtype = self.media_type
        if kind != b"multipart" or self._depth >= DEEPEST:
            return ()
        boundary = dict(self.parameters).get(b"boundary", b"")
        default = (b"message", b"rfc822") if subtype == b"digest" else (b"text", b"plain")
        parts = tuple(Part(piece, self._depth + 1, default) for piece in _pieces(self.body, boundary))
        # A multipart without parts cannot be said in BODYSTRUCTURE: it is given one that is empty.
        return parts or (Part(b"\r\n", self._depth + 1),)

    @cached_property
    def message(self) -> Part | None:
        """The message inside a ``message/rfc822`` part, else None."""
        if self.media_type != (b"message", b"rfc822") or self._depth >= DEEPEST:
            return None
        return Part(self.body, self._depth + 1)

    @property
    def line_count(self) -> int:
        """The number of lines of the body."""
        return self.body.count(b"\n") + (not self.body.endswith(b"\n") and bool(self.body))

    def find(self, numbers: tuple[int, ...]) -> Part | None:
        """Return the part with these numbers (RFC 3501 section 6.4.5), or None when there is none.

        A message that is not multipart has one part, number 1: its body.
        """
        part: Part | None = None
        for number in numbers:
            # The numbers count the parts of a message or of a multipart; a nested message is looked through.
            whole = self if part is None else part.message or part
            if whole.children:
                if number > len(whole.children):
                    return None
                part = whole.children[number - 1]
            elif number == 1 and (part is None or part.message):
                part = whole
            else:
                return None
        return part


def _pieces(body: bytes, boundary: bytes) -> list[bytes]:
    """Cut *body* at its boundary lines; the line break before a boundary belongs to it (RFC 2046 section 5.1.1)."""
    if not boundary:
        return []
    delimiter = b"--" + boundary
    pieces = []
    start = -1
    at = body.find(delimiter)
    while at >= 0:
        newline = body.find(b"\n", at)
        line_end = newline + 1 if newline >= 0 else len(body)
        rest = body[at + len(delimiter) : line_end].rstrip()
        if rest in (b"", b"--") and (at == 0 or body[at - 1 : at] == b"\n"):
            if start >= 0:
                pieces.append(body[start:at].removesuffix(b"\n").removesuffix(b"\r"))
            if rest:
                return pieces
            start = line_end
        at = body.find(delimiter, max(line_end, at + 1))
    if start >= 0:
        pieces.append(body[start:])
    return pieces
