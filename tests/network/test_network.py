"""The network of one test: names, real ports, blocked ports, and what was tried."""

from __future__ import annotations

import smtplib
import socket

import pytest

from pytest_mailauth import AttemptOutcome, Network


def attempted(network):
    return [(one.name, one.port, one.outcome) for one in network.attempts]


def test_a_name_and_a_real_port_lead_to_a_fake(mailauth_network):
    mailauth_network.host("smtp.example.test").smtp(587)
    with smtplib.SMTP("smtp.example.test", 587, timeout=5) as client:
        client.starttls(context=mailauth_network.ssl_context())
        client.login(mailauth_network.account.username, mailauth_network.account.password)
    (attempt,) = mailauth_network.attempts
    assert str(attempt) == ("smtp.example.test:587 connected, text first, spoke inside TLS, credentials inside TLS")


def test_a_port_without_a_server_is_refused(mailauth_network):
    mailauth_network.host("smtp.example.test").smtp(587)
    with pytest.raises(ConnectionRefusedError):
        smtplib.SMTP("smtp.example.test", 2525, timeout=5)
    assert attempted(mailauth_network) == [("smtp.example.test", 2525, AttemptOutcome.REFUSED)]


def test_a_time_out_comes_at_once_and_tells_how_long_it_would_have_been(mailauth_network):
    mailauth_network.host("smtp.example.test").smtp(25)
    mailauth_network.block(25)
    with pytest.raises(TimeoutError):
        smtplib.SMTP("smtp.example.test", 25, timeout=30)
    mailauth_network.lift(25)
    smtplib.SMTP("smtp.example.test", 25, timeout=30).close()
    assert [str(one) for one in mailauth_network.attempts] == [
        "smtp.example.test:25 timeout after 30 s",
        "smtp.example.test:25 connected, nothing first, said nothing",
    ]


def test_a_client_without_a_time_out_is_told_from_one_that_has_it(mailauth_network):
    mailauth_network.block("smtp.example.test", 25)
    with pytest.raises(TimeoutError):
        smtplib.SMTP("smtp.example.test", 25)
    assert attempted(mailauth_network) == [("smtp.example.test", 25, AttemptOutcome.UNBOUNDED)]


def test_a_name_that_nobody_knows_is_not_looked_up(mailauth_network):
    with pytest.raises(socket.gaierror):
        socket.create_connection(("gone.example.test", 25), 5)
    assert attempted(mailauth_network) == [("gone.example.test", 25, AttemptOutcome.UNRESOLVABLE)]


def test_what_tries_to_leave_fails(mailauth):
    network = Network(mailauth)
    with (
        pytest.raises(AssertionError, match=r"198\.51\.100\.1:25 left-loopback"),
        network,
        pytest.raises(OSError, match="another machine"),
    ):
        socket.create_connection(("198.51.100.1", 25), 5)


def test_everything_is_put_back(mailauth):
    before = socket.getaddrinfo, vars(socket.socket).get("connect"), vars(socket.socket).get("connect_ex")
    with Network(mailauth), Network(mailauth):
        assert socket.getaddrinfo is not before[0]
    assert (socket.getaddrinfo, vars(socket.socket).get("connect"), vars(socket.socket).get("connect_ex")) == before
