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
        count, _size = client.stat()
        if "messages" in case.wants:
            case.report(messages=[])
            letters = [b"\n".join(client.retr(number)[1]) for number in range(1, count + 1)]
            case.report(messages=[letter.decode("latin-1") for letter in letters])
        client.quit()


def _imaplib_mailbox(client: imaplib.IMAP4) -> dict[str, Any]:
    """Return what the library tells of the mailbox, by the names of :data:`~pytest_mailauth.model.reports.MAILBOX`."""
    status = _told(client.status("INBOX", "(MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)"))
    known = {
        "namespace": _told(client.namespace()) if "NAMESPACE" in client.capabilities else [],
        "recent": _told(client.recent()),
    }
    exists = _told(client.select(readonly=True))
    return {
        "exists": exists,
        "status": status,
        "search": _told(client.search(None, "ALL")),
        **known,
        **{name: _told(client.response(code)) for name, code in _RESPONSES.items()},
    }


def _told(answer: tuple[str, Any]) -> list[str]:
    """Return what came with an answer as text: a literal and what announces it are a pair."""
    parts = [part for item in answer[1] or () for part in (item if isinstance(item, tuple) else (item,))]
    return [part.decode("latin-1") for part in parts if isinstance(part, bytes)]


_RESPONSES: Final = {
    "flags": "FLAGS",
    "expunged": "EXPUNGE",
    "id": "ID",
    "enabled": "ENABLED",
    "quota": "QUOTAROOT",
    "metadata": "METADATA",
}
"""Responses that the library keeps for whoever asks for them, by what they are called in a report."""


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
        if "folders" in case.wants:
            case.report(folders=[*_told(client.list()), *_told(client.lsub())])
        if "mailbox" in case.wants:
            case.report(mailbox=_imaplib_mailbox(client))
        exists = _told(client.select(readonly=True))
        if "messages" in case.wants:
            case.report(messages=[])
            case.report(messages=_told(client.fetch("1:*", "(BODY.PEEK[])")) if exists != ["0"] else [])
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
