"""The laws of selection, the decision table, and what documented defaults answer, as tables."""

from __future__ import annotations

from typing import Final

from documented_selectors import DOCUMENTED
from registries import anchor, cited, code, table

from pytest_mailauth.model.terms import Protocol
from pytest_mailauth.selection import COLUMNS, LAWS, MODES, TABLE

_NOTHING: Final = "any"
_IN_CODE: Final = ("implicit", "starttls", "none")


def laws() -> str:
    """Return every law, what a function has to look at and to say for it, and where it stands."""
    rows = []
    for name, law in LAWS.items():
        needs = [f"`asked.{part}`" for part in sorted(law.takes)]
        needs += [f"says `{part}`" for part in sorted(law.answers - {"mode"})]
        rows.append((anchor(name), law.statement, law.reason, ", ".join(needs) or "-", cited(", ".join(law.sources))))
    return table(("Law", "What it demands", "Why", "Needs", "Sources"), rows)


def decisions() -> str:
    """Return the decision table, a part for each thing that is decided."""
    parts = []
    for decided in dict.fromkeys(row.decides for row in TABLE):
        rows = [row for row in TABLE if row.decides == decided]
        columns = [column for column in COLUMNS if any(getattr(row, column) != _NOTHING for row in rows)]
        head = (*(column.capitalize() for column in columns), "Plan", "What the user is told", "Sources")
        lines = [
            (
                *(getattr(row, column) for column in columns),
                code(row.plan) if row.plan in _IN_CODE else str(row.plan),
                row.complaint or "-",
                cited(", ".join(row.sources)),
            )
            for row in rows
        ]
        parts.append(f"**The {decided}**\n\n{table(head, lines)}")
    ports = sorted(MODES.items(), key=lambda item: (list(Protocol).index(item[0][0]), item[1], item[0][1]))
    lines = [(str(protocol).upper(), str(port), code(mode)) for (protocol, port), mode in ports]
    standard = table(("Protocol", "Port", "Mode"), lines)
    return "\n\n".join([*parts, f"**The standard ports**\n\n{standard}"])


def documented() -> str:
    """Return what the documented defaults of mail libraries answer."""
    rows = [
        (f"[{row.name}]({row.source})", row.says, code(*(name for name in LAWS if name in row.breaks)))
        for row in DOCUMENTED
    ]
    return table(("What is called", "What its documentation says", "Laws that this breaks"), rows)
