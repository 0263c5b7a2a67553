"""The clock of an asyncio loop: moved forward while the loop waits for attempts that nobody answers, and only then.

The loop's own ``time`` and its selector's ``select`` are replaced on the objects, not on their classes. The selector's
is put back when no attempt is pending. The time stays ahead by what was skipped, since a clock never goes back: timers
that were set meanwhile would come late.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from pytest_mailauth.network import threads

if TYPE_CHECKING:
    from pytest_mailauth.network.patience import Pending

_BEAT: Final = 0.01
"""Seconds after which it is looked again whether there is other work."""
_clocks: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopClock] = WeakKeyDictionary()
_at_work: WeakKeyDictionary[asyncio.AbstractEventLoop, set[Any]] = WeakKeyDictionary()


def clock_of(loop: asyncio.AbstractEventLoop) -> LoopClock | None:
    """Return the clock of a loop; None when its time or its selector are not asyncio's own."""
    clock = _clocks.get(loop)
    if clock is not None:
        return clock if vars(loop).get("time") == clock.time else None
    if (
        not isinstance(loop, asyncio.SelectorEventLoop)
        or type(loop).time is not asyncio.BaseEventLoop.time
        or "time" in vars(loop)
        or not hasattr(loop, "_selector")
        or not hasattr(loop, "_ssock")
    ):
        return None
    return _clocks.setdefault(loop, LoopClock(loop))


def run_in_executor(real: Any, self: asyncio.AbstractEventLoop, executor: Any, func: Any, *args: Any) -> Any:
    """In place of ``BaseEventLoop.run_in_executor``: remember which work is going on in other threads."""
    future = real(self, executor, func, *args)
    at_work = _at_work.setdefault(self, set())
    at_work.add(future)
    future.add_done_callback(at_work.discard)
    return future


class LoopClock:
    """The clock of one loop, which is not kept alive by it."""

    def __init__(self, loop: asyncio.SelectorEventLoop) -> None:
        self._loop: Any = loop
        self._selector: selectors.BaseSelector = loop._selector  # type: ignore[attr-defined]  # noqa: SLF001
        self._real_time = loop.time
        self._real_select = self._selector.select
        self._ahead = 0.0
        self._pending: list[Pending] = []

    def time(self) -> float:
        """Return the loop's time, in seconds."""
        return self._real_time() + self._ahead

    def watch(self, pending: Pending) -> None:
        """Look after an attempt until it is over."""
        self._loop.time = self.time
        if vars(self._selector).get("select") != self._select:
            self._real_select = self._selector.select
            self._selector.select = self._select  # type: ignore[method-assign]
        self._pending.append(pending)

    def _select(self, timeout: float | None = None) -> Any:
        self._settle()
        ready = self._real_select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if not self._pending:
            self._step_back()
            return self._real_select(timeout)
        if not self._is_idle():
            return self._real_select(_BEAT if timeout is None else min(timeout, _BEAT))
        last = min(one.deadline for one in self._pending) - self.time()
        self._ahead += max(0.0, last if timeout is None else min(last, timeout))
        for one in tuple(self._pending):
            if one.deadline <= self.time():
                self._pending.remove(one)
                one.expire()
        return self._real_select(0)

    def _settle(self) -> None:
        waited_for = self._selector.get_map()
        for one in tuple(self._pending):
            key = waited_for.get(one.descriptor)
            if one.over or key is None or not key.events & selectors.EVENT_WRITE:
                self._pending.remove(one)
                one.end()

    def _is_idle(self) -> bool:
        """Return whether nothing can happen on the loop but timers."""
        known = {self._loop._ssock.fileno(), *(one.descriptor for one in self._pending)}  # noqa: SLF001
        return (
            set(self._selector.get_map()) <= known
            and not _at_work.get(self._loop)
            and not any(one.directory.really or threads.busy(one.directory) for one in self._pending)
        )

    def _step_back(self) -> None:
        if vars(self._selector).get("select") == self._select:
            del self._selector.select
