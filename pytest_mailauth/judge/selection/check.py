"""Laws asked of a function by Hypothesis, and the failure that names the law, its paragraph and the smallest input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hypothesis import HealthCheck, Phase, given, settings

from pytest_mailauth.judge.selection.laws import LAWS, Law
from pytest_mailauth.judge.selection.questions import NotAsked, Questioner, plain
from pytest_mailauth.judge.selection.situations import situations
from pytest_mailauth.model.errors import ConfigError, MailAuthError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_mailauth.judge.selection.questions import Adapt
    from pytest_mailauth.judge.selection.situation import Choice, Situation

EXAMPLES: Final = 200
"""Questions asked for each law, unless told otherwise."""


class LawBroken(MailAuthError, AssertionError):
    """A selector broke a law.

    Attributes:
        law: The law.
        asked: The smallest question that shows it.
        choice: What the selector answered.
        expected: What would have been right.
    """

    def __init__(self, law: Law, asked: Situation, choice: Choice, expected: str) -> None:
        self.law = law
        self.asked = asked
        self.choice = choice
        self.expected = expected
        super().__init__(
            f"the law {law.name} is broken ({', '.join(law.sources)})\n"
            f"  Law:      {law.statement}\n"
            f"  Why:      {law.reason}\n"
            f"  Asked:    {asked}\n"
            f"  Expected: {expected}\n"
            f"  Actual:   {choice}"
        )


@dataclass(frozen=True)
class Checked:
    """What was asked of a function.

    Attributes:
        laws: The laws that it obeys.
        not_asked: The laws that it could not be asked, each with the reason.
    """

    laws: tuple[str, ...]
    not_asked: dict[str, str]


def check_selection(
    function: Callable[..., Any],
    *,
    laws: Iterable[str] | None = None,
    adapt: Adapt = plain,
    examples: int = EXAMPLES,
) -> Checked:
    """Ask a function that chooses how to connect whether it obeys the laws.

    The plain form is ``select(protocol: str, port: int, stated: str | None) -> "implicit" | "starttls"``, which raises
    ValueError to refuse. Any other takes an adapter: it is given the function and a
    :class:`~pytest_mailauth.judge.selection.situation.Situation`, calls the one for the other, and returns what it
    answered, a word, an enumeration's member, a pair ``(implicit, starttls)`` of booleans, a mapping, a settings object
    or a :class:`~pytest_mailauth.judge.selection.situation.Choice`.

    Args:
        function: The function under test.
        laws: Names of laws; None (default) for all that the function can be asked.
        adapt: Calls the function.
        examples: How many questions each law asks.

    Returns:
        Which laws were asked, and which could not be.

    Raises:
        LawBroken: A law is broken. The text has the law, its paragraphs, and the smallest question that shows it.
        ConfigError: There is no such law, the function cannot be asked it, or its answers cannot be read.

    Examples:
        >>> def select(protocol, port, stated):
        ...     modes = {465: "implicit", 993: "implicit", 995: "implicit"}
        ...     modes |= dict.fromkeys((25, 587, 110, 143), "starttls")
        ...     if stated == "none" or (stated is None and port not in modes):
        ...         raise ValueError("state implicit or starttls")
        ...     return stated or modes[port]
        >>> check_selection(select).laws[0]
        'standard-ports'
    """
    __tracebackhide__ = True
    chosen = [_law(name) for name in (LAWS if laws is None else laws)]
    questioner = Questioner(function, adapt)
    reasons = {law.name: reason for law in chosen if (reason := _cannot_ask(law, questioner)) is not None}
    if laws is not None and reasons:
        name, reason = next(iter(reasons.items()))
        raise ConfigError(f"the law {name} cannot be asked: {reason}")
    asked = [law for law in chosen if law.name not in reasons]
    for law in asked:
        _ask(law, questioner, examples)
    return Checked(tuple(law.name for law in asked), reasons)


def _law(name: str) -> Law:
    if name not in LAWS:
        raise ConfigError(f"there is no law {name!r}; use some of {', '.join(LAWS)}")
    return LAWS[name]


def _cannot_ask(law: Law, questioner: Questioner) -> str | None:
    """Return why a law cannot be asked of a function, or None when it can."""
    if missing := sorted(law.takes - questioner.takes):
        return f"adapt= never looks at asked.{missing[0]}"
    if missing := sorted(law.answers - questioner.answers):
        return f"the answers do not say {missing[0]}; return a settings object, a mapping or a Choice that does"
    return None


def _ask(law: Law, questioner: Questioner, examples: int) -> None:
    __tracebackhide__ = True

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=(HealthCheck.too_slow,),
        report_multiple_bugs=False,
    )
    @given(situations(law, questioner.takes))
    def question(asked: Situation) -> None:
        try:
            choice = questioner.ask(asked)
            again = questioner.ask(asked) if law.twice else choice
        except NotAsked:
            return
        expected = law.judge(asked, choice) if not law.twice else (None if again == choice else str(choice))
        if expected is not None:
            raise LawBroken(law, asked, again, expected)

    try:
        question()
    except LawBroken as broken:
        raise broken.with_traceback(None) from None
