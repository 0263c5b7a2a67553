"""Clients that do exactly what a test tells them: on the bare socket, and with TLS worked by hand in memory."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from typing import NamedTuple

import pytest

from pytest_mailauth.model.terms import Protocol

DEADLINE = 10.0
"""Seconds after which a wait that should have ended fails the test."""


class Speech(NamedTuple):
    """What one protocol says."""

    greeting: bytes
    ask: bytes
    """Asks for the capabilities, which are answered in clear and inside TLS."""
    last: bytes
    """How the last line of that answer begins."""
    starttls: bytes
    ready: bytes
    noop: bytes
    okay: bytes
    quit: bytes
    bye: bytes
    refusal: bytes
    """How the reply to something impossible begins."""
    unknown: bytes


SPEECH = {
    Protocol.SMTP: Speech(
        greeting=b"220 ",
        ask=b"EHLO client.test\r\n",
        last=b"250 ",
        starttls=b"STARTTLS\r\n",
        ready=b"220 2.0.0 Ready to start TLS\r\n",
        noop=b"NOOP\r\n",
        okay=b"250 ",
        quit=b"QUIT\r\n",
        bye=b"221 ",
        refusal=b"50",
        unknown=b"XYZZY\r\n",
    ),
    Protocol.POP3: Speech(
        greeting=b"+OK ",
        ask=b"CAPA\r\n",
        last=b".\r\n",
        starttls=b"STLS\r\n",
        ready=b"+OK ",
        noop=b"CAPA\r\n",
        okay=b"+OK ",
        quit=b"QUIT\r\n",
        bye=b"+OK ",
        refusal=b"-ERR ",
        unknown=b"XYZZY\r\n",
    ),
    Protocol.IMAP: Speech(
        greeting=b"* OK ",
        ask=b"a1 CAPABILITY\r\n",
        last=b"a1 OK ",
        starttls=b"a2 STARTTLS\r\n",
        ready=b"a2 OK ",
        noop=b"a3 NOOP\r\n",
        okay=b"a3 OK ",
        quit=b"a4 LOGOUT\r\n",
        bye=b"* BYE ",
        refusal=b"a",
        unknown=b"a5 XYZZY\r\n",
    ),
}


class Wire:
    """A connection, with or without TLS, and what was read from it so far."""

    def __init__(self, server, deadline=DEADLINE, *, buffer=None):
        self.speech = SPEECH[server.protocol]
        self.socket = socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(deadline)
        try:
            self.socket.connect(("127.0.0.1", server.port))
        except OSError:
            self.socket.close()
            raise
        # Each send is a segment of its own.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def segment(self):
        """Return what one read gives: one segment in clear, one record inside TLS."""
        return self.socket.recv(65_536)

    def line(self):
        """Return the next line, with its end; less at the end of the stream."""
        while b"\n" not in self.unread and (more := self.segment()):
            self.unread += more
        line, end, self.unread = self.unread.partition(b"\n")
        return line + end

    def reply(self, last):
        """Return the lines up to one that begins with *last*."""
        lines = []
        while not lines or not (lines[-1].startswith(last) or not lines[-1]):
            lines.append(self.line())
        return lines

    def rest(self):
        """Return everything up to the end of the stream, or to a reset."""
        try:
            while more := self.segment():
                self.unread += more
        except ConnectionError:
            pass
        data, self.unread = self.unread, b""
        return data

    def greet(self):
        line = self.line()
        assert line.startswith(self.speech.greeting), line
        return self

    def ask_for_tls(self):
        """Send STARTTLS and return the reply."""
        self.send(self.speech.starttls)
        line = self.line()
        assert line.startswith(self.speech.ready), line
        return line

    def wrap(self, context, host="localhost"):
        self.socket = context.wrap_socket(self.socket, server_hostname=host)
        return self

    def stop_sending(self):
        # Not the method of SSLSocket, which would forget TLS for the other direction too.
        socket.socket.shutdown(self.socket, socket.SHUT_WR)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def secure(server, context=None):
    """Return a connection to *server* on which TLS is active and the greeting was read."""
    wire = Wire(server)
    try:
        if server.security == "implicit":
            return wire.wrap(context or server.ssl_context()).greet()
        wire.greet().ask_for_tls()
        return wire.wrap(context or server.ssl_context())
    except BaseException:
        wire.socket.close()
        raise


def before_tls(server):
    """Return a connection to *server* on which a ClientHello comes next."""
    wire = Wire(server)
    if server.security == "starttls":
        wire.greet().ask_for_tls()
    return wire


def refused_handshake(server, context, host="localhost"):
    """Return the error with which the handshake ends on the client's side."""
    with before_tls(server) as wire, pytest.raises(ssl.SSLError) as refusal:
        wire.wrap(context, host).line()
    return refusal.value


def until(condition):
    """Wait until *condition* holds, for at most the deadline."""
    late = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < late, "it did not happen"


def only(server):
    """Return the record of the one session, once its client has left."""
    server.drain(DEADLINE)
    (session,) = server.sessions
    assert session.closed is not None, "the session is still open"
    return session


class ByHand:
    """The client's side of TLS in memory: it says which bytes to send, and the test decides how to send them."""

    def __init__(self, wire, context, host="localhost"):
        self.wire = wire
        self._heard = ssl.MemoryBIO()
        self._said = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._heard, self._said, server_hostname=host)

    def hear(self):
        """Take the next bytes from the server."""
        self._heard.write(self.wire.unread or self.wire.segment())
        self.wire.unread = b""

    def say(self):
        """Return the bytes that TLS wants to send now."""
        return self._said.read()

    def flight(self):
        """Go on with the handshake; return the client's next flight, and whether the handshake is over for it."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                if said := self.say():
                    return said, False
                self.hear()
            else:
                return self.say(), True

    def shake_hands(self):
        """Finish the handshake and return the last flight, which is not sent."""
        while True:
            flight, over = self.flight()
            if over:
                return flight
            self.wire.send(flight)

    def sealed(self, data):
        """Return *data* as an encrypted record."""
        self.tls.write(data)
        return self.say()

    def read(self):
        """Return the next decrypted bytes."""
        while True:
            try:
                return self.tls.read(65_536)
            except ssl.SSLWantReadError:
                self.hear()

    def farewell(self):
        """Return the close_notify."""
        with contextlib.suppress(ssl.SSLError):  # the server has not answered yet, or had said something before
            self.tls.unwrap()
        return self.say()

    def alert(self):
        """Return the encrypted fatal alert that a broken record from the server provokes."""
        self._heard.write(b"\x17\x03\x03\x00\x20" + bytes(32))
        while True:
            try:
                self.tls.read(65_536)
            except ssl.SSLError:
                return self.say()
