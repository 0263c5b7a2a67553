"""When the bytes of a reply leave: at once, byte by byte after a while, or hardly at all.

Time is decided here and nowhere else on a connection. What is written, and on which layer, is not.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import Slow, Withhold
from pytest_mailauth.model.floods import Trickle

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.servers.policy import Policy


class Pace:
    """The pace of one connection.

    Args:
        policy: Says which deviations are wanted.
        send: Writes a reply; its second argument is whether each byte becomes a segment of its own.
        note: Writes down a fact.
        caught_up: Called whenever nothing is owed any more after something was.
        guarded: Runs a step, and turns what it raises into a fact.
    """

    def __init__(
        self,
        policy: Policy,
        send: Callable[[bytes, bool], None],
        note: Callable[[e.Fact], None],
        caught_up: Callable[[], None],
        guarded: Callable[[Callable[[], None]], None],
    ) -> None:
        trickle = policy.one(Trickle)
        self._left = trickle and trickle.most
        self._slow = Slow(delay=trickle.pause, between=trickle.pause) if trickle else policy.one(Slow)
        self._withhold = policy.one(Withhold)
        self._send = send
        self._note = note
        self._caught_up = caught_up
        self._guarded = guarded
        self._queue: list[bytes] = []
        self._held = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_steady(self) -> bool:
        """True when every reply leaves at once."""
        return self._slow is None and self._withhold is None

    @property
    def owes(self) -> bool:
        """True while a reply is on its slow way out."""
        return bool(self._queue)

    def answer(self, data: bytes, *, over_tls: bool) -> None:
        """Let a reply go, or hold it back."""
        if self._withhold is None or not over_tls:
            self.let_go(data)
            return
        self._note(e.Deviated("reply withheld", "", data))
        if not self._held:
            self._after(self._withhold.patience, self._let_out_a_piece)
        self._held += data

    def let_go(self, data: bytes) -> None:
        """Let a reply go, now or slowly."""
        if self._slow is None:
            self._send(data, False)  # noqa: FBT003 - what it means stands above
            return
        self._queue.append(data)
        if len(self._queue) == 1:
            self._after(self._slow.delay, self._drip)

    def let_go_later(self, data: bytes, seconds: float, note: e.Fact) -> None:
        """Let bytes go after so many seconds, and write *note* down then; they are owed until then."""

        def go() -> None:
            self._note(note)
            self._send(self._queue.pop(0), False)  # noqa: FBT003
            self._caught_up()

        self._queue.append(data)
        self._after(seconds, go)

    def stop(self) -> None:
        """Forget what is owed."""
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _after(self, seconds: float, step: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._guarded, step)

    def _drip(self) -> None:
        assert self._slow is not None  # noqa: S101 - only then is there a queue
        if self._left is not None:
            if not self._left:
                self._note(e.Deviated("trickle over", "", b""))
                return
            self._left -= 1
        if self._slow.between and len(self._queue[0]) > 1:
            self._send(self._queue[0][:1], False)  # noqa: FBT003
            self._queue[0] = self._queue[0][1:]
            self._after(self._slow.between, self._drip)
            return
        self._send(self._queue.pop(0), True)  # noqa: FBT003
        if self._queue:
            self._after(max(self._slow.delay, self._slow.between), self._drip)
        else:
            self._caught_up()

    def _let_out_a_piece(self) -> None:
        line_end = self._held.find(b"\n") + 1
        several_lines = 0 < line_end < len(self._held)
        piece = bytes(self._held[: line_end if several_lines else 1])
        self._note(e.Deviated("first piece let out", "", piece))
        self.let_go(piece)
