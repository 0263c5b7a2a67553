"""Rules about what a client tells people and logs: secrets have no place in it, whoever put them there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.judge.rules.evidence import CANARY, fired
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.wording import own_words
from pytest_mailauth.model.canary import find
from pytest_mailauth.model.terms import Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
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
    if fired(trial, "prompts") is not None and own_words(trial):
        return Finding(Verdict.PASS, "the password was asked for first, and what the client said does not hold it")
    secrets = [secret for secret in trial.account.secrets.values() if len(secret) >= CANARY]
    heard = [session.clear_out + session.tls_out for session in trial.sessions]
    if not any(find(secret, text) for secret in secrets for text in heard):
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
