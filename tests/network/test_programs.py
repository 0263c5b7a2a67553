"""Programs in the network of a test: what they meet, what is noted of them, and that nothing of them is left."""

from __future__ import annotations

import shutil
import smtplib
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from pytest_mailauth import AttemptOutcome, CannotServe, ConfigError, Network
from pytest_mailauth.model.errors import CannotServeHere
from pytest_mailauth.model.events import Entry, Opened
from pytest_mailauth.model.record import SessionRecord
from pytest_mailauth.model.terms import Layer, Protocol, Security
from pytest_mailauth.network import programs
from pytest_mailauth.network.journal import Journal, Note
from pytest_mailauth.network.namespace import Namespace

if Namespace.probe() is not None:
    pytest.skip(Namespace.probe(), allow_module_level=True)

DEADLINE = 30
HOST, OTHER = "smtp.example.test", "mx.example.test"
LETTER = "From: alice@example.test\r\nTo: bob@example.test\r\nSubject: from a program\r\n\r\nhello\r\n"

SEND = """
import smtplib, ssl, sys
host, port, cafile, user, password, limit = sys.argv[1:]
context = ssl.create_default_context(cafile=cafile)
client = smtplib.SMTP(host, int(port), timeout=float(limit))
client.starttls(context=context)
client.login(user, password)
client.sendmail("alice@example.test", "bob@example.test", "Subject: from a program\\r\\n\\r\\nhello\\r\\n")
client.quit()
"""
CONNECT = """
import errno, socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])) as one:
        print(one.recv(100).decode().strip())
except TimeoutError:
    print("timeout")
except socket.gaierror:
    print("unknown")
except OSError as error:
    print(errno.errorcode.get(error.errno))
"""


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def needs_block(how):
    reason = Namespace.probe(how)
    if reason is not None:
        pytest.skip(reason)


def connect(network, host, port, limit=DEADLINE):
    done = network.run([sys.executable, "-c", CONNECT, host, str(port), str(limit)], text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def sending(network, host=HOST, port=587, limit=DEADLINE):
    account = network.account
    told = [host, str(port), network.cafile, account.username, account.password, str(limit)]
    return [sys.executable, "-c", SEND, *told]


def told(network):
    return [str(one) for one in network.attempts]


def until(seen):
    late = time.monotonic() + DEADLINE
    while not seen():
        assert time.monotonic() < late


def sent_inside_tls(server):
    (session,) = server.sessions
    (message,) = server.messages
    return message.over_tls and [one.accepted for one in session.auth] == [True]


# What programs meet.


@needs("msmtp")
@pytest.mark.parametrize(("port", "starttls"), [(587, "on"), (465, "off")])
def test_msmtp_sends_to_a_real_port(mailauth_network, port, starttls):
    mailauth_network.host(HOST).smtp(587).smtps(465)
    account = mailauth_network.account
    command = ["msmtp", "--file=/dev/null", f"--host={HOST}", f"--port={port}", "--tls=on"]
    command += [f"--tls-starttls={starttls}", f"--tls-trust-file={mailauth_network.cafile}", "--auth=plain"]
    command += [f"--user={account.username}", f"--passwordeval=printf %s '{account.password}'"]
    command += ["--from=alice@example.test", "bob@example.test"]
    done = mailauth_network.run(command, input=LETTER, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    assert sent_inside_tls(mailauth_network.host(HOST)[port])
    (attempt,) = mailauth_network.attempts
    assert (attempt.name, attempt.port, attempt.outcome) == (HOST, port, AttemptOutcome.CONNECTED)
    assert attempt.credentials is Layer.TLS


@needs("curl")
@pytest.mark.parametrize(("certificate", "status"), [("valid", 0), ("wrong-host", 60), ("untrusted-root", 60)])
def test_curl_checks_the_certificate_of_the_name(mailauth_network, certificate, status):
    server = mailauth_network.host("imap.example.test").imaps(certificate=certificate)[993]
    account = f"{server.account.username}:{server.account.password}"
    command = ["curl", "-sS", "--cacert", server.cafile, "--user", account, "imaps://imap.example.test/"]
    assert mailauth_network.run(command, timeout=DEADLINE).returncode == status
    assert len(server.sessions[0].auth) == (status == 0)


def test_python_sends_and_shares_records_with_the_clients_of_the_test(mailauth_network):
    server = mailauth_network.host(HOST).smtp(587)[587]
    smtplib.SMTP(HOST, 587, timeout=DEADLINE).close()
    mailauth_network.run(sending(mailauth_network), timeout=DEADLINE, check=True)
    smtplib.SMTP(HOST, 587, timeout=DEADLINE).close()
    assert [session.number for session in server.sessions] == [1, 2, 3]
    assert [len(session.auth) for session in server.sessions] == [0, 1, 0]
    assert [one.session.number for one in mailauth_network.attempts] == [1, 2, 3]
    assert [one.name for one in mailauth_network.attempts] == [HOST] * 3
    assert len(mailauth_network.servers.messages) == 1


def test_what_was_scripted_is_met_by_a_program(mailauth_network):
    server = mailauth_network.host(HOST).smtp(587)[587]
    server.on("MAIL").reply(451, "4.3.0 Come back")
    done = mailauth_network.run(sending(mailauth_network), text=True, timeout=DEADLINE)
    assert "Come back" in done.stderr


def test_a_name_may_be_an_alias(mailauth_network):
    (address,) = mailauth_network.host("mail.example.test").imaps().addresses
    ask = "import socket; print(socket.getaddrinfo('mail.example.test', 993, flags=socket.AI_CANONNAME)[0][3:])"
    command = [sys.executable, "-c", ask]
    plain = mailauth_network.run(command, text=True, timeout=DEADLINE)
    assert plain.stdout.strip() == str(("mail.example.test", (address, 993)))
    mailauth_network.alias("mail.example.test", "target.example.test")
    alias = mailauth_network.run(command, text=True, timeout=DEADLINE)
    assert alias.stdout.strip() == str(("target.example.test", (address, 993)))


def test_one_server_under_two_names_is_told_by_name(mailauth_network):
    server = mailauth_network.host(HOST).smtp(587)[587]
    mailauth_network.host(OTHER).leads_to(server, 2525)
    assert HOST in connect(mailauth_network, OTHER, 2525)
    assert HOST in connect(mailauth_network, HOST, 587)
    assert [(one.name, one.port) for one in mailauth_network.attempts] == [(OTHER, 2525), (HOST, 587)]
    assert mailauth_network.attempts[0].address == mailauth_network.host(OTHER).addresses[0]


def test_a_server_of_the_test_is_at_its_own_port_of_localhost(mailauth_network, mailauth_smtp):
    assert connect(mailauth_network, "localhost", mailauth_smtp.port).startswith("220 localhost")
    (attempt,) = mailauth_network.attempts
    assert (attempt.name, attempt.address, attempt.port) == (None, "127.0.0.1", mailauth_smtp.port)


def test_what_is_added_while_a_namespace_is_there_is_met(mailauth_network):
    assert connect(mailauth_network, HOST, 587) == "unknown"
    mailauth_network.host(HOST)
    assert connect(mailauth_network, HOST, 587) == "ECONNREFUSED"
    server = mailauth_network.host(HOST).smtp(587)[587]
    assert connect(mailauth_network, HOST, 587).startswith("220 smtp.example.test")
    server.close()
    assert connect(mailauth_network, HOST, 587) == "ECONNREFUSED"
    mailauth_network.unresolvable(HOST)
    assert connect(mailauth_network, HOST, 587) == "unknown"


@pytest.mark.parametrize(
    ("how", "met", "seen"),
    [
        ("refused", "ECONNREFUSED", ["smtp.example.test:587 refused"]),
        ("timeout", "timeout", ["smtp.example.test:587 timeout"]),
        ("prohibited", "EHOSTUNREACH", []),
    ],
)
@pytest.mark.parametrize("wide", [False, True])
def test_a_blocked_port_is_blocked_for_programs(mailauth_network, how, met, seen, wide):
    needs_block(how)
    mailauth_network.host(HOST).smtp(587)
    where = (587,) if wide else (HOST, 587)
    mailauth_network.block(*where, how=how)
    assert connect(mailauth_network, HOST, 587, 0.2) == met
    assert told(mailauth_network) == seen
    mailauth_network.lift(*where)
    assert connect(mailauth_network, HOST, 587).startswith("220")


def test_a_host_may_be_blocked_otherwise_than_all(mailauth_network):
    needs_block("timeout")
    mailauth_network.host(HOST).smtp(25)
    mailauth_network.host(OTHER).smtp(25)
    mailauth_network.block(25)
    mailauth_network.block(OTHER, 25, how="refused")
    assert connect(mailauth_network, HOST, 25, 0.2) == "timeout"
    assert connect(mailauth_network, OTHER, 25) == "ECONNREFUSED"


@pytest.mark.parametrize(("how", "met"), [("banner", "554 5.7.1 Connection blocked"), ("silent", "timeout")])
def test_what_a_server_does_itself_is_met_by_programs(mailauth_network, how, met):
    mailauth_network.host(HOST).smtp(587)
    assert connect(mailauth_network, HOST, 587).startswith("220")
    mailauth_network.block(587, how=how)
    assert connect(mailauth_network, HOST, 587, 0.5).startswith(met)
    mailauth_network.lift()
    assert connect(mailauth_network, HOST, 587).startswith("220")


def test_a_box_answers_where_a_host_has_no_server(mailauth_network):
    mailauth_network.host(HOST)
    mailauth_network.block(25, how="banner")
    assert connect(mailauth_network, HOST, 25).startswith("554")


def test_the_state_of_a_server_holds_for_programs(mailauth_network, mailauth_smtp):
    needs_block("refused")
    server = mailauth_network.host(HOST).smtp(587, port_state="refused")[587]
    assert connect(mailauth_network, HOST, 587) == "ECONNREFUSED"
    server.lift()
    assert connect(mailauth_network, HOST, 587).startswith("220")
    server.block("refused")
    assert connect(mailauth_network, HOST, 587) == "ECONNREFUSED"
    mailauth_smtp.block("refused")
    assert connect(mailauth_network, "localhost", mailauth_smtp.port) == "ECONNREFUSED"


def test_a_block_that_is_lifted_lets_a_waiting_program_through(mailauth_network):
    needs_block("timeout")
    mailauth_network.host(HOST).smtp(587)
    mailauth_network.block(587)
    with mailauth_network.popen(sending(mailauth_network)) as process:
        until(lambda: told(mailauth_network) == ["smtp.example.test:587 timeout"])
        mailauth_network.lift(587)
        assert process.wait(DEADLINE) == 0
    (attempt,) = mailauth_network.attempts
    assert attempt.outcome is AttemptOutcome.CONNECTED
    assert attempt.session.stored


def test_the_thread_that_serves_may_block_a_port(mailauth_network):
    """What a test gives a server runs there, and waits for nobody."""
    needs_block("refused")
    server = mailauth_network.host(HOST).smtp(587)[587]
    assert connect(mailauth_network, HOST, 587).startswith("220")
    mailauth_network.servers.loop.do(lambda: server.block("refused"))
    assert connect(mailauth_network, HOST, 587) == "ECONNREFUSED"


# Access providers and records.


def test_blocked_25_is_seen_by_a_program_that_goes_on_to_587(mailauth_network):
    needs_block("timeout")
    mailauth_network.isp("blocks-25").host(HOST).smtp(25).smtp(587)
    assert connect(mailauth_network, HOST, 25, 0.2) == "timeout"
    assert connect(mailauth_network, HOST, 587).startswith("220")
    assert told(mailauth_network)[0] == "smtp.example.test:25 timeout"


def test_a_forced_relay_answers_for_a_program_whoever_is_asked(mailauth_network):
    pytest.importorskip("dnslib")
    mailauth_network.host(HOST).smtp(25)
    assert HOST in connect(mailauth_network, HOST, 25)
    mailauth_network.isp("forces-relay")
    assert connect(mailauth_network, HOST, 25).startswith("220 relay.isp.test")
    assert connect(mailauth_network, "mx.nobody.test", 25).startswith("220 relay.isp.test")
    assert [one.name for one in mailauth_network.attempts] == [HOST, HOST, "mx.nobody.test"]


DISCOVER = """
import dns.resolver
(mx,) = dns.resolver.resolve("example.test", "MX")
(srv,) = dns.resolver.resolve("_submissions._tcp.example.test", "SRV")
print(mx.exchange, srv.target, srv.port)
"""


def test_records_are_found_through_the_resolver_of_the_system(mailauth_network):
    pytest.importorskip("dnslib")
    mailauth_network.mx("example.test", OTHER).srv("_submissions._tcp.example.test", HOST, 465)
    done = mailauth_network.run([sys.executable, "-c", DISCOVER], text=True, timeout=DEADLINE)
    assert done.stdout.split() == [f"{OTHER}.", f"{HOST}.", "465"], done.stderr
    assert mailauth_network.dns_inside() == ("127.0.0.53", 53)


def test_without_a_dns_server_the_names_are_all_there_is(mailauth_network, monkeypatch):
    monkeypatch.setattr(programs.importlib.util, "find_spec", lambda _: None)
    mailauth_network.host(HOST).smtp(587)
    assert connect(mailauth_network, HOST, 587).startswith("220")
    assert connect(mailauth_network, OTHER, 587) == "unknown"


def test_a_name_without_address_is_noted(mailauth_network):
    pytest.importorskip("dnslib")
    assert connect(mailauth_network, "gone.example.test", 587) == "unknown"
    (attempt,) = mailauth_network.attempts
    assert str(attempt) == "gone.example.test unresolvable"
    assert attempt.outcome is AttemptOutcome.UNRESOLVABLE


def test_several_addresses_are_met_in_their_order(mailauth_network):
    host = mailauth_network.host(HOST, addresses=("ipv6", "ipv4"))
    host.at(1).smtp(587)
    assert connect(mailauth_network, HOST, 587).startswith("220")
    assert [(one.family, str(one.outcome)) for one in mailauth_network.attempts] == [
        ("ipv6", "refused"),
        ("ipv4", "connected"),
    ]


# What is noted.


def test_where_the_kernel_tells_of_nothing_those_are_noted_who_were_accepted(mailauth_network, monkeypatch):
    monkeypatch.setattr(Namespace, "sightings", lambda _: None)
    mailauth_network.host(HOST).smtp(587)
    assert connect(mailauth_network, HOST, 25) == "ECONNREFUSED"
    assert connect(mailauth_network, HOST, 587).startswith("220")
    assert [(one.port, one.session.number) for one in mailauth_network.attempts] == [(587, 1)]


def test_a_program_that_talks_to_itself_is_none_of_the_networks(mailauth_network):
    code = "import socket; a = socket.create_server(('127.0.0.1', 0)); socket.create_connection(a.getsockname(), 5).close()"
    mailauth_network.run([sys.executable, "-c", code], timeout=DEADLINE, check=True)
    assert mailauth_network.attempts == ()


def test_what_runs_here_is_no_program_that_is_not_led(mailauth_network):
    mailauth_network.host(HOST)
    mailauth_network.run([sys.executable, "-c", ""], timeout=DEADLINE)
    assert "other programs were started" not in mailauth_network.summary()
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert "other programs were started" in mailauth_network.summary()


class Served(SimpleNamespace):
    """As much of a server as the journal asks."""

    __hash__ = object.__hash__


def test_the_same_port_number_in_two_networks_is_two_clients():
    """A client in a namespace and one of this process may have the same port of their own."""
    journal = Journal()
    record = (Entry(2.0, Layer.CLEAR, Opened(peer="127.0.0.1:40000")),)
    sessions = tuple(SessionRecord(n, Protocol.SMTP, Security.STARTTLS, "main", record) for n in (1, 2))
    server = Served(protocol=Protocol.SMTP, security=Security.STARTTLS, sessions=sessions)
    common = {"name": HOST, "address": "127.77.0.1", "port": 587, "outcome": AttemptOutcome.CONNECTED, "at": 1.0}
    journal.add(Note(**common, server=server, source=40000))
    journal.add(Note(**common, server=server, session=1))
    assert [one.session.number for one in journal.attempts()] == [2, 1]


# Where it begins and ends.


def test_two_networks_do_not_see_each_other(mailauth):
    with Network(mailauth) as one, Network(mailauth) as other:
        one.host(HOST).smtp(587)
        assert connect(other, HOST, 587) == "unknown"
        assert connect(one, HOST, 587).startswith("220")


def test_a_network_that_is_not_open_here_runs_programs(mailauth):
    network = Network(mailauth)
    try:
        network.host(HOST).smtp(587)
        assert connect(network, HOST, 587).startswith("220")
    finally:
        network.close()


def test_a_network_that_is_closed_runs_no_more_programs(mailauth):
    with Network(mailauth) as network:
        assert connect(network, HOST, 587) == "unknown"
    with pytest.raises(RuntimeError, match="this network is closed"):
        network.run(["true"])
    with network:
        assert connect(network, HOST, 587) == "unknown"


WAIT = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]


def test_programs_end_with_the_network(mailauth):
    before = set(threading.enumerate())
    with Network(mailauth) as network:
        network.host(HOST).smtp(587)
        process = network.popen(WAIT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "up\n"
        helper = network._inside.namespace._channel._process
    assert process.poll() is not None
    assert helper.poll() is not None
    process.stdin.close()
    process.stdout.close()
    assert {thread for thread in threading.enumerate() if thread not in before} <= {mailauth.loop._thread}
    network.close()


def test_a_time_out_ends_the_program_and_leaves_the_network(mailauth_network):
    mailauth_network.host(HOST).smtp(587, port_state="silent")
    with pytest.raises(subprocess.TimeoutExpired):
        mailauth_network.run([sys.executable, "-c", CONNECT, HOST, "587", "60"], timeout=1)
    (attempt,) = mailauth_network.attempts
    assert attempt.outcome is AttemptOutcome.CONNECTED
    assert mailauth_network.host(HOST)[587].sessions[0].closed is not None
    assert connect(mailauth_network, HOST, 25) == "ECONNREFUSED"


def test_bytes_environment_and_folder_are_those_that_are_given(mailauth_network, tmp_path):
    code = "import os, sys; sys.stdout.write(os.environ['WORD'] + os.getcwd() + sys.stdin.read())"
    done = mailauth_network.run([sys.executable, "-c", code], input=b"in", env={"WORD": "word"}, cwd=tmp_path)
    assert done.stdout == f"word{tmp_path}in".encode()
    with pytest.raises(FileNotFoundError):
        mailauth_network.run(["no-such-program-here"])
    with pytest.raises(ConfigError):
        mailauth_network.run([])


def test_a_command_for_whatever_starts_programs(mailauth_network):
    mailauth_network.host(HOST).smtp(587)
    command = mailauth_network.command([sys.executable, "-c", CONNECT, HOST, "587", "20"])
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE)
    assert done.stdout.startswith("220")


def test_what_fails_at_the_start_leaves_nothing(mailauth_network, monkeypatch):
    made = []
    start = Namespace.__init__

    def remember(self):
        made.append(self)
        start(self)

    monkeypatch.setattr(Namespace, "__init__", remember)
    monkeypatch.setattr(
        Namespace, "names", lambda _, names, *more: (_ for _ in more).throw(CannotServe("no")) if names else None
    )
    mailauth_network.host(HOST).smtp(587)
    with pytest.raises(CannotServe):
        mailauth_network.run(["true"])
    assert made[0]._channel._process.poll() is not None
    monkeypatch.undo()
    assert connect(mailauth_network, HOST, 587).startswith("220")


def test_a_test_is_skipped_where_there_is_no_namespace(pytester):
    pytester.makepyfile(
        """
        import pytest
        from pytest_mailauth.model.errors import CannotServeHere
        from pytest_mailauth.network import programs

        def refuse():
            raise CannotServeHere("this system gives no network namespace")

        def test_x(mailauth_network, monkeypatch):
            monkeypatch.setattr(programs, "Namespace", refuse)
            mailauth_network.run(["true"])
        """
    )
    result = pytester.runpytest("-rs", "-p", "no:asyncio", "-p", "no:randomly")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*this system gives no network namespace*"])


def test_where_there_is_none_it_says_so(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(CannotServeHere, match="this is darwin"):
        Namespace()
