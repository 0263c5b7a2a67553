"""Rules about STARTTLS: required means required, its reply counts, and nothing from before it survives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.judge.rules.evidence import LOGIN_COMMANDS, connected, fired, leak, operations, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import Withhold
from pytest_mailauth.model.terms import HandshakeOutcome, Layer, Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial


def _went_on(trial: Trial, cause: str, *, after: float) -> Finding | None:
    """Return what the client did in clear from the moment TLS became impossible, or None for nothing.

    A password that crossed before that moment is another rule's finding. Text that is no command counts: after a
    false 354, for example, it is the message.
    """
    found = leak(trial, Layer.CLEAR)
    if found is not None and found.verdict is Verdict.ERROR:
        return found
    done = operations(trial, Layer.CLEAR, after=after)
    stray = None if done else _stray_text(trial, after=after)
    if not done and stray is None and (found is None or after > 0):
        return None
    what = spoken(done) if done else (stray or "the password")
    evidence = f"{cause}, and the client went on in clear with {what}"
    if trial.requires_tls:
        return Finding(Verdict.VIOLATION, evidence)
    if found is not None and not trial.declared.allow_insecure_auth:
        return Finding(Verdict.VIOLATION, f"{evidence}; {found.evidence}")
    return Finding(Verdict.NOTE, f"{evidence}; the client was declared to allow that")


def _stray_text(trial: Trial, *, after: float) -> str | None:
    """Return a description of cleartext that is neither a command nor TLS, or None."""
    for session in trial.sessions:
        late = [x.fact for x in session.entries if x.at >= after and x.layer is Layer.CLEAR]
        if any(isinstance(fact, e.HelloSeen) for fact in late):
            continue
        for fact in late:
            if isinstance(fact, e.Malformed):
                return f"text that is no command ({fact.reason})"
    return None


@rule(
    "no-operation-before-required-tls",
    requirement="Where TLS is required, nothing but discovery and STARTTLS happens in clear.",
    expected="Before the TLS handshake the client only looks around (EHLO, CAPA, CAPABILITY), asks for TLS, or leaves.",
    sources=("RFC 8314 section 5.2", "RFC 2595 section 2.2", "RFC 3207 section 4"),
    severity="high",
    advice="Send no mail, mailbox or user command before the TLS handshake has finished.",
)
def no_operation_before_required_tls(trial: Trial) -> Finding:
    """Look for operations in clear. Logins that carried the password belong to no-cleartext-credentials."""
    if not trial.requires_tls:
        return Finding(Verdict.NOT_APPLICABLE, "TLS is not required of this client")
    if not connected(trial):
        return Finding(Verdict.INCONCLUSIVE, "the client never connected")
    done = operations(trial, Layer.CLEAR)
    if leak(trial, Layer.CLEAR) is not None:
        done = [command for command in done if command.verb not in LOGIN_COMMANDS]
    if done:
        return Finding(Verdict.VIOLATION, f"before TLS the client sent {spoken(done)}")
    if not any(session.of(e.Command, Layer.CLEAR) or session.over_tls for session in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, "the client said nothing at all")
    return Finding(Verdict.PASS, "in clear there was discovery only")


@rule(
    "starttls-required-is-required",
    requirement="If STARTTLS is required and the server does not offer it, the client gives up.",
    expected="The client finds no STARTTLS among the capabilities, leaves, and reports an error.",
    sources=("S9", "RFC 3207 section 6", "RFC 2595 section 2.5", "RFC 9051 section 11.1", "RFC 8314 section 5.2"),
    severity="critical",
    advice="Treat a missing STARTTLS as an error: an attacker can take it out of the server's answer.",
)
def starttls_required_is_required(trial: Trial) -> Finding:
    """Look at what the client did on a server that lists no STARTTLS."""
    if trial.security is not Security.STARTTLS:
        return Finding(Verdict.NOT_APPLICABLE, "this client was not told to use STARTTLS")
    if not connected(trial):
        return Finding(Verdict.INCONCLUSIVE, "the client never connected")
    found = _went_on(trial, "STARTTLS was not offered", after=0.0)
    if found is not None:
        return found
    if not any(session.clear_out for session in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, "the client left before the greeting")
    return Finding(Verdict.PASS, "STARTTLS was not offered, and the client gave up")


@rule(
    "check-starttls-reply",
    requirement="Only the success reply starts TLS (SMTP 220, POP3 +OK, IMAP tagged OK); any other ends the attempt.",
    expected="After the refusal the client sends neither a password nor mail; it leaves and reports an error.",
    sources=("RFC 3207 section 4", "RFC 2595 section 4", "RFC 9051 section 6.2.1", "CVE-2016-0772"),
    severity="critical",
    advice="Compare the reply to STARTTLS with the success reply, and stop at anything else.",
)
def check_starttls_reply(trial: Trial) -> Finding:
    """Look at what the client did after STARTTLS was refused."""
    refused_at = fired(trial, "answer", "STLS") or fired(trial, "answer", "STARTTLS")
    if refused_at is None:
        return Finding(Verdict.INCONCLUSIVE, "the client never asked for STARTTLS, so it could not be refused")
    found = _went_on(trial, "STARTTLS was refused", after=refused_at)
    if found is not None:
        return found
    late = [s for s in trial.sessions for x in s.entries if isinstance(x.fact, e.HelloSeen) and x.at > refused_at]
    if late:
        return Finding(Verdict.NOTE, "STARTTLS was refused, and the client began a TLS handshake all the same")
    return Finding(Verdict.PASS, "STARTTLS was refused, and the client gave up")


@rule(
    "tls-really-started",
    requirement="A client that was promised TLS has an encrypted channel or fails; it never goes on in clear.",
    expected="When the handshake fails, the client closes the connection and sends nothing more in clear.",
    sources=("RFC 3207 section 4", "RFC 9051 section 11.1", "CVE-2020-15954"),
    severity="critical",
    advice="Let a failed handshake end the connection, whatever the reason.",
)
def tls_really_started(trial: Trial) -> Finding:
    """Look at what the client did when the ClientHello was answered in clear."""
    stayed_at = fired(trial, "stays in clear")
    if stayed_at is None:
        return Finding(Verdict.INCONCLUSIVE, "the client never sent a ClientHello, so it could not be left without TLS")
    found = _went_on(trial, "the ClientHello was answered in clear", after=stayed_at)
    return found or Finding(Verdict.PASS, "the ClientHello was answered in clear, and the client gave up")


@rule(
    "preauth-ends-required-starttls",
    requirement="If STARTTLS is required and the IMAP greeting is PREAUTH, the client closes the connection.",
    expected="The client reads the PREAUTH greeting and closes the connection, at most with LOGOUT.",
    sources=("RFC 9051 section 7.1.4", "CVE-2020-12398", "CVE-2020-14093"),
    severity="high",
    advice="Close on a PREAUTH greeting outside TLS: STARTTLS is not possible any more.",
)
def preauth_ends_required_starttls(trial: Trial) -> Finding:
    """Look at what the client did after a PREAUTH greeting in clear."""
    if trial.security is not Security.STARTTLS:
        return Finding(Verdict.NOT_APPLICABLE, "this client was not told to use STARTTLS")
    if not any(session.clear_out.startswith(b"* PREAUTH") for session in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, "the PREAUTH greeting never reached the client")
    found = _went_on(trial, "the greeting was PREAUTH in clear", after=0.0)
    return found or Finding(Verdict.PASS, "the greeting was PREAUTH in clear, and the client gave up")


@rule(
    "discard-pretls-bytes",
    requirement="Bytes that came in clear behind the STARTTLS reply are never used after the handshake.",
    expected="After the handshake the client waits for a reply that came inside TLS, or it drops the connection.",
    sources=("RFC 3207 section 4.2", "RFC 9051 section 6.2.1", "CVE-2021-38371", "CVE-2020-15685"),
    severity="critical",
    advice="Empty the read buffer, or abort if it is not empty, when TLS starts.",
)
def discard_pretls_bytes(trial: Trial) -> Finding:
    """Compare the client with itself on the same server without the injected bytes."""
    injected_at = fired(trial, "injected")
    if injected_at is None:
        return Finding(Verdict.INCONCLUSIVE, "the client never asked for STARTTLS, so nothing could be injected")
    session = next(s for s in trial.sessions for d in s.of(e.Deviated) if d.kind == "injected")
    facts = session.tls
    if facts is None or facts.outcome is not HandshakeOutcome.COMPLETED:
        return Finding(Verdict.PASS, "bytes were injected, and the client left or its handshake failed on them")
    if trial.control is None:
        return Finding(Verdict.ERROR, "there is no run without the injection to compare with")
    compare = _ahead if any(isinstance(d, Withhold) for d in trial.served.deviations) else _chose
    return compare(session, trial.control)


def _ahead(session: SessionRecord, control: Trial) -> Finding:
    """Every reply is held back: more commands than without the injection came from the injected bytes."""
    usual = max((s.verbs(Layer.TLS) for s in control.sessions), key=len, default=())
    seen = session.verbs(Layer.TLS)
    if not usual:
        return Finding(Verdict.INCONCLUSIVE, "without the injection the client said nothing inside TLS either")
    if len(seen) > len(usual):
        extra = ", ".join(seen[len(usual) :])
        return Finding(
            Verdict.VIOLATION,
            f"no reply was sent inside TLS, yet the client went on from {seen[len(usual) - 1]} to {extra}: "
            "it used the injected lines as replies",
        )
    return Finding(Verdict.PASS, f"after {', '.join(seen)} the client waited for a reply that never came")


def _chose(session: SessionRecord, control: Trial) -> Finding:
    """The fragment names PLAIN, which the server does not offer: choosing it shows that the fragment was used."""
    usual = {c.argument.split()[0].upper() for s in control.sessions for c in _mechanisms(s)}
    seen = {c.argument.split()[0].upper() for c in _mechanisms(session)}
    if not usual:
        return Finding(Verdict.NOT_APPLICABLE, "this client does not choose among announced mechanisms")
    if usual != {b"LOGIN"}:
        return Finding(Verdict.NOT_APPLICABLE, "this client uses a mechanism of its own choice, offered or not")
    if b"PLAIN" in seen:
        return Finding(
            Verdict.VIOLATION, "only LOGIN was offered inside TLS; the client used PLAIN, which stood in the fragment"
        )
    return Finding(Verdict.PASS, "the client kept to what was offered inside TLS, or gave up")


def _mechanisms(session: SessionRecord) -> list[e.Command]:
    return [c for c in session.of(e.Command, Layer.TLS) if c.verb in ("AUTH", "AUTHENTICATE") and c.argument]
