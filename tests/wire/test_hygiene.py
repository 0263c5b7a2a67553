"""Servers that are closed at the worst moment, and everything else that must leave nothing behind."""

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
from wire_client import ByHand, Wire, before_tls, only, secure, until

from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.model.events import Closed, Malformed
from pytest_mailauth.model.terms import HandshakeOutcome
from pytest_mailauth.servers.environment import MailServers

UNFINISHED = {
    "smtp": (b"EHLO x\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: hal", b"354"),
    "pop3": (b"AUTH PLAIN\r\nAG", b"+ "),
    "imap": (b"a1 AUTHENTICATE PLAIN\r\nAG", b"+ "),
}


@pytest.mark.parametrize("where", ["connected", "before the hello", "within the handshake", "inside TLS"])
def test_a_server_closed_under_its_client(serve, security, where):
    server = serve(security=security)
    if where == "connected":
        wire = Wire(server)
    elif where == "inside TLS":
        wire = secure(server)
    else:
        wire = before_tls(server)
        if where == "within the handshake":
            wire.send(ByHand(wire, server.ssl_context()).flight()[0])
            wire.segment()
    with wire:
        until(lambda: server.sessions)
        server.close()
        wire.rest()
        assert server.sessions[0].closed == Closed("server", "abort")


def test_a_server_closed_in_the_middle_of_a_command(serve):
    server = serve(auth=IN_CLEAR)
    said, asked = UNFINISHED[serve.__name__]
    with Wire(server).greet() as wire:
        wire.send(said)
        wire.reply(asked)
        until(lambda: server.sessions[0].clear_in == said)
        server.close()
        wire.rest()
    session = server.sessions[0]
    assert session.of(Malformed) == ()  # it did not leave, it was cut off
    assert session.closed == Closed("server", "abort")


def test_a_session_that_is_over_leaves_its_record_and_nothing_else(serve, security):
    server = serve(security=security)
    with secure(server) as wire:
        until(lambda: server.sessions[0].tls is not None)
        (connection,) = (weakref.ref(one) for one in server._listener._live)
        (channel,) = (weakref.ref(one._out.channel) for one in server._listener._live)
        wire.send(wire.speech.quit)
        wire.rest()
    assert only(server).tls.outcome is HandshakeOutcome.COMPLETED
    gc.collect()
    assert connection() is None
    assert channel() is None


def test_a_server_closed_in_the_middle_of_a_literal(mailauth):
    server = mailauth.imap(auth=IN_CLEAR)
    with Wire(server).greet() as wire:
        wire.send(b"a1 LOGIN {5}\r\n")
        assert wire.line().startswith(b"+ ")
        wire.send(b"ali")
        until(lambda: server.sessions[0].clear_in.endswith(b"ali"))
        server.close()
        wire.rest()
    assert server.sessions[0].of(Malformed) == ()


def test_the_record_outlives_the_server_and_its_thread(protocol):
    with MailServers() as servers:
        server = getattr(servers, protocol)()
        with secure(server) as wire:
            wire.send(wire.speech.quit)
            wire.rest()
        assert only(server).closed == Closed("server", "close")
        before = server.transcript()
    assert server.closed
    assert server.transcript() == before
    assert server.messages == ()
    server.drain(0)
    server.raise_faults()
    servers.raise_faults()


def test_closing_again_does_nothing(protocol):
    servers = MailServers()
    server = getattr(servers, protocol)()
    for _ in range(2):
        server.close()
        servers.close()
    assert server.sessions == ()


def test_servers_that_were_never_used_start_no_thread():
    threads = threading.active_count()
    servers = MailServers()
    assert threading.active_count() == threads
    servers.close()


@pytest.mark.parametrize("use", ["smtp", "pop3", "imap", "environment"])
def test_use_after_close_is_an_error_that_says_so(use):
    servers = MailServers()
    child = servers.environment()
    servers.close()
    for closed in (servers, child):
        with pytest.raises(RuntimeError, match="these servers are closed; make new ones"):
            getattr(closed, use)()


def test_an_environment_is_closed_with_its_parent():
    parent = MailServers()
    server = parent.environment().smtp()
    with Wire(server).greet() as wire:
        parent.close()
        assert wire.rest() == b""
    assert server.closed
    assert server.sessions[0].closed == Closed("server", "abort")


def test_one_server_that_cannot_be_closed_keeps_no_other_open(monkeypatch):
    servers = MailServers()
    first, broken, last = servers.smtp(), servers.smtp(), servers.smtp()

    def fail():
        raise ValueError("no")

    close = broken.close
    monkeypatch.setattr(broken, "close", fail)
    with pytest.raises(ValueError, match="no"):
        servers.close()
    assert first.closed
    assert last.closed
    assert not servers.loop.running
    with pytest.raises(RuntimeError, match="the servers are closed"):
        close()
    broken._listener._port.close()


def test_many_clients_at_once(serve):
    server = serve()
    wires = [Wire(server) for _ in range(200)]
    for wire in wires:
        wire.send(wire.speech.ask)
    for wire in wires:
        wire.greet().reply(wire.speech.last)
    assert len(server.sessions) == 200
    for wire in wires[::2]:
        wire.socket.close()
    until(lambda: sum(session.closed is not None for session in server.sessions) == 100)
    server.close()
    for wire in wires:
        wire.socket.close()
    assert all(len(session.commands) == 1 for session in server.sessions)
    assert {session.closed for session in server.sessions} == {Closed("client", "close"), Closed("server", "abort")}


def test_a_client_that_connects_in_the_moment_of_closing(mailauth):
    for _ in range(200):
        server = mailauth.smtp()
        with socket.create_connection(("127.0.0.1", server.port)):
            server.close()
        assert all(session.closed for session in server.sessions)


def test_hundreds_of_servers_leave_no_descriptor():
    folder = Path("/proc/self/fd") if sys.platform.startswith("linux") else Path("/dev/fd")
    protocols, modes = ("smtp", "pop3", "imap"), ("starttls", "implicit", "none")
    with MailServers(isolated=True) as servers:
        servers.smtp().close()
        before = len(os.listdir(folder)), threading.active_count()  # noqa: PTH208
        for number in range(500):
            with getattr(servers, protocols[number % 3])(security=modes[number // 3 % 3]) as server:
                if number % 10 == 0:
                    Wire(server).socket.close()
        assert len(servers.servers) == 1  # those that are closed are let go
        gc.collect()
        assert (len(os.listdir(folder)), threading.active_count()) == before  # noqa: PTH208
        assert servers.loop.call(lambda: len(asyncio.all_tasks())) == 1


SCRIPT = """
import socket, sys
sys.path.insert(0, {here!r})
from wire_client import ByHand, Wire, before_tls, secure
from test_hygiene import UNFINISHED
from pytest_mailauth.model.config import IN_CLEAR, AuthPolicy
from pytest_mailauth.servers.environment import MailServers

servers = MailServers()
for protocol, (said, asked) in UNFINISHED.items():
    for security in ("starttls", "implicit"):
        auth = IN_CLEAR if security == "starttls" else AuthPolicy()
        server = getattr(servers, protocol)(security=security, auth=auth)
        kept = [Wire(server), before_tls(server), secure(server), secure(server), before_tls(server), secure(server)]
        for wire in kept[2:4]:
            wire.send(said)
            wire.reply(asked)
        kept[3].reset()
        kept[4].send(ByHand(kept[4], server.ssl_context()).flight()[0])
        kept[5].send(b"\\0garbage")
        server.transcript()
        for wire in kept:
            wire.socket.close()
{end}
"""


@pytest.mark.parametrize("end", ["servers.close()", "server.transcript()"], ids=["closed", "abandoned"])
def test_nothing_is_said_on_stderr_however_sessions_end(end):
    program = SCRIPT.format(here=str(Path(__file__).parent), end=end)
    # The interpreter warns of sockets that nobody closed; servers that were abandoned are not closed by anybody.
    options = ["-X", "dev", "-W", "error"] if "close" in end else []
    command = [sys.executable, *options, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
