"""A reply without end goes as far as the client reads, and the record holds its beginning alone.

One that trickles comes byte by byte, and not whole.
"""

from __future__ import annotations

import socket

import pytest
from wire_client import until

from pytest_mailauth.model import events as e
from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.model.floods import FLOOD, Flood, Trickle
from pytest_mailauth.model.terms import Security
from pytest_mailauth.servers.environment import MailServers

PIECE = b"220-" + b"x" * 900 + b"\r\n"


@pytest.fixture
def servers():
    with MailServers() as made:
        yield made


def visit(servers, wanted):
    """Read *wanted* bytes of a greeting without end, and return the record of the session."""
    flood = Flood(verb="", piece=PIECE)
    server = servers.serve(ServerConfig(protocol="smtp", security=Security.STARTTLS, deviations=(flood,)))
    with socket.create_connection((server.host, server.port), timeout=10) as client:
        left = wanted
        while left > 0:
            data = client.recv(1 << 16)
            assert data
            assert not data.strip(b"220-x\r\n")
            left -= len(data)
    server.drain(10)
    (session,) = server.sessions
    return session


def taken(session):
    return [fact for fact in session.of(e.Deviated) if fact.kind == "flood taken"]


def test_who_reads_everything_has_taken_the_flood(servers):
    session = visit(servers, FLOOD)
    assert taken(session)
    assert session.clear_out == PIECE


def test_who_leaves_early_has_not(servers):
    session = visit(servers, 100_000)
    assert not taken(session)
    assert session.clear_out == PIECE


def trickling(servers, most, protocol="smtp", pause=0.001):
    deviations = (Trickle(pause=pause, most=most),)
    return servers.serve(ServerConfig(protocol=protocol, security=Security.STARTTLS, deviations=deviations))


def over(server):
    return [fact for session in server.sessions for fact in session.of(e.Deviated) if fact.kind == "trickle over"]


@pytest.mark.parametrize("protocol", ["smtp", "pop3", "imap"])
@pytest.mark.parametrize("most", [3, 20])
def test_a_reply_that_trickles_ends_in_silence(servers, protocol, most):
    server = trickling(servers, most, protocol)
    with socket.create_connection((server.host, server.port), timeout=10) as client:
        came = [client.recv(1) for _ in range(most)]
        until(lambda: over(server))
        client.settimeout(0)
        with pytest.raises(BlockingIOError):
            client.recv(1)
    server.drain(10)
    (session,) = server.sessions
    assert b"".join(came) == session.clear_out
    assert [len(fact.data) for fact in session.of(e.Sent)] == [1] * most
    assert session.closed.by == "client"


def test_who_leaves_while_it_trickles_does_not_see_the_end(servers):
    server = trickling(servers, most=2, pause=0.5)
    with socket.create_connection((server.host, server.port), timeout=10) as client:
        assert client.recv(1) == b"2"
    server.drain(10)
    assert not over(server)
