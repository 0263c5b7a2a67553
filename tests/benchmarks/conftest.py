"""The contenders, started once, and the table at the end of the run. Nothing here judges a figure."""

from __future__ import annotations

import socket

import pytest
from contenders import CONTROLLER, FLOOR, OURS, Contenders

_ratios = pytest.StashKey[dict[str, dict[str, float]]]()
_notes = pytest.StashKey[list[str]]()


def pytest_configure(config):
    config.stash[_ratios] = {}
    config.stash[_notes] = []


@pytest.fixture(autouse=True)
def bare_sockets(monkeypatch):
    """Take the other tests' guard off: it costs every side the same, and would make the ratios look better."""
    for name in ("connect", "connect_ex", "sendto", "sendmsg"):
        if name in vars(socket.socket):
            monkeypatch.delattr(socket.socket, name)


@pytest.fixture(scope="session")
def contenders():
    with Contenders() as all_of_them:
        yield all_of_them


@pytest.fixture(scope="session")
def ratios(pytestconfig):
    """Take the medians of one action, by contender, for the table at the end."""
    return pytestconfig.stash[_ratios]


@pytest.fixture(scope="session")
def note(pytestconfig):
    """Take a line for the end of the run."""
    return pytestconfig.stash[_notes].append


def pytest_terminal_summary(terminalreporter, config):
    table = config.stash[_ratios]
    if table:
        terminalreporter.section("measured in turn: medians in milliseconds, and ratios of medians")
        columns = (OURS, CONTROLLER, FLOOR, f"ours/{CONTROLLER}", f"ours/{FLOOR}")
        terminalreporter.write_line(_line("", columns))
        for name, medians in table.items():
            terminalreporter.write_line(_line(name, _cells(medians)))
    if config.stash[_notes]:
        terminalreporter.section("measured alone")
        for line in config.stash[_notes]:
            terminalreporter.write_line(line)


def _cells(medians):
    contenders = (OURS, CONTROLLER, FLOOR)
    yield from (f"{medians[who]:.2f}" if who in medians else "" for who in contenders)
    yield from (f"{medians[OURS] / medians[who]:.2f}" if who in medians else "" for who in contenders[1:])


def _line(name, cells):
    return f"{name:34}" + "".join(f"{cell:>16}" for cell in cells)
