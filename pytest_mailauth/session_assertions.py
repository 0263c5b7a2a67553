"""What a test asserts about the sessions of one server: who logged in how, which commands came, how it ended.

Each function asks one question of the record, and fails with the transcript. None of them passes on an empty record,
but for :func:`assert_no_connection`: a client that never came has not done anything right.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.command_patterns import Pattern
from pytest_mailauth.model import events as e
from pytest_mailauth.model.config import MECHANISMS
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.exchanges import CAPABILITIES, LOGINS
from pytest_mailauth.model.portstates import UNSEEN
from pytest_mailauth.model.record import FAREWELLS
from pytest_mailauth.model.terms import Layer, Protocol, Security
from pytest_mailauth.report.claims import fail, nobody

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import EllipsisType

    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.servers.server import MailServer


_HARMLESS: Final = frozenset({"NOOP", "ID"})
"""Commands that need no capability, and may come before they are asked for."""
_LOGIN_LINE: Final = {
    Protocol.SMTP: re.compile(rb"(?im)^[ \t]*AUTH\b"),
    Protocol.POP3: re.compile(rb"(?im)^[ \t]*(?:AUTH[ \t]+\S|USER\b|PASS\b|APOP\b)"),
    Protocol.IMAP: re.compile(rb"(?im)^[ \t]*\S+[ \t]+(?:LOGIN|AUTHENTICATE)\b"),
}
"""A line that is meant to log in, well formed or not."""


def assert_mechanism(server: MailServer, mechanism: str, *, tls: bool | None = True) -> None:
    """Assert that clients logged in with *mechanism* and nothing else.

    What was refused, or only begun, counts too: it crossed the wire all the same.

    Args:
        server: The server whose record is asked.
        mechanism: A SASL mechanism in any case (RFC 4422 section 3.1). ``"LOGIN-COMMAND"`` is the command LOGIN of
            IMAP, ``"USER"`` are the commands USER and PASS of POP3.
        tls: Whether it has to happen inside TLS (True, the default) or in clear (False); None for either.

    Raises:
        ClientViolation: Another mechanism was used, on the wrong layer, or nobody presented credentials.

    Examples:
        >>> import smtplib
        >>> from pytest_mailauth import MailServers, assert_mechanism
        >>> with MailServers() as servers:
        ...     server = servers.smtp()
        ...     with smtplib.SMTP(server.host, server.port, timeout=2) as client:
        ...         _ = client.starttls(context=server.ssl_context())
        ...         _ = client.login(server.account.username, server.account.password)
        ...     assert_mechanism(server, "PLAIN")
    """
    __tracebackhide__ = True
    where = {True: " inside TLS", False: " in clear", None: ""}
    wanted = mechanism.upper()
    expected = f"Every client logs in with {wanted}{where[tls]}, and in no other way."
    seen = False
    for session in server.sessions:
        used = [(x.fact.mechanism, x.layer) for x in session.entries if isinstance(x.fact, e.Authentication)]
        seen = seen or bool(used)
        begun = [(name, x.layer) for x in session.entries if (name := _begun(session, x.fact)) is not None]
        for (name, layer), how in [*((one, "used") for one in used), *((one, "began with") for one in begun)]:
            inside = layer is Layer.TLS
            if name.upper() != wanted or tls not in (None, inside):
                fail(server, "assert_mechanism", expected, f"session {session.number} {how} {name}{where[inside]}")
    if not seen:
        fail(server, "assert_mechanism", expected, nobody(server.sessions, "presented credentials"))


def assert_starttls_before_auth(server: MailServer) -> None:
    """Assert that clients logged in only after STARTTLS (POP3: STLS) and the handshake.

    Sources: RFC 8314 section 5.2, RFC 4954 section 4, RFC 2595 section 2.3.

    Raises:
        ClientViolation: A client began to log in before TLS, or nobody began to log in.
        ConfigError: The server does not offer STARTTLS.
    """
    __tracebackhide__ = True
    _needs_starttls(server, "assert_starttls_before_auth")
    expected = "STARTTLS comes first, then the TLS handshake, then the login."
    for session in server.sessions:
        early = [command for command in session.of(e.Command, Layer.CLEAR) if _begins_login(session, command)]
        if early:
            actual = f"session {session.number} began to log in before TLS: {early[0].line}"
            fail(server, "assert_starttls_before_auth", expected, actual)
        if _LOGIN_LINE[server.protocol].search(session.clear_in):  # also one that is no command, for a blank too many
            actual = f"session {session.number} sent a line in clear that looks like a login"
            fail(server, "assert_starttls_before_auth", expected, actual)
    if not any(_begins_login(session, command) for session in server.sessions for command in session.commands):
        fail(server, "assert_starttls_before_auth", expected, nobody(server.sessions, "began to log in"))


def assert_capabilities_refetched(server: MailServer) -> None:
    """Assert that clients asked for the capabilities again once TLS had started: EHLO, CAPA or CAPABILITY.

    It has to be the first command inside TLS, NOOP and ID aside. Sessions that said nothing inside TLS but goodbye
    decide nothing. Sources: RFC 3207 section 4.2, RFC 2595 section 4, RFC 9051 section 6.2.1.

    Raises:
        ClientViolation: A client went on with what it had learned in clear, or none did anything inside TLS.
        ConfigError: The server does not offer STARTTLS.
    """
    __tracebackhide__ = True
    _needs_starttls(server, "assert_capabilities_refetched")
    asking = CAPABILITIES[server.protocol]
    expected = f"{asking} is the first command inside TLS."
    decided = False
    for session in server.sessions:
        inside = [command for command in session.of(e.Command, Layer.TLS) if command.verb not in _HARMLESS]
        if not inside or inside[0].verb == FAREWELLS[server.protocol]:
            continue
        decided = True
        if inside[0].verb != asking:
            actual = f"session {session.number} went on with {inside[0].line}"
            fail(server, "assert_capabilities_refetched", expected, actual)
        if len(inside) > 1 and not _was_awaited(session, inside[0], inside[1]):
            actual = f"session {session.number} sent {inside[1].line} without waiting for the capabilities"
            fail(server, "assert_capabilities_refetched", expected, actual)
    if not decided:
        fail(server, "assert_capabilities_refetched", expected, nobody(server.sessions, "did anything inside TLS"))


def assert_commands(server: MailServer, pattern: Sequence[str | EllipsisType], *, session: int | None = None) -> None:
    r"""Assert which commands a client sent, from the first to the last.

    Args:
        server: The server whose record is asked.
        pattern: A command each: its verb (``"EHLO"``), or the command as the transcript shows it, without IMAP's tag,
            with ``*`` for any characters and ``?`` for one (``"MAIL FROM:<app@*"``). Upper and lower case are the
            same. An Ellipsis (``...``) stands for any commands, also none.
        session: The number of the session, from 1; None (default) for the only one.

    Raises:
        ClientViolation: The commands are others, no client connected, or there are several sessions and no number.
        ConfigError: *pattern* is no list of commands, or *session* is less than 1.

    Examples:
        >>> import smtplib
        >>> from pytest_mailauth import MailServers, assert_commands
        >>> with MailServers() as servers:
        ...     server = servers.smtp(security="implicit")
        ...     context = server.ssl_context()
        ...     with smtplib.SMTP_SSL(server.host, server.port, context=context, timeout=2) as client:
        ...         _ = client.login(server.account.username, server.account.password)
        ...         _ = client.sendmail("app@example.test", ["bob@example.test"], "Subject: Hi\r\n\r\nHello")
        ...     assert_commands(server, ["EHLO", "AUTH PLAIN *", ..., "RCPT TO:<bob@*>", "DATA", "QUIT"])
    """
    __tracebackhide__ = True
    wanted = Pattern(pattern)
    if session is not None and session < 1:
        raise ConfigError(f"session={session} cannot be: sessions are numbered from 1")
    expected = f"The client sends: {wanted}"
    sessions = server.sessions
    if not sessions:
        fail(server, "assert_commands", expected, "no client connected")
    if session is None and len(sessions) > 1:
        actual = f"there are {len(sessions)} sessions; say which one is meant, for example session=1"
        fail(server, "assert_commands", expected, actual)
    if session is not None and session > len(sessions):
        fail(server, "assert_commands", expected, f"no session is number {session}; the last is {len(sessions)}")
    record = sessions[(session or 1) - 1]
    mismatch = wanted.compare(record.commands)
    if mismatch is not None:
        actual = f"session {record.number}: {mismatch.reason}"
        fail(server, "assert_commands", expected, actual, mismatch.lines)


def assert_quit_sent(server: MailServer) -> None:
    """Assert that every client took its leave: QUIT, or LOGOUT in IMAP, as its last command.

    Sessions that ended in the TLS handshake, or that the server broke off, decide nothing. Sources: RFC 5321 section
    4.1.1.10, RFC 1939 section 6 (without QUIT nothing is deleted), RFC 9051 section 3.4.

    Raises:
        ClientViolation: A client left without a word or is still connected, or none could have taken its leave.
    """
    __tracebackhide__ = True
    farewell = FAREWELLS[server.protocol]
    expected = f"The last command of every session is {farewell}."
    decided = False
    for session in server.sessions:
        if session.quit_sent:
            decided = True
        elif not _was_cut_short(session):
            how = "is still connected" if session.closed is None else "left"
            last = session.commands[-1].line if session.commands else "no command"
            fail(server, "assert_quit_sent", expected, f"the client of session {session.number} {how} after {last}")
    if not decided:
        fail(server, "assert_quit_sent", expected, nobody(server.sessions, f"could have sent {farewell}"))


def assert_no_connection(server: MailServer) -> None:
    """Assert that no client connected, for example to the port that must not be used.

    Raises:
        ClientViolation: A client connected.
        ConfigError: The port is, or was for a while, in a state in which nobody could have been seen.
    """
    __tracebackhide__ = True
    for state in UNSEEN.intersection(server.port_states):
        raise ConfigError(f"assert_no_connection proves nothing with port_state={str(state)!r}; use 'open' or 'silent'")
    met = len(server.sessions)
    if met:
        actual = f"{met} client{'s' if met > 1 else ''} connected"
        fail(server, "assert_no_connection", "Nobody connects to this server.", actual)


def assert_handshake_rejected(server: MailServer, alert: str | None = None) -> None:
    """Assert that every client refused the TLS handshake: with an alert, or by leaving without another byte.

    A client that finishes the handshake and then says anything, be it QUIT, has not rejected it.

    Args:
        server: The server whose record is asked.
        alert: The name of the alert it has to send (RFC 8446 section 6.2), for example ``"unknown_ca"``; None
            (default) for any way to refuse.

    Raises:
        ClientViolation: A client went on, refused in another way, began no handshake, or none connected.
        ConfigError: The server speaks no TLS.
    """
    __tracebackhide__ = True
    if server.security is Security.NONE:
        raise ConfigError("assert_handshake_rejected needs a server with TLS, but security is 'none'")
    alert = alert.replace("-", "_").lower() if alert else None
    expected = "Every client refuses the TLS handshake" + (f" with the alert {alert}." if alert else ".")
    sessions = server.sessions
    if not sessions:
        fail(server, "assert_handshake_rejected", expected, "no client connected")
    for session in sessions:
        facts = session.tls
        if facts is None:
            actual = "began no handshake"
        elif facts.client_refused and alert in (None, facts.alert):
            continue
        else:
            detail = facts.alert or facts.reason
            actual = f"ended the handshake as {str(facts.outcome)!r}" + (f" ({detail})" if detail else "")
        fail(server, "assert_handshake_rejected", expected, f"session {session.number} {actual}")


def _begun(session: SessionRecord, fact: e.Fact) -> str | None:
    """Return the mechanism of a login that a command begins, or None."""
    if not isinstance(fact, e.Command) or not _begins_login(session, fact):
        return None
    if fact.verb in ("AUTH", "AUTHENTICATE"):
        name = (fact.argument.split() or [b""])[0].decode("ascii", "replace").upper()
        return name if name in MECHANISMS else "a mechanism that is not known"  # which may be a secret
    return {"LOGIN": "LOGIN-COMMAND", "PASS": "USER"}.get(fact.verb, fact.verb)


def _was_awaited(session: SessionRecord, asked: e.Command, following: e.Command) -> bool:
    """Return whether *following* came in a piece of its own, after the reply to *asked*."""
    facts = [entry.fact for entry in session.entries if entry.layer is Layer.TLS]
    between = facts[facts.index(asked) : facts.index(following, facts.index(asked) + 1)]
    return any(isinstance(fact, e.Received) for fact in between)


def _begins_login(session: SessionRecord, command: e.Command) -> bool:
    # A bare AUTH asks a POP3 server for its mechanisms and logs nobody in.
    lists_only = session.protocol is Protocol.POP3 and command.verb == "AUTH" and not command.argument.strip()
    return command.verb in LOGINS and not lists_only


def _was_cut_short(session: SessionRecord) -> bool:
    in_handshake = session.tls is not None and not session.over_tls
    by_server = session.closed is not None and session.closed.by == "server" and not session.of(e.Overdue)
    return in_handshake or by_server


def _needs_starttls(server: MailServer, name: str) -> None:
    if server.security is not Security.STARTTLS:
        raise ConfigError(f"{name} needs a server with security='starttls', not {server.security.value!r}")
