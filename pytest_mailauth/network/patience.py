"""Time without waiting: what becomes of an attempt to connect that nobody answers and that its client awaits.

The attempt is a real one, to a port of ours that answers nothing. While an event loop has nothing to do but to wait for
it, the clock of that loop is moved forward to its next timer: the client's own limit comes at once, and everything
else that the client planned for earlier comes before it. Where a loop cannot be moved, the client really waits.

Nothing is moved while the loop has other connections, work in other threads, or threads of the client beside it: what
they do takes real time.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import weakref
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from pytest_mailauth.model.attempts import AttemptOutcome
from pytest_mailauth.network.patience_asyncio import clock_of
from pytest_mailauth.network.patience_trio import clock_of_this_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.network.directory import Directory
    from pytest_mailauth.network.journal import Note

SYSTEM: Final = 127.0
"""Seconds after which Linux itself gives up: six repetitions, each after twice the time (tcp(7), tcp_syn_retries)."""

_expired: weakref.WeakSet[socket.socket] = weakref.WeakSet()


class Clock(Protocol):
    """What can tell, and perhaps move, the time of an event loop."""

    def time(self) -> float:
        """Return the time as the client sees it."""

    def watch(self, pending: Pending) -> None:
        """Look after an attempt until it is over."""


@dataclass(eq=False)
class Pending:
    """An attempt that nobody answers.

    Attributes:
        began: When, on the clock of its loop.
        time: That clock.
    """

    sock: weakref.ref[socket.socket]
    descriptor: int
    note: Note
    directory: Directory
    began: float
    time: Callable[[], float]

    @property
    def over(self) -> bool:
        """True when the client has given it up."""
        sock = self.sock()
        return sock is None or sock.fileno() != self.descriptor

    @property
    def deadline(self) -> float:
        """When the system itself gives up."""
        return self.began + SYSTEM

    def settle(self) -> None:
        """Write down how long the client has been waiting."""
        if self.note.outcome is AttemptOutcome.TIMEOUT:
            self.note.waited = tidy(self.time() - self.began)

    def end(self) -> None:
        """Write down for the last time how long the client has waited."""
        self.settle()
        self.note.settle = None

    def expire(self) -> None:
        """End the attempt as the system does in the end: the client has set no limit of its own before that."""
        self.note.outcome, self.note.waited, self.note.settle = AttemptOutcome.UNBOUNDED, None, None
        sock = self.sock()
        if sock is not None:
            _expired.add(sock)
            # Whoever waits for the socket is woken by that, and asks for its error.
            sock.shutdown(socket.SHUT_RDWR)


def tidy(seconds: float) -> float:
    """Return a time for people: what the client itself took to get there is left out."""
    return round(seconds, 1 if seconds >= 1 else 2)


def has_expired(sock: socket.socket) -> bool:
    """Return whether the attempt of a socket was ended for want of any answer."""
    return sock in _expired


def begin(sock: socket.socket, note: Note, directory: Directory) -> None:
    """Look after an attempt that was just begun on a socket that does not block."""
    clock = _clock()
    time = monotonic if clock is None else clock.time
    pending = Pending(weakref.ref(sock), sock.fileno(), note, directory, time(), time)
    note.settle = pending.settle
    if clock is not None:
        clock.watch(pending)


def _clock() -> Clock | None:
    """Return the clock of the event loop that runs here; None when there is none that is understood."""
    found: Any
    if _in_trio():
        found = clock_of_this_run()
    else:
        loop = asyncio._get_running_loop()  # noqa: SLF001 - the public one raises where there is none
        if loop is None:
            return None
        found = clock_of(loop)
    return found  # type: ignore[no-any-return]


def _in_trio() -> bool:
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True
