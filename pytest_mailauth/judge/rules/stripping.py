"""Rules about what else is worth hiding: proofs of a password, names, content; and TLS where it may be left out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import connected, in_clear, leak, proofs, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import find
from pytest_mailauth.model.exchanges import LOGINS, TLS_STARTERS, operations_in_clear
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


def _named(trial: Trial) -> str | None:
    """Return how the client named its user in clear, as evidence; None when it did not."""
    for session in trial.sessions:
        where = f"session {session.number}: in clear the client"
        names = [c for c in session.of(e.Command, Layer.CLEAR) if c.verb == "USER" and c.argument.strip()]
        if trial.protocol is Protocol.POP3 and names:
            return f"{where} sent {spoken(names)}"
        encoding = find(trial.account.username, in_clear(session))
        if encoding is not None:
            return f"{where} gave its login name (found as {encoding})"
    return None


@rule(
    "no-identity-in-clear",
    requirement="Where TLS is required, nobody on the way learns whose mail it is: no login name crosses in clear.",
    expected="Before TLS the client sends no USER, and no ID that tells of its user.",
    sources=("RFC 8314 section 5.2", "RFC 2971"),
    severity="medium",
    advice="Say who you are inside TLS only: USER, ID, and whatever else holds a name, after the handshake.",
)
def no_identity_in_clear(trial: Trial) -> Finding:
    """Look for the login name in clear, where it did not come with the password or a proof: those are other rules'.

    MAIL names somebody too, and is an operation before that.
    """
    if not trial.requires_tls:
        return Finding(Verdict.NOT_APPLICABLE, "TLS is not required of this client")
    if leak(trial, Layer.CLEAR) is not None or proofs(trial):
        return Finding(Verdict.NOT_APPLICABLE, "a login crossed in clear, which is worse, and other rules' matter")
    named = _named(trial)
    if named is not None:
        return Finding(Verdict.VIOLATION, named)
    said = [c for session in trial.sessions for c in session.of(e.Command, Layer.CLEAR)]
    told = [c for c in said if c.verb == "ID" and c.argument.strip().upper() not in (b"", b"NIL")]
    if told:
        # RFC 8314 section 5.2 has nothing but discovery and STARTTLS there. Many clients that are honest do it.
        return Finding(Verdict.NOTE, f"in clear the client said which program it is: {spoken(told)}", should=True)
    if not (said or any(session.over_tls for session in trial.sessions)):
        return Finding(Verdict.INCONCLUSIVE, "the client said nothing at all")
    return Finding(Verdict.PASS, "nothing in clear tells whose client it is")


_CONTENT: Final = frozenset(
    {
        *("MAIL", "RCPT", "DATA", "BDAT"),
        *("APPEND", "SELECT", "EXAMINE", "CREATE", "RENAME", "DELETE", "SUBSCRIBE", "UNSUBSCRIBE", "STATUS", "LIST"),
        *("LSUB", "COPY", "UID COPY", "MOVE", "UID MOVE"),
    }
)
"""Commands that carry a message, or say where one is to go or to stand: to whom, and in which mailbox."""


@rule(
    "no-content-in-clear",
    requirement="Where TLS is required, no message, recipient or mailbox name crosses in clear, login or not.",
    expected="Without TLS the client sends nothing, also where no login is asked for, and reports an error.",
    sources=("RFC 8314 section 5.2", "CVE-2021-38373"),
    severity="high",
    advice="Ask for TLS because of the mail, not because of the password: check it where there is no login, too.",
)
def no_content_in_clear(trial: Trial) -> Finding:
    """Look for mail in clear where a server takes it without a login."""
    if not trial.requires_tls:
        return Finding(Verdict.NOT_APPLICABLE, "TLS is not required of this client")
    if not connected(trial):
        return Finding(Verdict.INCONCLUSIVE, "the client never connected")
    sent = [c for session in trial.sessions for c in session.of(e.Command, Layer.CLEAR) if c.verb in _CONTENT]
    if sent:
        taken = any(session.of(e.Stored, Layer.CLEAR) for session in trial.sessions)
        return Finding(
            Verdict.VIOLATION,
            f"in clear the client sent {spoken(sent)}{', and the message was taken' if taken else ''}",
        )
    if not any(session.of(e.Command) for session in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, "the client said nothing at all")
    return Finding(Verdict.PASS, "mail would have been taken in clear, and the client sent none")


@rule(
    "use-best-when-opportunistic",
    requirement="A client that may go without TLS uses it all the same wherever it is offered.",
    expected="The client sees STARTTLS among the capabilities and starts TLS before it does anything else.",
    sources=("RFC 8314 section 5.2", "RFC 3207 section 6"),
    severity="medium",
    advice="Start TLS whenever STARTTLS is offered; only where it is not may somebody who allowed it go on in clear.",
)
def use_best_when_opportunistic(trial: Trial) -> Finding:
    """Look at what a client that need not have TLS did where it could."""
    if trial.security is not Security.STARTTLS or trial.requires_tls:
        return Finding(Verdict.NOT_APPLICABLE, "this client was not declared opportunistic")
    offered = [s for s in trial.sessions if any(name in s.clear_out.upper() for name in (b"STARTTLS", b"STLS"))]
    done = [c for session in offered for c in operations_in_clear(session)]
    if done:
        return Finding(Verdict.VIOLATION, f"STARTTLS was offered, and in clear the client sent {spoken(done)}")
    if any(session.over_tls for session in trial.sessions):
        return Finding(Verdict.PASS, "the client did everything inside TLS")
    return Finding(Verdict.INCONCLUSIVE, "the client did nothing, in clear or inside TLS")


_WRITES: Final = frozenset({"APPEND", "STORE", "UID STORE", "COPY", "UID COPY", "MOVE", "UID MOVE", "EXPUNGE"})
"""Commands that leave something of the user in a mailbox, or take something away."""


def preauthenticated_inside(trial: Trial) -> Finding:
    """Look at a session that was said to be logged in already, inside TLS; as whom, no client was told."""
    there = [session for session in trial.sessions if session.tls_out.startswith(b"* PREAUTH")]
    if not there:
        return Finding(Verdict.INCONCLUSIVE, "the PREAUTH greeting never reached the client")
    said = [command for session in there for command in session.of(e.Command, Layer.TLS)]
    logins = [command for command in said if command.verb in LOGINS]
    if logins:
        return Finding(Verdict.NOTE, f"the greeting was PREAUTH, and the client sent {spoken(logins)} all the same")
    written = [command for command in said if command.verb in _WRITES]
    if written:
        return Finding(
            Verdict.NOTE,
            f"the greeting was PREAUTH, and the client sent {spoken(written)}: it never logged in there, so the "
            "mailbox may be somebody else's",
        )
    return Finding(Verdict.PASS, "the greeting was PREAUTH inside TLS, and the client only read, or left")
