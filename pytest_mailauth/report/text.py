"""Findings as plain text that teaches: requirement, expected, actual, transcript, next step.

Whatever a client or a peer said is made printable here before anybody sees it. No colour and no terminal here.
"""

from __future__ import annotations

import itertools
import re
import textwrap
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model.terms import Verdict
from pytest_mailauth.model.transcript import encodable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_mailauth.judge.rules import Rule
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

_STEPS: Final[dict[Verdict, str]] = {
    Verdict.INCONCLUSIVE: "See in the transcript how far the client came: it has to come further to be judged.",
    Verdict.ERROR: "This package contradicts itself here. Please report it, with the transcript.",
}
"""What to do where the rule's own advice does not help."""


def meaning(verdict: Verdict) -> str:
    """Return what *verdict* means in a few words."""
    return _WORDS[verdict]


def next_step(rule: Rule, verdict: Verdict) -> str:
    """Return what to do about a finding of this verdict."""
    if rule.name == "control":
        return rule.advice
    return _STEPS.get(verdict, rule.advice)


def cite(sources: Iterable[str]) -> str:
    """Return the sources that can be looked up (RFCs, CVEs), without the paragraphs of the source document."""
    return ", ".join(source for source in sources if not _PARAGRAPH.fullmatch(source))


def one_line(text: str) -> str:
    """Return *text* on one line, with control characters made visible."""
    joined = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in joined)


def sentence(text: str) -> str:
    """Return *text* as a sentence: it begins with a capital and ends with a full stop."""
    clean = one_line(text)
    return clean[:1].upper() + clean[1:] + ("" if clean.endswith((".", "!", "?")) else ".")


def explain_failure(rule_name: str, finding: Finding, transcript: str, diagnosis: Iterable[str] = ()) -> str:
    """Return the text of a failed assertion: what was required and expected, what happened, and what to do.

    Args:
        rule_name: The name of a registered rule.
        finding: What the rule found.
        transcript: What was said on the wire, secrets already hidden.
        diagnosis: What went wrong in plain words, a paragraph each, secrets already hidden.

    Raises:
        KeyError: No rule has this name.
    """
    title = f"{rule_name}: {finding.verdict} ({meaning(finding.verdict)})"
    return encodable("\n".join([title, *explanation(rule_name, finding, transcript, diagnosis=diagnosis)]))


def explain_assertion(
    name: str,
    *,
    requirement: str = "",
    sources: Iterable[str] = (),
    expected: str,
    actual: str,
    details: Mapping[str, Sequence[str]] | None = None,
    transcript: str | None = None,
    step: str,
    diagnosis: Iterable[str] = (),
) -> str:
    """Return the text of a failed assertion that no rule stands behind, in the form of :func:`explain_failure`.

    Args:
        name: The name of the assertion.
        requirement: What the standards ask for; empty where they ask for nothing.
        sources: Where they do.
        expected: What the test asked for.
        actual: What happened instead.
        details: Lines that show more, behind labels of their own; labels without lines are left out.
        transcript: What was said on the wire, secrets already hidden; None to leave it out.
        step: What to do about it.
        diagnosis: What went wrong in plain words, a paragraph each, secrets already hidden.
    """
    told = {"Requirement": _with_sources(requirement, sources), "Expected": expected, "Actual": sentence(actual)}
    text = [f"{name}: not so", *(labelled(label, said) for label, said in told.items() if said)]
    for label, lines in (details or {}).items():
        if lines:
            text += [f"  {label}:", *(f"    {line}" for line in lines)]
    if transcript is not None:
        text += ["  Transcript:", *shown(transcript)]
    return encodable("\n".join([*text, labelled("Next step", step), *diagnosed(diagnosis)]))


def diagnosed(paragraphs: Iterable[str], width: int = WIDTH) -> list[str]:
    """Return the diagnosis that ends a failure, wrapped; nothing when there is none."""
    labels = itertools.chain(["Diagnosis"], itertools.repeat("Also"))
    return [labelled(label, paragraph, width) for label, paragraph in zip(labels, paragraphs, strict=False)]


def _with_sources(requirement: str, sources: Iterable[str]) -> str:
    cited = cite(sources)
    return f"{requirement} ({cited})" if cited else requirement


def explanation(
    rule_name: str,
    finding: Finding,
    transcript: str | None,
    *,
    facts: Mapping[str, str] | None = None,
    width: int = WIDTH,
    lines: int | None = TRANSCRIPT_LINES,
    diagnosis: Iterable[str] = (),
) -> list[str]:
    """Return the lines below the title of a finding.

    Args:
        rule_name: The name of a registered rule.
        finding: What the rule found.
        transcript: What was said on the wire, secrets already hidden; None to leave it out.
        facts: More to say behind labels of their own.
        width: Columns to wrap sentences at; transcripts are never wrapped.
        lines: How many lines of the transcript are shown; None for all.
        diagnosis: What went wrong in plain words, a paragraph each, secrets already hidden; not for what is allowed.
    """
    rule = RULES[rule_name]
    told = {
        "Requirement": _with_sources(rule.requirement, rule.sources),
        "Expected": rule.expected,
        "Actual": sentence(finding.evidence),
        **(facts or {}),
    }
    is_allowed = finding.verdict is Verdict.NOTE
    if is_allowed:
        del told["Expected"]
    text = [labelled(label, said, width) for label, said in told.items()]
    if transcript is not None:
        text += ["  Transcript:", *shown(transcript, lines)]
    if not is_allowed:
        text.append(labelled("Next step", next_step(rule, finding.verdict), width))
        text += diagnosed(diagnosis, width)
    return text


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


def shown(transcript: str, limit: int | None = TRANSCRIPT_LINES) -> list[str]:
    """Return the lines of a transcript, indented; at most *limit* of them, or all for None."""
    lines = transcript.splitlines() or ["(no connection)"]
    if limit is not None and len(lines) > limit:
        half = limit // 2
        left_out = f"... ({len(lines) - 2 * half} lines left out)"
        lines = [*lines[:half], left_out, *lines[-half:]]
    return [f"    {line}".rstrip() for line in lines]
