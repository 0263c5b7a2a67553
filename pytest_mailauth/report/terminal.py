"""The report on the terminal: a table for each client, every broken rule explained once, and what it all comes to.

Colour only ever repeats what a word and a sign say already.
"""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console
from rich.text import Text

from pytest_mailauth.judge.clients import catalogue
from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.ruleset import PROFILES
from pytest_mailauth.model.diagnosis import ending
from pytest_mailauth.model.terms import Security, Verdict
from pytest_mailauth.report.digest import QUIET, Status, decisive, declared_otherwise, lessons, status
from pytest_mailauth.report.text import WIDTH, explanation, meaning, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_mailauth.judge.ruleset import RuleSet
    from pytest_mailauth.report.digest import ClientReport, Lesson

EXAMPLE_LINES: Final = 30
"""Lines of the transcript shown for a broken rule; all of it is shown with ``-v`` and in the JSON report."""

FAILURES: Final = (Verdict.ERROR, Verdict.VIOLATION, Verdict.INCONCLUSIVE)
"""Verdicts that are explained with a transcript, in this order."""

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
    Status.HUNG_UP: "hung up on: above is what was known by then",
    Status.INTERRUPTED: "interrupted: above is what was known by then",
    Status.TERMINATED: "terminated: above is what was known by then",
}
_VERDICT_WIDTH: Final = 17
_MARGIN: Final = 2


class PipedConsole(Console):
    """A console that raises when nobody reads any more; rich's own ends the program, with a status of ours."""

    def on_broken_pipe(self) -> None:
        """Let it be an error again.

        Raises:
            BrokenPipeError: Always.
        """
        raise BrokenPipeError


def console_for(stream: TextIO, *, no_color: bool) -> Console:
    """Return a console that prints on *stream*."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # what a client says may not exist in this terminal's encoding
    return PipedConsole(file=stream, color_system=None if no_color else "auto")


class TerminalReport:
    """Prints reports.

    Args:
        console: Where to print.
        asked: The profile and the version of the rules.
        verbose: Show every case with its evidence, and whole transcripts.
    """

    def __init__(self, console: Console, asked: RuleSet, *, verbose: bool = False) -> None:
        self._console = console
        self._asked = asked
        self._verbose = verbose

    def print(self, reports: Sequence[ClientReport], *, interrupted: Status | None = None) -> Status:
        """Print everything, as far as somebody reads it, and return the exit status that goes with it.

        Args:
            reports: What to print.
            interrupted: The status of the signal that ended the run early; None if none did.
        """
        ended = interrupted or status(reports)
        with contextlib.suppress(BrokenPipeError):  # as under `| head`: no verdict depends on who reads it
            self._everything(reports, ended)
        return ended

    def _everything(self, reports: Sequence[ClientReport], ended: Status) -> None:
        for report in reports:
            self._client(report)
        for verdict in (*FAILURES, Verdict.NOTE):
            for lesson in lessons(reports, verdict):
                self._explain(lesson)
        self._summary(reports, ended)

    def _client(self, report: ClientReport) -> None:
        about = catalogue.meaning_of(report.name)
        modes = " and ".join(_MODES[mode] for mode in report.securities)
        self._line(Text.assemble((report.name, "bold"), f" ({about})" if about else ""))
        self._line(f"{report.protocol.upper()} with {modes}: {_cases(len(report.rows))}{_declared(report)}")
        if self._verbose:
            for row in report.rows:
                said = decisive(row)
                evidence = f"\n{said.rule}: {one_line(said.finding.evidence)}"
                self._hanging(self._mark(row.verdict), Text.assemble((row.setting.id, "bold"), evidence))
        else:
            for kind in report.kinds:
                names = ", ".join(report.scenarios(kind.rows))
                told = Text.assemble(f"{_cases(len(kind.rows)):<9}  ", (kind.rule, "bold"), f": {names}")
                self._hanging(self._mark(kind.verdict), told)
            for verdict in QUIET:
                if count := report.counts.get(verdict):
                    self._hanging(self._mark(verdict), Text(_cases(count)))
        self._line()

    def _hanging(self, mark: Text, text: Text) -> None:
        """Print *text* beside *mark*, its further lines aligned and without trailing blanks."""
        lines = text.wrap(self._console, max(self._console.width - _MARGIN - _VERDICT_WIDTH, 30))
        for number, line in enumerate(lines):
            line.rstrip()
            margin = Text("  ") + mark if number == 0 else Text()
            margin.pad_right(_MARGIN + _VERDICT_WIDTH - margin.cell_len)
            self._line(margin + line)

    def _explain(self, lesson: Lesson) -> None:
        """Explain one rule once. What is allowed is told without its transcript."""
        row, finding = lesson.example
        weight = f"{RULES[lesson.rule].severity}; " if lesson.verdict is Verdict.VIOLATION else ""
        affected: Counter[str] = Counter()
        for report, rows in lesson.cases:
            affected[report.name] += len(rows)
        title = Text.assemble((f" {lesson.rule}", "bold"), f" ({weight}{meaning(lesson.verdict)})")
        self._rule()
        self._line(self._mark(lesson.verdict) + title)
        facts = {"Seen in": f"{row.setting.id} with {row.client}"}
        is_allowed = lesson.verdict is Verdict.NOTE
        if not is_allowed:
            facts["Clients"] = ", ".join(f"{name} ({_cases(count)})" for name, count in affected.items())
        lines = explanation(
            lesson.rule,
            finding,
            None if is_allowed else row.transcript or None,
            facts=facts,
            width=min(self._console.width, WIDTH),
            lines=None if self._verbose else EXAMPLE_LINES,
            diagnosis=ending(row.diagnosis),
        )
        for line in lines:
            self._line(Text(line, style="cyan" if line.startswith("    ====") else ""))

    def _summary(self, reports: Sequence[ClientReport], ended: Status) -> None:
        longest = max((len(report.name) for report in reports), default=0)
        self._rule()
        for report in reports:
            counted = ", ".join(
                _COUNTED[verdict].format(count, s="" if count == 1 else "s") for verdict, count in report.counts.items()
            )
            worst = next(iter(report.counts), Verdict.NOT_APPLICABLE)
            sign = self._sign(Verdict.PASS if worst is Verdict.NOTE else worst)
            name = f" {report.name:<{longest}}  {report.protocol.upper():<4}  "
            self._line(Text.assemble(sign, (name, "bold"), counted or "no case was judged"))
        unsure = sum(report.counts.get(Verdict.INCONCLUSIVE, 0) for report in reports)
        if unsure:
            self._line(f"{_cases(unsure)} INCONCLUSIVE: nothing was proved there, neither obedience nor breach.")
        self._line(f"Asked: the {self._asked.profile} profile of the rules {self._asked.rules}.{_more(self._asked)}")
        if not self._verbose:
            self._line("A case is one scenario in one TLS mode; -v shows every one of them.")
            self._line("'mailauth explain NAME' tells more about a rule or a scenario.")
        self._line(f"Exit status {ended:d}: {_ENDINGS[ended]}.")

    def _rule(self) -> None:
        self._line(Text(("-" if self._console.options.ascii_only else "─") * min(self._console.width, WIDTH), "dim"))

    def _line(self, text: Text | str = "") -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _sign(self, verdict: Verdict) -> Text:
        sign, ascii_sign, style = _SIGNS[verdict]
        return Text(ascii_sign if self._console.options.ascii_only else sign, style=style)

    def _mark(self, verdict: Verdict) -> Text:
        return Text.assemble(self._sign(verdict), (f" {verdict}", _SIGNS[verdict][2]))


def _declared(report: ClientReport) -> str:
    declared = ", ".join(f"{name}={value}" for name, value in declared_otherwise(report.declared).items())
    return f" (declared: {declared})" if declared else ""


def _more(asked: RuleSet) -> str:
    """Return how to be asked more, where there is more."""
    larger = list(PROFILES)[list(PROFILES).index(asked.size) + 1 :]
    return f" There is more: --profile {larger[0]}." if larger else ""


def _cases(count: int) -> str:
    return f"{count} case{'' if count == 1 else 's'}"
