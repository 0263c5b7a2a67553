"""What gets past the replaced functions: seen by an audit hook below all of them, and stopped.

A library may have kept ``socket.getaddrinfo`` before it was replaced, or call the methods of the built-in socket type.
It cannot be led then, but Python tells its audit hooks before it looks up or connects. A hook cannot be removed again;
with no network open ours returns at once.

C code that looks up and connects by itself (uvloop, pycurl) tells nobody; see ``uncovered``.
"""

from __future__ import annotations

import errno
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.attempts import AttemptOutcome
from pytest_mailauth.network import scope
from pytest_mailauth.network.connect import ANOTHER_MACHINE
from pytest_mailauth.network.journal import Note
from pytest_mailauth.network.names import canonical, is_here, is_local_name, literal, stands_for_a_host
from pytest_mailauth.network.patches import inside

if TYPE_CHECKING:
    from collections.abc import Callable

_PAST: Final = (
    "{what} went past the test network: somebody kept the function before it was replaced, or calls the built-in "
    "socket type. Let it call socket.{function}, or open the network before it is imported"
)
_lock = threading.Lock()
_listening = False


def listen() -> None:
    """Listen from now on, as long as the process lives."""
    global _listening  # noqa: PLW0603 - there is one process, and no way back
    with _lock:
        if not _listening:
            sys.addaudithook(_hook)
            _listening = True


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    handle = _EVENTS.get(event)
    if handle is not None and not inside():
        handle(*arguments)


def _connects(sock: Any, address: Any) -> None:
    if getattr(sock, "family", None) not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
        return
    host = address[0]
    plain = literal(host) if isinstance(host, str | bytes) and host else None
    if plain is None:
        _looks_up(host)
    elif scope.any_open() and not is_here(plain):
        _refuse_to_leave(host, address[1])
    elif stands_for_a_host(plain) and getattr(sock, "type", None) == socket.SOCK_STREAM:
        text = _PAST.format(what=f"a connection to {plain} port {address[1]}", function="socket.connect")
        at = scope.place_at(plain)
        if at is not None:
            at[0].bypassed.append(text)
        raise ConnectionRefusedError(errno.ECONNREFUSED, text)


def _refuse_to_leave(host: Any, port: Any) -> None:
    networks = scope.concerned()
    if networks:
        number = port if isinstance(port, int) else 0
        networks[0].journal.add(Note(None, str(host), number, AttemptOutcome.LEFT_LOOPBACK))
    raise OSError(errno.ENETUNREACH, ANOTHER_MACHINE.format(host=host, port=port))


def _looks_up(host: Any, *_: Any) -> None:
    if not host or not isinstance(host, str | bytes) or literal(host):
        return
    try:
        name = canonical(host)
    except UnicodeError:
        return  # Python refuses it, too
    if is_local_name(name) or name == canonical(socket.gethostname()):
        return
    if scope.orphaned(name):
        raise socket.gaierror(socket.EAI_NONAME, f"the test network that had {name} is closed")
    if not scope.any_open():
        return
    text = _PAST.format(what=f"a look-up of {name}", function="getaddrinfo")
    networks = scope.concerned()
    if networks:
        networks[0].bypassed.append(text)
    raise socket.gaierror(socket.EAI_FAIL, text)


def _sends(sock: Any, address: Any) -> None:
    if getattr(sock, "family", None) not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
        return
    plain = literal(address[0]) if isinstance(address[0], str | bytes) and address[0] else None
    if scope.any_open() and plain is not None and not is_here(plain):
        _refuse_to_leave(address[0], address[1])


def _starts(program: Any, *_: Any) -> None:
    for one in scope.concerned() if scope.any_open() else ():
        one.programs.append(str(program))


_EVENTS: Final[dict[str, Callable[..., None]]] = {
    "socket.connect": _connects,
    "socket.getaddrinfo": _looks_up,
    "socket.gethostbyname": _looks_up,
    "socket.sendto": _sends,
    "socket.sendmsg": _sends,
    "subprocess.Popen": _starts,
}
