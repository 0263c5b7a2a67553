"""Rules about a TLS session that is taken up again: for which name, and what may be said before it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import handshakes, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model import events as e
from pytest_mailauth.model.exchanges import LOGINS, is_operation
from pytest_mailauth.model.terms import Layer, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial

PRE_SHARED_KEY: Final = 41
"""The extension by which a client of TLS 1.3 asks to resume (RFC 8446 section 4.2.11)."""


def taken_elsewhere(trial: Trial, *, too_late: bool) -> Finding:
    """Judge the second transfer, to another name of the same server, which has a certificate for the first one alone.

    Whoever makes a full handshake sees that. A session may be resumed only where the certificate that was presented in
    it is valid for the new name (RFC 8446 section 4.6.1).

    Args:
        trial: What was seen.
        too_late: Whether the question is who logged in first and left then, or who went on.
    """
    host = trial.served.host.lower()
    # By time, and not by the name in the hello: who names another server there means the same one.
    at = next((x.at for _, x in trial.entries() if isinstance(x.fact, e.Authentication) and x.fact.accepted), None)
    second = [session for session in handshakes(trial) if at is not None and session.entries[0].at > at]
    if not second:
        return Finding(Verdict.INCONCLUSIVE, f"the second transfer was not tried; it said: {trial.outcome.error}")
    for session in second:
        done = [c for c in session.of(e.Command, Layer.TLS) if is_operation(session.protocol, c)]
        if not done:
            continue
        asked = "it resumed a session" if _asks_to_resume(session) else "it made a full handshake"
        evidence = f"the certificate is for {host}; told {_called(session) or 'another name'}, the client went on with "
        left = all(command.verb in LOGINS for command in done) and bool(session.of(e.Authentication))
        verdict = Verdict.VIOLATION if left is too_late else Verdict.NOT_APPLICABLE
        return Finding(verdict, f"{evidence}{spoken(done)} ({asked}){', and left then' if left else ''}")
    if any(session.closed is None for session in second):
        return Finding(Verdict.INCONCLUSIVE, "the second transfer had not ended")
    return Finding(Verdict.PASS, f"the certificate is for {host}, and the client sent no credentials to another name")


def _called(session: SessionRecord) -> str | None:
    hello = session.of(e.HelloSeen)[0].hello
    return hello.server_name.lower() if hello.server_name else None


def _asks_to_resume(session: SessionRecord) -> bool:
    return PRE_SHARED_KEY in session.of(e.HelloSeen)[0].hello.extensions


EARLY_DATA: Final = 42
"""The extension that announces early data (RFC 8446 section 4.2.10)."""


@rule(
    "no-early-data",
    requirement="Nothing of a mail protocol is sent as early data (0-RTT), which an attacker can send again.",
    expected="A client whose session ticket allows early data offers none in its next ClientHello.",
    sources=("RFC 9325 section 3.10", "RFC 8446 appendix E.5"),
    severity="medium",
    advice="Do not enable early data: no profile of it exists for mail, and RFC 8446 appendix E.5 demands one.",
)
def no_early_data(trial: Trial) -> Finding:
    """Look for the extension in the hellos that follow a ticket."""
    hellos = [seen.hello for session in trial.sessions for seen in session.of(e.HelloSeen)]
    if any(EARLY_DATA in hello.extensions for hello in hellos):
        return Finding(Verdict.VIOLATION, "the ClientHello announces early data, and what follows it can be replayed")
    if trial.earlier is None:
        return Finding(
            Verdict.NOT_APPLICABLE,
            "this client makes one transfer; if it keeps TLS sessions, let it make case.earlier first",
        )
    first = next((facts for session in handshakes(trial) if (facts := session.tls) is not None), None)
    if first is not None and first.version not in (None, "1.3"):
        return Finding(Verdict.NOT_APPLICABLE, f"TLS {first.version} has no early data")
    if first is not None and len(hellos) == 1 and trial.outcome.error is None:
        # On the same terms that is no fault.
        return Finding(Verdict.NOT_APPLICABLE, "both transfers went over one connection, so no ticket was used")
    if first is None or first.version is None or len(hellos) < 2:
        return Finding(Verdict.INCONCLUSIVE, f"the client did not make both transfers; it said: {trial.outcome.error}")
    resumes = any(PRE_SHARED_KEY in hello.extensions for hello in hellos[1:])
    how = "asked to resume" if resumes else "made a full handshake"
    return Finding(Verdict.PASS, f"the ticket allowed early data; the client {how}, and offered none")
