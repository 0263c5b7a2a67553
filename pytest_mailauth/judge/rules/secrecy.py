"""Rules about what a client tells people and logs: secrets have no place in it, whoever put them there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.wording import own_words
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import CANARY, find
from pytest_mailauth.model.deviations import Answer
from pytest_mailauth.model.terms import Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial


@rule(
    "secrets-not-logged",
    requirement="What a client prints, reports or logs holds no password and no token, in whatever encoding.",
    expected="The client reports that the login was refused, without the words in which its own secret stands.",
    sources=("CWE-532", "CWE-209"),
    severity="medium",
    advice="Take the secret, and the lines that carried it, out of a server's text before it is shown or logged.",
)
def secrets_not_logged(trial: Trial) -> Finding:
    """Look at what was found in the client's words before they were hidden, when a server repeats what it was told.

    The server's own words are data that a client passes on, or a crash does: a secret in them is a note.
    """
    if not trial.sessions:
        return Finding(Verdict.INCONCLUSIVE, "the client never connected")
    outcome = trial.outcome
    if outcome.disclosed:
        return Finding(Verdict.VIOLATION, f"what the client {' and '.join(outcome.disclosed)} held its own secret")
    secrets = [secret for secret in trial.account.secrets.values() if len(secret) >= CANARY]
    misplaced = next((said for session in trial.sessions if (said := _misplaced(session, secrets))), None)
    if misplaced is not None:
        return Finding(Verdict.VIOLATION, misplaced)
    heard = [session.clear_out + session.tls_out for session in trial.sessions]
    if not any(find(secret, text) for secret in secrets for text in heard):
        if not any(isinstance(d, Answer) and b"{line}" in d.reply for d in trial.served.deviations):
            return _of_nobody_else(trial)
        return Finding(Verdict.NOT_APPLICABLE, "no login command of this client held a secret that could be repeated")
    repeated = "the server repeated the login command in its refusal"
    if outcome.passed_on:
        how = " and ".join(outcome.passed_on)
        return Finding(
            Verdict.NOTE, f"{repeated}, and the client {how} that with the secret in it: whoever logs it, logs that"
        )
    if not own_words(trial):
        return Finding(
            Verdict.NOT_APPLICABLE,
            f"{repeated}; the client said nothing: let it raise, print, or call case.report(error=...)",
        )
    return Finding(Verdict.PASS, f"{repeated}, and the client did not")


def _of_nobody_else(trial: Trial) -> Finding:
    """Judge a client to which nobody repeated anything, and in whose words nothing was found."""
    if any(session.auth for session in trial.sessions):
        return Finding(Verdict.PASS, "the client presented its secret, and what it said and logged did not hold it")
    if own_words(trial):
        return Finding(Verdict.PASS, "the client failed, and what it said and logged did not hold its secret")
    return Finding(Verdict.INCONCLUSIVE, "the client neither presented its secret nor said anything")


def _misplaced(session: SessionRecord, secrets: Sequence[str]) -> str | None:
    """Return what is said of a secret in the message, in a ClientHello or in EHLO; None when there is none."""
    content, is_message = b"", False
    for entry in session.entries:
        fact = entry.fact
        if isinstance(fact, e.Sent):
            is_message = fact.data.startswith(b"354")
        elif isinstance(fact, e.Received) and is_message:
            content += fact.data
    names = b"\n".join(c.argument for c in session.commands if c.verb in ("EHLO", "HELO"))
    hellos = b"\n".join(fact.hello.raw for fact in session.of(e.HelloSeen))
    for where, data in (("the message", content), ("the name in EHLO", names), ("the ClientHello", hellos)):
        if any(find(secret, data) for secret in secrets):
            return f"session {session.number}: {where} held the client's own secret"
    return None
