"""A user's suite as a type checker sees it. Checked by mypy, never run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_mailauth import (
    AuthPolicy,
    Case,
    Declaration,
    MailServer,
    MailServers,
    Secret,
    SessionRecord,
    TLSPolicy,
    assert_no_cleartext_credentials,
    assert_not_authenticated,
    assert_obeys,
    assert_tls,
    conformance,
)

if TYPE_CHECKING:
    import ssl


@pytest.mark.mailauth(certificate="expired", security="implicit")
def test_server(mailauth_smtp: MailServer) -> None:
    context: ssl.SSLContext = mailauth_smtp.ssl_context()
    host: str = mailauth_smtp.host
    port: int = mailauth_smtp.port
    password: Secret = mailauth_smtp.account.password
    sessions: tuple[SessionRecord, ...] = mailauth_smtp.sessions
    assert_obeys(mailauth_smtp, declared=Declaration(timeout=5.0))
    assert_tls(mailauth_smtp, min_version="1.3")
    assert_no_cleartext_credentials(mailauth_smtp)
    assert_not_authenticated(mailauth_smtp)
    print(context, host, port, password, sessions)


def test_factory(mailauth: MailServers) -> None:
    server: MailServer = mailauth.imap(tls=TLSPolicy(max_version="1.1"), auth=AuthPolicy(mechanisms=("PLAIN",)))
    subjects: list[str] = [message.subject for message in server.messages]
    print(subjects, mailauth.account.address)


@conformance(protocols=["smtp"], security=["starttls"])
def test_client(mailauth_case: Case) -> None:
    print(mailauth_case.host, mailauth_case.port, mailauth_case.security)


@conformance(protocols=["imap"])
async def test_async_client(mailauth_case: Case) -> None:
    print(mailauth_case.url)
