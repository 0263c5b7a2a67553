"""Laws asked of a function by Hypothesis, and the failure that names the law, its paragraph and the smallest input."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from pytest_mailauth.judge.selection.asking import apart, meant, repeatable, unsaid
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


DETERMINISTIC: Final = "deterministic"
"""The law that judges no choice: alone, it says nothing about security."""


class LawBroken(MailAuthError, AssertionError):
    """A selector broke a law.

    Attributes:
        law: The law.
        asked: The smallest question that shows it.
        choice: What the selector answered.
        expected: What would have been right.
    """

    __module__ = "pytest_mailauth.selection"  # where a user imports it from

    def __init__(self, law: Law, asked: Situation, choice: Choice, expected: str) -> None:
        self.law = law
        self.asked = asked
        self.choice = choice
        self.expected = expected
        told = self._told()
        width = max(map(len, told)) + 2
        lines = (f"  {f'{label}:':<{width}}{text}" for label, text in told.items())
        super().__init__("\n".join([f"the law {law.name} is broken ({', '.join(law.sources)})", *lines]))

    def _told(self) -> dict[str, str]:
        """Return what the text says, by the labels of its lines."""
        return {
            "Law": self.law.statement,
            "Why": self.law.reason,
            "Asked": str(self.asked),
            "Expected": self.expected,
            "Actual": str(self.choice),
        }


@dataclass(frozen=True)
class Checked:
    """What was asked of a function.

    Attributes:
        laws: The laws that it obeys.
        not_asked: The laws that could not be asked, or whose questions showed nothing, each with the reason.
        asked: How many answers each law that it obeys was judged by.
    """

    laws: tuple[str, ...]
    not_asked: dict[str, str]
    asked: dict[str, int] = field(default_factory=dict)


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
    or a :class:`~pytest_mailauth.judge.selection.situation.Choice`. It raises
    :class:`~pytest_mailauth.judge.selection.questions.NotAsked` for a question that the function cannot be asked.

    No law is obeyed by default: one whose questions were never asked, or all refused where refusing shows nothing, is
    in ``not_asked``. The questions are the same in every run.

    Args:
        function: The function under test.
        laws: Names of laws, each of which has to be asked; None (default) for all that the function can be asked.
        adapt: Calls the function.
        examples: How many questions each law asks at most.

    Returns:
        Which laws it obeys, and which could not be asked.

    Raises:
        LawBroken: A law is broken. The text has the law, its paragraphs, and the smallest question that shows it.
        ConfigError: There is no such law, the function cannot be asked it, no law about what it chooses can be asked at
            all, or its answers cannot be read.
        Exception: Whatever the function raises that is no ValueError. It is a defect of the function, and a note says
            what was asked.

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
    if isinstance(examples, bool) or not isinstance(examples, int) or examples < 1:
        raise ConfigError(f"examples={examples!r}: it is a whole number, 1 or more")
    chosen = meant(laws, LAWS, "law")
    questioner = Questioner(function, adapt)
    obeyed: dict[str, int] = {}
    reasons: dict[str, str] = {}
    for law in chosen:
        reason = _cannot_ask(law, questioner)
        if reason is None:
            judged = _ask(law, questioner, examples)
            if isinstance(judged, int):
                obeyed[law.name] = judged
                continue
            reason = judged
        if laws is not None:
            raise ConfigError(f"the law {law.name} cannot be asked: {reason}")
        reasons[law.name] = reason
    if laws is None and not set(obeyed) - {DETERMINISTIC}:
        listed = "".join(f"\n  {name}: {reason}" for name, reason in reasons.items())
        raise ConfigError(f"no law about what the selector chooses can be asked:{listed}")
    return Checked(tuple(obeyed), reasons, obeyed)


def _cannot_ask(law: Law, questioner: Questioner) -> str | None:
    """Return why a law cannot be asked of a function, or None when it can."""
    if missing := sorted(law.takes - questioner.takes):
        return f"adapt= never looks at asked.{missing[0]}"
    return unsaid(law, questioner.answers, "answers")


def _ask(law: Law, questioner: Questioner, examples: int) -> int | str:
    """Return how many answers the law was judged by, or why that shows nothing.

    Raises:
        LawBroken: It is broken.
    """
    __tracebackhide__ = True
    judged = refused = 0
    broken: LawBroken | None = None
    notes: list[str] = []

    def question(asked: Situation, others: list[Situation]) -> None:
        nonlocal judged, refused, broken
        try:
            choice = questioner.ask(asked)
            again = _again(questioner, asked, choice, others) if law.twice else choice
        except NotAsked:
            return
        except Exception as defect:
            notes[:] = getattr(defect, "__notes__", ())
            raise
        judged += 1
        refused += choice.is_refused
        expected = law.judge(asked, choice) if not law.twice else (None if again == choice else str(choice))
        if expected is not None:
            broken = LawBroken(law, asked, again, expected)
            raise broken

    def made() -> Callable[[], None]:
        asked = situations(law, questioner.takes)
        others = st.lists(asked, max_size=3) if law.twice else st.just([])
        test: Callable[[], None] = repeatable(examples)(given(asked, others)(question))
        return test

    test = apart(made)
    try:
        test()
    except LawBroken as found:
        raise _bare(found) from None
    except Flaky:
        raise _bare(_undecided(questioner, broken)) from None
    except Exception as defect:
        # Without what Hypothesis adds: the question stands in our own words already.
        defect.__notes__ = notes
        raise
    if not judged:
        return "adapt= raised NotAsked for each of its questions"
    if refused == judged and not law.by_refusing:
        return f"the selector refused all of its {judged} questions, and a refusal shows nothing here"
    return judged


def _again(questioner: Questioner, asked: Situation, choice: Choice, others: list[Situation]) -> Choice:
    """Return what is answered at another time: another answer than *choice*, if there is one."""
    again = questioner.ask(asked)
    if again != choice:
        return again
    for other in others:  # a selector that remembers something may be changed by what it is asked in between
        with suppress(NotAsked):
            questioner.ask(other)
    return questioner.ask(asked)


def _undecided(questioner: Questioner, broken: LawBroken | None) -> LawBroken:
    """Return what is told of a selector that broke a law, and did not when it was asked again."""
    if broken is None:  # pragma: no cover - nothing else of ours is raised in a question
        raise AssertionError
    law = LAWS[DETERMINISTIC]
    return LawBroken(law, broken.asked, questioner.ask(broken.asked), f"{broken.choice}, as at another time")


def _bare(broken: LawBroken) -> LawBroken:
    """Return a failure without what Hypothesis adds: its text says everything."""
    broken.__notes__ = []
    return broken.with_traceback(None)
