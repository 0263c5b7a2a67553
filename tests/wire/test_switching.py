"""A port whose state changes while clients come: what they meet, what stays, and where a system cannot do it."""

import contextlib
import errno
import select
import socket
import sys
import threading

import pytest
from wire_client import DEADLINE, Wire, only, until

from pytest_mailauth import AuthPolicy, CannotServe, ConfigError, ServerConfig, assert_no_connection
from pytest_mailauth.model.errors import CannotServeHere
from pytest_mailauth.model.events import Deviated
from pytest_mailauth.model.terms import PortState
from pytest_mailauth.servers.behind import BEHIND, Attempt
from pytest_mailauth.servers.wire import port as wire_port
from pytest_mailauth.servers.wire.port import Port

SHORT = 0.1
LINUX = pytest.mark.skipif("not sys.platform.startswith('linux')")
POSSIBLE = [state for state in PortState if BEHIND[state].attempt is not Attempt.IMPOSSIBLE]


def meets(server):
    """Return what becomes of a connection attempt."""
    try:
        with Wire(server, deadline=SHORT) as wire, contextlib.suppress(TimeoutError, ConnectionError):
            wire.segment()
    except ConnectionRefusedError:
        return Attempt.REFUSED
    except TimeoutError:
        return Attempt.UNANSWERED
    except ConnectionResetError:  # before anything was read
        return Attempt.ANSWERED
    return Attempt.ANSWERED


@pytest.mark.parametrize("first", POSSIBLE)
def test_a_port_goes_from_each_state_to_every_other(mailauth, first):
    server = mailauth.smtp(port_state=first)
    number = server.port
    for state in POSSIBLE:
        for now in (state, first):
            server.port_state = now
            assert server.port_state is server.config.port_state is now
            assert meets(server) is BEHIND[now].attempt, now
    server.lift()
    with Wire(server).greet():
        assert server.port == number
    assert server.port_states == (first, *(one for state in POSSIBLE for one in (state, first)), PortState.OPEN)


def test_block_and_lift(serve):
    server = serve()
    server.block()
    assert server.port_state is PortState.TIMEOUT
    server.block(how="refused")
    assert meets(server) is Attempt.REFUSED
    server.lift()
    with Wire(server).greet():
        assert server.port_state is PortState.OPEN


def test_what_cannot_be_is_refused_and_changes_nothing(mailauth):
    server = mailauth.smtp(security="none")
    for how, problem in (
        ("open", r"how='open' blocks nothing; use lift\(\)"),
        ("shut", "port_state='shut' is not known"),
        ("intercepted", "needs TLS, but security is 'none'"),
    ):
        with pytest.raises(ConfigError, match=problem):
            server.block(how)
    with pytest.raises(CannotServe, match="in the in-process network"):
        server.block("prohibited")
    assert server.port_states == (PortState.OPEN,)
    with Wire(server).greet():
        pass


def test_a_closed_server_has_no_port_to_block(serve):
    server = serve()
    server.close()
    for change in (server.block, server.lift):
        with pytest.raises(RuntimeError, match="this server is closed"):
            change()


@pytest.mark.parametrize("state", [state for state in POSSIBLE if state is not PortState.OPEN])
def test_open_connections_go_on_as_they_are(serve, state):
    server = serve()
    with Wire(server).greet() as wire:
        server.port_state = state
        assert meets(server) is BEHIND[state].attempt
        wire.send(wire.speech.ask)
        assert wire.reply(wire.speech.last)
        wire.ask_for_tls()
        wire.wrap(server.ssl_context())
        wire.send(wire.speech.quit)
        assert wire.line().startswith(wire.speech.bye)
        wire.rest()
    server.drain(DEADLINE)
    assert server.sessions[0].of(Deviated) == ()


@LINUX
def test_a_client_that_waits_comes_through_once_the_port_is_lifted(serve):
    server = serve(port_state="timeout")
    with socket.socket() as client:
        client.settimeout(0)
        assert client.connect_ex(("127.0.0.1", server.port)) == errno.EINPROGRESS
        assert not select.select([], [client], [], SHORT)[1]
        server.lift()
        # The kernel tries again by itself, a second after its first attempt.
        assert select.select([], [client], [], DEADLINE)[1]
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert select.select([client], [], [], DEADLINE)[0]
        assert client.recv(100)
        client.close()
        assert only(server).of(Deviated) == ()  # it met an open port; nobody else was seen


@LINUX
def test_nobody_slips_into_a_port_that_does_not_answer(serve):
    server = serve(port_state="timeout")
    with contextlib.ExitStack() as clients:
        waiting = [clients.enter_context(socket.socket()) for _ in range(20)]
        for client in waiting:
            client.settimeout(0)
            client.connect_ex(("127.0.0.1", server.port))
        assert not select.select([], waiting, [], 1.5)[1]  # the first retry of each is over
    assert server.sessions == ()


def test_switching_is_safe_while_clients_connect(mailauth):
    server = mailauth.smtp()
    over = threading.Event()
    greeted = []

    def client():
        while not over.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 0.3) as one:
                greeted.append(one.recv(100))

    clients = [threading.Thread(target=client) for _ in range(4)]
    for each in clients:
        each.start()
    try:
        for _ in range(25):
            for state in ("refused", "timeout", "open", "silent", "open"):
                server.port_state = state
            before = len(greeted)
            until(lambda before=before: len(greeted) > before)
    finally:
        over.set()
        for each in clients:
            each.join()
    server.lift()
    with Wire(server).greet():
        pass
    server.drain(DEADLINE)
    mailauth.raise_faults()
    assert all(session.closed for session in server.sessions)


def test_two_threads_may_switch(mailauth):
    server = mailauth.smtp()
    threads = [threading.Thread(target=lambda s=s: [server.block(s) for _ in range(20)]) for s in ("reset", "refused")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(server.port_states) == 41
    assert server.port_state is server.config.port_state
    assert meets(server) is BEHIND[server.port_state].attempt


def test_a_server_may_be_blocked_from_a_function_of_its_own(mailauth):
    """Functions that are given as settings run on the loop: to wait for the loop there would be for ever."""
    blocked = []

    def decide(_claim):
        blocked.append(server.block("refused"))

    server = mailauth.imap(auth=AuthPolicy(before_tls=("PLAIN",), decide=decide, password_commands="always"))
    with Wire(server).greet() as wire:
        wire.send(b"a1 LOGIN x y\r\n")
        assert wire.line().startswith(b"a1 NO ")
    assert blocked == [None]
    assert meets(server) is Attempt.REFUSED


@pytest.mark.parametrize("state", ["refused", "banner"])
def test_who_connected_before_the_block_is_served(serve, mailauth, state):
    server = serve()
    reached, go_on, blocked = threading.Event(), threading.Event(), threading.Event()

    def hold_up():
        reached.set()
        go_on.wait(DEADLINE)
        server.block(state)
        blocked.set()

    mailauth.loop.soon(hold_up)
    assert reached.wait(DEADLINE)
    with Wire(server) as wire:  # the loop has not accepted it yet
        go_on.set()
        assert blocked.wait(DEADLINE)
        assert meets(server) is BEHIND[PortState(state)].attempt
        wire.greet()


def test_no_connection_proves_nothing_where_none_could_be_seen(mailauth):
    server = mailauth.smtp()
    server.block("refused")
    server.lift()
    with pytest.raises(ConfigError, match="proves nothing with port_state='refused'"):
        assert_no_connection(server)
    other = mailauth.smtp()
    other.block("silent")
    other.lift()
    assert_no_connection(other)


# Where a system cannot.


class _Refusing(socket.socket):
    """An attempt that a full queue refuses, as Windows does."""

    def getsockopt(self, level, option, *rest):
        found = super().getsockopt(level, option, *rest)
        return errno.ECONNREFUSED if option == socket.SO_ERROR else found


@pytest.fixture
def unmeasured():
    wire_port._measured.cache_clear()
    yield
    wire_port._measured.cache_clear()


@pytest.mark.usefixtures("unmeasured")
def test_a_system_that_refuses_cannot_be_silent(mailauth, monkeypatch):
    attempt = wire_port._attempt

    def refused(name, family):
        return _Refusing(fileno=attempt(name, family).detach())

    monkeypatch.setattr(wire_port, "_attempt", refused)
    told = r"port_state='timeout' cannot be had on this system \(\w+\): a full accept queue refuses \(.*refused\)"
    with pytest.raises(CannotServeHere, match=told):
        mailauth.smtp(port_state="timeout")
    server = mailauth.smtp()
    with pytest.raises(CannotServeHere, match=told):
        server.block()
    assert server.port_states == (PortState.OPEN,)


@pytest.mark.usefixtures("unmeasured")
def test_a_system_whose_queue_has_no_end_cannot_be_silent(mailauth, monkeypatch):
    monkeypatch.setattr(wire_port, "_SHORT_QUEUE", 500)
    with pytest.raises(CannotServeHere, match="length 500 takes 32 attempts and more"):
        mailauth.smtp(port_state="timeout")


@LINUX
def test_linux_can_be_silent():
    """Else every test of it would be skipped, and nobody would notice."""
    assert wire_port._measured.__wrapped__() == 2


@LINUX
def test_the_probe_is_asked_once(mailauth, unmeasured, monkeypatch):
    waited = []
    monotonic = wire_port.time.monotonic
    monkeypatch.setattr(wire_port.time, "monotonic", lambda: waited.append(monotonic()) or waited[-1])
    for _ in range(3):
        mailauth.smtp(port_state="timeout")
    assert wire_port._measured.cache_info().misses == 1


def test_a_system_that_goes_on_listening_gets_a_new_socket(serve, monkeypatch):
    server = serve()

    def not_connected(_self, _how):
        raise OSError(errno.ENOTCONN, "not connected")

    with Wire(server).greet() as wire:
        monkeypatch.setattr(socket.socket, "shutdown", not_connected)
        server.block("refused")
        assert meets(server) is Attempt.REFUSED
        server.lift()
        monkeypatch.undo()
        assert meets(server) is Attempt.ANSWERED
        wire.send(wire.speech.ask)
        assert wire.reply(wire.speech.last)


def test_the_number_is_ours_even_for_the_moment_in_which_nothing_listens(mailauth, monkeypatch):
    server = mailauth.smtp()

    def taken(_self, _name):
        raise OSError(errno.EADDRINUSE, "somebody else has it")

    monkeypatch.setattr(socket.socket, "bind", taken)
    server.block("refused")
    server.lift()
    with Wire(server).greet():
        pass


# A socket that somebody else made.


def listening(family, address, *, listens=True):
    made = socket.socket(family, socket.SOCK_STREAM)
    made.bind((address, 0))
    if listens:
        made.listen()
    return made


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
@pytest.mark.parametrize("listens", [True, False])
def test_a_socket_that_is_given(mailauth, family, address, listens):
    given = listening(family, address, listens=listens)
    number = given.getsockname()[1]
    server = mailauth.serve(ServerConfig(protocol="smtp"), sock=given)
    assert server.port == number
    for state in ("open", "refused", "open", *(["timeout"] if sys.platform.startswith("linux") else []), "open"):
        server.port_state = state
        if state == "open":
            with socket.create_connection((address, number), DEADLINE) as client:
                assert client.recv(4) == b"220 "
        else:
            with pytest.raises(OSError, match=r"refused|timed out"):
                socket.create_connection((address, number), SHORT)
    with socket.create_connection((address, number), DEADLINE):
        # A connection that is open has the number, too.
        server.block("refused")
        server.lift()
        with socket.create_connection((address, number), DEADLINE) as client:
            assert client.recv(4) == b"220 "
    server.drain(DEADLINE)
    assert len(server.sessions) == 5
    server.close()
    assert given.fileno() == -1


def test_whoever_waits_at_a_socket_that_is_given_is_served(mailauth):
    given = listening(socket.AF_INET, "127.0.0.1")
    with socket.create_connection(given.getsockname(), DEADLINE) as client:
        mailauth.serve(ServerConfig(protocol="smtp"), sock=given)
        assert client.recv(4) == b"220 "


@pytest.mark.parametrize("state", ["prohibited", "open"])
def test_a_socket_is_closed_even_if_the_server_cannot_be_made(mailauth, state):
    given = listening(socket.AF_INET, "127.0.0.1")
    mailauth.ca  # noqa: B018 - made before, so that nothing else can fail
    host = "x" * 300 if state == "open" else "localhost"
    with pytest.raises((CannotServe, ConfigError)):
        mailauth.serve(ServerConfig(protocol="smtp", port_state=state, host=host), sock=given)
    assert given.fileno() == -1


def test_a_socket_of_elsewhere_is_not_filled_from_here(mailauth, monkeypatch):
    """Its name may lead to a stranger here."""
    tried = []
    monkeypatch.setattr(wire_port, "_attempt", lambda *name: tried.append(name))

    class Elsewhere(socket.socket):
        def getsockopt(self, level, option, *rest):
            return b"somebody" if option == wire_port._NETNS_COOKIE else super().getsockopt(level, option, *rest)

    given = Elsewhere(fileno=listening(socket.AF_INET, "127.0.0.1").detach())
    server = mailauth.serve(ServerConfig(protocol="smtp"), sock=given)
    with pytest.raises(CannotServe, match="block the port there") as failure:
        server.block()
    assert type(failure.value) is CannotServe
    assert tried == []
    server.block("refused")
    assert meets(server) is Attempt.REFUSED


def test_a_socket_on_another_address_is_not_filled(monkeypatch):
    monkeypatch.setattr(socket.socket, "getsockname", lambda _self: ("192.0.2.1", 25))
    with contextlib.closing(Port(socket.socket())) as port, pytest.raises(CannotServe, match="block the port there"):
        port.check(Attempt.UNANSWERED)


def test_a_socket_on_every_address_is_reached_on_loopback():
    with contextlib.closing(Port(listening(socket.AF_INET, "0.0.0.0", listens=False))) as port:  # noqa: S104
        assert port.meet(Attempt.UNANSWERED) == []
        with socket.socket() as client:
            client.settimeout(SHORT)
            with pytest.raises(TimeoutError):
                client.connect(("127.0.0.1", port.number))


@LINUX
def test_a_queue_that_has_more_room_than_was_found_is_full_all_the_same(mailauth, monkeypatch):
    """A stalled machine may answer later than the measurement waits."""
    monkeypatch.setattr(wire_port, "_measured", lambda: 1)
    server = mailauth.smtp(port_state="timeout")
    assert meets(server) is Attempt.UNANSWERED


@LINUX
def test_our_own_attempts_are_no_client_s(mailauth, monkeypatch):
    """Whoever watches the attempts of this process must see its clients, and nobody else."""
    mailauth.smtp(port_state="timeout")  # measures, if nobody has
    tried = []
    monkeypatch.setattr(socket.socket, "connect_ex", lambda _self, address: tried.append(address))
    server = mailauth.smtp(port_state="timeout")
    assert meets(server) is Attempt.UNANSWERED
    assert tried == []
