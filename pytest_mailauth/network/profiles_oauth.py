"""Providers that refuse the account's own password and ask for OAuth 2.0 (S15, S16). Facts only, each with its source.

Session numbers, addresses of clients and capability codes are left out of wordings that were seen. What is announced
stays what the servers can do: a capability that they lack is never added, however well known it is.
"""

from __future__ import annotations

from typing import Final

from pytest_mailauth.model.terms import Protocol, Refusal, Security
from pytest_mailauth.network import sources as src
from pytest_mailauth.network.profile import Provider, Service, Source, Wording

# Gmail.

_GMAIL_SCOPE: Final = "https://mail.google.com/"
_GMAIL_INVALID: Final = (
    "535-5.7.8 Username and Password not accepted. Learn more at\n"
    "535 5.7.8  https://support.google.com/mail/?p=BadCredentials - gsmtp"
)
_GMAIL_APP_PASSWORD: Final = (
    "534-5.7.9 Application-specific password required. For more information, go to\n"
    "534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor - gsmtp"
)
_GMAIL_APP_PASSWORD_URL: Final = (
    "Application-specific password required: https://support.google.com/accounts/answer/185833"
)
_GMAIL_IMAP_INVALID: Final = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)"
_GMAIL_POP3_INVALID: Final = "-ERR [AUTH] Username and password not accepted."


def _gmail_smtp(security: Security, port: int) -> Service:
    return Service(
        protocol=Protocol.SMTP,
        security=security,
        host="smtp.gmail.com",
        port=port,
        located=src.GOOGLE,
        mechanisms=("LOGIN", "PLAIN", "XOAUTH2", "OAUTHBEARER"),
        offered=src.GMAIL_SMTP_OFFERS,
        token_scope=_GMAIL_SCOPE,
        token_answer=src.GMAIL_TOKENS,
        less_secure_apps=False,
        greeting=Wording("220 smtp.gmail.com ESMTP - gsmtp", src.GMAIL_SMTP),
        texts={
            Refusal.INVALID: Wording(_GMAIL_INVALID, src.GMAIL_SMTP_INVALID),
            Refusal.BAD_TOKEN: Wording(_GMAIL_INVALID),
            Refusal.OAUTH_REQUIRED: Wording(_GMAIL_APP_PASSWORD, src.GMAIL_APP_PASSWORD),
            Refusal.RATE_LIMITED: Wording(
                "454 4.7.0 Too many login attempts, please try again later. - gsmtp", src.GMAIL_SMTP_TOO_MANY
            ),
        },
        hides=("HELP",),
    )


GMAIL: Final = Provider(
    name="gmail",
    title="Gmail and Google Workspace",
    services=(
        _gmail_smtp(Security.STARTTLS, 587),
        _gmail_smtp(Security.IMPLICIT, 465),
        Service(
            protocol=Protocol.IMAP,
            security=Security.IMPLICIT,
            host="imap.gmail.com",
            port=993,
            located=src.GOOGLE,
            mechanisms=("XOAUTH2", "PLAIN", "OAUTHBEARER"),
            offered=src.GMAIL_IMAP_OFFERS,
            token_scope=_GMAIL_SCOPE,
            token_answer=src.GMAIL_TOKENS,
            less_secure_apps=False,
            greeting=Wording("* OK Gimap ready for requests from 192.0.2.1", src.GMAIL_IMAP),
            texts={
                Refusal.INVALID: Wording(_GMAIL_IMAP_INVALID, src.GMAIL_IMAP),
                Refusal.BAD_TOKEN: Wording(_GMAIL_IMAP_INVALID),
                Refusal.OAUTH_REQUIRED: Wording(
                    f"NO [ALERT] {_GMAIL_APP_PASSWORD_URL} (Failure)", src.GMAIL_APP_PASSWORD
                ),
            },
            hides=("LITERAL+",),
        ),
        Service(
            protocol=Protocol.POP3,
            security=Security.IMPLICIT,
            host="pop.gmail.com",
            port=995,
            located=src.GOOGLE,
            mechanisms=("PLAIN", "XOAUTH2", "OAUTHBEARER"),
            offered=src.GMAIL_POP3,
            token_scope=_GMAIL_SCOPE,
            token_answer=src.GMAIL_TOKENS,
            less_secure_apps=False,
            greeting=Wording("+OK Gpop ready for requests from 192.0.2.1", src.GMAIL_POP3),
            texts={
                Refusal.INVALID: Wording(_GMAIL_POP3_INVALID, src.GMAIL_POP3_INVALID),
                Refusal.BAD_TOKEN: Wording(_GMAIL_POP3_INVALID),
                Refusal.OAUTH_REQUIRED: Wording(f"-ERR [AUTH] {_GMAIL_APP_PASSWORD_URL}"),
            },
            hides=("AUTH-RESP-CODE", "PIPELINING"),
        ),
    ),
    notes="Passwords are announced, and only app passwords are taken: the account's own password is refused.",
    sources=(src.S8, src.S15, src.S16, src.GOOGLE_PASSWORDS),
)

# Microsoft.

_MICROSOFT_INVALID: Final = "535 5.7.3 Authentication unsuccessful"
_MICROSOFT_POP3: Final = "-ERR Authentication failure: unknown user name or bad password."


def _microsoft_smtp(host: str, located: Source, oauth_required: Wording) -> Service:
    return Service(
        protocol=Protocol.SMTP,
        security=Security.STARTTLS,
        host=host,
        port=587,
        located=located,
        mechanisms=("LOGIN", "XOAUTH2"),
        offered=src.OUTLOOK_REFUSES,
        challenges=False,
        token_answer=src.MICROSOFT_OAUTH,
        less_secure_apps=False,
        greeting=Wording(
            "220 BY1PR10CA0041.outlook.office365.com Microsoft ESMTP MAIL Service ready at "
            "Mon, 1 Jun 2015 12:00:00 +0000",
            src.MICROSOFT_PRINTERS,
        ),
        texts={
            Refusal.INVALID: Wording(_MICROSOFT_INVALID, src.MICROSOFT_PRINTERS),
            Refusal.BAD_TOKEN: Wording(_MICROSOFT_INVALID, src.MICROSOFT_OAUTH),
            Refusal.OAUTH_REQUIRED: oauth_required,
        },
        hides=("HELP",),
    )


def _microsoft_reading(imap: Source, pop3: Source) -> tuple[Service, Service]:
    return (
        Service(
            protocol=Protocol.IMAP,
            security=Security.IMPLICIT,
            host="outlook.office365.com",
            port=993,
            located=imap,
            mechanisms=("PLAIN", "XOAUTH2"),
            offered=src.IMAP_OFFERS,
            challenges=False,
            token_answer=src.MICROSOFT_OAUTH,
            less_secure_apps=False,
            greeting=Wording("* OK The Microsoft Exchange IMAP4 service is ready.", src.MICROSOFT_READING),
            texts={
                Refusal.INVALID: Wording("NO LOGIN failed."),
                Refusal.BAD_TOKEN: Wording("NO AUTHENTICATE failed.", src.MICROSOFT_OAUTH),
                Refusal.OAUTH_REQUIRED: Wording("NO LOGIN failed.", src.MICROSOFT_IMAP_REFUSES),
            },
            announces=("IMAP4",),
        ),
        Service(
            protocol=Protocol.POP3,
            security=Security.IMPLICIT,
            host="outlook.office365.com",
            port=995,
            located=pop3,
            mechanisms=("PLAIN", "XOAUTH2"),
            offered=src.MICROSOFT_POP3,
            challenges=False,
            token_answer=src.MICROSOFT_OAUTH,
            less_secure_apps=False,
            greeting=Wording("+OK The Microsoft Exchange POP3 service is ready.", src.MICROSOFT_POP3),
            texts={
                Refusal.INVALID: Wording(_MICROSOFT_POP3),
                Refusal.BAD_TOKEN: Wording(_MICROSOFT_POP3, src.MICROSOFT_OAUTH),
                Refusal.OAUTH_REQUIRED: Wording(_MICROSOFT_POP3),
            },
            hides=("RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"),
        ),
    )


MICROSOFT_365: Final = Provider(
    name="microsoft-365",
    title="Microsoft 365 (Exchange Online)",
    services=(
        _microsoft_smtp(
            "smtp.office365.com",
            src.MICROSOFT_PRINTERS,
            Wording("550 5.7.30 Basic authentication is not supported for Client Submission.", src.MICROSOFT_BASIC),
        ),
        *_microsoft_reading(src.MICROSOFT_READING, src.MICROSOFT_POP3),
    ),
    notes="Passwords are announced and refused, over SMTP with a code that RFC 4954 does not have.",
    sources=(src.S8, src.S15, src.S16, src.MICROSOFT_OAUTH),
)

OUTLOOK: Final = Provider(
    name="outlook.com",
    title="Outlook.com (personal accounts)",
    services=(
        _microsoft_smtp(
            "smtp-mail.outlook.com",
            src.OUTLOOK,
            Wording("535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", src.OUTLOOK_REFUSES),
        ),
        *_microsoft_reading(src.OUTLOOK, src.OUTLOOK),
    ),
    notes="OAuth 2.0 is required. POP3 and IMAP are switched off until the user allows them.",
    sources=(src.S8, src.S15, src.OUTLOOK),
)
