"""Notes of what clients tried, taken where they connect and read together with what the servers saw."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING

from pytest_mailauth.model.attempts import Attempt, AttemptOutcome
from pytest_mailauth.model.events import Opened

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.servers.server import MailServer


@dataclass
class Note:
    """One attempt as it is going on. ``source`` is the client's own port, by which its session is found."""

    number: int
    name: str | None
    address: str
    port: int
    outcome: AttemptOutcome
    timeout: float | None = None
    waited: float | None = None
    server: MailServer | None = None
    source: int | None = None
    at: float = field(default_factory=monotonic)


class Journal:
    """The attempts of one network, in order. Any thread may write."""

    def __init__(self) -> None:
        self._notes: list[Note] = []
        self._numbers = count(1)
        self._lock = threading.Lock()

    def begin(
        self,
        name: str | None,
        address: str,
        port: int,
        outcome: AttemptOutcome,
        *,
        timeout: float | None = None,
        server: MailServer | None = None,
    ) -> Note:
        """Note an attempt; its outcome may still be changed."""
        with self._lock:
            note = Note(next(self._numbers), name, address, port, outcome, timeout=timeout, server=server)
            self._notes.append(note)
        return note

    def attempts(self) -> tuple[Attempt, ...]:
        """Return every attempt up to now, each with the session that it led to."""
        with self._lock:
            notes = tuple(self._notes)
        sessions = {
            server: _by_source(server.sessions)
            for server in dict.fromkeys(note.server for note in notes)
            if server is not None
        }
        return tuple(_attempt(note, sessions) for note in notes)


def _by_source(sessions: tuple[SessionRecord, ...]) -> dict[int, SessionRecord]:
    """Return the sessions by the port that each client came from. A port used again belongs to the later one."""
    found = {}
    for session in sessions:
        for opened in session.of(Opened):
            found[int(opened.peer.rpartition(":")[2])] = session
    return found


def _attempt(note: Note, sessions: dict[MailServer, dict[int, SessionRecord]]) -> Attempt:
    server = note.server
    session = None
    if server is not None and note.source is not None and note.outcome is AttemptOutcome.CONNECTED:
        session = sessions[server].get(note.source)
    return Attempt(
        number=note.number,
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
