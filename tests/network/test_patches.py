"""The replaced functions beside those of others, in any order, in any thread, and put back as they were."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import smtplib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from network_clients import LIMIT, tried

from pytest_mailauth import Network
from pytest_mailauth.network import patches, redirect, scope

HOST = "mail.example.test"
PORT = 25


def functions():
    return [vars(owner).get(name) for owner, name, *_ in redirect._REPLACED]


@pytest.fixture
def untouched():
    before = functions()
    yield
    assert functions() == before


def greet(host=HOST):
    with socket.create_connection((host, PORT), LIMIT) as sock:
        return sock.recv(100)


def in_a_thread(function):
    """Call *function* in a thread that knows of no network, and return what it returned or raised."""
    results = []

    def run():
        try:
            results.append(function())
        except Exception as error:  # noqa: BLE001 - handed on
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


def test_everything_is_put_back(mailauth, untouched):
    with Network(mailauth), Network(mailauth):
        assert None not in functions()


def test_it_is_put_back_when_the_last_of_several_closes(mailauth, untouched):
    first, second = Network(mailauth), Network(mailauth)
    first.__enter__()
    second.__enter__()
    first.close()
    second.host(HOST).smtp(PORT)
    greet()
    second.close()
    second.close()


@pytest.mark.parametrize("name", ["getaddrinfo", "gethostbyname"])
def test_a_function_that_a_test_replaces_for_a_while(mailauth, untouched, monkeypatch, name):
    asked = []
    with Network(mailauth) as network:
        network.host(HOST).smtp(PORT)
        ours = getattr(socket, name)

        def theirs(host, *arguments, **keywords):
            asked.append(host)
            return ours(host, *arguments, **keywords)

        monkeypatch.setattr(socket, name, theirs)
        socket.getaddrinfo(HOST, PORT)
        socket.gethostbyname(HOST)
        greet()
        assert HOST in asked
        monkeypatch.undo()
        greet()


def test_a_function_that_is_put_back_after_the_network_closed(mailauth, monkeypatch, untouched):
    with Network(mailauth):
        ours = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", functools.partial(ours))
    assert socket.getaddrinfo("127.0.0.1", 1)
    monkeypatch.undo()  # our old one comes to light, passes on, and is mended by the next network
    assert socket.getaddrinfo("127.0.0.1", 1)
    with Network(mailauth) as network:
        network.host(HOST).smtp(PORT)
        greet()


def test_a_function_that_stays_replaced_from_one_network_to_the_next(mailauth, untouched, monkeypatch):
    """Ours is below theirs then, and ours again above: each look-up and each attempt counts once."""
    with Network(mailauth):
        for owner, name in ((socket, "getaddrinfo"), (socket.socket, "connect")):
            ours = getattr(owner, name)
            monkeypatch.setattr(owner, name, lambda *a, ours=ours, **k: ours(*a, **k))
    for _ in range(3):
        with Network(mailauth) as network:
            network.host(HOST).smtp(PORT)
            greet()
            assert tried(network) == [(HOST, PORT, "connected")]
    monkeypatch.undo()
    with Network(mailauth):
        pass


def test_a_guard_that_was_there_before(mailauth, monkeypatch, untouched):
    """As pytest-socket does it: another class for sockets, and a connect that lets loopback through only."""
    reached = []
    real = socket.socket.connect

    class Guarded(socket.socket):
        pass

    def connect(self, address):
        reached.append(address)
        return real(self, address)

    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "connect", connect)
        patched.setattr(socket, "socket", Guarded)
        with Network(mailauth) as network:
            network.host(HOST).smtp(PORT)
            greet()
            assert tried(network) == [(HOST, PORT, "connected")]
    assert reached == [("127.0.0.1", mailauth.servers[0].port)]


def test_a_guard_that_comes_later(mailauth, monkeypatch, untouched):
    class Guarded(socket.socket):
        def connect(self, address):
            return super().connect(address)

    with Network(mailauth) as network, monkeypatch.context() as patched:
        network.host(HOST).smtp(PORT)
        patched.setattr(socket, "socket", Guarded)
        greet()
        asyncio.run(asyncio.wait_for(asyncio.to_thread(greet), LIMIT))
        assert tried(network) == [(HOST, PORT, "connected")] * 2


def test_a_callable_that_is_no_function_is_called_as_it_was(mailauth, monkeypatch, untouched):
    class Stub:
        def __call__(self, address):
            raise OSError(f"stub {address[1]}")

    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "connect", Stub())
        with Network(mailauth) as network:
            network.host(HOST).smtp(PORT)
            with pytest.raises(OSError, match=f"stub {network.host(HOST)[PORT].port}"):
                greet()


def test_what_cannot_be_replaced_leaves_nothing_replaced(mailauth, monkeypatch, untouched):
    made = patches.Patch.__init__

    def failing(self, owner, name, *rest):
        if name == "connect_ex":
            raise ValueError("no room")
        made(self, owner, name, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(patches.Patch, "__init__", failing)
        with pytest.raises(ValueError, match="no room"):
            Network(mailauth).__enter__()
    assert not scope.any_open()
    with Network(mailauth) as network:
        network.host(HOST).smtp(PORT)
        greet()


def test_networks_side_by_side_do_not_see_each_other(mailauth_factory):
    """The same name in each, other servers behind it, and one that is blocked."""
    ready = threading.Barrier(4)
    seen = {}

    def trial(number):
        with mailauth_factory.environment() as servers, Network(servers) as network:
            host = network.host(HOST).smtp(PORT)
            network.host(f"only{number}.example.test").smtp(PORT)
            if number == 3:
                network.block(PORT)
            ready.wait(LIMIT)
            for client in (greet, lambda: in_a_thread(greet), lambda: asyncio.run(asyncio.to_thread(greet))):
                with contextlib.suppress(TimeoutError):
                    client()
            other = (number + 1) % 4
            with pytest.raises(socket.gaierror):
                greet(f"only{other}.example.test")
            ready.wait(LIMIT)
            seen[number] = tried(network), len(host[PORT].sessions)

    threads = [threading.Thread(target=trial, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        outcome, sessions = ("timeout", 0) if number == 3 else ("connected", 3)
        gone = (f"only{(number + 1) % 4}.example.test", PORT, "unresolvable")
        assert seen[number] == ([(HOST, PORT, outcome)] * 3 + [gone], sessions)


def test_a_loop_of_another_trial_is_led_by_its_own_network(mailauth_factory):
    ready = threading.Barrier(2)
    seen = {}

    async def knock():
        await asyncio.wait_for(asyncio.open_connection(HOST, PORT), LIMIT)

    def trial(number):
        with mailauth_factory.environment() as servers, Network(servers) as network:
            network.block(HOST, PORT, how=("timeout", "refused")[number])
            ready.wait(LIMIT)
            with pytest.raises((TimeoutError, ConnectionRefusedError)):
                asyncio.run(knock())
            ready.wait(LIMIT)
            seen[number] = tried(network)

    threads = [threading.Thread(target=trial, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {0: [(HOST, PORT, "timeout")], 1: [(HOST, PORT, "refused")]}


def test_a_client_that_goes_on_after_its_network_closed_gets_nowhere(mailauth, untouched):
    """It asks no real server, reaches nothing of this machine, and nothing of another test with the same name."""
    begun, closed, tried_once, again = (threading.Event() for _ in range(4))
    results = []

    def attempt(host, port):
        try:
            socket.create_connection((host, port), LIMIT).close()
        except OSError as error:
            return str(error)
        return "connected"

    def client():
        address = socket.gethostbyname(HOST)
        # Whoever listens on every address of the machine listens on this one, too.
        with socket.create_server((address, 0)) as listening:
            begun.set()
            for event in (closed, again):
                event.wait(LIMIT)
                results.append((attempt(HOST, PORT), attempt(address, listening.getsockname()[1])))
                tried_once.set()

    thread = threading.Thread(target=client)
    with Network(mailauth) as network:
        network.host(HOST).smtp(PORT)
        thread.start()
        begun.wait(LIMIT)
    closed.set()
    assert tried_once.wait(LIMIT)
    with Network(mailauth) as other:
        other.host(HOST).smtp(PORT)
        again.set()
        thread.join()
        assert tried(other) == []
    (unnamed, refused), (unknown, refused_again) = results
    assert f"the test network that had {HOST} is closed" in unnamed
    assert "went past" in refused
    assert "not known" in unknown
    assert "Connection refused" in refused_again


def test_a_call_belongs_to_the_network_of_its_context(mailauth_factory):
    """A thread of a pool that serves two trials knows it by the context that comes with the work."""
    with ThreadPoolExecutor(1) as pool, mailauth_factory.environment() as one, mailauth_factory.environment() as two:
        pool.submit(int).result()
        opened, done = threading.Event(), threading.Event()
        seen = []

        def trial():
            with Network(two) as network:
                network.block(HOST, PORT, how="refused")
                opened.set()
                done.wait(LIMIT)
                with pytest.raises(ConnectionRefusedError):
                    pool.submit(contextvars.copy_context().run, greet).result()
                seen.extend(tried(network))

        thread = threading.Thread(target=trial)
        with Network(one) as network:
            network.host(HOST).smtp(PORT)
            thread.start()
            opened.wait(LIMIT)
            assert pool.submit(contextvars.copy_context().run, greet).result().startswith(b"220")
            done.set()
            thread.join()
            assert tried(network) == [(HOST, PORT, "connected")]
        assert seen == [(HOST, PORT, "refused")]


def test_a_connection_outlives_its_network(mailauth):
    with Network(mailauth) as network:
        network.host(HOST).smtp(PORT)
        client = smtplib.SMTP(HOST, PORT, timeout=LIMIT)
    assert client.quit()[0] == 221


def test_a_thread_of_a_pool_serves_one_network_after_another(mailauth):
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            with Network(mailauth) as network:
                network.host(HOST).smtp(PORT)
                assert pool.submit(greet).result().startswith(b"220")
                assert tried(network) == [(HOST, PORT, "connected")]
