"""The one background thread that serves every fake server of a process, and the hops into it.

The thread is a daemon, so a test run that is killed never hangs on it; a run that ends properly joins it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import traceback
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_mailauth.servers.wire.transport import SocketTransport
from pytest_mailauth.servers.wire.watch import WatchingLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

_T = TypeVar("_T")

PATIENCE = 30.0
"""Seconds to wait for the loop to answer a hop before calling it our bug. Nothing on the loop ever blocks."""

PASSES = 6
"""Passes of the loop without anything to read after which everything that had arrived is dealt with."""
MOST_PASSES = 2000
"""Passes after which a client that never stops sending is waited for no longer: it is over its limit by then."""


class LoopThread:
    """An asyncio event loop in a thread of its own, started by the first hop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: WatchingLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._errors: list[str] = []

    @property
    def running(self) -> bool:
        """True between the first hop and :meth:`stop`."""
        return self._thread is not None

    @property
    def is_here(self) -> bool:
        """True on the loop's own thread, which never waits for another."""
        return threading.current_thread() is self._thread

    def _started(self) -> WatchingLoop:
        with self._lock:
            if self._stopped:
                raise RuntimeError("the servers are closed")
            if self._loop is None:
                # Not whatever the project under test has set as its policy: ours has to watch sockets.
                self._loop = WatchingLoop()
                self._loop.set_exception_handler(self._note)
                self._thread = threading.Thread(target=self._loop.run_forever, name="pytest-mailauth", daemon=True)
                self._thread.start()
            return self._loop

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._errors.append("".join(traceback.format_exception(error)) if error else str(context["message"]))

    def take_errors(self) -> tuple[str, ...]:
        """Return what has failed on the loop outside any connection since this was last asked."""
        errors, self._errors = tuple(self._errors), []
        return errors

    def soon(self, function: Callable[[], object]) -> None:
        """Call *function* on the loop, before anything that is asked of the loop later."""
        self._started().call_soon_threadsafe(function)

    def submit(self, coroutine: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run *coroutine* on the loop without waiting for it."""
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._started())
        except RuntimeError:
            coroutine.close()
            raise

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run *coroutine* on the loop and return its result."""
        return self.submit(coroutine).result(PATIENCE)

    def do(self, function: Callable[[], _T]) -> _T:
        """Call *function* on the loop, whichever thread asks for it, and return its result."""
        if self.is_here:
            return function()

        async def done() -> _T:
            return function()

        return self.run(done())

    def call(self, function: Callable[[], _T]) -> _T:
        """Call *function* on the loop once everything that has already arrived was dealt with; return its result."""

        async def settled() -> _T:
            await silence()
            return function()

        return self.run(settled())

    def later(self, seconds: float, function: Callable[[], object]) -> Alarm:
        """Call *function* on the loop after *seconds*, unless the alarm is cancelled before."""
        return Alarm(self._started(), seconds, function)

    def stop(self) -> None:
        """Stop the thread and close the loop, for good."""
        with self._lock:
            self._stopped = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(PATIENCE)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(PATIENCE)
            loop.close()


async def silence() -> None:
    """Let the loop deal with everything that has arrived. Await it on the loop."""
    # A pass accepts or reads what is there, up to a limit; what that sets in motion takes a few more.
    quiet = 0
    for _ in range(MOST_PASSES):
        reads = SocketTransport.reads
        await asyncio.sleep(0)
        quiet = quiet + 1 if reads == SocketTransport.reads else 0
        if quiet == PASSES:
            return


async def _cancel_all() -> None:
    # Another thread may still be waiting for clients to leave; it is told, rather than left waiting.
    waiting = asyncio.all_tasks() - {asyncio.current_task()}
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


class Alarm:
    """A call on the loop that is still to come; :meth:`cancel` takes it back."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, function: Callable[[], object]) -> None:
        self._lock = threading.Lock()
        self._over = False
        self._rang = False
        self._function = function
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        loop.call_soon_threadsafe(self._set, seconds)

    def _set(self, seconds: float) -> None:
        if not self._over:
            self._handle = self._loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        with self._lock:
            if self._over:
                return
            self._over = self._rang = True
        self._function()

    def cancel(self) -> bool:
        """Take the call back. Return False when it has already been made."""
        with self._lock:
            self._over = True
            rang = self._rang
        if not rang:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and every alarm with it
                self._loop.call_soon_threadsafe(lambda: self._handle.cancel() if self._handle else None)
        return not rang
