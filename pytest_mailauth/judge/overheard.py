"""What a client of this process prints and logs while its trial runs, beside other trials in other threads.

Streams and the root logger belong to everybody: what one thread says is told apart by the thread, everything is passed
on, and nothing of ours is left when nobody listens any more. A client may have threads of its own, or work in those of
a pool: what they say is heard by everybody who listens. It is searched for secrets, and a secret tells whose it is.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any, Final, TextIO

_STREAMS: Final = ("stdout", "stderr")
_lock = threading.Lock()
_ears: Final[dict[int, Ear]] = {}
"""Who listens, by the thread that is listened to."""
_replaced: Final[dict[str, _Tap]] = {}
OURS: Final = ("mailauth", "pytest-mailauth")
"""How the names of our own threads begin: those of servers, and those in which clients run."""


def _heard_by(thread: int, name: str) -> tuple[Ear, ...]:
    """Return who hears a thread: whoever listens to it, or else everybody; nobody where it is one of ours."""
    own = _ears.get(thread)
    if own is not None:
        return (own,)
    return () if name.startswith(OURS) else tuple(_ears.values())


class Ear:
    """What was overheard of one thread, and of those that nobody else listens to.

    Attributes:
        printed: What was written to the standard streams, piece by piece.
        logged: The log records that reached the root logger, as text.
    """

    def __init__(self) -> None:
        self.printed: list[str] = []
        self.logged: list[str] = []
        self._thread = threading.get_ident()
        with _lock:
            if not _ears:
                _begin()
            _ears[self._thread] = self

    def close(self) -> None:
        """Listen no more. Harmless when repeated, and from any thread."""
        with _lock:
            if _ears.get(self._thread) is self:
                del _ears[self._thread]
                if not _ears:
                    _end()


class _Tap:
    """Stands before a standard stream, and is like it in everything."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, and let it be overheard."""
        for ear in _heard_by(threading.get_ident(), threading.current_thread().name):
            ear.printed.append(str(text))
        return self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        """Write line by line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        for ear in _heard_by(record.thread or 0, record.threadName or ""):
            ear.logged.append(self.format(record))
        last = logging.lastResort
        if logging.getLogger().handlers == [self] and last is not None and record.levelno >= last.level:
            last.handle(record)  # as it would where no handler of ours stood in its way


_handler: Final = _Handler()


def _begin() -> None:
    logging.getLogger().addHandler(_handler)
    for name in _STREAMS:
        stream = getattr(sys, name)
        if stream is not None:
            _replaced[name] = _Tap(stream)
            setattr(sys, name, _replaced[name])


def _end() -> None:
    logging.getLogger().removeHandler(_handler)
    for name, tap in _replaced.items():
        if getattr(sys, name) is tap:  # somebody else may have replaced it since, and puts it back by itself
            setattr(sys, name, tap._stream)  # noqa: SLF001 - made here
    _replaced.clear()
