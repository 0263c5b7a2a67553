"""Findings as plain text that teaches: requirement, expected, actual, transcript, next step.

Whatever a client or a peer said is made printable here before anybody sees it. No colour and no terminal here.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model.terms import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_mailauth.model.trial import Finding

WIDTH: Final = 100
"""Columns of a failure text when nobody says otherwise."""
TRANSCRIPT_LINES: Final = 60
"""Lines of a transcript that are shown; of a longer one the middle is left out, and that is said."""

_PARAGRAPH: Final = re.compile(r"S\d+")
_LABEL_WIDTH: Final = 13

_WORDS: Final[dict[Verdict, str]] = {
    Verdict.PASS: "the client obeyed",
    Verdict.VIOLATION: "the client broke this rule",
    Verdict.NOTE: "allowed, and worth knowing",
    Verdict.INCONCLUSIVE: "nothing could be concluded",
    Verdict.NOT_APPLICABLE: "this rule does not speak to this client",
    Verdict.ERROR: "this could not be judged",
}
"""What each verdict means, for people who meet it for the first time."""


def meaning(verdict: Verdict) -> str:
    """Return what *verdict* means in a few words."""
    return _WORDS[verdict]


def cite(sources: Iterable[str]) -> str:
    """Return the sources that a reader can look up: RFCs and CVEs.

    Paragraphs of the source document (``S9``) are named only where there is nothing else.
    """
    everything = tuple(sources)
    public = [source for source in everything if not _PARAGRAPH.fullmatch(source)]
    return ", ".join(public) if public else f"source document {', '.join(everything)}"


def one_line(text: str, limit: int | None = None) -> str:
    """Return *text* on one line without control characters, cut to *limit* characters if it is longer."""
    joined = " ".join(text.split())
    clean = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in joined)
    return clean if limit is None or len(clean) <= limit else clean[: limit - 1].rstrip() + "…"


def sentence(text: str) -> str:
    """Return *text* as a sentence: it begins with a capital and ends with a full stop."""
    clean = one_line(text)
    return clean[:1].upper() + clean[1:] + ("" if clean.endswith((".", "!", "?")) else ".")


def explain_failure(rule_name: str, finding: Finding, transcript: str, *, width: int = WIDTH) -> str:
    """Return the text of a failed assertion: what was required and expected, what happened, and what to do.

    Args:
        rule_name: The name of a registered rule.
        finding: What the rule found.
        transcript: What was said on the wire, secrets already hidden.
        width: Columns to wrap the sentences at; the transcript is never wrapped.

    Raises:
        KeyError: No rule has this name.
    """
    rule = RULES[rule_name]
    return "\n".join(
        (
            f"{rule_name}: {finding.verdict} ({meaning(finding.verdict)})",
            labelled("Requirement", f"{rule.requirement} ({cite(rule.sources)})", width),
            labelled("Expected", rule.expected, width),
            labelled("Actual", sentence(finding.evidence), width),
            "  Transcript:",
            *shown(transcript),
            labelled("Next step", rule.advice, width),
        )
    )


def labelled(label: str, text: str, width: int = WIDTH) -> str:
    """Return *text* wrapped behind a label, its further lines aligned."""
    head = f"  {label}:".ljust(_LABEL_WIDTH + 2)
    return textwrap.fill(
        one_line(text),
        width=max(width, 40),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def shown(transcript: str, limit: int = TRANSCRIPT_LINES) -> list[str]:
    """Return the lines of a transcript, indented, at most *limit* of them."""
    lines = transcript.splitlines() or ["(no connection)"]
    if len(lines) > limit:
        half = limit // 2
        left_out = f"... ({len(lines) - 2 * half} lines left out)"
        lines = [*lines[:half], left_out, *lines[-half:]]
    return [f"    {line}".rstrip() for line in lines]
