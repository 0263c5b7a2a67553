"""Rules about what else is worth hiding: proofs of a password, names, content; and TLS where it may be left out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import connected, proofs, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model import events as e
from pytest_mailauth.model.exchanges import TLS_STARTERS
from pytest_mailauth.model.terms import Layer, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial

_PROOFS_OFFERED: Final = re.compile(rb"(?:CRAM|DIGEST)-MD5|NTLM|SCRAM-SHA|\A\+OK[^\r\n]*<[^<>\r\n]*>")
"""Names of mechanisms that prove a password, or the timestamp that APOP answers, in what a server said."""
_STAMP: Final = re.compile(rb"\A\+OK[^\r\n]*?(<[^<>\r\n]*>)")
_ATOM: Final = rb"[\w!#$%&'*+/=?^`{|}~.-]+"
_MESSAGE_ID: Final = re.compile(rb"<%b@%b>" % (_ATOM, _ATOM))
"""What RFC 1939 section 7 wants of a timestamp, a msg-id (RFC 5322 section 3.6.4): printable ASCII, and one ``@``."""


def _asked_for_tls(trial: Trial) -> bool:
    return any(c.verb in TLS_STARTERS for session in trial.sessions for c in session.of(e.Command, Layer.CLEAR))


@rule(
    "no-derived-credentials-in-clear",
    requirement="Where TLS is required, no proof of a password (CRAM-MD5, NTLM, APOP, SCRAM) crosses in clear.",
    expected="The client begins no login before TLS, whatever mechanisms the server lists.",
    sources=("RFC 8314 section 5.2", "CVE-2007-1558"),
    severity="high",
    advice="Treat a proof like the password itself: whoever sees it can guess the password, or pass the proof on.",
)
def no_derived_credentials_in_clear(trial: Trial) -> Finding:
    """Look for a login in clear that does not send the password. One that does is other rules' matter."""
    if trial.security is Security.NONE:
        return Finding(Verdict.NOT_APPLICABLE, "this client was not told to use TLS")
    if not connected(trial):
        return Finding(Verdict.INCONCLUSIVE, "the client never connected")
    sent = proofs(trial)
    if sent:
        evidence = f"in clear the client sent {spoken(sent)}: the password can be guessed from a proof, or it passed on"
        if trial.requires_tls:
            return Finding(Verdict.VIOLATION, evidence)
        if not trial.declared.allow_insecure_auth:
            return Finding(Verdict.NOTE, f"{evidence}; TLS is not required of this client")
        return Finding(Verdict.PASS, f"{evidence}; the client was declared to send the password itself")
    if not (any(_PROOFS_OFFERED.search(session.clear_out) for session in trial.sessions) or _asked_for_tls(trial)):
        return Finding(Verdict.INCONCLUSIVE, "the client never saw that a proof would be taken in clear")
    return Finding(Verdict.PASS, "a proof would have been taken in clear, and the client sent none")


@rule(
    "apop-guarded",
    requirement="APOP answers only a timestamp that is a msg-id: printable ASCII words around one @.",
    expected="The client sends no APOP where the timestamp is none, and logs in otherwise, or leaves.",
    sources=("RFC 1939 section 7", "RFC 5322 section 3.6.4", "CVE-2007-1558"),
    severity="medium",
    advice="Check the timestamp before APOP: a server that chooses its bytes finds out the password one by one.",
)
def apop_guarded(trial: Trial) -> Finding:
    """Look for APOP after a timestamp that is none."""
    if trial.protocol is not Protocol.POP3:
        return Finding(Verdict.NOT_APPLICABLE, "APOP is of POP3 alone")
    stamps = {session.number: _stamp(session) for session in trial.sessions}
    odd = [s for s in trial.sessions if (stamp := stamps[s.number]) and not _MESSAGE_ID.fullmatch(stamp)]
    if not odd:
        return Finding(Verdict.INCONCLUSIVE, "the client never saw a timestamp that is none")
    sent = [c for session in odd for c in session.of(e.Command) if c.verb == "APOP"]
    if sent:
        return Finding(Verdict.VIOLATION, f"the timestamp was no msg-id, and the client sent {spoken(sent)}")
    if trial.control is None or not any("APOP" in s.verbs(layer) for s in trial.control.sessions for layer in Layer):
        return Finding(Verdict.NOT_APPLICABLE, "this client sends no APOP where it could either")
    return Finding(Verdict.PASS, "the timestamp was no msg-id, and the client sent no APOP")


def _stamp(session: SessionRecord) -> bytes:
    """Return the timestamp in the greeting; empty when there is none."""
    found = _STAMP.match(session.clear_out or session.tls_out)
    return found[1] if found else b""
