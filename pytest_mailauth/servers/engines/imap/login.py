"""Handlers for any state and for the not authenticated state: greeting the client, STARTTLS and logging in.

Credentials become a fact whenever they are complete, accepted or not; :func:`witness_login` and
:func:`witness_authenticate` do that for commands that are not carried out.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model import events
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.terms import Protocol, Refusal
from pytest_mailauth.servers import sasl
from pytest_mailauth.servers.engines.imap.parse import ParseError
from pytest_mailauth.servers.engines.imap.session import Continue, Refused, Reply, State
from pytest_mailauth.servers.engines.refusals import refusal_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.servers.engines.imap.parse import Arguments
    from pytest_mailauth.servers.engines.imap.session import Session

LOGIN_COMMAND: Final = "LOGIN-COMMAND"
"""The mechanism of the LOGIN command in an ``Authentication``; ``LOGIN`` is the SASL mechanism."""


def capability(session: Session, args: Arguments) -> Reply:
    """CAPABILITY (RFC 3501 section 6.1.1)."""
    args.end()
    listed = " ".join(("CAPABILITY", *session.capabilities()))
    return Reply("CAPABILITY completed", untagged=(listed.encode(),))


def noop(_session: Session, args: Arguments) -> Reply:
    """NOOP (RFC 3501 section 6.1.2) and CHECK (section 6.4.1): news of the mailbox come with every reply."""
    args.end()
    return Reply("completed")


def logout(session: Session, args: Arguments) -> Reply:
    """LOGOUT (RFC 3501 section 6.1.3)."""
    args.end()
    session.state = State.LOGOUT
    return Reply("LOGOUT completed", untagged=(b"BYE logging out",))


def identify(_session: Session, args: Arguments) -> Reply:
    """ID (RFC 2971): the client says what it is, and so do we."""
    args.space()
    if not args.skip(b"NIL"):
        args.expect(b"(", "NIL or a list")
        while not args.skip(b")"):
            if not args.skip(b"NIL"):
                args.string()
            args.skip(b" ")
    args.end()
    return Reply("ID completed", untagged=(b'ID ("name" "pytest-mailauth")',))


def starttls(session: Session, args: Arguments) -> Reply:
    """STARTTLS (RFC 3501 section 6.2.1). No capabilities in the reply: they would be about the layer that ends."""
    args.end()
    if not session.policy.may_start_tls(over_tls=session.over_tls):
        raise Refused("STARTTLS is not available", status="BAD")
    return Reply("begin TLS negotiation now", start_tls=True)


def login(session: Session, args: Arguments) -> Reply:
    """LOGIN (RFC 3501 section 6.2.3)."""
    credentials = _login_arguments(args)
    policy = session.policy
    if not policy.may_use_password_command(over_tls=session.over_tls):
        _state(session, LOGIN_COMMAND, credentials, accepted=False)
        curable = not session.over_tls and policy.may_use_password_command(over_tls=True)
        raise _forbidden(session, "LOGIN is disabled", curable=curable)
    decision = policy.desk(session.peer, LOGIN_COMMAND).decide(credentials)
    return _judge(session, LOGIN_COMMAND, sasl.Attempt(credentials, decision))


def _login_arguments(args: Arguments) -> sasl.Claim:
    args.space()
    username = args.astring()
    args.space()
    password = args.astring()
    args.end()
    return sasl.Claim(_text(username), Secret(_text(password)))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def witness_login(session: Session, args: Arguments) -> None:
    """State the credentials of a LOGIN that is not carried out, if they are there."""
    _state(session, LOGIN_COMMAND, _login_arguments(args), accepted=False)


def authenticate(session: Session, args: Arguments) -> Reply | Continue:
    """AUTHENTICATE (RFC 3501 section 6.2.2), with initial response (RFC 4959)."""
    mechanism, initial = _authenticate_arguments(args)
    if mechanism not in sasl.MECHANISMS:
        raise Refused("no such authentication mechanism")
    policy = session.policy
    if not policy.may_authenticate(mechanism, session.peer, over_tls=session.over_tls):
        _witness(session, mechanism, initial)
        curable = policy.lacks_tls(mechanism, over_tls=session.over_tls)
        raise _forbidden(session, "this mechanism is disabled", curable=curable)
    exchange = sasl.begin(mechanism, policy.desk(session.peer, mechanism), _decoded(initial))
    return _advance(session, mechanism, exchange, None)


def _authenticate_arguments(args: Arguments) -> tuple[str, bytes | None]:
    args.space()
    mechanism = args.atom().decode("ascii").upper()
    initial = None
    if not args.at_end:
        args.space()
        initial = args.word()
        args.end()
    return mechanism, initial


def _decoded(response: bytes | None, decode: Callable[[bytes], bytes] = sasl.decode_initial) -> bytes | None:
    try:
        return None if response is None else decode(response)
    except sasl.SaslError as error:
        raise ParseError(str(error)) from None


def witness_authenticate(session: Session, args: Arguments) -> None:
    """State the credentials in the initial response of an AUTHENTICATE that is not carried out, if they are there."""
    mechanism, initial = _authenticate_arguments(args)
    if mechanism in sasl.MECHANISMS:
        _witness(session, mechanism, initial)


def _witness(session: Session, mechanism: str, initial: bytes | None) -> None:
    decoded = _decoded(initial)
    if decoded is None:
        return
    try:
        claim = sasl.read(mechanism, decoded)
    except sasl.SaslError as error:
        session.facts.append(events.Malformed(str(error)))
    else:
        if claim is not None:
            _state(session, mechanism, claim, accepted=False)


def _advance(session: Session, mechanism: str, exchange: sasl.Exchange, response: bytes | None) -> Reply | Continue:
    """Go on with an exchange until it has the credentials or wants another response."""
    try:
        challenge = next(exchange) if response is None else exchange.send(response)
    except StopIteration as done:
        return _judge(session, mechanism, done.value)
    except sasl.SaslError as error:
        raise ParseError(str(error)) from None
    session.facts += sasl.noted(mechanism, challenge)
    return Continue(sasl.encode_challenge(challenge), partial(_respond, session, mechanism, exchange))


def _respond(session: Session, mechanism: str, exchange: sasl.Exchange, line: bytes | None) -> Reply | Continue:
    if line is None:
        raise Refused("the line is too long", status="BAD")
    if line == b"*":
        session.facts.append(events.Response("*"))
        raise Refused("authentication cancelled", status="BAD")
    session.facts.append(events.Response(f"<response of {len(line)} bytes>"))
    return _advance(session, mechanism, exchange, _decoded(line, sasl.decode_response))


def _judge(session: Session, mechanism: str, attempt: sasl.Attempt) -> Reply:
    account, refusal, _ = attempt.decision
    session.facts += sasl.noted(mechanism, attempt)
    if account is None:
        raise _refused(session, refusal or Refusal.INVALID)
    session.enter(account)
    return Reply("logged in", code=session.capability_code())


def _refused(session: Session, refusal: Refusal) -> Refused:
    status, _, words = refusal_text(refusal, Protocol.IMAP, session.policy.config.auth).partition(" ")
    code = ""
    if words.startswith("["):
        code, _, words = words[1:].partition("] ")
    return Refused(words, code=code, status=status)


def _state(session: Session, mechanism: str, credentials: sasl.Claim, *, accepted: bool) -> None:
    session.facts.append(sasl.presented(mechanism, credentials, accepted=accepted))


def _forbidden(session: Session, text: str, *, curable: bool) -> Refused:
    """Return the refusal of a way to log in; PRIVACYREQUIRED when TLS would allow it (RFC 5530)."""
    return _refused(session, Refusal.ENCRYPTION_NEEDED) if curable else Refused(text)
