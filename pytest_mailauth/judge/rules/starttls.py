"""Rules about STARTTLS: required means required, its reply counts, and nothing from before it survives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.comparison import PROVE_NOTHING
from pytest_mailauth.judge.rules.evidence import connected, fired, leak, operations, proofs, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.stripping import preauthenticated_inside
from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import Cut, Greet, GreetAgain
from pytest_mailauth.model.exchanges import CAPABILITIES, DISCOVERY, LOGINS, TLS_STARTERS, is_turned_away
from pytest_mailauth.model.sieve import Sieve
from pytest_mailauth.model.terms import Layer, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.trial import Trial

_CANCEL: Final = [b"*"]
"""Takes an authentication back (RFC 4954 section 4, RFC 9051 section 6.2.2): what a client may say to a ``+``."""


_ALERT: Final = b"\x15"
"""How a TLS record with an alert begins (RFC 8446 section 5.1)."""


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
    """Return a description of cleartext that is neither TLS nor a command, whole or begun; or None."""
    for session in trial.sessions:
        late = [x.fact for x in session.entries if x.at >= after and x.layer is Layer.CLEAR]
        broken = next((fact for fact in late if isinstance(fact, e.Malformed)), None)
        said = b"".join(fact.data for fact in late if isinstance(fact, e.Received))
        if broken is not None and _says_something(session.protocol, said):
            return f"text that is no command ({broken.reason})"
    return None


def _says_something(protocol: Protocol, data: bytes) -> bool:
    """Return whether *data* holds a line that tells anything.

    A TLS record tells nothing: an alert is what a client owes a server that answers its ClientHello with something
    else (RFC 8446 sections 5 and 6.2). Nor does an empty line, ``*``, or a discovery command, also one that breaks off.
    """
    polite = [name.encode() for name in DISCOVERY[protocol]]
    text, _records = Sieve().feed(data)
    *whole, begun = text.split(b"\n")
    for line, ended in [*((line, True) for line in whole), (begun, False)]:
        words = line.upper().split()
        verb = b"".join(words[1:2] if protocol is Protocol.IMAP else words[:1])
        is_polite = verb in polite or (not ended and any(name.startswith(verb) for name in polite))
        if words and words != _CANCEL and not is_polite:
            return True
    return False


@rule(
    "no-operation-before-required-tls",
    requirement="Where TLS is required, nothing but discovery and STARTTLS happens in clear.",
    expected="Before the TLS handshake the client only looks around (EHLO, CAPA, CAPABILITY), asks for TLS, or leaves.",
    sources=("RFC 8314 section 5.2", "RFC 2595 section 2.2", "RFC 3207 section 4"),
    severity="high",
    advice="Send no mail, mailbox or user command before the TLS handshake has finished.",
)
def no_operation_before_required_tls(trial: Trial) -> Finding:
    """Look for operations in clear. Logins that carried the password belong to no-cleartext-credentials.

    A name alone (POP3 USER) belongs to no-identity-in-clear.
    """
    if not trial.requires_tls:
        return Finding(Verdict.NOT_APPLICABLE, "TLS is not required of this client")
    if not connected(trial):
        return Finding(Verdict.INCONCLUSIVE, "the client never connected")
    done = [command for command in operations(trial, Layer.CLEAR) if command.verb != "USER"]
    if leak(trial, Layer.CLEAR) is not None:
        done = [command for command in done if command.verb not in LOGINS]
    if done:
        return Finding(Verdict.VIOLATION, f"before TLS the client sent {spoken(done)}")
    stray = _stray_text(trial, after=0.0)
    if stray is not None:  # nobody knows what it was meant to be
        return Finding(Verdict.INCONCLUSIVE, f"in clear the client sent {stray}")
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
    if any(isinstance(deviation, Cut) for deviation in trial.served.deviations):
        cut_at = fired(trial, "cut")
        if cut_at is None:
            return Finding(Verdict.INCONCLUSIVE, "the client never came to where the server changes")
        trial = replace(trial, sessions=tuple(s for s in trial.sessions if s.entries and s.entries[0].at > cut_at))
        if not trial.sessions:
            return Finding(Verdict.NOT_APPLICABLE, "this client did not connect again after that")
    answers = [fact for s in trial.sessions for fact in s.of(e.Deviated) if fact.kind == "answer"]
    if any(fact.verb in TLS_STARTERS and not fact.data for fact in answers):
        return Finding(Verdict.NOT_APPLICABLE, "the client asked for STARTTLS: what came of it is another rule's")
    if proofs(trial) and leak(trial, Layer.CLEAR) is None:
        # It is one that thinks a proof as good as TLS: it leaves where nothing but a password is taken.
        return Finding(
            Verdict.NOT_APPLICABLE, "the client logged in with a proof alone: no-derived-credentials-in-clear has that"
        )
    found = _went_on(trial, "STARTTLS was not offered", after=0.0)
    if found is not None:
        return found
    if trial.in_network and not any(session.listener == "main" for session in trial.sessions):
        return Finding(
            Verdict.NOT_APPLICABLE, "the client took the other address of the host, where STARTTLS is offered"
        )
    if not any(session.clear_out for session in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, "the client left before the greeting")
    if all(is_turned_away(session) for session in trial.sessions):
        asked = [c for session in trial.sessions for c in session.of(e.Command) if c.verb not in PROVE_NOTHING]
        if asked:  # which gives nothing away
            return Finding(
                Verdict.NOTE, f"the greeting refused the service, and the client went on with {spoken(asked)}"
            )
        return Finding(Verdict.PASS, "the greeting refused the service, and the client left")
    # Only IMAP's greeting may list what is offered; the others tell who asks (RFC 5321 section 4.1.1.1, RFC 2449).
    if trial.protocol is not Protocol.IMAP and not any(session.commands for session in trial.sessions):
        if trial.protocol is Protocol.POP3 and all(s.clear_out.count(b"\n") > 1 for s in trial.sessions):
            # Lines that nothing was asked for: RFC 1939 section 4 has one in a greeting.
            return Finding(Verdict.PASS, "the greeting had more than one line, and the client left")
        return Finding(Verdict.INCONCLUSIVE, "the client never asked what is offered")
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
    """Look at what the client did after STARTTLS was refused, not answered, or answered before it was asked for."""
    if any(isinstance(deviation, GreetAgain) for deviation in trial.served.deviations):
        return _shifted(trial)
    refused = next((f for s in trial.sessions for f in s.of(e.Deviated) if f.verb in TLS_STARTERS), None)
    asked_at = _answered_at(trial)
    early_at = _early_at(trial)
    if asked_at is None and early_at is None:
        return Finding(Verdict.INCONCLUSIVE, "the client never asked for STARTTLS, so it could not be refused")
    if refused is None:
        cause = "a reply to STARTTLS came before it was asked for"
    elif refused.kind == "reworded":
        cause = "STARTTLS was answered with another code than the success reply's"
    else:
        cause = "STARTTLS was refused" if refused.data else "STARTTLS was not answered"
    after = early_at if asked_at is None else asked_at
    assert after is not None  # noqa: S101 - for the type checker
    found = _went_on(trial, cause, after=after)
    if found is not None and asked_at is None:
        # It took the early reply for nothing that it had asked: what it did in clear is the matter of other rules.
        return Finding(Verdict.NOT_APPLICABLE, f"the client never asked for STARTTLS; {found.evidence}")
    if found is not None:
        return found
    late = [s for s in trial.sessions for x in s.entries if isinstance(x.fact, e.HelloSeen) and x.at > after]
    if late:
        return Finding(Verdict.NOTE, f"{cause}, and the client began a TLS handshake all the same")
    return Finding(Verdict.PASS, f"{cause}, and the client gave up")


def _answered_at(trial: Trial) -> float | None:
    """Return when STARTTLS was first answered otherwise than it should be, or None."""
    moments = [fired(trial, kind, verb) for kind in ("answer", "reworded") for verb in sorted(TLS_STARTERS)]
    return min((at for at in moments if at is not None), default=None)


def _early_at(trial: Trial) -> float | None:
    """Return when a reply that nobody had asked for was sent: behind an answer in clear, or behind the greeting."""
    answered = fired(trial, "answer", CAPABILITIES[trial.protocol])
    if answered is not None or not any(isinstance(d, Greet) for d in trial.served.deviations):
        return answered
    return next((x.at for _, x in trial.entries() if isinstance(x.fact, e.Sent)), None)


def _shifted(trial: Trial) -> Finding:
    """Look whether a greeting inside TLS, where every reply is held back, was taken for the reply to a command."""
    again_at = fired(trial, "greeted again")
    if again_at is None:
        return Finding(Verdict.INCONCLUSIVE, "the client never came inside TLS, where it would be greeted again")
    if trial.control is None:
        return Finding(Verdict.ERROR, "there is no run without the second greeting to compare with")
    if operations(trial.control, Layer.TLS):
        return Finding(Verdict.NOT_APPLICABLE, "this client goes on inside TLS without waiting for any reply")
    done = operations(trial, Layer.TLS, after=again_at)
    if done:
        return Finding(
            Verdict.VIOLATION,
            f"inside TLS the server greeted again and replied to nothing, and the client went on with {spoken(done)}: "
            "it took the greeting for the reply to another command",
        )
    return Finding(Verdict.PASS, "inside TLS the server greeted again, and the client did not take that for a reply")


@rule(
    "tls-really-started",
    requirement="A client that was promised TLS has an encrypted channel or fails; it never goes on in clear.",
    expected="When the handshake fails, the client closes the connection and sends nothing more in clear.",
    sources=("RFC 3207 section 4", "RFC 9051 section 11.1", "CVE-2020-15954"),
    severity="critical",
    advice="Let a failed handshake end the connection, whatever the reason.",
)
def tls_really_started(trial: Trial) -> Finding:
    """Look at what the client did when the ClientHello was answered in clear, or with an alert."""
    if trial.security is Security.IMPLICIT:
        return _begun_at_once(trial)
    hung_up_at = fired(trial, "hung up")
    stayed_at = fired(trial, "stays in clear") if hung_up_at is None else hung_up_at
    if stayed_at is None:
        return Finding(Verdict.INCONCLUSIVE, "the client never sent a ClientHello, so it could not be left without TLS")
    if hung_up_at is not None:
        cause = "the connection was lost behind the reply that starts TLS"
    else:
        said = b"".join(fact.data for s in trial.sessions for fact in s.of(e.Deviated))
        how = "not answered" if not said else "answered " + ("with a fatal alert" if said[:1] == _ALERT else "in clear")
        cause = f"the ClientHello was {how}"
    return _went_on(trial, cause, after=stayed_at) or Finding(Verdict.PASS, f"{cause}, and the client gave up")


def _begun_at_once(trial: Trial) -> Finding:
    """Look at what a client that was told implicit TLS did on a connection that somebody else had opened."""
    if not trial.supplied:
        return Finding(
            Verdict.NOT_APPLICABLE,
            "this client opens its connections by itself; if it can be given one, give it case.connection",
        )
    found = _went_on(trial, "the client was given a connection and told implicit TLS", after=0.0)
    if found is not None:
        return found
    if not any(session.of(e.HelloSeen) for session in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, "on the connection that it was given the client never began TLS")
    return Finding(Verdict.PASS, "on the connection that it was given the client began TLS at once")


@rule(
    "preauth-ends-required-starttls",
    requirement="If STARTTLS is required and the IMAP greeting is PREAUTH, the client closes the connection.",
    expected="The client reads the PREAUTH greeting and closes the connection, at most with LOGOUT.",
    sources=("RFC 9051 section 7.1.4", "CVE-2020-12398", "CVE-2020-14093"),
    severity="high",
    advice="Close on a PREAUTH greeting outside TLS: STARTTLS is not possible any more.",
)
def preauth_ends_required_starttls(trial: Trial) -> Finding:
    """Look at what the client did after a PREAUTH greeting in clear. Inside TLS it may come, and is worth a thought."""
    if trial.security is Security.IMPLICIT:
        return preauthenticated_inside(trial)
    if trial.security is not Security.STARTTLS:
        return Finding(Verdict.NOT_APPLICABLE, "this client was not told to use STARTTLS")
    if not any(session.clear_out.startswith(b"* PREAUTH") for session in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, "the PREAUTH greeting never reached the client")
    found = _went_on(trial, "the greeting was PREAUTH in clear", after=0.0)
    return found or Finding(Verdict.PASS, "the greeting was PREAUTH in clear, and the client gave up")
