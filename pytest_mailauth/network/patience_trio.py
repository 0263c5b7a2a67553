"""The clock of a trio run: moved forward while trio waits for attempts that nobody answers, and only then.

Trio tells its instruments before it waits, and for how long. A run whose clock is not trio's own, or that is the guest
of another loop that has work of its own, really waits.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from pytest_mailauth.network import threads

if TYPE_CHECKING:
    from types import FrameType

    from pytest_mailauth.network.patience import Pending

_clocks: WeakKeyDictionary[Any, TrioClock] = WeakKeyDictionary()
_BEAT: Final = 0.005
"""Seconds after which it is looked again whether there is other work."""
_TRIOS_OWN: Final = 1
"""Tasks that wait to read: trio's own, for calls from other threads."""


def clock_of_this_run() -> TrioClock | None:
    """Return the clock of the trio run that runs here; None when it is another one than trio's own."""
    trio: Any = sys.modules["trio"]
    clock = trio.lowlevel.current_clock()
    runner = getattr(getattr(sys.modules.get("trio._core._run"), "GLOBAL_RUN_CONTEXT", None), "runner", None)
    statistics = trio.lowlevel.current_statistics().io_statistics
    if (
        type(clock).__name__ != "SystemClock"
        or not isinstance(getattr(clock, "offset", None), float)
        or (getattr(runner, "is_guest", True) and not _is_guest_of_nobody())
        or not hasattr(statistics, "tasks_waiting_write")
    ):
        return None
    token = trio.lowlevel.current_trio_token()
    return _clocks.setdefault(token, TrioClock(trio, clock))


def _is_guest_of_nobody() -> bool:
    """Return whether the host of this run has no life of its own: the plugin of anyio only waits for trio."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001
    while frame is not None and frame.f_code.co_name != "guest_tick":
        frame = frame.f_back
    host = frame and frame.f_back
    return host is not None and host.f_globals.get("__name__") == "anyio._backends._trio"


class TrioClock:
    """The clock of one run, and the instrument that moves it."""

    def __init__(self, trio: Any, clock: Any) -> None:
        self._trio = trio
        self._clock = clock
        self._pending: list[Pending] = []

    def time(self) -> float:
        """Return the time of the run, in seconds."""
        return float(self._clock.current_time())

    def watch(self, pending: Pending) -> None:
        """Look after an attempt until it is over."""
        if not self._pending:
            self._trio.lowlevel.add_instrument(self)
        self._pending.append(pending)

    def before_io_wait(self, timeout: float) -> None:
        """Move the clock when nothing else can happen than that *timeout* seconds pass. Called by trio."""
        for one in tuple(self._pending):
            if one.over:
                self._pending.remove(one)
                one.end()
        if not self._pending:
            self._trio.lowlevel.remove_instrument(self)
            return
        if timeout <= 0:
            return
        if not self._is_idle():
            # Nothing need wake trio when a thread has ended its work, so it is looked again.
            time.sleep(min(timeout, _BEAT))
            self._trio.lowlevel.current_trio_token().run_sync_soon(int)
            return
        last = min(one.deadline for one in self._pending) - self.time()
        # Its clock is not meant to be changed by anybody, and says so.
        object.__setattr__(self._clock, "offset", self._clock.offset + max(0.0, min(last, timeout)))
        for one in tuple(self._pending):
            if one.deadline <= self.time():
                one.expire()
                self._pending.remove(one)
        if not self._pending:
            self._trio.lowlevel.remove_instrument(self)
        # Trio has decided how long to wait; this makes it look at its clock again.
        self._trio.lowlevel.current_trio_token().run_sync_soon(int)

    def after_run(self) -> None:
        """Write down what is left. Called by trio."""
        for one in self._pending:
            one.end()
        self._pending.clear()

    def _is_idle(self) -> bool:
        statistics = self._trio.lowlevel.current_statistics()
        waiting = statistics.io_statistics
        limiter = self._trio.to_thread.current_default_thread_limiter()
        return (
            waiting.tasks_waiting_read <= _TRIOS_OWN
            and waiting.tasks_waiting_write <= len(self._pending)
            and statistics.run_sync_soon_queue_size == 0
            and limiter.borrowed_tokens == 0
            and not any(one.directory.really or threads.busy(one.directory) for one in self._pending)
        )
