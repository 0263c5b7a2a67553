"""One client in one protocol and mode: what was run, and what is known by it.

Its verdicts stand on its control: when the client does not log in to the honest server, before or after, nothing else
about it can be said.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_mailauth.judge.clients.client import NO_WEB, OUT_OF_REACH
from pytest_mailauth.judge.ruleset import EVERYTHING
from pytest_mailauth.judge.scenarios import SCENARIOS, Setting, baseline
from pytest_mailauth.judge.scenarios.plan import plan_for
from pytest_mailauth.judge.trialrun import describe, diagnosis_of
from pytest_mailauth.judge.verdict import Judgement, Result, combine, honest, judge
from pytest_mailauth.model.errors import CannotServe, MailAuthError
from pytest_mailauth.model.terms import PortState, Verdict
from pytest_mailauth.model.trial import Finding, Trial

if TYPE_CHECKING:
    from pytest_mailauth.judge.clients.client import Client
    from pytest_mailauth.judge.ruleset import RuleSet
    from pytest_mailauth.model.causes.cause import Diagnosis
    from pytest_mailauth.model.terms import Protocol, Security


@dataclass
class Book:
    """The trials of every scenario, each as often as it is repeated, and those that they are compared with."""

    runs: dict[str, list[Trial | MailAuthError]] = field(default_factory=lambda: defaultdict(list))
    comparisons: dict[str, Trial] = field(default_factory=dict)
    rows: dict[str, Result] = field(default_factory=dict)
    """What came of those that are complete: it is asked for several times, and judging searches every byte."""


@dataclass
class Group:
    """One client in one protocol and mode, with what has been found out so far."""

    client: Client
    protocol: Protocol
    security: Security
    settings: tuple[Setting, ...]
    ruleset: RuleSet = EVERYTHING
    control: Trial | None = None
    again: Trial | None = None
    failure: str | None = None
    first: Book = field(default_factory=Book)
    second: Book = field(default_factory=Book)
    """What was run once more, since the first time had proved nothing."""

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
            honest_one = baseline(self.protocol, self.security)
            return (self._row(honest_one, Verdict.NOT_APPLICABLE, self._out_of_reach(honest_one)),)
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
        return self._lacks_web(setting) or (plan is not None and self.client.reach is None)

    def _lacks_web(self, setting: Setting) -> bool:
        decoy = setting.scenario.decoy
        has_web = self.client.declared.discovers == "autoconfig" or (decoy is not None and decoy.in_error_challenge)
        return self.client.by_name and has_web

    def _out_of_reach(self, setting: Setting) -> str:
        return NO_WEB if self._lacks_web(setting) else OUT_OF_REACH

    def waits(self, setting: Setting) -> bool:
        """Return whether a client waits for its time-out. Outside this process it really does for a blocked port."""
        scenario = setting.scenario
        met = {scenario.settings.get("port_state"), *(scenario.network.blocked.values() if scenario.network else ())}
        return scenario.waits or (self.client.by_name and PortState.TIMEOUT in met)

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

    def compared(self, setting: Setting) -> Setting | None:
        """Return another scenario whose trial is what this one is compared with, or None."""
        name = setting.scenario.compared_with
        return Setting(SCENARIOS[name], self.protocol, self.security) if name else None

    def _other_trial(self, setting: Setting) -> Trial | MailAuthError | None:
        """Return what came of the scenario that this one is compared with; None as long as it has not run."""
        other = self.compared(setting)
        if other is None:
            return None
        runs = self.first.runs.get(other.id, [])
        return self.first.comparisons.get(other.id) or next(iter(runs), None)

    @property
    def undecided(self) -> tuple[Setting, ...]:
        """The scenarios that are worth a second run: a busy machine may have kept the client from its work."""
        if self.unusable is not None:
            return ()
        return tuple(
            setting
            for setting in self.to_run
            if self._is_complete(setting)
            and not any(isinstance(run, MailAuthError) for run in self.first.runs[setting.id])
            and self._judged_by(setting, self.first).verdict is Verdict.INCONCLUSIVE
        )

    def _is_complete(self, setting: Setting, book: Book | None = None) -> bool:
        """A scenario that was interrupted between its runs says nothing: its comparison may be what is missing."""
        book = book or self.first
        runs = book.runs.get(setting.id, [])
        if self.is_out_of_reach(setting):
            return True
        compared = self.compared(setting) is None or self._other_trial(setting) is not None
        compared &= not self.compares(setting) or setting.id in book.comparisons
        return any(isinstance(run, MailAuthError) for run in runs) or (
            compared and len(runs) == setting.scenario.repeat
        )

    def compares(self, setting: Setting) -> bool:
        """Return whether the baseline alone is not enough to compare with."""
        relaxes = setting.scenario.host_may_decide and self.client.relaxed is not None
        return setting.scenario.control is not None or relaxes

    def _judged(self, setting: Setting) -> Result:
        if self.is_out_of_reach(setting):
            reason = self._out_of_reach(setting)
            said = tuple(Judgement(name, Finding(Verdict.NOT_APPLICABLE, reason)) for name in setting.scenario.rules)
            return Result(client=self.client.name, setting=setting, judgements=said, transcript="", seconds=0.0)
        row = self._judged_by(setting, self.first)
        if row.verdict is Verdict.INCONCLUSIVE and self._is_complete(setting, self.second):
            again = self._judged_by(setting, self.second)
            return row if again.verdict is Verdict.INCONCLUSIVE else again
        return row

    def _judged_by(self, setting: Setting, book: Book) -> Result:
        if setting.id not in book.rows:
            book.rows[setting.id] = self._judge(setting, book)
        return book.rows[setting.id]

    def _judge(self, setting: Setting, book: Book) -> Result:
        failures = [run for run in book.runs[setting.id] if isinstance(run, MailAuthError)]
        if failures:
            verdict = Verdict.INCONCLUSIVE if isinstance(failures[0], CannotServe) else Verdict.ERROR
            said = tuple(Judgement(name, Finding(verdict, str(failures[0]))) for name in setting.scenario.rules)
            return Result(client=self.client.name, setting=setting, judgements=said, transcript="", seconds=0.0)
        trials = [run for run in book.runs[setting.id] if isinstance(run, Trial)]
        other = self._other_trial(setting)
        # What it is compared with stands on the baseline, like everything else.
        beside = dataclasses.replace(other, control=self.control) if isinstance(other, Trial) else self.control
        control = book.comparisons.get(setting.id, beside)
        seen = [dataclasses.replace(trial, control=control) for trial in trials]
        verdicts = [judge(trial, setting.scenario.rules, self.ruleset) for trial in seen]
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
