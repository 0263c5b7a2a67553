"""Rules about clients that find server, port and mode by themselves: what they find is no reason to do with less."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_mailauth.judge.rules.evidence import leak, operations, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.wording import own_words
from pytest_mailauth.model.terms import Layer, Verdict
from pytest_mailauth.model.trial import Finding
from pytest_mailauth.model.webrequests import FOUND

if TYPE_CHECKING:
    from pytest_mailauth.model.attempts import Attempt
    from pytest_mailauth.model.trial import Trial
    from pytest_mailauth.model.webrequests import WebRequest


@rule(
    "discovery-keeps-floor",
    requirement="What a client finds out by itself is held to the same floor: no password to a server without TLS, or "
    "to one that nobody vouches for, not even to try whether a configuration works. And what was found is kept: "
    "records without a signature are not asked again for every connection.",
    expected="The client passes over what offers no trusted TLS, and reports that it found nothing.",
    sources=("S11", "RFC 8314 section 5.1", "CVE-2024-50624"),
    severity="high",
    advice="Look for TLS before logging in anywhere; take a server of another domain, or one that a file names which "
    "came over http, only after asking the user; give no password for the file; save the server's name.",
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
    asked = _given_in_asking(trial) or _believed(trial)
    if asked is not None:
        return Finding(Verdict.VIOLATION, asked)
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
    if trial.moved_to is not None:
        return _stays(trial, trial.moved_to, order)
    said = own_words(trial)
    if not trial.sessions and said is not None and trial.served.host in said:
        return Finding(Verdict.PASS, f"passed over what it found, and said: {said}")
    met = ", ".join(str(one) for one in trial.requests if _shows(one))
    if not trial.sessions and met and said is not None:
        return Finding(Verdict.PASS, f"asked {met}, went no further, and said: {said}")
    if not trial.sessions:
        return Finding(Verdict.INCONCLUSIVE, f"the client reached no server (tried {order or 'nothing'})")
    if trial.logged_in(Layer.TLS):
        return Finding(Verdict.NOTE, f"tried {order}, and logged in inside TLS")
    return Finding(Verdict.PASS, f"tried {order}, found no TLS that it could trust, and gave up")


def _given_in_asking(trial: Trial) -> str | None:
    """Return how a secret went to a web server that nobody vouches for, or None."""
    one = next((one for one in trial.requests if one.carried and not one.is_vouched_for), None)
    return None if one is None else f"asked for its configuration where nobody vouches for the server: {one}"


def _believed(trial: Trial) -> str | None:
    """Return how a client went where a file sent it that anybody may have written, or None.

    A client that has the same from a server which a certificate vouches for did not need the other.
    """
    files = [one for one in trial.requests if one.status == FOUND and one.method != "HEAD"]
    if not files or any(one.is_vouched_for for one in files):
        return None
    if not any(one.name == trial.served.host and one.at >= files[0].at for one in _logins(trial)):
        return None
    return f"took {files[0].url} for true, which nobody vouches for, and logged in at {trial.served.host}"


def _shows(one: WebRequest) -> bool:
    """Return whether a client has met what a web server had to say, or its certificate."""
    return one.method is not None or (one.scheme == "https" and not one.is_vouched_for)


def _stays(trial: Trial, moved_to: str, order: str) -> Finding:
    """Look where the transfer went that came after the records had changed.

    RFC 8314 section 5.1: records without a signature are not consulted on every connection attempt to determine which
    servers to use. How many logins one transfer takes is known from the control.
    """
    if trial.earlier is None:
        return Finding(
            Verdict.NOT_APPLICABLE, "this client makes one transfer; if it makes more, let it make case.earlier first"
        )
    usual = len(_logins(trial.control)) if trial.control is not None else 0
    came = [one for one in _logins(trial) if one.name == trial.served.host]
    if came and any(one.name == moved_to for one in trial.attempts):
        return Finding(
            Verdict.VIOLATION,
            f"tried {order}: it logged in at {trial.served.host}, and looked up its server again for the next transfer",
        )
    if usual and len(came) > usual:
        return Finding(Verdict.PASS, f"tried {order}, and came back to the server that it had found first")
    if not came:
        return Finding(
            Verdict.INCONCLUSIVE, f"the client did not make the earlier transfer; it said: {trial.outcome.error}"
        )
    return Finding(
        Verdict.INCONCLUSIVE,
        f"nothing shows where the second transfer would have gone (tried {order}); it said: {trial.outcome.error}",
    )


def _logins(trial: Trial) -> list[Attempt]:
    return [one for one in trial.attempts if one.credentials is not None]


def _has_names(trial: Trial) -> bool:
    return len({one.name for one in trial.attempts}) > 1


def _is_strange(one: Attempt, trial: Trial) -> bool:
    """Return whether a host is of another domain than the account."""
    domain, name = trial.domain, one.name
    return domain is not None and name is not None and name != domain and not name.endswith(f".{domain}")
