"""Every client of Python is led by its name and port, in order, and told what a real network would tell it."""

from __future__ import annotations

import socket
import time

import pytest
from network_clients import (
    AT_ONCE,
    EVERY,
    EYEBALLS,
    IN_LOOPS,
    LIMIT,
    ONE_AFTER_ANOTHER,
    port_for,
    serve,
    tried,
    with_anyio,
    with_create_connection,
    with_ftplib,
    with_happy_eyeballs,
    with_sock_connect,
    with_trio_socket,
)

from pytest_mailauth import AttemptOutcome

HOST = "mail.example.test"
every_client = pytest.mark.parametrize("client", EVERY, ids=lambda client: client.__name__)


def fails(client, host, port, limit=LIMIT):
    """Return what a client raises, and how long it took, in seconds."""
    began = time.monotonic()
    with pytest.raises(Exception) as raised:  # each library has its own
        client(host, port, limit)
    return raised.value, time.monotonic() - began


@every_client
def test_a_name_and_a_port_lead_to_the_server(mailauth_network, client):
    port = port_for(client)
    host = serve(mailauth_network.host(HOST), port)
    client(HOST, port, LIMIT)
    assert tried(mailauth_network) == [(HOST, port, "connected")]
    (attempt,) = mailauth_network.attempts
    assert attempt.session == host[port].sessions[0]
    assert attempt.address == host.addresses[0]


@every_client
def test_a_port_without_a_server_is_refused(mailauth_network, client):
    mailauth_network.host(HOST)
    _, took = fails(client, HOST, port_for(client))
    assert tried(mailauth_network) == [(HOST, port_for(client), "refused")]
    assert took < AT_ONCE


@every_client
def test_a_prohibited_port_is_unreachable(mailauth_network, client):
    mailauth_network.block(HOST, port_for(client), how="prohibited")
    fails(client, HOST, port_for(client))
    assert tried(mailauth_network) == [(HOST, port_for(client), "unreachable")]


@every_client
def test_a_name_without_an_address_is_not_looked_up_elsewhere(mailauth_network, client):
    fails(client, "gone.example.test", port_for(client))
    outcomes = tried(mailauth_network)
    assert {(name, outcome) for name, _, outcome in outcomes} == {("gone.example.test", "unresolvable")}


@every_client
def test_a_limit_is_over_at_once_and_told(mailauth_network, client):
    port = port_for(client)
    mailauth_network.block(HOST, port)
    _, took = fails(client, HOST, port)
    (attempt,) = mailauth_network.attempts
    assert attempt.outcome is AttemptOutcome.TIMEOUT
    assert attempt.waited == pytest.approx(LIMIT, abs=5)
    assert took < AT_ONCE


@pytest.mark.parametrize("client", [one for one in EVERY if one is not with_ftplib], ids=lambda client: client.__name__)
def test_a_client_without_a_limit_does_not_hang_and_is_told(mailauth_network, client):
    port = port_for(client)
    mailauth_network.block(HOST, port)
    _, took = fails(client, HOST, port, None)
    assert [(one.outcome, one.waited) for one in mailauth_network.attempts] == [(AttemptOutcome.UNBOUNDED, None)]
    assert took < AT_ONCE


@pytest.mark.parametrize("client", [*ONE_AFTER_ANOTHER, *EYEBALLS, with_create_connection], ids=lambda x: x.__name__)
def test_a_refused_address_is_followed_by_the_next(mailauth_network, client):
    host = mailauth_network.host(HOST, addresses=("ipv6", "ipv4"))
    host.at("ipv4").smtp(25)
    client(HOST, 25, LIMIT)
    assert [(one.family, str(one.outcome)) for one in mailauth_network.attempts] == [
        ("ipv6", "refused"),
        ("ipv4", "connected"),
    ]


@pytest.mark.parametrize("client", ONE_AFTER_ANOTHER, ids=lambda client: client.__name__)
def test_no_second_address_is_tried_after_the_clients_own_limit(mailauth_network, client):
    host = mailauth_network.host(HOST, addresses=("ipv6", "ipv4")).smtp(25)
    host.at("ipv6").block(25)
    _, took = fails(client, HOST, 25)
    assert [(one.family, str(one.outcome)) for one in mailauth_network.attempts] == [("ipv6", "timeout")]
    assert took < AT_ONCE


@pytest.mark.parametrize("client", EYEBALLS, ids=lambda client: client.__name__)
def test_happy_eyeballs_try_the_second_address_after_their_delay(mailauth_network, client):
    host = mailauth_network.host(HOST, addresses=("ipv6", "ipv4")).smtp(25)
    host.at(0).block(25)
    began = time.monotonic()
    client(HOST, 25, LIMIT)
    first, second = mailauth_network.attempts
    assert (first.family, first.outcome, second.family, second.outcome) == ("ipv6", "timeout", "ipv4", "connected")
    assert first.waited == pytest.approx(0.25, abs=0.24)
    assert time.monotonic() - began < AT_ONCE


def test_a_client_without_a_limit_reaches_the_second_address_after_the_systems_own(mailauth_network):
    host = mailauth_network.host(HOST, addresses=("ipv6", "ipv4")).smtp(25)
    host.at("ipv6").block(25)
    ONE_AFTER_ANOTHER[0](HOST, 25, None)
    assert [str(one.outcome) for one in mailauth_network.attempts] == ["unbounded", "connected"]


@pytest.mark.parametrize("client", [with_create_connection, with_happy_eyeballs, with_anyio], ids=lambda x: x.__name__)
def test_each_address_has_its_own_server(mailauth_network, client):
    host = mailauth_network.host(HOST, addresses=("ipv6", "ipv4"))
    host.at("ipv6").smtp(25)
    host.at("ipv4").smtp(25, security="none")
    client(HOST, 25, LIMIT)
    (attempt,) = mailauth_network.attempts
    assert (attempt.family, attempt.security) == ("ipv6", "starttls")
    with socket.create_connection((socket.gethostbyname(HOST), 25), LIMIT) as sock:
        sock.recv(100)
    assert mailauth_network.attempts[1].security == "none"
    assert host.at("ipv4")[25].sessions[0] == mailauth_network.attempts[1].session


@pytest.mark.parametrize("client", [*IN_LOOPS, with_create_connection], ids=lambda client: client.__name__)
@pytest.mark.parametrize("state", ["refused", "timeout"])
def test_a_servers_own_port_state_counts(mailauth_network, client, state):
    mailauth_network.host(HOST).smtp(25, port_state=state)
    _, took = fails(client, HOST, 25)
    assert tried(mailauth_network) == [(HOST, 25, state)]
    assert took < AT_ONCE


@pytest.mark.parametrize("client", [with_sock_connect, with_trio_socket], ids=lambda client: client.__name__)
def test_two_attempts_at_once_are_two_attempts(mailauth_network, client):
    host = mailauth_network.host(HOST).smtp(25)
    client(HOST, 25, LIMIT)
    client(HOST, 25, LIMIT)
    assert [one.session for one in mailauth_network.attempts] == list(host[25].sessions)
