"""The listening socket when the system fails it."""

import contextlib
import errno
import os
import socket

import pytest

from pytest_mailauth import MailServers, ServerFault


def _out_of_descriptors(_self):
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_client_that_cannot_be_accepted_is_told_of_once(monkeypatch):
    with MailServers() as servers:
        server = servers.smtp()
        monkeypatch.setattr(socket.socket, "accept", _out_of_descriptors)
        with socket.create_connection(("127.0.0.1", server.port)):
            for _ in range(3):
                assert server.sessions == ()
        with pytest.raises(ServerFault, match=os.strerror(errno.EMFILE)) as failure:
            servers.raise_faults()
    assert str(failure.value).count("Traceback") == 1


@pytest.mark.parametrize("switched", [False, True])
def test_what_is_written_at_once_leaves_at_once(mailauth, switched):
    """Nagle's algorithm would hold a second write back, and let two become one segment."""
    server = mailauth.smtp()
    if switched:
        server.block("refused")
        server.lift()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        assert client.recv(3) == b"220"
        (transport,) = mailauth.loop.call(lambda: [one._transport for one in server._listener._live])
        accepted = transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_everybody_who_connects_at_once_is_served(mailauth):
    server = mailauth.smtp()
    with contextlib.ExitStack() as clients:
        connected = [
            clients.enter_context(socket.create_connection(("127.0.0.1", server.port), 10)) for _ in range(100)
        ]
        assert {client.recv(3) for client in connected} == {b"220"}
        assert len(server.sessions) == 100
