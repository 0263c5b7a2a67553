"""Write what the documentation takes from the code: pages of the registries, and tables and outputs in other pages.

``python docs/generate.py`` writes. With ``--check`` it compares, prints the difference and ends with status 1 if
there is one.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from catalogue import coverage_page
from distributions import distributions
from nostarttls import no_starttls_page
from registries import (
    calibration_page,
    causes,
    certificates,
    citations,
    provider_profiles,
    rules_page,
    scenarios_page,
    settings,
)
from selections import decisions, documented, laws

from pytest_mailauth.model.config import AuthPolicy, ServerConfig, TLSPolicy
from pytest_mailauth.model.relay import RelayPolicy
from pytest_mailauth.model.trial import Declaration

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).resolve().parent.parent
PUBLIC: Final = ("cert-self-signed", "cert-unknown-ca", "cert-wrong-host", "cert-expired", "starttls-offered-454")
"""What Python's own documentation says of these clients."""
FIRST_COMMAND: Final = ("check", "smtplib", "poplib", "imaplib")
"""The first command of the README."""
SHOWN_COMMAND: Final = ("check", "smtplib", "imaplib", *(part for name in PUBLIC for part in ("--scenario", name)))
"""The command whose output stands there: a part of the first one."""
COLUMNS: Final = 100
"""The width of that output."""


def output(*arguments: str) -> str:
    """Return what ``mailauth`` prints on standard output, as a block of text."""
    program = "from pytest_mailauth.cli import main; main(prog_name='mailauth')"
    loud = {"FORCE_COLOR", "TTY_COMPATIBLE", "PYTHONWARNINGS"}
    environment = {name: value for name, value in os.environ.items() if name not in loud}
    done = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        env=environment | {"COLUMNS": str(COLUMNS), "PYTHONUTF8": "1"},
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    return f"```text\n{done.stdout.rstrip()}\n```"


PAGES: Final[dict[str, Callable[[], str]]] = {
    "docs/rules.md": rules_page,
    "docs/scenarios.md": scenarios_page,
    "docs/calibration.md": calibration_page,
    "docs/coverage.md": coverage_page,
    "docs/no-starttls.md": no_starttls_page,
}
"""Pages that are written as a whole."""

BLOCKS: Final[dict[str, dict[str, Callable[[], str]]]] = {
    "README.md": {"first command": lambda: output(*SHOWN_COMMAND)},
    "docs/fixtures.md": {
        "server": lambda: settings(ServerConfig),
        "tls": lambda: settings(TLSPolicy),
        "auth": lambda: settings(AuthPolicy),
        "declaration": lambda: settings(Declaration),
        "certificates": certificates,
    },
    "docs/relay.md": {"relay": lambda: settings(RelayPolicy)},
    "docs/providers.md": {"profiles": provider_profiles},
    "docs/command.md": {"help": lambda: output("check", "--help")},
    "docs/diagnosis.md": {"causes": causes},
    "docs/selection.md": {"laws": laws, "table": decisions, "documented": documented},
    "docs/property-testing.md": {"distributions": distributions},
    "docs/source-document.md": {"citations": citations},
}
"""Blocks between ``<!-- generated: NAME -->`` and ``<!-- end: NAME -->`` in pages written by hand."""

_VOLATILE: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"\d+\.\d+ s\b"), "N s"),
    (re.compile(r"^(E?\s*C: EHLO) .*", re.MULTILINE), r"\1 NAME"),
    (re.compile(r"\[ClientHello: .*\]"), "[ClientHello]"),
    (re.compile(r"======== TLS .*"), "======== TLS"),
    (re.compile(r"\[Errno \d+\]"), "[Errno N]"),
    (re.compile(r"^(E?\s*(?:C: )?)(MAIL|RCPT) \w+:", re.MULTILINE | re.IGNORECASE), r"\1\2:"),
)
"""What differs from host to host and from Python to Python: times, names, TLS parameters, upper and lower case."""


def settled(text: str) -> str:
    """Return *text* without what may differ between two runs."""
    for pattern, steady in _VOLATILE:
        text = pattern.sub(steady, text)
    return text


def expected(name: str) -> str:
    """Return what the file *name* should hold."""
    if name in PAGES:
        return PAGES[name]()
    text = (ROOT / name).read_text(encoding="utf-8")
    for block, make in BLOCKS[name].items():
        begin, end = f"<!-- generated: {block} -->\n", f"<!-- end: {block} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"{name} has no block {block!r}")
        text = before + begin + make() + "\n" + end + after
    return text


def difference(name: str, wanted: str) -> list[str]:
    """Return the lines of a diff between what the file *name* holds and what it should hold."""
    path = ROOT / name
    held = settled(path.read_text(encoding="utf-8") if path.exists() else "")
    return list(
        difflib.unified_diff(held.splitlines(), settled(wanted).splitlines(), name, f"{name}, generated", lineterm="")
    )


def main() -> int:
    """Write, or compare, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    stale = False
    for name in (*PAGES, *BLOCKS):
        wanted = expected(name)
        lines = difference(name, wanted)
        stale = stale or bool(lines)
        if check:
            sys.stdout.writelines(f"{line}\n" for line in lines)
        elif lines:  # what differs in times and names alone is left as it is
            (ROOT / name).write_text(wanted, encoding="utf-8")
            sys.stdout.write(f"wrote {name}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
