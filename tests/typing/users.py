"""A user's suite as a type checker sees it. Checked by mypy, never run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from pytest_mailauth import (
    AuthPolicy,
    Case,
    Declaration,
    Diagnosis,
    MailServer,
    MailServers,
    Message,
    Network,
    Secret,
    Secrets,
    ServerConfig,
    SessionRecord,
    TLSPolicy,
    assert_attempts,
    assert_bounded,
    assert_capabilities_refetched,
    assert_commands,
    assert_handshake_rejected,
    assert_mechanism,
    assert_message_count,
    assert_never_weaker,
    assert_no_cleartext_credentials,
    assert_no_connection,
    assert_not_authenticated,
    assert_obeys,
    assert_quit_sent,
    assert_recipients,
    assert_starttls_before_auth,
    assert_tls,
    conformance,
    diagnose,
    explain,
    strategies,
)
from pytest_mailauth.selection import Checked, Choice, LawBroken, NotAsked, Situation, check_selection

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable


@pytest.mark.mailauth(certificate="expired", security="implicit")
def test_server(mailauth_smtp: MailServer) -> None:
    context: ssl.SSLContext = mailauth_smtp.ssl_context()
    host: str = mailauth_smtp.host
    port: int = mailauth_smtp.port
    mailauth_smtp.block(how="refused")
    mailauth_smtp.port_state = "silent"
    mailauth_smtp.lift()
    state: str = mailauth_smtp.port_state
    password: Secret = mailauth_smtp.account.password
    sessions: tuple[SessionRecord, ...] = mailauth_smtp.sessions
    assert_obeys(mailauth_smtp, declared=Declaration(timeout=5.0))
    assert_tls(mailauth_smtp, min_version="1.3")
    assert_no_cleartext_credentials(mailauth_smtp)
    assert_not_authenticated(mailauth_smtp)
    print(context, host, port, state, password, sessions)


def test_factory(mailauth: MailServers) -> None:
    server: MailServer = mailauth.imap(tls=TLSPolicy(max_version="1.1"), auth=AuthPolicy(mechanisms=("PLAIN",)))
    subjects: list[str] = [message.subject for message in server.messages]
    print(subjects, mailauth.account.address)


async def test_inbox(mailauth: MailServers, mailauth_smtp: MailServer) -> None:
    first: Message = mailauth.wait_for_message(to="bob@example.test", subject=re.compile("code"), timeout=1)
    second: Message = await mailauth_smtp.await_message(match=lambda message: bool(message.codes), after=first)
    links: tuple[str, ...] = second.links
    files: list[str] = [attachment.filename for attachment in second.attachments]
    loaded: int = mailauth.load("box.mbox", "Archive")
    print(links, files, second.bcc, second.headers["To"], loaded)


@conformance(protocols=["smtp"], security=["starttls"])
def test_client(mailauth_case: Case) -> None:
    print(mailauth_case.host, mailauth_case.port, mailauth_case.security)


@conformance(protocols=["imap"])
async def test_async_client(mailauth_case: Case) -> None:
    print(mailauth_case.url)


def test_sessions(mailauth_smtp: MailServer) -> None:
    server = mailauth_smtp
    assert_mechanism(server, "PLAIN", tls=None)
    assert_starttls_before_auth(server)
    assert_capabilities_refetched(server)
    assert_commands(server, ["EHLO", ..., "MAIL FROM:*", "QUIT"], session=1)
    assert_recipients(server, {"bob@example.test"})
    assert_message_count(server, 1)
    assert_quit_sent(server)
    assert_no_connection(server)
    assert_handshake_rejected(server, alert="unknown_ca")
    session = server.sessions[0]
    lines: list[str] = [str(command) for command in session.commands]
    recipients: tuple[str, ...] = session.stored[0].recipients
    said_goodbye: bool = session.quit_sent
    refused: bool = session.tls is not None and session.tls.client_refused
    print(lines, recipients, said_goodbye, refused)


def test_secrets(
    mailauth_secrets: Secrets, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    key: Secret = mailauth_secrets.new("API key")
    mailauth_secrets.assert_absent(caplog, capsys, ValueError(key), frame_locals=True)


def test_attempts(mailauth_network: Network, mailauth_smtp: MailServer) -> None:
    assert_attempts(mailauth_network, [25, ("smtp.example.test", 587), ("smtp.example.test", 465, "refused")])
    assert_never_weaker(mailauth_network, allow_explicit=True)
    assert_bounded(mailauth_network.attempts, limit=5)
    text: str = explain(mailauth_network, width=80) + explain(mailauth_smtp.sessions)
    first: Diagnosis = diagnose(mailauth_smtp)[0]
    sources: tuple[str, ...] = first.sources
    print(text, first.name, first.evidence, sources)


@given(config=strategies.server_configs("imap", sound=True), plan=strategies.fault_plans("imap"))
def test_property(mailauth_factory: MailServers, config: ServerConfig, plan: strategies.FaultPlan) -> None:
    with mailauth_factory.serve(config) as server:
        plan.tell(server)


names: tuple[str, ...] = strategies.mechanism_lists(external=True).example()
reply: bytes = strategies.smtp_replies(valid=True).example()


def choose(protocol: str, port: int, stated: str | None) -> str:
    return stated or f"{protocol}{port}"


def asked_by_words(function: Callable[..., str], asked: Situation) -> Choice:
    if asked.port is None or asked.service is not None:
        raise NotAsked
    return Choice(mode=function(asked.protocol, asked.port, asked.stated), port=asked.port)


def test_selection() -> None:
    checked: Checked = check_selection(choose, laws=["standard-ports"], examples=50)
    laws: tuple[str, ...] = checked.laws
    assert laws
    with pytest.raises(LawBroken) as failure:
        check_selection(choose, adapt=asked_by_words)
    law: str = failure.value.law.name
    asked: Situation = failure.value.asked
    assert law
    assert asked.port
