"""Handshakes that this server ends: too old, too new, without a certificate, or not TLS at all."""

import ssl

import pytest
from wire_client import before_tls, only, refused_handshake, secure

from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.events import Closed, HandshakeEnded, Sent
from pytest_mailauth.model.terms import HandshakeOutcome
from pytest_mailauth.servers.wire.tls import alert_name

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
def test_server_refused_for_the_clients_certificate(serve, security, trusting, version, mailauth_ca, *, shown, reason):
    server = serve(security=security, tls=TLSPolicy(client_certificate="required"))
    context = trusting(version)
    if shown is not None:
        with type(mailauth_ca)() as other:
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
    facts = [entry.fact for entry in session.entries]
    ended = next(at for at, fact in enumerate(facts) if isinstance(fact, HandshakeEnded))
    assert not any(isinstance(fact, Sent) for fact in facts[ended:])
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


@pytest.mark.parametrize(
    ("reason", "raw", "name"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", b"", "unknown_ca"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", b"", "bad_certificate"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", b"", "certificate_required"),
        ("TLSV1_UNRECOGNIZED_NAME", b"", "unrecognized_name"),
        ("TLSV1_UNKNOWN_CA", b"", None),
        ("NO_SHARED_CIPHER", b"\x15\x03\x03\x00\x02\x02\x30", None),
        ("WRONG_VERSION_NUMBER", b"\x15\x03\x03\x00\x02\x02\x46", "protocol_version"),
        ("WRONG_VERSION_NUMBER", b"\x16\x03\x03\x00\x02\x02\x46", None),
        (None, b"\x15\x03\x03\x00\x02\x02\x30", "unknown_ca"),
        (None, b"\x15\x03\x03\x00\x02\x02\xfe", "alert 254"),
        (None, b"\x15\x03\x03", None),
    ],
)
def test_alert_names(reason, raw, name):
    assert alert_name(reason, raw) == name
