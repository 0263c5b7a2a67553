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

FILE: Final = Path(__file__).resolve().parent.parent.parent / "docs" / "calibration.tsv"
HEAD: Final = "protocol\tclient\tscenario\tmodes"


def lines_of(protocol: Protocol, rows: dict[str, list[Result]]) -> list[str]:
    """Return what there is to publish about one protocol: a line for each faulty client and scenario that flagged it.

    A client whose rule is advice is noted.
    """
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, faulty in FAULTY.items():
        wanted = Verdict.NOTE if faulty.is_advice else Verdict.VIOLATION
        for row in rows.get(name, ()):
            if any(j.rule == faulty.rule and j.finding.verdict is wanted for j in row.judgements):
                found[name, row.setting.scenario.name].add(str(row.security))
    return [f"{protocol}\t{name}\t{scenario}\t{' '.join(sorted(modes))}" for (name, scenario), modes in found.items()]


def published(protocol: Protocol) -> list[str]:
    """Return the lines about one protocol that stand in the file."""
    return [line for line in FILE.read_text(encoding="utf-8").splitlines() if line.startswith(f"{protocol}\t")]


def write(protocol: Protocol, lines: Iterable[str]) -> None:
    """Replace what the file says about one protocol."""
    held = FILE.read_text(encoding="utf-8").splitlines()[1:] if FILE.exists() else []
    others = [line for line in held if not line.startswith(f"{protocol}\t")]
    FILE.write_text("\n".join([HEAD, *sorted([*others, *lines])]) + "\n", encoding="utf-8")
