"""The arguments of one command, read from left to right (RFC 3501 section 9).

Here belongs what turns bytes into values, and nothing that knows a mailbox or a session. Whatever does not fit the
grammar raises :class:`ParseError`, whose text holds none of the client's bytes.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from typing import Final

from pytest_mailauth.servers.engines.imap import names

LARGEST: Final = 2**32 - 1
"""The largest number there is (RFC 3501 section 9, ``number``)."""

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

STAR: Final = 0
"""Stands for ``*`` in a sequence set: the largest number in use."""

SequenceSet = tuple[tuple[int, int], ...]
"""Pairs of first and last number as the client wrote them; :data:`STAR` may stand in either place."""

SYSTEM_FLAGS: Final[tuple[str, ...]] = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")
"""The flags every mailbox has and a client may change (RFC 3501 section 2.3.2)."""

_CANONICAL: Final = {flag.lower(): flag for flag in SYSTEM_FLAGS}

LITERAL_END: Final = re.compile(rb"[ (]\{(\d{1,10})(\+?)\}$")
"""The announcement of a literal at the end of a line; the plus sign makes it non-synchronizing (RFC 7888)."""

_ATOM: Final = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")
_ASTRING: Final = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\]+")
_PATTERN: Final = re.compile(rb"[^\x00-\x20\x7f-\xff(){\"\\]+")
# 8-bit characters are against the grammar but common in passwords: the strings are taken as they come.
_QUOTED: Final = re.compile(rb'"([^"\\\r\n]*(?:\\["\\][^"\\\r\n]*)*)"')
_ESCAPED: Final = re.compile(rb'\\(["\\])')
_LITERAL: Final = re.compile(rb"\{(\d{1,10})\+?\}\r\n")
_NUMBER: Final = re.compile(rb"\d{1,10}")
_SET: Final = re.compile(rb"(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?(?:,(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?)*")
_FLAG: Final = re.compile(rb"\\?[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")
_DATE: Final = re.compile(rb"(\d{1,2})-([A-Za-z]{3})-(\d{4})")
_DATE_TIME: Final = re.compile(
    rb'"([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"',
)


class ParseError(Exception):
    """The argument breaks the grammar; the text says how, without quoting the client."""


class Arguments:
    """What follows the verb of a command, literals included as they crossed the wire.

    Args:
        data: The rest of the command, from the space behind the verb on.
    """

    __slots__ = ("_data", "_pos")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pos = 0

    @property
    def at_end(self) -> bool:
        """True when nothing is left."""
        return self._pos >= len(self._data)

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Take what *pattern* matches here; None, and nothing taken, when it does not match."""
        found = pattern.match(self._data, self._pos)
        if found:
            self._pos = found.end()
        return found

    def starts_with(self, *tokens: bytes) -> bool:
        """True when one of *tokens* comes next."""
        return self._data.startswith(tokens, self._pos)

    def skip(self, token: bytes) -> bool:
        """Take *token* if it comes next, and say whether it did."""
        if not self._data.startswith(token, self._pos):
            return False
        self._pos += len(token)
        return True

    def expect(self, token: bytes, what: str) -> None:
        """Take *token*, or raise ParseError saying that *what* is missing."""
        if not self.skip(token):
            raise ParseError(f"{what} expected")

    def space(self) -> None:
        """Take the one space between two arguments."""
        self.expect(b" ", "a space")

    def end(self) -> None:
        """Make sure that nothing follows."""
        if not self.at_end:
            raise ParseError("unexpected text after the last argument")

    def atom(self) -> bytes:
        """Take an atom."""
        found = self.match(_ATOM)
        if not found:
            raise ParseError("an atom expected")
        return found[0]

    def word(self) -> bytes:
        """Take what stands before the next space: a SASL initial response (RFC 4959)."""
        end = self._data.find(b" ", self._pos)
        taken = self._data[self._pos : end if end >= 0 else None]
        self._pos += len(taken)
        return taken

    def string(self) -> bytes:
        """Take a quoted string or a literal."""
        found = self.match(_QUOTED)
        if found:
            return _ESCAPED.sub(rb"\1", found[1]) if b"\\" in found[1] else found[1]
        return self.literal()

    def literal(self) -> bytes:
        """Take a literal."""
        found = self.match(_LITERAL)
        if not found:
            raise ParseError("a string expected")
        block = self._data[self._pos : self._pos + int(found[1])]
        if len(block) < int(found[1]):
            raise ParseError("a literal is cut short")
        if b"\0" in block:
            raise ParseError("a literal must not hold NUL (RFC 3501 section 9)")
        self._pos += len(block)
        return block

    def astring(self) -> bytes:
        """Take an atom or a string."""
        found = self.match(_ASTRING)
        return found[0] if found else self.string()

    def mailbox(self) -> str:
        """Take a mailbox name; INBOX in any case is given as ``"INBOX"`` (RFC 3501 section 5.1)."""
        return _name(self.astring())

    def pattern(self) -> str:
        """Take a mailbox name that may hold wildcards."""
        found = self.match(_PATTERN)
        return _name(found[0] if found else self.string())

    def number(self) -> int:
        """Take a number of at most 32 bits."""
        found = self.match(_NUMBER)
        if not found or int(found[0]) > LARGEST:
            raise ParseError("a number expected")
        return int(found[0])

    def sequence_set(self) -> SequenceSet:
        """Take a sequence set such as ``1:4,7,9:*``."""
        found = self.match(_SET)
        if not found:
            raise ParseError("a sequence set expected")
        ranges = []
        for part in found[0].split(b","):
            first, colon, last = part.partition(b":")
            ranges.append((_bound(first), _bound(last if colon else first)))
        return tuple(ranges)

    def flags(self) -> set[str]:
        """Take a parenthesised list of flags, or flags without parentheses up to the end."""
        listed = self.skip(b"(")
        flags: set[str] = set()
        if listed and self.skip(b")"):
            return flags
        while True:
            flags.add(self._flag())
            if listed and self.skip(b")"):
                return flags
            if not listed and self.at_end:
                return flags
            self.space()

    def _flag(self) -> str:
        found = self.match(_FLAG)
        if not found:
            raise ParseError("a flag expected")
        flag = found[0].decode("ascii")
        if not flag.startswith("\\"):
            return flag
        if flag.lower() not in _CANONICAL:
            raise ParseError("no such system flag, or not one that a client may set")
        return _CANONICAL[flag.lower()]

    def day(self) -> date:
        """Take a date such as ``1-Feb-1994``, quoted or not."""
        quoted = self.skip(b'"')
        found = self.match(_DATE)
        if not found or (quoted and not self.skip(b'"')):
            raise ParseError("a date expected")
        try:
            return date(int(found[3]), _month(found[2]), int(found[1]))
        except ValueError:
            raise ParseError("no such date") from None

    def date_time(self) -> datetime:
        """Take a date and time such as ``" 1-Feb-1994 21:52:25 -0800"``, always quoted."""
        found = self.match(_DATE_TIME)
        if not found:
            raise ParseError("a date and time expected")
        offset = timedelta(hours=int(found[8]), minutes=int(found[9]))
        try:
            zone = timezone(-offset if found[7] == b"-" else offset)
            day, year, hour, minute, second = (int(found[group]) for group in (1, 3, 4, 5, 6))
            return datetime(year, _month(found[2]), day, hour, minute, second, tzinfo=zone)
        except ValueError:
            raise ParseError("no such date and time") from None


def _name(raw: bytes) -> str:
    try:
        name = names.decode(raw)
    except ValueError:
        raise ParseError("a mailbox name in modified UTF-7 expected (RFC 3501 section 5.1.3)") from None
    return "INBOX" if name.upper() == "INBOX" else name


def _bound(token: bytes) -> int:
    if token == b"*":
        return STAR
    number = int(token)
    if not 1 <= number <= LARGEST:
        raise ParseError("a number in a sequence set is out of range")
    return number


def _month(name: bytes) -> int:
    return MONTHS.index(name.decode("ascii").capitalize()) + 1
