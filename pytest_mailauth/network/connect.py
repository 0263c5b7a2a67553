"""Leads every connection of this process to the fakes, and lets none leave loopback.

What a client meets at a blocked port it meets here, before any server could have a say.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_mailauth.model.attempts import AttemptOutcome
from pytest_mailauth.model.terms import PortState
from pytest_mailauth.network import lookup, patience, scope
from pytest_mailauth.network.directory import Door
from pytest_mailauth.network.journal import Note
from pytest_mailauth.network.names import is_here, is_local_name, literal, stands_for_a_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.network.directory import Directory

    Real = Callable[..., Any]

ANOTHER_MACHINE: Final = "{host} port {port} is another machine; a test network stays on loopback"
_OUTCOMES: Final = {
    errno.ECONNREFUSED: AttemptOutcome.REFUSED,
    errno.EHOSTUNREACH: AttemptOutcome.UNREACHABLE,
    errno.ENETUNREACH: AttemptOutcome.UNREACHABLE,
    errno.EADDRNOTAVAIL: AttemptOutcome.UNREACHABLE,
}
_REFUSES: Final = {
    PortState.REFUSED: (errno.ECONNREFUSED, AttemptOutcome.REFUSED),
    PortState.PROHIBITED: (errno.EHOSTUNREACH, AttemptOutcome.UNREACHABLE),
}
"""What a connection attempt ends with."""


_NOBODY: Final = Door(PortState.REFUSED, None)


class Way(NamedTuple):
    """Where an attempt is led: the address, its note, and whether nobody answers there."""

    address: Any
    note: Note | None = None
    unanswered: Directory | None = None


def _failure(code: int, text: str | None = None) -> OSError:
    return OSError(code, text or os.strerror(code))


def _literal_for(sock: socket.socket, host: Any, port: Any) -> Any:
    """Return the address that a host is connected to on this socket: what the real function would look up."""
    if not isinstance(host, str | bytes | bytearray) or host in ("", b""):
        return host
    text = host if isinstance(host, str) else bytes(host).decode("ascii", "replace")
    if literal(text):
        return text
    entry = lookup.found(host, port)
    return lookup.stand_in(text) if entry is None else lookup.places_for(entry, sock.family)[0].address


def _way(sock: socket.socket, address: Any) -> Way:
    """Return where to connect in place of *address*.

    Raises:
        OSError: The attempt ends here.
    """
    __tracebackhide__ = True
    if sock.family not in lookup.FAMILIES or not isinstance(address, tuple) or len(address) < 2:
        return Way(address)
    host, port, *rest = address
    host = _literal_for(sock, host, port)
    plain = literal(host) if isinstance(host, str) and host else None
    if plain is None:
        return Way(address)  # a name of this machine, or what the real function refuses
    if not is_here(plain):
        _refuse_to_leave(host, port)
    if sock.type != socket.SOCK_STREAM:
        return Way((host, port, *rest))
    at = scope.place_at(plain)
    if at is None:
        if stands_for_a_host(plain):
            # It stood for a host of a network that is closed. A server of the machine itself may listen everywhere.
            raise _failure(errno.ECONNREFUSED)
        return _directly(sock, (host, port, *rest), plain)
    directory, place = at
    if port in place.elsewhere:
        return Way((_here(host), place.elsewhere[port], *rest))
    door = directory.door(place, port)
    if door == _NOBODY and is_local_name(place.name):
        # The machine's other ports are still there under the name that it has for itself.
        return _directly(sock, (_here(host), port, *rest), "127.0.0.1")
    note = directory.journal.add(
        Note(place.name, host, port, AttemptOutcome.CONNECTED, timeout=sock.gettimeout() or None, server=door.server)
    )
    return _meet(sock, (host, port, *rest), door, note, directory)


def _refuse_to_leave(host: str, port: Any) -> None:
    __tracebackhide__ = True
    networks = scope.concerned()
    if networks:
        number = port if isinstance(port, int) else 0
        networks[0].journal.add(Note(None, host, number, AttemptOutcome.LEFT_LOOPBACK))
    raise _failure(errno.ENETUNREACH, ANOTHER_MACHINE.format(host=host, port=port))


def _directly(sock: socket.socket, address: Any, plain: str) -> Way:
    """Return the way to a port of loopback itself, which may be that of a server of the test."""
    __tracebackhide__ = True
    host, port, *rest = address
    if sock.family == socket.AF_INET6 and ":" in host and plain == "::1":
        return Way(address)  # no server listens there: a client that asked for localhost passes on
    for directory in scope.concerned():
        door = directory.own(port)
        if door is not None and door.server is not None and not scope.is_ours(3):
            limit = sock.gettimeout() or None
            note = Note(None, host, port, AttemptOutcome.CONNECTED, timeout=limit, server=door.server)
            return _meet(sock, (host, port, *rest), door, directory.journal.add(note), directory)
    return Way(address)


def _here(host: str) -> str:
    return "::ffff:127.0.0.1" if ":" in host else "127.0.0.1"


def _meet(sock: socket.socket, address: tuple[Any, ...], door: Door, note: Note, directory: Directory) -> Way:
    """Return the way to a server, or to where nobody answers.

    Raises:
        OSError: What a client gets at a port that is blocked in another way.
    """
    __tracebackhide__ = True
    host, _, *rest = address
    here = _here(host)
    if door.state in _REFUSES:
        code, note.outcome = _REFUSES[door.state]
        raise _failure(code)
    if door.state is PortState.TIMEOUT:
        note.outcome = AttemptOutcome.TIMEOUT
        if sock.gettimeout() != 0.0 and not directory.really:
            note.waited = note.timeout
            note.outcome = AttemptOutcome.UNBOUNDED if note.timeout is None else AttemptOutcome.TIMEOUT
            raise TimeoutError("timed out") if note.timeout else _failure(errno.ETIMEDOUT)
        return Way((here, directory.unanswered.number, *rest), note, directory)
    assert door.server is not None  # noqa: S101 - an open door without a server is none
    return Way((here, door.server.port, *rest), note)


def connect(real: Real, self: socket.socket, address: Any) -> None:
    """In place of ``socket.socket.connect``."""
    __tracebackhide__ = True
    way = _way(self, address)
    try:
        real(self, way.address)
    except BlockingIOError:
        _pending(self, way)
        raise
    except OSError as error:
        _failed(way, error.errno)
        raise
    _came(self, way.note)


def connect_ex(real: Real, self: socket.socket, address: Any) -> int:
    """In place of ``socket.socket.connect_ex``."""
    try:
        way = _way(self, address)
    except socket.gaierror:
        raise
    except OSError as error:
        # Python gives a socket whose time-out is over the number of one that would have to wait.
        return errno.EAGAIN if isinstance(error, TimeoutError) and error.errno is None else error.errno or 0
    status = int(real(self, way.address))
    if status == errno.EINPROGRESS:
        _pending(self, way)
    elif status:
        _failed(way, None if status == errno.EAGAIN else status)
    else:
        _came(self, way.note)
    return status


def _came(sock: socket.socket, note: Note | None) -> None:
    if note is not None:
        note.source = sock.getsockname()[1]


def _failed(way: Way, code: int | None) -> None:
    note = way.note
    if note is None:
        return
    note.outcome = _OUTCOMES.get(code or 0, AttemptOutcome.TIMEOUT)
    if note.outcome is AttemptOutcome.TIMEOUT:
        note.waited = patience.tidy(monotonic() - note.at)
        if code == errno.ETIMEDOUT and note.timeout is None:
            note.outcome, note.waited = AttemptOutcome.UNBOUNDED, None


def _pending(sock: socket.socket, way: Way) -> None:
    """Note how an attempt that goes on without the caller stands."""
    if way.note is None:
        return
    if way.unanswered is not None:
        patience.begin(sock, way.note, way.unanswered)
        return
    _came(sock, way.note)
    # On loopback, the answer is there by now. Looking at it this way leaves an error to the client.
    with_events = select.poll() if hasattr(select, "poll") else None
    if with_events is not None:
        with_events.register(sock, select.POLLOUT)
        if any(events & (select.POLLERR | select.POLLHUP) for _, events in with_events.poll(0)):
            way.note.outcome = AttemptOutcome.REFUSED


def sendto(real: Real, self: socket.socket, *arguments: Any) -> Any:
    """In place of ``socket.socket.sendto``: no datagram leaves loopback."""
    if len(arguments) > 1:
        arguments = (*arguments[:-1], _kept_here(self, arguments[-1]))
    return real(self, *arguments)


def sendmsg(real: Real, self: socket.socket, *arguments: Any) -> Any:
    """In place of ``socket.socket.sendmsg``."""
    if len(arguments) > 3:
        arguments = (*arguments[:3], _kept_here(self, arguments[3]))
    return real(self, *arguments)


def _kept_here(sock: socket.socket, address: Any) -> Any:
    if sock.family not in lookup.FAMILIES or not isinstance(address, tuple) or len(address) < 2:
        return address
    host = _literal_for(sock, address[0], address[1])
    plain = literal(host) if isinstance(host, str) and host else None
    if plain is not None and not is_here(plain):
        _refuse_to_leave(host, address[1])
    return (host, *address[1:])


def getsockopt(real: Real, self: socket.socket, level: int, option: int, *rest: Any) -> Any:
    """In place of ``socket.socket.getsockopt``: tells a client how an attempt ended that was left unanswered."""
    value = real(self, level, option, *rest)
    if level == socket.SOL_SOCKET and option == socket.SO_ERROR and not rest and patience.has_expired(self):
        return errno.ETIMEDOUT
    return value
