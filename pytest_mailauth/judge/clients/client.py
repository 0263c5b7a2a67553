"""What a client under test is: a name, what it declares, and a way to run it once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_mailauth.judge.clients.case import Case
from pytest_mailauth.model.terms import Protocol, Security
from pytest_mailauth.model.trial import Declaration

Run = Callable[[Case], object]
"""Connects, logs in and does one thing with what the case says. Raises on failure; what it returns is ignored."""


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
    """

    name: str
    run: Run
    protocols: tuple[Protocol, ...]
    securities: tuple[Security, ...] = (Security.STARTTLS, Security.IMPLICIT)
    declared: Declaration = field(default_factory=Declaration)
    relaxed: Run | None = None
    stop: Callable[[Case], None] | None = None

    @property
    def may_switch(self) -> bool:
        """True when it was declared to know another port of its account."""
        return self.declared.fallback == "other-port"


class ClientFailedError(Exception):
    """A program ended with an error; the text is what it printed."""
