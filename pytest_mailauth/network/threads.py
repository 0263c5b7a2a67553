"""Which thread belongs to which network, and whether it may still be working. Threads of a pool serve anybody."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import thread as pools
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from pytest_mailauth.network.directory import Directory

started: WeakKeyDictionary[threading.Thread, tuple[Directory, ...]] = WeakKeyDictionary()
"""The networks that were open for whoever started a thread, the newest first."""


def is_pooled(thread: threading.Thread) -> bool:
    """Return whether a thread takes its work from a pool."""
    return thread in pools._threads_queues or hasattr(thread, "idle_workers") or _of_trio(thread) is not None  # noqa: SLF001


def busy(directory: Directory) -> bool:
    """Return whether some other thread that began under this network may be working."""
    here = threading.current_thread()
    return any(
        directory in networks and thread.is_alive() and thread is not here and not _is_idle(thread)
        for thread, networks in tuple(started.items())
    )


def _is_idle(thread: threading.Thread) -> bool:
    """Return whether a pool's thread has nothing to do. What cannot be found out is taken for work."""
    worker = _of_trio(thread)
    if worker is not None:
        cache = sys.modules["trio._core._thread_cache"].THREAD_CACHE
        return worker in getattr(cache, "_idle_workers", ())
    if thread in getattr(thread, "idle_workers", ()):  # anyio's, changed on the thread of its loop
        return True
    if thread not in pools._threads_queues:  # noqa: SLF001
        return False
    pool = next(iter(getattr(thread, "_args", ())), lambda: None)()
    idle = getattr(getattr(pool, "_idle_semaphore", None), "_value", -1)
    return pool is None or idle == len(getattr(pool, "_threads", ()))


def _of_trio(thread: threading.Thread) -> Any:
    if "trio._core._thread_cache" not in sys.modules:
        return None
    owner = getattr(getattr(thread, "_target", None), "__self__", None)
    return owner if type(owner).__module__ == "trio._core._thread_cache" else None
