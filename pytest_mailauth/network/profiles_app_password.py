"""Providers that take app passwords. Facts only, each with its source or with none, and then it says so.

The password of a test's account stands for an app password here: there is no other that could be refused.
"""

from __future__ import annotations

from typing import Final

from pytest_mailauth.model.terms import Protocol, Refusal, Security
from pytest_mailauth.network import sources as src
from pytest_mailauth.network.profile import Provider, Service, Source, Wording

# Yahoo.


def _yahoo_smtp(security: Security, port: int) -> Service:
    invalid = "535 5.7.0 (#MBR1212) Incorrect username or password."
    return Service(
        protocol=Protocol.SMTP,
        security=security,
        host="smtp.mail.yahoo.com",
        port=port,
        located=src.YAHOO_SMTP_PORTS,
        mechanisms=("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"),
        offered=src.YAHOO_SMTP_PORTS,
        greeting=Wording("220 smtp.mail.yahoo.com ESMTP ready", src.YAHOO_SMTP),
        texts={
            Refusal.INVALID: Wording(invalid, src.YAHOO_SMTP),
            Refusal.BAD_TOKEN: Wording(invalid),
            Refusal.RATE_LIMITED: Wording("535 5.7.0 (#AUTH005) Too many bad auth attempts.", src.YAHOO_SMTP_PORTS),
        },
        hides=("SMTPUTF8", "ENHANCEDSTATUSCODES", "HELP"),
    )


YAHOO: Final = Provider(
    name="yahoo",
    title="Yahoo Mail",
    services=(
        _yahoo_smtp(Security.IMPLICIT, 465),
        _yahoo_smtp(Security.STARTTLS, 587),
        Service(
            protocol=Protocol.IMAP,
            security=Security.IMPLICIT,
            host="imap.mail.yahoo.com",
            port=993,
            located=src.YAHOO_SETTINGS,
            mechanisms=("PLAIN", "XOAUTH2", "OAUTHBEARER"),
            offered=src.IMAP_OFFERS,
            greeting=Wording("* OK IMAP4rev1 imapgate-1.8.1_01.20166", src.YAHOO_IMAP_SESSION),
            texts={
                Refusal.INVALID: Wording(
                    "NO [AUTHENTICATIONFAILED] (#MBR1212) Incorrect username or password.", src.YAHOO_IMAP_SESSION
                )
            },
        ),
        Service(
            protocol=Protocol.POP3,
            security=Security.IMPLICIT,
            host="pop.mail.yahoo.com",
            port=995,
            located=src.YAHOO_SETTINGS,
            mechanisms=("PLAIN", "XOAUTH2", "OAUTHBEARER"),
            offered=None,
            greeting=Wording("+OK hello from popgate-0.8.0.504347", src.YAHOO_POP3_SESSION),
        ),
    ),
    notes="Passwords are app passwords: the password of the test account stands for one.",
    sources=(src.S8, src.YAHOO_OAUTH, src.YAHOO_IMAP, src.YAHOO_POP3, src.YAHOO_PASSWORDS),
)

# iCloud.

ICLOUD: Final = Provider(
    name="icloud",
    title="iCloud Mail",
    services=(
        Service(
            protocol=Protocol.SMTP,
            security=Security.STARTTLS,
            host="smtp.mail.me.com",
            port=587,
            located=src.APPLE_SETTINGS,
            mechanisms=("LOGIN", "PLAIN"),
            offered=src.APPLE_SMTP,
        ),
        Service(
            protocol=Protocol.IMAP,
            security=Security.IMPLICIT,
            host="imap.mail.me.com",
            port=993,
            located=src.APPLE_SETTINGS,
            mechanisms=("PLAIN",),
            offered=src.APPLE_IMAP,
            greeting=Wording("* OK iSCREAM ready to rumble", src.APPLE_IMAP),
            texts={Refusal.INVALID: Wording("NO [AUTHENTICATIONFAILED] Authentication failed", src.APPLE_IMAP)},
            announces=("IMAP4",),
        ),
    ),
    notes="There is no POP3. Passwords are app-specific passwords: the password of the test account stands for one.",
    sources=(src.S8, src.APPLE),
)

# Fastmail.


def _fastmail(protocol: Protocol, host: str, port: int, texts: dict[Refusal, Wording] | None = None) -> Service:
    return Service(
        protocol=protocol,
        security=Security.IMPLICIT,
        host=host,
        port=port,
        located=src.FASTMAIL,
        mechanisms=("PLAIN",),
        offered=None,
        texts=texts or {},
    )


def _fastmail_smtp(security: Security, port: int, located: Source) -> Service:
    invalid = Wording("535 5.7.0 Incorrect username, password or access token", src.FASTMAIL_SMTP_INVALID)
    return Service(
        protocol=Protocol.SMTP,
        security=security,
        host="smtp.fastmail.com",
        port=port,
        located=located,
        mechanisms=("PLAIN",),
        offered=src.FASTMAIL,
        greeting=Wording("220 smtp.fastmail.com ESMTP ready", src.FASTMAIL_SMTP),
        texts={Refusal.INVALID: invalid},
    )


FASTMAIL: Final = Provider(
    name="fastmail",
    title="Fastmail",
    services=(
        _fastmail_smtp(Security.IMPLICIT, 465, src.FASTMAIL),
        _fastmail_smtp(Security.STARTTLS, 587, src.FASTMAIL_587),
        _fastmail(
            Protocol.IMAP,
            "imap.fastmail.com",
            993,
            {Refusal.INVALID: Wording("NO Incorrect username, password or access token.", src.FASTMAIL_IMAP)},
        ),
        _fastmail(Protocol.POP3, "pop.fastmail.com", 995),
    ),
    notes="Nothing works without TLS. Passwords are app passwords: the password of the test account stands for one.",
    sources=(src.S8, src.FASTMAIL),
)
