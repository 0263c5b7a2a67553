"""Clients times scenarios: controls first and last, everything that waits side by side, and what is known on Ctrl-C.

A group is one client, one protocol and one mode. Its verdicts stand on its control: when the client does not log
in to the honest server, before or after, nothing else about it can be said.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.clients.client import OUT_OF_REACH
from pytest_mailauth.judge.scenarios import Setting, baseline, settings_for
from pytest_mailauth.judge.scenarios.plan import plan_for
from pytest_mailauth.judge.trialrun import describe, diagnosis_of, run_trial
from pytest_mailauth.judge.verdict import Judgement, Result, combine, honest, judge
from pytest_mailauth.model.errors import CannotServe, MailAuthError
from pytest_mailauth.model.terms import Verdict
from pytest_mailauth.model.trial import Finding, Trial
from pytest_mailauth.servers.environment import MailServers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_mailauth.judge.clients.client import Client
    from pytest_mailauth.model.causes.cause import Diagnosis
    from pytest_mailauth.model.terms import Protocol, Security

BUSY_AT_ONCE: Final = 4
"""Trials that compute at the same time; more would only take each other's processor."""
WAITING_AT_ONCE: Final = 96
"""Trials that wait for a client's time-out at the same time."""

Progress = Callable[[int, int, str], None]
"""Told how many trials are done, how many there are, and what was done last."""


@dataclass
class Group:
    """One client in one protocol and mode, with what has been found out so far."""

    client: Client
    protocol: Protocol
    security: Security
    settings: tuple[Setting, ...]
    control: Trial | None = None
    again: Trial | None = None
    failure: str | None = None
    comparisons: dict[str, Trial] = field(default_factory=dict)
    runs: dict[str, list[Trial | MailAuthError]] = field(default_factory=lambda: defaultdict(list))

    @property
    def unusable(self) -> str | None:
        """Why nothing can be judged: the control's finding, or None when the control is green."""
        if self.failure is not None:
            return self.failure
        if self.control is None:
            return "the control has not run"
        finding = honest(self.control)
        return None if finding.verdict is Verdict.PASS else finding.evidence

    @property
    def results(self) -> tuple[Result, ...]:
        """One row a scenario that was run to its end, in the order of the tables."""
        if self.never_meets_a_server:
            return (self._row(baseline(self.protocol, self.security), Verdict.NOT_APPLICABLE, OUT_OF_REACH),)
        reason = self.unusable
        if reason is not None and self.control is None and self.failure is None:
            return ()
        if reason is not None:
            alone = [self._judged(s) for s in self.settings if s.scenario.stands_alone and self._is_complete(s)]
            broken = tuple(row for row in alone if row.verdict is Verdict.VIOLATION)
            return broken or (self._row(baseline(self.protocol, self.security), Verdict.ERROR, reason),)
        doubt = None
        if self.again is not None:
            finding = honest(self.again)
            doubt = None if finding.verdict is Verdict.PASS else finding.evidence
        rows = (self._judged(setting) for setting in self.settings if self._is_complete(setting))
        if doubt is None or self.again is None:
            return tuple(rows)
        why = diagnosis_of(self.again)
        return tuple(_doubted(row, doubt, why) for row in rows)

    def is_out_of_reach(self, setting: Setting) -> bool:
        """Return whether the scenario has names and real port numbers, and the client does not meet them here."""
        plan = plan_for(setting.scenario.network, self.client.declared, reachable=False)
        return self.client.reach is None and plan is not None

    @property
    def never_meets_a_server(self) -> bool:
        """True when that holds for every scenario, the control included."""
        return self.is_out_of_reach(baseline(self.protocol, self.security))

    @property
    def to_run(self) -> tuple[Setting, ...]:
        """The scenarios that can be run, as far as is known by now."""
        if self.never_meets_a_server:
            return ()
        within = (setting for setting in self.settings if not self.is_out_of_reach(setting))
        if self.unusable is None:
            return tuple(within)
        # What may be wrong with this client shows where the control does not come to its end.
        return tuple(setting for setting in within if setting.scenario.stands_alone and self.failure is None)

    def _row(self, setting: Setting, verdict: Verdict, reason: str) -> Result:
        transcript = describe(self.control) if self.control is not None else ""
        diagnosis = diagnosis_of(self.control) if self.control is not None else ()
        judgement = Judgement("control", Finding(verdict, reason))
        return Result(
            client=self.client.name,
            setting=setting,
            judgements=(judgement,),
            transcript=transcript,
            seconds=0.0,
            diagnosis=diagnosis,
        )

    def _is_complete(self, setting: Setting) -> bool:
        """A scenario that was interrupted between its runs says nothing: its comparison may be what is missing."""
        runs = self.runs.get(setting.id, [])
        if self.is_out_of_reach(setting):
            return True
        compared = not self.compares(setting) or setting.id in self.comparisons
        return any(isinstance(run, MailAuthError) for run in runs) or (
            compared and len(runs) == setting.scenario.repeat
        )

    def compares(self, setting: Setting) -> bool:
        """Return whether the baseline alone is not enough to compare with."""
        relaxes = setting.scenario.host_may_decide and self.client.relaxed is not None
        return setting.scenario.control is not None or relaxes

    def _judged(self, setting: Setting) -> Result:
        if self.is_out_of_reach(setting):
            said = tuple(
                Judgement(name, Finding(Verdict.NOT_APPLICABLE, OUT_OF_REACH)) for name in setting.scenario.rules
            )
            return Result(client=self.client.name, setting=setting, judgements=said, transcript="", seconds=0.0)
        failures = [run for run in self.runs[setting.id] if isinstance(run, MailAuthError)]
        if failures:
            verdict = Verdict.INCONCLUSIVE if isinstance(failures[0], CannotServe) else Verdict.ERROR
            said = tuple(Judgement(name, Finding(verdict, str(failures[0]))) for name in setting.scenario.rules)
            return Result(client=self.client.name, setting=setting, judgements=said, transcript="", seconds=0.0)
        trials = [run for run in self.runs[setting.id] if isinstance(run, Trial)]
        control = self.comparisons.get(setting.id, self.control)
        seen = [dataclasses.replace(trial, control=control) for trial in trials]
        verdicts = [judge(trial, setting.scenario.rules) for trial in seen]
        combined = combine(verdicts)
        shown = next((t for t, v in zip(seen, verdicts, strict=True) if _same(v, combined)), seen[0])
        return Result(
            client=self.client.name,
            setting=setting,
            judgements=combined,
            transcript=describe(shown),
            seconds=sum(trial.outcome.seconds for trial in seen),
            diagnosis=diagnosis_of(shown) if any(j.finding.verdict is not Verdict.PASS for j in combined) else (),
        )


def _same(one: tuple[Judgement, ...], other: tuple[Judgement, ...]) -> bool:
    return [j.finding.verdict for j in one] == [j.finding.verdict for j in other]


def _doubted(row: Result, doubt: str, why: tuple[Diagnosis, ...]) -> Result:
    judgements = tuple(
        j
        if j.finding.verdict is Verdict.VIOLATION
        else Judgement(j.rule, Finding(Verdict.INCONCLUSIVE, f"the closing control failed: {doubt}"))
        for j in row.judgements
    )
    return dataclasses.replace(row, judgements=judgements, diagnosis=row.diagnosis or why)


@dataclass(frozen=True)
class _Job:
    label: str
    work: Callable[[], None]
    waits: bool = False


class Runner:
    """Runs clients through scenarios.

    Args:
        clients: The clients under test.
        progress: Called after each trial, in the thread that called :meth:`run`.
        select: Names of scenarios to run; None for all.
        servers: Whose thread and authority to use; None for servers of its own, closed at the end.
    """

    def __init__(
        self,
        clients: Sequence[Client],
        *,
        progress: Progress | None = None,
        select: Iterable[str] | None = None,
        servers: MailServers | None = None,
    ) -> None:
        self._progress = progress
        self._own = servers is None
        self._servers = servers or MailServers()
        chosen = None if select is None else frozenset(select)
        self.groups = [
            Group(client, protocol, security, _chosen(settings_for(protocol, security, client.declared), chosen))
            for client in clients
            for protocol in client.protocols
            for security in client.securities
            if settings_for(protocol, security, client.declared)
        ]
        self.interrupted = False
        """True when Ctrl-C ended the run early."""

    def run(self) -> tuple[Result, ...]:
        """Run everything and return the rows; after Ctrl-C, the rows known so far."""
        done = 0
        reached = [group for group in self.groups if not group.never_meets_a_server]
        total = 2 * len(reached) + sum(len(self._trials(group, group.settings)) for group in reached)
        try:
            for phase in (self._controls, self._everything, self._closing_controls):
                jobs = phase()
                for finished in _in_parallel(jobs):
                    done += 1
                    if self._progress is not None:
                        self._progress(done, total, finished.label)
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            # Before the servers close: a client that is cut off by that would look as if it had left.
            results = self.results
            if self._own:
                self._servers.close()
        return results

    @property
    def results(self) -> tuple[Result, ...]:
        """One row for each client and scenario that was judged."""
        return tuple(row for group in self.groups for row in group.results)

    def _controls(self) -> list[_Job]:
        return [
            _Job(_label(group, "control"), partial(self._control, group))
            for group in self.groups
            if not group.never_meets_a_server
        ]

    def _control(self, group: Group) -> None:
        setting = baseline(group.protocol, group.security)
        try:
            group.control = run_trial(self._servers, group.client, setting)
        except MailAuthError as error:
            group.failure = str(error)

    def _closing_controls(self) -> list[_Job]:
        def again(group: Group) -> None:
            group.again = run_trial(self._servers, group.client, baseline(group.protocol, group.security))

        return [
            _Job(_label(group, "closing control"), partial(again, group))
            for group in self.groups
            if group.unusable is None
        ]

    def _everything(self) -> list[_Job]:
        return [job for group in self.groups for job in self._trials(group, group.to_run)]

    def _trials(self, group: Group, settings: tuple[Setting, ...]) -> list[_Job]:
        jobs: list[_Job] = []
        for setting in settings:
            scenario = setting.scenario
            if group.compares(setting):

                def compare(setting: Setting = setting) -> None:
                    try:
                        group.comparisons[setting.id] = self._trial(group, setting, compare=True)
                    except MailAuthError as failure:
                        group.runs[setting.id].insert(0, failure)

                jobs.append(_Job(_label(group, f"{scenario.name} (control)"), compare, scenario.waits))

            def once(setting: Setting = setting) -> None:
                try:
                    group.runs[setting.id].append(self._trial(group, setting))
                except MailAuthError as failure:
                    group.runs[setting.id].append(failure)

            jobs += [_Job(_label(group, scenario.name), once, scenario.waits)] * scenario.repeat
        return jobs

    def _trial(self, group: Group, setting: Setting, *, compare: bool = False) -> Trial:
        usual = group.control.outcome.seconds if group.control else 0.0
        relaxed = compare and setting.scenario.host_may_decide
        return run_trial(
            self._servers, group.client, setting, control=compare and not relaxed, relaxed=relaxed, slowdown=usual
        )


def _chosen(settings: tuple[Setting, ...], names: frozenset[str] | None) -> tuple[Setting, ...]:
    return settings if names is None else tuple(s for s in settings if s.scenario.name in names)


def _label(group: Group, what: str) -> str:
    return f"{group.client.name} {group.protocol} {group.security}: {what}"


def _in_parallel(jobs: list[_Job]) -> Iterable[_Job]:
    """Run the jobs in daemon threads and yield each as it is done; an error in one is raised here."""
    finished: queue.SimpleQueue[tuple[_Job, BaseException | None]] = queue.SimpleQueue()
    lanes = ((True, WAITING_AT_ONCE), (False, BUSY_AT_ONCE))
    for waits, width in lanes:
        waiting: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        mine = [job for job in jobs if job.waits is waits]
        for job in mine:
            waiting.put(job)
        for _ in range(min(width, len(mine))):
            threading.Thread(target=_work, args=(waiting, finished), name="mailauth trial", daemon=True).start()
    for _ in jobs:
        job, error = finished.get()
        if error is not None:
            raise error
        yield job


def _work(waiting: queue.SimpleQueue[_Job], finished: queue.SimpleQueue[tuple[_Job, BaseException | None]]) -> None:
    while True:
        try:
            job = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            job.work()
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
            finished.put((job, error))
        else:
            finished.put((job, None))
