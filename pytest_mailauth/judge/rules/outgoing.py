"""Rules about what a client sends by itself: what a caller passes in stays a value, and a message stays one message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.rules.evidence import connected
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.wording import names_network, own_words
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import find
from pytest_mailauth.model.relay import CHUNKING
from pytest_mailauth.model.reports import SENDER
from pytest_mailauth.model.terms import Protocol, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial

_LINE_BREAK: Final = re.compile(rb"\r\n|\r|\n")
_BREAKS_OUT: Final = {
    Protocol.SMTP: re.compile(rb"[\r\n\0]"),
    Protocol.POP3: re.compile(rb"[\r\n\0]"),
    Protocol.IMAP: re.compile(rb'[\r\n\0"]|\{\d+\}$'),
}
"""What ends a value before its end when it is sent as it stands."""
_LITERAL: Final = re.compile(rb"(~?)\{(\d{1,10})\+?\}\r\n")
_AROUND: Final = 8
"""Bytes on both sides of what breaks out, so that it is known for the one that the caller passed in."""
_ENVELOPE: Final = {"sender": "MAIL", "recipient": "RCPT", "recipients": "RCPT"}


@rule(
    "no-command-injection",
    requirement="CR, LF and NUL in what a caller passes in never reach the server as a command or header of their own.",
    expected="The client refuses the value, or sends it in a form in which it ends nothing: base64, literal, escaped.",
    sources=("RFC 5321 section 2.3.8", "RFC 9051 section 9", "CVE-2026-30227", "CVE-2026-42257"),
    severity="high",
    advice="Refuse CR, LF and NUL in addresses, names, secrets and headers; escape or use literals in IMAP.",
)
def no_command_injection(trial: Trial) -> Finding:
    """Look for the caller's value on the wire in the form in which it breaks out, and for what would come out of it."""
    told = {name: value for name, value in _told(trial.tells) if _BREAKS_OUT[trial.protocol].search(value)}
    if not told:
        return Finding(Verdict.NOT_APPLICABLE, "nothing that the client was told to send can break out")
    unused = _unused(trial, told)
    if unused is not None:
        return Finding(Verdict.NOT_APPLICABLE, unused)
    for name, value in told.items():
        for session in trial.sessions:
            said = _broke_out(session, value)
            if said is not None:
                return Finding(Verdict.VIOLATION, f"session {session.number}: {said} in case.{name} crossed as it was")
    name, value = next(iter(told.items()))
    head = _BREAKS_OUT[trial.protocol].split(value)[0]
    # A head that is short leaves nothing that is certain in base64, and the whole value does.
    forms = (head.decode(), value.decode())
    if any(find(form, data) for form in forms for s in trial.sessions for data in (s.clear_in, s.tls_in)):
        return Finding(Verdict.PASS, f"case.{name} was sent in a form in which nothing breaks out of it")
    said = own_words(trial)
    if said is not None and not names_network(said):
        return Finding(Verdict.PASS, f"case.{name} was not sent, and an error was reported")
    return Finding(Verdict.INCONCLUSIVE, f"nothing shows that the client used case.{name}")


def _told(tells: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    for name, value in tells.items():
        for one in value if isinstance(value, tuple) else (value,):
            yield name, one if isinstance(one, bytes) else str(one).encode()


def _unused(trial: Trial, told: Mapping[str, bytes]) -> str | None:
    """Return why the client cannot have used what it was told, or None."""
    if "password" in told and trial.declared.auth != "password":
        return "this client logs in without a password"
    before = trial.control.sessions if trial.control else ()
    sent = [c.argument for session in before for c in session.commands if c.verb == "MAIL"]
    if "sender" in told and sent and not any(SENDER.encode() in argument for argument in sent):
        return "this client does not send as case.sender"
    return None


def _broke_out(session: SessionRecord, value: bytes) -> str | None:
    """Return what of *value* ended something before its end on this connection, or None."""
    for data in (session.clear_in, session.tls_in):
        outside, literals = _apart(data) if session.protocol is Protocol.IMAP else (data, [])
        for found in _BREAKS_OUT[session.protocol].finditer(value):
            around = value[max(0, found.start() - _AROUND) : found.end() + _AROUND]
            end = b"\r\n" if found[0].startswith(b"{") else b""
            if around + end in outside:
                return _NAMES.get(found[0], "the announcement of a literal")
        injected = [line for line in _LINE_BREAK.split(value)[1:] if line]
        # A line break may have become another one on the way.
        if any(line.startswith(wanted) for line in _LINE_BREAK.split(outside) for wanted in injected[:1]):
            return "a line break"
        if b"\0" in value and any(b"\0" in text and not is_binary for is_binary, text in literals):
            return "a NUL"
    return None


_NAMES: Final = {b"\r": "a line break", b"\n": "a line break", b"\0": "a NUL", b'"': "a quotation mark"}


def _apart(data: bytes) -> tuple[bytes, list[tuple[bool, bytes]]]:
    """Return what stands outside literals, and each literal with whether it may hold NUL (RFC 9051 section 4.3.1)."""
    outside, literals, at = b"", [], 0
    while found := _LITERAL.search(data, at):
        end = found.end() + int(found[2])
        outside += data[at : found.end()]
        literals.append((bool(found[1]), data[found.end() : end]))
        at = end
    return outside + data[at:], literals


_BARE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_END: Final = b"\r\n.\r\n"
_SMTP_VERBS: Final = re.compile(
    rb"(?:EHLO|HELO|MAIL|RCPT|DATA|BDAT|RSET|NOOP|QUIT|VRFY|EXPN|HELP|AUTH|STARTTLS)\b|\*?$", re.IGNORECASE
)


@rule(
    "no-smuggling-output",
    requirement="A message is sent so that every server sees the same end of it: CR LF alone ends a line, a dot at the "
    "beginning of a line is doubled, BDAT counts its octets right, and nothing is sent that the server has refused or "
    "does not offer.",
    expected="The client doubles the dots and mends the line ends, or refuses the message.",
    sources=(
        "RFC 5321 section 2.3.8",
        "RFC 5321 section 4.5.2",
        "RFC 3030 section 2",
        "RFC 6531 section 3.2",
        "SMTP smuggling (2023)",
    ),
    severity="high",
    advice="Turn every line end into CR LF first, then double the dots; send content after 354 alone.",
)
def no_smuggling_output(trial: Trial) -> Finding:
    """Read the octets behind DATA and BDAT as they came, since a parser may see other lines than the next server."""
    if trial.protocol is not Protocol.SMTP:
        return Finding(Verdict.NOT_APPLICABLE, "messages are sent over SMTP only")
    if not connected(trial):
        return Finding(Verdict.INCONCLUSIVE, "the client never connected")
    reasons = (_not_ascii, _after_refusal, _not_one_message, _miscounted)
    found = next((said for session in trial.sessions for look in reasons if (said := look(trial, session))), None)
    if found is not None:
        return Finding(Verdict.VIOLATION, found)
    chunked = any(command.verb == "BDAT" for session in trial.sessions for command in session.commands)
    asked = any(command.verb == "DATA" for session in trial.sessions for command in session.commands)
    if asked and not chunked and CHUNKING in trial.served.relay.keywords:
        return Finding(Verdict.NOT_APPLICABLE, "this client sends with DATA where BDAT is offered")
    message = trial.tells.get("message")
    last = _lines_of(message)[-1] if message else b""
    if last and any(last in session.tls_in for session in trial.sessions):
        how = "in chunks of the announced lengths" if chunked else "with its dots doubled and its line ends mended"
        return Finding(Verdict.PASS, f"the whole message crossed as one, {how}")
    refused = any(_data_was_refused(session) is not None for session in trial.sessions)
    said = own_words(trial)
    if said is not None and not names_network(said):
        why = "DATA was refused" if refused else "the message was not sent"
        return Finding(Verdict.PASS, f"{why}, no content followed, and an error was reported")
    if refused:
        return Finding(Verdict.PASS, "DATA was refused, and no content followed")
    return Finding(Verdict.INCONCLUSIVE, "nothing shows that the client tried to send the message")


_OFFERS_UTF8: Final = re.compile(rb"^250[ -]SMTPUTF8\b", re.MULTILINE | re.IGNORECASE)


def _lines_of(message: bytes) -> list[bytes]:
    return [line for line in _LINE_BREAK.split(message) if line]


def _not_ascii(_trial: Trial, session: SessionRecord) -> str | None:
    """Return what is said of an envelope with 8-bit characters on a connection that never offered SMTPUTF8."""
    if _OFFERS_UTF8.search(session.clear_out + session.tls_out):
        return None
    named = next((c for c in session.commands if c.verb in _ENVELOPE.values() and not c.argument.isascii()), None)
    return None if named is None else f"SMTPUTF8 was not offered, and {named.verb} held 8-bit characters"


def _data_was_refused(session: SessionRecord) -> int | None:
    """Return the place of the reply that refused DATA among the facts of a session, or None."""
    asked = False
    for at, entry in enumerate(session.entries):
        if isinstance(entry.fact, e.Command):
            asked = entry.fact.verb == "DATA"
        elif asked and isinstance(entry.fact, e.Sent) and entry.fact.data[:1] in b"45":
            return at
    return None


def _received(session: SessionRecord, after: int) -> bytes:
    """Return everything that came in behind one fact."""
    return b"".join(x.fact.data for x in session.entries[after:] if isinstance(x.fact, e.Received))


def _after_refusal(_trial: Trial, session: SessionRecord) -> str | None:
    """Return what is said of content behind a refused DATA."""
    at = _data_was_refused(session)
    if at is None:
        return None
    stray = [line for line in _lines_of(_received(session, at)) if not _SMTP_VERBS.match(line)]
    return f"DATA was refused, and {len(stray)} lines that are no commands followed" if stray else None


def _not_one_message(trial: Trial, session: SessionRecord) -> str | None:
    """Return what is said of a message that another server would see the end of elsewhere."""
    said = (x.fact for x in session.entries)
    at = next((n for n, fact in enumerate(said) if isinstance(fact, e.Sent) and fact.data.startswith(b"354")), None)
    if at is None:
        return None
    content, ended, rest = (b"\r\n" + _received(session, at)).partition(_END)
    lines = _lines_of(trial.tells.get("message") or b"")
    if ended and set(_lines_of(rest)) & set(lines):
        return "a dot alone ended the message early, and its later lines were read as commands"
    if _BARE.search(content):
        return "a bare CR or LF stood in the message"
    sent = content.split(b"\r\n")
    if any(line.startswith(b".") and line in sent and b"." + line not in sent for line in lines):
        return "a dot at the beginning of a line was not doubled"
    return None


def _miscounted(trial: Trial, session: SessionRecord) -> str | None:
    """Return what is said of a chunk that is longer or shorter than BDAT announced, or holds bare line ends."""
    if not any(command.verb == "BDAT" for command in session.commands):
        return None
    last = (_lines_of(trial.tells.get("message") or b"") or [b""])[-1]
    for data in (session.clear_in, session.tls_in):
        at = 0
        while found := _CHUNK.search(data, at):
            count, at = int(found[1]), found.end() + int(found[1])
            chunk, rest = data[found.end() : at], data[at:]
            if len(chunk) < count and last and last in chunk:
                return f"BDAT announced {count} octets, and the whole message had {len(chunk)} or fewer"
            if _BARE.search(chunk):
                return "a bare CR or LF stood in the message"
            if rest and (rest[:1] in b"\r\n" or not _SMTP_VERBS.match(rest.partition(b"\r\n")[0])):
                return f"BDAT announced {count} octets, and more than those followed"
    return None


_CHUNK: Final = re.compile(rb"^BDAT (\d{1,20})(?: LAST)?\r\n", re.MULTILINE | re.IGNORECASE)
