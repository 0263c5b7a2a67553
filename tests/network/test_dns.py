"""The DNS server: real packets over UDP and TCP, answered from the network of one test."""

from __future__ import annotations

import socket
import struct

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.resolver
import pytest
from network_clients import LIMIT

from pytest_mailauth import ConfigError, Network
from pytest_mailauth.network import dns as ours

DOMAIN = "example.test"


@pytest.fixture
def network(mailauth_network):
    mailauth_network.host("mail.example.test", addresses=("ipv6", "ipv4", "ipv4")).smtp(587)
    mailauth_network.mx(DOMAIN, "mx2.example.test", preference=20).mx(DOMAIN, "mail.example.test")
    mailauth_network.srv("_submissions._tcp.example.test", "mail.example.test", 465, priority=1, weight=5)
    mailauth_network.srv("_imap._tcp.example.test", ".", 0)
    mailauth_network.txt(DOMAIN, "v=spf1 -all").txt("long.example.test", "x" * 3000)
    return mailauth_network


def resolver(network, *, tcp=False):
    made = dns.resolver.Resolver(configure=False)
    host, made.port = network.dns()
    made.nameservers = [host]
    made.lifetime = LIMIT
    return lambda name, kind: sorted(str(x) for x in made.resolve(name, kind, tcp=tcp))


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize(
    ("name", "kind", "answers"),
    [
        (DOMAIN, "MX", ["10 mail.example.test.", "20 mx2.example.test."]),
        ("EXAMPLE.test.", "MX", ["10 mail.example.test.", "20 mx2.example.test."]),
        ("_submissions._tcp.example.test", "SRV", ["1 5 465 mail.example.test."]),
        ("_imap._tcp.example.test", "SRV", ["0 0 0 ."]),
        (DOMAIN, "TXT", ['"v=spf1 -all"']),
    ],
)
def test_records(network, tcp, name, kind, answers):
    assert resolver(network, tcp=tcp)(name, kind) == answers


def test_addresses_are_those_that_lead_to_the_servers(network):
    ask = resolver(network)
    v6, *v4 = network.host("mail.example.test").addresses
    assert ask("mail.example.test", "A") == sorted(v4)
    assert ask("mail.example.test", "AAAA") == [v6]
    with socket.create_connection((ask("mail.example.test", "A")[0], 587), LIMIT) as sock:
        assert sock.recv(3) == b"220"
    assert network.attempts[0].name == "mail.example.test"


@pytest.mark.parametrize("name", ["gone.example.test", "example.com", "smtp.gmail.com", "xexample.test", "."])
def test_everything_else_does_not_exist_and_is_asked_of_nobody(network, name):
    network.unresolvable("gone.example.test")
    reply = dns.query.udp(dns.message.make_query(name, "A"), network.dns()[0], LIMIT, network.dns()[1])
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert not reply.answer


@pytest.mark.parametrize(
    ("name", "kind"), [(DOMAIN, "A"), ("_tcp.example.test", "SRV"), ("mail.example.test", "MX"), ("test", "A")]
)
def test_a_name_that_is_there_has_no_error_for_what_it_has_not(network, name, kind):
    reply = dns.query.udp(dns.message.make_query(name, kind), network.dns()[0], LIMIT, network.dns()[1])
    assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])


def test_a_long_answer_is_cut_over_udp_and_whole_over_tcp(network):
    host, port = network.dns()
    query = dns.message.make_query("long.example.test", "TXT")
    assert dns.query.udp(query, host, LIMIT, port).flags & dns.flags.TC
    reply, was_tcp = dns.query.udp_with_fallback(query, host, LIMIT, port)
    assert was_tcp
    assert b"".join(reply.answer[0][0].strings) == b"x" * 3000
    roomy = dns.message.make_query("long.example.test", "TXT", use_edns=0, payload=4096)
    assert not dns.query.udp(roomy, host, LIMIT, port).flags & dns.flags.TC


def test_what_is_no_query_is_not_answered(network):
    host, port = network.dns()
    with socket.create_connection((host, port), LIMIT) as sock:
        sock.sendall(struct.pack("!H", 3) + b"abc")
        assert sock.recv(100) == b""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.sendto(b"abc", (host, port))
        sock.sendto(dns.message.make_query(DOMAIN, "MX").to_wire(), (host, port))
        assert dns.message.from_wire(sock.recv(1000)).answer


def test_it_is_gone_with_its_network(mailauth):
    with Network(mailauth) as network:
        network.mx(DOMAIN, "mail.example.test")
        address = network.dns()
        assert network.dns() == address
        talk = socket.create_connection(address, LIMIT)
    with talk:
        assert talk.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, LIMIT)


def test_each_network_has_its_own(mailauth_factory):
    with (
        mailauth_factory.environment() as one,
        mailauth_factory.environment() as two,
        Network(one) as first,
        Network(two) as second,
    ):
        first.txt(DOMAIN, "first")
        second.txt(DOMAIN, "second")
        assert [resolver(x)(DOMAIN, "TXT") for x in (first, second)] == [['"first"'], ['"second"']]


def test_under_a_relay_that_is_forced_every_name_has_an_address(mailauth_network):
    mailauth_network.isp("forces-relay")
    assert resolver(mailauth_network)("anything.example.com", "A")
    with pytest.raises(dns.resolver.NXDOMAIN):
        resolver(mailauth_network)("_imaps._tcp.example.com", "SRV")


def test_without_the_package_it_is_told_what_to_install(mailauth_network, monkeypatch):
    monkeypatch.setattr(ours, "dnslib", None)
    with pytest.raises(ConfigError, match=r"pip install 'pytest-mailauth\[dns\]'"):
        mailauth_network.dns()


@pytest.mark.parametrize(
    ("say", "told"),
    [
        (lambda n: n.srv("_imaps._tcp", "a.test", 993), "domain with underscores"),
        (lambda n: n.srv("imaps.tcp.example.test", "a.test", 993), "_submissions._tcp"),
        (lambda n: n.srv("_imaps._tcp.example.test", "a.test", 70000), "port=70000"),
        (lambda n: n.srv("_imaps._tcp.example.test", "a.test", 993, weight=-1), "weight=-1"),
        (lambda n: n.srv("_imaps._tcp.example.test", "a.test", 993, priority=True), "priority=True"),
        (lambda n: n.mx("example.test", "b" * 64 + "ü.test"), "exchange="),
        (lambda n: n.mx("example.test", "a.test", preference="low"), "preference='low'"),
        (lambda n: n.txt(None, "text"), "name=None"),
    ],
)
def test_what_is_no_record_is_refused(mailauth_network, say, told):
    with pytest.raises(ConfigError, match=told):
        say(mailauth_network)


def test_records_can_be_taken_back(network):
    ask = resolver(network)
    network.withdraw(DOMAIN).mx(DOMAIN, "mx9.example.test")
    assert ask(DOMAIN, "MX") == ["10 mx9.example.test."]


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_what_is_said_when_a_question_comes_holds_for_its_answer(network, tcp):
    targets = iter(("first.example.test", "second.example.test"))
    network.when_asked(
        lambda: network.withdraw("_pop3s._tcp.example.test").srv("_pop3s._tcp.example.test", next(targets), 995)
    )
    ask = resolver(network, tcp=tcp)
    assert ask("_pop3s._tcp.example.test", "SRV") == ["0 0 995 first.example.test."]
    assert ask("_pop3s._tcp.example.test", "SRV") == ["0 0 995 second.example.test."]


def test_an_alias_leads_to_its_target_and_to_the_addresses(network):
    network.alias("mail.example.test", "relay.other.test")
    host, port = network.dns()
    for kind in ("A", "AAAA", "CNAME"):
        answer = dns.query.udp(dns.message.make_query("mail.example.test", kind), host, port=port, timeout=LIMIT).answer
        assert str(answer[0]) == f"mail.example.test. {answer[0].ttl} IN CNAME relay.other.test."
        assert [(str(one.name), one.rdtype.name) for one in answer[1:]] == (
            [] if kind == "CNAME" else [("relay.other.test.", kind)]
        )
