"""Rules about what a client makes of a port number, and which one it takes when it is told none.

They look at the attempts of the trial: a name, a real port number, and the first bytes of each connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import leak, operations, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.wording import asks_for_mode, own_words
from pytest_mailauth.model import events as e
from pytest_mailauth.model.attempts import AttemptOutcome, FirstBytes
from pytest_mailauth.model.terms import RELAY_PORT, STANDARD_PORTS, Layer, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.attempts import Attempt
    from pytest_mailauth.model.trial import Trial

_WRONG: Final = {Security.IMPLICIT: FirstBytes.TEXT, Security.STARTTLS: FirstBytes.TLS}
"""How a connection must not begin on a port that stands for a mode."""
_RIGHT: Final = {Security.IMPLICIT: FirstBytes.TLS, Security.STARTTLS: FirstBytes.TEXT}
_MODES: Final = {Security.IMPLICIT: "implicit TLS", Security.STARTTLS: "STARTTLS"}
_BEGAN: Final = {FirstBytes.TLS: "began with a TLS handshake", FirstBytes.TEXT: "began with a command in clear"}


_NEARLY: Final = 0.8
"""The share of its time-out that a client waits at least which waits for a greeting."""


def _connections(trial: Trial, port: int) -> list[Attempt]:
    """Return the attempts on a port of the trial's server that somebody accepted."""
    here = (trial.served.host, port, AttemptOutcome.CONNECTED)
    return [one for one in trial.attempts if (one.name, one.port, one.outcome) == here]


@rule(
    "port-implies-mode",
    requirement="Ports 465, 993 and 995 stand for implicit TLS, ports 25, 587, 110 and 143 for STARTTLS.",
    expected="Given the port alone, the client begins with a TLS handshake on 465, 993 and 995, and waits for the "
    "greeting in clear on the others.",
    sources=("S9", "S13", "S14", "RFC 8314 section 3"),
    severity="high",
    advice="Derive the TLS mode from the port number with a table of these seven ports; on any other, ask for it.",
)
def port_implies_mode(trial: Trial) -> Finding:
    """Look at the first bytes on every connection to the port that the client was given."""
    port = trial.ports[0] if trial.ports else 0
    mode = trial.security
    tried = _connections(trial, port)
    if mode not in _WRONG or not tried:
        return Finding(Verdict.INCONCLUSIVE, f"the client never connected to port {port}")
    if any(one.first is _WRONG[mode] for one in tried):
        return Finding(
            Verdict.VIOLATION, f"port {port} stands for {_MODES[mode]}, and the client {_BEGAN[_WRONG[mode]]}"
        )
    if any(one.first is _RIGHT[mode] for one in tried):
        return Finding(Verdict.PASS, f"on port {port} the client {_BEGAN[_RIGHT[mode]]}")
    # Nothing was sent. A client that waits for a greeting does that, and so does one that does nothing.
    if mode is Security.STARTTLS and trial.control is not None and trial.control.logged_in(Layer.TLS):
        return Finding(Verdict.PASS, f"on port {port} the client waited for the greeting")
    return Finding(Verdict.INCONCLUSIVE, f"on port {port} the client sent nothing")


@rule(
    "custom-port-needs-mode",
    requirement="On a port that stands for no mode, the mode has to be stated, and what is stated counts.",
    expected="Without a mode the client asks for one, or insists on TLS; with one it does as it is told.",
    sources=("S10",),
    severity="high",
    advice="Demand the TLS mode as a setting wherever the port is not one of the seven; never take clear as default.",
)
def custom_port_needs_mode(trial: Trial) -> Finding:
    """Look at what a client does on such a port: in clear, inside TLS, or before any connection."""
    port = trial.ports[0] if trial.ports else 0
    tried = _connections(trial, port)
    if trial.declared.mode == "stated":
        return _as_stated(trial, port, tried)
    guess = f"no mode was stated for port {port}, and the client"
    found, done = leak(trial, Layer.CLEAR), operations(trial, Layer.CLEAR)
    if found is not None:
        return Finding(found.verdict, f"{guess} chose to go on in clear: {found.evidence}")
    if done:
        return Finding(Verdict.VIOLATION, f"{guess} chose to go on in clear with {spoken(done)}")
    if trial.served.security == Security.IMPLICIT and any(one.first is FirstBytes.TEXT for one in tried):
        return Finding(Verdict.VIOLATION, f"{guess} {_BEGAN[FirstBytes.TEXT]}, at a server that waits for TLS")
    if trial.logged_in(Layer.TLS):
        return Finding(Verdict.PASS, f"{guess} took to TLS by itself")
    said = own_words(trial)
    if not tried:
        if asks_for_mode(said):
            return Finding(Verdict.PASS, f"the client refused to start without a mode: {said}")
        return Finding(Verdict.INCONCLUSIVE, f"the client never connected to port {port}, and did not ask for a mode")
    if any(one.first is FirstBytes.TLS for one in tried):
        return Finding(Verdict.PASS, f"{guess} tried TLS, and gave up")
    if any(one.first is FirstBytes.TEXT for one in tried):
        return Finding(Verdict.PASS, f"{guess} looked for STARTTLS, and gave up without it")
    if any(one.session is not None and one.session.clear_out for one in tried):
        return Finding(Verdict.INCONCLUSIVE, f"{guess} connected, and said nothing to the greeting")
    return Finding(Verdict.NOTE, f"{guess} waited for a greeting in clear, and gave up")


def _as_stated(trial: Trial, port: int, tried: list[Attempt]) -> Finding:
    mode = trial.security
    if mode not in _WRONG or not tried:
        return Finding(Verdict.INCONCLUSIVE, f"the client never connected to port {port}")
    told = f"the client was told {_MODES[mode]} for port {port}"
    if any(one.first is _WRONG[mode] for one in tried):
        return Finding(Verdict.VIOLATION, f"{told}, and {_BEGAN[_WRONG[mode]]}")
    if trial.logged_in(Layer.TLS):
        return Finding(Verdict.PASS, f"{told}, and logged in inside TLS")
    if mode is Security.IMPLICIT and any(_waited_for_greeting(one, trial) for one in tried):
        return Finding(Verdict.VIOLATION, f"{told}, and waited for a greeting in clear until its time-out")
    return Finding(Verdict.INCONCLUSIVE, f"{told}, and did not log in")


def _waited_for_greeting(one: Attempt, trial: Trial) -> bool:
    """Return whether nothing was sent for a whole time-out, by a client that began TLS at once elsewhere."""
    entries = one.session.entries if one.session is not None else ()
    stayed = entries[-1].at - one.at if entries else 0.0
    usual = trial.control is not None and any(session.of(e.HelloSeen) for session in trial.control.sessions)
    return usual and one.first is FirstBytes.NOTHING and stayed >= _NEARLY * trial.declared.timeout


@rule(
    "submission-port-not-25",
    requirement="A client that chooses the port by itself submits mail on 587 or 465, not on 25.",
    expected="Given the host alone, the client connects to port 465 or 587 and submits its message there.",
    sources=("S6", "RFC 6409 section 3.1", "RFC 8314 section 3.3"),
    severity="low",
    advice="Make 465, or 587 with STARTTLS, the default port for sending; 25 is for servers, and often blocked.",
)
def submission_port_not_25(trial: Trial) -> Finding:
    """Look at the port on which the client logged in or sent a message."""
    used = {one.port for one in _submissions(trial)}
    if not used:
        return Finding(Verdict.INCONCLUSIVE, "the client submitted nothing on any port")
    if RELAY_PORT in used:
        return Finding(Verdict.VIOLATION, "told the host alone, the client submitted on port 25")
    said = f"told the host alone, the client submitted on port {min(used)}"
    if any(one.port == RELAY_PORT for one in trial.attempts):
        return Finding(Verdict.NOTE, f"{said}; it tried port 25 as well")
    return Finding(Verdict.PASS, said)


def _submissions(trial: Trial) -> list[Attempt]:
    """Return the attempts that led to a login or to a message."""
    return [
        one for one in trial.attempts if one.credentials is not None or (one.session is not None and one.session.stored)
    ]


@rule(
    "prefer-implicit-tls",
    requirement="Where implicit TLS and STARTTLS are both to be had and nobody chose, implicit TLS is preferred.",
    expected="Given the host alone, the client logs in on 465, 993 or 995.",
    sources=("S14", "RFC 8314 section 3"),
    severity="low",
    advice="Try 465, 993 or 995 before the port with STARTTLS.",
)
def prefer_implicit_tls(trial: Trial) -> Finding:
    """Look at the port of the first login. STARTTLS that is required is as safe, so it is never a violation."""
    first = next((one for one in trial.attempts if one.credentials is Layer.TLS), None)
    if first is None:
        return Finding(Verdict.INCONCLUSIVE, "the client logged in on neither port")
    said = f"both ports were open, and the client logged in on port {first.port}"
    if first.port == STANDARD_PORTS[Protocol(trial.protocol), Security.IMPLICIT]:
        return Finding(Verdict.PASS, said)
    return Finding(Verdict.NOTE, f"{said}, with STARTTLS")
