"""Which thread belongs to which network, and whether it may still be working. Threads of a pool serve anybody."""

from __future__ import annotations

import contextlib
import sys
import threading
from concurrent.futures import thread as pools
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_mailauth.network.directory import Directory

_T = TypeVar("_T")
started: WeakKeyDictionary[threading.Thread, tuple[Directory, ...]] = WeakKeyDictionary()
"""The networks that were open for whoever started a thread, the newest first."""


_submitted: WeakKeyDictionary[Any, WeakSet[Any]] = WeakKeyDictionary()


def submit(real: Callable[..., Any], pool: Any, *arguments: Any, **keywords: Any) -> Any:
    """In place of ``ThreadPoolExecutor.submit``: remember which work a pool has."""
    future = real(pool, *arguments, **keywords)
    _submitted.setdefault(pool, WeakSet()).add(future)
    return future


def is_pooled(thread: threading.Thread) -> bool:
    """Return whether a thread takes its work from a pool."""
    return thread in pools._threads_queues or hasattr(thread, "idle_workers") or _of_trio(thread) is not None  # noqa: SLF001


def busy(directory: Directory) -> bool:
    """Return whether some other thread may be working that began under this network, or that works for anybody."""
    here = threading.current_thread()
    mine = (thread for thread, networks in _all_of(started.items) if directory in networks and thread.is_alive())
    # Trio's threads work for every run of the process, whoever was the first.
    shared = (thread for thread in threading.enumerate() if _of_trio(thread) is not None)
    return any(thread is not here and not _is_idle(thread) for thread in (*mine, *shared))


def _all_of(items: Callable[[], Iterable[_T]]) -> tuple[_T, ...]:
    """Return all that there is now, while other threads may add to it."""
    while True:
        with contextlib.suppress(RuntimeError):  # it has changed while it was looked through
            return tuple(items())


def _is_idle(thread: threading.Thread) -> bool:
    """Return whether a pool's thread has nothing to do. What cannot be found out is taken for work."""
    worker = _of_trio(thread)
    if worker is not None:
        cache = sys.modules["trio._core._thread_cache"].THREAD_CACHE
        # It counts as idle before it hands its result on.
        return worker in getattr(cache, "_idle_workers", ()) and _runs(thread, type(worker)._work)  # noqa: SLF001
    if thread in getattr(thread, "idle_workers", ()):  # anyio's, changed on the thread of its loop
        return True
    if thread not in pools._threads_queues:  # noqa: SLF001
        return False
    pool = next(iter(getattr(thread, "_args", ())), lambda: None)()
    if pool is not None and not all(future.done() for future in _all_of(_submitted.get(pool, WeakSet()).__iter__)):
        return False
    # Who has a result may still be telling others of it. Waiting for more, a thread of a pool is in this function.
    return _runs(thread, pools._worker)  # noqa: SLF001


def _runs(thread: threading.Thread, function: Any) -> bool:
    """Return whether a thread is in this function itself, and in none that it calls."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001
    return frame is None or frame.f_code is function.__code__


def _of_trio(thread: threading.Thread) -> Any:
    if "trio._core._thread_cache" not in sys.modules:
        return None
    owner = getattr(getattr(thread, "_target", None), "__self__", None)
    return owner if type(owner).__module__ == "trio._core._thread_cache" else None
