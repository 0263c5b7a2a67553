"""Causes between the greeting and the login: the wrong mode, STARTTLS, and what was said in clear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import CANARY, find
from pytest_mailauth.model.causes.cause import Cause
from pytest_mailauth.model.exchanges import (
    CAPABILITIES,
    LOGINS,
    TLS_STARTERS,
    greeting,
    is_operation,
    is_turned_away,
    operations_in_clear,
)
from pytest_mailauth.model.portstates import OTHERS, RELAY_HOST, port_fact
from pytest_mailauth.model.terms import HandshakeOutcome, Layer, Security

if TYPE_CHECKING:
    from pytest_mailauth.model.causes.cause import Seen
    from pytest_mailauth.model.record import SessionRecord

_HANDSHAKE: Final = b"\x16\x03"
"""How a TLS handshake begins (RFC 8446 section 5.1)."""
_REVEALING: Final = frozenset({b"PLAIN", b"XOAUTH2", b"OAUTHBEARER"})
"""Mechanisms whose initial response holds a password or a token."""


def asked_for_tls(seen: Seen) -> bool:
    """Return whether the client sent STARTTLS or STLS."""
    return any(exchange.command.verb in TLS_STARTERS for exchange in seen.exchanges)


def began_tls(session: SessionRecord) -> bool:
    """Return whether a TLS handshake was begun, wherever it belongs."""
    return bool(session.of(e.HelloSeen)) or any(
        d.data.startswith(_HANDSHAKE) for d in session.of(e.Received, Layer.CLEAR)
    )


def _failed_inside(seen: Seen) -> str | None:
    failures = seen.session.of(e.Failed)
    return seen.quoted((failures[0].error.strip().splitlines() or ["no text"])[-1]) if failures else None


def _secret_in_clear(seen: Seen) -> str | None:
    """Return how a password or token crossed outside TLS: in a login, or found in the bytes."""
    session = seen.session
    for exchange in seen.exchanges:
        if exchange.layer is Layer.CLEAR and any(one.secret for one in exchange.presented):
            return f"{seen.quoted(exchange.command.line)} in clear"
        if exchange.layer is Layer.CLEAR and exchange.command.verb in ("AUTH", "AUTHENTICATE"):
            mechanism, _, response = exchange.command.argument.strip().partition(b" ")
            if mechanism.upper() in _REVEALING and response.strip(b" ="):
                return f"{seen.quoted(exchange.command.line)} in clear"
    for account in session.accounts:
        for name, secret in account.secrets.items():
            if len(secret) >= CANARY and find(secret, session.clear_in):
                return f"the {name} was found in what was sent in clear"
    return None


def _secret_before_tls(seen: Seen) -> str | None:
    return None if seen.session.security is Security.NONE else _secret_in_clear(seen)


def _secret_without_tls(seen: Seen) -> str | None:
    return _secret_in_clear(seen) if seen.session.security is Security.NONE else None


def _login_before_tls(seen: Seen) -> str | None:
    early = [command for command in seen.session.of(e.Command, Layer.CLEAR) if command.verb in LOGINS]
    early = [command for command in early if is_operation(seen.session.protocol, command)]
    fits = early and seen.session.security is not Security.NONE and _secret_in_clear(seen) is None
    return f"{seen.quoted(early[0].line)} in clear" if fits else None


def _work_before_tls(seen: Seen) -> str | None:
    session = seen.session
    early = [command for command in operations_in_clear(session) if command.verb not in LOGINS]
    if not early or session.security is not Security.STARTTLS:
        return None
    offered = "" if asked_for_tls(seen) else ", and STARTTLS was not asked for"
    return f"{seen.quoted(early[0].line)} in clear{offered}"


def tls_at_once(seen: Seen) -> str | None:
    """Return that TLS began without STARTTLS where the server speaks first, as evidence, or None."""
    session = seen.session
    if session.security is Security.IMPLICIT or asked_for_tls(seen) or not began_tls(session):
        return None
    what = "a port with STARTTLS" if session.security is Security.STARTTLS else "a port without TLS"
    return f"a ClientHello came where a command was expected, on {what}"


def _text_at_once(seen: Seen) -> str | None:
    session = seen.session
    ended = session.of(e.HandshakeEnded)
    not_tls = any(one.outcome is HandshakeOutcome.NOT_TLS for one in ended)
    if session.security is not Security.IMPLICIT or not not_tls:
        return None
    said = session.of(e.Command, Layer.CLEAR)
    return f"{seen.quoted(said[0].line)} came in clear" if said and said[0].verb else "the first bytes were no TLS"


def _nothing_at_once(seen: Seen) -> str | None:
    session = seen.session
    quiet = not session.of(e.Received) and not session.of(e.HelloSeen) and not session.of(e.HandshakeEnded)
    by_server = session.closed is not None and session.closed.by == "server" and not session.of(e.Overdue)
    if session.security is not Security.IMPLICIT or not quiet or by_server:
        return None
    how = "and left" if session.closed is not None else "and is still connected"
    return f"the client sent not one byte {how}, as one does that waits for a greeting in clear"


def _turned_away(seen: Seen) -> str | None:
    return f"the greeting was {seen.quoted(greeting(seen.session))}" if is_turned_away(seen.session) else None


def _intercepted(seen: Seen) -> str | None:
    """Return that another server answered: the record says so, and no client could know."""
    kinds = {fact.kind for fact in seen.session.of(e.Deviated)}
    states = [state for state in sorted(OTHERS) if port_fact(state) in kinds]
    return f"the port of this server is {states[0].value!r}, and {RELAY_HOST} answered" if states else None


def _no_greeting(seen: Seen) -> str | None:
    session = seen.session
    if session.security is Security.IMPLICIT or session.of(e.Sent) or not session.of(e.Opened):
        return None
    if session.closed is not None and session.closed.by == "server" and not session.of(e.Overdue):
        return f"the connection was accepted and ended at once ({session.closed.how})"
    return "the connection was accepted, and not one byte was sent to the client"


def _reset_before_tls(seen: Seen) -> str | None:
    session = seen.session
    silent = not session.of(e.Sent) and not session.of(e.HelloSeen)
    closed = session.closed
    by_server = closed is not None and closed.by == "server" and not session.of(e.Overdue)
    if session.security is not Security.IMPLICIT or not silent or not by_server or session.of(e.HandshakeEnded):
        return None
    return "the connection was accepted and ended before the handshake"


def _refused_starttls(seen: Seen) -> str | None:
    refused = [x for x in seen.exchanges if x.command.verb in TLS_STARTERS and x.is_refused]
    return seen.answered(refused[0]) if refused else None


def _offers_starttls(seen: Seen) -> bool:
    """Return whether a list of capabilities that came in clear names STARTTLS or STLS."""
    lines = seen.session.clear_out.upper().splitlines()
    words = {word for line in lines for word in line.replace(b"250-", b" ").replace(b"]", b" ").split()}
    return bool(words & {b"STARTTLS", b"STLS"})


def _left_without_tls(seen: Seen) -> e.Command | None:
    """Return the question for the capabilities of a client that then left, without TLS and without an operation."""
    session = seen.session
    asked = [x for x in seen.exchanges if x.command.verb == CAPABILITIES[session.protocol] and x.reply]
    if session.security is Security.IMPLICIT or not asked or session.closed is None:
        return None
    did = asked_for_tls(seen) or began_tls(session) or operations_in_clear(session)
    return None if did else asked[0].command


def _missing_starttls(seen: Seen) -> str | None:
    asked = _left_without_tls(seen)
    if asked is None or _offers_starttls(seen):
        return None
    return f"the answer to {asked.verb} did not name it, and the client left without logging in"


def _unused_starttls(seen: Seen) -> str | None:
    asked = _left_without_tls(seen)
    if asked is None or not _offers_starttls(seen):
        return None
    return f"the answer to {asked.verb} named it, and the client left without TLS and without logging in"


_MODES: Final = (
    "Implicit TLS is usual on ports 465, 993 and 995, STARTTLS on 25, 587, 110 and 143; on others, say which."
)

CONNECTION: Final = (
    Cause(
        "server-failed",
        "The fake server failed inside, which is no fault of the client",
        "Please report it, with the transcript.",
        (),
        _failed_inside,
    ),
    Cause(
        "password-before-tls",
        "The server was reached, but the client offered its password before TLS",
        "Start TLS first, and give the password only inside it.",
        ("S2", "S9", "S12", "RFC 8314 section 5.2"),
        _secret_before_tls,
    ),
    Cause(
        "login-before-tls",
        "The server was reached, but the client began to log in before TLS",
        "Start TLS first, and log in only inside it.",
        ("S2", "S9", "S12", "RFC 8314 section 5.2"),
        _login_before_tls,
    ),
    Cause(
        "work-before-tls",
        "The server was reached, but the client went on without TLS",
        "Use STARTTLS (POP3: STLS) first; the server expects it before anything else.",
        ("S9", "RFC 8314 section 5.2", "RFC 3207 section 4"),
        _work_before_tls,
    ),
    Cause(
        "tls-where-starttls-belongs",
        "The client began TLS at once where the server expects STARTTLS: the wrong mode for this port",
        f"Set the client to explicit TLS (STARTTLS), or use the port for implicit TLS. {_MODES}",
        ("S9", "S10", "S13", "S14"),
        tls_at_once,
    ),
    Cause(
        "text-where-tls-belongs",
        "The client spoke in clear where the server expects TLS from the first byte: the wrong mode for this port",
        f"Set the client to implicit TLS, or use the port for STARTTLS. {_MODES}",
        ("S10", "S13", "S14", "RFC 8314 section 3"),
        _text_at_once,
    ),
    Cause(
        "waited-where-tls-belongs",
        "The client waited where the server expects TLS from the first byte: the wrong mode for this port",
        f"Set the client to implicit TLS, or use the port for STARTTLS. {_MODES}",
        ("S10", "S13", "S14", "RFC 8314 section 3"),
        _nothing_at_once,
    ),
    Cause(
        "turned-away",
        "The port was reached, but the one who answered refuses every service: a box of the provider may do that",
        "Use port 587 or 465 to send, and ask your provider whether access to the port is restricted.",
        ("S7", "S11", "RFC 5321 section 3.1"),
        _turned_away,
    ),
    Cause(
        "intercepted",
        "Another server answered: a provider may force mail through its own",
        "Do not log in there: use port 587 or 465, and ask your provider whether it restricts the port.",
        ("S11", "RFC 8314 section 5.3"),
        _intercepted,
    ),
    Cause(
        "no-greeting",
        "The port was reached, but nobody greeted the client",
        "Ask your provider whether access to the port is restricted, and set a time-out on reading.",
        ("S7", "S11"),
        lambda seen: _no_greeting(seen) or _reset_before_tls(seen),
    ),
    Cause(
        "starttls-refused",
        "The server refused STARTTLS, so there is no secure connection to log in on",
        "Do not go on without TLS: use the port for implicit TLS, or ask who runs the server.",
        ("S9", "RFC 3207 section 4", "RFC 8314 section 5.2"),
        _refused_starttls,
    ),
    Cause(
        "starttls-not-offered",
        "The server does not offer STARTTLS, so there is no secure connection to log in on",
        "Do not go on without TLS: use the port for implicit TLS, or ask who runs the server.",
        ("S9", "RFC 8314 section 5.2"),
        _missing_starttls,
    ),
    Cause(
        "starttls-not-used",
        "The server offers STARTTLS, and the client did not use it",
        "Use STARTTLS (POP3: STLS) before logging in: without it most servers offer no login.",
        ("S2", "S9", "S12"),
        _unused_starttls,
    ),
)
"""Most telling first."""

LATE: Final = (
    Cause(
        "password-without-tls",
        "The client gave its password on a connection that is not secure",
        "Use TLS for every login: most servers refuse one without it.",
        ("S2", "S9", "S12", "RFC 8314 section 5.2"),
        _secret_without_tls,
    ),
)
"""What is told after everything else: the server wanted it so."""
