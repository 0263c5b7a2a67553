"""The floor: one thread, blocking sockets, canned replies. No parsing, no policy, no record.

What a session costs here is the client, the system and OpenSSL; what a real server costs comes on top of it. The
replies are as long as ours, since reading them is the client's work.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from typing import Self

_QUICKACK = getattr(socket, "TCP_QUICKACK", None)

MESSAGE = b"From: a@example.test\r\nTo: b@example.test\r\nSubject: x\r\n\r\nhello\r\n"

_EHLO = (
    b"250-localhost\r\n250-SIZE 33554432\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-PIPELINING\r\n"
    b"250-ENHANCEDSTATUSCODES\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 HELP\r\n"
)
_CAPA = b"+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nUSER\r\nSASL PLAIN LOGIN\r\nSTLS\r\n.\r\n"
_IMAP_CAPABILITIES = b"* CAPABILITY IMAP4rev1 SASL-IR STARTTLS LITERAL+ AUTH=PLAIN AUTH=LOGIN\r\n"

GREETINGS = {
    "smtp": b"220 localhost ESMTP floor\r\n",
    "pop3": b"+OK floor\r\n",
    "imap": b"* OK IMAP4rev1 floor\r\n",
}
# A reply by the first four letters of a command, tag left out; for IMAP what comes before the tagged OK.
REPLIES = {
    "smtp": {
        b"EHLO": _EHLO,
        b"STAR": b"220 go\r\n",
        b"AUTH": b"235 ok\r\n",
        b"DATA": b"354 go\r\n",
        b"QUIT": b"221 bye\r\n",
    },
    "pop3": {b"RETR": b"+OK\r\n" + MESSAGE + b".\r\n", b"CAPA": _CAPA},
    "imap": {
        b"CAPA": _IMAP_CAPABILITIES,
        b"SELE": b"* FLAGS (\\Seen)\r\n* 1 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 1] uids\r\n",
        b"FETC": b"* 1 FETCH (BODY[] {%d}\r\n" % len(MESSAGE) + MESSAGE + b")\r\n",
        b"LOGO": b"* BYE\r\n",
    },
}
OTHERWISE = {"smtp": b"250 ok\r\n", "pop3": b"+OK\r\n", "imap": b""}
STARTS_TLS = (b"STAR", b"STLS")
ENDS = (b"QUIT", b"LOGO")


class Floor:
    """Serves one client after another on a port of loopback."""

    def __init__(self, protocol: str, context: ssl.SSLContext | None = None, *, implicit: bool = False) -> None:
        self._protocol = protocol
        self._context = context
        self._implicit = implicit
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="floor", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                self._talk(client)

    def _secured(self, client: socket.socket) -> socket.socket:
        secured = self._context.wrap_socket(client, server_side=True)
        if _QUICKACK is not None:
            secured.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return secured

    def _talk(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._implicit:
            client = self._secured(client)
        replies, otherwise, tagged = REPLIES[self._protocol], OTHERWISE[self._protocol], self._protocol == "imap"
        lines = client.makefile("rb")
        client.sendall(GREETINGS[self._protocol])
        verb = tag = b""
        while verb not in ENDS and (line := lines.readline()):
            if tagged:
                tag, _, line = line.partition(b" ")
            verb = line[:4].upper()
            reply = replies.get(verb, otherwise)
            client.sendall(reply + tag + b" OK done\r\n" if tagged else reply)
            if verb in STARTS_TLS:
                lines.close()
                client = self._secured(client)
                lines = client.makefile("rb")
            elif verb == b"DATA":
                while lines.readline() != b".\r\n":
                    pass
                client.sendall(otherwise)
        lines.close()
        client.close()
