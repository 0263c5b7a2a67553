"""An event loop that calls whoever watches a socket at once.

asyncio collects what is ready, makes a list of it, puts a handle for each into a queue, and runs the queue. A socket
that is watched is served while the loop waits for sockets, and the loop goes on waiting. Everything else (tasks,
timers, other threads) is asyncio's as ever.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, NamedTuple, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

_Ts = TypeVarTuple("_Ts")


class _Watcher(NamedTuple):
    """Who is called when a socket can be read, and when it can be written."""

    read: Callable[[], object] | None
    write: Callable[[], object] | None


class _Selector(selectors.DefaultSelector):
    """Serves watchers inside ``select``."""

    has_news = False
    """True once the loop was given something to do, which it has to see to before it may wait again."""
    failed: Callable[[Exception], None]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what asyncio has to look at."""
        self.has_news = False
        while True:
            rest = []
            for key, mask in super().select(timeout):
                if type(key.data) is _Watcher:
                    self._serve(key.data, mask)
                else:
                    rest.append((key, mask))
            # With a time-out the loop has a timer, which only it can look after.
            if rest or self.has_news or timeout is not None:
                return rest

    def _serve(self, who: _Watcher, mask: int) -> None:
        try:
            if mask & selectors.EVENT_READ and who.read is not None:
                who.read()
            if mask & selectors.EVENT_WRITE and who.write is not None:
                who.write()
        except Exception as error:  # noqa: BLE001 - asyncio hands over whatever a callback raises
            self.failed(error)


class WatchingLoop(asyncio.SelectorEventLoop):
    """asyncio's loop with :meth:`watch`."""

    def __init__(self) -> None:
        self._watched = _Selector()
        super().__init__(self._watched)
        self._watched.failed = self._tell

    def watch(
        self, descriptor: int, read: Callable[[], object] | None, write: Callable[[], object] | None = None
    ) -> None:
        """Call *read* and *write* whenever the socket is ready for it; None for no longer. Call it on the loop."""
        events = (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)
        known = descriptor in self._watched.get_map()
        if not events:
            if known:
                self._watched.unregister(descriptor)
        elif known:
            self._watched.modify(descriptor, events, _Watcher(read, write))
        else:
            self._watched.register(descriptor, events, _Watcher(read, write))

    def _tell(self, error: Exception) -> None:
        self.call_exception_handler({"message": "serving a socket failed", "exception": error})

    # What gives the loop something to do on its own thread; another thread wakes it through a socket.

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's."""
        self._watched.has_news = True
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As asyncio's."""
        self._watched.has_news = True
        return super().call_at(when, callback, *args, context=context)
