"""How a test tells a running server what to do, and what it is told when something it waited for did not come.

A near miss is a command that came close: the same one with another argument, or else whatever came instead. Commands
are shown as the record shows them, with secrets hidden.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.errors import ConfigError, UnmetExpectations
from pytest_mailauth.model.events import Stored
from pytest_mailauth.model.transcript import presentable
from pytest_mailauth.servers.acts import FAULTS, Faults
from pytest_mailauth.servers.script import MESSAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_mailauth.model.events import Command
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.servers.script import Argument, Expectation, Script

SHOWN: Final = 5
"""Most near misses shown for one expectation."""


class Scripted:
    """A server that can be told what to do about commands."""

    _script: Script

    if TYPE_CHECKING:

        @property
        def sessions(self) -> tuple[SessionRecord, ...]:
            """What was observed, one record a connection."""

    def on(self, verb: str, arg: Argument = None) -> Expectation:
        r"""Wait for a command, and say what to do about it: ``server.on("RCPT").reply(550, "5.1.1 unknown")``.

        The expectations of a server are tried in the order in which they were made; the first that is about the
        command and not used up is used. One that is never used fails the test.

        Args:
            verb: The command, in any case; over IMAP also with ``UID`` in front. Over SMTP ``"message"`` is the end of
                the message, whose reply says whether it was taken, and ``"DATA"`` the command before it.
                ``"greeting"`` is the moment in which a client connects, in all three protocols.
            arg: Which commands of this name. A text is compared without regard to case: with the address of MAIL and
                RCPT as a whole, with any part of a message, and with whole words of every other argument. A pattern
                is searched for, and a function is called with the argument and says yes or no. Over IMAP the argument
                is what stands on the first line.

        Raises:
            ConfigError: The protocol has no such command, or *arg* is nothing of that.
        """
        return self._script.on(verb, arg)

    def faults(self, *, seed: int | str, rate: float = 0.1, kinds: Iterable[str] = FAULTS, delay: float = 0.05) -> None:
        """Let a share of the commands meet a fault. The same seed and the same commands meet the same faults.

        Every connection has faults of its own, so that clients which talk at the same time do not change each other's.
        What an expectation is about meets none. Another call takes the place of the one before.

        Args:
            seed: Chooses the faults. The transcript shows it with each of them.
            rate: The share of commands, from 0 to 1.
            kinds: Which ones: ``"drop"``, ``"reset"``, ``"delay"``, ``"garble"``.
            delay: How many seconds a delay lasts.

        Raises:
            ConfigError: The rate is no share, or there is no such kind.
        """
        self._script.faults = Faults.checked(seed, rate, kinds, delay)

    def excuse(self) -> None:
        """Let it be no failure that expectations were not met: the test has failed already."""
        self._script.excused = True

    def raise_unmet(self) -> None:
        """Raise unless every expectation was met; once.

        Raises:
            UnmetExpectations: One was not; the text says what came instead.
            ConfigError: A function that was given as an argument failed.
        """
        if self._script.excused:
            return
        self.excuse()
        if self._script.errors:
            raise ConfigError("\n".join(self._script.errors))
        unmet = self._script.unmet()
        if unmet:
            sessions = self.sessions
            hidden = tuple(dict.fromkeys(value for one in sessions for value in one.hidden))
            raise UnmetExpectations(presentable(tale(unmet, sessions, repr(self)), hidden))


def tale(unmet: Sequence[Expectation], sessions: Sequence[SessionRecord], server: str) -> str:
    """Return what did not come, and what did."""
    lines = [f"{server} waited for what did not come:"]
    for one in unmet:
        lines += [f"  {line}" for line in _one(one, sessions)]
    return "\n".join([*lines, "Where that is no failure, say so with .optional()."])


def _one(one: Expectation, sessions: Sequence[SessionRecord]) -> list[str]:
    if not one.acts:
        return [f"{one!r} was told nothing to do: go on with .reply(...), .delay(...), .drip(...), .drop(), ..."]
    used = f"was used {one.used} of {one.needed} times" if one.used else "was never used"
    return [f"{one!r} {used}; {_instead(one, sessions)[0]}", *_instead(one, sessions)[1:]]


def _instead(one: Expectation, sessions: Sequence[SessionRecord]) -> list[str]:
    """Return what came close, the first line first."""
    commands = [command for session in sessions for command in session.commands]
    if not sessions:
        return ["no client connected"]
    if one.verb == MESSAGE:
        taken = sum(len(session.of(Stored)) for session in sessions)
        if taken:
            return [f"{_times(taken, 'message')} came that it is not about, or that an expectation before it took"]
        return [_others(commands)]
    same = [command for command in commands if command.verb == one.verb]
    if not same:
        return [_others(commands)]
    if one.used:
        return [f"{one.verb} came {_times(len(same), 'time')}:", *_shown(same)]
    taken_away = [command for command in same if one.matches(command.verb, command.argument)]
    if taken_away:
        return ["an expectation before it, or a fault of the settings, took:", *_shown(taken_away)]
    return [f"{one.verb} came with another argument:", *_shown(same)]


def _shown(commands: Sequence[Command]) -> list[str]:
    different = list(dict.fromkeys(command.shown for command in commands))
    more = [f"  ... and {len(different) - SHOWN} more"] if len(different) > SHOWN else []
    return [*(f"  {shown}" for shown in different[:SHOWN]), *more]


def _others(commands: Sequence[Command]) -> str:
    counted = Counter(command.verb for command in commands if command.verb)
    came = ", ".join(verb if number == 1 else f"{verb} ({number} times)" for verb, number in counted.items())
    return f"what came: {came}" if came else "no command came"


def _times(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
