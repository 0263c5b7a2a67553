"""Which networks are open in this process, and whose a call is: several may be open side by side, in several threads.

A call belongs to the network of its context, else to that of whoever started its thread, else to those that were
opened in its thread. Only where none of that is known (a thread of a pool, or one that is older than the network) every
open network is asked, the newest first.
"""

from __future__ import annotations

import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.network import threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from pytest_mailauth.network.directory import Directory, Place

_lock = threading.Lock()
_open: tuple[Directory, ...] = ()
"""The newest first. Replaced as a whole, so that nobody who reads it needs the lock."""
_mine: ContextVar[tuple[Directory, ...]] = ContextVar("mailauth_networks", default=())
_OURS: Final = "pytest_mailauth.servers."
_NEAR: Final = 4
"""Frames between a fake server and a function of Python's that it calls, at most."""


def enter(directory: Directory) -> None:
    """Open a network for this context, and for the threads and tasks that begin in it."""
    global _open  # noqa: PLW0603 - there is one process
    directory.opened_in = threading.get_ident()
    with _lock:
        _open = (directory, *_open)
    _mine.set((directory, *_mine.get()))


def leave(directory: Directory) -> None:
    """Close a network."""
    global _open  # noqa: PLW0603
    with _lock:
        _open = tuple(one for one in _open if one is not directory)
    _mine.set(tuple(one for one in _mine.get() if one is not directory))


def any_open() -> bool:
    """Return whether any network is open."""
    return bool(_open)


def concerned() -> tuple[Directory, ...]:
    """Return the networks that a call made here is for, the newest first.

    None when it comes from a thread that began under a network which is closed by now: what that thread still does is
    not for the networks of others.
    """
    known = _known()
    if known is None:
        return _open
    return tuple(one for one in known if one in _open)


def _known() -> tuple[Directory, ...] | None:
    """Return the networks that this call is known to be for, even if they are closed; None when nothing is known."""
    here = _mine.get()
    if any(one in _open for one in here):
        return here
    thread = threading.current_thread()
    began = threads.started.get(thread)
    if began and (any(one in _open for one in began) or not threads.is_pooled(thread)):
        return began
    # A loop that is older than the network runs its tasks in a context that does not know it.
    return tuple(one for one in _open if one.opened_in == thread.ident) or None


def place_at(address: str) -> tuple[Directory, Place] | None:
    """Return whose an address is, and what is there."""
    return next(((one, place) for one in _open if (place := one.at.get(address)) is not None), None)


def orphaned(name: str) -> bool:
    """Return whether this thread began under a network that had this name, and that is closed."""
    began = threads.started.get(threading.current_thread(), ())
    return any(one not in _open and (name in one.hosts or name in one.unknown) for one in began)


def is_ours(depth: int) -> bool:
    """Return whether the caller *depth* frames up is a fake server: what it opens is no client's doing."""
    frame: FrameType | None = sys._getframe(depth + 1)  # noqa: SLF001
    for _ in range(_NEAR):
        if frame is not None and str(frame.f_globals.get("__name__")).startswith(_OURS):
            return True
        frame = frame and frame.f_back
    return False


def start(real: Callable[..., Any], thread: threading.Thread) -> Any:
    """In place of ``Thread.start``: remember for which networks a thread begins."""
    known = _known()
    if known and not is_ours(2):
        threads.started[thread] = known
    return real(thread)
