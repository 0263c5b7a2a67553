"""What stands in front of the text of an SMTP reply: the enhanced status codes, which aiosmtpd leaves out.

RFC 2034 (which replies have one), 3463 (what they mean). Commands are known here by name only.
"""

from __future__ import annotations

import functools
import re
from typing import Final

ENHANCED: Final = re.compile(rb"(?m)^([245]\d\d[ -])[245]\.\d{1,3}\.\d{1,3} ")
"""An enhanced status code behind the reply code (RFC 2034 section 4)."""
CODES: Final = {
    "250": b"2.0.0",
    "MAIL 250": b"2.1.0",
    "RCPT 250": b"2.1.5",
    "252": b"2.5.0",
    "500": b"5.5.2",
    "501": b"5.5.4",
    "502": b"5.5.1",
    "503": b"5.5.1",
    "552": b"5.3.4",
    "555": b"5.5.4",
}
"""The enhanced codes of aiosmtpd's replies, by reply code; a command whose reply says more goes first."""
WITHOUT: Final = frozenset({"", "EHLO", "HELO", "AUTH"})
"""Whose replies stay as they are: greeting, HELO and EHLO have no code (RFC 2034 section 4), AUTH brings its own."""
_LINE: Final = re.compile(rb"(?m)^(\d{3}[ -])")


@functools.lru_cache(maxsize=256)
def with_code(verb: str, reply: bytes) -> bytes:
    """Return aiosmtpd's *reply* to the command *verb* with an enhanced status code on each line."""
    if verb in WITHOUT or ENHANCED.match(reply):
        return reply
    code = reply[:3].decode()
    enhanced = CODES.get(f"{verb} {code}", CODES.get(code))
    return _LINE.sub(rb"\g<1>" + enhanced + b" ", reply) if enhanced else reply


def without_code(reply: bytes) -> bytes:
    """Return *reply* without enhanced status codes, for a server that does not announce them."""
    return ENHANCED.sub(rb"\1", reply)


@functools.lru_cache(maxsize=64)
def several_lines(lines: tuple[str, ...]) -> bytes:
    """Return a positive reply of so many lines (RFC 5321 section 4.2.1)."""
    return "\r\n".join((*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")).encode("utf-8", "surrogateescape")
