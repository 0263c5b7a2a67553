"""What a client says where nobody answers any more, and TLS where text belongs: recorded, understood, not executed."""

from __future__ import annotations

import base64
import ssl

import pytest
from wire_client import ByHand, Wire, before_tls, only, until

from pytest_mailauth import ClientViolation, assert_no_cleartext_credentials
from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.model.events import AlertReceived, Authentication, HelloSeen, Malformed, Sent
from pytest_mailauth.model.terms import HandshakeOutcome, Layer

LOG_IN = {
    "smtp": "EHLO x\r\nAUTH PLAIN {plain}\r\n",
    "pop3": "USER {username}\r\nPASS {password}\r\n",
    "imap": "a LOGIN {username} {password}\r\n",
}
ALERT = b"\x15\x03\x03\x00\x02\x02\x0a"
"""A fatal unexpected_message (RFC 8446 section 6.2)."""


def log_in(server):
    account = server.account
    plain = base64.b64encode(f"\0{account.username}\0{account.password}".encode()).decode()
    text = LOG_IN[server.protocol].format(username=account.username, password=account.password, plain=plain)
    return text.encode()


def heard_in_clear(server):
    session = only(server)
    (login,) = session.of(Authentication, Layer.CLEAR)
    assert login.secret == server.account.password
    assert not login.accepted
    with pytest.raises(ClientViolation):
        assert_no_cleartext_credentials(server)
    return session


@pytest.mark.parametrize("same_segment", [True, False])
def test_a_login_in_clear_behind_the_end_of_tls(serve, security, same_segment):
    server = serve(security=security)
    with before_tls(server) as wire:
        client = ByHand(wire, server.ssl_context())
        wire.send(client.shake_hands() + client.sealed(wire.speech.noop))
        client.read()
        end = client.farewell()
        if same_segment:
            wire.send(end + log_in(server))
        else:
            wire.send(end)
            until(lambda: server.sessions[0].entries[-1].layer is Layer.CLEAR or wire.segment())
            wire.send(log_in(server))
        wire.rest()
    session = heard_in_clear(server)
    assert session.tls.outcome is HandshakeOutcome.COMPLETED


def test_a_password_in_a_broken_record(serve):
    server = serve(security="implicit")
    with Wire(server) as wire:
        client = ByHand(wire, server.ssl_context())
        wire.send(client.shake_hands())
        client.read()
        said = server.account.password.encode()
        wire.send(b"\x17\x03\x03" + len(said).to_bytes(2, "big") + said)
        wire.rest()
    assert said in only(server).clear_in


def test_a_login_in_clear_behind_an_alert(serve, security):
    server = serve(security=security, certificate="self-signed")
    with before_tls(server) as wire:
        client = ByHand(wire, ssl.create_default_context())
        wire.send(client.flight()[0])
        wire.segment()
        wire.send(ALERT + log_in(server))
        wire.rest()
    session = heard_in_clear(server)
    assert session.tls.outcome is HandshakeOutcome.CLIENT_ALERT


def test_mail_in_clear_to_a_port_of_implicit_tls(mailauth):
    server = mailauth.smtp(security="implicit")
    with Wire(server) as wire:
        wire.send(b"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<%b>\r\n" % server.account.address.encode())
        wire.send(b"DATA\r\nSubject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n")
        wire.rest()
    session = only(server)
    assert session.verbs(Layer.CLEAR) == ("EHLO", "MAIL", "RCPT", "DATA", "QUIT")
    assert session.of(Sent) == ()
    assert server.messages == ()


@pytest.mark.parametrize("cut", [None, 1, 4, 200])
def test_a_hello_where_text_belongs_is_no_command_and_ends_the_session(serve, cut):
    server = serve()
    with Wire(server).greet() as wire:
        hello = ByHand(wire, server.ssl_context()).flight()[0]
        unlucky = hello[:11] + b"\nNOOP\r\na NOOP\r\n".ljust(32, b"\n") + hello[43:]
        wire.send(unlucky[:cut])
        if cut is not None:
            until(lambda: server.sessions[0].clear_in == unlucky[:cut])
            wire.send(unlucky[cut:])
        assert wire.rest() == b""
    session = only(server)
    assert len(session.of(HelloSeen)) == 1
    assert session.commands == ()
    assert session.of(Malformed) == ()


def test_an_alert_where_text_belongs_is_an_alert(serve):
    server = serve()
    with Wire(server).greet() as wire:
        wire.send(wire.speech.ask)
        wire.reply(wire.speech.last)
        wire.send(ALERT)
        assert wire.rest() == b""
    session = only(server)
    assert session.of(AlertReceived) == (AlertReceived("unexpected_message"),)
    assert session.of(Malformed) == ()
    assert len(session.commands) == 1


def test_what_a_client_said_before_it_left_in_a_hurry(serve):
    server = serve(auth=IN_CLEAR)
    said = server.account.password.encode()
    with Wire(server, buffer=4096) as wire:
        # It reads nothing: its end resets the connection while replies are on their way to it.
        wire.send(wire.speech.noop * (60_000 // len(wire.speech.noop)) + said)
    assert said in only(server).clear_in


def test_everything_that_has_arrived_is_in_the_record(serve):
    server = serve()
    size = 2**20
    with Wire(server) as wire:
        wire.send(b"x" * size)
        assert len(server.sessions[0].clear_in) == size
