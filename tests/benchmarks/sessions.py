"""What the clients do: one session each, with the standard library alone, and the same against every contender."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl

HOST = "127.0.0.1"
TIMEOUT = 10
# With a name given, smtplib does not look up its own, which takes as long as the name service likes.
OWN_NAME = "client.example.test"
MAIL = "a@example.test", ["b@example.test"], "From: a@example.test\r\nTo: b@example.test\r\nSubject: x\r\n\r\nhello"


class Endpoint(NamedTuple):
    """Where a session goes, and what it needs for it."""

    port: int
    context: ssl.SSLContext
    username: str = "alice"
    password: str = "secret"


def smtp_plain(at: Endpoint) -> None:
    with smtplib.SMTP(HOST, at.port, OWN_NAME, TIMEOUT) as client:
        client.sendmail(*MAIL)


def smtp_starttls(at: Endpoint) -> None:
    with smtplib.SMTP(HOST, at.port, OWN_NAME, TIMEOUT) as client:
        client.starttls(context=at.context)
        client.login(at.username, at.password)
        client.sendmail(*MAIL)


def smtp_implicit(at: Endpoint) -> None:
    with smtplib.SMTP_SSL(HOST, at.port, OWN_NAME, timeout=TIMEOUT, context=at.context) as client:
        client.login(at.username, at.password)
        client.sendmail(*MAIL)


def pop3_stls(at: Endpoint) -> None:
    client = poplib.POP3(HOST, at.port, TIMEOUT)
    client.stls(at.context)
    client.user(at.username)
    client.pass_(at.password)
    client.retr(1)
    client.quit()


def imap_starttls(at: Endpoint) -> None:
    with imaplib.IMAP4(HOST, at.port, TIMEOUT) as client:
        client.starttls(at.context)
        client.login(at.username, at.password)
        client.select()
        client.fetch("1", "(BODY[])")
