"""The closed set of ways in which a server may misbehave on purpose. Each is data; none knows a scenario.

Byte templates may hold ``{tag}`` (the tag of the IMAP command being answered), ``{next}`` (the tag after it) and, in an
answer, ``{line}`` (the command being answered, as it came and without its tag).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_mailauth.model.terms import Certificate

_DIGITS: Final = b"0123456789"


@dataclass(frozen=True, kw_only=True)
class Greet:
    """Greet with these bytes instead of the honest greeting; with none at all, say nothing before the first command."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class Hide:
    """Leave these capabilities out of every list: EHLO keywords and POP3 tags by the first word, IMAP's as a whole."""

    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Announce:
    """Add these capability lines to the list of one layer, whether or not they are true."""

    lines: tuple[str, ...]
    over_tls: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Answer a command with these bytes and do not carry it out."""

    verb: str
    reply: bytes
    over_tls: bool = False


@dataclass(frozen=True, kw_only=True)
class Trail:
    """Let these bytes follow the STARTTLS success reply in the same segment, before the handshake."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class StayClear:
    """Give the STARTTLS success reply, answer the ClientHello with these cleartext bytes, and go on in clear."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class Withhold:
    """Inside TLS, hold every reply back; after *patience* seconds let out a first piece of it, and no more.

    The piece is the first line of a reply of several lines, or the first byte of a one-line reply.
    """

    patience: float


@dataclass(frozen=True, kw_only=True)
class Slow:
    """Let every reply wait *delay* seconds, then send it byte by byte, each in a segment of its own.

    Between two bytes pass *between* seconds; by default they leave together.
    """

    delay: float
    between: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Reset the connection at one of these commands inside TLS; whoever comes after that meets *then* instead."""

    verbs: tuple[str, ...]
    then: tuple[Deviation, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Swap:
    """Show another certificate to whoever connects once a client has logged in."""

    certificate: Certificate


Deviation = Greet | Hide | Announce | Answer | Trail | StayClear | Withhold | Slow | Cut | Swap


def fill(template: bytes, tag: bytes = b"*", line: bytes = b"") -> bytes:
    """Return *template* with ``{tag}``, ``{next}`` and ``{line}`` replaced.

    *next* counts up the number at the end of *tag*. What a client sent is put in last, and not looked at again.
    """
    if b"{" not in template:
        return template
    return template.replace(b"{tag}", tag).replace(b"{next}", _next(tag)).replace(b"{line}", line)


def _next(tag: bytes) -> bytes:
    """Count up digit by digit: a client chooses the length of its tags, and Python reads no number of any length."""
    number = tag[len(tag.rstrip(_DIGITS)) :]
    nines = len(number) - len(number.rstrip(b"9"))
    if nines == len(number):
        counted = b"1" + b"0" * nines if number else b""
    else:
        rises = len(number) - nines - 1
        counted = number[:rises] + b"%d" % (int(number[rises : rises + 1]) + 1) + b"0" * nines
    return tag[: len(tag) - len(number)] + counted
