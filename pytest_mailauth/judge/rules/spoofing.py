"""What a client shows its user of a server's words, when nobody knows yet whose words they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model.reports import REPORTS, texts
from pytest_mailauth.model.terms import Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.trial import Trial

_MARKED: Final = re.compile(
    r"\b(?:unverified|untrusted|suspicious|unencrypted|unprotected|insecure|forged|"
    r"(?:not|never|cannot be|can't be) (?:verified|trusted|encrypted|protected|secured?))\b",
    re.IGNORECASE,
)
"""What a line says that shows a text and tells what it is worth (RFC 9051 section 7.1)."""


@rule(
    "untrusted-text-not-shown",
    requirement="Text that a server sends before TLS is not shown to the user, or is marked as suspicious; its control "
    "characters have no effect.",
    expected="The client tells in words of its own what happened.",
    sources=("RFC 9051 section 7.1", "RFC 9051 section 11.3"),
    severity="medium",
    advice="Show words of your own for what fails before TLS. Replace control characters wherever server text goes.",
)
def untrusted_text_not_shown(trial: Trial) -> Finding:
    """Look for the server's text in what the client shows.

    An exception that holds it is data for whoever calls a library; only what was shown counts. A marker with control
    characters stands for them alone: words may be shown where they have no effect.
    """
    marker = trial.marker
    if marker and not any(marker.encode() in session.clear_out for session in trial.sessions):
        inside = _said_inside(trial)
        if inside is not None:
            return inside
    if not marker or not any(marker.encode() in session.clear_out for session in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, "the client left before the server said what nobody should be shown")
    if "shown" not in trial.outcome.facts:
        return Finding(Verdict.NOT_APPLICABLE, f"nothing is known of {REPORTS['shown']}")
    lines = [line for text in texts(trial.outcome.facts["shown"]) for line in text.split("\n") if marker in line]
    if not marker.isprintable():
        if lines:
            return Finding(Verdict.VIOLATION, f"the client shows control characters of the server: {marker!r}")
        return Finding(Verdict.PASS, "the server sent control characters before TLS, and the client shows none of them")
    unmarked = [line for line in lines if not _MARKED.search(line)]
    if unmarked:
        return Finding(
            Verdict.VIOLATION, f"before TLS anybody may speak, and the client shows it as it came: {unmarked[0]!r}"
        )
    if lines:
        return Finding(Verdict.NOTE, f"the client shows what came before TLS, and says what it is worth: {lines[0]!r}")
    return Finding(Verdict.PASS, "the server sent text before TLS, and the client does not show it")


def _said_inside(trial: Trial) -> Finding | None:
    """Judge what came inside TLS alone, where an ALERT has to be shown (RFC 9051 section 7.1); None for nothing."""
    if not any(trial.marker.encode() in session.tls_out for session in trial.sessions):
        return None
    shown = list(texts(trial.outcome.facts.get("shown")))
    if any(trial.marker in text for text in shown):
        return Finding(Verdict.PASS, "an ALERT came inside TLS, and the client shows it")
    return Finding(Verdict.NOTE, "an ALERT came inside TLS, where it has to be shown, and the client does not show it")
