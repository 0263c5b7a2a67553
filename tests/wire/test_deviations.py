"""What the wire does on purpose: bytes behind a reply, cleartext instead of TLS, silence, slowness, other words."""

import base64
import contextlib
import ssl
import time

import pytest
from wire_client import ByHand, Wire, before_tls, only, refused_handshake, secure, until

from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.model.deviations import (
    Announce,
    Answer,
    BreakOff,
    Cut,
    Greet,
    Hide,
    RefuseHello,
    Slow,
    StayClear,
    Swap,
    Trail,
    Withhold,
)
from pytest_mailauth.model.events import Closed, Deviated, HandshakeEnded, HelloSeen, Malformed, Sent
from pytest_mailauth.model.terms import Certificate, HandshakeOutcome, Layer

SOON = 0.02
"""Seconds for a deviation that takes time: long enough to be seen, short enough not to be waited for."""
STARTTLS = {"smtp": "STARTTLS", "pop3": "STLS", "imap": "STARTTLS"}


def deviated(session):
    return [fact.kind for fact in session.of(Deviated)]


def test_trail_is_noted_and_tls_starts_all_the_same(serve):
    server = serve(deviations=(Trail(data=b"{tag} injected\r\n"),))
    with secure(server) as wire:
        assert wire.unread.endswith(b" injected\r\n")
        wire.unread = b""
        wire.send(wire.speech.quit)
        assert b"injected" not in wire.rest()
    session = only(server)
    (fact,) = session.of(Deviated)
    assert (fact.kind, fact.verb) == ("injected", "STARTTLS")
    assert session.clear_out.endswith(fact.data)
    assert session.tls.outcome is HandshakeOutcome.COMPLETED


def test_stay_clear_answers_the_hello_in_clear_and_goes_on(serve):
    server = serve(auth=IN_CLEAR, deviations=(StayClear(data=b"{tag} still in clear\r\n"),))
    with before_tls(server) as wire:
        wire.send(ByHand(wire, server.ssl_context()).flight()[0])
        answer = wire.line()
        wire.send(wire.speech.noop)
        assert wire.line().startswith(wire.speech.okay)
        wire.send(wire.speech.quit)
        wire.rest()
    session = only(server)
    assert answer == (b"a2" if server.protocol == "imap" else b"") + b" still in clear\r\n"
    assert deviated(session) == ["stays in clear"]
    assert len(session.of(HelloSeen)) == 1
    assert session.of(HandshakeEnded) == ()
    assert session.clear_in == wire.speech.starttls + wire.speech.noop + wire.speech.quit
    assert session.tls.outcome is HandshakeOutcome.CLIENT_LEFT_DURING


def test_stay_clear_can_be_met_twice(serve):
    server = serve(deviations=(StayClear(data=b"no\r\n"),))
    with before_tls(server) as wire:
        for _ in range(2):
            wire.send(ByHand(wire, server.ssl_context()).flight()[0])
            assert wire.line() == b"no\r\n"
            wire.ask_for_tls()
    session = only(server)
    assert deviated(session) == ["stays in clear"] * 2
    assert session.clear_in == wire.speech.starttls * 3


def test_a_stay_clear_client_that_never_says_hello(serve):
    server = serve(deviations=(StayClear(data=b"no\r\n"),))
    with before_tls(server) as wire:
        wire.send(wire.speech.noop)
        assert wire.rest() == b""
    session = only(server)
    assert deviated(session) == []
    assert session.tls.outcome is HandshakeOutcome.NOT_TLS


def test_withhold_lets_out_the_first_line_of_several_and_nothing_more(serve, security):
    server = serve(security=security, deviations=(Withhold(patience=SOON),))
    with before_tls(server) as wire:
        client = ByHand(wire, server.ssl_context())
        wire.send(client.shake_hands())
        started = time.monotonic()
        wire.send(client.sealed(wire.speech.ask))
        piece = client.read()
        assert time.monotonic() - started >= SOON / 2  # the clock of the loop is coarser than ours
        assert server.sessions[0].tls_out == piece
        wire.send(client.sealed(wire.speech.noop))
        wire.socket.settimeout(3 * SOON)
        with pytest.raises(TimeoutError):
            client.read()
    session = only(server)
    held = [fact for fact in session.of(Deviated) if fact.kind == "reply withheld"]
    (let_out,) = (fact for fact in session.of(Deviated) if fact.kind == "first piece let out")
    everything = b"".join(fact.data for fact in held)
    assert let_out.data == piece
    assert everything.startswith(piece)
    assert piece.endswith(b"\r\n")  # the first line: more than one was held back
    assert len(held) == (3 if security == "implicit" else 2)
    assert session.tls_out == piece


def test_withhold_lets_out_the_first_byte_of_one_line(serve, security):
    server = serve(security=security, deviations=(Withhold(patience=SOON),))
    with before_tls(server) as wire:
        wire.wrap(server.ssl_context())
        if security == "starttls":
            wire.send(wire.speech.unknown)
        assert len(wire.segment()) == 1
    assert len(only(server).tls_out) == 1


def test_withhold_is_silent_about_a_client_that_left(serve):
    server = serve(deviations=(Withhold(patience=60),))
    with secure(server) as wire:
        wire.send(wire.speech.noop)
        assert deviated(server.sessions[0]) == ["reply withheld"]
    session = only(server)
    assert deviated(session) == ["reply withheld"]
    assert session.tls_out == b""


def test_withhold_does_not_touch_what_is_in_clear(serve):
    server = serve(deviations=(Withhold(patience=60),))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.ask)
        wire.reply(wire.speech.last)
    assert deviated(only(server)) == []


def test_slow_sends_each_byte_by_itself_and_loses_none(serve, security):
    server = serve(security=security, deviations=(Slow(delay=SOON / 4),))
    with secure(server) as wire:
        wire.send(wire.speech.ask)
        segments = [wire.segment()]
        lines = [b"".join(segments), *wire.reply(wire.speech.last)]
        wire.send(wire.speech.quit)
        rest = wire.rest()
        assert rest.startswith(wire.speech.bye)
    session = only(server)
    assert len(segments[0]) == 1
    assert session.tls_out.endswith(b"".join(lines) + rest)
    assert session.closed == Closed("server", "close")


def test_slow_is_recorded_when_it_is_sent(serve):
    server = serve(deviations=(Slow(delay=60),))
    with Wire(server):
        assert server.sessions[0].of(Sent) == ()
    assert only(server).clear_out == b""


def test_slow_keeps_the_order_of_what_is_owed(serve, security):
    server = serve(security=security, deviations=(Slow(delay=SOON / 4),))
    with secure(server) as wire:
        wire.send(wire.speech.ask + wire.speech.noop + wire.speech.quit)
        rest = wire.rest()
    assert wire.speech.bye in rest.partition(wire.speech.last)[2].partition(wire.speech.okay)[2]
    assert only(server).tls_out.endswith(rest)


def test_slow_stops_when_the_client_is_gone(serve, mailauth):
    server = serve(deviations=(Slow(delay=60),))
    with Wire(server):
        until(lambda: server.sessions)
        (connection,) = server._listener._live

        def cut_off_in_the_moment_of_sending():
            connection.abort()
            connection._pace._drip()

        mailauth.loop.call(cut_off_in_the_moment_of_sending)
        session = only(server)
    assert session.of(Sent) == ()
    assert session.closed == Closed("server", "abort")


def test_slow_and_a_hello_that_came_before_the_reply(serve):
    server = serve(deviations=(Slow(delay=SOON),))
    with Wire(server).greet() as wire:
        client = ByHand(wire, server.ssl_context())
        wire.send(wire.speech.starttls)
        assert server.sessions[0].verbs()
        wire.send(client.flight()[0])  # in a segment of its own, but without waiting
        assert wire.line().startswith(wire.speech.ready)
        wire.send(client.shake_hands() + client.sealed(wire.speech.quit))
        assert client.read()
        while client.read():
            pass
    assert only(server).tls.outcome is HandshakeOutcome.COMPLETED


def test_slow_and_a_hello_in_the_same_segment_as_starttls(serve):
    server = serve(deviations=(Slow(delay=SOON),))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls + ByHand(wire, server.ssl_context()).flight()[0])
        assert wire.rest() == b""
    session = only(server)
    assert session.of(Malformed)
    assert session.tls.outcome is HandshakeOutcome.SERVER_REFUSED


def test_slow_and_a_client_that_breaks_tls(serve, trusting, version):
    server = serve(deviations=(Slow(delay=SOON),))
    with before_tls(server) as wire:
        client = ByHand(wire, trusting(version))
        wire.send(client.shake_hands() + client.sealed(wire.speech.noop) + client.alert())
        wire.rest()
    session = only(server)
    assert session.closed == Closed("client", "alert")
    assert session.tls_out == b""


def test_greet(serve, security):
    server = serve(security=security, deviations=(Greet(data=b"hello {tag}\r\n"),))
    with before_tls(server) if security == "implicit" else Wire(server) as wire:
        if security == "implicit":
            wire.wrap(server.ssl_context())
        assert wire.line() == b"hello *\r\n"


def test_hide_and_announce_on_each_layer(serve):
    hidden = STARTTLS[serve.__name__]
    server = serve(
        deviations=(Hide(names=(hidden,)), Announce(lines=("XYZZY",)), Announce(lines=("PLUGH",), over_tls=True))
    )
    with Wire(server).greet() as wire:
        wire.send(wire.speech.ask)
        clear = b"".join(wire.reply(wire.speech.last))
        assert b"XYZZY" in clear
        assert b"PLUGH" not in clear
        assert hidden.encode() not in clear
        wire.ask_for_tls()  # hidden, and accepted all the same
        wire.wrap(server.ssl_context())
        wire.send(wire.speech.ask)
        inside = b"".join(wire.reply(wire.speech.last))
        assert b"PLUGH" in inside
        assert b"XYZZY" not in inside
    assert only(server).over_tls


def test_answer_takes_the_place_of_starttls_and_starts_no_tls(serve):
    server = serve(deviations=(Answer(verb=STARTTLS[serve.__name__], reply=b"{tag} not today\r\n"),))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls)
        assert wire.line().endswith(b" not today\r\n")
        wire.send(ByHand(wire, server.ssl_context()).flight()[0])
        wire.stop_sending()
        wire.rest()
    session = only(server)
    assert deviated(session) == ["answer"]
    assert session.of(HandshakeEnded) == ()
    assert len(session.of(HelloSeen)) == 1


def test_answer_over_tls_leaves_the_clear_layer_alone(serve):
    verb = {"smtp": "EHLO", "pop3": "CAPA", "imap": "CAPABILITY"}[serve.__name__]
    server = serve(deviations=(Answer(verb=verb, reply=b"{tag} nothing to see\r\n", over_tls=True),))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.ask)
        wire.reply(wire.speech.last)
        wire.ask_for_tls()
        wire.wrap(server.ssl_context())
        wire.send(wire.speech.ask)
        assert wire.line().endswith(b" nothing to see\r\n")
    session = only(server)
    assert deviated(session) == ["answer"]
    assert next(entry.layer for entry in session.entries if isinstance(entry.fact, Deviated)) is Layer.TLS


def test_a_python_client_waits_for_the_reply_that_is_withheld(serve):
    server = serve(security="implicit", deviations=(Withhold(patience=60),))
    with Wire(server, deadline=5 * SOON) as wire:
        wire.wrap(server.ssl_context())
        with pytest.raises((TimeoutError, ssl.SSLError)):
            wire.line()


def test_a_greeting_may_be_empty_and_everything_else_works(serve, security):
    server = serve(security=security, deviations=(Greet(data=b""),))
    with Wire(server) as wire:
        if security == "implicit":
            wire.wrap(server.ssl_context())
        wire.send(wire.speech.noop)
        assert wire.line().startswith(wire.speech.okay)
    first, *_ = only(server).of(Sent)
    assert first.data.startswith(wire.speech.okay)


def test_an_answer_may_repeat_the_command_and_nothing_in_it_is_filled_in(serve):
    server = serve(deviations=(Answer(verb="NOOP", reply=b"{tag} said: {line}\r\n"),))
    with Wire(server).greet() as wire:
        wire.send((b"a5 " if server.protocol == "imap" else b"") + b"NOOP {tag} {line}\r\n")
        tag, _, said = wire.line().partition(b" said: ")
    assert said == b"NOOP {tag} {line}\r\n"
    assert tag == (b"a5" if server.protocol == "imap" else b"*")


def test_cut_resets_inside_tls_and_changes_what_comes_after(serve, protocol):
    verb = "CAPA" if protocol == "pop3" else "NOOP"
    server = serve(deviations=(Cut(verbs=(verb,), then=(Hide(names=(STARTTLS[protocol],)),)),))
    with Wire(server).greet() as wire:
        wire.send(wire.speech.noop)
        assert wire.line().startswith(wire.speech.okay)  # in clear it is carried out
    with secure(server) as wire:
        wire.send(wire.speech.noop)
        with contextlib.suppress(ConnectionResetError):
            assert wire.segment() == b""
    with Wire(server).greet() as wire:
        wire.send(wire.speech.ask)
        assert STARTTLS[protocol].encode() not in b"".join(wire.reply(wire.speech.last))
    _, cut, _ = server.sessions
    assert deviated(cut) == ["cut"]
    assert cut.closed == Closed("server", "reset")


BROKEN_OFF = {"smtp": ("NOOP", b"NOOP"), "pop3": ("CAPA", b"CAPA"), "imap": ("UID FETCH", b"a9 UID FETCH 1 BODY[]")}


@pytest.mark.parametrize("security", ["starttls", "implicit"])
def test_a_reply_that_is_broken_off_ends_without_a_close_notify(serve, security):
    verb, line = BROKEN_OFF[serve.__name__]
    server = serve(security=security, deviations=(BreakOff(verbs=(verb,), reply=b"half of"),))
    with secure(server) as wire:
        wire.socket.suppress_ragged_eofs = False
        wire.send(line + b"\r\n")
        with pytest.raises(ssl.SSLEOFError):
            wire.rest()
        assert wire.unread == b"half of"
    session = only(server)
    assert deviated(session) == ["broken off"]
    assert session.closed == Closed("server", "close")


def test_only_the_named_commands_are_broken_off(serve):
    server = serve(security="implicit", deviations=(BreakOff(verbs=("RETR", "UID FETCH"), reply=b"half of"),))
    with secure(server) as wire:
        wire.send(wire.speech.noop)
        assert wire.line().startswith(wire.speech.okay)
    assert deviated(only(server)) == []


def test_a_cut_without_a_reset_carries_the_command_out_and_changes_what_comes_after(serve, protocol):
    verb = "CAPA" if protocol == "pop3" else "NOOP"
    server = serve(deviations=(Cut(verbs=(verb,), then=(Hide(names=(STARTTLS[protocol],)),), resets=False),))
    with secure(server) as wire:
        wire.send(wire.speech.noop)
        assert wire.line().startswith(wire.speech.okay)
        with Wire(server).greet() as later:
            later.send(later.speech.ask)
            assert STARTTLS[protocol].encode() not in b"".join(later.reply(later.speech.last))
    first, _ = server.sessions
    assert deviated(first) == ["cut"]


@pytest.mark.parametrize("security", ["starttls", "implicit"])
def test_a_hello_can_be_refused_with_an_alert(serve, security):
    server = serve(security=security, deviations=(RefuseHello(alert=70),))
    assert "PROTOCOL_VERSION" in refused_handshake(server, server.ssl_context()).reason
    session = only(server)
    assert deviated(session) == ["the ClientHello was refused with an alert"]
    assert session.tls.outcome is HandshakeOutcome.SERVER_REFUSED
    assert session.tls.client_hello is not None


LOGIN = {"smtp": b"AUTH PLAIN %s\r\n", "pop3": b"AUTH PLAIN %s\r\n", "imap": b"a3 AUTHENTICATE PLAIN %s\r\n"}
ACCEPTED = {"smtp": b"235 ", "pop3": b"+OK ", "imap": b"a3 OK "}


def test_another_certificate_is_shown_from_the_first_login_on(serve, protocol, security):
    server = serve(security=security, deviations=(Swap(certificate=Certificate.EXPIRED),))
    account = server.account
    with secure(server) as wire:
        wire.send(wire.speech.noop)
        wire.line()  # nobody has logged in
    with secure(server) as wire:
        wire.send(wire.speech.ask)
        wire.reply(wire.speech.last)
        wire.send(LOGIN[protocol] % base64.b64encode(f"\0{account.username}\0{account.password}".encode()))
        assert wire.line().startswith(ACCEPTED[protocol])
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            secure(server)
