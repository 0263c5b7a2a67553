"""What a client says inside TLS, step by step, so that one run of it can be held against another. No verdicts here."""

from __future__ import annotations

from itertools import groupby, takewhile
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model import events as e
from pytest_mailauth.model.exchanges import LOGINS
from pytest_mailauth.model.record import FAREWELLS
from pytest_mailauth.model.terms import Layer

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial

PROVE_NOTHING: Final = frozenset({*FAREWELLS.values(), "NOOP", "RSET"})
"""Commands that need no reply to the one before: a client says them when it has given up waiting."""


def steps(session: SessionRecord) -> list[e.Command]:
    """Return the commands inside TLS that wait for replies. One that is repeated says no more than one."""
    said = [c for c in session.of(e.Command, Layer.TLS) if c.verb and c.verb not in PROVE_NOTHING]
    return [next(same) for _, same in groupby(said, key=_key)]


def named(said: list[e.Command]) -> str:
    """Return the verbs; what only looks like one, and may be a secret, as it may be shown."""
    return ", ".join(c.verb if c.line.upper().startswith(c.verb) else c.line for c in said)


def in_common(seen: list[e.Command], usual: list[e.Command]) -> int:
    """Return how many steps are the same, from the first on."""
    pairs = zip(seen, usual, strict=False)
    return sum(1 for _ in takewhile(lambda pair: _key(pair[0]) == _key(pair[1]), pairs))


def mechanism(command: e.Command) -> bytes:
    """Return the mechanism that a command begins, in upper case; empty when there is none."""
    if command.verb not in ("AUTH", "AUTHENTICATE"):
        return b""
    return b"".join(command.argument.split()[:1]).upper()


def methods(trial: Trial) -> set[str]:
    """Return how the client logged in, or tried to, inside TLS: mechanisms, and the commands that need none."""
    said = [c for session in trial.sessions for c in session.of(e.Command, Layer.TLS) if c.verb in LOGINS]
    # PASS belongs to USER, and POP3's AUTH without a mechanism asks for a list.
    named_ways = {mechanism(c).decode("ascii", "replace") if "AUTH" in c.verb else c.verb for c in said}
    return named_ways - {"", "PASS"}


def has_logged_in(session: SessionRecord) -> bool:
    """Return whether a login inside TLS was accepted on this connection."""
    return any(fact.accepted for fact in session.of(e.Authentication, Layer.TLS))


def _key(command: e.Command) -> tuple[str, bytes]:
    """Return what makes two commands the same step: the verb, and of a login the mechanism."""
    return command.verb, mechanism(command)
