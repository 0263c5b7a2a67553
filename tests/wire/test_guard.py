"""The guards of this suite: no attempt leaves loopback, and what a test leaves behind fails it."""

import contextlib
import socket

import pytest

FOREIGN = ["192.0.2.1", "8.8.8.8", "2001:db8::1", "::ffff:192.0.2.1", "0.0.0.0", "128.0.0.1", "mail.example.test", ""]  # noqa: S104
LOOPBACK = ["127.0.0.1", "127.77.0.1", "::1", "::ffff:127.0.0.1", "localhost"]

ATTEMPTS = {
    "connect": lambda sock, address: sock.connect(address),
    "connect_ex": lambda sock, address: sock.connect_ex(address),
    "sendto": lambda sock, address: sock.sendto(b"x", address),
    "sendto with flags": lambda sock, address: sock.sendto(b"x", 0, address),
    "sendmsg": lambda sock, address: sock.sendmsg([b"x"], [], 0, address),
}


@pytest.fixture(params=ATTEMPTS)
def attempt(request):
    # The socket is closed: an attempt that passes the guard fails on it, and nothing ever leaves.
    closed = socket.socket()
    closed.close()
    return lambda host: ATTEMPTS[request.param](closed, (host, 25))


@pytest.mark.parametrize("host", FOREIGN)
def test_an_attempt_to_leave_loopback_is_refused_and_named(attempt, host):
    with pytest.raises(RuntimeError, match="tests stay on 127") as refusal:
        attempt(host)
    assert refusal.typename == "LeftLoopback"
    assert f"reach {host} port 25" in str(refusal.value)


@pytest.mark.parametrize("host", LOOPBACK)
def test_an_attempt_on_loopback_goes_through(attempt, host):
    with contextlib.suppress(OSError):
        assert attempt(host) != 0  # connect_ex returns the error number of the closed socket


def test_a_send_without_an_address_and_a_local_path_are_let_through(tmp_path):
    one, other = socket.socketpair()
    with one, other:
        assert one.sendmsg([b"xy"]) == 2
        assert other.recv(10) == b"xy"
    with socket.socket(socket.AF_UNIX) as local, pytest.raises(FileNotFoundError):
        local.connect(str(tmp_path / "nobody"))


LEAKS = """
import socket
import threading

import pytest

kept = []


@pytest.mark.parametrize("what", ["nothing", "a closed socket", "a failure"])
def test_fine(what):
    if what == "a closed socket":
        socket.socket().close()
    if what == "a failure":
        kept.append(socket.socket())
        raise ValueError("a failed test is not told about its leaks")


def test_socket():
    kept.append(socket.socket())


def test_thread():
    thread = threading.Thread(target=threading.Event().wait, name="idler", daemon=True)
    thread.start()


def test_own_servers():
    from pytest_mailauth.servers.environment import MailServers

    kept.append(MailServers().smtp())


def test_server_of_the_session(mailauth_factory):
    kept.append(mailauth_factory.smtp())


def test_task(mailauth_factory):
    import asyncio

    kept.append(mailauth_factory.loop.submit(asyncio.sleep(60)))
"""


SAID = {
    "test_socket": "sockets are still open: socket:[[]*",
    "test_thread": "thread 'idler' is still running",
    "test_own_servers": "thread 'pytest-mailauth' is still running; sockets are still open: *",
    "test_server_of_the_session": "sockets are still open: socket:[[]*",
    "test_task": "a task is still pending on the servers' loop: *sleep*",
}


def test_what_a_test_leaves_behind_fails_it(pytester, request):
    tests = request.config.rootpath / "tests"
    pytester.makeconftest((tests / "conftest.py").read_text().replace("PATIENCE = 2.0", "PATIENCE = 0.05"))
    pytester.makepyfile(scheduling=(tests / "scheduling.py").read_text())
    pytester.makepyfile(LEAKS)
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=7, failed=1, errors=len(SAID))
    for name, said in SAID.items():
        result.stdout.fnmatch_lines(
            [f"*ERROR at teardown of {name} *", f"left behind by this test: {said}"], consecutive=True
        )
