"""Rules about servers that speak something else: the other TLS mode, another protocol or dialect, TLS inside TLS."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.judge.rules.evidence import (
    connected,
    fired,
    greeting,
    leak,
    never_greets,
    spoken,
)
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.wording import blames_credentials, own_words
from pytest_mailauth.model import events as e
from pytest_mailauth.model.exchanges import is_operation
from pytest_mailauth.model.terms import Layer, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial

_GREETINGS: Final[dict[Protocol, re.Pattern[bytes]]] = {
    Protocol.SMTP: re.compile(rb"[245]\d\d[ -]"),  # RFC 5321 section 3.1
    Protocol.POP3: re.compile(rb"\+OK|-ERR"),  # RFC 1939 section 4
    Protocol.IMAP: re.compile(rb"\* (?:OK|PREAUTH|BYE) ", re.IGNORECASE),  # RFC 9051 section 7.1
}
"""How a server of each protocol begins."""

_LEAVE: Final = frozenset({"QUIT", "LOGOUT", "NOOP", "RSET"})
"""What a client may say to anybody: it gives up, and gives nothing away."""
_INTRODUCTIONS: Final = frozenset({"EHLO", "HELO", "LHLO"})
"""Who was refused one may try another; LHLO is that of LMTP (RFC 2033 section 4.1)."""


class _Stranger(NamedTuple):
    """A server that is not what the client was told, as it showed on one connection.

    Attributes:
        what: What it did, as the beginning of a sentence.
        session: The connection.
        since: From when on a client knows that it is at the wrong place; 0 where it was never told anything.
        is_mute: Whether it was silent, so that the client can only have waited.
        may_look: Whether the client may still ask what the server is.
    """

    what: str
    session: SessionRecord
    since: float
    is_mute: bool = False
    may_look: bool = False

    def ahead(self) -> list[e.Command]:
        """Return what the client said all the same, without what gives nothing away."""
        said = [x.fact for x in self.session.entries if x.at >= self.since and isinstance(x.fact, e.Command)]
        meant = [command for command in said if command.verb and command.verb not in _LEAVE]
        if not self.may_look:
            return meant
        return [c for c in meant if c.verb not in _INTRODUCTIONS and is_operation(self.session.protocol, c)]


@rule(
    "mode-mismatch-diagnosed",
    requirement="When a server speaks another TLS mode, protocol or dialect, the client ends soon, with an error.",
    expected="The client says nothing to a server that has not greeted it as it should, and reports what it met.",
    sources=("S1", "S10", "RFC 5321 section 4.3.1"),
    severity="medium",
    advice="Wait for the greeting and check it; an answer that makes no sense ends the session with an error.",
)
def mode_mismatch_diagnosed(trial: Trial) -> Finding:
    """Look at what the client said to a server that was not what it had been told, and at how it ended."""
    if not connected(trial):
        return Finding(Verdict.INCONCLUSIVE, "the client never connected")
    met = [stranger for session in trial.sessions if (stranger := _stranger(trial, session)) is not None]
    if not met:
        return Finding(Verdict.INCONCLUSIVE, "nothing that the server said was strange to the client")
    for stranger in met:
        found = _spoke(trial, stranger)
        if found is not None:
            return found
    what, is_mute = met[0].what, all(stranger.is_mute for stranger in met)
    # Silence is blocked-port-diagnosed's matter, and who passes a refusal on may call it one of access.
    may_blame = is_mute or any(stranger.may_look for stranger in met)
    if trial.outcome.hung and not is_mute:
        return Finding(
            Verdict.VIOLATION,
            f"{what}, and after {trial.outcome.seconds:.1f} s the client had not given up "
            f"(declared time-out: {trial.declared.timeout:g} s)",
        )
    said = own_words(trial)
    if not said:
        return Finding(
            Verdict.NOT_APPLICABLE,
            f"{what}; the client said nothing about it: let it raise, print, or call case.report(error=...)",
        )
    if blames_credentials(said) and not may_blame:
        return Finding(Verdict.VIOLATION, f"{what}, and the client blames the credentials: {said}")
    return Finding(Verdict.PASS, f"{what}; the client gave up and said: {said}")


def _spoke(trial: Trial, stranger: _Stranger) -> Finding | None:
    """Return what the client said to a stranger, or None when it said nothing that counts."""
    ahead = stranger.ahead()
    if not ahead:
        return None
    evidence = f"{stranger.what}, and the client went on with {spoken(ahead)}"
    if stranger.is_mute and not any(is_operation(trial.protocol, command) for command in ahead):
        # RFC 5321 section 4.3.1 says that a client SHOULD wait for the greeting, and the others say nothing.
        return Finding(Verdict.NOTE, f"{evidence}, and gave up there")
    there = replace(trial, sessions=(stranger.session,))
    lost = [found for layer in Layer if (found := leak(there, layer)) is not None]
    for found in lost:
        if found.verdict is Verdict.ERROR:
            return found
    return Finding(Verdict.VIOLATION, "; ".join([evidence, *(found.evidence for found in lost)]))


def _stranger(trial: Trial, session: SessionRecord) -> _Stranger | None:
    """Return what was strange about the server on one connection, or None."""
    first = greeting(session)
    if first is None:
        # Before the handshake an implicit TLS server owes no greeting to a client that knows it for one.
        is_due = trial.security is not Security.IMPLICIT or session.over_tls
        is_mute = is_due and never_greets(trial)
        return _Stranger("the server never greeted", session, 0.0, is_mute=True) if is_mute else None
    at, said = first
    line = said.partition(b"\r\n")[0].decode("utf-8", "replace")
    if not _GREETINGS[trial.protocol].match(said):
        return _Stranger(f'the server greeted with "{line}"', session, at)
    if trial.security is Security.IMPLICIT and session.security is not Security.IMPLICIT:
        # What the client says in clear to a server that greets in clear belongs to no-silent-port-switch.
        return _Stranger("the server greeted in clear where TLS begins at once", session, math.inf)
    there = replace(trial, sessions=(session,))
    refused = fired(there, "answer", "EHLO") or fired(there, "answer", "HELO")
    if refused is not None:
        return _Stranger(f'the server ("{line}") took neither EHLO nor HELO', session, refused, may_look=True)
    return None


@rule(
    "no-tls-inside-tls",
    requirement="STARTTLS is never sent inside TLS, even if the server offers it there.",
    expected="The client takes no notice of STARTTLS in a list of capabilities that came inside TLS, and logs in.",
    sources=("RFC 3207 section 4.2",),
    severity="low",
    advice="Ask whether the connection is encrypted before looking for STARTTLS among the capabilities.",
)
def no_tls_inside_tls(trial: Trial) -> Finding:
    """Look for STARTTLS on the TLS layer."""
    sent = [c for session in trial.sessions for c in session.of(e.Command, Layer.TLS) if c.verb in ("STARTTLS", "STLS")]
    if sent:
        return Finding(Verdict.VIOLATION, f"inside TLS the client sent {spoken(sent)}")
    if any(b"STARTTLS" in session.tls_out or b"STLS" in session.tls_out for session in trial.sessions):
        return Finding(Verdict.PASS, "STARTTLS was offered inside TLS, and the client did not send it")
    if trial.logged_in(Layer.TLS):
        return Finding(Verdict.NOT_APPLICABLE, "this client logs in without asking what is offered")
    return Finding(Verdict.INCONCLUSIVE, "the client never saw that STARTTLS is offered inside TLS")
