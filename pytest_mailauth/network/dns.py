"""A real DNS server on loopback, UDP and TCP, that answers from one network and never asks anybody.

It is for clients with a resolver of their own that takes the address of a server: those that look for MX or SRV
records.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import struct
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.network.names import canonical
from pytest_mailauth.network.records import MX, NOWHERE, SRV, TXT
from pytest_mailauth.servers.wire.loop import silence

try:
    import dnslib
except ImportError:  # pragma: no cover - the environment decides
    dnslib = None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_mailauth.network.directory import Directory
    from pytest_mailauth.servers.wire.loop import LoopThread
    from pytest_mailauth.servers.wire.port import Socket

    Missed = Callable[[str], object]

ADDRESS: Final = "127.0.0.1"
_TTL: Final = 0
"""Seconds for which an answer may be kept: what a test says next holds at once."""
_PLAIN_UDP: Final = 512
"""Bytes of an answer over UDP to a client that says nothing about it (RFC 1035 section 4.2.1)."""
_LONGEST_TEXT: Final = 255
"""Bytes of one string of a TXT record (RFC 1035)."""
_ROOM: Final = 20
"""How often a free port is looked for of which TCP and UDP are both free."""


def needed() -> Any:
    """Return dnslib.

    Raises:
        ConfigError: It is not installed.
    """
    if dnslib is None:
        raise ConfigError("network.dns() needs the package dnslib; pip install 'pytest-mailauth[dns]'")
    return dnslib


def _served(record: MX | SRV | TXT) -> Any:
    match record:
        case MX():
            return dnslib.MX(record.exchange, record.preference)
        case SRV():
            return dnslib.SRV(record.priority, record.weight, record.port, record.target)
        case TXT():
            data = record.text.encode()
            return dnslib.TXT([data[at : at + _LONGEST_TEXT] for at in range(0, len(data), _LONGEST_TEXT)] or [b""])


_KINDS: Final = {"MX": MX, "SRV": SRV, "TXT": TXT}


def answer(directory: Directory, query: bytes, *, limit: int | None, missed: Missed = lambda _: None) -> bytes | None:
    """Return the answer to a query, at most *limit* bytes long where the transport has one; None to no query.

    A name that is known has records of some types, and no error for the others (NODATA, RFC 2308 section 1). Everything
    else does not exist: NXDOMAIN.
    """
    try:
        asked = dnslib.DNSRecord.parse(query)
    except dnslib.DNSError:
        return None
    if asked.header.qr or len(asked.questions) != 1:
        return None
    if directory.before_answer is not None:
        directory.before_answer()
    reply = asked.reply(ra=0, aa=1)
    try:
        name = canonical(str(asked.q.qname)) or NOWHERE
    except UnicodeError:
        name = NOWHERE
    kind = dnslib.QTYPE.get(asked.q.qtype)
    found = tuple(_found(directory, name))
    if kind == "A" and not any(type_ in ("A", "AAAA") for type_, _ in found):
        missed(name)  # who asks for AAAA has asked, or asks next, for this one
    entry = directory.hosts.get(name)
    owner = asked.q.qname
    if entry is not None and entry.alias_of and found:
        reply.add_answer(dnslib.RR(owner, dnslib.QTYPE.CNAME, rdata=dnslib.CNAME(entry.alias_of), ttl=_TTL))
        owner = entry.alias_of  # whose addresses follow (RFC 1034 section 4.3.2)
    for type_, data in found:
        if kind in (type_, "ANY"):
            reply.add_answer(dnslib.RR(owner, getattr(dnslib.QTYPE, type_), rdata=data, ttl=_TTL))
    if not reply.rr and not _exists(directory, name):
        reply.header.rcode = dnslib.RCODE.NXDOMAIN
    packed = reply.pack()
    if limit is not None and len(packed) > max(limit, _udp_room(asked)):
        cut = asked.reply(ra=0, aa=1)
        cut.header.tc = 1
        packed = cut.pack()
    return bytes(packed)


def _found(directory: Directory, name: str) -> Iterator[tuple[str, Any]]:
    entry = directory.hosts.get(name) or (directory.resolve(name) if "_" not in name else None)
    if entry is not None and name not in directory.unknown:
        for place in entry.places:
            if place.family == "ipv4":
                yield "A", dnslib.A(place.address)
            else:
                yield "AAAA", dnslib.AAAA(tuple(ipaddress.ip_address(place.address).packed))
    for record in directory.records.get(name, ()):
        yield type(record).__name__, _served(record)


def _exists(directory: Directory, name: str) -> bool:
    """Return whether a name has records of any type, or is above one that has."""
    known = {*directory.hosts, *directory.records} - directory.unknown
    return any(one == name or one.endswith(f".{name}") for one in known)


def _udp_room(asked: Any) -> int:
    """Return how many bytes the client takes over UDP (RFC 6891 section 6.2.3)."""
    return next((record.rclass for record in asked.ar if record.rtype == dnslib.QTYPE.OPT), 0)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answers: Callable[..., bytes | None]) -> None:
        self._answer = answers

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        reply = self._answer(data, limit=_PLAIN_UDP)
        if reply is not None:
            self._transport.sendto(reply, addr)


class NameServer:
    """The server of one network, on the thread that serves its mail servers.

    Args:
        directory: What it answers from.
        loop: Where it is served.
        sockets: One of TCP that listens and one of UDP, both for the same port; None for a port of loopback.
        missed: Told every name whose address was asked for and that has none.

    Attributes:
        address: Host and port, the same for UDP and TCP.

    Raises:
        ConfigError: The package for it is not installed.
    """

    def __init__(
        self,
        directory: Directory,
        loop: LoopThread,
        sockets: tuple[Socket, Socket] | None = None,
        missed: Missed = lambda _: None,
    ) -> None:
        needed()
        self._answer = functools.partial(answer, directory, missed=missed)
        self._loop = loop
        self._talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.address: tuple[str, int] = loop.run(self._open_at(*sockets) if sockets else self._open())

    async def _open_at(self, tcp: Socket, udp: Socket) -> tuple[str, int]:
        loop = asyncio.get_running_loop()
        for sock in (tcp, udp):
            sock.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        self._tcp = await asyncio.start_server(self._talk, sock=tcp)
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._answer), sock=udp)
        address, port = tcp.getsockname()
        return address, port

    async def _open(self) -> tuple[str, int]:
        loop = asyncio.get_running_loop()
        for tries_left in range(_ROOM - 1, -1, -1):
            self._tcp = await asyncio.start_server(self._talk, ADDRESS, 0)
            port = self._tcp.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self._answer), local_addr=(ADDRESS, port)
                )
            except OSError:
                self._tcp.close()
                if not tries_left:
                    raise
            else:
                return ADDRESS, port
        raise AssertionError  # pragma: no cover - the last try returns or raises

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the queries of one TCP connection, each with its length in front (RFC 7766)."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs is one
        self._talks[task] = writer
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    reply = self._answer(await reader.readexactly(length), limit=None)
                    if reply is None:
                        return
                    writer.write(struct.pack("!H", len(reply)) + reply)
                    await writer.drain()
        finally:
            del self._talks[task]
            writer.close()

    def close(self) -> None:
        """Close it, with every connection. Nothing is left behind."""
        if self._loop.running:
            self._loop.run(self._shut())

    async def _shut(self) -> None:
        await silence()  # who has connected already is among those who are cut off
        self._tcp.close()
        self._udp.close()
        talks = dict(self._talks)
        for writer in talks.values():
            writer.transport.abort()  # ends what is read from it, too
        await asyncio.gather(*talks)
        await silence()
