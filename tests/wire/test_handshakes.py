"""Every way in which a handshake can end, each brought about by a real client on loopback."""

import socket
import ssl

import pytest
from wire_client import ByHand, Wire, before_tls, only, refused_handshake, secure

from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.errors import CannotServe
from pytest_mailauth.model.events import AlertReceived, Closed, HandshakeEnded, HelloSeen, Received
from pytest_mailauth.model.terms import HandshakeOutcome, Layer


def test_completed(serve, security, trusting, version):
    server = serve(security=security)
    with secure(server, trusting(version)) as wire:
        wire.send(wire.speech.noop)
        assert wire.line().startswith(wire.speech.okay)
        tls = server.sessions[0].tls
        assert tls.outcome is HandshakeOutcome.COMPLETED
        assert (tls.version, tls.cipher) == (version, wire.socket.cipher()[0])
        assert tls.client_hello.server_name == "localhost"
        assert tls.client_hello.offered == version
    session = only(server)
    assert session.tls == tls
    assert session.over_tls
    assert session.tls_in == wire.speech.noop


def test_completed_while_the_client_is_still_silent(serve, security):
    server = serve(security=security)
    with secure(server):
        assert server.sessions[0].tls.outcome is HandshakeOutcome.COMPLETED


@pytest.mark.parametrize(
    ("certificate", "alert"),
    [
        ("expired", "certificate_expired"),
        ("self-signed", "unknown_ca"),
        ("untrusted-root", "unknown_ca"),
        ("wrong-host", "bad_certificate"),
    ],
)
def test_client_alert_is_named(serve, security, trusting, version, *, certificate, alert):
    server = serve(security=security, certificate=certificate)
    refused_handshake(server, trusting(version))
    session = only(server)
    assert (session.tls.outcome, session.tls.alert) == (HandshakeOutcome.CLIENT_ALERT, alert)
    assert session.tls.client_hello is not None
    assert session.tls_in == b""
    assert not session.over_tls


def test_client_alert_inside_tls_counts_as_one(serve, security, trusting, version):
    # GnuTLS encrypts the alert about a certificate, so that it comes when the handshake is over for the server.
    server = serve(security=security)
    with before_tls(server) as wire:
        client = ByHand(wire, trusting(version))
        wire.send(client.shake_hands() + client.alert())
        wire.rest()
    session = only(server)
    assert (session.tls.outcome, session.tls.alert) == (HandshakeOutcome.CLIENT_ALERT, "bad_record_mac")
    assert session.of(AlertReceived) == (AlertReceived("bad_record_mac"),)
    assert session.closed == Closed("client", "alert")
    assert session.over_tls


@pytest.mark.parametrize("leave", ["close", "reset"])
@pytest.mark.parametrize("sent", [100, None], ids=["within the hello", "behind the hello"])
def test_client_left_during(serve, security, trusting, version, *, leave, sent):
    server = serve(security=security)
    with before_tls(server) as wire:
        hello = ByHand(wire, trusting(version)).flight()[0]
        assert len(hello) > 100
        wire.send(hello[:sent])
        if sent is None:
            wire.segment()  # the server has answered
        else:
            assert server.sessions  # it has come in
        getattr(wire, "reset" if leave == "reset" else "__exit__")()
    session = only(server)
    assert session.tls.outcome is HandshakeOutcome.CLIENT_LEFT_DURING
    assert (session.tls.client_hello is None) is (sent is not None)
    assert session.closed == Closed("client", leave)
    assert not session.over_tls


def test_a_secret_behind_half_a_hello_is_kept(serve, security):
    server = serve(security=security)
    with before_tls(server) as wire:
        wire.send(b"\x16\x03\x01\x40\x00" + b"\x01\x00\x3f\xfc" + server.account.password.encode())
    session = only(server)
    assert session.tls.outcome is HandshakeOutcome.CLIENT_LEFT_DURING
    assert session.tls.reason == "the ClientHello is incomplete"
    assert server.account.password.encode() in session.clear_in


def test_no_handshake_is_no_outcome(serve, security):
    server = serve(security=security)
    before_tls(server).socket.close()
    assert only(server).tls is None


@pytest.mark.parametrize("leave", ["close", "close_notify", "reset"])
def test_client_left_after(serve, security, trusting, version, leave):
    server = serve(security=security)
    with secure(server, trusting(version)) as wire:
        if leave == "close_notify":
            assert wire.socket.unwrap() is not None
        elif leave == "reset":
            wire.reset()
    session = only(server)
    assert session.tls.outcome is HandshakeOutcome.CLIENT_LEFT_AFTER
    assert session.tls.version == version
    assert session.over_tls
    assert session.closed == Closed("client", "reset" if leave == "reset" else "close")


def test_what_a_client_says_after_a_failed_handshake_is_kept(serve, security, trusting):
    server = serve(security=security, certificate="expired")
    secret = server.account.password.encode()
    with before_tls(server) as wire:
        client = ByHand(wire, trusting())
        with pytest.raises(ssl.SSLCertVerificationError):
            client.shake_hands()
        # In one piece with the alert, and once more by itself.
        wire.send(client.say() + b"first " + secret)
        assert server.sessions[0].tls.outcome is HandshakeOutcome.CLIENT_ALERT
        wire.send(b"second " + secret)
    session = only(server)
    assert session.tls.outcome is HandshakeOutcome.CLIENT_ALERT
    assert session.clear_in.count(secret) == 2
    assert session.verbs(Layer.TLS) == ()


def test_a_client_of_tls_on_a_cleartext_port_is_recognised(serve):
    server = serve(security="none")
    with Wire(server).greet() as wire:
        wire.send(ByHand(wire, server.ssl_context()).flight()[0])
        assert server.sessions[0].of(HelloSeen)
        wire.stop_sending()
        wire.rest()
    session = only(server)
    assert session.of(HandshakeEnded) == ()
    assert session.tls.client_hello.server_name == "localhost"


def test_session_resumption_is_not_offered(serve, trusting, version):
    # A client that resumes never looks at the certificate.
    server = serve(security="implicit")
    context = trusting(version)
    with secure(server, context) as wire:
        remembered = wire.socket.session
    with Wire(server) as again:
        again.socket = context.wrap_socket(again.socket, server_hostname="localhost", session=remembered)
        again.greet()
        assert not again.socket.session_reused


def test_received_is_never_empty(serve, security):
    server = serve(security=security)
    with secure(server) as wire:
        wire.send(wire.speech.quit)
        wire.rest()
    assert all(fact.data for fact in only(server).of(Received))


def test_a_peer_name_is_noted(serve):
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        port = client.getsockname()[1]
        assert server.sessions[0].entries[0].fact.peer == f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    "policy",
    [
        TLSPolicy(max_version="1.0", ciphers="AES128-SHA:@SECLEVEL=2"),
        TLSPolicy(ciphers="AES128-SHA:DHE-RSA-AES128-SHA"),
    ],
    ids=["a version", "a named suite"],
)
def test_a_server_that_can_not_do_as_it_was_told_does_not_start(serve, mailauth, security, policy):
    before = mailauth.servers
    with pytest.raises(CannotServe, match="as asked"):
        serve(security=security, tls=policy)
    assert mailauth.servers == before


@pytest.mark.parametrize("key", ["ECDSA", "RSA"])
def test_a_client_is_shown_the_key_that_its_suites_need(serve, security, trusting, key):
    context = trusting("1.2")
    context.set_ciphers(f"ECDHE-{key}-AES128-GCM-SHA256")
    with secure(serve(security=security), context) as wire:
        assert wire.socket.cipher()[0] == f"ECDHE-{key}-AES128-GCM-SHA256"


@pytest.mark.parametrize("acknowledges", [True, False])
def test_a_name_is_acknowledged_by_a_server_that_is_told_to(mailauth, acknowledges):
    policy = TLSPolicy(max_version="1.2", acknowledges_name=acknowledges)
    server = mailauth.smtp(security="implicit", tls=policy)
    with before_tls(server) as wire:
        by_hand = ByHand(wire, server.ssl_context())
        wire.send(by_hand.flight()[0])
        flight = wire.segment()
    # A ServerHello of TLS 1.2: record and handshake headers, version, random, session id, suite, compression.
    extensions = 5 + 4 + 2 + 32 + 1 + flight[43] + 2 + 1
    end = extensions + 2 + int.from_bytes(flight[extensions : extensions + 2], "big")
    at, found = extensions + 2, {}
    while at < end:
        size = int.from_bytes(flight[at + 2 : at + 4], "big")
        found[int.from_bytes(flight[at : at + 2], "big")] = flight[at + 4 : at + 4 + size]
        at += 4 + size
    assert found.get(0) == (b"" if acknowledges else None)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("shows", [True, False])
def test_the_names_in_a_client_certificate_are_recorded(mailauth, mailauth_ca, version, shows):
    server = mailauth.smtp(security="implicit", tls=TLSPolicy(max_version=version, client_certificate="optional"))
    context = server.ssl_context()
    if shows:
        context.load_cert_chain(mailauth_ca.client_file("carol@example.test"))
    with secure(server, context) as wire:
        wire.send(wire.speech.quit)
        wire.rest()
    assert only(server).tls.shown == (("carol@example.test",) if shows else ())


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_session_can_be_resumed_where_that_is_allowed(serve, security, version):
    server = serve(security=security, tls=TLSPolicy(max_version=version, resumption=True))
    context = server.ssl_context()
    sessions = []
    for kept in (None, 0):
        with before_tls(server) as wire:
            wire.socket = context.wrap_socket(
                wire.socket, server_hostname="localhost", session=sessions[0] if kept == 0 else None
            )
            wire.send(wire.speech.quit)
            wire.rest()
            assert wire.socket.session_reused is (kept == 0)
            sessions.append(wire.socket.session)
    server.drain(5)
    assert [session.tls.outcome for session in server.sessions] == [HandshakeOutcome.COMPLETED] * 2
