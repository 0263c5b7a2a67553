"""Text and TLS records of a client that sends one where the other belongs, parted. Sans-I/O.

A record is never text: a ClientHello may hold anything in its random bytes, lines that look like commands included,
and an alert is how an honest client says that it will not go on (RFC 8446 section 6.2).
"""

from __future__ import annotations

import re
from typing import Final

_HEADER: Final = re.compile(rb"[\x14-\x18]\x03[\x00-\x04][\x00-\x41]")
"""How a record begins: type, version, and a length of at most 2^14 + 256 bytes (RFC 8446 sections 5.1 and 5.2)."""
_BEHIND_A_LINE: Final = re.compile(rb"\n(?=[\x14-\x18]\x03[\x00-\x04][\x00-\x41])")
_HALF_A_HEADER: Final = re.compile(rb"(?:\A|(?<=\n))[\x14-\x18](?:\x03[\x00-\x04]?)?\Z")
_SUSPICIOUS: Final = re.compile(rb"[\x14-\x18]")
_LENGTH: Final = 5


class Sieve:
    """Takes the bytes of one client; pieces of any size give the same text and the same records.

    A record counts only where a line may begin. Records that follow records are known by their lengths.
    """

    def __init__(self) -> None:
        self._held = b""
        self._at_line_start = True
        self._record_left = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the text and the records in *data*; the beginning of a header waits for the rest of it."""
        if not self._held and not self._record_left and not _SUSPICIOUS.search(data):  # as nearly always
            self._at_line_start = data.endswith(b"\n") if data else self._at_line_start
            return data, b""
        data, self._held = self._held + data, b""
        text, records = bytearray(), bytearray()
        while data:
            if self._record_left:
                piece, data = data[: self._record_left], data[self._record_left :]
                self._record_left -= len(piece)
                records += piece
            elif self._at_line_start and _HEADER.match(data):
                if len(data) < _LENGTH:
                    self._held = data
                    break
                self._record_left = _LENGTH + int.from_bytes(data[3:_LENGTH], "big")
            else:
                data = self._take_text(data, text)
        return bytes(text), bytes(records)

    def _take_text(self, data: bytes, text: bytearray) -> bytes:
        """Move text up to the next record to *text*, and return what follows."""
        begins = _BEHIND_A_LINE.search(data)
        if begins is not None:
            text += data[: begins.end()]
            self._at_line_start = True
            return data[begins.end() :]
        half = _HALF_A_HEADER.search(data)
        if half is not None and (half.start() or self._at_line_start):
            self._held, data = data[half.start() :], data[: half.start()]
        text += data
        if data:
            self._at_line_start = data.endswith(b"\n")
        return b""

    def rest(self) -> bytes:
        """Return what was held back, and forget it: nothing more comes."""
        held, self._held = self._held, b""
        return held
