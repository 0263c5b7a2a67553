"""Nonsense of every kind, in clear and inside TLS: the session answers or ends, is written down, and never fails."""

import contextlib
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wire_client import ByHand, Wire, before_tls, only, secure, until

from pytest_mailauth.model.events import Closed, Failed, Malformed
from pytest_mailauth.model.terms import Layer, Protocol

ERROR = {"smtp": rb"\A(50\d|421) ", "pop3": rb"\A-ERR ", "imap": rb"\A(\S+ (BAD|NO)|\* (BAD|BYE)) "}
"""An error reply of each protocol."""
FAREWELL = {"smtp": rb"\A(421 |\Z)", "pop3": rb"\A(-ERR |\Z)", "imap": rb"\A(\* BYE |\Z)"}
KIB = 1024

NONSENSE = {
    "NUL": b"NO\0OP\r\n",
    "bare CR": b"NO\rOP\r\n",
    "8-bit": b"\xff\xfe\xe4\xf6\r\n",
    "8-bit behind a word": b"XYZZY \xff\xfe\xe4\xf6\r\n",
    "spaces": b"   \r\n",
    "empty": b"\r\n",
    "a digit": b"1\r\n",
    "64 KiB in one line": b"A" * (64 * KIB) + b"\r\n",
    "64 KiB behind a word": b"a1 NOOP " + b"A" * (64 * KIB) + b"\r\n",
    "1 MiB in one line": b"A" * (KIB * KIB) + b"\r\n",
    "a request of another protocol": b"GET / HTTP/1.1\r\n",
}


@pytest.fixture(params=["in clear", "inside TLS"])
def arrive(request):
    """Return a function that opens a connection to a server on one layer, behind the greeting."""
    return (lambda server: Wire(server).greet()) if request.param == "in clear" else secure


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_answered_with_an_error_and_the_session_goes_on(serve, arrive, nonsense):
    server = serve()
    with arrive(server) as wire:
        wire.send(NONSENSE[nonsense])
        answer = wire.line()
        if answer:
            assert re.match(ERROR[server.protocol], answer), answer
            wire.send(wire.speech.quit)
            assert wire.rest()
    session = only(server)
    assert session.of(Malformed) or session.commands[-2].verb == "GET"
    assert session.of(Failed) == ()


def test_a_line_end_without_cr_is_a_line_end(serve, arrive):
    server = serve()
    with arrive(server) as wire:
        wire.send(wire.speech.noop.replace(b"\r", b""))
        assert wire.line().startswith(wire.speech.okay)
    assert only(server).of(Malformed) == ()


@pytest.mark.parametrize("size", [64 * KIB, KIB * KIB])
def test_a_line_without_end_takes_no_more_memory_than_its_limit(serve, arrive, size):
    server = serve()
    with arrive(server) as wire:
        wire.send(b"A" * size)
        until(lambda: len(server.sessions[0].clear_in + server.sessions[0].tls_in) >= size)
        (connection,) = server._listener._live
        engine = connection._engine
        buffered = len(engine._core._reader.buffer if server.protocol == "smtp" else engine._lines)
        wire.stop_sending()
        wire.rest()
    assert buffered <= 128 * KIB
    session = only(server)
    assert session.of(Malformed)[-1].reason.startswith("the client left in the middle of")


def test_nonsense_without_end_is_ended(serve, arrive):
    server = serve()
    with arrive(server) as wire:
        wire.send(b"?\r\n" * 200)
        answers = wire.rest().splitlines(keepends=True)
    assert 1 < len(answers) < 200
    assert all(re.match(ERROR[server.protocol], answer) for answer in answers)
    assert only(server).closed == Closed("server", "close")


@pytest.mark.parametrize("leave", ["__exit__", "stop_sending", "reset"])
def test_leaving_in_the_middle_of_a_command(serve, arrive, leave):
    server = serve()
    with arrive(server) as wire:
        half = wire.speech.noop[:-3]
        wire.send(half)
        until(lambda: (server.sessions[0].clear_in + server.sessions[0].tls_in).endswith(half))
        getattr(wire, leave)()
        if leave == "stop_sending":
            assert wire.rest() == b""
    session = only(server)
    assert session.of(Malformed)[-1].reason.startswith("the client left in the middle of")
    assert session.closed == Closed("client", "reset" if leave == "reset" else "close")


def test_a_client_that_stops_sending_still_gets_its_answers(serve, arrive):
    server = serve()
    with arrive(server) as wire:
        wire.send(wire.speech.ask)
        wire.stop_sending()
        assert wire.speech.last in wire.rest()
    assert only(server).closed == Closed("client", "close")


def test_starttls_twice(serve):
    server = serve()
    with secure(server) as wire:
        wire.send(wire.speech.starttls)
        assert re.match(ERROR[server.protocol], wire.line())
        wire.send(wire.speech.quit)
        assert wire.rest().startswith(wire.speech.bye)
    session = only(server)
    assert session.verbs(Layer.CLEAR) == session.verbs(Layer.TLS)[:1]


def test_starttls_where_there_is_none(serve):
    server = serve(security="none")
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls)
        assert re.match(ERROR[server.protocol], wire.line())
        wire.send(wire.speech.noop)
        assert wire.line().startswith(wire.speech.okay)
    assert only(server).tls is None


@pytest.mark.parametrize("apart", [False, True])
def test_commands_behind_the_farewell_are_not_carried_out(serve, arrive, apart):
    server = serve()
    with arrive(server) as wire:
        wire.send(wire.speech.quit + (b"" if apart else wire.speech.noop + wire.speech.noop[:3]))
        said = wire.rest()
        if apart:
            wire.stop_sending()
    assert said.startswith(wire.speech.bye)
    assert wire.speech.okay not in said.replace(wire.speech.bye, b"", 1)
    session = only(server)
    assert len([verb for verb in session.verbs() if verb in ("QUIT", "LOGOUT")]) == 1
    assert session.verbs()[-1] in ("QUIT", "LOGOUT")
    assert session.of(Malformed) == ()
    assert session.closed == Closed("server", "close")


# Random input. One server each, on the thread of the session.

random = settings(max_examples=40, deadline=None, derandomize=True)
SMTP = b"EHLO x|AUTH PLAIN|AUTH LOGIN|MAIL FROM:<a@b>|DATA|.|STARTTLS|*|="
POP3 = b"USER a|PASS b|STLS|RETR 1|TOP 1 1|LIST"
IMAP = b'a LOGIN a b|b STARTTLS|c LOGIN {3}|d APPEND INBOX {10}|e FETCH 1 (BODY[])|f "|{5+}'
WORDS = st.sampled_from(b"|".join((SMTP, POP3, IMAP)).split(b"|"))
LINES = st.lists(
    st.one_of(st.binary(max_size=40), WORDS, st.builds(bytes.__add__, WORDS, st.binary(max_size=8))), max_size=6
)
ENDS = st.sampled_from([b"\r\n", b"\n", b"\r", b"\0", b""])


def survives(server, wire, data):
    with wire:
        with contextlib.suppress(OSError):  # it may be turned away before it has said everything
            wire.send(data)
            wire.stop_sending()
        wire.rest()
    session = only(server)
    assert session.of(Failed) == ()
    session.transcript()


@pytest.mark.parametrize("protocol", Protocol)
@random
@example(lines=[b"STARTTLS", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"], end=b"\r\n")
@given(lines=LINES, end=ENDS)
def test_garbage_in_clear(mailauth_factory, protocol, lines, end):
    with getattr(mailauth_factory, protocol)() as server:
        survives(server, Wire(server), end.join(lines) + end)


@pytest.mark.parametrize("protocol", Protocol)
@random
@given(lines=LINES, end=ENDS)
def test_garbage_inside_tls(mailauth_factory, protocol, lines, end):
    with getattr(mailauth_factory, protocol)(security="implicit") as server:
        survives(server, secure(server), end.join(lines) + end)


@pytest.mark.parametrize("security", ["starttls", "implicit"])
@random
@example(data=b"\x16\x03\x01\x00\x01\x01", hello=True)
@example(data=b"\x15\x03\x01\x00\x02\x02\x28", hello=True)
@given(data=st.binary(max_size=64), hello=st.booleans())
def test_garbage_in_the_handshake(mailauth_factory, security, data, hello):
    with mailauth_factory.smtp(security=security) as server:
        wire = before_tls(server)
        first = ByHand(wire, server.ssl_context()).flight()[0] if hello else b""
        survives(server, wire, first + data)


@pytest.mark.parametrize("security", ["starttls", "implicit"])
@random
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), data=st.binary(max_size=20))
def test_a_hello_with_one_byte_changed(mailauth_factory, security, at, byte, data):
    with mailauth_factory.pop3(security=security) as server:
        wire = before_tls(server)
        hello = bytearray(ByHand(wire, server.ssl_context()).flight()[0])
        hello[at % len(hello)] = byte
        survives(server, wire, bytes(hello) + data)
