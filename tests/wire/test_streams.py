"""Four byte streams kept apart in order and time, however the client's bytes are cut, and none of them lost."""

from itertools import pairwise

import pytest
from wire_client import ByHand, Wire, before_tls, only, secure

from pytest_mailauth.model.deviations import Trail
from pytest_mailauth.model.events import Closed, HandshakeEnded, HelloSeen, Malformed, Received, Sent
from pytest_mailauth.model.terms import HandshakeOutcome, Layer, Protocol

NOOP_VERB = {Protocol.SMTP: "NOOP", Protocol.POP3: "CAPA", Protocol.IMAP: "NOOP"}


def records(data):
    """Return the TLS records in *data*."""
    found = []
    while data:
        end = 5 + int.from_bytes(data[3:5], "big")
        found.append(data[:end])
        data = data[end:]
    return found


def fragmented(record, size):
    """Return the same handshake message in records of at most *size* bytes."""
    kind, body = record[:3], record[5:]
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(kind + len(piece).to_bytes(2, "big") + piece for piece in pieces)


def test_the_four_streams_of_starttls(serve):
    server = serve()
    with Wire(server) as wire:
        greeting = wire.line()
        wire.send(wire.speech.ask)
        listed = b"".join(wire.reply(wire.speech.last))
        ready = wire.ask_for_tls()
        wire.wrap(server.ssl_context())
        wire.send(wire.speech.noop)
        answer = b"".join(wire.reply(wire.speech.okay))
        wire.send(wire.speech.quit)
        rest = wire.rest()
    session = only(server)
    assert session.clear_in == wire.speech.ask + wire.speech.starttls
    assert session.clear_out == greeting + listed + ready
    assert session.tls_in == wire.speech.noop + wire.speech.quit
    assert session.tls_out == answer + rest
    assert session.closed == Closed("server", "close")


def test_the_two_streams_of_implicit_tls(serve):
    server = serve(security="implicit")
    with Wire(server).wrap(server.ssl_context()) as wire:
        greeting = wire.line()
        wire.send(wire.speech.quit)
        rest = wire.rest()
    session = only(server)
    assert (session.clear_in, session.clear_out) == (b"", b"")
    assert session.tls_in == wire.speech.quit
    assert session.tls_out == greeting + rest


def test_facts_stand_in_order_of_time_and_layer(serve, security):
    server = serve(security=security)
    with secure(server) as wire:
        wire.send(wire.speech.noop)
        wire.line()
    session = only(server)
    assert all(one.at <= other.at for one, other in pairwise(session.entries))
    layers = [entry.layer for entry in session.entries]
    assert layers == sorted(layers)  # "clear" before "tls", and no way back
    boundary = next(entry for entry in session.entries if isinstance(entry.fact, HandshakeEnded))
    assert all(
        (entry.layer is Layer.TLS) is (entry.at > boundary.at) for entry in session.entries if entry is not boundary
    )


@pytest.mark.parametrize("trail", [b"", b"injected\r\n", b"one\r\ntwo {tag} {next}\r\nhalf a line"])
def test_the_starttls_reply_and_its_trail_are_one_segment(serve, trail):
    server = serve(deviations=(Trail(data=trail),) if trail else ())
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls)
        segment = wire.segment()
        wire.wrap(server.ssl_context())
        wire.send(wire.speech.quit)
        wire.rest()
    filled = trail.replace(b"{tag} {next}", b"a2 a3" if server.protocol == "imap" else b" ")
    assert segment.startswith(wire.speech.ready)
    assert segment.partition(b"\r\n")[2] == filled
    session = only(server)
    assert session.of(Sent, Layer.CLEAR)[1].data == segment
    assert session.over_tls


def test_what_is_sent_inside_tls_is_one_record(serve, security):
    server = serve(security=security)
    with before_tls(server) as wire:
        client = ByHand(wire, server.ssl_context())
        wire.send(client.shake_hands())
        if security == "implicit":
            client.read()
        wire.send(client.sealed(wire.speech.ask))
        assert len(records(wire.segment())) == 1
    sent = only(server).of(Sent, Layer.TLS)[-1].data
    assert sent.count(b"\r\n") > 1


@pytest.mark.parametrize("behind", ["a command", "two commands", "half a command"])
def test_what_is_pipelined_behind_starttls_is_kept_and_never_executed(serve, behind):
    server = serve()
    with Wire(server).greet() as wire:
        noop, unknown = wire.speech.noop, wire.speech.unknown
        pipelined = {"a command": noop, "two commands": noop + unknown, "half a command": noop[:3]}[behind]
        wire.send(wire.speech.starttls + pipelined)
        assert wire.line().startswith(wire.speech.ready)
        wire.wrap(server.ssl_context())
        wire.send(wire.speech.quit)
        assert wire.rest().startswith(wire.speech.bye)
    session = only(server)
    assert session.clear_in == wire.speech.starttls + pipelined
    assert session.tls_in == wire.speech.quit
    assert len(session.verbs(Layer.CLEAR)) == len(session.verbs(Layer.TLS)) == 1


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("pipelined", [b"", b"RSET\r\n"])
def test_a_hello_in_the_same_segment_as_starttls_ends_the_session(serve, whole, pipelined):
    server = serve()
    with Wire(server).greet() as wire:
        hello = ByHand(wire, server.ssl_context()).flight()[0]
        cut = None if whole else 1
        wire.send(wire.speech.starttls + pipelined + hello[:cut])
        assert wire.line().startswith(wire.speech.ready)  # the reply stands, and then the stream ends
        assert wire.rest() == b""
        if cut:
            wire.send(hello[cut:] + b"\r\n")
    session = only(server)
    said = "the ClientHello came in the same segment as STARTTLS, before its reply"
    assert session.of(Malformed)[-1] == Malformed(said)
    assert (session.tls.outcome, session.tls.reason) == (HandshakeOutcome.SERVER_REFUSED, said)
    assert len(session.of(HelloSeen)) == 1
    assert session.clear_in.startswith(wire.speech.starttls + pipelined + hello)
    assert len(session.commands) == 1


def test_cleartext_in_a_segment_of_its_own_behind_starttls_is_no_hello(serve):
    server = serve()
    with Wire(server).greet() as wire:
        wire.ask_for_tls()
        wire.send(wire.speech.noop)
        assert wire.rest() == b""
    session = only(server)
    assert session.tls.outcome is HandshakeOutcome.NOT_TLS
    assert session.clear_in == wire.speech.starttls + wire.speech.noop
    assert session.commands[1].verb.encode() in wire.speech.noop  # understood, and not answered


@pytest.mark.parametrize("way", ["byte by byte", "in records of 1 byte", "in records of 7 bytes"])
def test_a_hello_in_pieces(serve, security, trusting, version, way):
    server = serve(security=security)
    with before_tls(server) as wire:
        client = ByHand(wire, trusting(version))
        hello = client.flight()[0]
        if way == "byte by byte":
            for at in range(len(hello)):
                wire.send(hello[at : at + 1])
        else:
            (record,) = records(hello)
            wire.send(fragmented(record, 1 if "1 byte" in way else 7))
        wire.send(client.shake_hands() + client.sealed(wire.speech.quit))
        while not (said := client.read()).startswith(wire.speech.bye):
            assert security == "implicit"
            assert said.startswith(wire.speech.greeting)
    session = only(server)
    assert session.tls.outcome is HandshakeOutcome.COMPLETED
    assert session.tls.client_hello.server_name == "localhost"
    assert len(session.of(HelloSeen)) == 1
    assert session.tls_in == wire.speech.quit


@pytest.mark.parametrize("piecemeal", [False, True])
def test_the_first_command_in_one_segment_with_finished(serve, security, trusting, piecemeal):
    server = serve(security=security)
    with before_tls(server) as wire:
        client = ByHand(wire, trusting("1.3"))
        last = client.shake_hands() + client.sealed(wire.speech.ask) + client.sealed(wire.speech.quit)
        for at in range(len(last)) if piecemeal else ():
            wire.send(last[at : at + 1])
        wire.send(b"" if piecemeal else last)
        said = b""
        while wire.speech.bye not in said.replace(wire.speech.greeting, b"", 1).partition(wire.speech.last)[2]:
            said += client.read()
    session = only(server)
    assert session.tls_in == wire.speech.ask + wire.speech.quit
    assert session.tls_out == said
    assert said.startswith(wire.speech.greeting) or security == "starttls"
    assert len(session.verbs(Layer.TLS)) == 2
    assert session.of(Malformed) == ()


def test_tls_is_closed_with_a_close_notify(serve, security, trusting, version):
    # Without it the client could not tell the end from an attack that cuts the stream (RFC 8446 section 6.1).
    server = serve(security=security)
    with before_tls(server) as wire:
        client = ByHand(wire, trusting(version))
        wire.send(client.shake_hands() + client.sealed(wire.speech.quit))
        while client.read():
            pass
        assert wire.segment() == b""


@pytest.mark.parametrize(
    "broken", [b"LOGIN in clear\r\n", b"\x17\x03\x03\x00\x20" + bytes(32)], ids=["cleartext", "garbage"]
)
def test_what_cannot_be_decrypted_is_not_said_inside_tls(serve, security, trusting, version, broken):
    server = serve(security=security)
    with before_tls(server) as wire:
        client = ByHand(wire, trusting(version))
        wire.send(client.shake_hands())
        if security == "implicit":
            client.read()
        wire.send(client.sealed(wire.speech.noop) + broken)
        assert wire.rest() != b""  # an alert
    session = only(server)
    assert session.tls_in == wire.speech.noop
    assert (b"LOGIN in clear" in session.clear_in) is (b"LOGIN in clear" in broken)
    assert session.of(Malformed)[-1].reason.startswith("a broken TLS record: ")
    assert session.closed == Closed("server", "close")


def test_a_farewell_and_a_close_notify_in_one_segment(serve, security, trusting, version):
    server = serve(security=security)
    with before_tls(server) as wire:
        client = ByHand(wire, trusting(version))
        wire.send(client.shake_hands())
        wire.send(client.sealed(wire.speech.quit) + client.farewell())
        wire.rest()
    session = only(server)
    assert wire.speech.bye in session.tls_out
    assert session.closed == Closed("server", "close")


def test_a_command_and_a_fatal_alert_in_one_segment(serve, security, trusting, version):
    server = serve(security=security)
    with before_tls(server) as wire:
        client = ByHand(wire, trusting(version))
        wire.send(client.shake_hands())
        wire.send(client.sealed(wire.speech.noop) + client.alert())
        wire.rest()
    session = only(server)
    assert session.verbs(Layer.TLS) == (NOOP_VERB[server.protocol],)
    assert session.closed == Closed("client", "alert")


def test_many_records_are_put_together(serve, security):
    server = serve(security=security)
    with secure(server) as wire:
        many = wire.speech.ask * 400
        wire.send(many)
        for _ in range(400):
            wire.reply(wire.speech.last)
        wire.send(wire.speech.quit)
        wire.rest()
    session = only(server)
    assert session.tls_in == many + wire.speech.quit
    assert len(session.of(Received, Layer.TLS)) < 40
    assert len(session.verbs(Layer.TLS)) == 401
