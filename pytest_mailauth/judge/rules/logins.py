"""Rules about logging in at all: before mail is sent, not again and again, and refused for a reason that is told."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.judge.rules.evidence import connected, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.tries import tries
from pytest_mailauth.judge.rules.wording import (
    blames_credentials,
    names_delay,
    names_network,
    names_tls,
    names_wrong_login,
    own_words,
)
from pytest_mailauth.model import events as e
from pytest_mailauth.model.terms import Layer, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial


@rule(
    "authenticate-before-submission",
    requirement="A client that has credentials logs in before it submits a message, or does not submit it.",
    expected="The client sends no MAIL before the server has accepted its login, and reports that it cannot log in.",
    sources=("S3", "S8", "RFC 6409 section 4.3", "RFC 4954 section 6"),
    severity="medium",
    advice="Treat a server without AUTH as an error where credentials are configured, and log in before MAIL.",
)
def authenticate_before_submission(trial: Trial) -> Finding:
    """Look for MAIL on a connection on which no login had been accepted. What happens in clear is another rule's."""
    if trial.protocol is not Protocol.SMTP:
        return Finding(Verdict.NOT_APPLICABLE, "messages are submitted over SMTP only")
    if trial.declared.auth == "none":
        return Finding(Verdict.NOT_APPLICABLE, "the client was declared to have no credentials")
    if not connected(trial):
        return Finding(Verdict.INCONCLUSIVE, "the client never connected")
    # Where TLS is required, a client in clear is in no place to log in: what it does there is another rule's.
    layers = (Layer.TLS,) if trial.requires_tls else tuple(Layer)
    early = [mail for session in trial.sessions if (mail := _mail_without_login(session, layers)) is not None]
    if early:
        return Finding(Verdict.VIOLATION, f"nobody had logged in, and the client went on with {spoken(early)}")
    if any(_logs_in_again(session) for session in trial.sessions):
        # The server has to refuse it (RFC 4954 section 4), and nothing is lost by that.
        return Finding(Verdict.NOTE, "the client logged in once more when it had been let in")
    layer = Layer.CLEAR if trial.security is Security.NONE else Layer.TLS
    if any("MAIL" in session.verbs(layer) for session in trial.sessions):
        return Finding(Verdict.PASS, "the client logged in before MAIL")
    if not any("EHLO" in session.verbs(layer) for session in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, "the client left before it could see whether it can log in")
    return Finding(Verdict.PASS, "the client could not log in, and sent no MAIL")


def _logs_in_again(session: SessionRecord) -> bool:
    """Return whether AUTH came after an accepted login."""
    let_in = False
    for entry in session.entries:
        if let_in and isinstance(entry.fact, e.Command) and entry.fact.verb == "AUTH":
            return True
        let_in = let_in or (isinstance(entry.fact, e.Authentication) and entry.fact.accepted)
    return False


def _mail_without_login(session: SessionRecord, layers: tuple[Layer, ...]) -> e.Command | None:
    """Return the first MAIL of a session if no login had been accepted by then, or None."""
    for entry in session.entries:
        if isinstance(entry.fact, e.Authentication) and entry.fact.accepted:
            return None
        if isinstance(entry.fact, e.Command) and entry.fact.verb == "MAIL" and entry.layer in layers:
            return entry.fact
    return None


class _Reason(NamedTuple):
    """Why a server refused a login: how its reply begins, what that means, and what a client says that understood."""

    reply: re.Pattern[str]
    meaning: str
    is_named: Callable[[str], bool]


_REASONS: Final = (
    _Reason(re.compile(r"454|-ERR \[SYS/TEMP\]|NO \[UNAVAILABLE\]"), "the server could not tell now", names_delay),
    _Reason(re.compile(r"538|530 5\.7\.0 Must|NO \[PRIVACYREQUIRED\]"), "the server wanted TLS first", names_tls),
    _Reason(re.compile(r"5|-ERR|NO|BAD"), "the server refused the login", names_wrong_login),
)
"""RFC 4954 section 6, RFC 3207 section 4, RFC 3206 sections 4 and 5, RFC 5530 section 3. The first that fits counts."""


@rule(
    "auth-failure-is-not-network-failure",
    requirement="A refused login, one that cannot be checked now, missing TLS and a broken network are told apart.",
    expected="The client reports what the server's reply means: wrong credentials, try again later, or TLS needed.",
    sources=("S1", "RFC 4954 section 6", "RFC 5530 section 3", "RFC 3206 section 4", "RFC 3206 section 5"),
    severity="medium",
    advice="Read the reply's code before wording the error, and ask for a new password only when it was refused.",
)
def auth_failure_is_not_network_failure(trial: Trial) -> Finding:
    """Compare what the client says about its failure with what the server's last refusal meant."""
    refused = [one for one in tries(trial) if one.is_refused]
    if not refused:
        return Finding(Verdict.INCONCLUSIVE, "no login was refused")
    reason = next((one for one in _REASONS if one.reply.match(refused[-1].reply)), _REASONS[-1])
    said = own_words(trial)
    if not said:
        return Finding(
            Verdict.NOT_APPLICABLE,
            f"{reason.meaning}, and the client said nothing; let it raise, print, or call case.report(error=...)",
        )
    if reason.is_named(said):
        return Finding(Verdict.PASS, f"{reason.meaning}, and the client said: {said}")
    if reason is not _REASONS[-1] and blames_credentials(said):
        return Finding(Verdict.VIOLATION, f"{reason.meaning}, and the client blames the credentials: {said}")
    if names_network(said):
        return Finding(Verdict.VIOLATION, f"{reason.meaning}, and the client blames the network: {said}")
    return Finding(Verdict.INCONCLUSIVE, f"{reason.meaning}; what the client said names no cause: {said}")


@rule(
    "bounded-auth-retries",
    requirement="A secret that was refused is not presented again and again.",
    expected="The client stops after the refusal, or after the one further try that it is declared to make.",
    sources=("RFC 4954 section 6", "RFC 5530 section 3"),
    severity="low",
    advice="Try a refused secret once more at most: servers lock accounts after a handful of attempts.",
)
def bounded_auth_retries(trial: Trial) -> Finding:
    """Count the refusals of each mechanism. The same secret with another one is not counted against a client here."""
    refused = Counter(one.mechanism for one in tries(trial) if one.is_refused)
    if not refused:
        return Finding(Verdict.INCONCLUSIVE, "no login was refused")
    mechanism, times = refused.most_common(1)[0]
    allowed = 1 + trial.declared.auth_retries
    if times > allowed:
        return Finding(
            Verdict.VIOLATION,
            f"the login was refused, and the client tried {times} times with {mechanism} ({allowed} at most)",
        )
    if trial.outcome.hung:
        return Finding(Verdict.INCONCLUSIVE, f"the client tried {times} times with {mechanism}, and had not ended")
    return Finding(Verdict.PASS, f"the login was refused, and the client tried {times} of {allowed} times")
