"""The text a person would see in a message, for SEARCH: encoded words and transfer encodings undone.

Whatever cannot be decoded is taken as Latin-1, so that every message has a text.
"""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.servers.engines.imap import mime

if TYPE_CHECKING:
    from collections.abc import Iterator

# Only true character sets: Python also has codecs that compute or warn.
_CHARSETS: Final = re.compile(
    r"us-ascii|utf-?8|utf-16(?:[bl]e)?|iso-8859-\d{1,2}|windows-125\d|koi8-[ru]|iso-2022-jp|shift_jis"
    r"|euc-(?:jp|kr)|gb2312|gbk|gb18030|big5",
    re.IGNORECASE,
)
_ENCODED_WORD: Final = re.compile(rb"=\?([^?*\s]{1,40})(?:\*[^?\s]*)?\?([BbQq])\?([^?\s]*)\?=")
_BETWEEN_WORDS: Final = re.compile(rb"\?=\s+=\?")


def _decode(data: bytes, charset: bytes) -> str:
    name = charset.decode("ascii", "replace")
    try:
        return data.decode(name if _CHARSETS.fullmatch(name) else "utf-8")
    except (LookupError, UnicodeError):
        return data.decode("latin-1")


def _base64(data: bytes) -> bytes:
    try:
        return binascii.a2b_base64(data + b"==")
    except binascii.Error:
        return data


def words(value: bytes) -> str:
    """Return a header field's value with its encoded words decoded (RFC 2047)."""
    if b"=?" not in value:
        return _decode(value, b"utf-8")
    value = _BETWEEN_WORDS.sub(b"?==?", value)
    decoded = []
    end = 0
    for found in _ENCODED_WORD.finditer(value):
        decoded.append(_decode(value[end : found.start()], b"utf-8"))
        raw = binascii.a2b_qp(found[3], header=True) if found[2] in b"Qq" else _base64(found[3])
        decoded.append(_decode(raw, found[1]))
        end = found.end()
    return "".join(decoded) + _decode(value[end:], b"utf-8")


def header(part: mime.Part) -> str:
    """Return the header of a message as text, one field a line."""
    return "\n".join(f"{_decode(name, b'utf-8')}: {words(value)}" for name, value in mime.fields(part.header))


def body(part: mime.Part) -> str:
    """Return the text of a message's body: of all its text parts and of the messages in it."""
    return "\n".join(_texts(part))


def _texts(part: mime.Part) -> Iterator[str]:
    for child in part.children:
        yield from _texts(child)
    if part.message:
        yield header(part.message)
        yield from _texts(part.message)
    elif part.media_type[0] == b"text":
        yield _decode(_undo(part.body, part.encoding), dict(part.parameters).get(b"charset", b"utf-8"))


def _undo(data: bytes, encoding: bytes) -> bytes:
    match encoding.lower():
        case b"base64":
            return _base64(data)
        case b"quoted-printable":
            return binascii.a2b_qp(data)
        case _:
            return data
