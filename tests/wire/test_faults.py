"""What fails inside is our bug: it ends the session, is written down with its traceback, and fails the test."""

import asyncio
import contextlib
import threading

import pytest
from wire_client import Wire, before_tls, only, secure, until

from pytest_mailauth.model.errors import ServerFault
from pytest_mailauth.model.events import Closed, Failed, Malformed
from pytest_mailauth.servers import server as server_module
from pytest_mailauth.servers.environment import MailServers
from pytest_mailauth.servers.wire import notes, transport
from pytest_mailauth.servers.wire.loop import LoopThread


class Clumsy:
    """An engine that trips over one call."""

    def __init__(self, engine, step):
        self._engine = engine
        self._step = step

    def __getattr__(self, name):
        if name == self._step:
            raise ZeroDivisionError(f"tripped over {name}")
        return getattr(self._engine, name)


def trip(monkeypatch, step):
    engine_of = server_module.engine_of

    def clumsy_engine_of(protocol):
        make = engine_of(protocol)

        def clumsy(*arguments, **settings):
            if step == "made":
                raise ZeroDivisionError("tripped over made")
            return Clumsy(make(*arguments, **settings), step)

        return clumsy

    monkeypatch.setattr(server_module, "engine_of", clumsy_engine_of)


@pytest.mark.parametrize("step", ["made", "greet", "receive", "tls_started", "eof"])
def test_a_failing_engine_fails_the_test_and_nothing_else(protocol, monkeypatch, step):
    trip(monkeypatch, step)
    servers = MailServers()
    server = getattr(servers, protocol)()
    with contextlib.suppress(ConnectionError), Wire(server) as wire:  # it may be cut off at any point
        if step in ("receive", "tls_started", "eof"):
            wire.greet()
        if step == "receive":
            wire.send(wire.speech.noop)
        elif step == "tls_started":
            wire.ask_for_tls()
            wire.wrap(server.ssl_context())
        elif step == "eof":
            wire.stop_sending()
        wire.rest()
    session = only(server)
    (failure,) = session.of(Failed)
    assert f"ZeroDivisionError: tripped over {step}" in failure.error
    assert "Traceback" in failure.error
    assert session.closed == (Closed("client", "close") if step == "eof" else Closed("server", "abort"))
    servers.close()
    with pytest.raises(ServerFault, match=f"tripped over {step}"):
        servers.raise_faults()
    with pytest.raises(ServerFault, match=f"(?s)MailServer {protocol}://.*failed inside.*tripped over {step}"):
        server.raise_faults()


def visit(context, *, then=None):
    """Enter *context*, let a client connect to a server in it, and leave with the error *then*."""
    with context as made:
        server = made if hasattr(made, "port") else made.smtp()
        with contextlib.suppress(ConnectionError), Wire(server) as wire:
            wire.rest()
        only(server)
        if then is not None:
            raise then


@pytest.mark.parametrize("what", ["environment", "smtp"])
def test_a_failure_surfaces_where_the_server_is_left(monkeypatch, what):
    trip(monkeypatch, "greet")
    servers = MailServers(isolated=True)
    with pytest.raises(ServerFault, match="tripped over greet"):
        visit(getattr(servers, what)())
    servers.close()


@pytest.mark.parametrize("what", ["environment", "smtp"])
def test_a_failure_of_the_test_itself_is_not_hidden(monkeypatch, what):
    trip(monkeypatch, "greet")
    servers = MailServers()
    with pytest.raises(KeyError, match="the test's own"):
        visit(getattr(servers, what)(), then=KeyError("the test's own"))
    servers.close()


def test_what_fails_on_the_thread_itself_fails_the_test():
    def fail():
        raise ZeroDivisionError("on the loop")

    servers = MailServers()
    server = servers.smtp()
    servers.loop.soon(fail)
    servers.close()
    said = r"(?s)the servers' thread failed inside:.*ZeroDivisionError: on the loop"
    with pytest.raises(ServerFault, match=said):
        server.raise_faults()
    servers.raise_faults()  # said once, so that it fails one test


def test_an_error_without_an_exception_is_told_too():
    loop = LoopThread()
    loop.call(lambda: asyncio.get_running_loop().call_exception_handler({"message": "something is odd"}))
    loop.stop()
    assert loop.take_errors() == ("something is odd",)
    assert loop.take_errors() == ()


def test_a_client_that_sends_without_end_is_cut_off(serve, security, monkeypatch):
    monkeypatch.setattr(notes, "BYTE_LIMIT", 5000)
    server = serve(security=security)
    with before_tls(server) as wire:
        if security == "starttls":
            wire.wrap(server.ssl_context())
        with contextlib.suppress(OSError):
            for _ in range(2000):
                wire.send(b"x" * 4000)
    session = only(server)
    assert session.of(Malformed)[-1].reason == "more than 5000 bytes: the client is cut off"
    assert session.closed == Closed("server", "abort")


@pytest.mark.parametrize(
    ("limit", "said"), [("FACT_LIMIT", "more than 300 facts"), ("REPLY_LIMIT", "replies of more than 300 bytes")]
)
def test_a_client_that_asks_without_end_is_cut_off(serve, security, monkeypatch, limit, said):
    monkeypatch.setattr(notes, limit, 300)
    server = serve(security=security)
    with secure(server) as wire, contextlib.suppress(OSError):
        wire.send(wire.speech.ask)
        while wire.reply(wire.speech.last)[-1]:
            wire.send(wire.speech.ask)
    session = only(server)
    assert session.of(Malformed)[-1].reason == f"{said}: the client is cut off"
    assert session.closed == Closed("server", "abort")


REQUESTS = 60
LARGE = b"Subject: large\r\n\r\n" + b"x" * (512 * 1024)


@pytest.fixture
def greedy(mailauth, security, tmp_path):
    """Return a server, and a client that has asked for 30 MiB and has read nothing yet."""
    server = mailauth.imap(security=security)
    (tmp_path / "large.eml").write_bytes(LARGE)
    server.load(tmp_path / "large.eml")
    with secure(server) as wire:
        wire.send(f"a LOGIN {server.account.username} {server.account.password}\r\nb SELECT INBOX\r\n".encode())
        wire.reply(b"b OK ")
        wire.send(b"c FETCH 1 BODY.PEEK[]\r\n" * REQUESTS + b"d NOOP\r\n")
        until(lambda: "FETCH" in server.sessions[0].verbs())
        yield server, wire


def test_a_client_that_reads_nothing_is_answered_no_further(greedy):
    server, wire = greedy
    assert 0 < server.sessions[0].verbs().count("FETCH") < REQUESTS
    seen = sum(line.startswith(b"c OK ") for line in wire.reply(b"d OK "))
    assert seen == REQUESTS
    assert server.sessions[0].verbs()[-1] == "NOOP"


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_a_client_that_leaves_without_reading_is_recorded_in_full(greedy, leave):
    server, wire = greedy
    wire.reset() if leave == "reset" else server.close()
    session = only(server)
    assert session.verbs().count("FETCH") == REQUESTS
    assert len(session.tls_out) < REQUESTS * len(LARGE)


def test_a_loop_that_was_stopped_runs_nothing():
    loop = LoopThread()
    assert loop.call(threading.current_thread).name == "pytest-mailauth"
    alarm = loop.later(60, lambda: None)
    loop.stop()
    loop.stop()
    assert not loop.running
    assert alarm.cancel()
    for use in (
        lambda: loop.call(int),
        lambda: loop.soon(int),
        lambda: loop.later(0, int),
        lambda: loop.run(asyncio.sleep(0)),
    ):
        with pytest.raises(RuntimeError, match="the servers are closed"):
            use()


def test_who_waits_for_the_loop_is_told_when_it_stops():
    loop = LoopThread()
    waiting = loop.submit(asyncio.sleep(60))
    loop.call(lambda: None)
    loop.stop()
    assert waiting.cancelled()


def test_alarms():
    loop = LoopThread()
    rung = threading.Event()
    early = loop.later(0, rung.set)
    assert rung.wait(10)
    assert not early.cancel()
    late = loop.later(60, rung.clear)
    assert late.cancel()
    assert late.cancel()
    loop.call(lambda: None)
    assert rung.is_set()
    loop.stop()


def test_an_alarm_that_is_cancelled_before_the_loop_knows_of_it():
    loop = LoopThread()
    rung = []
    held = threading.Event()
    loop.soon(held.wait)
    alarm = loop.later(0, lambda: rung.append(1))
    assert alarm.cancel()
    held.set()
    loop.call(lambda: None)
    # And one whose time has come in the same moment.
    alarm = loop.later(60, lambda: rung.append(2))
    alarm.cancel()
    loop.call(alarm._ring)
    loop.stop()
    assert rung == []


def test_a_system_without_quick_acknowledgements(serve, security, monkeypatch):
    monkeypatch.setattr(transport, "_QUICKACK", None)
    with secure(serve(security=security)) as wire:
        wire.send(wire.speech.noop)
        assert wire.line().startswith(wire.speech.okay)
