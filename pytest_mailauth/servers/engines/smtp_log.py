"""Keeps aiosmtpd's log out of the tests: it writes down senders, recipients and every line of a message.

Only what an engine of ours makes it say is dropped. A server of aiosmtpd that a test runs by itself goes on logging.
"""

from __future__ import annotations

import logging
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Coroutine

_within: Final[ContextVar[bool]] = ContextVar("within an SMTP engine", default=False)


def _not_within(_record: logging.LogRecord) -> bool:
    return not _within.get()


logging.getLogger("mail.log").addFilter(_not_within)


def quiet() -> Context:
    """Return a context that keeps aiosmtpd quiet: run in it what may make it speak."""
    context = Context()
    context.run(_within.set, True)  # noqa: FBT003 - a value, not a switch
    return context


def advance(session: Coroutine[Any, Any, None], context: Context) -> bool:
    """Run *session* up to where it waits for bytes. Return whether it goes on."""
    try:
        context.run(session.send, None)
    except StopIteration:
        return False
    return True
