"""What is written down of one connection, and how much of it there may be."""

from __future__ import annotations

from time import monotonic
from typing import Final

from pytest_mailauth.model import events as e
from pytest_mailauth.model.terms import Layer

BYTE_LIMIT: Final = 64 * 2**20
"""Bytes one client may send before it is cut off, so that a runaway client cannot fill the memory."""
REPLY_LIMIT: Final = 256 * 2**20
"""Bytes one client may be sent, for the same reason: all of them are kept for the record."""
_made: Final = tuple.__new__
"""Makes a named tuple at half the price of calling its class: most of what a session costs here is facts."""
FACT_LIMIT: Final = 250_000
"""Facts that are noted of one connection; a command and its reply are four."""


class Notes:
    """The facts of one connection, each with its time and the layer that was active.

    Attributes:
        entries: The facts in order.
        layer: The layer on which the next fact happens.
        received: Bytes that came from the client, TLS included.
        sent: Bytes of replies, TLS not included.
    """

    def __init__(self) -> None:
        self.entries: list[e.Entry] = []
        self.layer = Layer.CLEAR
        self.received = self.sent = 0

    def add(self, fact: e.Fact) -> None:
        """Write down a fact."""
        self.entries.append(_made(e.Entry, (monotonic(), self.layer, fact)))

    def arrived(self, size: int) -> str | None:
        """Count *size* bytes from the client; return what there is too much of, in words, or None."""
        self.received += size
        if self.received <= BYTE_LIMIT and self.sent <= REPLY_LIMIT and len(self.entries) <= FACT_LIMIT:
            return None
        if self.received > BYTE_LIMIT:
            return f"more than {BYTE_LIMIT} bytes"
        if self.sent > REPLY_LIMIT:
            return f"replies of more than {REPLY_LIMIT} bytes"
        return f"more than {FACT_LIMIT} facts"
