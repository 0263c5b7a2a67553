"""The transport under every connection: all bytes in order, none after the end, and the end told once."""

import asyncio
import contextlib
import socket

import pytest

from pytest_mailauth.servers.wire.transport import SocketTransport
from pytest_mailauth.servers.wire.watch import WatchingLoop

MUCH = bytes(range(256)) * 4096
"""More than the buffers between two sockets hold."""


class Listening(asyncio.Protocol):
    """Writes down what it is told."""

    def __init__(self):
        self.told = []
        self.over = asyncio.Event()

    def connection_made(self, _transport):
        self.told.append("made")

    def data_received(self, data):
        self.told.append(data)

    def eof_received(self):
        self.told.append("eof")

    def connection_lost(self, exc):
        self.told.append(exc)
        self.over.set()


def on_a_watching_loop(coroutine):
    with asyncio.Runner(loop_factory=WatchingLoop) as runner:
        runner.run(coroutine)


@contextlib.contextmanager
def connected():
    """Give a transport, its protocol, and the socket at the other end; close what a test leaves open."""
    ours, theirs = _loopback_pair()
    protocol = Listening()
    transport = SocketTransport(ours, theirs.getsockname(), protocol)
    theirs.setblocking(False)  # noqa: FBT003
    with theirs, ours:
        yield transport, protocol, theirs
        transport.abort()


def _loopback_pair():
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as opened:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        theirs = opened.enter_context(socket.socket())
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        theirs.connect(listener.getsockname())
        opened.pop_all()
        return listener.accept()[0], theirs


async def receive(theirs, size):
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size and (more := await asyncio.wait_for(loop.sock_recv(theirs, 65_536), 10)):
        data += more
    return data


async def ended(protocol):
    await asyncio.wait_for(protocol.over.wait(), 10)
    assert protocol.told.count(protocol.told[-1]) == 1
    return protocol.told


def test_bytes_go_both_ways_and_the_end_is_told():
    async def run():
        with connected() as (transport, protocol, theirs):
            assert transport.can_write_eof()
            assert transport.get_extra_info("peername") == theirs.getsockname()
            transport._read()  # as on a readiness that was a mistake
            transport.write(b"hello")
            assert await receive(theirs, 5) == b"hello"
            theirs.send(b"world")
            theirs.shutdown(socket.SHUT_WR)
            assert await ended(protocol) == ["made", b"world", "eof", None]
            assert transport.is_closing()
            transport.write(b"too late")
            transport.close()
            transport.abort()
            assert await receive(theirs, 1) == b""

    on_a_watching_loop(run())


@pytest.mark.parametrize("end", ["close", "write_eof", "is_closing"])
def test_what_does_not_fit_follows_later_and_then_the_end(end):
    async def run():
        with connected() as (transport, protocol, theirs):
            transport.write(MUCH)
            transport.write(b"tail")
            getattr(transport, end)()
            # One byte more than there are shows the end, where there is one.
            assert await receive(theirs, len(MUCH) + (4 if end == "is_closing" else 5)) == MUCH + b"tail"
            if end == "close":
                assert await ended(protocol) == ["made", None]
            else:
                assert not transport.is_closing()
                theirs.send(b"still heard")
                theirs.close()
                assert await ended(protocol) == ["made", b"still heard", "eof", None]

    on_a_watching_loop(run())


def test_nothing_is_read_any_more_once_it_closes():
    async def run():
        with connected() as (transport, protocol, theirs):
            transport.write(MUCH)
            transport.close()
            theirs.send(b"unheard")
            while not protocol.over.is_set():
                with contextlib.suppress(OSError):  # the kernel answers unread bytes with a reset
                    await receive(theirs, 1)
            assert await ended(protocol) == ["made", None]

    on_a_watching_loop(run())


def test_abort_drops_what_was_not_sent():
    async def run():
        with connected() as (transport, protocol, theirs):
            transport.write(MUCH)
            transport.abort()
            assert await ended(protocol) == ["made", None]
            assert len(await receive(theirs, len(MUCH))) < len(MUCH)

    on_a_watching_loop(run())


@pytest.mark.parametrize("unsent", [False, True])
def test_a_peer_that_is_gone_ends_it(unsent):
    async def run():
        with connected() as (transport, protocol, theirs):
            if unsent:
                transport.write(MUCH)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            theirs.close()
            if not unsent:
                transport.write(b"x")
            transport.write_eof()
            *before, error = await ended(protocol)
            assert before == ["made"]
            assert isinstance(error, ConnectionError)

    on_a_watching_loop(run())


def test_a_failing_protocol_leaves_no_socket_open():
    class Failing(Listening):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise ZeroDivisionError

    async def run():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context["exception"]))
        ours, theirs = _loopback_pair()
        protocol = Failing()
        SocketTransport(ours, None, protocol)
        theirs.close()
        await ended(protocol)
        assert ours.fileno() == -1

    failures = []
    on_a_watching_loop(run())
    assert [type(failure) for failure in failures] == [ZeroDivisionError]
