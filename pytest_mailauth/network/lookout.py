"""Notes of what programs in a namespace try, by two witnesses: the kernel that saw an attempt, and who accepted it.

Everything here happens on the thread that serves.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.attempts import AttemptOutcome
from pytest_mailauth.network import sightings
from pytest_mailauth.network.journal import Note

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.network.directory import Directory
    from pytest_mailauth.network.sightings import Sighting
    from pytest_mailauth.servers.server import MailServer
    from pytest_mailauth.servers.wire.loop import LoopThread
    from pytest_mailauth.servers.wire.port import Socket

    Meets = Callable[[str, int], tuple[AttemptOutcome, MailServer | None] | None]

LOCALHOST: Final = "127.0.0.1"
_TWICE: Final = 0.2
"""Seconds within which a name that is asked for again is the same look-up."""
_DATAGRAM: Final = 1 << 16


class Lookout:
    """Notes the attempts of one namespace.

    Args:
        directory: Whose names they are noted under, and in whose journal.
        loop: Where it reads.
        told: Tells of attempts, see :mod:`.sightings`; None where nothing does. Then only those are noted that somebody
            accepts.
        meets: Returns what comes of an attempt at an address and port, and who serves there; None for what is no
            concern of the network's.
    """

    def __init__(self, directory: Directory, loop: LoopThread, told: Socket | None, meets: Meets) -> None:
        self._directory = directory
        self._loop = loop
        self._told = told
        self._meets = meets
        self._missed: Note | None = None
        self._seen: set[Sighting] = set()
        self._open: dict[tuple[str, int, int], Note] = {}
        """Attempts that nobody has accepted yet, by address, port and the client's own port."""
        if told is not None:
            loop.do(lambda: asyncio.get_running_loop().add_reader(told, self._read))

    def look(self) -> None:
        """Note what was tried up to now."""
        if self._told is not None and self._loop.running:
            self._loop.do(self._read)

    def came(self, server: MailServer, port: int, client: Socket, number: int) -> None:
        """Note that a client was accepted, and the number of its session."""
        self._read()  # the kernel has told of it before
        address, source = client.getsockname()[0], 0
        with contextlib.suppress(OSError):  # it has left
            source = client.getpeername()[1]
        note = self._open.pop((address, port, source), None) or self._note(address, port)
        note.outcome, note.server, note.session = AttemptOutcome.CONNECTED, server, number

    def missed(self, name: str) -> None:
        """Note that the address of a name was asked for that has none. Nobody says for which port."""
        last, asked = self._missed, Note(name, "", 0, AttemptOutcome.UNRESOLVABLE)
        # A C library asks twice: for the name as it is, and through its search list.
        if last is None or last.name != name or asked.at - last.at > _TWICE:
            self._directory.journal.add(asked)
        self._missed = asked

    def close(self) -> None:
        """Read what is left, and read no more. Harmless when repeated."""
        told = self._told
        if told is None:
            return
        self.look()
        if self._loop.running:
            self._loop.do(lambda: asyncio.get_running_loop().remove_reader(told))
        self._told = None
        told.close()

    def _read(self) -> None:
        while self._told is not None:
            try:
                told = self._told.recv(_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                continue  # it was too much at once; those who are accepted are noted all the same
            for one in sightings.read(told):
                if one not in self._seen:  # else it is a repetition
                    self._seen.add(one)
                    self._saw(one)

    def _saw(self, one: Sighting) -> None:
        met = self._meets(one.address, one.port)
        if met is not None:
            note = self._note(one.address, one.port)
            note.outcome, note.server = met
            self._open[one.address, one.port, one.source] = note

    def _note(self, alias: str, port: int) -> Note:
        place = self._directory.at.get(alias)
        name, address = (None, alias) if place is None else (place.name, place.address)
        return self._directory.journal.add(Note(name, address, port, AttemptOutcome.CONNECTED))
