"""Leads every connection of this process to the fakes, and lets none leave loopback.

Two stages: looking up a name gives a loopback address that stands for it and keeps the port, and connecting to that
address is led to the server behind the port. A library that throws away the port which a look-up returned (anyio does)
is covered by that, and so is a literal address. The name that is checked against a certificate stays the client's own.

The functions are replaced while at least one network is open, and put back as they were.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.attempts import AttemptOutcome
from pytest_mailauth.model.terms import PortState
from pytest_mailauth.network.directory import Directory, canonical

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.network.directory import Entry
    from pytest_mailauth.network.journal import Note

_LOCAL_NAMES: Final = ("", "localhost", "localhost.localdomain", "ip6-localhost")
_OUTCOMES: Final = {
    errno.ECONNREFUSED: AttemptOutcome.REFUSED,
    errno.EHOSTUNREACH: AttemptOutcome.UNREACHABLE,
    errno.ETIMEDOUT: AttemptOutcome.TIMEOUT,
}
_lock = threading.RLock()
_open: list[Directory] = []
_real: dict[tuple[Any, str], Any] = {}


def install(directory: Directory) -> None:
    """Lead connections by this directory, too."""
    with _lock:
        _open.append(directory)
        if len(_open) == 1:
            for (owner, name), replacement in _REPLACED.items():
                _real[owner, name] = vars(owner).get(name), getattr(owner, name)
                setattr(owner, name, replacement)


def remove(directory: Directory) -> None:
    """Lead no more by this directory. Harmless when repeated."""
    with _lock:
        if directory not in _open:
            return
        _open.remove(directory)
        if not _open:
            for (owner, name), (own, _) in _real.items():
                if own is None:
                    delattr(owner, name)  # it is inherited, and comes to light again
                else:
                    setattr(owner, name, own)
            _real.clear()


def _call(owner: Any, name: str) -> Callable[..., Any]:
    kept = _real.get((owner, name))
    # A call that began before the last network closed finds the real function where it always is.
    found: Callable[..., Any] = kept[1] if kept is not None else getattr(owner, name)
    return found


def _is_loopback(host: str) -> bool:
    ip = ipaddress.ip_address(host.partition("%")[0])
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _found(name: str) -> str | None:
    """Return the address that stands for a name in one of the open networks, the newest first."""
    with _lock:
        return next((found[0] for one in reversed(_open) if (found := one.addresses(name))), None)


def _note_everywhere(name: str | None, address: str, port: int, outcome: AttemptOutcome) -> None:
    with _lock:
        for directory in _open:
            directory.journal.begin(name, address, port, outcome)


def _stand_in(host: Any, port: Any = 0) -> Any:
    """Return what to look up in place of *host*: the address that stands for it, or itself when it is no name.

    Raises:
        socket.gaierror: No network knows the name. Nobody else is asked.
    """
    if host is None:
        return None
    try:
        name = canonical(host)
    except (UnicodeError, AttributeError):
        return host  # whatever it is, the real function says what is wrong with it
    if name in _LOCAL_NAMES or _is_literal(name):
        return host
    address = _found(name)
    if address is None and name == canonical(socket.gethostname()):
        return "127.0.0.1"
    if address is None:
        _note_everywhere(name, "", port if isinstance(port, int) else 0, AttemptOutcome.UNRESOLVABLE)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return address


def _getaddrinfo(  # noqa: PLR0917 - the arguments of socket.getaddrinfo
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,  # noqa: A002
    proto: int = 0,
    flags: int = 0,
) -> Any:
    if not flags & socket.AI_NUMERICHOST:
        host = _stand_in(host, port)
    return _call(socket, "getaddrinfo")(host, port, family, type, proto, flags)


def _gethostbyname(host: str) -> str:
    return str(_call(socket, "gethostbyname")(_stand_in(host)))


def _gethostbyname_ex(host: str) -> Any:
    address = _stand_in(host)
    name, aliases, addresses = _call(socket, "gethostbyname_ex")(address)
    return (name if address == host else host), aliases, addresses


def _gethostbyaddr(host: str) -> Any:
    # Used for the name of this machine, which a client says in EHLO: answered without asking anybody.
    if not _is_literal(host) or not _is_loopback(host):
        return host, [], [_stand_in(host)]
    entry = _entry_at(host)
    return _call(socket, "gethostbyaddr")(host) if entry is None else (entry[1].name, [], [host])


def _entry_at(host: str) -> tuple[Directory, Entry] | None:
    plain = host.removeprefix("::ffff:")
    with _lock:
        return next(((one, one.at[plain]) for one in _open if plain in one.at), None)


def _lead(sock: socket.socket, address: Any) -> tuple[Any, Note | None]:
    """Return where to connect in place of *address*, and the note of the attempt.

    Raises:
        OSError: The attempt ends here.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
        return address, None
    host, port, *rest = address
    if not isinstance(host, str) or not _is_literal(host):
        host = _stand_in(host, port)
        if not isinstance(host, str) or not _is_literal(host):
            return address, None
    found = _entry_at(host)
    if found is None:
        if not _is_loopback(host):
            _note_everywhere(None, host, port, AttemptOutcome.LEFT_LOOPBACK)
            raise OSError(errno.ENETUNREACH, f"{host} port {port} is another machine; a test network stays on loopback")
        return (host, port, *rest), None
    directory, entry = found
    note = directory.journal.begin(
        entry.name, host, port, AttemptOutcome.CONNECTED, timeout=sock.gettimeout(), server=entry.doors.get(port)
    )
    _meet(directory.state(entry, port), note)
    led = "::ffff:127.0.0.1" if ":" in host else "127.0.0.1"
    return (led, entry.doors[port].port, *rest), note


def _meet(state: PortState, note: Note) -> None:
    """Let an attempt end at once where nobody answers.

    Raises:
        OSError: What a client gets there.
    """
    if state is PortState.REFUSED:
        note.outcome = AttemptOutcome.REFUSED
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    if state is PortState.TIMEOUT:
        note.waited = note.timeout
        note.outcome = AttemptOutcome.UNBOUNDED if note.timeout is None else AttemptOutcome.TIMEOUT
        raise TimeoutError("timed out") if note.timeout else TimeoutError(errno.ETIMEDOUT, "Connection timed out")


def _connect(self: socket.socket, address: Any) -> None:
    led, note = _lead(self, address)
    try:
        _call(socket.socket, "connect")(self, led)
    except BlockingIOError:
        _came_from(self, note)
        raise
    except OSError as error:
        if note is not None:
            note.outcome = _OUTCOMES.get(error.errno or errno.ETIMEDOUT, AttemptOutcome.TIMEOUT)
        raise
    _came_from(self, note)


def _connect_ex(self: socket.socket, address: Any) -> int:
    try:
        led, note = _lead(self, address)
    except TimeoutError:
        return errno.EAGAIN  # what Python's own gives a socket whose time-out is over
    except OSError as error:
        return error.errno or errno.ECONNREFUSED
    status = int(_call(socket.socket, "connect_ex")(self, led))
    if status in (0, errno.EINPROGRESS):
        _came_from(self, note)
    elif note is not None:
        note.outcome = _OUTCOMES.get(status, AttemptOutcome.TIMEOUT)
    return status


def _came_from(sock: socket.socket, note: Note | None) -> None:
    if note is not None:
        note.source = sock.getsockname()[1]


_REPLACED: Final = {
    (socket, "getaddrinfo"): _getaddrinfo,
    (socket, "gethostbyname"): _gethostbyname,
    (socket, "gethostbyname_ex"): _gethostbyname_ex,
    (socket, "gethostbyaddr"): _gethostbyaddr,
    (socket.socket, "connect"): _connect,
    (socket.socket, "connect_ex"): _connect_ex,
}
