"""Rules about the parameters of TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.judge.rules.evidence import handshakes
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model.terms import HandshakeOutcome, Layer, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.trial import Trial


@rule(
    "tls12-or-newer",
    requirement="The client negotiates TLS 1.2 or newer, and nothing older.",
    expected="The client refuses TLS 1.0 and 1.1 during the handshake, and logs in over TLS 1.2 and 1.3.",
    sources=("S2", "S5", "S9", "S12", "RFC 8996 section 4", "RFC 8997", "RFC 9325 section 3.1.1"),
    severity="high",
    advice="Set the minimum TLS version to 1.2; allow 1.3.",
)
def tls12_or_newer(trial: Trial) -> Finding:
    """Look at what the client did on a server that speaks a single version."""
    version = trial.served.tls.max_version or trial.served.tls.min_version
    tried = handshakes(trial)
    if not tried:
        return Finding(Verdict.INCONCLUSIVE, "the client never began a TLS handshake")
    facts = next((s.tls for s in reversed(tried) if s.tls is not None), None)
    if facts is None:
        return Finding(Verdict.INCONCLUSIVE, "the handshake had not ended")
    if trial.served.tls.is_legacy:
        return _old(trial, version)
    if trial.logged_in(Layer.TLS):
        return Finding(Verdict.PASS, f"logged in over TLS {version}")
    if version < trial.declared.min_tls:
        return Finding(Verdict.PASS, f"refused TLS {version}, as declared")
    # One version alone is a legal floor or ceiling: worth knowing, no violation.
    return Finding(Verdict.NOTE, f"does not speak TLS {version}: {facts.reason or facts.alert or facts.outcome}")


def _old(trial: Trial, version: str) -> Finding:
    went_on = _went_on(trial)
    if went_on is not None:
        if version >= trial.declared.min_tls:
            return Finding(Verdict.NOTE, f"{went_on}; it was declared to accept that")
        return Finding(Verdict.VIOLATION, went_on)
    if any(s.tls and s.tls.outcome is HandshakeOutcome.COMPLETED for s in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, f"the TLS {version} handshake finished, and the client stayed silent")
    # The comparison is with the same server, where this host's own policy was relaxed.
    elsewhere = _went_on(trial.control) if trial.control and trial.control.served == trial.served else None
    if elsewhere is not None:
        return Finding(
            Verdict.NOTE,
            f"TLS {version} was refused by this host, not by the client: with its policy relaxed {elsewhere}",
        )
    last = next(s.tls for s in reversed(handshakes(trial)) if s.tls is not None)
    return Finding(Verdict.PASS, f"TLS {version} was refused: {last.alert or last.reason or last.outcome}")


def _went_on(trial: Trial) -> str | None:
    """Return what the client did inside TLS, or None when it did nothing."""
    for session in handshakes(trial):
        facts = session.tls
        if facts is not None and facts.outcome is HandshakeOutcome.COMPLETED and session.tls_in:
            said = ", ".join(session.verbs(Layer.TLS)) or f"{len(session.tls_in)} bytes"
            return f"the client negotiated TLS {facts.version} ({facts.cipher}) and went on with {said}"
    return None
