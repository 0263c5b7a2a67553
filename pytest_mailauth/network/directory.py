"""Which name stands for which address, and who answers at which port. It opens no socket and looks nothing up."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import PortState
from pytest_mailauth.network.journal import Journal

if TYPE_CHECKING:
    from pytest_mailauth.servers.server import MailServer

_FIRST: Final = 127 << 24 | 77 << 16
"""127.77.0.0: loopback addresses that stand for hosts. Nothing is ever bound to them."""
_MANY: Final = 1 << 16
_numbers = count(1)
"""Handed out once in a process, so that networks side by side never meet."""


def _next_alias() -> str:
    number = _FIRST + next(_numbers) % _MANY
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


@dataclass
class Entry:
    """A host: its name, the address that stands for it, and the server behind each of its ports."""

    name: str
    alias: str
    doors: dict[int, MailServer] = field(default_factory=dict)
    blocked: dict[int, PortState] = field(default_factory=dict)


def canonical(name: str | bytes) -> str:
    """Return a host name as it is compared: lower case, ASCII (RFC 5890), without the final dot.

    Raises:
        UnicodeError: It is no host name.
    """
    text = name.decode("ascii") if isinstance(name, bytes) else name
    return (text if text.isascii() else text.encode("idna").decode("ascii")).lower().rstrip(".")


class Directory:
    """The names and ports of one network, and its journal. Any thread may ask."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.hosts: dict[str, Entry] = {}
        self.at: dict[str, Entry] = {}
        self.blocked: dict[int, PortState] = {}
        """Ports that are blocked for every host, those that are added later included."""
        self._lock = threading.Lock()

    def entry(self, name: str) -> Entry:
        """Return the entry of a host, made when it is asked for first.

        Raises:
            ConfigError: It is no host name.
        """
        try:
            key = canonical(name)
        except UnicodeError as error:
            raise ConfigError(f"host {name!r} is no host name: {error}") from None
        with self._lock:
            if key not in self.hosts:
                made = Entry(key, _next_alias())
                self.hosts[key] = self.at[made.alias] = made
            return self.hosts[key]

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the addresses of a name, already canonical; none when it is not known."""
        entry = self.hosts.get(name)
        return () if entry is None else (entry.alias,)

    def state(self, entry: Entry, port: int) -> PortState:
        """Return what a client meets at a port of a host before any server has a say."""
        fallback = PortState.OPEN if port in entry.doors else PortState.REFUSED
        return entry.blocked.get(port, self.blocked.get(port, fallback))
