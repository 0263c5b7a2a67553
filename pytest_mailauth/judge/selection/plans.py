"""Plans over time: a function that says what to try next, driven through networks by a Hypothesis state machine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hypothesis import HealthCheck, Phase, currently_in_test_context, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from pytest_mailauth.judge.selection.check import LawBroken
from pytest_mailauth.judge.selection.planlaws import ENDS, LIMIT, PLAN_LAWS
from pytest_mailauth.judge.selection.questions import NotAsked
from pytest_mailauth.judge.selection.situation import Choice, Failure
from pytest_mailauth.judge.selection.steps import BLOCKED, Planner, after, ending, own_attempts, plain_step, started
from pytest_mailauth.model.errors import ConfigError, MailAuthError
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

    def __init__(self, law: Law, asked: Situation, choice: Choice, expected: str) -> None:
        self.law = law
        self.asked = asked
        self.choice = choice
        self.expected = expected
        story = [f"{number}. {_told(one)}" for number, one in enumerate(asked.before, start=1)]
        story.append(f"{len(story) + 1}. {choice}  <- here")
        stated = "" if asked.port is None else f", port {asked.port} stated by the user"
        text = "\n             ".join([f"{asked.protocol}, with credentials{stated}", *story])
        MailAuthError.__init__(
            self,
            f"the law {law.name} is broken ({', '.join(law.sources)})\n"
            f"  Law:       {law.statement}\n"
            f"  Why:       {law.reason}\n"
            f"  Story:     {text}\n"
            f"  Expected:  {expected}\n"
            f"  Actual:    {choice}\n"
            f"  Next step: {law.remedy}",
        )


def _told(one: Attempted) -> str:
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
    chosen = [_law(name) for name in (PLAN_LAWS if laws is None else (laws,) if isinstance(laws, str) else laws)]
    if not chosen:
        raise ConfigError("laws= names no law, so nothing would be asked; leave it out to ask all of them")
    planner = Planner(step, adapt, limit)
    unsaid = {law.name: sorted(law.answers - planner.answers) for law in chosen}
    reasons = {
        name: f"the steps do not say {missing[0]}; return a settings object, a mapping or a Choice that does"
        for name, missing in unsaid.items()
        if missing
    }
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


def _law(name: str) -> Law:
    if name not in PLAN_LAWS:
        raise ConfigError(f"there is no law of plans {name!r}; use some of {', '.join(PLAN_LAWS)}")
    return PLAN_LAWS[name]


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

    options = settings(
        max_examples=examples,
        stateful_step_count=2 * limit + 4,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=(HealthCheck.too_slow,),
        report_multiple_bugs=False,
        print_blob=False,
    )
    try:
        if currently_in_test_context():
            # Inside a test with @given: Hypothesis minds that another one runs there, and knows of it by the thread.
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(run_state_machine_as_test, Journey, settings=options).result()
        else:
            run_state_machine_as_test(Journey, settings=options)
    except (PlanBroken, Flaky):
        if not found:
            raise
        last = found[-1]
        raise PlanBroken(last.law, last.asked, last.choice, last.expected) from None


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
