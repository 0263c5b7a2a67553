"""Rules about the time before TLS: nothing is said behind STARTTLS, and what was learnt in clear is forgotten."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.comparison import in_common, methods, named, steps
from pytest_mailauth.judge.rules.evidence import fired, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import Announce, Withhold
from pytest_mailauth.model.exchanges import CAPABILITIES, TLS_STARTERS, is_operation
from pytest_mailauth.model.record import FAREWELLS
from pytest_mailauth.model.sieve import Sieve
from pytest_mailauth.model.terms import Layer, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial

_STARTTLS_LINE: Final = re.compile(rb"^(?:[^ \r\n]+ )?(?:STARTTLS|STLS)[ \t]*\r?\n", re.IGNORECASE | re.MULTILINE)


@rule(
    "nothing-between-starttls-and-tls",
    requirement="Between STARTTLS and the end of the handshake the client says nothing.",
    expected="STARTTLS is the last line in clear; the client waits for the reply, and sends a ClientHello.",
    sources=("RFC 2595 section 3.1", "RFC 2595 section 4", "RFC 3207 section 4", "RFC 9051 section 6.2.1"),
    severity="medium",
    advice="Send STARTTLS alone, never in one group with other commands, and wait for its reply.",
)
def nothing_between_starttls_and_tls(trial: Trial) -> Finding:
    """Look at what came in clear behind the STARTTLS line. The engine drops it, so the bytes have to tell."""
    asked = [(s, index) for s in trial.sessions for index in _starts(s)[:1]]
    if not asked:
        return Finding(Verdict.INCONCLUSIVE, "the client never asked for STARTTLS")
    hasty = False
    for session, index in asked:
        text, hello = _behind(session, index)
        if _says_more_than_farewell(session, text):
            return Finding(
                Verdict.VIOLATION, f"between STARTTLS and TLS the client sent {len(text)} bytes of text: {_verbs(text)}"
            )
        hasty = hasty or hello
    if hasty:
        return Finding(Verdict.NOTE, "the client began TLS before STARTTLS was answered")
    return Finding(Verdict.PASS, "behind STARTTLS the client sent nothing in clear")


def _starts(session: SessionRecord) -> list[int]:
    """Return where among the facts of a session STARTTLS was asked for in clear."""
    return [
        index
        for index, x in enumerate(session.entries)
        if isinstance(x.fact, e.Command) and x.layer is Layer.CLEAR and x.fact.verb in TLS_STARTERS
    ]


def _behind(session: SessionRecord, index: int) -> tuple[bytes, bool]:
    """Return the text behind the STARTTLS line up to TLS, and whether TLS records came before the reply.

    What follows a refusal is another rule's matter: TLS is not about to begin then.
    """
    before = b"".join(x.fact.data for x in session.entries[:index] if isinstance(x.fact, e.Received))
    # The line itself came in one of these pieces; what came in the same piece came before any reply.
    found = list(_STARTTLS_LINE.finditer(before))
    early, late = before[found[-1].end() :] if found else b"", b""
    replied = False
    for x in session.entries[index:]:
        match x.fact:
            case e.HandshakeEnded() | e.HelloSeen() | e.Closed():
                break
            case e.Deviated(kind="answer" | "hung up" | "stays in clear"):
                break
            case e.Sent(data=data):
                if not replied and _refuses(data):
                    break
                replied = True
            case e.Received(data=data) if replied:
                late += data
            case e.Received(data=data):
                early += data
            case _:
                pass
    text, records = Sieve().feed(early)
    return text + Sieve().feed(late)[0], bool(records)


def _says_more_than_farewell(session: SessionRecord, text: bytes) -> bool:
    """Return whether there is anything but an empty line or a farewell: who waits in vain may take leave."""
    farewell = FAREWELLS[session.protocol].encode()
    words = [line.upper().split() for line in text.splitlines()]
    return any(line and farewell not in line[: 2 if session.protocol is Protocol.IMAP else 1] for line in words)


def _refuses(reply: bytes) -> bool:
    return not re.match(rb"(?:\* [^\n]*\n)*(?:220|\+OK|[^ ]+ OK)", reply, re.IGNORECASE)


def _verbs(text: bytes) -> str:
    """Return what the lines begin with, where that is a command that everybody may see."""
    words = [word.upper() for line in text.splitlines() for word in line.split()[:2]]
    known = b"EHLO HELO AUTH MAIL RCPT NOOP CAPA USER PASS STAT LIST CAPABILITY LOGIN AUTHENTICATE ID SELECT".split()
    shown = dict.fromkeys(word.decode() for word in words if word in known)
    return ", ".join(shown) or "no command that is known"


@rule(
    "discard-pretls-state",
    requirement="What was learnt in clear, such as the list of capabilities, is forgotten when TLS has started.",
    expected="Inside TLS the client goes by what it was told there, and by nothing that it was told before.",
    sources=("RFC 3207 section 4.2", "RFC 2595 section 3.1", "RFC 2595 section 4", "RFC 9051 section 6.2.1"),
    severity="high",
    advice="Forget the capabilities when the handshake is done, and ask for them again before anything else.",
)
def discard_pretls_state(trial: Trial) -> Finding:
    """Compare the client with itself on a server that told it nothing of the kind in clear."""
    inside = [s for s in trial.sessions if s.over_tls]
    if not inside and fired(trial, "answer", CAPABILITIES[trial.protocol]) is not None:
        return Finding(Verdict.PASS, "in clear the server answered more than it was asked, and the client gave up")
    if not inside:
        return Finding(Verdict.INCONCLUSIVE, "the client never came inside TLS")
    if trial.control is None:
        return Finding(Verdict.ERROR, "there is no run without the capabilities in clear to compare with")
    if any(isinstance(d, Withhold) for d in trial.served.deviations):
        return _without_waiting(inside, trial.control)
    seen, usual = methods(trial), methods(trial.control)
    further = seen - usual
    if further:
        otherwise = f"without it, it used {' and '.join(sorted(usual))}" if usual else "without it, it did not log in"
        return Finding(
            Verdict.VIOLATION,
            f"inside TLS the client used {' and '.join(sorted(further))}, which the list in clear offers; {otherwise}",
        )
    if not any(s.verbs(Layer.TLS) for s in inside):
        return Finding(Verdict.INCONCLUSIVE, "the client said nothing inside TLS")
    offered = _named_in_clear(trial)
    if usual & offered:
        return Finding(
            Verdict.NOT_APPLICABLE,
            f"this client uses {' and '.join(sorted(usual & offered))} whether or not the list in clear offers it",
        )
    return Finding(Verdict.PASS, "inside TLS the client did what it does without the list in clear")


def _named_in_clear(trial: Trial) -> set[str]:
    """Return the mechanisms that this server names in clear alone."""
    lines = [line for d in trial.served.deviations if isinstance(d, Announce) and not d.over_tls for line in d.lines]
    words = {word for line in lines for word in line.upper().replace("AUTH=", "").split()}
    return words - set(trial.served.auth.mechanisms)


def _without_waiting(inside: list[SessionRecord], control: Trial) -> Finding:
    """Every reply inside TLS is held back: who goes on beyond its control goes on because of what came in clear."""
    usual = [steps(s) for s in control.sessions if s.over_tls]
    if not any(usual):
        return Finding(Verdict.INCONCLUSIVE, "on the server that told it nothing the client said nothing inside TLS")
    for session in inside:
        seen = steps(session)
        further = seen[max(in_common(seen, one) for one in usual) :]
        if any(is_operation(session.protocol, command) for command in further):
            return Finding(
                Verdict.VIOLATION,
                f"no reply was sent inside TLS, yet the client said {named(seen)}: it goes by what came in clear",
            )
    return Finding(Verdict.PASS, "inside TLS the client waited for a reply")


@rule(
    "relearn-capabilities-after-tls",
    requirement="After the handshake the client asks again what the server offers.",
    expected="EHLO, CAPA or CAPABILITY is the first command inside TLS.",
    sources=("RFC 3207 section 4.2", "RFC 2595 section 3.1", "RFC 2595 section 4", "RFC 9051 section 6.2.1"),
    severity="medium",
    advice="Send EHLO, CAPA or CAPABILITY as the first command behind the handshake.",
)
def relearn_capabilities_after_tls(trial: Trial) -> Finding:
    """Look at the first command inside TLS. The standards say SHOULD."""
    if trial.security is not Security.STARTTLS:
        return Finding(Verdict.NOT_APPLICABLE, "this client was not told to use STARTTLS")
    ask = CAPABILITIES[trial.protocol]
    first = [said for s in trial.sessions if s.over_tls and (said := _that_mean_something(s))]
    if not first:
        return Finding(Verdict.INCONCLUSIVE, "the client said nothing inside TLS")
    hasty = next((said[0] for said in first if said[0].verb != ask), None)
    if hasty is None:
        return Finding(Verdict.PASS, f"inside TLS the client asked again what is offered, with {ask}")
    if not any(command.verb == ask for s in trial.sessions for command in s.commands):
        return Finding(Verdict.NOT_APPLICABLE, "this client never asks what is offered, on either layer")
    evidence = f"inside TLS the client said {spoken([hasty])} and had not asked again what is offered"
    return Finding(Verdict.NOTE, evidence, should=True)


def _that_mean_something(session: SessionRecord) -> list[e.Command]:
    """Return the commands inside TLS that ask what is offered, or rest on what is."""
    said = session.of(e.Command, Layer.TLS)
    return [c for c in said if c.verb == CAPABILITIES[session.protocol] or is_operation(session.protocol, c)]
