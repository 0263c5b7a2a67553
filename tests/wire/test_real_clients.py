"""The libraries that programs really use, on the honest servers: they log in, and no byte of a message is changed."""

import asyncio
import base64
import contextlib
import imaplib
import poplib
import smtplib
import ssl

import aiosmtplib
import pytest
from imapclient import IMAPClient
from wire_client import DEADLINE, only, secure

from pytest_mailauth.model.events import Closed, Malformed
from pytest_mailauth.model.terms import HandshakeOutcome, Layer

MESSAGES = {
    "plain": b"From: bob@example.test\r\nTo: alice@example.test\r\nSubject: hello\r\n\r\nbody\r\n",
    "dots": b"Subject: dots\r\n\r\n.\r\n..\r\n...x\r\n.\r\nlast\r\n",
    "8-bit": "Subject: grüße\r\n\r\nZwölf Boxkämpfer\r\n".encode() + b"\xff\xfe\x00\r\n",
    "long lines": b"Subject: long\r\n\r\n" + b"\r\n".join(b"x" * n for n in (998, 997, 500)) + b"\r\n",
    "empty": b"",
    "no header": b"\r\nonly a body\r\n",
    "large": b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 20_000,
}


@contextlib.contextmanager
def smtp_client(server):
    context = server.ssl_context()
    if server.security == "implicit":
        client = smtplib.SMTP_SSL(server.host, server.port, "client.test", context=context, timeout=DEADLINE)
    else:
        client = smtplib.SMTP(server.host, server.port, "client.test", timeout=DEADLINE)
    with client:
        if server.security == "starttls":
            client.starttls(context=context)
        yield client


@contextlib.contextmanager
def pop3_client(server):
    context = server.ssl_context()
    if server.security == "implicit":
        client = poplib.POP3_SSL(server.host, server.port, timeout=DEADLINE, context=context)
    else:
        client = poplib.POP3(server.host, server.port, timeout=DEADLINE)
        client.stls(context)
    yield client
    client.quit()


@contextlib.contextmanager
def imap_client(server):
    context = server.ssl_context()
    if server.security == "implicit":
        client = imaplib.IMAP4_SSL(server.host, server.port, ssl_context=context, timeout=DEADLINE)
    else:
        client = imaplib.IMAP4(server.host, server.port, timeout=DEADLINE)
        client.starttls(context)
    with client:
        yield client


@pytest.mark.parametrize("name", MESSAGES)
def test_what_is_sent_is_what_is_read(mailauth, security, name):
    content = MESSAGES[name]
    account = mailauth.account
    with smtp_client(mailauth.smtp(security=security)) as smtp:
        smtp.login(account.username, account.password)
        assert smtp.sendmail("bob@example.test", [account.address], content) == {}
    with pop3_client(mailauth.pop3(security=security)) as pop3:
        pop3.user(account.username)
        pop3.pass_(account.password)
        assert pop3.stat()[0] == 1
        over_pop3 = b"".join(line + b"\r\n" for line in pop3.retr(1)[1])
    with imap_client(mailauth.imap(security=security)) as imap:
        imap.login(account.username, account.password)
        assert imap.select()[1] == [b"1"]
        ((_, over_imap), _) = imap.fetch("1", "(BODY.PEEK[])")[1]
    # What poplib and imaplib return of a message is its bytes; smtplib ends every message with a line end.
    expected = content or b"\r\n"
    assert mailauth.servers[0].messages[0].content == expected
    assert over_pop3 == expected
    assert over_imap == expected


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("initial", [True, False])
def test_smtplib_logs_in(mailauth, security, mechanism, initial):
    server = mailauth.smtp(security=security)
    with smtp_client(server) as client:
        client.ehlo()
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
        client.user, client.password = server.account.username, server.account.password
        auth = client.auth_plain if mechanism == "PLAIN" else client.auth_login
        assert client.auth(mechanism, auth, initial_response_ok=initial)[0] == 235
    session = only(server)
    (fact,) = session.auth
    assert (fact.mechanism, fact.identity, fact.accepted) == (mechanism, server.account.username, True)
    assert fact.secret == server.account.password
    assert session.tls.outcome is HandshakeOutcome.COMPLETED
    assert session.verbs(Layer.CLEAR) == (("EHLO", "STARTTLS") if security == "starttls" else ())
    assert session.closed == Closed("server", "close")


def test_smtplib_is_told_when_it_may_not(mailauth, security):
    server = mailauth.smtp(security=security)
    with smtp_client(server) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
            client.login(server.account.username, "wrong")
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="relaying denied"):
            client.sendmail("bob@example.test", ["carol@elsewhere.test"], b"x")
        client.login(server.account.username, server.account.password)
        client.sendmail("bob@example.test", ["carol@elsewhere.test"], b"x")
    (message,) = server.messages
    assert message.authenticated_as == server.account.username
    assert message.over_tls


def test_smtplib_in_clear_is_refused_and_its_credentials_are_seen(mailauth):
    server = mailauth.smtp()
    account = server.account
    with smtplib.SMTP(server.host, server.port, "client.test", timeout=DEADLINE) as client:
        client.ehlo()
        assert "auth" not in client.esmtp_features
        plain = base64.b64encode(f"\0{account.username}\0{account.password}".encode()).decode()
        assert client.docmd("AUTH", f"PLAIN {plain}")[0] == 538
    (fact,) = only(server).auth
    assert (fact.secret, fact.accepted) == (account.password, False)


def test_the_authority_in_a_file_is_all_that_a_client_needs(mailauth, security):
    server = mailauth.imap(security=security)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(server.cafile)
    with secure(server, context) as wire:
        wire.send(wire.speech.quit)
        wire.rest()
    assert only(server).over_tls


async def send_with_aiosmtplib(server):
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        use_tls=server.security == "implicit",
        start_tls=server.security == "starttls",
        tls_context=server.ssl_context(),
        local_hostname="client.test",
        timeout=DEADLINE,
    )
    try:
        async with client:
            await client.login(server.account.username, server.account.password)
            await client.sendmail(
                "bøb@exämple.test", ["älice@example.test"], MESSAGES["8-bit"], mail_options=["SMTPUTF8"]
            )
    finally:
        # aiosmtplib does not wait until its transport is closed, and would leave it to the garbage collector.
        await asyncio.to_thread(server.drain, DEADLINE)
        for _ in range(20):
            await asyncio.sleep(0)


def test_aiosmtplib(mailauth, security):
    server = mailauth.smtp(security=security)
    asyncio.run(send_with_aiosmtplib(server))
    (message,) = server.messages
    assert message.content == MESSAGES["8-bit"]
    assert (message.mail_from, message.rcpt_tos) == ("bøb@exämple.test", ("älice@example.test",))
    assert only(server).of(Malformed) == ()


@pytest.mark.parametrize("certificate", ["expired", "self-signed", "wrong-host"])
def test_an_asyncio_client_refuses_without_an_alert_and_is_not_blamed(mailauth, security, certificate):
    server = mailauth.smtp(security=security, certificate=certificate)
    with pytest.raises((aiosmtplib.SMTPException, ssl.SSLError)):
        asyncio.run(send_with_aiosmtplib(server))
    session = only(server)
    assert session.tls.outcome in (HandshakeOutcome.CLIENT_LEFT_DURING, HandshakeOutcome.CLIENT_ALERT)
    assert session.tls_in == b""


def test_imapclient(mailauth, security):
    server = mailauth.imap(security=security)
    context = server.ssl_context()
    with IMAPClient(
        server.host, server.port, ssl=security == "implicit", ssl_context=context, timeout=DEADLINE
    ) as client:
        if security == "starttls":
            client.starttls(context)
        client.login(server.account.username, server.account.password)
        client.append("INBOX", MESSAGES["dots"])
        client.select_folder("INBOX", readonly=True)
        assert client.fetch(1, ["BODY[]"])[1][b"BODY[]"] == MESSAGES["dots"]
    session = only(server)
    assert session.of(Malformed) == ()
    assert session.verbs()[-1] == "LOGOUT"
