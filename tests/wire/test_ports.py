"""What a connecting client meets on a port, and how a client that stays too long is cut off."""

import contextlib
import errno
import select
import socket
import ssl

import pytest
from wire_client import ByHand, Wire, before_tls, only, secure, until

from pytest_mailauth.model.events import Closed, Deviated, HelloSeen, Opened, Overdue, Sent
from pytest_mailauth.model.terms import HandshakeOutcome

SHORT = 0.1
"""Seconds after which a client has waited long enough for something that must not come."""


def test_refused(serve):
    server = serve(port_state="refused")
    with pytest.raises(ConnectionRefusedError):
        Wire(server)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", server.port))  # nobody else can open it meanwhile
    assert server.sessions == ()
    server.drain(0)


@pytest.mark.skipif("not sys.platform.startswith('linux')")
def test_timeout(serve):
    server = serve(port_state="timeout")
    for _ in range(2):
        with pytest.raises(TimeoutError):
            Wire(server, deadline=SHORT)
    assert server.sessions == ()


@pytest.mark.skipif("not sys.platform.startswith('linux')")
@pytest.mark.parametrize("how", ["cut", "close"])
def test_an_attempt_that_waits_is_refused_once_the_port_is_given_up(mailauth, how):
    server = mailauth.smtp(port_state="timeout")
    with socket.socket() as client:
        client.settimeout(0)
        assert client.connect_ex(("127.0.0.1", server.port)) == errno.EINPROGRESS
        if how == "cut":
            mailauth.loop.call(server.cut)
        else:
            server.close()
        # The kernel tries again by itself, after a second.
        assert select.select([], [client], [], 10)[1]
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def test_silent(serve, security):
    server = serve(security=security, port_state="silent")
    secret = server.account.password.encode()
    with Wire(server, deadline=SHORT) as wire:
        wire.send(b"USER " + secret + b"\r\n" + wire.speech.noop)
        wire.send(ByHand(wire, server.ssl_context()).flight()[0])
        with pytest.raises(TimeoutError):
            wire.segment()
    session = only(server)
    # What was said to the silence is kept: it may be a leak.
    assert secret in session.clear_in
    assert len(session.of(HelloSeen)) == 1
    assert session.of(Sent) == ()
    assert session.of(Deviated) == (Deviated("port state silent", "", b""),)
    assert session.commands[-1].verb.encode() in wire.speech.noop  # understood as well, though nobody answered
    assert session.closed == Closed("client", "close")


def test_a_handshake_with_silence(serve):
    server = serve(security="implicit", port_state="silent")
    with Wire(server, deadline=SHORT) as wire, pytest.raises(TimeoutError):
        wire.wrap(server.ssl_context())
    session = only(server)
    assert session.tls.outcome is HandshakeOutcome.CLIENT_LEFT_DURING
    assert session.tls.client_hello.server_name == "localhost"


def test_reset(serve, security):
    server = serve(security=security, port_state="reset")
    with pytest.raises(ConnectionResetError), Wire(server) as wire:
        wire.segment()
    session = only(server)
    assert session.closed == Closed("server", "reset")
    assert [type(entry.fact) for entry in session.entries] == [Opened, Deviated, Closed]
    assert session.of(Deviated) == (Deviated("port state reset", "", b""),)


def stays(server, where):
    """Return a connection whose client has got as far as *where* and hangs there."""
    if where == "connected":
        return Wire(server)
    if where == "inside TLS":
        return secure(server)
    wire = before_tls(server)
    client = ByHand(wire, server.ssl_context())
    if where == "within the handshake":
        wire.send(client.flight()[0])
        wire.segment()
    elif where == "within the hello":
        wire.send(client.flight()[0][:50])
    elif where == "turned away":
        wire.send(b"no TLS\r\n")
        assert wire.segment() == b""
    return wire


@pytest.mark.parametrize(
    "where", ["connected", "before the hello", "within the hello", "within the handshake", "inside TLS", "turned away"]
)
def test_a_client_that_stays_too_long_is_cut_off(serve, security, mailauth, where):
    server = serve(security=security)
    with stays(server, where) as wire:
        assert server.sessions[0].closed is None
        mailauth.loop.call(server.cut)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            wire.rest()
    session = only(server)
    assert session.of(Overdue) == (Overdue(),)
    assert session.closed == Closed("server", "abort")


def test_a_client_that_reads_nothing_cannot_keep_the_connection(serve, mailauth):
    server = serve()
    server._listener._port._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with Wire(server, buffer=4096) as wire:
        # More than the buffers of both kernels hold, so that the farewell cannot be written.
        wire.send(wire.speech.ask * 2000 + wire.speech.quit)
        until(lambda: len(server.sessions[0].commands) > 2000)
        server.drain(SHORT)
        assert server.sessions[0].closed is None
        mailauth.loop.call(server.cut)
        session = only(server)
    # It was our farewell that could not be delivered, so the client did not outstay its welcome.
    assert session.of(Overdue) == ()
    assert session.closed == Closed("server", "close")


def test_cutting_off_nobody_does_nothing(serve, mailauth):
    server = serve()
    mailauth.loop.call(server.cut)
    with Wire(server).greet():
        pass
    assert only(server).of(Overdue) == ()
