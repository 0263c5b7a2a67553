"""Clients that nearly do what a session assertion asks for: refused, cancelled, malformed, or in too much of a hurry."""

from __future__ import annotations

import base64
import socket

import pytest

from pytest_mailauth import (
    AuthPolicy,
    ClientViolation,
    assert_capabilities_refetched,
    assert_mechanism,
    assert_quit_sent,
    assert_starttls_before_auth,
)

IN_CLEAR = AuthPolicy(before_tls=("PLAIN", "LOGIN"), password_commands="always")


def talk(server, *lines, tls_before=None):
    """Send each of *lines* in one piece after the reply to the one before; TLS begins before that number."""
    answers = []
    with socket.create_connection((server.host, server.port), timeout=5) as connection:
        answers.append(connection.recv(65_536))
        for number, line in enumerate(lines):
            if number == tls_before:
                connection = server.ssl_context().wrap_socket(connection, server_hostname=server.host)  # noqa: PLW2901
            connection.sendall(line + b"\r\n")
            answers.append(connection.recv(65_536))
        connection.close()
    return answers


def plain(server):
    account = server.account
    return base64.b64encode(f"\0{account.username}\0{account.password}".encode())


@pytest.mark.parametrize("before", [b"AUTH NTLM AAAA", b"AUTH CRAM-MD5\r\n*", b"AUTH LOGIN\r\n*"], ids=str)
def test_a_mechanism_that_was_refused_or_taken_back_was_another_way(mailauth, before):
    server = mailauth.smtp(security="none", auth=IN_CLEAR)
    talk(server, b"EHLO x", before, b"AUTH PLAIN " + plain(server), b"QUIT")
    with pytest.raises(ClientViolation, match="began with") as caught:
        assert_mechanism(server, "PLAIN", tls=None)
    assert "AAAA" not in str(caught.value)


def test_apop_that_was_refused_is_not_user(mailauth):
    server = mailauth.pop3(security="none", auth=IN_CLEAR)
    user = f"USER {server.account.username}".encode()
    digest = b"APOP alice " + b"0" * 32
    talk(server, digest, user, f"PASS {server.account.password}".encode(), b"QUIT")
    with pytest.raises(ClientViolation, match="began with APOP"):
        assert_mechanism(server, "USER", tls=None)


@pytest.mark.parametrize(
    ("protocol", "farewell"), [("smtp", b"QUIT now"), ("pop3", b"QUIT now"), ("imap", b"a LOGOUT now")]
)
def test_a_farewell_that_was_refused_is_none(mailauth, protocol, farewell):
    server = getattr(mailauth, protocol)(security="none")
    talk(server, farewell)
    with pytest.raises(ClientViolation, match="assert_quit_sent: not so"):
        assert_quit_sent(server)


def test_a_login_with_a_blank_too_many_was_meant_as_one(mailauth):
    server = mailauth.imap(auth=IN_CLEAR)
    account = server.account
    login = f"LOGIN {account.username} {account.password}".encode()
    talk(server, b"a  " + login, b"b STARTTLS", b"c " + login, b"d LOGOUT", tls_before=2)
    with pytest.raises(ClientViolation, match=r"sent\s+a\s+line\s+in\s+clear\s+that\s+looks\s+like\s+a\s+login"):
        assert_starttls_before_auth(server)


@pytest.mark.parametrize("waits", [True, False])
def test_capabilities_that_nobody_waits_for_were_not_asked_for(mailauth, waits):
    server = mailauth.smtp()
    login = b"AUTH PLAIN " + plain(server)
    inside = (b"EHLO x", login) if waits else (b"EHLO x\r\n" + login,)
    talk(server, b"EHLO x", b"STARTTLS", *inside, b"QUIT", tls_before=2)
    if waits:
        assert_capabilities_refetched(server)
    else:
        with pytest.raises(ClientViolation, match=r"without\s+waiting"):
            assert_capabilities_refetched(server)
