"""Rules about what a client makes of a port number, and which one it takes when it is told none.

They look at the attempts of the trial: a name, a real port number, and the first bytes of each connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model.attempts import AttemptOutcome, FirstBytes
from pytest_mailauth.model.terms import Layer, Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.attempts import Attempt
    from pytest_mailauth.model.trial import Trial

_WRONG: Final = {Security.IMPLICIT: FirstBytes.TEXT, Security.STARTTLS: FirstBytes.TLS}
"""How a connection must not begin on a port that stands for a mode."""
_RIGHT: Final = {Security.IMPLICIT: FirstBytes.TLS, Security.STARTTLS: FirstBytes.TEXT}
_BEGAN: Final = {FirstBytes.TLS: "began with a TLS handshake", FirstBytes.TEXT: "began with a command in clear"}


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


_MODES: Final = {Security.IMPLICIT: "implicit TLS", Security.STARTTLS: "STARTTLS"}
