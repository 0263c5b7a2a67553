"""How a user's function is asked: called for a situation, its answer read, and what it looked at noted.

It is given a copy of each question, so that what it changes is its own. ValueError refuses; whatever else it raises is
a defect of it, and stays what it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields
from typing import Any, Final

from pytest_mailauth.judge.selection.reading import choice_of, redacted
from pytest_mailauth.judge.selection.situation import Attempted, Choice, Failure, Service, Situation
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import RELAY_PORT, STANDARD_PORTS, Protocol, Security

Adapt = Callable[[Callable[..., Any], Situation], Any]
"""Calls a user's function for a situation, and returns what it answered; raises ValueError where it refuses."""

REFUSALS: Final = (ValueError,)
"""What a selector raises to refuse."""

PROVIDER: Final = Service(
    name="example",
    sending="smtp.example.test",
    retrieving={Protocol.IMAP: "imap.example.test", Protocol.POP3: "pop.example.test"},
    requires_oauth=True,
)

SPLIT: Final = Service(
    name="split",
    sending="smtp.split.test",
    retrieving={Protocol.IMAP: "mail.split.test", Protocol.POP3: "pop.split.test"},
)

_FIRST: Final = {protocol: STANDARD_PORTS[protocol, Security.STARTTLS] for protocol in Protocol}
_BEFORE: Final = {**_FIRST, Protocol.SMTP: RELAY_PORT}

PROBES: Final = tuple(
    probe
    for protocol in Protocol
    for probe in (
        Situation(protocol=protocol, port=_FIRST[protocol]),
        Situation(protocol=protocol, port=STANDARD_PORTS[protocol, Security.IMPLICIT], stated=Security.IMPLICIT),
        Situation(protocol=protocol),
        Situation(protocol=protocol, port=_FIRST[protocol], service=PROVIDER),
        Situation(protocol=protocol, service=PROVIDER),
        Situation(protocol=protocol, port=_FIRST[protocol], service=SPLIT),
        Situation(protocol=protocol, service=SPLIT),
        Situation(
            protocol=protocol,
            port=_BEFORE[protocol],
            before=(Attempted(port=_BEFORE[protocol], mode=Security.STARTTLS, failure=Failure.TIMEOUT),),
        ),
    )
)
"""Questions that show what a selector looks at, and what its answers say."""

_PARTS: Final = frozenset(field.name for field in fields(Situation))


def plain(function: Callable[..., Any], asked: Situation) -> Any:
    """Ask ``select(protocol, port, stated)``: the form that needs no adapter. It is given strings, no members.

    Raises:
        NotAsked: It takes a port, and none is stated.
    """
    if asked.port is None:
        raise NotAsked
    return function(str(asked.protocol), asked.port, None if asked.stated is None else str(asked.stated))


class NotAsked(Exception):
    """An adapter raises it for a question that the user's function cannot be asked."""


class _Watched(Situation):
    """A situation that notes what is looked at; printing it is no look."""

    def __init__(self, asked: Situation, seen: set[str]) -> None:
        vars(self).update(vars(asked), _seen=seen, _asked=asked)

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return Situation  # so that dataclasses.replace() makes an ordinary one
        if name in _PARTS:
            super().__getattribute__("_seen").add(name)
        return super().__getattribute__(name)

    def __repr__(self) -> str:
        return repr(super().__getattribute__("_asked"))

    def __str__(self) -> str:
        return str(super().__getattribute__("_asked"))


class Questioner:
    """Asks a function.

    Args:
        function: The user's.
        adapt: Calls it.

    Attributes:
        takes: What of a situation it looks at.
        answers: What its choices say.

    Raises:
        ConfigError: It cannot be called, its answers cannot be read, or it answered nothing at all.
    """

    def __init__(self, function: Callable[..., Any], adapt: Adapt) -> None:
        self._function = function
        self._adapt = adapt
        if adapt is plain:
            _fits(function, ("smtp", 587, None), "select(protocol, port, stated)")
        else:
            _fits(adapt, (function, PROBES[0]), "adapt(function, asked)")
        seen: set[str] = set()
        said: set[str] = set()
        asked = answered = 0
        refusal = ""
        for probe in PROBES:
            try:
                choice = self._ask(_Watched(deepcopy(probe), seen))
            except NotAsked:
                continue
            asked += 1
            answered += not choice.is_refused
            refusal = refusal or choice.refusal or ""
            said |= {name for name, value in vars(choice).items() if value is not None and name != "refusal"}
        if not answered:
            raise ConfigError(
                f"the selector refused all of {asked} questions, among them port 587 for SMTP and port 993 for IMAP "
                f"(the first time with {refusal!r}); does it take (protocol, port, stated)? "
                "If not, give adapt=lambda function, asked: function(...)"
                if asked
                else "adapt= raised NotAsked for every question, so nothing was asked"
            )
        self.takes = frozenset(seen)
        self.answers = frozenset(said)

    def ask(self, asked: Situation) -> Choice:
        """Return what the function chooses.

        Raises:
            NotAsked: It cannot be asked that.
            ConfigError: Its answer cannot be read.
        """
        return self._ask(deepcopy(asked))

    def _ask(self, asked: Situation) -> Choice:
        try:
            answer = self._adapt(self._function, asked)
        except ConfigError as error:  # a ValueError of ours is no refusal of the user's
            raise ConfigError(f"{error} (asked: {asked})") from None
        except REFUSALS as refusal:
            return Choice(refusal=redacted(str(refusal)))
        except NotAsked:
            raise
        except Exception as defect:
            defect.add_note(
                f"The selector was asked: {asked}. {type(defect).__name__} is no refusal: who refuses raises "
                "ValueError, with words for the user. Mend the selector, or adapt=, which called it."
            )
            raise
        try:
            return choice_of(answer)
        except ConfigError as error:
            raise ConfigError(f"{error} (asked: {asked})") from None


def _fits(called: Callable[..., Any], arguments: tuple[Any, ...], form: str) -> None:
    """Raise ConfigError if something cannot be called that way, before its TypeError is taken for one of its own."""
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):  # not every function of C tells
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise ConfigError(
            f"{getattr(called, '__name__', type(called).__name__)}{signature} cannot be called as {form}: {error}; "
            "a function of another form is called by adapt=lambda function, asked: function(...)"
        ) from None
