"""Mail clients that this package does not install: each is offered when it is found, and imported when it is run.

Libraries that verify by default are given the run's certificate authority in the way they ask for it, since no test
authority stands in the system's store; everything else stays as they choose it. Where a scenario is about their own
default, they are not given that either.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.util
import shutil
import ssl
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.clients.client import Client
from pytest_mailauth.judge.clients.command import Program
from pytest_mailauth.judge.clients.stdlib import message
from pytest_mailauth.model.reports import texts
from pytest_mailauth.model.terms import Protocol, Security

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.judge.clients.case import Case


def _aiosmtplib(case: Case, trust: dict[str, Any]) -> None:
    aiosmtplib = importlib.import_module("aiosmtplib")
    given = case.connection
    sending = aiosmtplib.send(
        message(case),
        sender=case.sender,
        recipients=[case.recipient],
        hostname=case.host,
        **({"port": case.port} if given is None else {"sock": given}),
        username=case.username,
        password=case.password,
        use_tls=case.security is Security.IMPLICIT,
        start_tls=case.security is Security.STARTTLS,
        timeout=case.timeout,
        **trust,
    )
    asyncio.run(sending)


def _imapclient(case: Case, context: Any) -> None:
    imapclient = importlib.import_module("imapclient")
    implicit = case.security is Security.IMPLICIT
    client = imapclient.IMAPClient(
        case.host,
        port=case.port,
        ssl=implicit,
        ssl_context=context if implicit else None,
        timeout=case.timeout,
    )
    try:
        if case.security is Security.STARTTLS:
            client.starttls(ssl_context=context)
        client.login(case.username, case.password)
        if "folders" in case.wants:
            listed = (*client.list_folders(), *client.list_sub_folders())
            case.report(folders=[name for _flags, _delimiter, name in listed])
        status = client.folder_status("INBOX") if "mailbox" in case.wants else {}
        selected = client.select_folder("INBOX", readonly=True)
        if "mailbox" in case.wants:
            case.report(mailbox=_imapclient_mailbox(client, selected, status))
        if "messages" in case.wants:
            case.report(messages=[])
            fetched = client.fetch(client.search(), ["BODY.PEEK[]"])
            case.report(messages=[*texts(list(fetched.values()))])
        client.logout()
    finally:
        client.shutdown()


def _imapclient_mailbox(client: Any, selected: Any, status: Any) -> dict[str, Any]:
    """Return what the library tells of the mailbox, by the names of :data:`~pytest_mailauth.model.reports.MAILBOX`."""
    return {
        "exists": selected.get(b"EXISTS"),
        "recent": selected.get(b"RECENT"),
        "flags": [*texts(selected.get(b"FLAGS", ()))],
        "status": [*texts(dict(status))],
        "search": [*client.search()],
        "namespace": [*texts(client.namespace())] if client.has_capability("NAMESPACE") else [],
        "id": [*texts(client.id_())] if client.has_capability("ID") else [],
    }


def _imapclient_default(case: Case) -> None:
    if case.by_default:
        _imapclient(case, None)
        return
    # What the library itself makes when it is given no context.
    context = ssl.create_default_context()
    context.load_verify_locations(case.cafile)
    _imapclient(case, context)


_CURL: Final = (
    *("curl", "--silent", "--show-error", "--user", "{username}:{password}"),
    # The first limit is the time-out of connecting, TLS and login together, the second that of silence afterwards.
    *("--connect-timeout", "{timeout}", "--speed-limit", "1", "--speed-time", "2"),
)
_CURL_TRUST: Final = {False: ("--cacert", "{cafile}"), True: ()}
"""What it is told of certificates, by whether it is left to itself."""
_CURL_TASK: Final = {
    Protocol.SMTP: (
        *("--url", "{url}", "--mail-from", "{sender}", "--mail-rcpt", "{recipient}"),
        *("--header", "Subject: a message from the client under test", "--form", "=Hello."),
    ),
    Protocol.POP3: ("--url", "{url}/"),
    Protocol.IMAP: ("--url", "{url}/"),
}


def _curl() -> tuple[Client, ...]:
    """curl, told to require TLS. It always verifies."""
    programs = {
        (protocol, security, by_default): Program((*_CURL, *trust, *required, *task))
        for protocol, task in _CURL_TASK.items()
        for security in Security
        for by_default, trust in _CURL_TRUST.items()
        for required in ((("--ssl-reqd",) if security is Security.STARTTLS else ()),)
    }

    def program(case: Case) -> Program:
        return programs[case.protocol, case.security, case.by_default]

    return (
        Client(
            name="curl",
            run=lambda case: program(case).run(case),
            protocols=tuple(_CURL_TASK),
            relaxed=lambda case: program(case).run_relaxed(case),
            stop=lambda case: program(case).stop(case),
            reach=None,
        ),
    )


_AIOSMTPLIB: Final[dict[str, Callable[[Case], None]]] = {
    "default": lambda case: _aiosmtplib(case, {} if case.by_default else {"cert_bundle": case.cafile}),
    "verifying": lambda case: _aiosmtplib(case, {"tls_context": case.ssl_context()}),
}
_IMAPCLIENT: Final[dict[str, Callable[[Case], None]]] = {
    "default": _imapclient_default,
    "verifying": lambda case: _imapclient(case, case.ssl_context()),
}


def _styles(name: str, protocol: Protocol, calls: dict[str, Callable[[Case], None]]) -> tuple[Client, ...]:
    return tuple(Client(name=f"{name}:{style}", run=call, protocols=(protocol,)) for style, call in calls.items())


_MAKE: Final[dict[str, Callable[[], tuple[Client, ...]]]] = {
    "aiosmtplib": functools.partial(_styles, "aiosmtplib", Protocol.SMTP, _AIOSMTPLIB),
    "IMAPClient": functools.partial(_styles, "IMAPClient", Protocol.IMAP, _IMAPCLIENT),
    "curl": _curl,
}
INSTALL: Final = {
    "aiosmtplib": "python -m pip install aiosmtplib",
    "IMAPClient": "python -m pip install IMAPClient",
    "curl": "install the program curl with the package manager of this system",
}
"""Every client that is known here, with how to install it."""


def is_installed(name: str) -> bool:
    """Return whether the client can be run on this host."""
    return shutil.which(name) is not None if name == "curl" else importlib.util.find_spec(name.lower()) is not None


def clients(name: str) -> tuple[Client, ...]:
    """Return the clients made of a third-party library or program. It must be installed."""
    return _MAKE[name]()
