"""The matrix as it is published: which scenario flags which faulty client, in which protocols and modes."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clients import FAULTY

from pytest_mailauth.model.terms import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_mailauth.judge.verdict import Result
    from pytest_mailauth.model.terms import Protocol

FOLDER: Final = Path(__file__).resolve().parent.parent.parent / "docs"
HEAD: Final = "client\tscenario\tmodes"


def lines_of(rows: dict[str, list[Result]]) -> set[str]:
    """Return what there is to publish about one protocol: a line for each faulty client and scenario that flagged it.

    A client whose rule is advice is noted.
    """
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, results in rows.items():
        if name not in FAULTY:
            continue
        faulty = FAULTY[name]
        wanted = Verdict.NOTE if faulty.is_advice else Verdict.VIOLATION
        for row in results:
            if any(j.rule == faulty.rule and j.finding.verdict is wanted for j in row.judgements):
                found[name, row.setting.scenario.name].add(str(row.security))
    return {f"{name}\t{scenario}\t{' '.join(sorted(modes))}" for (name, scenario), modes in found.items()}


def _file(protocol: Protocol) -> Path:
    return FOLDER / f"calibration-{protocol}.tsv"


def published(protocol: Protocol) -> set[str]:
    """Return the lines about one protocol that stand in its file."""
    return set(_file(protocol).read_text(encoding="utf-8").splitlines()[1:])


def write(protocol: Protocol, lines: Iterable[str]) -> None:
    """Replace what is said about one protocol."""
    _file(protocol).write_text("\n".join([HEAD, *sorted(lines)]) + "\n", encoding="utf-8")
