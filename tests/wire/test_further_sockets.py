"""A server on more than one socket: the same settings and records, and an end for each of its own."""

import contextlib
import socket

import pytest
from wire_client import DEADLINE

from pytest_mailauth.model.events import Opened
from pytest_mailauth.servers.wire.port import Port


@pytest.fixture
def listening():
    """Return a socket of loopback that listens. Whoever serves it closes it."""
    return socket.create_server(("127.0.0.1", 0))


def greeting(address):
    with socket.create_connection(address, DEADLINE) as one:
        one.settimeout(DEADLINE)
        return one.recv(100)


def refused(address):
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(address, DEADLINE):
        return False
    return True


def test_both_sockets_lead_to_the_same_records_in_order(serve, listening):
    server, further = serve(), listening.getsockname()
    came = []
    server.listen_on(listening, lambda client, number: came.append((client.getpeername()[1], number)))
    own = (server.host, server.port)
    said = [greeting(address) for address in (own, further, own, further)]
    assert len({one[:3] for one in said}) == 1
    peers = [int(session.of(Opened)[0].peer.rpartition(":")[2]) for session in server.sessions]
    assert [session.number for session in server.sessions] == [1, 2, 3, 4]
    assert came == [(peers[1], 2), (peers[3], 4)]


def test_it_ends_without_the_server(serve, listening):
    server, further = serve(), listening.getsockname()
    end = server.listen_on(listening)
    with socket.create_connection(further, DEADLINE) as before:
        before.settimeout(DEADLINE)
        end()
        end()
        assert before.recv(100)
    assert refused(further)
    assert greeting((server.host, server.port))


def test_it_ends_with_the_server(serve, listening):
    server, further = serve(), listening.getsockname()
    end = server.listen_on(listening)
    server.close()
    assert refused(further)
    end()
    with socket.create_server(("127.0.0.1", 0)) as late:
        with pytest.raises(RuntimeError, match="this server is closed"):
            server.listen_on(late)
        assert late.fileno() < 0


def test_a_state_in_which_a_server_answers_holds_for_both(serve, listening):
    server, further = serve(), listening.getsockname()
    switched = []
    server.listen_on(listening, switched=lambda: switched.append(server.port_state))
    server.block("banner")
    assert b"blocked" in greeting(further)
    server.block("refused")
    assert b"blocked" in greeting(further)  # whoever made the socket has to keep clients from it
    assert refused((server.host, server.port))
    server.lift()
    assert b"blocked" not in greeting(further)
    assert switched == ["banner", "refused", "open"]


def test_nobody_is_told_after_the_end(serve, listening):
    server = serve()
    switched = []
    server.listen_on(listening, switched=lambda: switched.append(1))()
    server.block("banner")
    assert switched == []


def test_who_connected_before_a_switch_is_served_as_before(serve, listening):
    server, further = serve(), listening.getsockname()
    server.listen_on(listening)

    def connect_and_block():
        # On the thread that serves, so that nobody is accepted in between.
        one = socket.create_connection(further, DEADLINE)
        server.block("banner")
        return one

    with server._shared.loop.do(connect_and_block) as before:
        before.settimeout(DEADLINE)
        assert b"blocked" not in before.recv(100)
    assert b"blocked" in greeting(further)


def test_out_of_descriptors_it_is_left_alone(serve, listening, monkeypatch):
    """The loop would come back to it at every pass."""
    server, further = serve(), listening.getsockname()

    def fail(_):
        raise OSError(24, "too many open files")

    server.listen_on(listening)
    monkeypatch.setattr(Port, "accepted", fail)
    with socket.create_connection(further, DEADLINE):
        server.sessions  # noqa: B018 - what has arrived is dealt with
        assert any("too many open files" in one for one in server._shared.loop.take_errors())
        server.sessions  # noqa: B018
        assert not server._shared.loop.take_errors()
    monkeypatch.undo()
