"""The clock of a loop is moved only while nothing else can happen, and everything comes in the order of real time."""

from __future__ import annotations

import asyncio
import errno
import functools
import selectors
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import anyio.to_thread
import pytest
import trio
import trio.testing
from network_clients import AT_ONCE, LIMIT, tried

from pytest_mailauth import AttemptOutcome, Network

HOST = "mail.example.test"
SHORT = 0.3
"""Seconds of real work: shorter than every limit, and far longer than nothing."""
SHORT_LIMIT = 0.4
SLOW = 3.0
"""Seconds that a busy machine may take between the beginning of a client's limit and of its attempt."""


@pytest.fixture
def network(mailauth_network):
    mailauth_network.block(HOST, 25)
    return mailauth_network


async def knock(limit=LIMIT):
    """Try to connect, and return what came of it."""
    try:
        await asyncio.wait_for(asyncio.open_connection(HOST, 25), limit)
    except TimeoutError:
        return "over"


def working(servers, order):
    """Work for a real time, as a thread of the client's does. No thread but the servers' ends it."""
    event = threading.Event()
    servers.loop.later(SHORT, event.set)
    event.wait(LIMIT)
    order.append("worked")


@pytest.mark.parametrize("way", ["to_thread", "older pool", "newer pool", "thread", "wrapped"])
def test_work_in_other_threads_comes_before_a_later_limit(mailauth, way):
    order = []

    async def run(older):
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def in_a_thread():
            working(mailauth, order)
            loop.call_soon_threadsafe(done.set)

        with ThreadPoolExecutor(1) as newer:
            match way:
                case "to_thread":
                    work = asyncio.to_thread(working, mailauth, order)
                case "older pool":
                    work = loop.run_in_executor(older, working, mailauth, order)
                case "newer pool":
                    work = loop.run_in_executor(newer, working, mailauth, order)
                case "wrapped":
                    work = asyncio.wrap_future(newer.submit(working, mailauth, order))
                case _:
                    thread = threading.Thread(target=in_a_thread)
                    thread.start()
                    work = done.wait()
            task = asyncio.ensure_future(work)
            order.append(await knock(10 * SHORT))
            await task

    with ThreadPoolExecutor(1) as older:
        older.submit(int).result()  # its thread is older than the network
        with Network(mailauth) as network:
            network.block(HOST, 25)
            asyncio.run(run(older))
    assert order == ["worked", "over"]


@pytest.mark.parametrize("own_limiter", [False, True])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_work_of_anyio_and_trio_in_other_threads_comes_before_a_later_limit(mailauth, backend, own_limiter):
    order = []

    async def run():
        async def work():
            limiter = anyio.CapacityLimiter(1) if own_limiter else None
            await anyio.to_thread.run_sync(working, mailauth, order, limiter=limiter)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            with anyio.move_on_after(10 * SHORT) as scope:
                await anyio.connect_tcp(HOST, 25)
            order.append("over" if scope.cancelled_caught else "connected")

    trio.run(trio.to_thread.run_sync, int)  # trio keeps that thread, which is older than the network
    with Network(mailauth) as network:
        network.block(HOST, 25)
        anyio.run(run, backend=backend)
    assert order == ["worked", "over"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_that_ends_without_a_word_is_waited_for_and_no_longer(network, backend):
    order = []

    async def run():
        threading.Thread(target=working, args=(network.servers, order)).start()
        with anyio.move_on_after(LIMIT) as scope:
            await anyio.connect_tcp(HOST, 25)
        order.append("over" if scope.cancelled_caught else "connected")

    began = time.monotonic()
    anyio.run(run, backend=backend)
    assert order == ["worked", "over"]
    assert time.monotonic() - began < AT_ONCE


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_conversation_comes_before_a_later_limit(network, backend):
    """A server that answers late is real time, which no other attempt makes shorter."""
    order = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            client, _ = listening.accept()
            with client:
                client.sendall(b"220 late\r\n")

        async def run():
            async def read():
                async with await anyio.connect_tcp("127.0.0.1", listening.getsockname()[1]) as stream:
                    network.servers.loop.later(SHORT, answer)
                    await stream.receive()
                    order.append("read")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                with anyio.move_on_after(10 * SHORT) as scope:
                    await anyio.connect_tcp(HOST, 25)
                order.append("over" if scope.cancelled_caught else "connected")

        anyio.run(run, backend=backend)
    assert order == ["read", "over"]


def test_everything_comes_in_the_order_of_its_time(network):
    order = []

    async def later(seconds):
        await asyncio.sleep(seconds)
        order.append(seconds)

    async def over():
        order.append(await knock(10))

    async def run():
        await asyncio.gather(later(11), later(3), later(7), over(), later(9))

    began = time.monotonic()
    asyncio.run(run())
    assert order == [3, 7, 9, "over", 11]
    assert network.attempts[0].waited == pytest.approx(10, abs=SLOW)
    # After the attempt, time is real again.
    assert 0.9 < time.monotonic() - began < AT_ONCE


def test_many_attempts_are_over_each_at_its_own_time(network):
    async def run():
        return await asyncio.gather(*(knock(limit) for limit in range(5, 105, 5)))

    began = time.monotonic()
    assert asyncio.run(run()) == ["over"] * 20
    waited = sorted(one.waited for one in network.attempts)
    assert waited == [pytest.approx(limit, abs=SLOW) for limit in range(5, 105, 5)]
    assert time.monotonic() - began < AT_ONCE


def test_a_client_that_only_keeps_its_heart_beating_has_no_limit(network):
    async def run():
        async def beat():
            while True:  # noqa: ASYNC110 - what such clients do
                await asyncio.sleep(7)

        heart = asyncio.create_task(beat())
        try:
            await asyncio.open_connection(HOST, 25)
        finally:
            heart.cancel()

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    assert network.attempts[0].outcome is AttemptOutcome.UNBOUNDED


def test_a_limit_beyond_the_systems_own_is_none(network):
    with pytest.raises(TimeoutError, match="Connect call failed"):
        asyncio.run(asyncio.wait_for(asyncio.open_connection(HOST, 25), 3600))
    assert network.attempts[0].outcome is AttemptOutcome.UNBOUNDED


def test_the_loop_is_its_own_again(network):
    async def run():
        loop = asyncio.get_running_loop()
        before = dict(vars(loop._selector))
        await knock(5)
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        assert set(vars(loop._selector)) == set(before)
        began = time.monotonic()
        await asyncio.sleep(0.05)
        assert time.monotonic() - began >= 0.04

    asyncio.run(run())


def test_a_loop_may_be_used_by_one_network_after_another(mailauth):
    with asyncio.Runner() as runner:
        for limit in (5, 8):
            with Network(mailauth) as network:
                network.block(HOST, 25)
                assert runner.run(knock(limit)) == "over"
                assert network.attempts[0].waited == pytest.approx(limit, abs=SLOW)


def test_a_loop_with_a_clock_of_its_own_really_waits(network):
    class Loop(asyncio.SelectorEventLoop):
        def time(self):
            return super().time()

    began = time.monotonic()
    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(knock(SHORT_LIMIT)) == "over"
    assert time.monotonic() - began >= SHORT_LIMIT
    assert tried(network) == [(HOST, 25, "timeout")]


def test_a_trio_run_with_another_clock_is_left_alone(network):
    async def run():
        with trio.move_on_after(60) as scope:
            await trio.open_tcp_stream(HOST, 25)
        return scope.cancelled_caught

    assert trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0.05))
    assert tried(network) == [(HOST, 25, "timeout")]


def test_trio_inside_another_loop_really_waits(network):
    async def run():
        with trio.move_on_after(SHORT_LIMIT) as scope:
            await trio.open_tcp_stream(HOST, 25)
        return scope.cancelled_caught

    async def host():
        done = asyncio.get_running_loop().create_future()
        trio.lowlevel.start_guest_run(
            run,
            run_sync_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe,
            done_callback=done.set_result,
        )
        return (await done).unwrap()

    began = time.monotonic()
    assert asyncio.run(host())
    assert time.monotonic() - began >= SHORT_LIMIT
    assert tried(network) == [(HOST, 25, "timeout")]


def test_a_client_with_a_selector_of_its_own_really_waits(network):
    with socket.socket() as sock, selectors.DefaultSelector() as selector:
        sock.settimeout(0)
        assert sock.connect_ex((socket.gethostbyname(HOST), 25)) != 0
        selector.register(sock, selectors.EVENT_WRITE)
        assert selector.select(SHORT_LIMIT) == []
        assert tried(network) == [(HOST, 25, "timeout")]
        assert network.attempts[0].waited >= SHORT_LIMIT - 0.1


def test_waiting_can_be_had(network):
    network.wait_really()
    began = time.monotonic()
    assert asyncio.run(knock(SHORT_LIMIT)) == "over"
    with pytest.raises(TimeoutError):
        socket.create_connection((HOST, 25), SHORT_LIMIT)
    assert time.monotonic() - began >= 2 * SHORT_LIMIT
    assert [one.waited for one in network.attempts] == [pytest.approx(SHORT_LIMIT, abs=0.2)] * 2


def test_a_blocking_client_in_a_loop_is_over_at_once(network):
    async def run():
        with pytest.raises(TimeoutError):
            socket.create_connection((HOST, 25), LIMIT)
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(functools.partial(socket.create_connection, (HOST, 25), LIMIT))

    began = time.monotonic()
    asyncio.run(run())
    assert [one.waited for one in network.attempts] == [LIMIT, LIMIT]
    assert time.monotonic() - began < AT_ONCE


@pytest.mark.parametrize(("limit", "code"), [(LIMIT, errno.EAGAIN), (None, errno.ETIMEDOUT), (0, errno.EINPROGRESS)])
def test_connect_ex_gives_what_python_gives(network, limit, code):
    with socket.socket() as sock:
        sock.settimeout(limit)
        assert sock.connect_ex((HOST, 25)) == code


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_test_that_anyio_runs_does_not_wait(network, anyio_backend):
    began = time.monotonic()
    with anyio.move_on_after(LIMIT) as scope:
        await anyio.connect_tcp(HOST, 25)
    assert scope.cancelled_caught
    assert network.attempts[0].waited == pytest.approx(LIMIT, abs=SLOW)
    assert time.monotonic() - began < AT_ONCE
