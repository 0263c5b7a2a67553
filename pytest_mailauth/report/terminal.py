"""The report on the terminal: a table for each client, every broken rule explained once, and what it all comes to.

Colour only ever repeats what a word and a sign say already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model.terms import Security, Verdict
from pytest_mailauth.report.digest import QUIET, Status, decisive, declared_otherwise, lessons, status
from pytest_mailauth.report.text import WIDTH, cite, labelled, meaning, one_line, sentence, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from pytest_mailauth.judge.verdict import Judgement
    from pytest_mailauth.report.digest import ClientReport, Kind, Lesson

EXAMPLE_LINES: Final = 30
"""Lines of the transcript shown for a broken rule; all of it is shown with ``-v`` and in the JSON report."""

_SIGNS: Final[dict[Verdict, tuple[str, str, str]]] = {
    Verdict.PASS: ("✓", "+", "green"),
    Verdict.VIOLATION: ("✗", "x", "bold red"),
    Verdict.NOTE: ("•", "*", "cyan"),
    Verdict.INCONCLUSIVE: ("?", "?", "yellow"),
    Verdict.NOT_APPLICABLE: ("-", "-", "dim"),
    Verdict.ERROR: ("!", "!", "bold magenta"),
}
"""Sign, sign for terminals without Unicode, and style of each verdict."""

_COUNTED: Final[dict[Verdict, str]] = {
    Verdict.PASS: "{} passed",
    Verdict.VIOLATION: "{} violation{s}",
    Verdict.NOTE: "{} note{s}",
    Verdict.INCONCLUSIVE: "{} inconclusive",
    Verdict.NOT_APPLICABLE: "{} not applicable",
    Verdict.ERROR: "{} error{s}",
}

_MODES: Final = {Security.STARTTLS: "STARTTLS", Security.IMPLICIT: "implicit TLS", Security.NONE: "no TLS"}

_ENDINGS: Final[dict[Status, str]] = {
    Status.OBEYED: "no rule was broken",
    Status.BROKEN: "a rule was broken",
    Status.UNUSABLE: "a client could not be judged",
    Status.INTERRUPTED: "interrupted: above is what was known by then",
}
_VERDICT_WIDTH: Final = 16
_MARGIN: Final = 2


class TerminalReport:
    """Prints reports.

    Args:
        console: Where to print.
        verbose: Show every case with its evidence, and whole transcripts.
    """

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose

    def print(self, reports: Sequence[ClientReport], *, interrupted: bool = False) -> Status:
        """Print everything and return the exit status that goes with it."""
        for report in reports:
            self._client(report)
        for verdict in (Verdict.ERROR, Verdict.VIOLATION):
            for lesson in lessons(reports, verdict):
                self._explain(lesson)
        ended = Status.INTERRUPTED if interrupted else status(reports)
        self._summary(reports, ended)
        return ended

    def _client(self, report: ClientReport) -> None:
        modes = " and ".join(_MODES[mode] for mode in report.securities)
        title = Text.assemble((report.name, "bold"), f": {report.protocol.upper()} with {modes}, {_cases(report.rows)}")
        if declared := declared_otherwise(report.declared):
            title.append(f" (declared: {', '.join(f'{k}={v}' for k, v in declared.items())})")
        self._line(title)
        table = Table.grid(padding=(0, 0, 0, _MARGIN))
        table.add_column(width=_VERDICT_WIDTH, no_wrap=True)
        table.add_column(ratio=1)
        if self._verbose:
            for row in report.rows:
                table.add_row(
                    self._mark(row.verdict), Text.assemble((row.setting.id, "bold"), f"\n{_told(decisive(row))}")
                )
        else:
            for kind in report.kinds:
                table.add_row(self._mark(kind.verdict), self._kind(report, kind))
            for verdict in QUIET:
                if count := report.counts.get(verdict):
                    table.add_row(self._mark(verdict), _cases(range(count)))
        self._console.print(table, highlight=False)
        self._line()

    def _kind(self, report: ClientReport, kind: Kind) -> Text:
        """Return the cases that say the same: the rule, where, and what the first of them shows in two lines."""
        room = 2 * (self._console.width - _VERDICT_WIDTH - 2 * _MARGIN) - 10
        names = ", ".join(report.scenarios(kind.rows))
        lead = "for example: " if len(kind.rows) > 1 else ""
        return Text.assemble(
            (kind.rule, "bold"),
            f", {_cases(kind.rows)}: {names}\n",
            (lead + one_line(kind.evidence, room - len(lead)), "italic dim"),
        )

    def _explain(self, lesson: Lesson) -> None:
        rule = RULES[lesson.rule]
        row, finding = lesson.example
        width = min(self._console.width, WIDTH)
        by = ", ".join(f"{report.name} ({_cases(rows)})" for report, rows in lesson.cases)
        self._console.rule(style="dim", characters="-" if self._console.options.ascii_only else "─")
        head = self._mark(lesson.verdict)
        self._line(Text.assemble(head, " ", (rule.name, "bold"), f" ({rule.severity}; {meaning(lesson.verdict)})"))
        self._line(labelled("Requirement", f"{rule.requirement} ({cite(rule.sources)})", width))
        self._line(labelled("Expected", rule.expected, width))
        self._line(labelled("Actual", sentence(finding.evidence), width))
        self._line(labelled("Clients", by, width))
        self._line(f"  Transcript of {row.client} in {row.setting.id}:")
        lines = row.transcript.splitlines()
        for line in shown(row.transcript, len(lines) if self._verbose else EXAMPLE_LINES):
            self._line(Text(line, style="cyan" if "====" in line else ""))
        self._line(labelled("Next step", rule.advice, width))

    def _summary(self, reports: Sequence[ClientReport], ended: Status) -> None:
        self._console.rule(style="dim", characters="-" if self._console.options.ascii_only else "─")
        table = Table.grid(padding=(0, _MARGIN, 0, 0))
        for report in reports:
            counted = ", ".join(
                _COUNTED[verdict].format(count, s="" if count == 1 else "s") for verdict, count in report.counts.items()
            )
            worst = next(iter(report.counts), Verdict.NOT_APPLICABLE)
            sign = Verdict.PASS if worst in (Verdict.NOTE, *QUIET) else worst
            table.add_row(self._sign(sign), Text(report.name, style="bold"), report.protocol.upper(), counted)
        self._console.print(table, highlight=False)
        unsure = sum(report.counts.get(Verdict.INCONCLUSIVE, 0) for report in reports)
        if unsure:
            self._line(f"{_cases(range(unsure))} inconclusive: nothing was proved there, neither obedience nor breach.")
        if not self._verbose:
            self._line("-v shows every case; 'mailauth explain NAME' tells more about a rule or a scenario.")
        self._line(f"Exit status {ended:d}: {_ENDINGS[ended]}.")

    def _line(self, text: Text | str = "") -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _sign(self, verdict: Verdict) -> Text:
        sign, ascii_sign, style = _SIGNS[verdict]
        return Text(ascii_sign if self._console.options.ascii_only else sign, style=style)

    def _mark(self, verdict: Verdict) -> Text:
        return Text.assemble(self._sign(verdict), (f" {verdict}", _SIGNS[verdict][2]))


def _told(judgement: Judgement) -> str:
    return f"{judgement.rule}: {one_line(judgement.finding.evidence)}"


def _cases(rows: Sequence[object]) -> str:
    return f"{len(rows)} case{'' if len(rows) == 1 else 's'}"
