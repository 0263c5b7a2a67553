"""The documents as data: their examples, links and anchors. Nothing here runs anything.

An example is a fenced block of ``python``, ``console`` or ``bash``. A comment in front of it says what a reader need
not see: ``<!-- example: fails -->``, ``status 1``, ``needs curl`` (else it is not run; ``namespace`` for one), ``with --scenario NAME``
(arguments added to a command that would take long), several of them separated by semicolons. A block of ``text``
behind ``<!-- example: shown -->`` is part of what the example above it prints; ``...`` stands for lines left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
DOCUMENTS = [ROOT / name for name in WRITTEN] + sorted((ROOT / "docs").rglob("*.md"))

_FENCED = re.compile(
    r"(?:^<!-- example: (?P<options>[^\n]*) -->\n)?^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
_FILE_NAME = re.compile(r"# (\w+\.py)\n")
_TEST = re.compile(r"^(?:async )?def test_|^    def test_", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_NAMED = re.compile(r'<a id="([^"]+)"></a>')


@dataclass(frozen=True)
class Example:
    """A block that can be run.

    Attributes:
        page: The document.
        line: The line of the document on which the block begins.
        kind: The language of the block.
        body: The block.
        options: What the comment in front of it says.
        files: The files that the page has shown so far, by name.
        shown: Blocks that show what it prints.
    """

    page: Path
    line: int
    kind: str
    body: str
    options: dict[str, str]
    files: dict[str, str]
    shown: list[str] = field(default_factory=list)

    @property
    def id(self):
        return f"{self.page.name}:{self.line}"

    @property
    def is_test(self):
        return self.kind == "python" and _TEST.search(self.body) is not None

    @property
    def file_name(self):
        named = _FILE_NAME.match(self.body) if self.kind == "python" else None
        return named[1] if named else None

    @property
    def commands(self):
        """The commands of a shell block, each with the lines that the block shows of its output."""
        joined = self.body.replace("\\\n", " ")
        if self.kind == "bash":
            return [(line, "") for line in joined.splitlines() if line]
        parts = re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]
        return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


def examples():
    """Return the examples of every document, in order."""
    return [example for path in DOCUMENTS for example in _examples_of(path)]


def _examples_of(path):
    text = path.read_text(encoding="utf-8")
    found, files = [], {}
    for block in _FENCED.finditer(text):
        options = {
            name: value for name, _, value in (one.partition(" ") for one in (block["options"] or "").split("; "))
        }
        if block["kind"] == "text":
            if "shown" in options:
                found[-1].shown.append(block["body"])
            continue
        line = text.count("\n", 0, block.start("body"))
        example = Example(path, line, block["kind"], block["body"], options, dict(files))
        if example.file_name:
            files[example.file_name] = example.body
        if example.kind in ("console", "bash", "python"):
            found.append(example)
    return found


def _without_code(text):
    return re.sub(r"`[^`\n]*`", "", _FENCED.sub("", text))


def links(path):
    """Return where the document leads to."""
    return _LINK.findall(_without_code(path.read_text(encoding="utf-8")))


def anchors(path):
    """Return the places of a document that can be led to: its headings, as GitHub names them, and named places."""
    text = path.read_text(encoding="utf-8")
    headings = _HEADING.findall(_FENCED.sub("", text))
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return {*slugs, *_NAMED.findall(text)}


def appears(shown, printed):
    """Return whether the lines *shown* stand in *printed*, in order; ``...`` stands for any lines."""
    lines = [line.rstrip() for line in printed.splitlines()]
    at = 0
    for piece in re.split(r"^\s*\.\.\.\n", shown, flags=re.MULTILINE):
        wanted = [line.rstrip() for line in piece.splitlines()]
        starts = range(at, len(lines) - len(wanted) + 1)
        at = next((start + len(wanted) for start in starts if lines[start : start + len(wanted)] == wanted), -1)
        if at < 0:
            return False
    return True
