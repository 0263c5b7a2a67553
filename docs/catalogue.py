"""What of the catalogue is in the product, and what is not, with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from registries import anchor, links, page, table

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios import SCENARIOS
from pytest_mailauth.report.reference import CLASSES

CATALOGUE: Final = Path(__file__).resolve().parent / "catalogue.tsv"
"""The rules and scenarios that were found in standards, in published attacks and in the source document."""

REASONS: Final[dict[str, str]] = {
    "alpn-mismatch": "no TLS library at hand lets a server answer with a protocol that it was not offered, and "
    "a client on OpenSSL refuses that before anybody else could; it would need a TLS library of our own at both ends",
    "client-cert-unasked": "a handshake has no place for a certificate that nobody asked for; it would need a client "
    "with a TLS library of its own",
    "renegotiation-mid-session": "Python's ssl module lets no server ask for a renegotiation; it would need a third "
    "TLS engine that does, such as one on pyOpenSSL",
    "cert-revoked": "Python's ssl module lets no server staple an OCSP response; it would need a third TLS engine that "
    "does, such as one on pyOpenSSL, and a declaration of clients that check for revocation",
    "compress-bomb": "the IMAP server has no COMPRESS=DEFLATE (RFC 4978); it would need a layer of compression between "
    "the server and TLS",
}
"""Why a rule or a scenario of the catalogue is not in the product, and what it would need."""


class Entry(NamedTuple):
    """A row of the catalogue: a ``"rule"`` or a ``"scenario"``, the class of a scenario, name and severity."""

    kind: str
    family: str
    name: str
    severity: str


def catalogue() -> list[Entry]:
    """Return every row of the catalogue."""
    lines = CATALOGUE.read_text(encoding="utf-8").splitlines()[1:]
    return [Entry(*line.split("\t")) for line in lines]


def here(entry: Entry) -> list[str]:
    """Return what there is of a row in the product: the rule, or the scenario and its variants."""
    if entry.kind == "rule":
        return [entry.name] if entry.name in RULES else []
    return [name for name, row in SCENARIOS.items() if entry.name in (name, row.variant_of)]


def beyond() -> list[str]:
    """Return the scenarios of the product that are none of the catalogue, and no variants of one."""
    named = {entry.name for entry in catalogue()}
    return [name for name, row in SCENARIOS.items() if not {name, row.variant_of} & named]


def coverage_page() -> str:
    """Return the page that says what of the catalogue is in the product."""
    entries = catalogue()
    scenarios = [entry for entry in entries if entry.kind == "scenario"]
    rules = [entry for entry in entries if entry.kind == "rule"]
    families = sorted({entry.family for entry in scenarios})
    counts = [
        (f"{family}: {CLASSES[family]}", *_count([entry for entry in scenarios if entry.family == family]))
        for family in families
    ]
    parts = []
    for family in families:
        rows = [_row(entry) for entry in scenarios if entry.family == family]
        parts += [f"## Class {family}: {CLASSES[family]}", table(("Catalogue", "Severity", "Here"), rows)]
    return page(
        "Coverage",
        "docs/catalogue.py, docs/catalogue.tsv",
        "The catalogue holds the rules for mail clients and the scenarios that test them, as they were found in "
        "standards, in published attacks and in the [source document](source-document.md). This page says which of "
        "them are asked here, and why the others are not.",
        table(("Class", "In the catalogue", "Here", "Missing"), [*counts, ("all", *_count(scenarios))]),
        "## Rules",
        table(("Catalogue", "Severity", "Here"), [_row(entry) for entry in rules]),
        *parts,
        "## Beyond the catalogue",
        f"Scenarios that are only here: {links('scenarios.md', beyond())}.",
    )


def _count(entries: list[Entry]) -> tuple[str, str, str]:
    there = sum(1 for entry in entries if here(entry))
    return str(len(entries)), str(there), str(len(entries) - there)


def _row(entry: Entry) -> tuple[str, str, str]:
    found = here(entry)
    where = "rules.md" if entry.kind == "rule" else "scenarios.md"
    there = links(where, found) if found else f"no: {REASONS[entry.name]}"
    return anchor(entry.name), entry.severity, there
