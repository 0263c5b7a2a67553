"""Rules about the end of a connection: what was cut off is not complete, however well it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_mailauth.judge.rules.evidence import fired
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model import events as e
from pytest_mailauth.model.reports import REPORTS
from pytest_mailauth.model.terms import Protocol, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mailauth.model.trial import Trial


@rule(
    "orderly-close",
    requirement="A message or reply that was cut off is not taken for a complete one.",
    expected="The client reports an error; it hands out no part of the message, and deletes nothing.",
    sources=("RFC 8314 section 3.4", "RFC 8446 section 6.1", "RFC 5321 section 4.2"),
    severity="medium",
    advice="Take the end of a connection for the end of nothing: wait for the line end, the final dot, or every byte "
    "that was announced, and treat whatever comes before as an error.",
)
def orderly_close(trial: Trial) -> Finding:
    """Look at what the client reports of a transfer that was broken off, and at whether it deleted the message."""
    at = fired(trial, "broken off")
    if at is None:
        return Finding(Verdict.INCONCLUSIVE, "the client never did what would have been broken off")
    deleted = [
        f"session {session.number}: {entry.fact}"
        for session, entry in trial.entries()
        if isinstance(entry.fact, e.Command) and entry.at > at and entry.fact.verb == "DELE"
    ]
    if deleted:
        return Finding(Verdict.VIOLATION, f"the reply was cut off, and the client went on with {deleted[0]}")
    believed = _believed(trial)
    if believed is not None:
        return Finding(Verdict.VIOLATION, f"the reply was cut off, and the client reports {believed}")
    facts = trial.outcome.facts
    if any(name in facts for name in _told(trial)):
        return Finding(Verdict.PASS, "the reply was cut off, and the client reports nothing as complete")
    if trial.outcome.error:
        return Finding(Verdict.PASS, f"the reply was cut off, and the client says so: {trial.outcome.error}")
    hint = REPORTS[_told(trial)[0]]
    return Finding(Verdict.NOT_APPLICABLE, f"the reply was cut off, and the client says nothing; it may report {hint}")


def _told(trial: Trial) -> tuple[str, ...]:
    """Return the reports that would show it, the usual one first."""
    return ("sent", "messages") if trial.protocol is Protocol.SMTP else ("messages", "sent")


def _believed(trial: Trial) -> str | None:
    """Return what the client takes for complete, or None."""
    facts = trial.outcome.facts
    sent = [str(one) for one in _items(facts.get("sent"))]
    if sent:
        return f"the message as sent to {', '.join(sent)}"
    texts = [str(one) for one in _items(facts.get("messages")) if trial.marker in str(one)]
    return f"a message that holds {trial.marker!r}, which only its beginning has" if texts else None


def _items(reported: Any) -> Iterator[Any]:
    if isinstance(reported, list | tuple | set):
        yield from reported
    elif reported:
        yield reported
