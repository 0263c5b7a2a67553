"""What is said on purpose around the beginning of TLS on one connection, in clear or just behind the handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import Agree, GreetAgain, Preface, StayClear, Trail, fill
from pytest_mailauth.model.terms import Security

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.servers.engines.contract import StartTLS
    from pytest_mailauth.servers.policy import Policy
    from pytest_mailauth.servers.wire.pace import Pace
    from pytest_mailauth.servers.wire.transport import SocketTransport


class Opening:
    """The beginning of TLS on one connection.

    Args:
        policy: Says which deviations are wanted.
        pace: Lets the bytes go.
        note: Writes down a fact.
    """

    def __init__(self, policy: Policy, pace: Pace, note: Callable[[e.Fact], None]) -> None:
        self._policy = policy
        self._pace = pace
        self._note = note
        self._tag = b""
        self._has_injected = False

    def preface(self) -> None:
        """Speak in clear to a client that has just connected to begin TLS at once, if that is wanted."""
        preface = self._policy.one(Preface)
        if preface is not None:
            data = fill(preface.data)
            self._pace.let_go(data)
            self._note(e.Deviated("injected", "", data))

    def agree(self, start: StartTLS) -> None:
        """Give the reply that starts TLS, with what else is to come before the handshake."""
        self._tag = start.tag
        agree, trail = self._policy.one(Agree), self._policy.one(Trail)
        reply = start.reply
        if agree is not None:
            reply = fill(agree.reply, start.tag)
            self._note(e.Deviated("reworded", "STARTTLS", reply))
        if trail is None or not trail.data:
            self._pace.let_go(reply)
            return
        suffix = fill(trail.data, start.tag)
        if trail.later:
            self._pace.let_go(reply)
            self._pace.let_go_later(suffix, trail.later, e.Deviated("injected late", "STARTTLS", suffix))
            return
        # One write is one segment: only so can a client be caught keeping what came behind the reply.
        self._pace.let_go(reply + suffix)
        self._note(e.Deviated("injected", "STARTTLS", suffix))
        self._has_injected = True

    def hello_begins(self, transport: SocketTransport) -> None:
        """Look how much of what was injected the client has read. Once it reads on, nobody can tell any more."""
        if self._has_injected:
            self._has_injected = False
            count = transport.unread_by_peer()
            if count is not None:
                self._note(e.LeftUnread(count))

    def stays_clear(self) -> bool:
        """Answer the ClientHello in clear, if that is wanted; return whether it was."""
        stay_clear = self._policy.one(StayClear)
        if stay_clear is None or self._policy.config.security is not Security.STARTTLS:
            return False
        self._note(e.Deviated("stays in clear", "STARTTLS", stay_clear.data))
        self._pace.let_go(fill(stay_clear.data, self._tag))
        return True

    def greet_again(self) -> None:
        """Greet behind the handshake, if that is wanted."""
        again = self._policy.one(GreetAgain)
        if again is not None:
            self._note(e.Deviated("greeted again", "", again.data))
            self._pace.let_go(fill(again.data))
