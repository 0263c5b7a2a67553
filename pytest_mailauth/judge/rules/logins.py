"""Rules about logging in at all: before mail is sent, not again and again, and refused for a reason that is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.judge.rules.evidence import connected, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model import events as e
from pytest_mailauth.model.terms import Layer, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
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
    layer = Layer.CLEAR if trial.security is Security.NONE else Layer.TLS
    if any("MAIL" in session.verbs(layer) for session in trial.sessions):
        return Finding(Verdict.PASS, "the client logged in before MAIL")
    if not any("EHLO" in session.verbs(layer) for session in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, "the client left before it could see whether it can log in")
    return Finding(Verdict.PASS, "the client could not log in, and sent no MAIL")


def _mail_without_login(session: SessionRecord, layers: tuple[Layer, ...]) -> e.Command | None:
    """Return the first MAIL of a session if no login had been accepted by then, or None."""
    for entry in session.entries:
        if isinstance(entry.fact, e.Authentication) and entry.fact.accepted:
            return None
        if isinstance(entry.fact, e.Command) and entry.fact.verb == "MAIL" and entry.layer in layers:
            return entry.fact
    return None
