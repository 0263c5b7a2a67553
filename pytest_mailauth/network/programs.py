"""A network as programs meet it, on Linux: a namespace that is kept in accord with the directory, name by name.

Each address of a host is one inside, too, and each of its ports a socket that listens there and is served by the same
server. Ports in whose states nobody answers are blocked on their way; all other states are the server's.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.attempts import AttemptOutcome
from pytest_mailauth.model.portstates import UNSEEN
from pytest_mailauth.model.terms import PortState
from pytest_mailauth.network import dns, patches
from pytest_mailauth.network.lookout import LOCALHOST, Lookout
from pytest_mailauth.network.namespace import Namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_mailauth.network.directory import Directory
    from pytest_mailauth.network.dns import NameServer
    from pytest_mailauth.servers.environment import MailServers
    from pytest_mailauth.servers.server import MailServer
    from pytest_mailauth.servers.wire.port import Socket

    Where = tuple[str | None, int]

NAMESERVER: Final = ("127.0.0.53", 53)
"""Where programs ask for what is not in their file of hosts."""

_OUTCOMES: Final = {
    PortState.TIMEOUT: AttemptOutcome.TIMEOUT,
    PortState.REFUSED: AttemptOutcome.REFUSED,
    PortState.PROHIBITED: AttemptOutcome.UNREACHABLE,
}


class Programs:
    """The way into one network for programs.

    Args:
        directory: The names, ports and blocks.
        servers: The servers of the test, which are also at their own ports of localhost.

    Raises:
        CannotServeHere: This system gives no namespace; the message says why.
    """

    def __init__(self, directory: Directory, servers: MailServers) -> None:
        self._directory = directory
        self._servers = servers
        self._lock = threading.Lock()
        self._is_stale = False
        self._is_closed = False
        self._doors: dict[Where, tuple[MailServer, Callable[[], None]]] = {}
        self._blocks: dict[Where, str] = {}
        self._names: tuple[dict[str, list[str]], dict[str, str]] = {}, {}
        self._dns: NameServer | None = None
        self._lookout: Lookout | None = None
        with patches.calling_the_real_ones():
            self.namespace = Namespace()
        try:
            self._lookout = Lookout(directory, servers.loop, self.namespace.sightings(), self._meets)
            self._answer_names(self._lookout)
            self.follow()
        except BaseException:
            self.close()
            raise

    def popen(self, argv: Any, **options: Any) -> Any:
        """Start a program. See :meth:`~pytest_mailauth.network.namespace.Namespace.popen`."""
        self._begin(argv)
        with patches.calling_the_real_ones():
            return self.namespace.popen(argv, **options)

    def run(self, argv: Any, **options: Any) -> Any:
        """Run a program. See :meth:`~pytest_mailauth.network.namespace.Namespace.run`."""
        self._begin(argv)
        with patches.calling_the_real_ones():
            return self.namespace.run(argv, **options)

    def _begin(self, argv: Any) -> None:
        self._directory.led_programs += [os.fspath(part) for part in argv[:1]]
        self.follow()

    def close(self) -> None:
        """End every program, and let nobody in any more. Harmless when repeated."""
        self._is_closed = True
        self.namespace.close()
        with self._lock:
            for where in tuple(self._doors):
                self._shut(where)
        if self._lookout is not None:
            self._lookout.close()
        if self._dns is not None:
            self._dns.close()

    @property
    def nameserver(self) -> tuple[str, int]:
        """Where programs ask for names and records.

        Raises:
            ConfigError: The optional package for it is not installed.
        """
        if self._dns is None:
            from pytest_mailauth.network.dns import needed  # noqa: PLC0415 - of an optional package

            needed()
        return NAMESERVER

    def follow(self) -> None:
        """Bring the namespace in accord with the directory; when this returns it is so.

        On the thread that serves, which waits for nobody, it may be a moment later.
        """
        self._is_stale = True
        while self._is_stale and self._lock.acquire(blocking=not self._servers.loop.is_here):
            try:
                # Whoever asks meanwhile and may not wait is served here.
                while self._is_stale and not self._is_closed:
                    self._is_stale = False
                    self._become()
                self._is_stale = False
            finally:
                self._lock.release()

    def look(self) -> None:
        """See to it that what was tried up to now is noted, and who has connected is accepted."""
        loop = self._servers.loop
        if self._lookout is not None and loop.running:
            self._lookout.look() if loop.is_here else loop.call(self._lookout.look)

    def _become(self) -> None:
        # A port is blocked before anybody listens there, and a name comes last: no program meets what is not to be.
        wanted = dict(self._wanted_doors())
        for where, (server, _) in tuple(self._doors.items()):
            if wanted.get(where) is not server:
                self._shut(where)
        blocks = self._wanted_blocks()
        if blocks != self._blocks:
            self.look()
            self.namespace.blocks(blocks)
            self._blocks = blocks
        for where, server in wanted.items():
            if where not in self._doors:
                self._open(where, server)
        names, aliases = self._wanted_names(), self._wanted_aliases()
        if (names, aliases) != self._names:
            self.namespace.names(names, aliases)
            self._names = names, aliases

    def _wanted_doors(self) -> Iterator[tuple[Where, MailServer]]:
        """Yield who answers where. A relay that nobody gets around answers at every address."""
        directory = self._directory
        named = set(directory.forced.values())
        for place, port, door in directory.doors():
            if door.server is not None and port not in directory.forced and not door.server.closed:
                named.add(door.server)
                yield (place.alias, port), door.server
        for port, server in directory.forced.items():
            if not server.closed:
                yield (None, port), server
        for server in self._servers.servers:
            if server not in named and not server.closed and server.port not in directory.forced:
                yield (LOCALHOST, server.port), server

    def _wanted_blocks(self) -> dict[Where, str]:
        directory = self._directory
        blocks: dict[Where, str] = {
            (None, port): state.value for port, state in directory.blocked.items() if port not in directory.forced
        }
        for (address, port), server in self._wanted_doors():
            if address in (None, LOCALHOST) and server.port_state in UNSEEN:
                blocks[address, port] = server.port_state.value
        for place, port, door in directory.doors():
            is_wide = blocks.get((None, port)) == door.state.value
            if door.state in UNSEEN and not is_wide and (door.server is not None or port in place.blocked):
                blocks[place.alias, port] = door.state.value
        return blocks

    def _wanted_names(self) -> dict[str, list[str]]:
        directory = self._directory
        entries = tuple(directory.hosts.items())
        return {
            name: [place.alias for place in entry.places] for name, entry in entries if name not in directory.unknown
        }

    def _wanted_aliases(self) -> dict[str, str]:
        return {name: entry.alias_of for name, entry in tuple(self._directory.hosts.items()) if entry.alias_of}

    def _open(self, where: Where, server: MailServer) -> None:
        sock = self.namespace.listen(*where)

        def came(client: Socket, number: int) -> None:
            if self._lookout is not None:
                self._lookout.came(server, where[1], client, number)

        self._doors[where] = (server, server.listen_on(sock, came, self.follow))

    def _meets(self, address: str, port: int) -> tuple[AttemptOutcome, MailServer | None] | None:
        """Return what comes of an attempt, and who serves there; None where it is none of this network's."""
        here, everywhere = (address, port), (None, port)
        server = next((self._doors[one][0] for one in (here, everywhere) if one in self._doors), None)
        if server is None and address not in self._directory.at:
            return None  # a program that talks to itself, say
        block = self._blocks.get(here, self._blocks.get(everywhere))
        if block is not None:
            return _OUTCOMES[PortState(block)], server
        return AttemptOutcome.CONNECTED if server is not None else AttemptOutcome.REFUSED, server

    def _shut(self, where: Where) -> None:
        _, leave = self._doors.pop(where)
        leave()

    def _answer_names(self, lookout: Lookout) -> None:
        """Start a DNS server, if the package for it is installed. Without it, names are all that there is."""
        if importlib.util.find_spec("dnslib") is not None:
            sockets = (self.namespace.listen(*NAMESERVER), self.namespace.listen(*NAMESERVER, datagrams=True))
            self._dns = dns.NameServer(self._directory, self._servers.loop, sockets, lookout.missed)
            self.namespace.resolver(NAMESERVER[0])
