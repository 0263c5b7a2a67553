"""Rules about bearer tokens: where one may go, how it is said, and that no password comes after it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.judge.rules.evidence import connected
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.wording import names_network, own_words
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import CANARY, find
from pytest_mailauth.model.config import TOKEN_MECHANISMS
from pytest_mailauth.model.terms import Layer, Protocol, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial

_OFFERS: Final = re.compile(rb"\b(?:XOAUTH2|OAUTHBEARER)\b")
_INTRODUCTION: Final = re.compile(rb"^(?:EHLO|HELO) .*$", re.MULTILINE | re.IGNORECASE)
_SOURCES: Final = ("S15", "S16")


def _password_crossed(trial: Trial) -> str | None:
    """Return how a password crossed, or a token where a password belongs; None when neither did."""
    password = trial.account.password
    for session in trial.sessions:
        for fact in session.auth:
            if fact.mechanism not in TOKEN_MECHANISMS:
                what = "the token" if fact.secret == trial.account.token else "a password"
                return f"session {session.number}: {what} was sent with {fact.mechanism}"
        # One in the name of the client is secrets-not-logged's matter.
        said = (_INTRODUCTION.sub(b"", data) for data in (session.clear_in, session.tls_in))
        if len(password) >= CANARY and any(find(password, data) for data in said):
            return f"session {session.number}: the password crossed"
    return None


def _refusals(trial: Trial) -> list[e.Authentication]:
    """Return the tokens that were refused."""
    presented = [fact for session in trial.sessions for fact in session.auth]
    return [fact for fact in presented if fact.mechanism in TOKEN_MECHANISMS and not fact.accepted]


def _gave_up(trial: Trial) -> bool:
    said = own_words(trial)
    return said is not None and not names_network(said)


@rule(
    "oauth-when-required",
    requirement="Where a server takes bearer tokens only, no password is sent.",
    expected="A client with a token logs in with it; one with a password says that it cannot log in there.",
    sources=_SOURCES,
    severity="high",
    advice="Look for a password mechanism in the server's list before a password is sent; tell the user of OAuth 2.0.",
)
def oauth_when_required(trial: Trial) -> Finding:
    """Look for the password inside TLS too: it was not asked for."""
    crossed = _password_crossed(trial)
    if crossed is not None:
        return Finding(Verdict.VIOLATION, f"only token mechanisms were offered; {crossed}")
    if any(fact.accepted for session in trial.sessions for fact in session.auth):
        return Finding(Verdict.PASS, "the client logged in with a token")
    saw = any(_OFFERS.search(session.tls_out) or "USER" in session.verbs(Layer.TLS) for session in trial.sessions)
    if saw and _gave_up(trial):
        return Finding(Verdict.PASS, "the client sent no password, and reported that it cannot log in")
    if any("MAIL" in session.verbs(Layer.TLS) for session in trial.sessions):
        return Finding(Verdict.NOT_APPLICABLE, "the client went on without logging in at all")
    return Finding(Verdict.INCONCLUSIVE, "nothing shows that the client saw what is offered and gave up because of it")


@rule(
    "token-only-over-verified-tls",
    requirement="A bearer token never crosses in clear, whatever is allowed for passwords.",
    expected="The client leaves when it cannot have TLS, and keeps its token.",
    sources=("S15", "RFC 7628 section 3", "RFC 6750 section 5.3"),
    severity="critical",
    advice="Refuse token mechanisms where TLS is not active, also where TLS is optional.",
)
def token_only_over_verified_tls(trial: Trial) -> Finding:
    """Look for the token in clear. What certificates it may cross under is a matter of the rules about those."""
    if trial.declared.auth != "oauth":
        return Finding(Verdict.NOT_APPLICABLE, "the client was declared to log in with a password")
    token = trial.account.token
    for session in trial.sessions:
        encoding = find(token, session.clear_in)
        if encoding is not None:
            return Finding(Verdict.VIOLATION, f"session {session.number}: the token crossed in clear, as {encoding}")
    if not connected(trial):
        return Finding(Verdict.INCONCLUSIVE, "the client never connected")
    if not any(_OFFERS.search(session.clear_out) for session in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, "the client left before token mechanisms were offered in clear")
    return Finding(Verdict.PASS, "token mechanisms were offered in clear, and no token crossed there")


class _Message(NamedTuple):
    """A message of a token mechanism, and how long the line of a command was that it came with; 0 without one."""

    mechanism: str
    content: bytes
    line: int


def _messages(session: SessionRecord) -> Iterator[_Message]:
    """Yield the first message of each token exchange as it came in: with the command, or on the line behind it."""
    lines = session.tls_in.split(b"\r\n")
    for at, line in enumerate(lines):
        words = line.split(b" ")
        name = {Protocol.IMAP: 2}.get(session.protocol, 1)
        if len(words) <= name or words[name - 1].upper() not in (b"AUTH", b"AUTHENTICATE"):
            continue
        mechanism = words[name].decode("ascii", "replace").upper()
        if mechanism not in TOKEN_MECHANISMS:
            continue
        has_initial = len(words) > name + 1
        encoded = words[name + 1] if has_initial else b"".join(lines[at + 1 : at + 2])
        try:
            content = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            content = b""
        yield _Message(mechanism, content, len(line) + 2 if has_initial else 0)


_POP3_LINE: Final = 255
"""Longest command of POP3 with its CR LF, also where it holds an initial response (RFC 5034 section 4)."""


@rule(
    "oauth-wire-format",
    requirement="The messages of XOAUTH2 and OAUTHBEARER have their own form, and stand where there is room for them.",
    expected="The client sends the name, the token and nothing foreign, with the command or after the go-ahead.",
    sources=("XOAUTH2 (Google, Microsoft)", "RFC 7628 section 3.1", "RFC 5034 section 4", "RFC 4959 section 3"),
    severity="low",
    advice="Build the two messages by their own grammar; send a long one after the empty challenge.",
)
def oauth_wire_format(trial: Trial) -> Finding:
    """Compare the bytes behind the base64 with the grammar of the mechanism that was named."""
    said = [(session, message) for session in trial.sessions for message in _messages(session)]
    if not said:
        return Finding(Verdict.INCONCLUSIVE, "the client sent no token")
    for session, message in said:
        wrong = _misplaced(session, message) or _misspelt(trial, message)
        if wrong is not None:
            return Finding(Verdict.VIOLATION, f"session {session.number}: {wrong}")
    return Finding(Verdict.PASS, f"the message of {said[-1][1].mechanism} is as it should be")


def _misplaced(session: SessionRecord, message: _Message) -> str | None:
    if session.protocol is Protocol.POP3 and message.line > _POP3_LINE:
        return f"the AUTH command had {message.line} octets, and may have {_POP3_LINE}"
    announces = b"SASL-IR" in session.tls_out
    if session.protocol is Protocol.IMAP and message.line and not announces:
        return "the token came with AUTHENTICATE, though SASL-IR is not announced"
    return None


def _misspelt(trial: Trial, message: _Message) -> str | None:
    name, content = trial.account.username.encode(), message.content
    tokens = [str(one).encode() for one in (trial.account.token, *trial.tells.values()) if isinstance(one, str)]
    if message.mechanism == "XOAUTH2":
        wanted = [b"user=%b\x01auth=Bearer %b\x01\x01" % (name, token) for token in tokens]
        return None if content in wanted else "the message of XOAUTH2 is not user=, auth=Bearer, and two Control-A"
    header, _, rest = content.partition(b"\x01")
    escaped = name.replace(b"=", b"=3D").replace(b",", b"=2C")
    if header not in (b"n,,", b"n,a=%b," % escaped) or not rest.endswith(b"\x01\x01"):
        return "the message of OAUTHBEARER is not n,a=NAME, and pairs that end in Control-A"
    pairs = dict(pair.partition(b"=")[::2] for pair in rest[:-2].split(b"\x01"))
    scheme, _, token = pairs.get(b"auth", b"").partition(b" ")
    if scheme.lower() != b"bearer" or token not in tokens:
        return "the message of OAUTHBEARER holds no auth=Bearer with the token"
    host = pairs.get(b"host", b"").decode("utf-8", "replace")
    if host and host not in (trial.served.host, "127.0.0.1", "::1"):
        return "the message of OAUTHBEARER names another host than the one that was connected to"
    port = pairs.get(b"port", b"")
    if port and port not in [b"%d" % one for one in trial.ports]:
        return "the message of OAUTHBEARER names another port than the one that was connected to"
    return None


_FINISHES: Final = {"XOAUTH2": (b"", b"*"), "OAUTHBEARER": (b"AQ==", b"*")}
"""What ends an exchange after an error challenge: an empty line, Control-A in base64, or the cancel sign."""


@rule(
    "oauth-error-handshake",
    requirement="An error challenge is answered so that the exchange ends; then the client stops, or tries once more "
    "with another token.",
    expected="The client answers XOAUTH2 with an empty line, OAUTHBEARER with Control-A, or either with *.",
    sources=("RFC 7628 section 3.2.3", "XOAUTH2 (Google, Microsoft)", "RFC 6750 section 3.1"),
    severity="low",
    advice="Finish the exchange, read the last reply, and refresh the token once before the user is asked.",
)
def oauth_error_handshake(trial: Trial) -> Finding:
    """Look at the line behind the challenge, and at the tokens that followed."""
    tried = [fact for session in trial.sessions for fact in session.auth if fact.mechanism in TOKEN_MECHANISMS]
    answers = [one for session in trial.sessions for one in _answers(session)]
    if not answers:
        return Finding(Verdict.INCONCLUSIVE, "no token was refused with an error challenge")
    for mechanism, answer in answers:
        if answer is not None and answer not in _FINISHES[mechanism]:
            return Finding(Verdict.VIOLATION, f"the error challenge of {mechanism} was answered with something else")
    again = len(tried) - len({fact.secret for fact in tried})
    if again or len(tried) > 2:
        return Finding(Verdict.VIOLATION, f"{len(tried)} attempts were made after the first refusal, {again} in vain")
    if trial.outcome.hung:
        return Finding(Verdict.VIOLATION, "the client hung after the error challenge")
    if answers[-1][1] is None:
        return Finding(Verdict.NOTE, "the client left without finishing the exchange", should=True)
    return Finding(Verdict.PASS, f"the error challenge of {answers[-1][0]} was answered, and the exchange ended")


def _answers(session: SessionRecord) -> Iterator[tuple[str, bytes | None]]:
    """Yield the mechanism of each error challenge and the line that came next; None when none came."""
    mechanism, waits, heard = "", False, b""
    for entry in session.entries:
        fact = entry.fact
        if isinstance(fact, e.Command) and fact.verb in ("AUTH", "AUTHENTICATE"):
            mechanism = fact.argument.partition(b" ")[0].decode("ascii", "replace").upper()
        elif isinstance(fact, e.Received) and waits:
            heard += fact.data
        elif isinstance(fact, e.Sent):
            if waits and mechanism in _FINISHES:
                yield mechanism, heard.split(b"\r\n")[0] if heard else None
            waits, heard = _is_error(fact.data), b""
    if waits and mechanism in _FINISHES:
        yield mechanism, heard.split(b"\r\n")[0] if heard else None


def _is_error(reply: bytes) -> bool:
    """Return whether a reply is an error challenge (RFC 7628 section 3.2.2)."""
    marker, _, rest = reply.rstrip(b"\r\n").partition(b" ")
    if marker not in (b"334", b"+"):
        return False
    try:
        told = json.loads(base64.b64decode(rest, validate=True))
    except (binascii.Error, ValueError):
        return False
    return isinstance(told, dict) and "status" in told


@rule(
    "oauth-no-password-fallback",
    requirement="A client with a bearer token never sends a password instead, and never its token as one.",
    expected="The client reports that its token is refused, or that the server takes none.",
    sources=_SOURCES,
    severity="high",
    advice="Treat a refused token, and a server without token mechanisms, as errors to be told to the user.",
)
def oauth_no_password_fallback(trial: Trial) -> Finding:
    """Look for a password on any layer, once the token was of no use."""
    crossed = _password_crossed(trial)
    refused = _refusals(trial)
    why = "the token was refused" if refused else "no token mechanism was offered"
    if crossed is not None:
        return Finding(Verdict.VIOLATION, f"{why}; {crossed}")
    if refused:
        return Finding(Verdict.PASS, f"{why}, and no password was sent")
    layer = Layer.TLS
    asked = any({"EHLO", "CAPA", "CAPABILITY"} & set(session.verbs(layer)) for session in trial.sessions)
    if (asked or any(b"CAPABILITY" in session.tls_out for session in trial.sessions)) and _gave_up(trial):
        return Finding(Verdict.PASS, f"{why}, and the client gave up without sending anything")
    return Finding(Verdict.INCONCLUSIVE, "nothing shows that the client saw what is offered and gave up because of it")
