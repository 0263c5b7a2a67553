"""A server that only recites: each command has a canned answer, and every line is written down with its layer.

It knows no rules and judges nothing; it exists so that the reference clients can be tested without the real servers.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_mailauth.model.deviations import fill

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

DEADLINE = 10.0
PATIENCE = 0.7
"""Seconds after which a peer that stays silent on purpose closes; longer than the time-out of any patient client."""

Answers = dict[str, tuple[bytes, ...]]


@dataclass(frozen=True, kw_only=True)
class Script:
    """What to recite.

    Attributes:
        greeting: Sent first; after the handshake when *implicit*.
        clear: Verb to replies in clear. The second and later replies answer the lines that follow.
        inside: The same, inside TLS.
        unknown: The reply to everything else.
        context: TLS, started by a STARTTLS reply that is a success, or at once when *implicit*.
        trail: Bytes in the same segment as the success reply.
        stay_clear: Answer to the ClientHello instead of TLS; the talk goes on in clear.
        hold: Inside TLS, send these bytes in place of every reply, once, and nothing after them.
        port: ``open``, ``reset`` or ``silent``.
        cut: Close the connection at this verb inside TLS.
    """

    greeting: bytes
    clear: Answers
    inside: Answers
    unknown: bytes
    context: ssl.SSLContext | None = None
    implicit: bool = False
    trail: bytes = b""
    stay_clear: bytes | None = None
    hold: bytes | None = None
    port: str = "open"
    cut: str | None = None


@dataclass
class _Session:
    socket: socket.socket
    script: Script
    log: list[str]
    layer: str = "clear"
    buffer: bytes = b""
    pending: list[bytes] = field(default_factory=list)
    in_message: bool = False
    held: bool = False
    tls: ssl.SSLObject | None = None
    incoming: ssl.MemoryBIO = field(default_factory=ssl.MemoryBIO)
    outgoing: ssl.MemoryBIO = field(default_factory=ssl.MemoryBIO)

    def run(self) -> None:
        self.log.append("connected")
        self.socket.settimeout(DEADLINE)
        with suppress(OSError):
            # Otherwise a reply behind TLS session tickets waits 40 ms for their acknowledgement.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._recite()

    def _recite(self) -> None:
        if self.script.port == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if self.script.port == "silent":
            self.socket.settimeout(PATIENCE)
            while self.socket.recv(65536):
                pass
            return
        if self.script.implicit:
            self._start_tls()
        self._send(self.script.greeting)
        if not self.script.greeting:
            self.socket.settimeout(PATIENCE)
        while (line := self._line()) is not None:
            if not self._answer(line):
                return

    def _line(self) -> str | None:
        while b"\n" not in self.buffer:
            data = self.socket.recv(65536) if self.tls is None else self._pump(self.tls.read, 65536)
            if not data:
                return None
            if self.tls is None and data.startswith(b"\x16"):
                self.log.append("a ClientHello out of place")
                continue
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("latin-1")

    def _answer(self, line: str) -> bool:
        """Answer one line; return False when the session is over."""
        if self.in_message and line != ".":
            return True
        self.in_message = False
        self.log.append(f"{self.layer} {line}")
        verb, tag = verb_of(line)
        if self.layer == "tls" and verb == self.script.cut:
            return False
        if self.pending:
            reply = self.pending.pop(0)
        else:
            table = self.script.inside if self.layer == "tls" else self.script.clear
            reply, *self.pending = table.get(verb, (self.script.unknown,))
        if self.layer == "tls" and self.script.hold is not None:
            self.socket.settimeout(PATIENCE)
            if not self.held:
                self._send(self.script.hold)
            self.held = True
            return True
        self.in_message = reply.startswith(b"354")
        starts_tls = verb in ("STARTTLS", "STLS") and b" go" in reply
        self._send(fill(reply + (self.script.trail if starts_tls else b""), tag.encode()))
        self.pending = [fill(rest, tag.encode()) for rest in self.pending]
        if starts_tls:
            self._after_starttls()
        return verb not in ("QUIT", "LOGOUT")

    def _after_starttls(self) -> None:
        if self.script.stay_clear is None:
            self._start_tls()
        else:
            self.socket.recv(65536)
            self.socket.sendall(self.script.stay_clear)

    def _start_tls(self) -> None:
        assert self.script.context is not None
        self.tls = self.script.context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self._pump(self.tls.do_handshake)
        self.layer, self.buffer = "tls", b""

    def _send(self, data: bytes) -> None:
        if self.tls is None:
            self.socket.sendall(data)
        elif data:
            self._pump(self.tls.write, data)

    def _pump(self, step: Callable[..., Any], *arguments: object) -> Any:
        """Do one step of TLS. Not with ``wrap_socket``: that leaks the socket when the client resets meanwhile."""
        while True:
            try:
                return step(*arguments)
            except ssl.SSLWantReadError:
                self.socket.sendall(self.outgoing.read())
                data = self.socket.recv(65536)
                if not data:
                    raise ConnectionError("the client left") from None
                self.incoming.write(data)
            finally:
                with suppress(OSError):
                    self.socket.sendall(self.outgoing.read())


def verb_of(line: str) -> tuple[str, str]:
    """Return the verb of a command, with the mechanism if it has one, and the tag of an IMAP command."""
    tag = ""
    words = line.split()
    if len(words) > 1 and words[0].startswith("A0"):
        tag, *words = words
    count = 2 if words[:1] in (["AUTH"], ["AUTHENTICATE"]) else 1
    return " ".join(words[:count]).upper(), tag


class Peer:
    """A script on a port of 127.0.0.1. Leaving the block waits until every session is written down."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.log: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE)
        self.port: int = self._listener.getsockname()[1]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), DEADLINE).close()
        self._thread.join(DEADLINE)
        self._listener.close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            connection, _ = self._listener.accept()
            with connection:
                if not self._stopping.is_set():
                    _Session(connection, self.script, self.log).run()
