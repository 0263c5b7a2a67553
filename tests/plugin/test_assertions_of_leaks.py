"""Passwords that cross where they must not, in every wrapping: an assertion sees them, and nothing else for one."""

from __future__ import annotations

import base64
import contextlib
import imaplib
import smtplib
import socket
import ssl

import pytest
from scramp import ScramClient

from pytest_mailauth import (
    AuthPolicy,
    ClientViolation,
    assert_no_cleartext_credentials,
    assert_not_authenticated,
    assert_obeys,
)

IN_CLEAR = AuthPolicy(before_tls=("PLAIN", "LOGIN"))


def say(server, *lines):
    """Send lines in clear, whatever the server answers, and leave."""
    with socket.create_connection((server.host, server.port), timeout=5) as client:
        client.sendall(b"".join(line + b"\r\n" for line in lines if line))
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            pass


def log_in(server, *, context):
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        client.starttls(context=context)
        client.login(server.account.username, server.account.password)


def test_the_secrets_of_every_account_count(mailauth):
    server = mailauth.smtp(auth=IN_CLEAR)
    bob = server.add_account("bob@example.test")
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        client.login(bob.username, bob.password)
    with pytest.raises(ClientViolation, match=rf"the\s+password\s+of\s+{bob.username}\s+crossed\s+in\s+clear"):
        assert_no_cleartext_credentials(server)
    with pytest.raises(ClientViolation, match="logged in with PLAIN"):
        assert_not_authenticated(server)


@pytest.mark.parametrize("password", ["a", "the client's own password"])
def test_a_password_that_the_server_does_not_know_is_a_password_too(mailauth, password):
    server = mailauth.smtp(auth=IN_CLEAR)
    with smtplib.SMTP(server.host, server.port, timeout=5) as client, pytest.raises(smtplib.SMTPAuthenticationError):
        client.login("somebody", password)
    with pytest.raises(ClientViolation, match=r"a\s+secret\s+that\s+is\s+no\s+account's\s+here\s+crossed") as caught:
        assert_no_cleartext_credentials(server)
    assert "own password" not in str(caught.value)


def test_a_short_password_that_stands_in_a_text_by_chance_is_no_leak(mailauth):
    server = mailauth.smtp()
    server.add_account("bob@example.test", password="client")
    log_in(server, context=server.ssl_context())
    assert_no_cleartext_credentials(server)


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "SCRAM-SHA-256"])
def test_a_mechanism_that_reveals_nothing_is_no_leak(mailauth, mechanism):
    server = mailauth.imap(security="none", auth=AuthPolicy(mechanisms=(mechanism,), before_tls=(mechanism,)))
    account = server.account
    with imaplib.IMAP4(server.host, server.port, timeout=5) as client:
        if mechanism == "CRAM-MD5":
            client.login_cram_md5(account.username, account.password)
        else:
            scram = ScramClient(["SCRAM-SHA-256"], account.username, account.password)
            steps = iter([scram.get_client_first, scram.get_client_final, lambda: ""])

            def answer(challenge):
                if challenge.startswith(b"r="):
                    scram.set_server_first(challenge.decode())
                elif challenge.startswith(b"v="):
                    scram.set_server_final(challenge.decode())
                return next(steps)().encode()

            client.authenticate("SCRAM-SHA-256", answer)
    assert server.sessions[0].auth[0].accepted
    assert_no_cleartext_credentials(server)


@pytest.mark.parametrize("protocol", ["smtp", "pop3", "imap"])
def test_a_login_that_a_script_answers_has_crossed_all_the_same(mailauth, protocol):
    server = getattr(mailauth, protocol)(auth=IN_CLEAR)
    login = {"smtp": b"AUTH PLAIN AGEAYg==", "pop3": b"AUTH PLAIN AGEAYg==", "imap": b"a AUTHENTICATE PLAIN AGEAYg=="}
    server.on("AUTHENTICATE" if protocol == "imap" else "AUTH").drop()
    say(server, b"EHLO x" if protocol == "smtp" else b"", login[protocol])
    with pytest.raises(ClientViolation, match="a secret"):
        assert_no_cleartext_credentials(server)


@pytest.mark.parametrize("wrap", [lambda text: text.encode("utf-16-le"), lambda text: base64.b64encode(text.encode())])
def test_a_login_in_clear_that_nobody_can_read_proves_nothing(mailauth, wrap):
    server = mailauth.smtp(auth=IN_CLEAR)
    message = f"\0{server.account.username}\0{server.account.password}"
    say(server, b"EHLO x", b"AUTH PLAIN " + base64.b64encode(wrap(message)))
    with pytest.raises(ClientViolation, match=r"no-cleartext-credentials: (INCONCLUSIVE|VIOLATION)"):
        assert_no_cleartext_credentials(server)


def test_a_password_for_a_host_name_is_in_clear(mailauth):
    server = mailauth.smtp(security="implicit")
    context = ssl._create_unverified_context()
    with (
        socket.create_connection((server.host, server.port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=f"{server.account.password}.localhost") as client,
    ):
        client.recv(4096)
    with pytest.raises(ClientViolation, match="the password crossed in clear outside any login command"):
        assert_no_cleartext_credentials(server)


def test_a_short_password_is_a_password_too(mailauth):
    server = mailauth.smtp(auth=IN_CLEAR)
    bob = server.add_account("bob@example.test", password="secret")
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        client.login(bob.username, bob.password)
    with pytest.raises(ClientViolation, match=r"the\s+password\s+of\s+bob\S+\s+crossed\s+in\s+clear\s+with\s+PLAIN\."):
        assert_no_cleartext_credentials(server)


@pytest.mark.parametrize("where", ["behind an alert", "behind a refusal"])
def test_a_password_that_was_shown_is_no_refusal(mailauth, where):
    server = mailauth.imap(certificate="expired")
    line = f"a LOGIN {server.account.username} {server.account.password}".encode()
    if where == "behind an alert":
        say(server, b"s STARTTLS")  # and then no TLS
        say(server, b"s STARTTLS\r\n" + b"\x15\x03\x03\x00\x02\x02\x2a" + line)
    else:
        say(server, line.replace(b"LOGIN", b" LOGIN"))  # two blanks: no command of IMAP
    with pytest.raises(ClientViolation, match=r"although\s+the\s+certificate\s+is\s+expired"):
        assert_not_authenticated(server)


@pytest.mark.parametrize("security", ["starttls", "implicit"])
def test_logindisabled_means_the_same_inside_tls(mailauth, security):
    server = mailauth.imap(security=security, auth=AuthPolicy(password_commands="never"))
    context = server.ssl_context()
    if security == "implicit":
        client = imaplib.IMAP4_SSL(server.host, server.port, ssl_context=context, timeout=5)
    else:
        client = imaplib.IMAP4(server.host, server.port, timeout=5)
        client.starttls(context)
    with client, contextlib.suppress(imaplib.IMAP4.error):
        client.login(server.account.username, server.account.password)
    with pytest.raises(ClientViolation, match="respect-logindisabled: VIOLATION"):
        assert_obeys(server)


def test_a_command_in_clear_that_nobody_understands_is_no_obedience(mailauth):
    server = mailauth.smtp()
    say(server, b"EHLO x", b"MAIL\tFROM:<a@example.test>", b"QUIT")
    with pytest.raises(ClientViolation, match="no-operation-before-required-tls: INCONCLUSIVE"):
        assert_obeys(server, rules="no-operation-before-required-tls")
