"""What a network in this process costs a test, beside a plain connection to loopback."""

from __future__ import annotations

import socket
import threading

import pytest
from in_turn import medians, once

from pytest_mailauth import MailServers, Network

ROUNDS = 300
MANY = 1000
LIMIT = 5
HOST = "smtp.example.test"


@pytest.fixture(scope="module")
def servers():
    with MailServers() as made:
        made.smtp(host=HOST).close()  # once a run: the certificate of a name is kept
        made.loop.call(lambda: None)
        yield made


@pytest.fixture(scope="module")
def floor():
    """A port of loopback that accepts and closes, and no more."""
    with socket.create_server(("127.0.0.1", 0), backlog=4 * MANY) as listening:
        address = listening.getsockname()

        def serve():
            while True:
                client, _ = listening.accept()
                with client:
                    if client.recv(1):
                        return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield address
        with socket.create_connection(address, LIMIT) as last:
            last.send(b"x")
        thread.join(LIMIT)


def connect(address):
    socket.create_connection(address, LIMIT).close()


def test_a_network_of_one_test(servers, floor, note):
    def empty():
        with Network(servers):
            pass

    def one_host():
        with servers.environment() as own, Network(own) as network:
            network.host(HOST).smtp(587)

    def server_alone():
        with servers.environment() as own:
            own.smtp(host=HOST)

    def plain():
        connect(floor)

    found = medians({"empty": empty, "one host": one_host, "server": server_alone, "plain": plain}, ROUNDS)
    note(f"network, opened and closed, empty          {found['empty']:7.3f} ms")
    note(
        f"network with one host and server           {found['one host']:7.3f} ms, the server alone {found['server']:.3f}"
    )
    note(f"socket.create_connection to loopback       {found['plain']:7.3f} ms")


def test_a_connection_through_a_network(servers, floor, note):
    plain = medians({"plain": lambda: connect(floor)}, ROUNDS)["plain"]
    with servers.environment() as own, Network(own) as network:
        server = network.host(HOST).smtp(587)[587]
        actions = {"named": lambda: connect((HOST, 587)), "direct": lambda: connect(("127.0.0.1", server.port))}
        actions["other"] = lambda: connect(floor)
        found = medians(actions, ROUNDS)
    for name, text in (("named", "by its name"), ("direct", "by its own port"), ("other", "no server's")):
        note(f"connection through a network, {text:16} {found[name]:7.3f} ms, without a network {plain:.3f}")


def test_a_thousand_names(servers, floor, note):
    with servers.environment() as own, Network(own) as network:
        server = network.host(HOST).smtp(587)[587]
        names = [f"host{number}.example.test" for number in range(MANY)]
        made = once(lambda: [network.host(name).leads_to(server, 587) for name in names])
        looked_up = once(lambda: [socket.getaddrinfo(name, 587) for name in names])
        connected = once(lambda: [connect((name, 587)) for name in names])
        assert len(network.attempts) == MANY
    plain = once(lambda: [connect(floor) for _ in names])
    note(
        f"{MANY} names: make {made:.1f} ms, look up {looked_up:.1f} ms, connect {connected:.1f} ms, "
        f"{MANY} plain connections {plain:.1f} ms"
    )
