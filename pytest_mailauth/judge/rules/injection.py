"""The rule about bytes that came in clear behind the STARTTLS reply, and how a client gives away that it used them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.comparison import has_logged_in, in_common, mechanism, named, steps
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import Trail, Withhold
from pytest_mailauth.model.exchanges import is_operation
from pytest_mailauth.model.terms import SEVERITY, Layer, Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial

_INJECTED: Final = ("injected", "injected late")
_ANY_BUFFER: Final = 2048
"""Bytes that fit whatever buffer a client reads into, unless it reads byte by byte."""


@rule(
    "discard-pretls-bytes",
    requirement="Bytes that came in clear behind the STARTTLS reply are never used after the handshake.",
    expected="After the handshake the client waits for a reply that came inside TLS, or it drops the connection.",
    sources=("RFC 3207 section 4.2", "RFC 9051 section 6.2.1", "CVE-2021-38371", "CVE-2020-15685"),
    severity="critical",
    advice="Empty the read buffer, or abort if it is not empty, when TLS starts.",
)
def discard_pretls_bytes(trial: Trial) -> Finding:
    """Compare the client with itself on the same server without the injected bytes, or with harmless ones."""
    injected = [s for s in trial.sessions if any(fact.kind in _INJECTED for fact in s.of(e.Deviated))]
    if not injected:
        return Finding(Verdict.INCONCLUSIVE, "the client never asked for STARTTLS, so nothing could be injected")
    if trial.control is None and any(_crossed(session) for session in injected):
        return Finding(Verdict.ERROR, "there is no run without the injection to compare with")
    # A client that aborts the first time may use the bytes when it tries again.
    findings = [_found(trial, session) for session in injected]
    return min(findings, key=lambda finding: SEVERITY.index(finding.verdict))


def _crossed(session: SessionRecord) -> bool:
    """Return whether the client came through the handshake, with what it may have kept."""
    return session.over_tls


def _found(trial: Trial, session: SessionRecord) -> Finding:
    late = any(fact.kind == "injected late" for fact in session.of(e.Deviated))
    if trial.security is Security.STARTTLS and not late and not _left_in_one_piece(session):
        return Finding(Verdict.INCONCLUSIVE, "the injected bytes did not leave in one piece with the STARTTLS reply")
    if not _crossed(session):
        return _never_crossed(session)
    assert trial.control is not None  # noqa: S101 - for the type checker
    return _comparison(trial)(session, trial.control)


def _comparison(trial: Trial) -> Callable[[SessionRecord, Trial], Finding]:
    """Return the question that the injected bytes pose: each kind gives itself away otherwise."""
    trails = [d.data for d in trial.served.deviations if isinstance(d, Trail)]
    if any(isinstance(d, Withhold) for d in trial.served.deviations):
        return partial(_ahead, is_greeted=trial.security is Security.IMPLICIT)
    if trial.marker:
        return partial(_repeated, said=_words(trial), marker=trial.marker)
    if any(b"* BYE" in data for data in trails):
        return _left
    return partial(_chose, offered=frozenset(name.encode() for name in trial.served.auth.mechanisms))


def _left_in_one_piece(session: SessionRecord) -> bool:
    """Return whether the reply and what was injected behind it were written at once, as one segment."""
    data = next(fact.data for fact in session.of(e.Deviated) if fact.kind == "injected")
    pieces = [fact.data for fact in session.of(e.Sent, Layer.CLEAR)]
    return any(piece.endswith(data) and len(piece) > len(data) for piece in pieces)


def _never_crossed(session: SessionRecord) -> Finding:
    """Judge a session without a finished handshake: nothing was used there, but it may be for want of a chance.

    A client that reads no further than the end of the reply leaves the rest to its TLS, which fails on it. That is
    safe, and shows nothing about what becomes of bytes that were read: only who had read them all had the chance. The
    look is taken when the first byte of the ClientHello comes. A TLS that reads more than the head of a record at once
    may have been faster: then the bytes have reached it, which is as safe.
    """
    injected = next(fact for fact in session.of(e.Deviated) if fact.kind in _INJECTED)
    if not session.of(e.HelloSeen) or not injected.verb:
        return Finding(Verdict.PASS, "bytes were injected, and the client left or its handshake failed on them")
    if injected.kind == "injected late" or len(injected.data) > _ANY_BUFFER:
        return Finding(Verdict.PASS, "the injected bytes came to the client's TLS, and its handshake failed on them")
    unread = next((fact.octets for fact in session.of(e.LeftUnread)), None)
    if unread == 0:
        return Finding(
            Verdict.PASS, "nothing of the injected bytes was left unread, and the client's handshake failed on them"
        )
    how = (
        "whether it had read them cannot be seen on this system"
        if unread is None
        else f"{unread} of {len(injected.data)} injected bytes lay unread when it began: it does not read ahead"
    )
    return Finding(
        Verdict.INCONCLUSIVE, f"the client's handshake failed on the injected bytes, and {how}, so it kept none"
    )


def _ahead(session: SessionRecord, control: Trial, *, is_greeted: bool) -> Finding:
    """Every reply is held back: what the client says beyond its control, it says because of the injected bytes."""
    usual = [steps(s) for s in control.sessions if s.over_tls]
    seen = steps(session)
    # Where the greeting is held back too, silence is what one waits for.
    if not usual or not (seen or any(usual) or is_greeted):
        return Finding(Verdict.INCONCLUSIVE, "without the injection the client said nothing inside TLS either")
    said = named(seen)
    same = max(in_common(seen, one) for one in usual)
    further = seen[same:]
    if not further:
        waited = f"after {said} the client waited" if said else "the client said nothing, and left"
        return Finding(Verdict.PASS, f"{waited}; no reply had come inside TLS")
    expected = " or ".join(dict.fromkeys(named(one) or "nothing" for one in usual))
    evidence = (
        f"no reply was sent inside TLS, yet the client said {said}; without the injected lines it said {expected}"
    )
    longer = len(seen) > max(map(len, usual))
    if longer or any(is_operation(session.protocol, command) for command in further):
        return Finding(Verdict.VIOLATION, f"{evidence}: it used them as replies")
    return Finding(Verdict.INCONCLUSIVE, evidence)


def _chose(session: SessionRecord, control: Trial, *, offered: frozenset[bytes]) -> Finding:
    """The injected bytes name PLAIN alone: choosing it, where the list inside TLS leads elsewhere, shows their use.

    There it is not offered, or beside something better. A client that has nothing better chooses PLAIN anyway.
    """
    usual = {mechanism(c) for s in control.sessions for c in s.of(e.Command, Layer.TLS)} - {b""}
    seen = {mechanism(c) for c in session.of(e.Command, Layer.TLS)}
    if b"PLAIN" in seen - usual and any(s.verbs(Layer.TLS) for s in control.sessions):
        was = "offered beside something better" if b"PLAIN" in offered else "not offered"
        return Finding(
            Verdict.VIOLATION,
            f"PLAIN was {was} inside TLS; the client used it, and it stood in the injected bytes",
        )
    if not usual:
        return Finding(Verdict.NOT_APPLICABLE, "this client does not choose among announced mechanisms")
    if b"PLAIN" in usual or not usual <= offered:
        return Finding(Verdict.NOT_APPLICABLE, "this client uses a mechanism of its own choice, offered or not")
    return Finding(Verdict.PASS, "the client kept to what was offered inside TLS, or gave up")


def _left(session: SessionRecord, control: Trial) -> Finding:
    """The injected bytes are a farewell, those of the control a line that means nothing: only that tells them apart."""
    if has_logged_in(session):
        return Finding(Verdict.PASS, "a farewell was injected, and the client went on inside TLS")
    if any(has_logged_in(s) for s in control.sessions):
        return Finding(
            Verdict.VIOLATION,
            "a farewell was injected, and the client left after the handshake; it stays for one that means nothing",
        )
    return Finding(Verdict.PASS, "the client leaves after the handshake whatever was injected")


def _repeated(session: SessionRecord, control: Trial, *, said: str, marker: str) -> Finding:
    """The injected bytes hold a text that is nowhere else: who repeats it after the handshake has read it there.

    Where the client is asked what it shows, the control has the same text inside TLS.
    """
    shown_inside = marker in _words(control) if "shown" in control.wants else None
    if marker in said:
        return Finding(Verdict.VIOLATION, f"after the handshake the client told of what was injected: {said}")
    if shown_inside is False:
        return Finding(Verdict.INCONCLUSIVE, "the client does not show what comes inside TLS either, where it has to")
    if has_logged_in(session):
        return Finding(Verdict.PASS, "the client went on inside TLS, and told nothing of what was injected")
    if not any(has_logged_in(s) for s in control.sessions):
        return Finding(Verdict.INCONCLUSIVE, "without the injection the client did not log in either")
    return Finding(Verdict.INCONCLUSIVE, f"the client left after the handshake, and did not say why: {said}")


def _words(trial: Trial) -> str:
    """Return what the client said by itself, raised or reported."""
    return " ".join(str(said) for said in (trial.outcome.error, *trial.outcome.facts.values()) if said)
