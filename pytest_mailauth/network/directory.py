"""Which name stands for which address, and who answers at which port. It opens no socket and looks nothing up."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.portstates import UNSEEN
from pytest_mailauth.model.terms import PortState
from pytest_mailauth.network.journal import Journal
from pytest_mailauth.network.names import FIRST, MANY, canonical
from pytest_mailauth.network.unanswered import Unanswered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_mailauth.network.records import Record
    from pytest_mailauth.servers.server import MailServer

FAMILIES: Final = ("ipv4", "ipv6")
_numbers = count(1)
"""Handed out once in a process, so that networks side by side never meet."""


def _next_alias() -> str:
    number = FIRST + next(_numbers) % MANY
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


class Door(NamedTuple):
    """What is behind a port: a server, which may be absent, and what a client meets before it has a say."""

    state: PortState
    server: MailServer | None


@dataclass(eq=False)
class Place:
    """One address of a host, the server behind each of its ports, and the ports that are blocked."""

    name: str
    alias: str
    family: str = "ipv4"
    doors: dict[int, MailServer] = field(default_factory=dict)
    blocked: dict[int, PortState] = field(default_factory=dict)
    boxes: dict[int, MailServer] = field(default_factory=dict)
    """Who answers at a port without a server that is blocked in a way that needs one."""
    elsewhere: dict[int, int] = field(default_factory=dict)
    """Ports of loopback behind ports of this address, where something listens that is no mail server."""
    held: dict[int, PortState] = field(default_factory=dict)
    """Blocks that the server behind the port carries out itself."""

    @property
    def address(self) -> str:
        """The address as clients are told it. An IPv6 address is one that stays on loopback whoever uses it."""
        return f"::ffff:{self.alias}" if self.family == "ipv6" else self.alias


@dataclass(eq=False)
class Entry:
    """A host: its name and its addresses, in the order in which a look-up returns them."""

    name: str
    places: tuple[Place, ...]
    alias_of: str | None = None
    """The name that this one is an alias of, as the DNS says (CNAME); it has the same addresses."""


class Directory:
    """The names, ports and records of one network, and its journal. Any thread may ask.

    Args:
        own: Returns the servers of the test, which clients may also reach without any name.
    """

    def __init__(self, own: Callable[[], Iterable[MailServer]] = tuple) -> None:
        self.journal = Journal()
        self.hosts: dict[str, Entry] = {}
        self.at: dict[str, Place] = {}
        self.blocked: dict[int, PortState] = {}
        """Ports that are blocked for every host, those that are added later included."""
        self.boxes: dict[int, MailServer] = {}
        """Who answers at a port where a host has no server: a box on the path."""
        self.forced: dict[int, MailServer] = {}
        """Who answers at a port whoever was asked: a relay that nobody gets around."""
        self.unknown: set[str] = set()
        """Names that have no address, whatever else is said about them."""
        self.records: dict[str, list[Record]] = {}
        self.before_answer: Callable[[], object] | None = None
        """Called before each question about records is answered, on the thread that answers."""
        self.bypassed: list[str] = []
        """What went past the redirection and was stopped."""
        self.programs: list[str] = []
        """What was started beside this process."""
        self.led_programs: list[str] = []
        """What was started in a namespace of this network."""
        self.unanswered = Unanswered()
        self.really = False
        """Whether attempts without an answer wait as long as the client does."""
        self.opened_in = 0
        """The thread in which the network was opened."""
        self._own = own
        self._lock = threading.Lock()

    def entry(self, name: str, families: tuple[str, ...] = ()) -> Entry:
        """Return the entry of a host, made when it is asked for first.

        Raises:
            ConfigError: It is no host name, or it has other addresses already.
        """
        try:
            key = canonical(name)
        except (UnicodeError, AttributeError) as error:
            raise ConfigError(f"host {name!r} is no host name: {error}") from None
        if not key:
            raise ConfigError("host '' is no host name; give one such as 'smtp.example.test'")
        with self._lock:
            found = self.hosts.get(key)
            if found is None:
                found = Entry(key, tuple(Place(key, _next_alias(), family) for family in families or ("ipv4",)))
                self.at |= {place.alias: place for place in found.places}
                self.hosts[key] = found
            elif families and families != (has := tuple(place.family for place in found.places)):
                raise ConfigError(f"host {key!r} has the addresses {has}; give addresses= when it is first asked for")
            return found

    def resolve(self, name: str) -> Entry | None:
        """Return the entry that a look-up finds; None when the name, which is canonical, has no address."""
        if name in self.unknown:
            return None
        found = self.hosts.get(name)
        # Who is on the path of every connection needs every name to lead somewhere.
        return self.entry(name) if found is None and self.forced else found

    def door(self, place: Place, port: int) -> Door:
        """Return what is behind a port of an address."""
        if port in self.forced:
            return _door_of(self.forced[port])
        server = place.doors.get(port) or place.boxes.get(port) or self.boxes.get(port)
        state = place.blocked.get(port, self.blocked.get(port))
        if state is not None:
            return Door(state, server)
        return Door(PortState.REFUSED, None) if server is None else _door_of(server)

    def own(self, port: int) -> Door | None:
        """Return the server of the test that has this port of loopback for itself."""
        return next((_door_of(one) for one in self._own() if one.port == port and not one.closed), None)

    def doors(self) -> Iterator[tuple[Place, int, Door]]:
        """Yield every port with a server or a block of every address, for whoever builds this network elsewhere."""
        for entry in tuple(self.hosts.values()):
            for place in entry.places:
                for port in sorted(_ports_of(place, self)):
                    yield place, port, self.door(place, port)


def _ports_of(place: Place, directory: Directory) -> set[int]:
    tables = (place.doors, place.blocked, place.boxes, directory.blocked, directory.boxes, directory.forced)
    return {port for table in tables for port in table}


def _door_of(server: MailServer) -> Door:
    return Door(server.port_state if server.port_state in UNSEEN else PortState.OPEN, server)
