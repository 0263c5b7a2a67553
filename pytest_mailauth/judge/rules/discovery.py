"""Rules about clients that find server, port and mode by themselves: what they find is no reason to do with less."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_mailauth.judge.rules.evidence import leak, operations, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.wording import own_words
from pytest_mailauth.model.terms import Layer, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.attempts import Attempt
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
    order = ", ".join(f"{one.name}:{one.port}" if _has_names(trial) else str(one.port) for one in trial.attempts)
    found, done = leak(trial, Layer.CLEAR), operations(trial, Layer.CLEAR)
    stranger = next((one for one in trial.attempts if one.credentials is not None and _is_strange(one, trial)), None)
    if stranger is not None:
        return Finding(
            Verdict.VIOLATION,
            f"tried {order}, and gave the password to {stranger.name}, which is not of {trial.domain}, without asking",
        )
    decoy = replace(trial, sessions=tuple(s for s in trial.sessions if s.listener == "decoy"))
    given = leak(decoy, Layer.TLS)
    if given is not None:
        return Finding(
            given.verdict, f"tried {order}, and went on with a server that nobody vouches for: {given.evidence}"
        )
    if found is not None:
        return Finding(found.verdict, f"tried {order}, and {found.evidence}")
    if done:
        return Finding(Verdict.VIOLATION, f"tried {order}, and went on in clear with {spoken(done)}")
    said = own_words(trial)
    if not trial.sessions and said is not None and trial.served.host in said:
        return Finding(Verdict.PASS, f"passed over what it found, and said: {said}")
    if not trial.sessions:
        return Finding(Verdict.INCONCLUSIVE, f"the client reached no server (tried {order or 'nothing'})")
    if trial.logged_in(Layer.TLS):
        return Finding(Verdict.NOTE, f"tried {order}, and logged in inside TLS")
    return Finding(Verdict.PASS, f"tried {order}, found no TLS that it could trust, and gave up")


def _has_names(trial: Trial) -> bool:
    return len({one.name for one in trial.attempts}) > 1


def _is_strange(one: Attempt, trial: Trial) -> bool:
    """Return whether a host is of another domain than the account."""
    domain, name = trial.domain, one.name
    return domain is not None and name is not None and name != domain and not name.endswith(f".{domain}")
