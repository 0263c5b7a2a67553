"""Rules about ports that do not answer as they should: say what is wrong, in time, and do not sneak elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import fired, handshakes, leak, never_greets, operations, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.wording import (
    blames_credentials,
    names_network,
    names_refusal,
    own_words,
    resolves,
    unnamed,
)
from pytest_mailauth.model.attempts import AttemptOutcome
from pytest_mailauth.model.events import HelloSeen
from pytest_mailauth.model.portstates import UNSEEN, port_fact
from pytest_mailauth.model.terms import Layer, PortState, Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.trial import Trial

_PATIENCE: Final = 1.5
"""Multiples of the declared time-out after which giving up is late."""
_SLACK: Final = 1.0
"""Seconds added to that, for a busy machine."""

_SERVES: Final = {
    PortState.OPEN: "the port was open",
    PortState.SLOW: "the port was slow and not blocked",
    PortState.INTERCEPTED: "the port was not blocked: another server answered",
    PortState.INTERCEPTED_NO_TLS: "the port was not blocked: another server answered",
}
"""The states in which a server answers, and a client has no blocked port to tell of."""
_IN_A_HANDSHAKE: Final = (PortState.HANDSHAKE_RESET, PortState.HANDSHAKE_CLOSE)
"""The states that a client meets only once it has begun a TLS handshake."""
_CALLED: Final = {
    PortState.BANNER: "blocked by a banner",
    PortState.HANDSHAKE_RESET: "reset in the handshake",
    PortState.HANDSHAKE_CLOSE: "closed in the handshake",
}
"""States whose name alone makes no sentence."""
_TLS_TO_BE_TRIED: Final = (PortState.OPEN, PortState.SLOW, PortState.INTERCEPTED, *_IN_A_HANDSHAKE)
"""The states in which TLS can fail only for a client that tries it."""


@rule(
    "blocked-port-diagnosed",
    requirement="On a blocked port the client gives up within its time-out and says so, naming host and port.",
    expected="The client ends at its time-out with an error that names host, port and the network as the cause.",
    sources=("S1", "S7", "S11"),
    severity="medium",
    advice="Set a time-out on connecting and reading, and put host and port into the error, not the password.",
)
def blocked_port_diagnosed(trial: Trial) -> Finding:
    """Look at how long the client took and at what it said."""
    state = PortState(trial.served.port_state)
    is_mute = state is PortState.OPEN and bool(trial.sessions) and never_greets(trial)
    if is_mute:
        # A server that waits for a ClientHello is as silent as a blocked port to a client that waits for a greeting.
        state = PortState.SILENT
    was = f"the port was {_CALLED.get(state, state)}" if resolves(trial) else f"{trial.served.host} has no address"
    if state in _SERVES and resolves(trial):
        return Finding(Verdict.NOT_APPLICABLE, _SERVES[state])
    if trial.in_network and not trial.attempts:
        return Finding(Verdict.INCONCLUSIVE, f"{was}, and the client did not try it; it said: {own_words(trial)}")
    elsewhere = _logged_in_elsewhere(trial)
    if elsewhere is not None:
        return elsewhere
    if any(one.outcome is AttemptOutcome.UNBOUNDED for one in trial.attempts):
        return Finding(Verdict.VIOLATION, f"{was}, and the client had set no time-out: it would have waited on")
    if trial.outcome.hung:
        return Finding(
            Verdict.VIOLATION,
            f"{was}, and after {trial.outcome.seconds:.1f} s the client had not given up "
            f"(declared time-out: {trial.declared.timeout:g} s)",
        )
    said = own_words(trial)
    if not said:
        return Finding(
            Verdict.NOT_APPLICABLE,
            f"{was}, the client ended in time and said nothing; let it raise, print, or call case.report(error=...)",
        )
    if resolves(trial) and not is_mute and state not in UNSEEN and fired(trial, port_fact(state)) is None:
        never = "was never in a TLS handshake" if state in _IN_A_HANDSHAKE else "never reached the port"
        return Finding(Verdict.INCONCLUSIVE, f"the client {never}, so it never met the port state; it said: {said}")
    if blames_credentials(said):
        return Finding(Verdict.VIOLATION, f"{was}, and the client blames the credentials: {said}")
    if not names_network(said) and not (state is PortState.BANNER and names_refusal(said)):
        # A progress line, or a claim of success: wrong as it is, it may be about a queue that tries again later.
        return Finding(Verdict.INCONCLUSIVE, f"{was}; what the client said names no failure of the network: {said}")
    late, missing = _is_late(trial), unnamed(trial, said)
    when = f"{trial.outcome.seconds:.1f} s"
    if late:
        then = f"{missing}: {said}" if missing else f"said: {said}"
        return Finding(
            Verdict.NOTE, f"gave up only after {when} (declared time-out: {trial.declared.timeout:g} s), and {then}"
        )
    if missing:
        return Finding(Verdict.NOTE, f"gave up in time, but {missing}: {said}")
    return Finding(Verdict.PASS, f"gave up after {when} and said: {said}")


def _logged_in_elsewhere(trial: Trial) -> Finding | None:
    """Return what is to be said of a client that turned to another port or name by itself, and logged in there.

    In clear it is the finding of another rule.
    """
    host, told = trial.served.host, trial.ports[:1]
    logins = [one for one in trial.attempts if one.credentials is Layer.TLS]
    found = next((one for one in logins if one.name != host or one.port not in told), None)
    if found is None:
        return None
    if found.name != host:
        return Finding(
            Verdict.VIOLATION, f"{host} has no address, and the client logged in at {found.name}, which it was not told"
        )
    if trial.declared.port == "chosen":
        return None
    return Finding(
        Verdict.NOTE, f"the port gave no answer; the client turned to port {found.port} by itself, and used TLS there"
    )


def _is_late(trial: Trial) -> bool:
    """Return whether the client took much longer than it declared; twice its usual time is its start and its end."""
    usual = trial.control.outcome.seconds if trial.control is not None else 0.0
    return trial.outcome.seconds > _PATIENCE * trial.declared.timeout + _SLACK + 2 * usual


@rule(
    "no-silent-port-switch",
    requirement="When a port gives no trusted TLS, the client does not try anything weaker on its own.",
    expected="The client opens no connection without TLS, and reports what is wrong with the port.",
    sources=("S7", "S11", "RFC 8314 section 5.2"),
    severity="critical",
    advice="Report what is wrong with the port; a weaker one is the user's decision, never a fallback.",
)
def no_silent_port_switch(trial: Trial) -> Finding:
    """Look for the client in clear: on the other port of the account, or on a new connection to the same one."""
    elsewhere = [session for session in trial.sessions if session.listener != "main"]
    tried = handshakes(trial)
    found = _used_in_clear(trial)
    if found is not None:
        return found
    # Where the account has one port, that one can be tried again in clear: no other has to be known.
    # And where port numbers are real, a client may know the others by itself.
    has_choice = trial.may_switch or trial.in_network or (tried and len(trial.ports) < 2)
    if not elsewhere and not has_choice:
        return Finding(
            Verdict.NOT_APPLICABLE,
            "this client knows one port only; if it can use another, give it {fallback_port} or case.fallback_port",
        )
    if operations(trial, Layer.TLS):
        return Finding(Verdict.NOT_APPLICABLE, "the client went on inside TLS, so it had no reason to turn elsewhere")
    state = PortState(trial.served.port_state)
    if state in _TLS_TO_BE_TRIED and not tried:
        return Finding(Verdict.INCONCLUSIVE, "the client never began a TLS handshake, so none could fail")
    if state not in UNSEEN and not any(session.listener == "main" for session in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, "the client never reached the port, so nothing there could fail")
    if not trial.sessions and not trial.attempts and not names_network(own_words(trial)):
        # A refused port sees nothing: only the client can tell that it tried.
        return Finding(
            Verdict.INCONCLUSIVE, f"nothing shows that the client tried the port; it said: {own_words(trial)}"
        )
    if elsewhere and trial.declared.port != "chosen":
        return Finding(
            Verdict.NOTE, "TLS was not to be had; the client tried the weaker port and left without using it"
        )
    return Finding(Verdict.PASS, "TLS was not to be had; the client gave up and tried nothing weaker")


def _used_in_clear(trial: Trial) -> Finding | None:
    """Return what the client did on a connection that it meant to keep in clear, or None for nothing.

    With STARTTLS, every connection begins in clear: what crosses before its handshake is another rule's finding.
    """
    if trial.security is Security.STARTTLS:
        trial = replace(trial, sessions=tuple(s for s in trial.sessions if not s.of(HelloSeen)))
    found = leak(trial, Layer.CLEAR)
    done = operations(trial, Layer.CLEAR)
    if found is None and not done:
        return None
    what = f": {found.evidence}" if found else f" and went on with {spoken(done)}"
    evidence = f"TLS was not to be had; the client turned to a connection without it{what}"
    verdict = found.verdict if found else Verdict.VIOLATION
    may = not trial.requires_tls and (found is None or trial.declared.allow_insecure_auth)
    if may and verdict is Verdict.VIOLATION:
        return Finding(Verdict.NOTE, f"{evidence}; the client was declared to allow that")
    return Finding(verdict, evidence)
