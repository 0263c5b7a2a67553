"""Rules about clients that find server, port and mode by themselves: what they find is no reason to do with less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.judge.rules.evidence import leak, operations, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model.terms import Layer, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.trial import Trial


@rule(
    "discovery-keeps-floor",
    requirement="What a client finds out by itself is held to the same floor: no password to a server without TLS, or "
    "to one that nobody vouches for, not even to try whether a configuration works.",
    expected="The client passes over what offers no trusted TLS, and reports that it found nothing.",
    sources=("S11", "RFC 8314 section 5.1"),
    severity="high",
    advice="Look for TLS before logging in anywhere; take a server of another domain only after asking the user.",
)
def discovery_keeps_floor(trial: Trial) -> Finding:
    """Look for the password, or for an operation, below the floor on any connection of the trial."""
    order = ", ".join(str(one.port) for one in trial.attempts)
    found, done = leak(trial, Layer.CLEAR), operations(trial, Layer.CLEAR)
    if found is not None:
        return Finding(found.verdict, f"tried {order}, and {found.evidence}")
    if done:
        return Finding(Verdict.VIOLATION, f"tried {order}, and went on in clear with {spoken(done)}")
    if not trial.sessions:
        return Finding(Verdict.INCONCLUSIVE, f"the client reached no server (tried {order or 'nothing'})")
    if trial.logged_in(Layer.TLS):
        return Finding(Verdict.NOTE, f"tried {order}, and logged in inside TLS")
    return Finding(Verdict.PASS, f"tried {order}, found no TLS, and gave up")
