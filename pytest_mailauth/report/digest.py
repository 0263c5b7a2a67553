"""Results sorted for readers: one report a client and protocol, rows that say the same put together, and the status.

No text layout and no colour here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.terms import SEVERITY, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_mailauth.judge.group import Group
    from pytest_mailauth.judge.verdict import Judgement, Result
    from pytest_mailauth.model.trial import Finding

QUIET: Final = (Verdict.PASS, Verdict.NOT_APPLICABLE)
"""Verdicts that are counted, and listed only when asked for."""


class Status(IntEnum):
    """The exit status of the command. A signal that ended it is told as a shell would: 128 and its number."""

    OBEYED = 0
    BROKEN = 1
    USAGE = 2
    UNUSABLE = 3
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True)
class Kind:
    """Rows of one client that say the same: one rule and one verdict.

    Attributes:
        rule: The rule that said it.
        verdict: What it said.
        rows: The rows, in the order of the tables.
    """

    rule: str
    verdict: Verdict
    rows: tuple[Result, ...]


@dataclass(frozen=True, kw_only=True)
class ClientReport:
    """Everything that is known about one client in one protocol.

    Attributes:
        name: The client's name.
        protocol: The protocol.
        securities: The modes it was judged in.
        declared: What it was declared to do.
        rows: One row a scenario and mode.
    """

    name: str
    protocol: Protocol
    securities: tuple[Security, ...]
    declared: Declaration
    rows: tuple[Result, ...]

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many rows earned each verdict, worst first, without the verdicts that none earned."""
        counted = Counter(row.verdict for row in self.rows)
        return {verdict: counted[verdict] for verdict in SEVERITY if counted[verdict]}

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The rows that need reading, put together by rule and verdict, worst first."""
        found: dict[tuple[Verdict, str], list[Result]] = {}
        for row in self.rows:
            if row.verdict not in QUIET:
                found.setdefault((row.verdict, decisive(row).rule), []).append(row)
        order = sorted(found, key=lambda key: SEVERITY.index(key[0]))
        return tuple(Kind(rule, verdict, tuple(found[verdict, rule])) for verdict, rule in order)

    def scenarios(self, rows: Iterable[Result]) -> tuple[str, ...]:
        """Return the names of the scenarios of *rows*; the mode is added where another mode fared otherwise."""
        mine: dict[str, list[Security]] = {}
        for row in rows:
            mine.setdefault(row.setting.scenario.name, []).append(row.security)
        run = Counter(row.setting.scenario.name for row in self.rows)
        return tuple(
            name if run[name] == len(modes) else f"{name} ({', '.join(modes)})" for name, modes in mine.items()
        )


@dataclass(frozen=True)
class Lesson:
    """One rule with one verdict, over all clients that earned it: what is explained once.

    Attributes:
        rule: The rule.
        verdict: The verdict.
        cases: Each client that earned it, with the rows in which it did.
    """

    rule: str
    verdict: Verdict
    cases: tuple[tuple[ClientReport, tuple[Result, ...]], ...]

    @property
    def example(self) -> tuple[Result, Finding]:
        """The first row, and what was found there."""
        row = self.cases[0][1][0]
        return row, next(j.finding for j in row.judgements if self.tells(j))

    def tells(self, judgement: Judgement) -> bool:
        """Return whether *judgement* is one of this rule and verdict."""
        return judgement.rule == self.rule and judgement.finding.verdict is self.verdict


def lessons(reports: Iterable[ClientReport], verdict: Verdict) -> tuple[Lesson, ...]:
    """Return what there is to explain about one verdict, a rule at a time, in the order of the rows."""
    found: dict[str, list[tuple[ClientReport, tuple[Result, ...]]]] = {}
    for report in reports:
        cases: dict[str, list[Result]] = {}
        for row in report.rows:
            for judgement in row.judgements:
                if judgement.finding.verdict is verdict:
                    cases.setdefault(judgement.rule, []).append(row)
        for rule, rows in cases.items():
            found.setdefault(rule, []).append((report, tuple(rows)))
    return tuple(Lesson(rule, verdict, tuple(cases)) for rule, cases in found.items())


def decisive(row: Result) -> Judgement:
    """Return the judgement that gave the row its verdict."""
    return next(j for j in row.judgements if j.finding.verdict is row.verdict)


def was_run(group: Group) -> bool:
    """Return whether anything is known about the group. After Ctrl-C that need not be so."""
    return group.control is not None or group.failure is not None or group.never_meets_a_server


def digest(groups: Iterable[Group]) -> tuple[ClientReport, ...]:
    """Return one report for each client and protocol about which something is known."""
    together: dict[tuple[str, Protocol], list[Group]] = {}
    for group in filter(was_run, groups):
        together.setdefault((group.client.name, group.protocol), []).append(group)
    return tuple(
        ClientReport(
            name=name,
            protocol=protocol,
            securities=tuple(group.security for group in mine),
            declared=mine[0].client.declared,
            rows=tuple(row for group in mine for row in group.results),
        )
        for (name, protocol), mine in together.items()
    )


def declared_otherwise(declared: Declaration) -> dict[str, str]:
    """Return what was declared and is not the default, as it is written on the command line."""
    usual = Declaration()
    return {
        name: {True: "yes", False: "no"}.get(value, f"{value:g}" if isinstance(value, float) else str(value))
        for name, value in vars(declared).items()
        if value != getattr(usual, name)
    }


def status(reports: Sequence[ClientReport]) -> Status:
    """Return the exit status: a broken rule outweighs a client that could not be run. INCONCLUSIVE changes nothing."""
    verdicts = {j.finding.verdict for report in reports for row in report.rows for j in row.judgements}
    if Verdict.VIOLATION in verdicts:
        return Status.BROKEN
    return Status.UNUSABLE if Verdict.ERROR in verdicts else Status.OBEYED
