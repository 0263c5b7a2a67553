"""Rules about the choice of a mechanism, and about when its messages may be sent."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.tries import LOGIN_COMMAND, Try, strength, tries
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import find
from pytest_mailauth.model.deviations import Hide
from pytest_mailauth.model.exchanges import CAPABILITIES, LOGINS
from pytest_mailauth.model.terms import Layer, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial

_OFFERS: Final = {
    Protocol.SMTP: re.compile(rb"^250[- ]AUTH ([^\r\n]*)", re.MULTILINE | re.IGNORECASE),
    Protocol.POP3: re.compile(rb"^SASL ([^\r\n]*)", re.MULTILINE | re.IGNORECASE),
    Protocol.IMAP: re.compile(rb"\bAUTH=([^\s\]]+)", re.IGNORECASE),
}
"""How mechanisms are listed: RFC 4954 section 3, RFC 5034 section 3, RFC 9051 section 7.2.2."""
_OLD_FORM: Final = re.compile(rb"^250[- ]AUTH=([^\r\n]*)", re.MULTILINE | re.IGNORECASE)
"""How servers listed them before there was a standard."""
_CHALLENGED: Final = "the challenge was"
_LITERAL: Final = re.compile(rb"\{\d+(\+?)\}$")
"""A literal at the end of a line, which waits for leave to be sent or, with a plus, does not (RFC 7888)."""


@rule(
    "no-mechanism-downgrade",
    requirement="When a mechanism is refused, the client does not turn to one that gives more away.",
    expected="The client stops after the refusal, or goes on with a mechanism that is as strong.",
    sources=("RFC 4422 section 6.1.2", "RFC 4954 section 4", "CVE-2026-41319"),
    severity="high",
    advice="Treat a refused login as refused: whoever refuses the strong mechanism may wait for the weak one.",
)
def no_mechanism_downgrade(trial: Trial) -> Finding:
    """Look for a weaker mechanism behind a refused one.

    Inside TLS a client may try another mechanism (RFC 4954 section 4), unless it was declared not to, or the server
    said that what it had tried was too weak already.
    """
    made = [one for one in tries(trial) if one.strength]
    if not made:
        return Finding(Verdict.INCONCLUSIVE, "the client tried to log in with no mechanism that is known here")
    found = [finding for at, one in enumerate(made) if (finding := _downgraded(trial, made[:at], one)) is not None]
    if found:
        return next((finding for finding in found if finding.verdict is Verdict.VIOLATION), found[0])
    refused = [one for one in made if one.is_refused]
    if refused:
        return Finding(Verdict.PASS, f"{refused[0].mechanism} was refused, and the client tried nothing weaker")
    used = made[-1]
    offered = trial.served.auth.before_tls if used.layer is Layer.CLEAR else trial.served.auth.mechanisms
    if used.strength >= max((strength(name) for name in offered), default=0):
        return Finding(Verdict.PASS, f"the client used {used.mechanism}, and nothing stronger is offered")
    return Finding(Verdict.NOT_APPLICABLE, f"the client used {used.mechanism} at once; nothing stronger was refused")


def _downgraded(trial: Trial, before: list[Try], one: Try) -> Finding | None:
    """Return what is to be said of one attempt after those before it, or None for nothing."""
    stronger = next((other for other in before if other.is_refused and other.strength > one.strength), None)
    where = "in clear" if one.layer is Layer.CLEAR else "inside TLS"
    if stronger is not None:
        evidence = f"{stronger.mechanism} was refused, and the client went on {where} with {spoken([one.command])}"
        if one.layer is Layer.CLEAR or trial.declared.mechanism_downgrade == "no" or stronger.is_too_weak:
            return Finding(Verdict.VIOLATION, evidence)
        return Finding(Verdict.NOTE, f"{evidence}; inside TLS it may, unless it is declared mechanism_downgrade=no")
    as_weak = next((x for x in before if x.is_too_weak and x.strength == one.strength), None)
    if as_weak is not None:
        return Finding(Verdict.NOTE, f"{as_weak.mechanism} was too weak, and the client went on with {one.mechanism}")
    return None


@rule(
    "offered-mechanisms-only",
    requirement="The client uses what the server offers on this connection, and only what fits its credentials.",
    expected="The client logs in with a mechanism of the list that it got last, or leaves.",
    sources=("RFC 4954 section 3", "RFC 5034 section 3", "RFC 4422 section 3.2"),
    severity="low",
    advice="Choose from the list that came on this connection, and report an error when nothing in it can be used.",
)
def offered_mechanisms_only(trial: Trial) -> Finding:
    """Compare each attempt to log in with what had been offered before it on the same layer."""
    made = tries(trial)
    found = [finding for one in made if (finding := _not_offered(trial, one)) is not None]
    if found:
        return next((finding for finding in found if finding.verdict is Verdict.VIOLATION), found[0])
    literals = [match[1] for one in made if (match := _LITERAL.search(one.command.argument))]
    hides_literals = any("LITERAL+" in d.names for d in trial.served.deviations if isinstance(d, Hide))
    if hides_literals and made and not literals:
        return Finding(Verdict.NOT_APPLICABLE, "the client sends no literals")
    if made:
        names = ", ".join(dict.fromkeys(one.mechanism for one in made))
        return Finding(Verdict.PASS, f"the client used what is offered: {names}")
    layer = Layer.CLEAR if trial.security is Security.NONE else Layer.TLS
    asked = any(CAPABILITIES[trial.protocol] in session.verbs(layer) for session in trial.sessions)
    if not asked:
        return Finding(Verdict.INCONCLUSIVE, "the client left before it was told what is offered")
    return Finding(Verdict.PASS, "the client found nothing that it can use, and tried nothing")


def _not_offered(trial: Trial, one: Try) -> Finding | None:
    """Return what is to be said of an attempt with a mechanism that is not the client's to use, or None."""
    said, asked = _said_before(one)
    sent = f"the client sent {spoken([one.command])}"
    if one.mechanism == "EXTERNAL":
        return Finding(Verdict.VIOLATION, f"the client has no certificate, and {sent}")
    if one.mechanism == "ANONYMOUS":
        traces = {fact.identity for fact in one.session.auth if fact.mechanism == "ANONYMOUS"}
        if traces & {trial.account.username, trial.account.address, trial.tells.get("username")}:
            return Finding(Verdict.VIOLATION, f"{sent}, and told its name with it")
        return Finding(Verdict.NOTE, f"the client has credentials, and {sent}")
    if one.mechanism == LOGIN_COMMAND:
        literal = _LITERAL.search(one.command.argument)
        if literal and literal[1] and b"LITERAL" not in said:
            return Finding(Verdict.VIOLATION, f"LITERAL+ is not offered, and {sent}")
        return Finding(Verdict.VIOLATION, f"LOGIN is disabled, and {sent}") if b"LOGINDISABLED" in said else None
    if one.mechanism == "APOP":
        return None  # the greeting offers it
    if one.mechanism == "USER":
        return _user_not_offered(one, said, asked=asked)
    if one.mechanism in _listed(trial.protocol, said):
        return None
    if one.mechanism in _words(_OLD_FORM.findall(said)):
        return Finding(Verdict.NOTE, f"only the old form AUTH= was offered, and {sent}")
    return Finding(Verdict.VIOLATION, f"{one.mechanism} is not offered, and {sent}")


def _user_not_offered(one: Try, said: bytes, *, asked: bool) -> Finding | None:
    """USER may be missing in a list, and a client need not ask for one (RFC 2449 sections 5 and 6.2)."""
    if re.search(rb"^USER\s*$", said, re.MULTILINE | re.IGNORECASE) or (not asked and not one.is_refused):
        return None
    went_on = "PASS" in one.session.verbs(one.layer)
    if asked or went_on:
        then = ", and PASS after it" if went_on else ""
        return Finding(Verdict.VIOLATION, f"USER is not offered, and the client sent it{then}")
    return Finding(Verdict.NOTE, "the client sent USER without asking for a list, and stopped at the refusal")


def _said_before(one: Try) -> tuple[bytes, bool]:
    """Return what the server had said on the same layer before an attempt, and whether the list was asked for."""
    said, asked = b"", False
    for entry in one.session.entries:
        if entry.fact is one.command:
            break
        if entry.layer is one.layer and isinstance(entry.fact, e.Sent):
            said += entry.fact.data
        if entry.layer is one.layer and isinstance(entry.fact, e.Command):
            asked = asked or entry.fact.verb == CAPABILITIES[one.session.protocol]
    return said, asked


def _listed(protocol: Protocol, said: bytes) -> set[str]:
    """Return the mechanisms in what a server said. Old POP3 servers answer AUTH alone with lines, after no standard."""
    lines = {line.strip().decode("ascii", "replace").upper() for line in said.splitlines()}
    return _words(_OFFERS[protocol].findall(said)) | (lines if protocol is Protocol.POP3 else set())


def _words(lists: list[bytes]) -> set[str]:
    return {word.decode("ascii", "replace").upper() for words in lists for word in words.split()}


@rule(
    "credentials-only-after-continuation",
    requirement="The secret follows only when the server asks for it, with a continuation that can be understood.",
    expected="The client sends nothing more after a reply that is no continuation, and cancels what it cannot decode.",
    sources=("RFC 4954 section 4", "RFC 5034 section 4", "RFC 9051 section 6.2.2", "RFC 9051 section 4.3"),
    severity="medium",
    advice="Look at the reply before each step of an authentication: only 334, or +, asks for the next one.",
)
def credentials_only_after_continuation(trial: Trial) -> Finding:
    """Look for the secret behind a reply that did not ask for it; a new login command is a new matter."""
    for session in trial.sessions:
        met = _met(session)
        if met is None:
            continue
        at, what, asks = met
        leaked = _secret_after(trial, session, at)
        if asks:
            if trial.logged_in(Layer.TLS) or trial.logged_in(Layer.CLEAR):
                return Finding(Verdict.PASS, f"{what}, and the client logged in")
            return Finding(Verdict.NOTE, f"{what}, and the client did not go on; it may")
        if leaked and what.startswith(_CHALLENGED):
            # LOGIN has no standard, and what it asks has no meaning: clients that overlook it give nothing away.
            return Finding(Verdict.NOTE, f"{what}, and the client sent the password all the same")
        if leaked:
            return Finding(Verdict.VIOLATION, f"{what}, and the client sent the password all the same")
        return Finding(Verdict.PASS, f"{what}, and the client sent no secret after it")
    if tries(trial):
        return Finding(Verdict.NOT_APPLICABLE, "the client logs in in another way, and was not asked for a secret here")
    if "password" in trial.tells and any(session.commands for session in trial.sessions):
        return Finding(Verdict.NOT_APPLICABLE, "the client has no way to send such a password")
    return Finding(Verdict.INCONCLUSIVE, "the client began nothing in which it could have been asked for a secret")


def _met(session: SessionRecord) -> tuple[int, str, bool] | None:
    """Return where the server did not ask properly, what it did, and whether that asked for the secret all the same."""
    command: e.Command | None = None
    for at, entry in enumerate(session.entries):
        fact = entry.fact
        if isinstance(fact, e.Command):
            command = fact
        elif isinstance(fact, e.Deviated) and fact.kind == "challenge":
            return at, f"{_CHALLENGED} {fact.data.decode('ascii', 'replace')!r}", _is_base64(fact.data)
        elif isinstance(fact, e.Deviated) and fact.kind == "answer" and fact.verb in LOGINS and command:
            literal = _LITERAL.search(command.argument)
            if fact.verb == "LOGIN" and (literal is None or literal[1]):
                continue  # everything had been sent with the command
            return at, f"{fact.verb} was answered with {fact.data.decode('utf-8', 'replace').strip()!r}", False
    return None


def _is_base64(line: bytes) -> bool:
    try:
        base64.b64decode(line, validate=True)
    except binascii.Error:
        return False
    return True


def _secret_after(trial: Trial, session: SessionRecord, at: int) -> bool:
    """Return whether the password came behind the entry *at*, on a line that is no login command."""
    secret = str(trial.tells.get("password", trial.account.password))
    heard = b"".join(entry.fact.data for entry in session.entries[at:] if isinstance(entry.fact, e.Received))
    place = 1 if session.protocol is Protocol.IMAP else 0
    for line in heard.splitlines():
        words = line.split()
        verb = words[place].decode("ascii", "replace").upper() if len(words) > place else ""
        if verb not in LOGINS and find(secret, line):
            return True
    return False
