"""The documents agree with the code and with each other."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import generate
import pytest
from documents import DOCUMENTS, ROOT, anchors, appears, links
from registries import PARAGRAPHS, RULES, SCENARIOS

import pytest_mailauth
from pytest_mailauth.cli import main
from pytest_mailauth.judge.clients.command import PLACEHOLDERS
from pytest_mailauth.model.terms import PortState, Verdict
from pytest_mailauth.plugin import MARKER
from pytest_mailauth.report.digest import Status

PACKAGE = Path(pytest_mailauth.__file__).parent
WITH_EXAMPLES = sorted(
    ".".join(("pytest_mailauth", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
FIXTURES = re.compile(r"^(mailauth\w*)(?: \[[\w ]+\])? -- .*plugin\.py:\d+\n    (.*)", re.MULTILINE)
MUST_NAME = {
    "docs/fixtures.md": [*pytest_mailauth.__all__, *PortState, *re.findall(r"(\w+)=", MARKER)],
    "docs/verdicts.md": [*Verdict, *(f"{status:d}" for status in Status)],
    "docs/command.md": [
        *(f"mailauth {name}" for name in main.commands),
        *(f"{{{name}}}" for name in PLACEHOLDERS),
        *(f"{status:d}" for status in Status),
    ],
}
"""What a page has to say something about."""


@pytest.mark.parametrize("name", [*generate.PAGES, *generate.BLOCKS])
def test_what_is_generated_is_current(name):
    found = generate.difference(name, generate.expected(name))
    assert not found, "\n".join([*found, "to mend this: python docs/generate.py"])


def test_a_stale_page_is_found(monkeypatch, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/rules.md").write_text(generate.expected("docs/rules.md").replace("critical", "harmless"))
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert "-- Severity: harmless" in generate.difference("docs/rules.md", generate.expected("docs/rules.md"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    for target in links(path):
        if target.startswith("https://"):
            continue
        name, _, place = target.partition("#")
        document = (path.parent / name).resolve() if name else path
        assert document.exists(), target
        if place:
            assert place in anchors(document), target


def test_every_document_can_be_reached_from_the_readme():
    reached, open_ends = set(), [ROOT / "README.md"]
    while open_ends:
        path = open_ends.pop()
        if path not in reached and path in DOCUMENTS:
            reached.add(path)
            open_ends += [(path.parent / target.partition("#")[0]).resolve() for target in links(path)]
    assert reached == set(DOCUMENTS)


@pytest.mark.parametrize("name", MUST_NAME)
def test_a_reference_leaves_nothing_out(name):
    code = "\n".join(re.findall(r"`([^`\n]+)`", (ROOT / name).read_text(encoding="utf-8")))
    assert [str(one) for one in MUST_NAME[name] if not re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", code)] == []


def test_every_fixture_is_documented(pytester):
    listed = dict(FIXTURES.findall(pytester.runpytest("--fixtures", "-p", "no:asyncio").stdout.str()))
    assert set(listed) == set(re.findall(r"`(mailauth(?:_\w+)?)`", (ROOT / "docs/fixtures.md").read_text())) - {
        "mailauth_"
    }
    assert all(text.endswith(".") or len(text) > 20 for text in listed.values())


def test_every_paragraph_of_the_source_document_is_told():
    assert anchors(ROOT / "docs/source-document.md") >= {name.lower() for name in PARAGRAPHS}
    cited = {source for row in (*RULES.values(), *SCENARIOS.values()) for source in row.sources}
    assert {source for source in cited if re.fullmatch(r"S\d+", source)} <= set(PARAGRAPHS)


def test_the_readme_has_two_commands_that_do_everything():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert f"python -m pip install . && mailauth {' '.join(generate.FIRST_COMMAND)}" in lines
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] in lines


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_docstrings(name):
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert not failed


def test_what_is_shown_is_looked_for_in_order():
    assert appears("one\n...\nthree\nfour\n", "zero\none\ntwo\nthree\nfour\n")
    assert not appears("three\n...\none\n", "one\ntwo\nthree\n")
    assert not appears("one\nthree\n", "one\ntwo\nthree\n")
