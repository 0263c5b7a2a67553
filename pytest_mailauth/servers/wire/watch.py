"""An event loop that calls whoever watches a socket at once.

asyncio collects what is ready, makes a list of it, puts a handle for each into a queue, and runs the queue. A socket
that is watched is served while the loop waits for sockets, and the loop goes on waiting. Everything else (tasks,
timers, other threads) is asyncio's as ever, and without Linux's epoll so is this.
"""

from __future__ import annotations

import asyncio
import select
import selectors
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

_Ts = TypeVarTuple("_Ts")

HAS_EPOLL: Final = hasattr(select, "epoll")
AT_ONCE: Final = 64
"""Sockets that are served before the system is asked again which are ready."""


class _Watcher(NamedTuple):
    """Who is called when a socket can be read, and when it can be written."""

    read: Callable[[], object] | None
    write: Callable[[], object] | None


class _Selector(selectors.DefaultSelector):
    """asyncio's selector, and beside it the sockets that are watched; both are waited for together."""

    failed: Callable[[Exception], None]

    def __init__(self) -> None:
        super().__init__()
        self.watchers: dict[int, _Watcher] = {}
        self.epoll = select.epoll()
        self._inner = self.fileno()
        self.epoll.register(self._inner, select.EPOLLIN)
        self.afterwards: list[Callable[[], object]] | None = None
        """What is done when everybody who was ready has been served; None while nobody is."""
        self.has_news = False
        """True once the loop was given something to do, which it has to see to before it may wait again."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what asyncio has to look at."""
        self.has_news = False
        while True:
            is_asked = self._served(self.epoll.poll(timeout, AT_ONCE))
            if is_asked:
                return super().select(0)
            # With a time-out the loop has a timer, which only it can look after.
            if self.has_news or timeout is not None:
                return []

    def _served(self, ready: list[tuple[int, int]]) -> bool:
        """Serve the watchers among the sockets that are ready; True when there is something for asyncio, too."""
        is_asked = False
        steps: list[Callable[[], object]] = []
        self.afterwards = steps
        for descriptor, event in ready:
            if descriptor == self._inner:
                is_asked = True
            elif descriptor in self.watchers:  # one before it may have closed it
                self._serve(self.watchers[descriptor], event)
        for step in steps:  # and what is added meanwhile
            self._try(step)
        self.afterwards = None
        return is_asked

    def _serve(self, who: _Watcher, event: int) -> None:
        # An error, or the end, is read or written like anything else.
        if event & ~select.EPOLLOUT and who.read is not None:
            self._try(who.read)
        if event & ~select.EPOLLIN and who.write is not None:
            self._try(who.write)

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - asyncio hands over whatever a callback raises
            self.failed(error)

    def close(self) -> None:
        """Let go of both."""
        self.epoll.close()
        super().close()


class WatchingLoop(asyncio.SelectorEventLoop):
    """asyncio's loop with :meth:`watch`."""

    def __init__(self) -> None:
        self._watched = _Selector() if HAS_EPOLL else None
        super().__init__(self._watched)
        if self._watched is not None:
            self._watched.failed = self._tell

    def watch(
        self, descriptor: int, read: Callable[[], object] | None, write: Callable[[], object] | None = None
    ) -> None:
        """Call *read* and *write* whenever the socket is ready for it; None for no longer. Call it on the loop."""
        watched = self._watched
        if watched is None:
            self._add_both(descriptor, read, write)
            return
        events = (select.EPOLLIN if read else 0) | (select.EPOLLOUT if write else 0)
        if not events:
            if watched.watchers.pop(descriptor, None) is not None:
                watched.epoll.unregister(descriptor)
            return
        change = watched.epoll.modify if descriptor in watched.watchers else watched.epoll.register
        change(descriptor, events)
        watched.watchers[descriptor] = _Watcher(read, write)

    def afterwards(self, step: Callable[[], object]) -> None:
        """Call *step* when whoever is being served has returned."""
        waiting = self._watched.afterwards if self._watched is not None else None
        if waiting is None:
            self.call_soon(step)
        else:
            waiting.append(step)

    def _add_both(self, descriptor: int, read: Callable[[], object] | None, write: Callable[[], object] | None) -> None:
        if read is None:
            self.remove_reader(descriptor)
        else:
            self.add_reader(descriptor, read)
        if write is None:
            self.remove_writer(descriptor)
        else:
            self.add_writer(descriptor, write)

    def _tell(self, error: Exception) -> None:
        self.call_exception_handler({"message": "serving a socket failed", "exception": error})

    # What gives the loop something to do on its own thread; another thread wakes it through a socket.

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's."""
        self._note_news()
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's."""
        self._note_news()
        return super().call_at(when, callback, *args, context=context)

    def _note_news(self) -> None:
        if self._watched is not None:
            self._watched.has_news = True


def running() -> WatchingLoop:
    """Return the loop that is running, which is one of ours."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, WatchingLoop)  # noqa: S101 - for the type checker
    return loop
