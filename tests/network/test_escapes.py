"""Nothing leaves loopback, however it is tried; what cannot be led is stopped and told."""

from __future__ import annotations

import _socket
import asyncio
import multiprocessing
import socket
import ssl
import sys

import pytest
from network_clients import LIMIT, tried

from pytest_mailauth import Network

HOST = "mail.example.test"
FOREIGN = "198.51.100.1"  # RFC 5737
FOREIGN_6 = "2001:db8::1"  # RFC 3849


def udp(method, *arguments):
    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            getattr(sock, method)(*arguments)

    return send


def tcp(method, address, family=socket.AF_INET, kind=socket.socket):
    def connect():
        with kind(family) as sock:
            return getattr(sock, method)(address)

    return connect


class Own(socket.socket):
    """Passes over the class that is replaced."""

    def connect(self, address):
        _socket.socket.connect(self, address)


async def opening(*arguments, **keywords):
    await asyncio.wait_for(asyncio.open_connection(*arguments, **keywords), LIMIT)


async def datagrams():
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(FOREIGN, 53))


def with_tls():
    with ssl.create_default_context().wrap_socket(socket.socket(), server_hostname=HOST) as sock:
        sock.connect((FOREIGN, 465))


LEAVING = {
    "create_connection": lambda: socket.create_connection((FOREIGN, 25), LIMIT),
    "connect": tcp("connect", (FOREIGN, 25)),
    "connect_ex": tcp("connect_ex", (FOREIGN, 25)),
    "bytes": tcp("connect", (FOREIGN.encode(), 25)),
    "number": tcp("connect", ("3325256705", 25)),
    "IPv6": tcp("connect", (FOREIGN_6, 25, 0, 0), socket.AF_INET6),
    "IPv4 in IPv6": tcp("connect", (f"::ffff:{FOREIGN}", 25), socket.AF_INET6),
    "subclass": tcp("connect", (FOREIGN, 25), kind=Own),
    "built-in": tcp(
        "connect", (FOREIGN, 25), kind=type("Built", (socket.socket,), {"connect": _socket.socket.connect})
    ),
    "tls": with_tls,
    "asyncio": lambda: asyncio.run(opening(FOREIGN, 25)),
    "udp connect": udp("connect", (FOREIGN, 53)),
    "udp sendto": udp("sendto", b"x", (FOREIGN, 53)),
    "udp sendto flags": udp("sendto", b"x", 0, (FOREIGN, 53)),
    "udp sendmsg": udp("sendmsg", [b"x"], [], 0, (FOREIGN, 53)),
    "udp asyncio": lambda: asyncio.run(datagrams()),
}


def _ended_with_an_error(way):
    try:
        code = way()
    except OSError:
        return
    assert code


@pytest.mark.parametrize("way", LEAVING)
def test_what_leaves_is_kept_here_and_fails_the_test(mailauth, way):
    with pytest.raises(AssertionError, match="another machine") as told, Network(mailauth) as network:  # noqa: PT012 - it fails when it closes
        _ended_with_an_error(LEAVING[way])
        assert {str(one.outcome) for one in network.attempts} == {"left-loopback"}
    assert (FOREIGN_6 if way == "IPv6" else "198.51.100.1" if way != "number" else "3325256705") in str(told.value)


SPELLINGS = {
    "plain": HOST,
    "capitals": HOST.upper(),
    "final dot": f"{HOST}.",
    "bytes": HOST.encode(),
    "bytearray": bytearray(HOST, "ascii"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_name_is_the_same_in_every_spelling(mailauth_network, spelling):
    mailauth_network.host(HOST).smtp(25)
    with socket.socket() as sock:
        sock.settimeout(LIMIT)
        sock.connect((SPELLINGS[spelling], 25))
        assert sock.recv(3) == b"220"
    assert tried(mailauth_network) == [(HOST, 25, "connected")]


def test_a_name_in_unicode(mailauth_network):
    mailauth_network.host("bücher.example.test").smtp(25)
    for name in ("bücher.example.test", "BÜCHER.example.test", "xn--bcher-kva.example.test"):
        with socket.create_connection((name, 25), LIMIT):
            pass
    assert {name for name, *_ in tried(mailauth_network)} == {"xn--bcher-kva.example.test"}


@pytest.mark.parametrize(
    "host", ["gone.example.test", b"gone.example.test", b"\xff.example.test", "a" * 70 + ".test", "[::1]", "x y"]
)
def test_a_name_that_nobody_has_is_asked_of_nobody(mailauth_network, host):
    for ask in (socket.gethostbyname, socket.gethostbyname_ex, lambda name: socket.getaddrinfo(name, 25)):
        with pytest.raises((OSError, UnicodeError)):
            ask(host)
    with socket.socket() as sock, pytest.raises((OSError, UnicodeError)):
        sock.connect((host, 25))
    assert {outcome for *_, outcome in tried(mailauth_network)} <= {"unresolvable"}


def test_a_look_up_tells_of_what_a_name_is_an_alias(mailauth_network):
    (address,) = mailauth_network.host(HOST).smtp(465).addresses
    mailauth_network.alias(HOST, "target.example.test")
    (found,) = socket.getaddrinfo(HOST, 465, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
    assert (found[3], found[4]) == ("target.example.test", (address, 465))
    assert socket.gethostbyname_ex(HOST) == ("target.example.test", [HOST], [address])
    assert socket.gethostbyaddr(HOST) == ("target.example.test", [], [address])
    assert {answer[3] for answer in socket.getaddrinfo(HOST, 465)} == {""}
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("target.example.test", 465)  # it has no servers of its own


def test_a_look_up_answers_as_the_real_one_does(mailauth_network):
    mailauth_network.host(HOST, addresses=("ipv6", "ipv4", "ipv4")).smtp(465)
    v6, first, second = mailauth_network.host(HOST).addresses
    stream = socket.SOCK_STREAM
    found = socket.getaddrinfo(HOST, "submissions", type=stream, flags=socket.AI_CANONNAME | socket.AI_ADDRCONFIG)
    assert [(family, canonical, address[:2]) for family, _, _, canonical, address in found] == [
        (socket.AF_INET6, HOST, (v6, 465)),
        (socket.AF_INET, "", (first, 465)),
        (socket.AF_INET, "", (second, 465)),
    ]
    assert [x[4][0] for x in socket.getaddrinfo(HOST, None, socket.AF_INET, stream)] == [first, second]
    assert socket.gethostbyname_ex(HOST.upper()) == (HOST, [], [first, second])
    assert socket.gethostbyaddr(first) == (HOST, [], [first])
    assert socket.getnameinfo((second, 465), socket.NI_NUMERICSERV) == (HOST, "465")
    assert socket.getnameinfo((second, 465), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV) == (second, "465")
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo(HOST, 465, flags=socket.AI_NUMERICHOST)
    assert mailauth_network.attempts == ()


def test_a_family_that_a_name_does_not_have(mailauth_network):
    mailauth_network.host(HOST)
    mailauth_network.host("six.example.test", addresses="ipv6")
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo(HOST, 25, socket.AF_INET6)
    mapped = socket.getaddrinfo(HOST, 25, socket.AF_INET6, socket.SOCK_STREAM, 0, socket.AI_V4MAPPED)
    assert [x[4][0] for x in mapped] == [f"::ffff:{mailauth_network.host(HOST).addresses[0]}"]
    with pytest.raises(socket.gaierror):
        socket.gethostbyname("six.example.test")


def test_no_address_is_asked_for_its_name(mailauth_network):
    """A client that wants to know what to call itself in EHLO asks for it."""
    assert socket.getfqdn()
    assert socket.gethostbyaddr("127.0.0.1") == ("localhost", [], ["127.0.0.1"])
    with pytest.raises(socket.herror):
        socket.gethostbyaddr(FOREIGN)
    assert socket.getnameinfo((FOREIGN, 25), 0)[0] == FOREIGN
    with pytest.raises(socket.gaierror):
        socket.getnameinfo((FOREIGN, 25), socket.NI_NAMEREQD)
    with pytest.raises(OSError, match="not known"):
        socket.gethostbyaddr("gone.example.test")


def test_this_machine_is_here_whatever_it_is_called(mailauth_network):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for name in (
            "localhost",
            "LOCALHOST.",
            "127.0.0.1",
            "127.1",
            "x.localhost",
            socket.gethostname(),
        ):
            with socket.socket() as sock:
                sock.settimeout(LIMIT)
                sock.connect((socket.getaddrinfo(name, port, socket.AF_INET)[0][4][0], port))
    assert mailauth_network.attempts == ()


def test_datagrams_of_this_machine_pass(mailauth_network):
    mailauth_network.host(HOST)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        one.bind(("127.0.0.1", 0))
        one.settimeout(LIMIT)
        two.sendto(b"a", one.getsockname())
        two.sendmsg([b"b"], [], 0, one.getsockname())
        two.connect(one.getsockname())
        two.sendmsg([b"c"])
        assert [one.recv(9) for _ in range(3)] == [b"a", b"b", b"c"]
        two.sendto(b"d", (HOST, 53))  # to nobody
    assert mailauth_network.attempts == ()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no such sockets")
def test_a_path_is_no_address(mailauth_network, tmp_path):
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as sock:
        listening.bind(str(tmp_path / "socket"))
        listening.listen()
        sock.connect(str(tmp_path / "socket"))
    assert mailauth_network.attempts == ()


@pytest.mark.parametrize("address", [None, 5, [HOST, 25]])
def test_what_is_no_address_is_told_by_python(mailauth_network, address):
    with socket.socket() as sock, pytest.raises(TypeError):
        sock.connect(address)
    assert mailauth_network.attempts == ()


def test_localhost_can_be_a_host_of_the_network(mailauth_network):
    """As ::1 an honest server, as 127.0.0.1 a stripped one; the machine's other ports are still there."""
    host = mailauth_network.host("localhost", addresses=("ipv6", "ipv4"))
    host.at("ipv6").smtp(587)
    host.at("ipv4").smtp(587, security="none")
    direct = mailauth_network.servers.smtp()
    for port in (587, direct.port):
        with socket.create_connection(("localhost", port), LIMIT) as sock:
            assert sock.recv(3) == b"220"
    assert [str(one.security) for one in mailauth_network.attempts if one.outcome == "connected"] == ["starttls"] * 2


def test_a_server_of_the_test_is_reached_without_a_name(mailauth_network, mailauth_smtp):
    for client in (
        lambda: socket.create_connection((mailauth_smtp.host, mailauth_smtp.port), LIMIT).close(),
        lambda: asyncio.run(_greeted(mailauth_smtp.host, mailauth_smtp.port)),
    ):
        client()
    assert tried(mailauth_network) == [(None, mailauth_smtp.port, "connected")] * 2
    assert [one.session for one in mailauth_network.attempts] == list(mailauth_smtp.sessions)


async def _greeted(host, port):
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    await writer.wait_closed()


def test_what_a_server_opens_itself_is_no_attempt(mailauth_network, mailauth_smtp):
    mailauth_smtp.block("timeout")
    assert mailauth_network.attempts == ()
    with pytest.raises(TimeoutError):
        socket.create_connection((mailauth_smtp.host, mailauth_smtp.port), LIMIT)
    assert tried(mailauth_network) == [(None, mailauth_smtp.port, "timeout")]


def test_a_look_up_that_was_kept_from_before_is_stopped_and_told(mailauth):
    kept = socket.getaddrinfo, socket.gethostbyname
    for ask in (lambda: kept[0](HOST, 25), lambda: kept[1](HOST)):
        with pytest.raises(AssertionError, match="somebody kept the function"), Network(mailauth) as network:  # noqa: PT012
            network.host(HOST).smtp(25)
            with pytest.raises(socket.gaierror, match="went past the test network"):
                ask()


def test_a_connection_past_the_class_is_stopped_and_told(mailauth):
    with pytest.raises(AssertionError, match="built-in"), Network(mailauth) as network:  # noqa: PT012
        network.host(HOST).smtp(25)
        with pytest.raises(ConnectionRefusedError, match="went past the test network"):
            tcp("connect", (socket.gethostbyname(HOST), 25), kind=Own)()


def test_without_a_network_nothing_is_stopped(mailauth):
    with Network(mailauth):
        pass
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname(), LIMIT):
        assert socket.getaddrinfo("localhost", 25)


def _in_a_child(address, results):
    with socket.create_connection(address, LIMIT) as sock:
        results.put(sock.recv(3))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_a_child_that_was_forked_is_led_too(mailauth_network):
    host = mailauth_network.host(HOST).smtp(25)
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=_in_a_child, args=((HOST, 25), results))
    child.start()
    assert results.get() == b"220"
    child.join(LIMIT)
    child.close()
    results.close()
    assert len(host[25].sessions) == 1


def test_no_event_reaches_the_hook_without_being_asked(mailauth_network):
    sys.audit("socket.connect", None, None)
    sys.audit("socket.getaddrinfo", None, 25, 0, 0, 0)
    assert mailauth_network.attempts == ()
