"""The network of one test as its users set it up: hosts, providers, blocked ports, and what was tried."""

from __future__ import annotations

import smtplib
import socket
import ssl
from types import SimpleNamespace

import pytest
from network_clients import LIMIT, tried

from pytest_mailauth import AttemptOutcome, ConfigError, Network, provider
from pytest_mailauth.model.events import Entry, Opened
from pytest_mailauth.model.record import SessionRecord
from pytest_mailauth.model.terms import Layer, PortState, Protocol, Security
from pytest_mailauth.network.journal import Journal, Note

HOST = "smtp.example.test"


def greeting(host, port):
    with socket.create_connection((host, port), LIMIT) as sock:
        sock.settimeout(LIMIT)
        return sock.recv(1000)


def test_a_name_and_a_real_port_lead_to_a_fake(mailauth_network):
    mailauth_network.host(HOST).smtp(587)
    with smtplib.SMTP(HOST, 587, timeout=LIMIT) as client:
        client.starttls(context=mailauth_network.ssl_context())
        client.login(mailauth_network.account.username, mailauth_network.account.password)
    (attempt,) = mailauth_network.attempts
    assert str(attempt) == ("smtp.example.test:587 connected, text first, spoke inside TLS, credentials inside TLS")


def test_a_time_out_comes_at_once_and_tells_how_long_it_would_have_been(mailauth_network):
    mailauth_network.host(HOST).smtp(25)
    mailauth_network.block(25)
    with pytest.raises(TimeoutError):
        smtplib.SMTP(HOST, 25, timeout=LIMIT)
    mailauth_network.lift(25)
    smtplib.SMTP(HOST, 25, timeout=LIMIT).close()
    assert [str(one) for one in mailauth_network.attempts] == [
        "smtp.example.test:25 timeout after 60 s",
        "smtp.example.test:25 connected, nothing first, said nothing",
    ]


@pytest.mark.parametrize(
    ("method", "port", "protocol", "security"),
    [
        ("smtp", 587, "smtp", "starttls"),
        ("smtps", 465, "smtp", "implicit"),
        ("pop3", 110, "pop3", "starttls"),
        ("pop3s", 995, "pop3", "implicit"),
        ("imap", 143, "imap", "starttls"),
        ("imaps", 993, "imap", "implicit"),
    ],
)
def test_every_kind_of_server_has_its_standard_port(mailauth_network, method, port, protocol, security):
    host = getattr(mailauth_network.host(HOST), method)()
    assert (host[port].protocol, host[port].security, host[port].host) == (protocol, security, HOST)


def test_settings_are_those_of_a_server(mailauth_network):
    host = mailauth_network.host(HOST).smtp(25, security="none", line_limits="lenient").smtps()
    assert (host[25].security, host[25].config.line_limits) == ("none", "lenient")
    assert repr(host) == "<Host smtp.example.test ports=[25, 465]>"
    assert mailauth_network.host("SMTP.example.test.")[465] is host[465]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda n: n.host(HOST).smtp(25).smtps(25), "has a server already"),
        (lambda n: n.host(HOST)[25], "it has none yet"),
        (lambda n: n.host(HOST).smtp(587)[25], "it has 587"),
        (lambda n: n.host(HOST).smtp(0), "from 1 to 65535"),
        (lambda n: n.host(HOST).smtp("25"), "from 1 to 65535"),
        (lambda n: n.host(HOST).smtp(25, protocol="imap"), "takes no protocol"),
        (lambda n: n.host(""), "no host name"),
        (lambda n: n.host("ü" * 70), "no host name"),
        (lambda n: n.host(None), "no host name"),
        (lambda n: n.host(HOST, addresses=("ipv5",)), "use 'ipv4' and 'ipv6'"),
        (lambda n: n.host(HOST).at("ipv6"), r"it has 0 \(ipv4\)"),
        (lambda n: n.host(HOST).at(1), r"addresses=\('ipv6', 'ipv4'\)"),
        (lambda n: n.host(HOST) and n.host(HOST, addresses="ipv6"), "when it is first asked for"),
        (lambda n: n.provider("gmial"), "'gmail'"),
        (lambda n: n.provider("gmail", mechanism=()), "mechanism"),
        (lambda n: n.provider("gmail") and n.provider("gmail"), "has a server already"),
        (lambda n: n.isp("blocks-everything"), "'blocks-25', 'forces-relay'"),
        (lambda n: n.block(), "names no port"),
        (lambda n: n.block(HOST), "names no port"),
        (lambda n: n.block(25, HOST), "names no port"),
        (lambda n: n.block(HOST, 25, 26), "names no port"),
        (lambda n: n.block(0), "from 1 to 65535"),
        (lambda n: n.block(25, how="closed"), "'timeout'"),
        (lambda n: n.block(HOST, 25, how="open"), "use lift"),
        (lambda n: n.block(25, how="open"), "use lift"),
        (lambda n: n.block(2525, how="banner"), "for which protocol on port 2525"),
        (lambda n: n.block(HOST, 2525, how="silent"), "for which protocol on port 2525"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(mailauth_network, wrong, told):
    with pytest.raises(ConfigError, match=told):
        wrong(mailauth_network)


@pytest.mark.mailauth(security="none", host="marked.example.test", line_limits="lenient")
def test_the_marker_counts_for_what_a_host_does_not_say(mailauth_network):
    host = mailauth_network.host(HOST).smtp(25).smtp(26, line_limits="strict")
    assert [(x.security, x.host, x.config.line_limits) for x in (host[25], host[26])] == [
        ("starttls", HOST, "lenient"),
        ("starttls", HOST, "strict"),
    ]


def test_a_server_may_have_another_name_than_its_certificate(mailauth_network):
    shared = mailauth_network.host("shared.example.test").smtps()[465]
    mailauth_network.host(HOST).leads_to(shared, 465)
    with pytest.raises(ssl.SSLCertVerificationError, match=HOST):
        smtplib.SMTP_SSL(HOST, 465, timeout=LIMIT, context=mailauth_network.ssl_context())
    smtplib.SMTP_SSL("shared.example.test", 465, timeout=LIMIT, context=mailauth_network.ssl_context()).close()


def test_a_provider_is_there_under_its_names_and_ports(mailauth_network):
    profile = mailauth_network.provider("gmail", less_secure_apps=True)
    assert profile is provider("gmail")
    for service in profile.services:
        server = mailauth_network.host(service.host)[service.port]
        assert (server.protocol, server.security, server.host) == (service.protocol, service.security, service.host)
    account = mailauth_network.account
    with smtplib.SMTP("smtp.gmail.com", 587, timeout=LIMIT) as client:
        client.starttls(context=mailauth_network.ssl_context())
        client.login(account.username, account.password)
    assert tried(mailauth_network) == [("smtp.gmail.com", 587, "connected")]


def test_an_isp_blocks_port_25(mailauth_network):
    mailauth_network.host(HOST).smtp(25).smtp(587)
    mailauth_network.isp("blocks-25")
    mailauth_network.host("later.example.test").smtp(25)
    for host in (HOST, "later.example.test"):
        with pytest.raises(TimeoutError):
            greeting(host, 25)
    assert greeting(HOST, 587).startswith(b"220 smtp.example.test ")


def test_an_isp_forces_its_relay_on_every_name(mailauth_network):
    mailauth_network.host(HOST).smtp(25).smtp(587)
    mailauth_network.isp("forces-relay").unresolvable("gone.example.test")
    for name in (HOST, "mx.somebody.example"):
        with smtplib.SMTP(name, 25, timeout=LIMIT) as client:
            assert client.ehlo()[1].startswith(b"relay.isp.test")
            with pytest.raises(ssl.SSLCertVerificationError, match=name):
                client.starttls(context=mailauth_network.ssl_context())
    context = mailauth_network.ssl_context()
    with smtplib.SMTP("relay.isp.test", 25, timeout=LIMIT) as client:
        client.starttls(context=context)
        client.sendmail("me@example.test", ["you@elsewhere.example"], "Subject: x\r\n\r\n")
    assert greeting(HOST, 587).startswith(b"220 smtp.example.test ")
    with pytest.raises(ConnectionRefusedError):
        greeting("mx.somebody.example", 587)
    with pytest.raises(socket.gaierror):
        greeting("gone.example.test", 25)
    assert [
        one.session in mailauth_network.host("relay.isp.test")[25].sessions for one in mailauth_network.attempts
    ] == [
        *[True] * 3,
        *[False] * 3,
    ]


def test_a_name_is_unresolvable_whatever_servers_it_has(mailauth_network):
    mailauth_network.host(HOST).smtp(25)
    mailauth_network.unresolvable("SMTP.example.test", "localhost.test")
    with pytest.raises(socket.gaierror):
        greeting(HOST, 25)
    assert tried(mailauth_network) == [(HOST, 25, "unresolvable")]


EVERYWHERE = [state for state in PortState if state is not PortState.OPEN]


def came(host, port):
    """Return what a client without any protocol meets, in short."""
    try:
        with socket.create_connection((host, port), LIMIT) as sock:
            sock.settimeout(0.3)
            return sock.recv(4)
    except OSError as error:
        return type(error)


MET = {
    "refused": ConnectionRefusedError,
    "timeout": TimeoutError,
    "prohibited": OSError,
    "silent": TimeoutError,
    "reset": ConnectionResetError,
    "banner": b"554 ",
}


@pytest.mark.parametrize("where", ["host", "everywhere"])
@pytest.mark.parametrize("has_server", [True, False])
@pytest.mark.parametrize("state", EVERYWHERE)
def test_every_port_state_with_a_server_and_without(mailauth_network, state, where, has_server):
    host = mailauth_network.host(HOST)
    if has_server:
        host.smtp(25)
    mailauth_network.block(*([HOST] if where == "host" else []), 25, how=state)
    if state in MET:
        assert came(HOST, 25) is MET[state] or came(HOST, 25) == MET[state]
    else:
        said = came(HOST, 25)
        assert said
        assert b"220 ".startswith(said)  # a slow one drips, and a busy machine reads several drops at once
    mailauth_network.lift(*([HOST] if where == "host" else []), 25)
    assert came(HOST, 25) == (b"220 " if has_server else ConnectionRefusedError)


@pytest.mark.parametrize("state", ["banner", "timeout"])
def test_a_host_that_is_added_later_is_blocked_too_and_all_blocks_are_lifted_at_once(mailauth_network, state):
    mailauth_network.block(25, how=state).block("other.example.test", 25, how=state)
    mailauth_network.host(HOST).smtp(25)
    assert came(HOST, 25) == MET[state]
    assert came("other.example.test", 25) == MET[state]
    mailauth_network.lift()
    assert came(HOST, 25) == b"220 "
    assert came("other.example.test", 25) is ConnectionRefusedError


def test_one_block_takes_the_place_of_another(mailauth_network):
    mailauth_network.host(HOST).smtp(25)
    for how in ("banner", "timeout", "reset", "refused"):
        for where in ([HOST], []):
            mailauth_network.block(*where, 25, how=how)
            assert came(HOST, 25) == MET[how]
            mailauth_network.lift(*where, 25)
            assert came(HOST, 25) == b"220 "


def test_one_address_is_blocked(mailauth_network):
    host = mailauth_network.host(HOST, addresses=("ipv6", "ipv4")).smtp(25)
    host.at("ipv6").block(25, "refused")
    assert came(HOST, 25) == b"220 "
    assert [one.family for one in mailauth_network.attempts] == ["ipv6", "ipv4"]
    host.lift(25)
    assert came(HOST, 25) == b"220 "
    assert mailauth_network.attempts[-1].family == "ipv6"


def test_a_server_that_is_prohibited_from_the_start(mailauth_network):
    mailauth_network.host(HOST).smtp(25, port_state="prohibited")
    assert came(HOST, 25) is OSError
    assert tried(mailauth_network) == [(HOST, 25, "unreachable")]


def test_every_port_of_the_network_can_be_listed(mailauth_network):
    mailauth_network.host(HOST).smtp(587)
    mailauth_network.block(25)
    listed = [(place.name, port, door.state, door.server) for place, port, door in mailauth_network._directory.doors()]
    assert listed == [(HOST, 25, "timeout", None), (HOST, 587, "open", mailauth_network.host(HOST)[587])]


def test_an_escape_is_told_even_when_the_client_swallowed_it(mailauth):
    with pytest.raises(AssertionError, match=r"198\.51\.100\.1:25 left-loopback"), Network(mailauth):
        assert came("198.51.100.1", 25) is OSError


def test_an_escape_does_not_hide_the_failure_of_the_test(mailauth):
    with pytest.raises(ZeroDivisionError), Network(mailauth):  # noqa: PT012 - it fails inside
        came("198.51.100.1", 25)
        raise ZeroDivisionError


class TestTheSessionOfAnAttempt:
    """A client's port may be used again, and a connection need not come to a session."""

    def joined(self, attempts, sessions):
        server = _Server(tuple(self.session(number, *one) for number, one in enumerate(sessions, 1)))
        journal = Journal()
        for source, at in attempts:
            journal.add(Note(HOST, "", 25, AttemptOutcome.CONNECTED, server=server, source=source, at=at))
        return [None if one.session is None else one.session.number for one in journal.attempts()]

    def session(self, number, source, at):
        entries = (Entry(at, Layer.CLEAR, Opened(f"127.0.0.1:{source}")),)
        return SessionRecord(number, Protocol.SMTP, Security.STARTTLS, "main", entries)

    def test_in_order(self):
        assert self.joined([(5000, 1.0), (5001, 2.0)], [(5000, 1.1), (5001, 2.1)]) == [1, 2]

    def test_a_port_that_is_used_again(self):
        assert self.joined([(5000, 1.0), (5000, 2.0)], [(5000, 1.1), (5000, 2.1)]) == [1, 2]

    def test_the_first_never_came_to_a_session(self):
        assert self.joined([(5000, 1.0), (5000, 2.0)], [(5000, 2.1)]) == [None, 1]

    def test_the_second_never_came_to_a_session(self):
        assert self.joined([(5000, 1.0), (5000, 2.0)], [(5000, 1.1)]) == [1, None]

    def test_a_session_of_somebody_else_later(self):
        assert self.joined([(5000, 1.0)], [(5000, 1.1), (5000, 9.0)]) == [1]

    def test_a_session_of_somebody_else_before(self):
        assert self.joined([(5000, 2.0)], [(5000, 1.0)]) == [None]


class _Server(SimpleNamespace):
    """As much of a server as a journal asks for."""

    def __init__(self, sessions):
        super().__init__(protocol=Protocol.SMTP, security=Security.STARTTLS, sessions=sessions)

    __hash__ = object.__hash__
