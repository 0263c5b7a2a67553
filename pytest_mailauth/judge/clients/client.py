"""What a client under test is: a name, what it declares, and a way to run it once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from pytest_mailauth.judge.clients.case import Case, Enter
from pytest_mailauth.model.terms import Protocol, Security
from pytest_mailauth.model.trial import Declaration
from pytest_mailauth.network.network import Network

Run = Callable[[Case], object]
"""Connects, logs in and does one thing with what the case says. Raises on failure; what it returns is ignored."""

Reach = Callable[[Network], AbstractContextManager[Enter | None]]
"""Opens a network for a client and closes it again: its names and ports then lead that client to the servers. For a
program it gives an :data:`~pytest_mailauth.judge.clients.case.Enter`."""

OUT_OF_REACH = (
    "this client runs outside this process, and names and real port numbers lead only clients inside it; "
    "network.run([...]) runs a program in a namespace where they do"
)
"""What is said of a scenario with a network to a client that has no way to reach one."""

NO_WEB = "this client runs outside this process, and only Python clients inside it reach the web servers of a trial"
"""What is said to a program where there are some: everywhere, when it is declared to read its domain's file."""


@contextlib.contextmanager
def in_process(network: Network) -> Iterator[None]:
    """Lead every connection of this process: the way for clients that are Python code."""
    network.open()
    try:
        yield
    finally:
        network.close()


@contextlib.contextmanager
def in_namespace(network: Network) -> Iterator[Enter]:
    """Give a program a network of its own: the way for those outside this process, on Linux.

    Raises:
        CannotServeHere: This system gives none.
    """
    try:
        network.command(("true",))  # now, and not in the client's time
        yield network.command
    finally:
        network.close()


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client under test.

    Attributes:
        name: What it is called in reports.
        run: Runs it once. Called in threads, several at a time, each with a case of its own.
        protocols: The protocols it speaks.
        securities: The modes it is judged in.
        declared: What it is declared to do.
        relaxed: Runs it once with this host's own TLS policy relaxed as far as it goes; None where that cannot be
            done from outside. It tells what the client refuses from what the host refuses for it.
        stop: Called when a run has outlasted its limit and the server's end of it has been cut; None when
            cutting the connection is enough.
        reach: How it meets names and real port numbers; None for a program outside, which does not.
        by_name: Whether it is told a name and a real port number in every scenario, and not in some alone.
    """

    name: str
    run: Run
    protocols: tuple[Protocol, ...]
    securities: tuple[Security, ...] = (Security.STARTTLS, Security.IMPLICIT)
    declared: Declaration = field(default_factory=Declaration)
    relaxed: Run | None = None
    stop: Callable[[Case], None] | None = None
    reach: Reach | None = in_process
    by_name: bool = False

    @property
    def in_network(self) -> Client:
        """The same client, run in a namespace if it is a program outside; else as it is."""
        return self if self.reach is not None else replace(self, reach=in_namespace, by_name=True)

    @property
    def may_switch(self) -> bool:
        """True when it was declared to know another port of its account."""
        return self.declared.fallback == "other-port"


class ClientFailedError(Exception):
    """A program ended with an error; the text is what it printed."""
