"""Causes that the server itself named in a reply: logins that were refused, mail that was not taken.

Codes and response codes are read first, where a standard gives one; words only tell apart what shares a code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model import events as e
from pytest_mailauth.model.causes.cause import Cause
from pytest_mailauth.model.config import TOKEN_MECHANISMS
from pytest_mailauth.model.exchanges import LOGINS, TLS_STARTERS
from pytest_mailauth.model.terms import Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.causes.cause import Seen
    from pytest_mailauth.model.exchanges import Exchange


def _words(*parts: str) -> re.Pattern[str]:
    return re.compile("|".join(parts), re.IGNORECASE)


_LOCKED: Final = _words(r"\block(?:ed|out)\b", r"\[CONTACTADMIN\]", r"5\.7\.13\b")
_LIMITED: Final = _words(r"too many (?:log|attempt|connection)", r"\[LIMIT\]", r"rate limit", r"try again later")
_OAUTH: Final = _words(
    r"oauth", r"(?:app|application)[- ](?:specific )?password", r"less secure app", r"basic auth", r"web ?login"
)
_ENCRYPT: Final = _words(
    r"^538\b", r"\[PRIVACYREQUIRED\]", r"TLS is needed", r"must issue a STARTTLS", r"^530.*(?:TLS|SSL)"
)
_TRANSITION: Final = _words(r"^432\b", r"\[EXPIRED\]", r"transition")
_TEMPORARY: Final = _words(r"^4\d\d\b", r"\[UNAVAILABLE\]", r"\[SYS/TEMP\]")
_MECHANISM: Final = _words(
    r"^504\b",
    r"^534\b",
    r"mechanism",
    r"\[CANNOT\]",
    r"unrecognized authentication",
    r"not (?:offered|supported|allowed)",
)
_INVALID: Final = _words(r"^535\b", r"\[AUTHENTICATIONFAILED\]", r"\[AUTH\]", r"^-ERR", r"^NO\b")
_GREYLISTED: Final = _words(r"gr[ea]y ?-?list")
_RELAYING: Final = _words(r"relay", r"^530\b", r"authenticat")
_TOO_LARGE: Final = _words(r"^552\b(?! 5\.2\.2)", r"[45]\.3\.4\b", r"\[TOOBIG\]", r"exceeds .*size")
_UNKNOWN: Final = _words(r"5\.1\.[1-36]\b", r"no such", r"unknown (?:user|recipient)")
_NONE_VALID: Final = _words(r"no valid recipients")
_MANY: Final = _words(r"4\.5\.3\b", r"5\.5\.3\b", r"too many recipients")

_LOGIN_KINDS: Final = (
    ("oauth-required", _OAUTH),
    ("account-locked", _LOCKED),
    ("too-many-tries", _LIMITED),
    ("tls-needed", _ENCRYPT),
    ("password-transition", _TRANSITION),
    ("cannot-check-now", _TEMPORARY),
    ("mechanism-refused", _MECHANISM),
    ("credentials-refused", _INVALID),
)
"""What a refused login was refused for: the first that fits, since one code stands for several reasons."""
_MAIL_KINDS: Final = (
    ("greylisted", _GREYLISTED),
    ("tls-needed", _ENCRYPT),
    ("too-many-recipients", _MANY),
    ("message-too-large", _TOO_LARGE),
    ("relaying-denied", _RELAYING),
    ("recipient-refused", _UNKNOWN),
    ("no-valid-recipients", _NONE_VALID),
)
_MAIL: Final = frozenset({"MAIL", "RCPT", "DATA", "BDAT", "APPEND"})


def _kind(seen: Seen, exchange: Exchange) -> str:
    """Return what a refused command was refused for; ``"other"`` when no row knows it."""
    kinds: tuple[tuple[str, re.Pattern[str]], ...] = ()
    if exchange.command.verb in LOGINS:
        kinds = _LOGIN_KINDS
    elif exchange.command.verb in _MAIL:
        kinds = _MAIL_KINDS
    kind = next((name for name, pattern in kinds if pattern.search(exchange.reply)), "other")
    if kind == "relaying-denied" and exchange.command.verb == "DATA":
        return "other"
    if kind != "credentials-refused":
        return kind
    later = seen.exchanges[seen.exchanges.index(exchange) + 1 :]
    if not exchange.presented or any(one.accepted for x in later for one in x.presented):
        return "other"  # nobody showed credentials, or they were taken after all
    last = exchange.presented[-1]
    if last.mechanism.upper() in TOKEN_MECHANISMS:
        return "token-refused"
    known = [a for a in seen.session.accounts if last.identity in (a.username, a.address)]
    if any(last.secret and str(last.secret) == str(account.password) for account in known):
        return "right-and-refused"
    return "wrong-password"


def _refused(*names: str, also: Callable[[Seen], str | None] | None = None) -> Callable[[Seen], str | None]:
    """Return what looks for a command refused for one of these reasons."""

    def look(seen: Seen) -> str | None:
        found = [x for x in seen.exchanges if x.is_refused and _kind(seen, x) in names]
        if not found:
            return also(seen) if also is not None else None
        more = f", and {len(found) - 1} more like it" if len(found) > 1 else ""
        return seen.answered(found[0]) + more

    return look


def _whose(seen: Seen) -> str | None:
    """Return a refused login with what is known of the name and the password, as far as this server knows accounts."""
    for exchange in seen.exchanges:
        if exchange.is_refused and _kind(seen, exchange) == "wrong-password":
            last = exchange.presented[-1]
            known = [a for a in seen.session.accounts if last.identity in (a.username, a.address)]
            what = ""
            if not known and seen.session.accounts and last.identity:
                what = "; no account here has this user name"
            elif known and last.secret:
                what = "; the user name is right, the password is another"
            return seen.answered(exchange) + what
    return None


def _tokens_only(seen: Seen) -> str | None:
    """Return that a server took tokens alone, and that the client left without a login."""
    session = seen.session
    data = session.tls_out if session.over_tls else session.clear_out
    line = next((m[1] for m in re.finditer(rb"(?m)^250[ -]AUTH ([^\r\n]*)", data)), None)
    if session.protocol is not Protocol.SMTP or line is None or session.auth or session.closed is None:
        return None
    offered = line.decode("ascii", "replace").upper().split()
    if not offered or set(offered) - set(TOKEN_MECHANISMS) or any(x.command.verb in LOGINS for x in seen.exchanges):
        return None
    return f"the server offers {' and '.join(offered)} alone, and the client left without logging in"


def _some_recipients(seen: Seen) -> str | None:
    """Return which recipient was refused, where others were taken."""
    asked = [x for x in seen.exchanges if x.command.verb == "RCPT"]
    return _refused("recipient-refused")(seen) if any(not x.is_refused for x in asked) else None


def _all_recipients(seen: Seen) -> str | None:
    """Return that no recipient was taken, because of who they are."""
    asked = [x for x in seen.exchanges if x.command.verb == "RCPT"]
    if asked and all(x.is_refused for x in asked):
        return _refused("recipient-refused")(seen)
    return None if asked else _refused("no-valid-recipients")(seen)


def _overdue(seen: Seen) -> str | None:
    if not seen.session.of(e.Overdue):
        return None
    last = seen.exchanges[-1] if seen.exchanges else None
    return "it was cut off" + (f"; the last command was {seen.quoted(last.command.line)}" if last else "")


def _malformed(seen: Seen) -> str | None:
    found = seen.session.of(e.Malformed)
    return seen.quoted(found[0].reason) if found else None


def _otherwise(seen: Seen) -> str | None:
    found = [
        x for x in seen.exchanges if x.is_refused and x.command.verb not in TLS_STARTERS and _kind(seen, x) == "other"
    ]
    return seen.answered(found[0]) if found else None


REPLIES: Final = (
    Cause(
        "oauth-required",
        "The server demands OAuth 2.0: it does not take passwords for this account",
        "Get a bearer token from the provider and log in with it. Where the provider knows passwords for less secure "
        "apps, the user has to make one.",
        ("S15", "S16"),
        _refused("oauth-required", also=_tokens_only),
    ),
    Cause(
        "account-locked",
        "The server has locked the account",
        "Do not try again: the user, or whoever runs the server, has to unlock it.",
        ("S1",),
        _refused("account-locked"),
    ),
    Cause(
        "too-many-tries",
        "The server limits how often one may log in",
        "Wait before the next try, and keep connections open instead of logging in again and again.",
        (),
        _refused("too-many-tries"),
    ),
    Cause(
        "tls-needed",
        "The server wants a secure connection before this command",
        "Start TLS first.",
        ("S2", "S9", "RFC 4954 section 6"),
        _refused("tls-needed"),
    ),
    Cause(
        "password-transition",
        "The server wants a password transition first",
        "Log in once with PLAIN inside TLS, or let the user renew the password, as the reply says.",
        ("RFC 4954 section 6",),
        _refused("password-transition"),
    ),
    Cause(
        "cannot-check-now",
        "The server cannot check credentials now: they may well be right",
        "Try again later, and do not ask the user for another password.",
        ("S1", "RFC 4954 section 6"),
        _refused("cannot-check-now"),
    ),
    Cause(
        "mechanism-refused",
        "The server does not take this way to log in",
        "Choose a mechanism among those that the server names inside TLS.",
        ("RFC 4954 section 6",),
        _refused("mechanism-refused"),
    ),
    Cause(
        "token-refused",
        "The server does not take this bearer token: it may have expired, or be for something else",
        "Refresh the token, and look at its scope.",
        ("S15", "RFC 6750 section 3.1"),
        _refused("token-refused"),
    ),
    Cause(
        "right-and-refused",
        "User name and password are valid, and the login was refused all the same",
        "See in the reply what the server wants: the credentials are not the reason.",
        ("S1",),
        _refused("right-and-refused"),
    ),
    Cause(
        "wrong-password",
        "The server says that user name or password are wrong",
        "Verify both; the user name may have to be the whole mail address.",
        ("S1", "RFC 4954 section 6"),
        _whose,
    ),
    Cause(
        "greylisted",
        "The server refuses the recipient for now, as it does with everybody it does not know (greylisting)",
        "Try again later: what comes back is taken.",
        ("RFC 5321 section 4.5.4.1",),
        _refused("greylisted"),
    ),
    Cause(
        "relaying-denied",
        "Relaying was denied: without a login the server takes mail for its own recipients only",
        "Log in before sending.",
        ("S3", "S8", "RFC 4954 section 6"),
        _refused("relaying-denied"),
    ),
    Cause(
        "no-valid-recipients",
        "None of the recipients was valid for this server",
        "Verify the addresses of the recipients.",
        ("S3", "S17", "RFC 5321 section 3.3"),
        _all_recipients,
    ),
    Cause(
        "recipient-refused",
        "The server knows no such recipient; it took others",
        "Verify the address.",
        ("S3", "S17"),
        _some_recipients,
    ),
    Cause(
        "too-many-recipients",
        "The message has more recipients than the server takes at once",
        "Send it in several transactions.",
        ("RFC 5321 section 4.5.3.1.10",),
        _refused("too-many-recipients"),
    ),
    Cause(
        "message-too-large",
        "The message is larger than the server takes",
        "Look at SIZE in the answer to EHLO before sending.",
        ("RFC 5321 section 4.5.3.1.9",),
        _refused("message-too-large"),
    ),
    Cause(
        "client-hung",
        "The client waited longer than its time limit",
        "Set a time-out on every reply.",
        ("RFC 5321 section 4.5.3.2",),
        _overdue,
    ),
    Cause(
        "not-understood",
        "The server did not understand what the client said",
        "Look at the line in the transcript.",
        (),
        _malformed,
    ),
    Cause(
        "command-refused",
        "The server refused a command",
        "See in the reply what it did not accept.",
        (),
        _otherwise,
    ),
)
"""Most telling first."""
