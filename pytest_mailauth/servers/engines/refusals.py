"""What each protocol says when somebody is not let in: one table, the documented reply for each reason.

RFC 4954 section 6 (SMTP), RFC 5530 (IMAP), RFC 3206 (POP3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.terms import Protocol, Refusal

if TYPE_CHECKING:
    from pytest_mailauth.model.config import AuthPolicy

_SMTP, _POP3, _IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP

REPLIES: Final[dict[Refusal, dict[Protocol, str]]] = {
    Refusal.INVALID: {
        _SMTP: "535 5.7.8 Authentication credentials invalid",
        _POP3: "-ERR [AUTH] wrong user name or password",
        _IMAP: "NO [AUTHENTICATIONFAILED] authentication failed",
    },
    Refusal.TOO_WEAK: {
        _SMTP: "534 5.7.9 Authentication mechanism is too weak",
        _POP3: "-ERR [AUTH] this mechanism is too weak",
        _IMAP: "NO [AUTHENTICATIONFAILED] this mechanism is too weak",
    },
    Refusal.ENCRYPTION_NEEDED: {
        _SMTP: "538 5.7.11 Encryption required for requested authentication mechanism",
        _POP3: "-ERR [AUTH] TLS is needed before you log in",
        _IMAP: "NO [PRIVACYREQUIRED] TLS is needed before you log in",
    },
    Refusal.TEMPORARY: {
        _SMTP: "454 4.7.0 Temporary authentication failure",
        _POP3: "-ERR [SYS/TEMP] authentication is not possible now",
        _IMAP: "NO [UNAVAILABLE] authentication is not possible now",
    },
    Refusal.TRANSITION: {
        _SMTP: "432 4.7.12 A password transition is needed",
        _POP3: "-ERR [AUTH] a password transition is needed",
        _IMAP: "NO [EXPIRED] a password transition is needed",
    },
    Refusal.LOCKED: {
        _SMTP: "535 5.7.8 Too many failures, the account is locked",
        _POP3: "-ERR [AUTH] too many failures, the account is locked",
        _IMAP: "NO [CONTACTADMIN] too many failures, the account is locked",
    },
    Refusal.RATE_LIMITED: {
        _SMTP: "454 4.7.0 Too many login attempts, try again later",
        _POP3: "-ERR [SYS/TEMP] too many login attempts, try again later",
        _IMAP: "NO [LIMIT] too many login attempts, try again later",
    },
    Refusal.BAD_TOKEN: {
        _SMTP: "535 5.7.8 The bearer token is not accepted",
        _POP3: "-ERR [AUTH] the bearer token is not accepted",
        _IMAP: "NO [AUTHENTICATIONFAILED] the bearer token is not accepted",
    },
    Refusal.OAUTH_REQUIRED: {
        _SMTP: "534 5.7.9 OAuth 2.0 is required, passwords are not accepted",
        _POP3: "-ERR [AUTH] OAuth 2.0 is required, passwords are not accepted",
        _IMAP: "NO [AUTHENTICATIONFAILED] OAuth 2.0 is required, passwords are not accepted",
    },
}


def refusal_text(refusal: Refusal, protocol: Protocol, auth: AuthPolicy) -> str:
    """Return the reply to a refused login, without tag and line end; the policy's own wording goes first."""
    return auth.texts.get(refusal, REPLIES[refusal][protocol])
