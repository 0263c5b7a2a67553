"""Plans over time: a function that says what to try next, driven through networks by a Hypothesis state machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from pytest_mailauth.judge.selection.asking import apart, meant, repeatable, unsaid
from pytest_mailauth.judge.selection.check import LawBroken
from pytest_mailauth.judge.selection.planlaws import ENDS, LIMIT, PLAN_LAWS
from pytest_mailauth.judge.selection.questions import NotAsked
from pytest_mailauth.judge.selection.situation import Choice, Failure
from pytest_mailauth.judge.selection.steps import BLOCKED, Planner, after, ending, own_attempts, plain_step, started
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.settings import check_number
from pytest_mailauth.model.terms import Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pytest_mailauth.judge.selection.laws import Law
    from pytest_mailauth.judge.selection.questions import Adapt
    from pytest_mailauth.judge.selection.situation import Attempted, Situation

EXAMPLES: Final = 100
"""Networks that a planner is driven through, unless told otherwise."""

ENDINGS: Final = {
    Failure.TIMEOUT: "nothing answered",
    Failure.REFUSED: "the port is closed",
    Failure.STRIPPED: "STARTTLS was not offered",
    Failure.HANDSHAKE: "the TLS handshake failed",
    Failure.CERTIFICATE: "the certificate is not to be trusted",
}
"""How an attempt ends, in words."""


class PlanBroken(LawBroken):
    """A planner broke a law.

    Attributes:
        law: The law.
        asked: The situation in which it did; ``asked.before`` is the smallest history that leads there.
        choice: What the planner answered.
        expected: What would have been right.
    """

    __module__ = "pytest_mailauth.selection"  # where a user imports it from

    def _told(self) -> dict[str, str]:
        asked = self.asked
        story = [f"{number}. {_attempted(one)}" for number, one in enumerate(asked.before, start=1)]
        story.append(f"{len(story) + 1}. {self.choice}  <- here")
        stated = "" if asked.port is None else f", port {asked.port} stated by the user"
        return {
            "Law": self.law.statement,
            "Why": self.law.reason,
            "Story": "\n             ".join([f"{asked.protocol}, with credentials{stated}", *story]),
            "Expected": self.expected,
            "Actual": str(self.choice),
            "Next step": self.law.remedy,
        }


def _attempted(one: Attempted) -> str:
    said = [f"{one.mode} on port {one.port}"]
    said += [f"of {one.host}"] if one.host else []
    said += [f"with TLS {one.min_tls} or newer"] if one.min_tls else []
    said += ["without verification"] if one.verify is False else []
    return f"{' '.join(said)}: {ENDINGS[one.failure]}"


@dataclass(frozen=True)
class PlanChecked:
    """What a planner was asked.

    Attributes:
        laws: The laws that it obeys.
        not_asked: The laws that it could not be asked, or to which no step came, each with the reason.
        steps: How often it was asked for a step; twice for each, where ``deterministic`` is among the laws.
    """

    laws: tuple[str, ...]
    not_asked: dict[str, str]
    steps: int


def check_connection_plan(
    step: Callable[..., Any],
    *,
    laws: Iterable[str] | None = None,
    adapt: Adapt = plain_step,
    examples: int = EXAMPLES,
    limit: int = LIMIT,
) -> PlanChecked:
    """Drive a function that says what to try next through networks, and ask whether its attempts obey the laws.

    The plain form is ``step(protocol: str, attempts: list[tuple[int, str, str]]) -> tuple[int, str] | None``. It is
    given the attempts up to now, each with port, mode and failure, such as ``(465, "implicit", "timeout")``, and
    returns port and mode of the next one; None, or a ValueError, to give up. The failures are those of
    :class:`~pytest_mailauth.judge.selection.situation.Failure`. A mapping, a settings object or a
    :class:`~pytest_mailauth.judge.selection.situation.Choice` in place of the pair may say host, oldest TLS version
    and verification, too, and is asked more laws then. Any other form takes an adapter, as for
    :func:`~pytest_mailauth.judge.selection.check.check_selection`.

    In each network a port works, gives no answer, is closed, has its STARTTLS stripped, fails in the handshake, or
    shows a certificate that is not to be trusted; now and then that changes between two attempts.

    Args:
        step: The function under test. It gets all that has happened, and keeps nothing itself.
        laws: Names of laws, each of which has to be asked, see
            :data:`~pytest_mailauth.judge.selection.planlaws.PLAN_LAWS`; None (default) for all that it can be asked.
        adapt: Calls the function.
        examples: How many runs there are, each with several networks.
        limit: How many attempts a plan may have; default 10.

    Returns:
        Which laws were asked, which could not be, and how often the planner was asked.

    Raises:
        PlanBroken: A law is broken. The text has the law, its paragraphs, and the smallest history that breaks it.
        ConfigError: There is no such law, the planner cannot be asked it, tries nothing, or its answers cannot be read.

    Examples:
        >>> def step(protocol, attempts):
        ...     plan = {"smtp": [465, 587], "imap": [993], "pop3": [995]}[protocol]
        ...     left = plan[len(attempts) :]
        ...     return (left[0], "starttls" if left[0] == 587 else "implicit") if left else None
        >>> "never-weaker-after-failure" in check_connection_plan(step).laws
        True
    """
    __tracebackhide__ = True
    check_number(examples, "examples", 1)
    check_number(limit, "limit", 1)
    chosen = meant(laws, PLAN_LAWS, "law of plans")
    planner = Planner(step, adapt, limit)
    reasons = {law.name: reason for law in chosen if (reason := unsaid(law, planner.answers, "steps")) is not None}
    _must_be_asked(reasons, named=laws is not None)
    judged = dict.fromkeys((law.name for law in chosen if law.name not in reasons), 0)
    _drive(planner, [PLAN_LAWS[name] for name in judged], judged, examples, limit)
    reasons |= {name: "no step came to what it is about" for name, count in judged.items() if not count}
    _must_be_asked(reasons, named=laws is not None)
    return PlanChecked(tuple(name for name in judged if name not in reasons), reasons, planner.asked)


def _must_be_asked(reasons: Mapping[str, str], *, named: bool) -> None:
    if named and reasons:
        name, reason = next(iter(reasons.items()))
        raise ConfigError(f"the law {name} cannot be asked: {reason}")


def _drive(planner: Planner, laws: Sequence[Law], judged: dict[str, int], examples: int, limit: int) -> None:
    __tracebackhide__ = True
    found: list[PlanBroken] = []
    meets = st.sampled_from((*Failure, None))

    class Journey(RuleBasedStateMachine):
        """Clients one after the other, each in a network of its own, until it gives up or is connected."""

        def __init__(self) -> None:
            super().__init__()
            self.asked: Situation | None = None
            self.ports: dict[int, Failure | None] = {}

        @precondition(lambda self: self.asked is None)
        @rule(protocol=st.sampled_from(Protocol), blocked=st.booleans())
        def begins(self, protocol: Protocol, blocked: bool) -> None:  # noqa: FBT001 - of Hypothesis
            self.ports = {}
            self.asked = BLOCKED if blocked and protocol is Protocol.SMTP else started(protocol)

        @precondition(lambda self: self.asked is not None and self.asked.failed is not None)
        @rule(met=meets)
        def network_changes(self, met: Failure | None) -> None:
            if self.asked is not None and self.asked.failed is not None:
                self.ports[self.asked.failed.port] = met

        @precondition(lambda self: self.asked is not None)
        @rule(met=meets)
        def tries(self, met: Failure | None) -> None:
            asked, self.asked = self.asked, None
            if asked is None:
                return
            try:
                choice = _next(planner, laws, judged, asked, limit)
            except NotAsked:
                return
            except PlanBroken as broken:
                found.append(broken)
                raise
            if choice.is_refused or choice.port is None or own_attempts(asked) >= limit:
                return
            end = ending(self.ports.setdefault(choice.port, met), asked.protocol, choice)
            self.asked = None if end is None else after(asked, choice, end)

    options = repeatable(examples, stateful_step_count=2 * limit + 4, print_blob=False)
    try:
        apart(lambda: run_state_machine_as_test(Journey, settings=options))
    except PlanBroken as broken:
        raise PlanBroken(broken.law, broken.asked, broken.choice, broken.expected) from None
    except Flaky:
        if not found:
            raise
        law, last = PLAN_LAWS["deterministic"], found[-1]
        expected = f"what it answered at another time, when it did not break {last.law.name}"
        raise PlanBroken(law, last.asked, last.choice, expected) from None


def _next(planner: Planner, laws: Sequence[Law], judged: dict[str, int], asked: Situation, limit: int) -> Choice:
    """Return the planner's next step, when it breaks none of the laws; count in *judged* which it was held against."""
    choice = planner.next(asked)
    for law in laws:
        if not law.about(asked):
            continue
        judged[law.name] += 1
        if law.twice:
            again = planner.next(asked)
            if again != choice:
                raise PlanBroken(law, asked, again, f"{choice}, as it was answered before")
        elif law.name == ENDS:
            if own_attempts(asked) >= limit and not choice.is_refused:
                raise PlanBroken(law, asked, choice, f"None or ValueError, to give up after {limit} attempts")
        elif (expected := law.judge(asked, choice)) is not None:
            raise PlanBroken(law, asked, choice, expected)
    return choice
