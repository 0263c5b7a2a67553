"""Rules about when a password may cross: never in clear, and never to a peer that was not verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.judge.rules.evidence import connected, leak, spoken, unreadable_login
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import Hide
from pytest_mailauth.model.terms import (
    Layer,
    Protocol,
    Security,
    Verdict,
)
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.trial import Trial


@rule(
    "no-cleartext-credentials",
    requirement="A password never crosses unless TLS is active on that connection.",
    expected="The client logs in after the TLS handshake, and leaves if there is none.",
    sources=("S2", "S9", "S12", "RFC 8314 section 5.2", "RFC 4954 section 4", "RFC 2595 section 2.3"),
    severity="critical",
    advice="Start TLS before logging in, and refuse to log in without it.",
)
def no_cleartext_credentials(trial: Trial) -> Finding:
    """Look for the password in everything that came in outside TLS."""
    found = leak(trial, Layer.CLEAR)
    if found is None:
        if not any(session.commands or session.of(e.HelloSeen) for session in trial.sessions):
            return Finding(Verdict.INCONCLUSIVE, "the client connected to nothing that could have taken a password")
        unread = unreadable_login(trial)
        if unread is not None:
            return Finding(Verdict.INCONCLUSIVE, unread)
        return Finding(Verdict.PASS, "no password in any cleartext byte, neither parsed nor by search")
    if found.verdict is Verdict.VIOLATION and not trial.requires_tls and trial.declared.allow_insecure_auth:
        return Finding(Verdict.NOTE, f"{found.evidence}; the client was declared to allow that")
    return found


@rule(
    "respect-logindisabled",
    requirement="IMAP LOGIN is never sent while the server announces LOGINDISABLED.",
    expected="The client sees LOGINDISABLED and does not send LOGIN: it starts TLS first, or leaves.",
    sources=("RFC 9051 section 6.2.3", "RFC 2595 section 3.2"),
    severity="critical",
    advice="Look for LOGINDISABLED in the capabilities before LOGIN; use AUTHENTICATE or give up.",
)
def respect_logindisabled(trial: Trial) -> Finding:
    """Look for LOGIN on the layer on which LOGINDISABLED was announced: inside TLS it means the same."""
    said = [
        (session, layer, out)
        for session in trial.sessions
        for layer, out in ((Layer.CLEAR, session.clear_out), (Layer.TLS, session.tls_out))
        if out
    ]
    announced = [(session, layer) for session, layer, out in said if b"LOGINDISABLED" in out]
    unasked = [
        command
        for session, layer, out in said
        if _announces_logindisabled(trial, layer) and b"CAPABILITY" not in out.upper()
        for command in session.of(e.Command, layer)
        if command.verb == "LOGIN"
    ]
    if unasked:
        return Finding(
            Verdict.VIOLATION, f"the client sent {spoken(unasked)} without asking whether LOGIN is disabled, and it is"
        )
    if not announced:
        return Finding(Verdict.INCONCLUSIVE, "LOGINDISABLED was never announced")
    sent = [c for session, layer in announced for c in session.of(e.Command, layer) if c.verb == "LOGIN"]
    if sent:
        return Finding(Verdict.VIOLATION, f"LOGINDISABLED was announced, and the client sent {spoken(sent)}")
    return Finding(Verdict.PASS, "LOGINDISABLED was announced, and LOGIN was not sent")


def _announces_logindisabled(trial: Trial, layer: Layer) -> bool:
    """Return whether the server says LOGINDISABLED to whoever asks on *layer*: it takes no LOGIN there."""
    takes = {"always": (Layer.CLEAR, Layer.TLS), "tls": (Layer.TLS,)}.get(trial.served.auth.password_commands, ())
    hides = any(isinstance(d, Hide) and "LOGINDISABLED" in d.names for d in trial.served.deviations)
    return trial.protocol is Protocol.IMAP and layer not in takes and not hides


@rule(
    "control",
    requirement="The client logs in to an honest server in the way it was told to.",
    expected="The client connects, starts TLS if told to, and logs in with the user name and password it was given.",
    sources=("S1",),
    severity="info",
    advice="Make the client work with this server first: nothing else can be judged before that.",
)
def control(trial: Trial) -> Finding:
    """Look for a login with this trial's password on the right layer. Not a rule: the ground the others stand on."""
    layer = Layer.CLEAR if trial.security is Security.NONE else Layer.TLS
    if trial.declared.auth == "none":
        return _sent_without_login(trial, layer)
    if trial.logged_in(layer):
        return Finding(Verdict.PASS, f"logged in {'in clear' if layer is Layer.CLEAR else 'inside TLS'}")
    reason = "it connected and did not log in" if connected(trial) else "it never connected"
    said = f"; it said: {trial.outcome.error}" if trial.outcome.error else ""
    return Finding(Verdict.INCONCLUSIVE, f"the client did not log in to the honest server: {reason}{said}")


def _sent_without_login(trial: Trial, layer: Layer) -> Finding:
    """A client without credentials has shown that it works once its message was taken."""
    where = "in clear" if layer is Layer.CLEAR else "inside TLS"
    if any(session.of(e.Stored, layer) for session in trial.sessions):
        return Finding(Verdict.PASS, f"the message was taken {where}, without a login")
    said = f"; it said: {trial.outcome.error}" if trial.outcome.error else ""
    return Finding(Verdict.INCONCLUSIVE, f"the client sent no message {where} to the honest server{said}")
