"""Servers of what nobody may accept any more: that they serve it, that nothing else is wrong with them, and who gives up."""

import contextlib
import ssl
import sys

import pytest
from wire_client import before_tls, only

from pytest_mailauth import ClientViolation, assert_tls
from pytest_mailauth.model.deviations import Negotiate
from pytest_mailauth.model.errors import CannotServe
from pytest_mailauth.model.events import AlertReceived, Closed, Failed
from pytest_mailauth.model.obsolete import FORGED, WENT_ON, Obsolete
from pytest_mailauth.model.terms import NO_COMMON_SUITE, NO_COMMON_VERSION, HandshakeOutcome
from pytest_mailauth.servers.pki import CertificateAuthority
from pytest_mailauth.servers.wire import contexts, legacy, legacy_engine, legacy_proof
from pytest_mailauth.servers.wire.hello import WholeHello
from pytest_mailauth.servers.wire.legacy_engine import Identity, LegacyChannel, Pipe, settings_for
from pytest_mailauth.servers.wire.legacy_flight import SUITES, ForgedChannel, client_key_exchange
from pytest_mailauth.servers.wire.legacy_package import TLSConnection

ENGINE = [what for what in Obsolete if what not in FORGED and what is not Obsolete.DHE_1024]


@pytest.fixture(scope="module")
def ca():
    with CertificateAuthority() as authority:
        yield authority


@pytest.fixture(scope="module")
def identity(ca):
    return Identity(ca.issue("valid", key_type="rsa"))


@pytest.fixture
def negotiating(serve):
    """Return a function that starts a server of the protocol under test that negotiates one obsolete thing."""
    return lambda what, **settings: serve(deviations=(Negotiate(what=what),), **settings)


def client_of(ca, *, minimum="1.2", maximum="1.3", ciphers=None):
    context = ca.ssl_context()
    contexts._set_versions(context, contexts.VERSIONS[minimum], contexts.VERSIONS[maximum])
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def hello_in(data):
    parser = WholeHello()
    parser.feed(data)
    return parser.hello


def meet(context, make, *, rounds=5):
    """Let a client of OpenSSL meet what *make* makes of its hello; return the server's end, and why the client gave up."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, channel, reason = context.wrap_bio(incoming, outgoing, server_hostname="localhost"), None, None
    for _ in range(rounds):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            reason = error.reason
        said = outgoing.read()
        channel = channel or make(hello_in(said))
        channel.feed(said)
        incoming.write(channel.take())
        if channel.ended:
            break
    return channel, reason


def shaken(what, identity):
    """Return a client of tlslite-ng with its pipe and the server's end, after a handshake."""
    pipe, channel = Pipe(), None
    client = TLSConnection(pipe)
    client.closeSocket = False
    steps = client.handshakeClientCert(settings=settings_for(what), async_=True)
    for _ in range(5):
        done = all(wants for wants in steps)
        said = pipe.outgoing.read()
        channel = channel or LegacyChannel(what, identity, hello_in(said))
        channel.feed(said)
        pipe.incoming += channel.take()
        if done:
            break
    assert channel.established
    return client, pipe, channel


# What an honest client meets.


@pytest.mark.parametrize(
    ("what", "reason", "alert"),
    [
        (Obsolete.EXPORT, "UNKNOWN_CIPHER_RETURNED", "illegal_parameter"),
        (Obsolete.SMALL_CURVE, "WRONG_CURVE", "illegal_parameter"),
        (Obsolete.COMPRESSION, "COMPRESSION_DISABLED", "illegal_parameter"),
        (Obsolete.DOWNGRADE_MARKER, "INAPPROPRIATE_FALLBACK", "illegal_parameter"),
        (Obsolete.DHE_1024, "DH_KEY_TOO_SMALL", "handshake_failure"),
        (Obsolete.NO_RENEGOTIATION_INFO, "UNSAFE_LEGACY_RENEGOTIATION_DISABLED", "handshake_failure"),
    ],
)
def test_openssl_gives_up_over_the_one_thing(ca, what, reason, alert):
    channel, why = meet(client_of(ca), legacy.legacy_terms(what, ca, "localhost").channel)
    assert why == reason
    assert (channel.ended.outcome, channel.ended.alert) == (HandshakeOutcome.CLIENT_ALERT, alert)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (Obsolete.SSL3, NO_COMMON_VERSION),
        (Obsolete.RC4, NO_COMMON_SUITE),
        (Obsolete.TRIPLE_DES, NO_COMMON_SUITE),
    ],
)
def test_who_does_not_offer_it_is_refused_for_that(ca, what, reason):
    channel, _ = meet(client_of(ca), legacy.legacy_terms(what, ca, "localhost").channel)
    assert (channel.ended.outcome, channel.ended.reason) == (HandshakeOutcome.SERVER_REFUSED, reason)
    assert channel.closed


@pytest.mark.parametrize("what", Obsolete)
def test_a_client_of_tls_1_3_alone_has_none_of_it(ca, what):
    channel, _ = meet(client_of(ca, minimum="1.3"), legacy.legacy_terms(what, ca, "localhost").channel)
    assert "protocol_version" in (channel.ended.alert or "") or channel.ended.reason == NO_COMMON_VERSION


# What is forged is right but for the one thing.


@pytest.mark.parametrize("code", SUITES)
@pytest.mark.parametrize("maximum", ["1.2", "1.3"])
def test_an_honest_flight_is_answered_whatever_its_suite(ca, code, maximum):
    name = SUITES[code].name
    context = client_of(ca, maximum=maximum, ciphers=f"{name}:@SECLEVEL=0")
    channel, why = meet(context, lambda hello: ForgedChannel(None, hello, lambda kind: ca.issue(key_type=kind)))
    assert why is None
    assert (channel.ended.reason, channel.ended.version, channel.ended.cipher) == (WENT_ON, "1.2", name)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("ciphers", ["ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "AES128-SHA"])
def test_an_honest_flight_of_an_old_version_is_answered_too(ca, version, ciphers):
    context = client_of(ca, minimum=version, maximum=version, ciphers=f"{ciphers}:@SECLEVEL=0")
    channel, why = meet(context, lambda hello: ForgedChannel(None, hello, lambda kind: ca.issue(key_type=kind)))
    assert (why, channel.ended.reason, channel.ended.version) == (None, WENT_ON, version)


@pytest.mark.parametrize("what", FORGED)
def test_who_goes_on_is_understood_in_pieces_of_any_size(ca, what):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        client_of(ca).wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    said = outgoing.read()
    channel = ForgedChannel(what, hello_in(said), lambda kind: ca.issue(key_type=kind))
    flight = channel.take()
    assert flight.startswith(b"\x16\x03\x03")
    rest = b"\x14\x03\x03\x00\x01\x01" + b"\x16\x03\x03\x00\x02xx"
    for at in range(len(stream := said + client_key_exchange("1.2", b"k" * 66) + rest)):
        assert channel.feed(stream[at : at + 1]) == b""
    assert (channel.ended.outcome, channel.ended.reason) == (HandshakeOutcome.SERVER_REFUSED, WENT_ON)
    assert channel.take() == b"\x15\x03\x03\x00\x02\x02\x28"
    assert channel.unread() == b""
    channel.feed(b"AUTH PLAIN")
    assert channel.unread() == b"AUTH PLAIN"


@pytest.mark.parametrize(
    ("answer", "outcome", "alert", "reason"),
    [
        (b"\x15\x03\x03\x00\x02\x02\x2f", HandshakeOutcome.CLIENT_ALERT, "illegal_parameter", None),
        (b"\x15\x03\x03\x00\x02\x01\x00", HandshakeOutcome.CLIENT_LEFT_DURING, None, None),
        (b"\x16\x03\x03\x00\x04\x0b\0\0\0", HandshakeOutcome.SERVER_REFUSED, None, "a handshake message of type 11"),
        (b"QUIT\r\n", HandshakeOutcome.SERVER_REFUSED, None, "no TLS record"),
    ],
)
def test_any_other_answer_is_no_consent(ca, answer, outcome, alert, reason):
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        client_of(ca).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    said = outgoing.read()
    channel = ForgedChannel(Obsolete.EXPORT, hello_in(said), lambda kind: ca.issue(key_type=kind))
    channel.feed(said + answer)
    assert (channel.ended.outcome, channel.ended.alert) == (outcome, alert)
    assert (channel.ended.reason or "").startswith(reason or "")
    assert channel.unread() == (answer if reason == "no TLS record" else b"")


def test_a_hello_in_sslv2_format_is_answered():
    with CertificateAuthority() as ca:
        challenge = b"c" * 16
        body = b"\x01\x03\x01" + b"\x00\x03" + b"\x00\x00" + b"\x00\x10" + b"\x00\x00\x2f" + challenge
        said = (0x8000 | len(body)).to_bytes(2) + body
        hello = hello_in(said)
        channel = ForgedChannel(Obsolete.COMPRESSION, hello, lambda kind: ca.issue(key_type=kind))
        assert channel.take().startswith(b"\x16\x03\x01")
        channel.feed(said + client_key_exchange("1.0", b""))
        assert (channel.ended.reason, channel.ended.cipher) == (WENT_ON, "AES128-SHA")


# What tlslite-ng serves.


@pytest.mark.parametrize("what", ENGINE)
def test_a_session_of_the_other_engine_carries_data(identity, what):
    client, pipe, channel = shaken(what, identity)
    assert channel.ended.version == ("SSL 3.0" if what is Obsolete.SSL3 else "1.2")
    assert dict(channel.channel_bindings()).keys() == {"tls-server-end-point"}
    assert channel.identities() == ()
    size = 500 if what is Obsolete.TRIPLE_DES else 20_000  # it is slow in Python; others have more than one record
    client.write(b"x" * size)
    sent = pipe.outgoing.read()
    assert b"".join(channel.feed(sent[at : at + 1000]) for at in range(0, len(sent), 1000)) == b"x" * size
    channel.send(b"y" * size)
    pipe.incoming += channel.take()
    assert client.read(min=size, max=size) == b"y" * size
    channel.close()
    pipe.incoming += channel.take()
    assert client.read() == b""


@pytest.mark.parametrize("what", ENGINE)
def test_the_end_of_a_session_is_noticed(identity, what):
    client, pipe, channel = shaken(what, identity)
    client.ignoreAbruptClose = True
    next(client.closeAsync(), None)
    assert channel.feed(pipe.outgoing.read() + b"in clear") == b""
    assert (channel.closed, channel.broken, channel.unread()) == (True, False, b"in clear")
    channel.take()
    channel.send(b"221 too late")
    channel.close()
    assert channel.take() == b""


@pytest.mark.parametrize(
    ("sends", "error"),
    [(b"AUTH PLAIN AAAA\r\n", "no TLS record"), (b"\x17\x03\x03\x00\x20" + b"?" * 32, "bad_record_mac")],
)
def test_what_cannot_be_read_breaks_the_session(identity, sends, error):
    _client, _pipe, channel = shaken(Obsolete.NO_RENEGOTIATION_INFO, identity)
    assert channel.feed(sends) == b""
    assert (channel.error, channel.closed, channel.broken) == (error, True, True)


def test_an_alert_inside_the_session_is_named(identity):
    client, pipe, channel = shaken(Obsolete.RC4, identity)
    with contextlib.suppress(Exception):
        for _ in client._sendError(45):
            pass
    assert channel.feed(pipe.outgoing.read()) == b""
    assert channel.alert == AlertReceived("certificate_expired")


@pytest.mark.parametrize("what", ENGINE)
@pytest.mark.parametrize(
    "answer",
    [b"\x16\x03\x03\x00\x04\x10\x00\x00\x00", b"\x16\x03\x03\x00\x04\xff\x00\x00\x00", b"\x14\x03\x03\x00\x01\x07"],
)
def test_nonsense_in_the_handshake_is_an_end_and_no_crash(ca, identity, what, answer):
    pipe = Pipe()
    next(TLSConnection(pipe).handshakeClientCert(settings=settings_for(what), async_=True))
    said = pipe.outgoing.read()
    channel = LegacyChannel(what, identity, hello_in(said))
    channel.feed(said + answer + b"QUIT\r\n")
    assert channel.ended.outcome is HandshakeOutcome.SERVER_REFUSED
    assert channel.closed


# Proofs, and what is missing.


def test_without_the_package_nothing_is_served(ca, monkeypatch):
    monkeypatch.setitem(sys.modules, "tlslite", None)
    with pytest.raises(CannotServe, match=r'pip install "pytest-mailauth\[legacy\]"'):
        legacy.legacy_terms(Obsolete.RC4, ca, "localhost")
    legacy.legacy_terms(Obsolete.EXPORT, ca, "localhost")  # that takes none


def test_a_server_that_does_not_serve_what_it_should_is_found_out(ca, identity, monkeypatch):
    monkeypatch.setitem(legacy_engine._SERVED, Obsolete.SSL3, {"cipherNames": ["aes128"], "macNames": ["sha"]})
    with pytest.raises(CannotServe, match=r"was to serve SSL 3\.0 and negotiated 1\.2"):
        legacy_proof.prove_engine(Obsolete.SSL3, identity)
    long_group = contexts.server_context(legacy.TLSPolicy(max_version="1.2"), "valid", ca, "localhost")
    with pytest.raises(CannotServe, match="serves a longer one"):
        legacy_proof.prove_short_group(long_group)
    monkeypatch.setattr(
        legacy_proof, "client_key_exchange", lambda _version, _content: b"\x16\x03\x03\x00\x04\x0b\0\0\0"
    )
    with pytest.raises(CannotServe, match="was not understood"):
        legacy_proof.prove_flight(Obsolete.EXPORT, ca)


# The same on a socket.


@pytest.mark.parametrize("what", Obsolete)
def test_a_refused_handshake_on_a_socket(negotiating, security, trusting, what):
    server = negotiating(what, security=security)
    with before_tls(server) as wire, pytest.raises((ssl.SSLError, OSError)):
        trusting().wrap_socket(wire.socket, server_hostname="localhost").do_handshake()
    session = only(server)
    assert session.tls.client_hello is not None
    assert session.tls.outcome in (HandshakeOutcome.CLIENT_ALERT, HandshakeOutcome.SERVER_REFUSED)
    assert not session.of(Failed)
    assert session.tls_in == b""
    assert isinstance(session.closed, Closed)


def test_a_secret_behind_the_answer_to_a_forged_flight_is_kept(negotiating, ca):
    server = negotiating(Obsolete.EXPORT, security="implicit")
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        client_of(ca).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    with before_tls(server) as wire:
        wire.send(outgoing.read())
        wire.send(client_key_exchange("1.2", b"k") + server.account.password.encode())
        wire.rest()
    session = only(server)
    assert session.tls.reason == WENT_ON
    assert server.account.password.encode() in session.clear_in


def test_ssl_3_is_called_so(mailauth, identity):
    server = mailauth.smtp(deviations=(Negotiate(what=Obsolete.SSL3),), security="implicit")
    with before_tls(server) as wire:
        client = TLSConnection(wire.socket)
        client.handshakeClientCert(settings=settings_for(Obsolete.SSL3))
        client.write(b"QUIT\r\n")
        assert client.read(min=3).startswith(b"220")
        client.close()
    session = only(server)
    assert (session.tls.version, session.tls.cipher) == ("SSL 3.0", "AES256-SHA")
    assert "======== SSL 3.0, AES256-SHA" in session.transcript()
    assert session.quit_sent
    with pytest.raises(ClientViolation, match=r"used SSL 3\.0"):
        assert_tls(server)
