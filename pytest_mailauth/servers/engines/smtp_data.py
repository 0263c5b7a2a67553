r"""The lines of a message behind DATA (RFC 5321 section 4.1.1.4), read by the handful instead of one by one.

Only CR LF ends a line, and only ``.`` between two of them ends the message: anything else would let a client smuggle
commands past a server that sees the end elsewhere (RFC 5321 section 4.1.1.4: never ``LF.LF``).
"""

from __future__ import annotations

from typing import Final

TOO_LONG: Final = "500 Line too long (see RFC5321 4.5.3.1.6)"
TOO_MUCH: Final = "552 Error: Too much mail data"
_CRLF: Final = b"\r\n"
_END: Final = b".\r\n"


class MessageText:
    """One message as it comes in.

    Args:
        size_limit: Most bytes of the message, 0 for any number (RFC 1870).
        line_limit: Most bytes of a line, CR LF and the transparency dot included.
        allowed: The same as the standard has it; what is longer is noted.

    Attributes:
        problem: The reply to a message that breaks a limit, or None.
        overran: True once a line was longer than *allowed*.
    """

    def __init__(self, size_limit: int, line_limit: int, allowed: int) -> None:
        self.problem: str | None = None
        self.overran = False
        self._size_limit = size_limit
        self._line_limit = line_limit
        self._allowed = allowed
        self._lines = bytearray()
        self._size = 0
        self._is_inside_a_line = False

    def take(self, buffer: bytearray) -> bool:
        """Take what is complete out of *buffer*; True when the message has ended, and the rest is a command again."""
        if self._is_inside_a_line and not self._skipped(buffer):
            return False
        at_once = buffer.startswith(_END)
        behind = -1 if at_once else buffer.find(_CRLF + _END)
        ended = at_once or behind >= 0
        end = 0 if at_once else (behind if ended else buffer.rfind(_CRLF)) + len(_CRLF)
        if end >= len(_CRLF):
            self._add(bytes(buffer[:end]))
            del buffer[:end]
        if ended:
            del buffer[: len(_END)]
        elif len(buffer) > self._line_limit:
            # The line goes on, and nothing of it is kept but what may be half of its end.
            self._break(TOO_LONG)
            self.overran = True
            self._is_inside_a_line = True
            del buffer[:-1]
        return ended

    @property
    def content(self) -> bytes:
        """The message without the dots that only the way over the wire needs (RFC 5321 section 4.5.2)."""
        text = bytes(self._lines).replace(_CRLF + b".", _CRLF)
        return text[1:] if text.startswith(b".") else text

    def _skipped(self, buffer: bytearray) -> bool:
        """Drop the rest of a line that is too long, as far as it has come; True once it is over."""
        end = buffer.find(_CRLF)
        self._is_inside_a_line = end < 0
        del buffer[: end + len(_CRLF) if end >= 0 else -1]
        return end >= 0

    def _add(self, lines: bytes) -> None:
        longest = max(map(len, lines.split(_CRLF))) + 2
        self.overran = self.overran or longest > self._allowed
        self._size += len(lines)
        is_too_much = 0 < self._size_limit < self._size
        if self.problem is None and longest <= self._line_limit and not is_too_much:
            self._lines += lines
        elif self.problem is None:
            self._break(self._first_problem(lines))

    def _first_problem(self, lines: bytes) -> str:
        size = self._size - len(lines)
        for line in lines.split(_CRLF)[:-1]:
            if len(line) + 2 > self._line_limit:
                return TOO_LONG  # known before the line has ended, if it comes in pieces
            size += len(line) + 2
            if 0 < self._size_limit < size:
                break
        return TOO_MUCH

    def _break(self, problem: str) -> None:
        self.problem = self.problem or problem
        self._lines.clear()
