"""SMTP's lines: how long they may be, the reader and the loop that give them out, and what of them may be shown.

Nothing of aiosmtpd or asyncio is known here, and no command.
"""

from __future__ import annotations

import re
import types
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.transcript import hide
from pytest_mailauth.servers import sasl
from pytest_mailauth.servers.engines.lines import LENIENT_LIMIT
from pytest_mailauth.servers.engines.smtp_data import MessageText

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from pytest_mailauth.model.canary import Account

LINE_LIMITS: Final = {"AUTH": 12_288, "MAIL": 1024, "RCPT": 1024}
"""Longest command line in bytes. AUTH may be as long as a response (RFC 4954 section 4 names that number for responses,
and 512 for AUTH: many clients put a token there all the same); the others leave room for their parameters."""
LONGEST: Final = max(LINE_LIMITS.values())
LINE_LIMIT: Final = 512
"""RFC 5321 section 4.5.3.1.4."""
DATA_LINE_LIMIT: Final = 1001
"""RFC 5321 section 4.5.3.1.6: 1000 bytes and the transparency dot."""
UNPRINTABLE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f]")


class Loopless:
    """Stands where an event loop is wanted: nothing here ever waits."""

    def create_future(self) -> Loopless:
        """Return what stands for a future too."""
        return self

    def done(self) -> bool:
        """Return False."""
        return False

    def get_debug(self) -> bool:
        """Return False."""
        return False


@types.coroutine
def _more() -> Generator[None, None, None]:
    yield


class Feed:
    """What the session awaits: command lines, and messages.

    Args:
        overrun: Makes the exception for a line that is too long, from a text and the number of bytes to drop.
        is_lenient: Whether a line that is too long is given out all the same.

    Attributes:
        buffer: What has come and was not read yet.
    """

    def __init__(self, overrun: Callable[[str, int], Exception], *, is_lenient: bool) -> None:
        self.buffer = bytearray()
        self._overrun = overrun
        self._is_lenient = is_lenient

    async def readuntil(self) -> bytes:
        """Return the next command line."""
        buffer = self.buffer
        if not buffer:  # as nearly always: a client waits for the reply to one line before it sends the next
            await _more()
        limit = LENIENT_LIMIT if self._is_lenient else LONGEST
        end = buffer.find(b"\n")
        while end < 0:
            start = len(buffer)
            if start > limit:
                end = start
                break
            await _more()
            end = buffer.find(b"\n", start)
        if end > limit:
            raise self._overrun("line too long", end)
        line = bytes(buffer[: end + 1])
        del buffer[: end + 1]
        return line

    async def message(self, size_limit: int) -> MessageText:
        """Return the message that follows DATA."""
        limit = LENIENT_LIMIT if self._is_lenient else DATA_LINE_LIMIT
        text = MessageText(size_limit, limit, DATA_LINE_LIMIT)
        while not text.take(self.buffer):
            await _more()
        return text

    async def octets(self, count: int, *, are_kept: bool) -> bytes:
        """Return the next *count* octets, whatever they are; drop them where they are not kept."""
        kept = bytearray()
        while count:
            while not self.buffer:
                await _more()
            piece = self.buffer[:count]
            del self.buffer[:count]
            count -= len(piece)
            if are_kept:
                kept += piece
        return bytes(kept)

    async def skip_line(self) -> None:
        """Drop everything up to the end of the line."""
        while (end := self.buffer.find(b"\n")) < 0:
            self.buffer.clear()
            await _more()
        del self.buffer[: end + 1]


def raw(text: str) -> bytes:
    """Return the bytes that the client sent as *text*."""
    return text.encode("utf-8", "surrogateescape")


def shown(verb: str, argument: bytes, accounts: Sequence[Account], *, known: bool) -> str:
    """Return a command line as it may be shown: without credentials, and nothing of it when it is not *known*."""
    if not known:
        # A secret sent in the wrong place looks like an unknown command: nothing of it may be seen.
        return f"<unknown command of {len(verb) + len(argument)} bytes>"
    text = argument.decode("utf-8", "backslashreplace")
    if verb == "AUTH":
        mechanism, _, initial = text.partition(" ")
        name = mechanism if mechanism.upper() in sasl.MECHANISMS else "<unknown mechanism>"
        return f"AUTH {name}" + (f" <initial response of {len(initial)} bytes>" if initial else "")
    return hide(f"{verb} {text}".rstrip(), accounts)
