"""What the wire says around the beginning of TLS: in one segment or in two, before a ClientHello, behind a handshake."""

import contextlib
import socket
import ssl
import struct
import time

import pytest
from wire_client import ByHand, Wire, only, secure, until

from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.model.deviations import Agree, Answer, Delay, GreetAgain, Preface, Slow, StayClear, Trail
from pytest_mailauth.model.events import (
    Closed,
    Command,
    Deviated,
    HandshakeEnded,
    HelloSeen,
    LeftUnread,
    Received,
    Sent,
)
from pytest_mailauth.model.terms import HandshakeOutcome, Layer
from pytest_mailauth.servers.wire.unread import unread_by

SOON = 0.02
STARTTLS = {"smtp": "STARTTLS", "pop3": "STLS", "imap": "STARTTLS"}
ASK = {"smtp": "EHLO", "pop3": "CAPA", "imap": "CAPABILITY"}
SUFFIX = b"these are no replies\r\n"


def deviated(session):
    return [(fact.kind, fact.verb) for fact in session.of(Deviated)]


# Larger ones are one write as well, but may be more than the client's kernel has room for at once.
@pytest.mark.parametrize("size", [len(SUFFIX), 16_000])
def test_what_is_injected_is_one_write_and_comes_with_one_read(serve, size):
    data = (SUFFIX * (size // len(SUFFIX) + 1))[:size]
    server = serve(deviations=(Trail(data=data),))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls)
        reply, _, rest = wire.segment().partition(b"\r\n")
        assert reply.startswith(wire.speech.ready.rstrip())
        assert rest == data
    session = only(server)
    (written,) = (fact.data for fact in session.of(Sent, Layer.CLEAR) if fact.data.endswith(data))
    assert written == reply + b"\r\n" + data


@pytest.mark.parametrize("left", [0, 5, len(SUFFIX)])
@pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="only Linux tells what has not been read")
def test_what_lies_unread_when_the_hello_begins_is_noted(serve, left):
    server = serve(deviations=(Trail(data=SUFFIX),))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls)
        read = b""
        while not read.endswith(b"\n"):
            read += wire.socket.recv(1)
        if left < len(SUFFIX):
            wire.socket.recv(len(SUFFIX) - left)
        wire.send(ByHand(wire, server.ssl_context()).flight()[0] if left == 0 else b"\x16\x03\x01")
        until(lambda: server.sessions[0].of(LeftUnread))
    (fact,) = only(server).of(LeftUnread)
    assert fact.octets == left


def test_nothing_is_noted_as_unread_where_nothing_was_injected(serve):
    server = serve()
    with secure(server):
        pass
    assert only(server).of(LeftUnread) == ()


def test_nobody_tells_what_a_client_elsewhere_has_read(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as port:
        client = socket.create_connection(port.getsockname())
        accepted, _ = port.accept()
        with accepted, client:
            accepted.send(b"xyz")
            told = unread_by(accepted)
            with monkeypatch.context() as elsewhere:
                elsewhere.setattr("pytest_mailauth.servers.wire.unread._AF_NETLINK", None)
                assert unread_by(accepted) is None
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            assert unread_by(accepted) is None
    assert told == (3 if hasattr(socket, "AF_NETLINK") else None)


def test_late_bytes_come_in_a_segment_of_their_own_before_the_hello_is_answered(serve):
    server = serve(deviations=(Trail(data=SUFFIX, later=SOON),))
    with Wire(server).greet() as wire:
        wire.ask_for_tls()
        assert wire.unread == b""
        started = time.monotonic()
        wire.send(ByHand(wire, server.ssl_context()).flight()[0])
        first = wire.segment()
        assert time.monotonic() - started >= SOON / 2
        assert first.startswith(SUFFIX)
        assert first.removeprefix(SUFFIX)[:1] in (b"", b"\x16")
    session = only(server)
    assert deviated(session) == [("injected late", "STARTTLS")]
    assert len(session.of(HelloSeen)) == 1


def test_late_bytes_are_forgotten_with_a_client_that_leaves(serve):
    server = serve(deviations=(Trail(data=SUFFIX, later=60),))
    with Wire(server).greet() as wire:
        wire.ask_for_tls()
    session = only(server)
    assert deviated(session) == []
    assert SUFFIX not in session.clear_out


def test_a_preface_comes_in_clear_before_anything_else(serve):
    server = serve(security="implicit", deviations=(Preface(data=SUFFIX),))
    with Wire(server) as wire:
        assert wire.segment() == SUFFIX
        wire.wrap(server.ssl_context()).greet()
    session = only(server)
    assert deviated(session) == [("injected", "")]
    assert session.clear_out == SUFFIX
    assert session.over_tls


def test_a_preface_is_a_matter_of_implicit_tls(serve):
    server = serve(deviations=(Preface(data=SUFFIX),))
    with Wire(server).greet():
        pass
    assert deviated(only(server)) == []


def test_a_second_greeting_comes_behind_the_handshake(serve):
    server = serve(deviations=(GreetAgain(data=SUFFIX),))
    with secure(server) as wire:
        assert wire.line() == SUFFIX
        wire.send(wire.speech.ask)
        wire.reply(wire.speech.last)
    session = only(server)
    assert deviated(session) == [("greeted again", "")]
    assert session.tls_out.startswith(SUFFIX)


def test_where_tls_begins_at_once_there_is_one_greeting(serve):
    server = serve(security="implicit", deviations=(GreetAgain(data=SUFFIX),))
    with secure(server):
        pass
    assert deviated(only(server)) == []


def test_tls_starts_behind_other_words(serve):
    server = serve(deviations=(Agree(reply=b"{tag} of course\r\n"),))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls)
        assert wire.line() == (b"a2" if server.protocol == "imap" else b"") + b" of course\r\n"
        wire.wrap(server.ssl_context()).send(wire.speech.ask)
        wire.reply(wire.speech.last)
    session = only(server)
    assert deviated(session) == [("reworded", "STARTTLS")]
    assert session.over_tls


def test_words_and_what_follows_them_are_one_write(serve):
    server = serve(deviations=(Agree(reply=b"yes\r\n"), Trail(data=SUFFIX)))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls)
        assert wire.segment() == b"yes\r\n" + SUFFIX
    assert [kind for kind, _ in deviated(only(server))] == ["reworded", "injected"]


@pytest.mark.parametrize(("end", "how"), [("close", "close"), ("reset", "reset")])
def test_an_answer_may_end_the_connection(serve, protocol, end, how):
    verb = STARTTLS[protocol]
    server = serve(deviations=(Answer(verb=verb, reply=b"yes\r\n", end=end),))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls)
        with contextlib.suppress(ConnectionError):
            assert wire.line() == b"yes\r\n"
            assert wire.segment() == b""
    session = only(server)
    assert deviated(session) == [("hung up", verb)]
    assert session.closed == Closed("server", how)


def test_no_answer_at_all_is_noted_and_the_session_goes_on(serve, protocol):
    verb = STARTTLS[protocol]
    server = serve(auth=IN_CLEAR, deviations=(Answer(verb=verb, reply=b""),))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls)
        wire.send(wire.speech.noop)
        assert wire.line().startswith(wire.speech.okay)
    assert deviated(only(server)) == [("answer", verb)]


def test_the_rest_of_an_answer_comes_in_a_segment_of_its_own_and_what_comes_meanwhile_waits(serve, protocol):
    verb = ASK[protocol]
    server = serve(deviations=(Answer(verb=verb, reply=b"first\r\nha", rest=b"lf\r\n", pause=SOON),))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.ask)
        assert wire.segment() == b"first\r\nha"
        wire.send(wire.speech.starttls)
        assert wire.line() == b"lf\r\n"
        assert wire.line().startswith(wire.speech.ready)
    assert [fact.data for fact in only(server).of(Sent)][1:3] == [b"first\r\nha", b"lf\r\n"]


@pytest.mark.parametrize("over_tls", [False, True])
def test_a_reply_may_be_late_on_one_layer(serve, protocol, over_tls):
    verb = ASK[protocol]
    server = serve(deviations=(Delay(verb=verb, seconds=SOON, over_tls=over_tls),))
    waited = []
    with Wire(server).greet() as wire:
        for layer in ("clear", "tls"):
            if layer == "tls":
                wire.ask_for_tls()
                wire.wrap(server.ssl_context())
            started = time.monotonic()
            wire.send(wire.speech.ask)
            wire.reply(wire.speech.last)
            waited.append(time.monotonic() - started)
    assert waited[over_tls] >= SOON / 2
    session = only(server)
    assert deviated(session) == [("delay", verb)]
    assert session.of(Command, Layer.TLS if over_tls else Layer.CLEAR)


def test_what_comes_behind_starttls_while_its_reply_waits_is_recorded_and_dropped(serve, protocol):
    verb = STARTTLS[protocol]
    server = serve(deviations=(Delay(verb=verb, seconds=SOON),))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls)
        wire.send(wire.speech.noop)
        assert wire.line().startswith(wire.speech.ready)
        wire.wrap(server.ssl_context()).send(wire.speech.ask)
        wire.reply(wire.speech.last)
    session = only(server)
    assert b"".join(fact.data for fact in session.of(Received, Layer.CLEAR)) == wire.speech.starttls + wire.speech.noop
    assert [c.verb for c in session.of(Command, Layer.CLEAR)] == [verb]


def test_a_hello_that_is_not_answered_leaves_the_server_in_clear(serve):
    server = serve(auth=IN_CLEAR, deviations=(StayClear(data=b""),))
    with Wire(server).greet() as wire:
        wire.ask_for_tls()
        wire.send(ByHand(wire, server.ssl_context()).flight()[0])
        until(lambda: deviated(server.sessions[0]))
        wire.send(wire.speech.noop)
        assert wire.line().startswith(wire.speech.okay)
    session = only(server)
    assert deviated(session) == [("stays in clear", "STARTTLS")]
    assert session.of(HandshakeEnded) == ()


def test_a_slow_server_injects_byte_by_byte_and_says_so(serve):
    server = serve(deviations=(Slow(delay=SOON / 4), Trail(data=SUFFIX)))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls)
        segments = b""
        while not segments.endswith(SUFFIX):
            segments += wire.segment()
    assert deviated(only(server)) == [("injected", "STARTTLS")]


def test_a_client_that_takes_the_bytes_for_tls_fails(serve):
    server = serve(deviations=(Trail(data=SUFFIX),))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls)
        while not wire.socket.recv(1).endswith(b"\n"):
            pass
        with pytest.raises(ssl.SSLError):
            wire.wrap(server.ssl_context())
    assert only(server).tls.outcome is not HandshakeOutcome.COMPLETED
