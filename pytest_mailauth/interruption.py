"""Signals that end the command, taken as Ctrl-C is: what is known is reported, and nothing is left behind.

For the command alone: a process under test has its own mind about signals.
"""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType

SIGNALS: Final = ("SIGTERM", "SIGHUP")
"""Sent by whoever ends a job, and by a terminal that is closed. Not every system has both."""


class Interruption(AbstractContextManager["Interruption"]):
    """While it is entered, the first of :data:`SIGNALS` raises KeyboardInterrupt in the main thread.

    Further ones are ignored: they often come in pairs, and the second must not stop what the first began. A signal
    that somebody has ignored (``nohup``) or handles otherwise is left alone. In other threads nothing is done.

    Attributes:
        number: The signal that ended the command: SIGINT when none of these did.
    """

    def __init__(self) -> None:
        self.number = int(signal.SIGINT)
        self._came = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in SIGNALS if hasattr(signal, name)):
                if signal.getsignal(number) == signal.SIG_DFL:
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if not self._came:
            self._came = True
            self.number = number
            raise KeyboardInterrupt
