"""How values are written to the client: strings, names, flags, dates and sets of numbers (RFC 3501 section 9).

The opposite direction of ``parse``. Nothing here knows a message or a session.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.servers.engines.imap import names
from pytest_mailauth.servers.engines.imap.parse import MONTHS, SYSTEM_FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

LONGEST_QUOTED: Final = 1000
"""Longer strings are written as literals, so that no line grows without bound."""

_ATOM: Final = re.compile(rb"[A-Za-z0-9_./#+=,&~!$:;<>?@^`|'-]+")
_QUOTABLE: Final = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*")


def nstring(data: bytes | None) -> bytes:
    """Return *data* as a quoted string, as a literal where it must be one, or as NIL."""
    if data is None:
        return b"NIL"
    if len(data) <= LONGEST_QUOTED and _QUOTABLE.fullmatch(data):
        return b'"' + data.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return literal(data)


def literal(data: bytes) -> bytes:
    """Return *data* as a literal."""
    return b"{%d}\r\n%b" % (len(data), data)


def astring(data: bytes) -> bytes:
    """Return *data* as an atom where it can be one."""
    if _ATOM.fullmatch(data) and data.upper() != b"NIL":
        return data
    return nstring(data)


def mailbox(name: str) -> bytes:
    """Return a mailbox name."""
    return astring(names.encode(name))


def flag_list(flags: Iterable[str]) -> bytes:
    """Return flags in parentheses: the system flags first, then the keywords, each group in a fixed order."""
    present = set(flags)
    ordered = [*(flag for flag in SYSTEM_FLAGS if flag in present), *sorted(present.difference(SYSTEM_FLAGS))]
    return b"(" + " ".join(ordered).encode("ascii", "replace") + b")"


def date_time(moment: datetime) -> bytes:
    """Return an internal date; a moment without a zone is taken as UTC."""
    offset = moment.utcoffset()
    minutes = round(offset.total_seconds() / 60) if offset else 0
    hours, rest = divmod(abs(minutes), 60)
    day = f"{moment.day:2d}-{MONTHS[moment.month - 1]}-{moment.year:04d}"
    clock = f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d}"
    return f'"{day} {clock} {"-" if minutes < 0 else "+"}{hours:02d}{rest:02d}"'.encode("ascii")


def number_set(numbers: Iterable[int]) -> str:
    """Return numbers in their own order as a set, neighbours joined: ``1:3,7``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}:{last}" for first, last in runs)
