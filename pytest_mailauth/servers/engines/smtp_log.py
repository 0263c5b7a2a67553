"""Keeps aiosmtpd's log out of the tests: it writes down senders, recipients and every line of a message.

Only what an engine of ours makes it say is dropped. A server of aiosmtpd that a test runs by itself goes on logging.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

_within: Final[ContextVar[bool]] = ContextVar("within an SMTP engine", default=False)


def _not_within(_record: logging.LogRecord) -> bool:
    return not _within.get()


logging.getLogger("mail.log").addFilter(_not_within)


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep aiosmtpd quiet within the block, or within the function that this decorates."""
    token = _within.set(True)
    try:
        yield
    finally:
        _within.reset(token)


def advance(session: Coroutine[Any, Any, None]) -> bool:
    """Run *session* up to where it waits for bytes, unlogged. Return whether it goes on."""
    with unlogged():
        try:
            session.send(None)
        except StopIteration:
            return False
        return True
