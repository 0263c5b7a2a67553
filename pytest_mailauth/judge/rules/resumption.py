"""What is asked of a session that is taken up again: the certificate was looked at for the first name alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import handshakes, spoken
from pytest_mailauth.model import events as e
from pytest_mailauth.model.exchanges import is_operation
from pytest_mailauth.model.terms import Layer, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial

PRE_SHARED_KEY: Final = 41
"""The extension by which a client of TLS 1.3 asks to resume (RFC 8446 section 4.2.11)."""


def taken_elsewhere(trial: Trial) -> Finding:
    """Judge the second transfer, to another name of the same server, which has a certificate for the first one alone.

    Whoever makes a full handshake sees that. A session may be resumed only where the certificate that was presented in
    it is valid for the new name (RFC 8446 section 4.6.1).
    """
    host = trial.served.host.lower()
    begun = handshakes(trial)
    second = [session for session in begun if _named(session) not in (host, None)] or begun[1:]
    if not second:
        return Finding(Verdict.INCONCLUSIVE, f"the second transfer was not tried; it said: {trial.outcome.error}")
    for session in second:
        done = [c for c in session.of(e.Command, Layer.TLS) if is_operation(session.protocol, c)]
        if done:
            asked = "it resumed a session" if _asks_to_resume(session) else "it made a full handshake"
            return Finding(
                Verdict.VIOLATION,
                f"the certificate is for {host}; told {_named(session) or 'another name'}, the client went on with "
                f"{spoken(done)} ({asked})",
            )
    if any(session.closed is None for session in second):
        return Finding(Verdict.INCONCLUSIVE, "the second transfer had not ended")
    return Finding(Verdict.PASS, f"the certificate is for {host}, and the client sent no credentials to another name")


def _named(session: SessionRecord) -> str | None:
    hello = session.of(e.HelloSeen)[0].hello
    return hello.server_name.lower() if hello.server_name else None


def _asks_to_resume(session: SessionRecord) -> bool:
    return PRE_SHARED_KEY in session.of(e.HelloSeen)[0].hello.extensions
