"""What an engine wants and what a client sends, each in its turn: while a reply waits, all that follows waits too.

An engine is given a few lines at a time, so that a client which asks for much and reads nothing is left waiting before
its requests have filled the memory with replies. Beyond that bytes are not interpreted, and nothing is written.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from pytest_mailauth.servers.engines.contract import Close, Drip, Reset, Send, StartTLS, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_mailauth.model.events import Fact
    from pytest_mailauth.servers.engines.contract import Engine, Output

    Doing = Send | StartTLS | Close | Reset | Fact


AT_ONCE: Final = 256
"""Bytes of whole lines that an engine is given at once: less than a dozen requests."""

_DEEDS: Final = (Send, StartTLS, Close, Reset, Wait, Drip)
"""The outputs that are not facts."""
_ABOUT_TIME: Final = frozenset({Wait, Drip})


class Turns:
    """The order of one connection.

    Args:
        do: Carries one output out.
        guarded: Runs a step, and turns what it raises into a fact.

    Attributes:
        engine: What the client talks to; set when it has come.
    """

    engine: Engine

    def __init__(
        self,
        do: Callable[[Doing], None],
        guarded: Callable[[Callable[[], None]], None],
    ) -> None:
        self._do = do
        self._guarded = guarded
        self._outputs: deque[Output] = deque()
        self._unread = bytearray()
        self._is_held = False
        self._pause = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def perform(self, outputs: Iterable[Output]) -> None:
        """Carry outputs out, now or when it is their turn."""
        if self._outputs or self._pause or self._timer is not None:
            self._outputs.extend(outputs)
        else:  # nothing waits, as nearly always
            do, following = self._do, iter(outputs)
            for output in following:
                if type(output) in _ABOUT_TIME:
                    self._outputs.append(output)
                    self._outputs.extend(following)
                    break
                do(output)  # type: ignore[arg-type] # mypy does not read the line above
            else:
                return
        while self._outputs and self._timer is None:
            output = self._outputs.popleft()
            if isinstance(output, Wait):
                self._timer = asyncio.get_running_loop().call_later(output.seconds, self._guarded, self._go_on)
            elif isinstance(output, Drip):
                self._pause = output.seconds
            elif self._pause and isinstance(output, Send | StartTLS):
                self._outputs.extendleft(reversed(_dripping(output, self._pause)))
                self._pause = 0.0
            else:
                self._do(output)

    def take(self, data: bytes) -> None:
        """Pass on what the client sent, now or when it is its turn."""
        if len(data) > AT_ONCE or self.are_waiting:
            self._unread += data
            self._feed()
        else:  # a line or two, as it nearly always comes
            self.perform(self.engine.receive(data))

    def _feed(self) -> None:
        # The rest is kept before lines are passed on: STARTTLS wants to know what came behind it.
        while self._unread and self._timer is None and not self._is_held:
            end = self._unread.rfind(b"\n", 0, AT_ONCE) + 1 or self._unread.find(b"\n") + 1 or None
            lines = bytes(self._unread[:end])
            del self._unread[: len(lines)]
            self.perform(self.engine.receive(lines))

    def hold(self) -> None:
        """Pass nothing more on until :meth:`release`: the client does not read what it asked for."""
        self._is_held = True

    def release(self) -> None:
        """Go on with what was held back."""
        self._is_held = False
        self._feed()

    @property
    def are_waiting(self) -> bool:
        """True while what comes waits behind something that came before."""
        return self._timer is not None or self._is_held or bool(self._unread)

    def unread(self) -> bytes:
        """Return what waits for its turn, and forget it."""
        data = bytes(self._unread)
        self._unread.clear()
        return data

    def end(self, engine: Engine, *, left: bool) -> None:
        """Wait no more: whoever a reply was waiting for is gone. What happened is stated all the same.

        Args:
            engine: What the client talked to.
            left: Whether the client left by itself: nobody leaves in the middle who was cut off.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rest, unread = list(self._outputs), self.unread()
        self._outputs.clear()
        # Line by line, so that no more than one reply to nobody is ever in the memory.
        for line in unread.splitlines(keepends=True):
            rest += _facts(engine.receive(line))
        last = engine.eof()
        self.perform(_facts([*rest, *last] if left else rest))

    def _go_on(self) -> None:
        self._timer = None
        self.perform(())
        self._feed()


def _facts(outputs: Iterable[Output]) -> list[Output]:
    return [output for output in outputs if not isinstance(output, _DEEDS)]


def _dripping(output: Send | StartTLS, pause: float) -> list[Output]:
    """Return a reply byte by byte; TLS starts behind the last one."""
    data = output.data if isinstance(output, Send) else output.reply
    pieces: list[Output] = [step for at in range(len(data) - 1) for step in (Send(data[at : at + 1]), Wait(pause))]
    last = data[-1:]
    return [*pieces, Send(last) if isinstance(output, Send) else output._replace(reply=last)]
