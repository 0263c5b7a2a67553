"""Replies without end, in bytes or in time: deviations of a server, and the bytes that stand for a flood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Flood:
    """Answer a command with a beginning and then the same piece over and over, as far as the client reads, and no end.

    Attributes:
        verb: The command; empty for the greeting.
        head: What comes first.
        piece: What is repeated, until :data:`FLOOD` bytes were sent; then nothing more comes.
        over_tls: On which layer the command is answered so; the greeting on any.
    """

    verb: str
    head: bytes = b""
    piece: bytes
    over_tls: bool = True


@dataclass(frozen=True, kw_only=True)
class Trickle:
    """Let every reply out byte by byte, with a pause before each, and fall silent when *most* bytes have come.

    Attributes:
        pause: Seconds before a byte: too few for a client to give up a single read.
        most: Bytes that come on a connection; together they take longer than a client should wait for a reply.
    """

    pause: float
    most: int


FLOOD: Final = 16 * 1024 * 1024
"""Bytes of a flood: more than the buffers of a loopback connection hold, so that who takes them all has read them."""


class Torrent(bytes):
    """The bytes of a flood, of which only the first ones are kept: they are the beginning and one piece.

    Attributes:
        rest: The piece, which follows again and again.
    """

    rest: bytes

    @classmethod
    def of(cls, flood: Flood) -> Torrent:
        """Return what *flood* sends."""
        made = cls(flood.head + flood.piece)
        made.rest = flood.piece
        return made
