"""How a planner is asked for its next step: called for what has happened, its answer read, what it says noted.

And what becomes of an attempt: what a port of a network makes of a client that comes in one mode or another.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.selection.questions import REFUSALS, NotAsked
from pytest_mailauth.judge.selection.reading import choice_of, shown
from pytest_mailauth.judge.selection.situation import Attempted, Choice, Failure, Service, Situation
from pytest_mailauth.judge.selection.table import MODES
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import RELAY_PORT, Protocol, Security

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.judge.selection.questions import Adapt

SERVICE: Final = Service(
    name="example",
    sending="smtp.example.test",
    retrieving={Protocol.IMAP: "imap.example.test", Protocol.POP3: "pop.example.test"},
)
"""The provider of every plan."""

BLOCKED: Final = Situation(
    protocol=Protocol.SMTP,
    port=RELAY_PORT,
    service=SERVICE,
    before=(Attempted(port=RELAY_PORT, mode=Security.STARTTLS, failure=Failure.TIMEOUT),),
)
"""A user who stated port 25, which gave no answer."""

_UNANSWERED: Final = (Failure.TIMEOUT, Failure.REFUSED)
_FORM: Final = (
    "return (port, mode), such as (465, 'implicit'), a mapping, a settings object or a Choice; None to give up"
)


def plain_step(function: Callable[..., Any], asked: Situation) -> Any:
    """Ask ``step(protocol, attempts)``: the form that needs no adapter."""
    before = [(one.port, str(one.mode), str(one.failure)) for one in asked.before]
    return function(str(asked.protocol), before)


def started(protocol: Protocol) -> Situation:
    """Return the situation of a client that has tried nothing."""
    return Situation(protocol=protocol, service=SERVICE)


def own_attempts(asked: Situation) -> int:
    """Return how many of the attempts were the planner's own: a stated port was tried before it was asked."""
    return len(asked.before) - (asked.port is not None)


def after(asked: Situation, choice: Choice, failure: Failure) -> Situation:
    """Return the situation after a choice came to this end."""
    tried = Attempted(
        port=choice.port or 0,
        mode=choice.mode or "",
        failure=failure,
        host=choice.host,
        min_tls=choice.min_tls,
        verify=choice.verify,
    )
    return replace(asked, before=(*asked.before, tried))


def ending(met: Failure | None, protocol: Protocol, choice: Choice) -> Failure | None:
    """Return how an attempt ends on a port where *met* is what goes wrong; None where it connects.

    Examples:
        >>> ending(Failure.STRIPPED, Protocol.SMTP, Choice(port=587, mode="starttls")).value
        'stripped'
        >>> ending(Failure.STRIPPED, Protocol.SMTP, Choice(port=587, mode="opportunistic")) is None
        True
    """
    if met in _UNANSWERED:
        return met
    if not choice.is_secure or (met is Failure.CERTIFICATE and choice.verify is False):
        return None  # whoever takes what there is meets nothing that goes wrong
    if choice.mode != MODES.get((protocol, choice.port or 0), Security.STARTTLS):
        # Who waits for a greeting where TLS comes first waits for ever; who says TLS first is answered in clear.
        return Failure.TIMEOUT if choice.mode == Security.STARTTLS else Failure.HANDSHAKE
    # There is no STARTTLS to be taken away where TLS comes first: whoever would do so breaks the handshake.
    return Failure.HANDSHAKE if met is Failure.STRIPPED and choice.mode == Security.IMPLICIT else met


class Planner:
    """A user's function, and what its steps say.

    Args:
        function: The user's.
        adapt: Calls it.
        limit: How many attempts it is followed for.

    Attributes:
        answers: What its choices say.
        asked: How often it was asked.

    Raises:
        ConfigError: Its answers cannot be read, or it tries nothing at all.
    """

    def __init__(self, function: Callable[..., Any], adapt: Adapt, limit: int) -> None:
        self._function = function
        self._adapt = adapt
        self.asked = 0
        self.answers: frozenset[str] = frozenset()
        for protocol in Protocol:
            for failure in Failure:
                self._follow(started(protocol), failure, limit)
        if not self.answers:
            raise ConfigError(
                "the planner tries nothing, for whatever protocol, so there is no plan; does it take (protocol, "
                "attempts)? If not, give adapt=lambda function, asked: function(...)"
            )
        self.asked = 0

    def _follow(self, asked: Situation, failure: Failure, limit: int) -> None:
        """Note what the planner says while every attempt meets the same."""
        for _ in range(limit + 1):
            try:
                choice = self.next(asked)
            except NotAsked:
                return
            self.answers |= {name for name, said in vars(choice).items() if said is not None and name != "refusal"}
            end = None if choice.is_refused else ending(failure, asked.protocol, choice)
            if end is None:
                return
            asked = after(asked, choice, end)

    def next(self, asked: Situation) -> Choice:
        """Return the next step.

        Raises:
            NotAsked: It cannot be asked that.
            ConfigError: Its answer cannot be read.
        """
        self.asked += 1
        try:
            answer = self._adapt(self._function, asked)
        except REFUSALS as refusal:
            if isinstance(refusal, ConfigError):
                raise
            return Choice(refusal=str(refusal))
        if answer is None:
            return Choice(refusal="")
        choice = _read(answer)
        if choice.is_refused:
            return choice
        if choice.port is None or choice.mode is None:
            raise ConfigError(f"the planner's step, {shown(answer)}, does not say port and mode; {_FORM}")
        return choice


def _read(answer: object) -> Choice:
    if (
        isinstance(answer, tuple)
        and len(answer) == 2
        and isinstance(answer[0], int)
        and not isinstance(answer[0], bool)
    ):
        return replace(choice_of(answer[1]), port=int(answer[0]))
    return choice_of(answer)
