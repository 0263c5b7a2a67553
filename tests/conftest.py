"""What holds for every test: nothing leaves loopback, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import ipaddress
import socket
import threading
from pathlib import Path

import pytest
from scheduling import Together

pytest_plugins = ["pytester"]


def pytest_addoption(parser):
    parser.addoption(
        "--whole-matrix",
        choices=("check", "write"),
        help="run every reference client through every scenario, and check what is published of it, or write that",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    if config.getvalue("dist") != "loadgroup":
        return None
    return Together(config, log)


# The guard.


class LeftLoopback(RuntimeError):
    """A test tried to reach another machine. No ``OSError``: a client must not take it for a failed attempt."""


def _refuse_foreign(address):
    if not isinstance(address, tuple):
        return  # a path: such a socket stays on this machine
    host = address[0]
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        # A name would have to be looked up, which already asks other machines.
        is_here = host == "localhost"
    else:
        is_here = (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
    if not is_here:
        raise LeftLoopback(f"a test tried to reach {host} port {address[1]}; tests stay on 127.0.0.0/8 and ::1")


# Each method with the number of arguments it takes before an address.
_REACHING_OUT = {"connect": 0, "connect_ex": 0, "sendto": 1, "sendmsg": 3}


def _guarded(method, before):
    @functools.wraps(method)
    def guarded(self, *arguments):
        if len(arguments) > before:
            _refuse_foreign(arguments[-1])
        return method(self, *arguments)

    return guarded


def pytest_configure():
    for name, before in _REACHING_OUT.items():
        setattr(socket.socket, name, _guarded(getattr(socket.socket, name), before))


def pytest_unconfigure():
    for name in _REACHING_OUT:
        # The real ones are inherited from the built-in class, and come to light again.
        delattr(socket.socket, name)


# The leak check.

_failed = pytest.StashKey[bool]()
PATIENCE = 2.0
TRIOS_OWN = "Trio thread"
"""Idle threads that trio keeps for whoever needs one next in this process; each ends after ten seconds."""


_DESCRIPTORS = Path("/proc/self/fd")


def _open_sockets():
    found = set()
    for descriptor in _DESCRIPTORS.iterdir() if _DESCRIPTORS.is_dir() else ():
        with contextlib.suppress(OSError):  # the descriptor of the listing itself is gone by now
            found.add(str(descriptor.readlink()))
    return {target for target in found if target.startswith("socket:")}


def _left_behind(threads, sockets, servers):
    for thread in set(threading.enumerate()) - threads:
        if thread.name.startswith(TRIOS_OWN):
            continue
        thread.join(PATIENCE)
        if thread.is_alive():
            yield f"thread {thread.name!r} is still running"
    left = _open_sockets() - sockets
    if left:
        gc.collect()  # a socket in a reference cycle was not closed either, and its ResourceWarning says so
        left &= _open_sockets()
    if left:
        yield f"sockets are still open: {', '.join(sorted(left))}"
    if servers is not None:
        for task in servers.loop.call(lambda: asyncio.all_tasks() - {asyncio.current_task()}):
            yield f"a task is still pending on the servers' loop: {task!r}"


@pytest.fixture(autouse=True)
def nothing_left_behind(request):
    """Fail a test that passed and left a thread, an open socket or a pending task behind."""
    servers = None
    if "mailauth_factory" in request.fixturenames:
        servers = request.getfixturevalue("mailauth_factory")
        servers.loop.call(lambda: None)  # the session's thread, which may stay, is running from here on
    threads, sockets = set(threading.enumerate()), _open_sockets()
    yield
    # A failed test is held by its traceback, and with it what it had open.
    if not request.node.stash.get(_failed, False):
        left = list(_left_behind(threads, sockets, servers))
        if left:
            pytest.fail("left behind by this test: " + "; ".join(left), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report
