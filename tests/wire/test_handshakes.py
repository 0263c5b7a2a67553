"""Every way in which a handshake can end, each brought about by a real client on loopback."""

import socket
import ssl

import pytest
from wire_client import ByHand, Wire, before_tls, secure

from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.events import AlertReceived, Closed, HandshakeEnded, HelloSeen, Received
from pytest_mailauth.model.terms import HandshakeOutcome, Layer
from pytest_mailauth.servers.wire.tls import alert_name, behind_records

VERSIONS = ["1.2", "1.3"]


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


def only(server):
    """Return the record of the one session, once its client has left."""
    server.drain(10)
    (session,) = server.sessions
    return session


def refused_handshake(server, context, host="localhost"):
    with before_tls(server) as wire, pytest.raises(ssl.SSLError) as refusal:
        wire.wrap(context, host).line()
    return refusal.value


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
def test_client_alert_is_named(serve, security, trusting, version, certificate, alert):
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
@pytest.mark.parametrize("sent", [200, None], ids=["within the hello", "behind the hello"])
def test_client_left_during(serve, security, trusting, version, leave, sent):
    server = serve(security=security)
    with before_tls(server) as wire:
        hello = ByHand(wire, trusting(version)).flight()[0]
        assert len(hello) > 200
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


NO_VERSION = "the client offers no TLS version that this server accepts"
NO_CIPHER = "the client offers no cipher suite that this server accepts"


@pytest.mark.parametrize(
    ("policy", "offer", "reason"),
    [
        (TLSPolicy(min_version="1.3"), {"maximum_version": ssl.TLSVersion.TLSv1_2}, NO_VERSION),
        (TLSPolicy(max_version="1.2"), {"minimum_version": ssl.TLSVersion.TLSv1_3}, NO_VERSION),
        (
            TLSPolicy(max_version="1.2", ciphers="ECDHE+AES128"),
            {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE+AES256"},
            NO_CIPHER,
        ),
    ],
    ids=["too old", "too new", "no cipher"],
)
def test_server_refused(serve, security, policy, offer, reason):
    server = serve(security=security, tls=policy)
    context = server.ssl_context()
    if "ciphers" in offer:
        context.set_ciphers(offer["ciphers"])
    for name in offer.keys() - {"ciphers"}:
        setattr(context, name, offer[name])
    refusal = refused_handshake(server, context)
    assert "ALERT" in (refusal.reason or "")  # the client is told, not just cut off
    session = only(server)
    assert (session.tls.outcome, session.tls.reason) == (HandshakeOutcome.SERVER_REFUSED, reason)
    assert session.tls.alert is None
    assert session.tls.client_hello is not None
    assert session.tls_in == b""


@pytest.mark.parametrize(
    ("shown", "reason"),
    [(None, "the client showed no certificate"), ("stranger", "the client's certificate is not trusted")],
)
def test_server_refused_for_the_clients_certificate(serve, security, trusting, mailauth_factory, version, shown, reason):
    server = serve(security=security, tls=TLSPolicy(client_certificate="required"))
    context = trusting(version)
    if shown is not None:
        with type(mailauth_factory.ca)() as other:
            other.issue_client(shown).configure(context)
    with before_tls(server) as wire:
        try:
            wire.wrap(context).line()
        except (ssl.SSLError, ConnectionError):
            pass
        else:
            pytest.fail("the server went on")
    session = only(server)
    assert (session.tls.outcome, session.tls.reason) == (HandshakeOutcome.SERVER_REFUSED, reason)
    assert session.tls_in == b""


def test_a_trusted_clients_certificate_is_taken(serve, security, trusting, mailauth_ca, version):
    server = serve(security=security, tls=TLSPolicy(client_certificate="required"))
    context = trusting(version)
    mailauth_ca.issue_client("alice").configure(context)
    with secure(server, context) as wire:
        wire.send(wire.speech.noop)
        assert wire.line().startswith(wire.speech.okay)


@pytest.mark.parametrize("cut", [None, 1])
def test_not_tls(serve, security, cut):
    server = serve(security=security)
    secret = server.account.password.encode()
    text = b"LOGIN alice " + secret + b"\r\n"
    with before_tls(server) as wire:
        for piece in (text[:cut], text[cut:] if cut else b"", b"still in clear\r\n"):
            wire.send(piece)
        assert wire.rest() == b""
    session = only(server)
    assert session.tls.outcome is HandshakeOutcome.NOT_TLS
    assert session.tls.client_hello is None
    # It was said in clear, so it stands where a leak is looked for; and nobody executed it.
    assert session.clear_in.endswith(text + b"still in clear\r\n")
    assert "LOGIN" not in session.verbs()
    assert session.closed == Closed("client", "close")


def test_tls_that_is_none(serve, security):
    server = serve(security=security)
    with before_tls(server) as wire:
        wire.send(b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00")
        assert wire.rest() == b""
    session = only(server)
    assert session.tls.outcome is HandshakeOutcome.NOT_TLS
    assert "type 2 where the hello belongs" in session.tls.reason


def test_an_sslv2_hello_is_read_and_refused(serve, security):
    server = serve(security=security)
    body = b"\x01\x00\x02" + b"\x00\x06\x00\x00\x00\x10" + b"\x01\x00\x80\x07\x00\xc0" + bytes(range(16))
    with before_tls(server) as wire:
        wire.send((0x8000 | len(body)).to_bytes(2, "big") + body)
        wire.rest()
    session = only(server)
    assert session.tls.outcome is HandshakeOutcome.SERVER_REFUSED
    assert session.tls.reason
    assert session.tls.client_hello.sslv2
    assert session.tls.client_hello.offered == "SSL 2.0"


def test_a_modern_hello_in_sslv2_format(serve, security):
    server = serve(security=security)
    ciphers = b"\x00\xc0\x2b\x00\xc0\x2f"
    body = b"\x01\x03\x03" + b"\x00\x06\x00\x00\x00\x20" + ciphers + bytes(range(32))
    with before_tls(server) as wire:
        wire.send((0x8000 | len(body)).to_bytes(2, "big") + body)
        wire.stop_sending()
        wire.rest()
    session = only(server)
    assert session.tls.client_hello.offered == "1.2"
    assert session.tls.outcome in (HandshakeOutcome.SERVER_REFUSED, HandshakeOutcome.CLIENT_LEFT_DURING)


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


@pytest.mark.parametrize(
    ("reason", "raw", "name"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", b"", "unknown_ca"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", b"", "bad_certificate"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", b"", "certificate_required"),
        ("TLSV1_UNRECOGNIZED_NAME", b"", "unrecognized_name"),
        ("TLSV1_UNKNOWN_CA", b"", None),
        ("WRONG_VERSION_NUMBER", b"\x15\x03\x03\x00\x02\x02\x30", None),
        (None, b"\x15\x03\x03\x00\x02\x02\x30", "unknown_ca"),
        (None, b"\x15\x03\x03\x00\x02\x02\xfe", "alert 254"),
        (None, b"\x15\x03\x03", None),
    ],
)
def test_alert_names(reason, raw, name):
    assert alert_name(reason, raw) == name


@pytest.mark.parametrize(
    ("raw", "left"),
    [(b"", b""), (b"\x17\x03\x03\x00\x01x", b""), (b"\x17\x03\x03\x00\x01xNOOP", b"NOOP"), (b"\x17\x03\x03\x00\x09x", b"")],
)
def test_what_stands_behind_records(raw, left):
    assert behind_records(raw) == left


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
