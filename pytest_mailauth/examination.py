"""``@conformance``: a test whose body is the client, run in every scenario, judged from what the servers saw.

The body may raise or return; that is its own affair. First it has to log in to the honest server, then each
scenario is a test of its own with a stable id. Where it passes without a login, it has to log in to the honest server
once more in the same test: tests may run alone, in any order and in several processes, so none can rely on a last one.

The module does not bear the decorator's name: as an attribute of the package it would hide it.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pytest_mailauth.judge.ruleset import chosen
from pytest_mailauth.judge.scenarios import SCENARIOS, Setting, baseline, settings_for
from pytest_mailauth.judge.trialrun import TrialRun, describe, let_go
from pytest_mailauth.judge.verdict import Judgement, combine, honest, judge
from pytest_mailauth.model.config import choose
from pytest_mailauth.model.errors import ClientUnusable, ClientViolation, ConfigError, ServerFault
from pytest_mailauth.model.terms import Layer, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration, Finding, Trial
from pytest_mailauth.report.explain import endings
from pytest_mailauth.report.text import explain_failure

if TYPE_CHECKING:
    from pytest_mailauth.judge.clients.case import Case
    from pytest_mailauth.judge.ruleset import RuleSet
    from pytest_mailauth.servers.environment import MailServers

_T = TypeVar("_T", bound=Callable[..., Any])

ATTRIBUTE: Final = "mailauth_conformance"
"""Where a decorated function keeps its :class:`Plan`."""
FIXTURE: Final = "mailauth_case"


@dataclass(frozen=True)
class Plan:
    """What a decorated test is run against."""

    settings: tuple[Setting, ...]
    declared: Declaration
    ruleset: RuleSet


class Examination:
    """One scenario for one test body: hands out cases and judges what became of them.

    Args:
        servers: Whose thread and certificate authority to use.
        setting: The scenario, protocol and mode.
        plan: What the client is declared to do, and what is asked.
        controls: Controls that this test body has already passed, by protocol and mode.
        environments: Where to put the servers of each run, for whoever hides their secrets.
    """

    def __init__(
        self,
        servers: MailServers,
        setting: Setting,
        plan: Plan,
        controls: dict[tuple[Protocol, Security], Trial],
        environments: list[MailServers],
    ) -> None:
        self._servers = servers
        self._setting = setting
        self._declared = plan.declared
        self._ruleset = plan.ruleset
        self._controls = controls
        self._environments = environments
        self._comparison: Trial | None = None
        self._runs: list[Trial] = []
        self._judgements: tuple[Judgement, ...] = ()
        self._closing: Trial | None = None
        self.remark: str | None = None
        """What is worth knowing although the test passed, or why it is skipped."""
        self.not_applicable = False
        """True when no rule of the scenario speaks to this client."""

    def steps(self) -> Iterable[Step]:
        """Yield the runs of the body that are needed, one after another. Each has to be finished before the next.

        Raises:
            ClientUnusable: The body did not log in to the honest server.
        """
        __tracebackhide__ = True
        key = (self._setting.protocol, self._setting.security)
        if key not in self._controls:
            step = self._step(baseline(*key), keeps_error=True)
            yield step
            finding = honest(step.trial)
            if finding.verdict is not Verdict.PASS and self._setting.scenario.stands_alone:
                # What the control fails of may be what this scenario is about.
                alone = self._step(self._setting)
                yield alone
                self._runs = [alone.trial]
                self._judge(step.trial)
                alone.error = None
                if any(judgement.finding.verdict is Verdict.VIOLATION for judgement in self._judgements):
                    return
            if finding.verdict is not Verdict.PASS:
                # The body's own traceback shows where it failed.
                raise ClientUnusable(_failure("control", finding, step.trial)) from step.error
            self._controls[key] = step.trial
            step.error = None
        if self._setting.scenario.control is not None:
            step = self._step(self._setting, control=True)
            yield step
            self._comparison = step.trial
        elif name := self._setting.scenario.compared_with:
            step = self._step(Setting(SCENARIOS[name], *key))
            yield step
            self._comparison = replace(step.trial, control=self._controls[key])
        for _ in range(self._setting.scenario.repeat):
            step = self._step(self._setting)
            yield step
            self._runs.append(step.trial)
        self._judge(self._comparison or self._controls[key])
        if self._passes_without_login():
            step = self._step(baseline(*key))
            yield step
            self._closing = step.trial

    def _step(self, setting: Setting, *, control: bool = False, keeps_error: bool = False) -> Step:
        run = TrialRun(self._servers, self._declared, setting, control=control)
        self._environments.append(run.environment)
        return Step(run, self._servers, self._declared, keeps_error=keeps_error)

    def _judge(self, control: Trial) -> None:
        self._runs = [replace(run, control=control) for run in self._runs]
        self._judgements = combine([judge(run, self._setting.scenario.rules, self._ruleset) for run in self._runs])

    def _passes_without_login(self) -> bool:
        """A client that has stopped working refuses everything, and looks as if it obeyed."""
        if not {judgement.finding.verdict for judgement in self._judgements} & {Verdict.PASS, Verdict.NOTE}:
            return False
        return not all(any(run.logged_in(layer) for layer in Layer) for run in self._runs)

    def conclude(self) -> None:
        """Say what was judged.

        Raises:
            ClientViolation: A rule was broken, or silence proves nothing.
            ServerFault: The harness contradicts itself.
        """
        __tracebackhide__ = True
        judgements = self._judgements
        for judgement in judgements:
            self._react(judgement, self._runs[0])
        if self._closing is not None and (finding := honest(self._closing)).verdict is not Verdict.PASS:
            doubt = Finding(Verdict.INCONCLUSIVE, f"the closing control failed: {finding.evidence}")
            self._react(Judgement(judgements[0].rule, doubt), self._closing)
        self.not_applicable = all(j.finding.verdict is Verdict.NOT_APPLICABLE for j in judgements)
        self.remark = "; ".join(j.finding.evidence for j in judgements if j.finding.verdict is not Verdict.PASS) or None

    @staticmethod
    def _react(judgement: Judgement, trial: Trial) -> None:
        __tracebackhide__ = True
        text = _failure(judgement.rule, judgement.finding, trial)
        match judgement.finding.verdict:
            case Verdict.VIOLATION | Verdict.INCONCLUSIVE:
                raise ClientViolation(text)
            case Verdict.ERROR:
                raise ServerFault(text)
            case _:
                pass


def _failure(rule: str, finding: Finding, trial: Trial) -> str:
    return explain_failure(rule, finding, describe(trial), endings(trial))


class Step:
    """One run of the test body, cut off when it outlasts its limit."""

    trial: Trial
    error: BaseException | None = None
    """What the body raised, if that is kept. Its traceback holds whatever the body had open."""

    def __init__(self, run: TrialRun, servers: MailServers, declared: Declaration, *, keeps_error: bool) -> None:
        self._run = run
        self._keeps_error = keeps_error
        self._declared = declared
        self._late = servers.loop.later(run.limit, run.cut_from_loop)
        self.case: Case = run.case

    def finish(self, error: BaseException | None) -> None:
        """End the run. *error* is what the body raised, or None."""
        hung = not self._late.cancel()
        if self._keeps_error:
            self.error = error
        elif error is not None:
            # Whoever failed inside a constructor was left nothing to close: that is no leak of the test.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                let_go(error)
        self.trial = self._run.finish(error, hung=hung, may_switch=self._declared.fallback == "other-port")


def conformance(
    *,
    protocols: Iterable[str],
    security: Iterable[str] = ("starttls", "implicit"),
    scenarios: Iterable[str] | None = None,
    declared: Declaration | None = None,
    profile: str | None = None,
    rules: str | None = None,
) -> Callable[[_T], _T]:
    """Make a test function the client under test. It takes a fixture ``mailauth_case``, which is a :class:`Case`.

    Args:
        protocols: ``"smtp"``, ``"pop3"``, ``"imap"``: what the body speaks, as ``mailauth_case.protocol`` says.
        security: The modes to judge it in.
        scenarios: Names of scenarios; None (default) for all of the profile.
        declared: What the client is declared to do; None for one that requires TLS, verifies, and waits 2 seconds.
        profile: ``"core"`` (default), ``"full"``, ``"extended"``, and ``"strict"``, in which a SHOULD counts, alone or
            beside one of them: ``"core,strict"``. Scenarios that are named are run whatever their profile.
        rules: A version of the rules, such as ``"2026.1"``, so that rules that come later break no build; the newest by
            default.

    Raises:
        ConfigError: A protocol, mode, scenario, profile or version does not exist, or no scenario is left with them.

    Examples:
        >>> @conformance(protocols=["smtp"], scenarios=["cert-expired"])
        ... def test_my_client(mailauth_case): ...
    """
    wanted = None if scenarios is None else tuple(scenarios)
    unknown = [name for name in wanted or () if name not in SCENARIOS]
    if unknown:
        raise ConfigError(f"there is no scenario {unknown[0]!r}; `mailauth scenarios` lists them")
    ruleset = chosen(profile, rules, by_name=wanted is not None)
    stated = declared or Declaration()
    modes = [choose(Security, mode, "security") for mode in security]
    spoken = [choose(Protocol, name, "protocols") for name in protocols]
    settings = tuple(
        setting
        for protocol in spoken
        for mode in modes
        for setting in settings_for(protocol, mode, stated)
        if ruleset.has(setting.scenario) and (wanted is None or setting.scenario.name in wanted)
    )
    if not settings:
        asked: dict[str, Iterable[str] | None] = {"protocols": spoken, "security": modes, "scenarios": wanted}
        told = ", ".join(f"{name}={[str(one) for one in said]}" for name, said in asked.items() if said is not None)
        raise ConfigError(f"@conformance({told}) selects no scenario; `mailauth scenarios` says where each one exists")
    plan = Plan(settings, stated, ruleset)

    def decorate(body: _T) -> _T:
        wrapper: Any = _asynchronous(body) if inspect.iscoroutinefunction(body) else _synchronous(body)
        setattr(wrapper, ATTRIBUTE, plan)
        wrapped: _T = wrapper
        return wrapped

    return decorate


def _synchronous(body: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(body)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        examination: Examination = kwargs[FIXTURE]
        for step in examination.steps():
            error: BaseException | None = None
            try:
                body(*args, **{**kwargs, FIXTURE: step.case})
            except Exception as raised:  # noqa: BLE001 - how the client fails is its own affair
                error = raised
            finally:
                step.finish(error)
        examination.conclude()

    return wrapper


def _asynchronous(body: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(body)
    async def wrapper(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        examination: Examination = kwargs[FIXTURE]
        for step in examination.steps():
            error: BaseException | None = None
            try:
                await body(*args, **{**kwargs, FIXTURE: step.case})
            except Exception as raised:  # noqa: BLE001 - how the client fails is its own affair
                error = raised
            finally:
                step.finish(error)
        examination.conclude()

    return wrapper
