"""smtplib, poplib and imaplib, each in its shortest working call and with a verifying context.

Both are judged, as clients of their own: what a library does by default is what most programs do.
"""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import smtplib
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.clients.client import Client
from pytest_mailauth.model.terms import Protocol, Security

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from pytest_mailauth.judge.clients.case import Case

    Context = Callable[[Case], "ssl.SSLContext | None"]

MESSAGE: Final = "From: {sender}\r\nTo: {recipient}\r\nSubject: a message from the client under test\r\n\r\nHello.\r\n"


def message(case: Case) -> str:
    """Return the message that SMTP clients submit."""
    return MESSAGE.format(sender=case.sender, recipient=case.recipient)


def _smtplib(case: Case, context: ssl.SSLContext | None) -> None:
    common: dict[str, Any] = {"host": case.host, "port": case.port, "timeout": case.timeout}
    implicit = case.security is Security.IMPLICIT
    with smtplib.SMTP_SSL(context=context, **common) if implicit else smtplib.SMTP(**common) as client:
        if case.security is Security.STARTTLS:
            client.starttls(context=context)
        client.login(case.username, case.password)
        client.sendmail(case.sender, [case.recipient], message(case))


def _poplib(case: Case, context: ssl.SSLContext | None) -> None:
    implicit = case.security is Security.IMPLICIT
    client = (
        poplib.POP3_SSL(case.host, case.port, timeout=case.timeout, context=context)
        if implicit
        else poplib.POP3(case.host, case.port, timeout=case.timeout)
    )
    with contextlib.closing(client):
        if case.security is Security.STARTTLS:
            client.stls(context=context)
        client.user(case.username)
        client.pass_(case.password)
        client.stat()
        client.quit()


def _imaplib(case: Case, context: ssl.SSLContext | None) -> None:
    implicit = case.security is Security.IMPLICIT
    client = (
        imaplib.IMAP4_SSL(case.host, case.port, ssl_context=context, timeout=case.timeout)
        if implicit
        else imaplib.IMAP4(case.host, case.port, timeout=case.timeout)
    )
    try:
        if case.security is Security.STARTTLS:
            client.starttls(ssl_context=context)
        client.login(case.username, case.password)
        client.select(readonly=True)
        client.logout()
    finally:
        client.shutdown()


_CALLS: Final = {
    "smtplib": (Protocol.SMTP, _smtplib),
    "poplib": (Protocol.POP3, _poplib),
    "imaplib": (Protocol.IMAP, _imaplib),
}


def _unset(case: Case) -> None:
    """Leave the context to the library, as this style always does, and say so."""
    _ = case.by_default


_CONTEXTS: Final[dict[str, Context]] = {"default": _unset, "verifying": lambda case: case.ssl_context()}


def _client(name: str, style: str) -> Client:
    protocol, call = _CALLS[name]
    context = _CONTEXTS[style]
    return Client(name=f"{name}:{style}", run=lambda case: call(case, context(case)), protocols=(protocol,))


def clients(name: str) -> tuple[Client, ...]:
    """Return the two clients made of a module of the standard library."""
    return tuple(_client(name, style) for style in _CONTEXTS)


NAMES: Final = tuple(_CALLS)
"""The modules of the standard library that can be judged."""
