"""SMTP's lines: how long they may be, the reader and the loop that give them out, and what of them may be shown.

Nothing of aiosmtpd or asyncio is known here, and no command.
"""

from __future__ import annotations

import re
import types
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.canary import redact
from pytest_mailauth.model.transcript import hidden_values
from pytest_mailauth.servers import sasl
from pytest_mailauth.servers.engines.lines import LENIENT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from pytest_mailauth.model.canary import Account

LINE_LIMITS: Final = {"AUTH": 12_288, "MAIL": 1024, "RCPT": 1024}
"""Longest command line in bytes: RFC 4954 section 4.1 for AUTH; the others leave room for their parameters."""
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
    """The reader that aiosmtpd's commands await: the two calls of asyncio's StreamReader that they use.

    Args:
        overrun: Makes the exception for a line that is too long, from a text and the number of bytes to drop.
        is_lenient: Whether a line that is too long is given out all the same.

    Attributes:
        buffer: What has come and was not read yet.
        overran: True once a line was too long.
    """

    def __init__(self, overrun: Callable[[str, int], Exception], *, is_lenient: bool) -> None:
        self.buffer = bytearray()
        self.overran = False
        self._overrun = overrun
        self._is_lenient = is_lenient

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """Return the next command line, or with CRLF as *separator* the next line of a message."""
        buffer, extent = self.buffer, len(separator)
        if not buffer:  # as nearly always: a client waits for the reply to one line before it sends the next
            await _more()
        allowed = LONGEST if separator == b"\n" else DATA_LINE_LIMIT
        limit = LENIENT_LIMIT if self._is_lenient else allowed
        end = buffer.find(separator)
        while end < 0:
            start = max(0, len(buffer) + 1 - extent)
            if start > limit:
                end = start
                break
            await _more()
            end = buffer.find(separator, start)
        if end > allowed:
            self.overran = True
        if end > limit:
            raise self._overrun("line too long", end)
        line = bytes(buffer[: end + extent])
        del buffer[: end + extent]
        return line

    async def skip_line(self) -> None:
        """Drop everything up to the end of the line."""
        while (end := self.buffer.find(b"\n")) < 0:
            self.buffer.clear()
            await _more()
        del self.buffer[: end + 1]

    async def read(self, size: int) -> bytes:
        """Return up to *size* bytes of what has come."""
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data


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
    return redact(f"{verb} {text}".rstrip(), hidden_values(accounts))
