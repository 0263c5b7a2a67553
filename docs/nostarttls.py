"""The public test files of the NO STARTTLS toolkit, each with the cases here that ask the same and give a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from catalogue import REASONS, catalogue
from registries import code, page, table

from pytest_mailauth.judge.scenarios import SCENARIOS, Setting
from pytest_mailauth.model.terms import Protocol, Security

FILES: Final = Path(__file__).resolve().parent / "no-starttls.tsv"
"""Each file of the toolkit with the scenarios that ask the same."""

OUT_OF_SCOPE: Final = {"testcases/imap/oracles.ron": "about S/MIME and PGP in messages, not about how clients connect"}
"""Files that no scenario answers to, with the reason."""

_IMPLICIT: Final = ("base-implicit-ok",)


def files() -> dict[str, tuple[str, ...]]:
    """Return the scenarios that ask what a file asks, by the file's name."""
    rows = (line.split("\t") for line in FILES.read_text(encoding="utf-8").splitlines()[1:])
    return {f"{name}.ron": tuple(found.split(", ")) if found != "-" else () for name, found in rows}


def cases(file: str, scenario: str) -> list[str]:
    """Return the cases of a scenario, or of its variants, that answer to a file; none for one that is not built."""
    protocol = next(Protocol(part) for part in file.split("/") if part in tuple(Protocol))
    named = [SCENARIOS[scenario]] if scenario in SCENARIOS else []
    rows = [row for row in named if protocol in row.protocols]
    rows = rows or [row for row in SCENARIOS.values() if row.variant_of == scenario]
    # The certificate tests of the toolkit are for both modes, and everything else in it is about STARTTLS.
    both = "Certificate" in file
    return [
        Setting(row, protocol, mode).id
        for row in rows
        for mode in row.modes
        if protocol in row.protocols
        and (both or mode is (Security.IMPLICIT if scenario in _IMPLICIT else Security.STARTTLS))
    ]


def no_starttls_page() -> str:
    """Return the page that says which case answers to which file."""
    found = files()
    return page(
        "The NO STARTTLS test files",
        "docs/nostarttls.py, docs/no-starttls.tsv",
        "The toolkit of the paper *Why TLS Is Better Without STARTTLS* (USENIX Security 2021) has "
        f"{len(found)} files that set up a hostile server, and leaves it to a person to read from the trace whether a "
        "client fell for it. Each of them has a case here that asks the same and gives a verdict. A file stands for "
        "one course of a session; a case for the decision that a client has to take there, so several files can share "
        "one.",
        table(("File", "Case here"), [(code(name), _answer(name, rows)) for name, rows in found.items()]),
    )


def _answer(file: str, scenarios: tuple[str, ...]) -> str:
    if not scenarios:
        return f"none: {OUT_OF_SCOPE[file]}"
    ids = [case for scenario in scenarios for case in cases(file, scenario)]
    missing = [name for name in scenarios if not cases(file, name)]
    reasons = [f"{code(name)}: {REASONS[name]}" for name in missing]
    return "; ".join([*([code(*ids)] if ids else []), *reasons])


def unknown() -> list[str]:
    """Return the names in the table that are neither scenarios nor rows of the catalogue."""
    known = {*SCENARIOS, *(entry.name for entry in catalogue())}
    return [name for scenarios in files().values() for name in scenarios if name not in known]
