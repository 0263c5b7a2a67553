"""Nothing of the catalogue is missing without a reason, and no public test file without its case."""

from __future__ import annotations

import nostarttls
from catalogue import REASONS, catalogue, here

from pytest_mailauth.judge.scenarios import SCENARIOS, Setting

ENTRIES = catalogue()


def test_the_catalogue_is_whole():
    assert len({(entry.kind, entry.name) for entry in ENTRIES}) == len(ENTRIES)
    assert [sum(entry.kind == kind for entry in ENTRIES) for kind in ("rule", "scenario")] == [67, 313]


def test_what_is_missing_has_a_reason_and_what_is_here_has_none():
    missing = {entry.name for entry in ENTRIES if not here(entry)}
    assert missing == set(REASONS)
    assert all(REASONS.values())


def test_a_variant_is_one_of_the_catalogue():
    named = {entry.name for entry in ENTRIES if entry.kind == "scenario"}
    assert {row.variant_of for row in SCENARIOS.values()} - {""} <= named


def test_a_scenario_is_of_the_class_that_the_catalogue_gives_it():
    family = {entry.name: entry.family for entry in ENTRIES if entry.kind == "scenario"}
    # A variant may be about another thing than the row that it was found in.
    assert {name: row.family for name, row in SCENARIOS.items() if row.family != family.get(name, row.family)} == {}


def test_every_public_file_has_a_case_that_exists():
    files = nostarttls.files()
    assert len(files) == 188
    assert nostarttls.unknown() == []
    ids = {
        Setting(row, protocol, mode).id
        for row in SCENARIOS.values()
        for protocol in row.protocols
        for mode in row.modes
    }
    for file, scenarios in files.items():
        found = [case for scenario in scenarios for case in nostarttls.cases(file, scenario)]
        assert set(found) <= ids
        # One that is about what is not here is so for a reason.
        assert found or set(scenarios) <= set(REASONS)
        assert scenarios or file in nostarttls.OUT_OF_SCOPE
