"""The listening socket when the system fails it."""

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
