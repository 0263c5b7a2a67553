"""Bytes to lines, for the engines whose protocol is lines. Pieces of any size give the same lines."""

from __future__ import annotations

from typing import Final

LENIENT_LIMIT: Final = 65_536
"""Longest line in bytes of a server that is lenient; nothing endless is ever kept."""


class LineBuffer:
    """Collects bytes and gives them out as lines or as blocks of a known size.

    A line ends with LF; a CR before it is dropped. A line longer than *limit* bytes (line end included) is
    swallowed to its end and given out as None, so that one bad line costs one error reply and no memory.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._data = bytearray()
        self._scanned = 0
        self._overlong = False

    def __len__(self) -> int:
        """The number of bytes that wait for their line end."""
        return len(self._data)

    @property
    def unfinished(self) -> bool:
        """True when a line has begun and its end has not come, also when its bytes were swallowed."""
        return self._overlong or bool(self._data)

    def feed(self, data: bytes) -> None:
        """Add bytes."""
        self._data += data

    def clear(self) -> None:
        """Drop everything that has not been given out."""
        self._data.clear()
        self._scanned = 0
        self._overlong = False

    def next_line(self) -> tuple[bool, bytes | None]:
        """Return ``(True, line)``, ``(True, None)`` for an over-long line, or ``(False, None)`` when none is ready."""
        end = self._data.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._data)
            if self._scanned > self.limit:
                self._data.clear()
                self._scanned = 0
                self._overlong = True
            return False, None
        line = bytes(self._data[:end]).removesuffix(b"\r")
        overlong = self._overlong or end + 1 > self.limit
        del self._data[: end + 1]
        self._scanned = 0
        self._overlong = False
        return True, None if overlong else line

    def next_block(self, size: int) -> bytes | None:
        """Return exactly *size* bytes, or None while they have not all arrived."""
        if len(self._data) < size:
            return None
        block = bytes(self._data[:size])
        del self._data[:size]
        self._scanned = 0
        return block
