"""How a user's function is asked: called for a situation, its answer read, and what it looked at noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pytest_mailauth.judge.selection.reading import choice_of
from pytest_mailauth.judge.selection.situation import Attempted, Choice, Failure, Service, Situation
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Protocol, Security

Adapt = Callable[[Callable[..., Any], Situation], Any]
"""Calls a user's function for a situation, and returns what it answered; raises ValueError where it refuses."""

REFUSALS: Final = (ValueError, LookupError)
"""What a selector may raise to refuse."""

PROVIDER: Final = Service(
    name="example",
    sending="smtp.example.test",
    retrieving={Protocol.IMAP: "imap.example.test", Protocol.POP3: "pop.example.test"},
    requires_oauth=True,
)

PROBES: Final = (
    Situation(protocol=Protocol.SMTP, port=587),
    Situation(protocol=Protocol.IMAP, port=993, stated=Security.IMPLICIT),
    Situation(protocol=Protocol.SMTP),
    Situation(protocol=Protocol.SMTP, port=587, service=PROVIDER),
    Situation(
        protocol=Protocol.SMTP,
        port=25,
        before=(Attempted(port=25, mode=Security.STARTTLS, failure=Failure.TIMEOUT),),
    ),
)
"""Questions that show what a selector looks at, and what its answers say."""


def plain(function: Callable[..., Any], asked: Situation) -> Any:
    """Ask ``select(protocol, port, stated)``: the form that needs no adapter.

    Raises:
        NotAsked: It takes a port, and none is stated.
    """
    if asked.port is None:
        raise NotAsked
    return function(str(asked.protocol), asked.port, None if asked.stated is None else str(asked.stated))


class NotAsked(Exception):
    """An adapter raises it for a question that the user's function cannot be asked."""


class _Watched:
    """A situation that notes what is looked at."""

    def __init__(self, asked: Situation, seen: set[str]) -> None:
        self._asked = asked
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        self._seen.add("before" if name == "failed" else name)
        return getattr(self._asked, name)


class Questioner:
    """Asks a function.

    Args:
        function: The user's.
        adapt: Calls it.

    Attributes:
        takes: What of a situation it looks at.
        answers: What its choices say.

    Raises:
        ConfigError: Its answers cannot be read, or it answered nothing at all.
    """

    def __init__(self, function: Callable[..., Any], adapt: Adapt) -> None:
        self._function = function
        self._adapt = adapt
        seen: set[str] = set()
        said: set[str] = set()
        asked = answered = 0
        for probe in PROBES:
            try:
                choice = self._ask(_Watched(probe, seen))
            except NotAsked:
                continue
            asked += 1
            answered += not choice.is_refused
            said |= {name for name, value in vars(choice).items() if value is not None and name != "refusal"}
        if not answered:
            raise ConfigError(
                f"the selector refused all of {asked} questions, among them port 587 for SMTP and port 993 for IMAP; "
                "does it take (protocol, port, stated)? If not, give adapt=lambda function, asked: function(...)"
            )
        self.takes = frozenset(seen)
        self.answers = frozenset(said)

    def ask(self, asked: Situation) -> Choice:
        """Return what the function chooses.

        Raises:
            NotAsked: It cannot be asked that.
            ConfigError: Its answer cannot be read.
        """
        return self._ask(asked)

    def _ask(self, asked: Any) -> Choice:
        try:
            answer = self._adapt(self._function, asked)
        except REFUSALS as refusal:
            return Choice(refusal=str(refusal))
        return choice_of(answer)
