"""Notes of what clients tried, taken where they connect and read together with what the servers saw."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from pytest_mailauth.model.attempts import Attempt, AttemptOutcome
from pytest_mailauth.model.events import Opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.servers.server import MailServer


@dataclass(eq=False)
class Note:
    """One attempt as it is going on.

    Attributes:
        source: The client's own port, by which its session is found.
        session: The number of its session, where that is known beforehand.
        settle: Called before the note is read while the attempt is not over: brings outcome and waited up to date.
    """

    name: str | None
    address: str
    port: int
    outcome: AttemptOutcome
    timeout: float | None = None
    waited: float | None = None
    server: MailServer | None = None
    source: int | None = None
    session: int | None = None
    settle: Callable[[], object] | None = None
    at: float = field(default_factory=monotonic)


class Journal:
    """The attempts of one network, in order. Any thread may write, and no lock is taken: a process may fork."""

    def __init__(self) -> None:
        self._notes: list[Note] = []

    def add(self, note: Note) -> Note:
        """Note an attempt; its outcome may still be changed."""
        self._notes.append(note)
        return note

    def __len__(self) -> int:
        return len(self._notes)

    def attempts(self) -> tuple[Attempt, ...]:
        """Return every attempt up to now, each with the session that it led to."""
        notes = tuple(self._notes)
        for note in notes:
            if note.settle is not None:
                note.settle()
        sessions = _sessions_of(notes)
        return tuple(_attempt(number, note, sessions.get(note)) for number, note in enumerate(notes, 1))


def _sessions_of(notes: Iterable[Note]) -> dict[Note, SessionRecord]:
    """Return the session that each attempt led to; none for a connection that never came to one.

    A client's port may be used again: a session belongs to the last attempt from that port which began before it, and
    only the first session after an attempt is its own.
    """
    came: dict[MailServer, dict[int, list[Note]]] = {}
    known = {(note.server, note.session): note for note in notes if note.session is not None}
    for note in notes:
        if note.session is not None and note.server is not None:
            came.setdefault(note.server, {})
        elif note.server is not None and note.source is not None and note.outcome is AttemptOutcome.CONNECTED:
            came.setdefault(note.server, {}).setdefault(note.source, []).append(note)
    found: dict[Note, SessionRecord] = {}
    for server, by_source in came.items():
        for session in server.sessions:
            if (server, session.number) in known:
                found[known[server, session.number]] = session
                continue  # another network's: its ports may be the same numbers
            for entry in session.entries:
                if isinstance(entry.fact, Opened):
                    source = int(entry.fact.peer.rpartition(":")[2])
                    before = [note for note in by_source.get(source, ()) if note.at <= entry.at]
                    if before:
                        found.setdefault(max(before, key=lambda note: note.at), session)
    return found


def _attempt(number: int, note: Note, session: SessionRecord | None) -> Attempt:
    server = note.server
    return Attempt(
        number=number,
        name=note.name,
        address=note.address,
        port=note.port,
        outcome=note.outcome,
        at=note.at,
        timeout=note.timeout,
        waited=note.waited,
        protocol=server.protocol if server is not None else None,
        security=server.security if server is not None else None,
        session=session,
    )
