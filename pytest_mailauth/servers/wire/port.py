"""A TCP port on loopback that listens, refuses, or answers nothing, and changes between the three. No loop here.

Whatever it does, the port stays ours, and connections that were accepted are left alone.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import os
import selectors
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.errors import CannotServe, CannotServeHere
from pytest_mailauth.servers.behind import Attempt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Client = tuple[socket.socket, Any]

Socket = socket.socket
"""For those who hand a socket on and may not know more about it."""

ADDRESS: Final = "127.0.0.1"
BACKLOG: Final = 1024
"""Clients that may connect at once. One too many would be left to its next retry, a second later."""

_SHORT_QUEUE: Final = 1
"""The length of the accept queue that is filled: not 0, which some systems take for their default."""
_MOST_ROOM: Final = 32
"""Attempts that a queue of that length may take; a system that takes more does not mean what we mean."""
_UNANSWERED: Final = 0.05
"""Seconds after which an attempt on loopback counts as unanswered; an answer takes microseconds."""
_SPARE: Final = 2
"""Attempts of ours that wait beyond a full queue: should it have had more room than was found, they take it."""
_ROUNDS: Final = 100
"""How often clients may be faster than we are at filling the queue."""
_MAY_SHARE: Final = os.name == "posix"
"""Elsewhere SO_REUSEADDR lets any program take the port."""
_NETNS_COOKIE: Final = 71
"""SO_NETNS_COOKIE of Linux 5.14, which Python does not name: tells network namespaces apart."""
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a socket of somebody else's may be bound to
"""Where a port is reached that is open on every address."""

_OUT_OF_REACH: Final = (
    "port_state='timeout' needs connections from inside the socket's own network namespace; block the port there"
)
_IMPOSSIBLE: Final = (
    "port_state='prohibited' is an answer of the network, and loopback gives none: use it in the in-process network "
    "(mailauth_network: net.block(..., how='prohibited')) or in a namespace (net.run)"
)


class Port:
    """One port.

    Args:
        given: A socket that is bound, and may listen already; it is closed with the port. None for a port of
            127.0.0.1 that the system chooses.

    Attributes:
        number: The port's number.
    """

    def __init__(self, given: socket.socket | None = None) -> None:
        self._was_given = given is not None
        self._socket = given or _bound()
        self._attempts: dict[Any, socket.socket] = {}
        self._name = self._socket.getsockname()
        self.number: int = self._name[1]
        if _MAY_SHARE:
            # What was accepted keeps the number, too; without this the port could not listen again beside it.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        # Whatever is accepted inherits it: one write has to be one segment, at once.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Urgent bytes stay among the others: whoever listens on the way reads them all.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    def fileno(self) -> int:
        """Return the descriptor that is readable when a client waits."""
        return self._socket.fileno()

    def check(self, attempt: Attempt) -> None:
        """Check that this port can do that. It costs something only when a port is not to answer for the first time.

        Raises:
            CannotServe: This port cannot.
            CannotServeHere: This system cannot.
        """
        if attempt is Attempt.IMPOSSIBLE:
            raise CannotServe(_IMPOSSIBLE)
        if attempt is Attempt.UNANSWERED:
            if self._was_given and _is_out_of_reach(self._socket):
                raise CannotServe(_OUT_OF_REACH)
            _room()

    def meet(self, attempt: Attempt) -> list[Client]:
        """Let every attempt meet this from now on; return the clients that had connected before.

        Raises:
            CannotServe: See :meth:`check`.
        """
        self.check(attempt)
        came = self._emptied()
        match attempt:
            case Attempt.ANSWERED:
                self._socket.listen(BACKLOG)
            case Attempt.REFUSED:
                self._refuse()
            case _:
                came += self._fill_the_queue()
        return came

    def _emptied(self) -> list[Client]:
        """Return the clients that wait, and have no attempt of our own any more."""
        # They end first, and are told from clients by their names until nobody is left in the queue.
        for attempt in self._attempts.values():
            attempt.close()
        came = list(self.accepted())
        self._attempts.clear()
        return came

    def accept(self) -> Client:
        """Return a client that waits to be accepted.

        Raises:
            BlockingIOError: There is none.
            OSError: The system is out of descriptors, say.
        """
        return self._socket.accept()

    def accepted(self) -> Iterator[Client]:
        """Yield the clients that wait to be accepted.

        Raises:
            OSError: The system is out of descriptors, say.
        """
        while self._listens:
            try:
                client, peer = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            if peer in self._attempts:
                client.close()
            else:
                yield client, peer

    @property
    def _listens(self) -> bool:
        return bool(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))

    def close(self) -> None:
        """Give the port up. Harmless when repeated."""
        self._socket.close()
        for attempt in self._attempts.values():
            attempt.close()
        self._attempts.clear()

    def _refuse(self) -> None:
        """Stop listening and keep the port."""
        if not self._listens:
            return
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # on Linux, it is a bound socket again
        except OSError:
            # Other systems keep on listening. For a moment the port is nobody's; if it is taken, this fails.
            self._socket.close()
            self._socket = _bound(self._name, self._socket.family)
            self._socket.setblocking(False)  # noqa: FBT003
        else:
            # A number that the system had chosen would be another one next time; one that was asked for cannot be
            # asked for twice.
            with contextlib.suppress(OSError):
                self._socket.bind(self._name)

    def _fill_the_queue(self) -> list[Client]:
        """Put attempts of ours into a short queue that nobody accepts from: the system answers no further one."""
        self._socket.listen(_SHORT_QUEUE)
        came: list[Client] = []
        for _ in range(_ROUNDS):
            for _ in range(_room() + _SPARE):
                attempt = _attempt(self._name, self._socket.family)
                self._attempts[attempt.getsockname()] = attempt
            if len(_answered(self._attempts.values(), _room())) >= _room():
                return came
            # A client was faster, and has a place that nobody is to have.
            came += self._emptied()
        raise CannotServe(f"port_state='timeout': clients take the places in the queue of port {self.number} faster")


def _bound(name: Any = (ADDRESS, 0), family: int = socket.AF_INET) -> socket.socket:
    """Return a socket that is bound to *name*; a number that the system chose is asked for once more, as its own."""
    with contextlib.ExitStack() as chosen:
        if _MAY_SHARE and name[1] == 0:
            name = chosen.enter_context(_sharing(name, family)).getsockname()
        return _sharing(name, family)


def _sharing(name: Any, family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if _MAY_SHARE:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(name)
    except BaseException:
        made.close()
        raise
    return made


def _attempt(name: Any, family: int) -> socket.socket:
    """Return a socket that tries to connect to a port of this machine."""
    attempt = socket.socket(family, socket.SOCK_STREAM)
    attempt.setblocking(False)  # noqa: FBT003
    # Not the method of the class: whoever watches what clients try has put another one in its place.
    super(socket.socket, attempt).connect_ex((_ANY.get(name[0], name[0]), *name[1:]))
    return attempt


def _answered(attempts: Iterable[socket.socket], wanted: int) -> list[Any]:
    """Return the attempts that are answered; wait until so many are, for as long as an answer may take."""
    late = time.monotonic() + _UNANSWERED
    done: list[Any] = []
    with selectors.DefaultSelector() as selector:
        for attempt in attempts:
            selector.register(attempt, selectors.EVENT_WRITE)
        while len(done) < wanted:
            ready = selector.select(max(0.0, late - time.monotonic()))
            if not ready:
                break
            for key, _ in ready:
                selector.unregister(key.fileobj)
                done.append(key.fileobj)
    return done


def _room() -> int:
    """Return how many attempts a short queue takes.

    Raises:
        CannotServeHere: A full queue is no silence on this system.
    """
    found = _measured()
    if isinstance(found, str):
        raise CannotServeHere(f"port_state='timeout' cannot be had on this system ({sys.platform}): {found}")
    return found


@functools.cache
def _measured() -> int | str:
    """Fill a short queue until an attempt is left unanswered; return what it took, or why it does not come to that.

    Systems round the length of a queue in their own way, and some refuse where others are silent. Once a process, this
    waits for one attempt that is not answered.
    """
    with contextlib.ExitStack() as opened:
        listening = opened.enter_context(_bound())
        listening.listen(_SHORT_QUEUE)
        for taken in range(_MOST_ROOM):
            attempt = opened.enter_context(_attempt(listening.getsockname(), listening.family))
            if not _answered([attempt], 1):
                return taken
            error = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                return f"a full accept queue refuses ({os.strerror(error)})"
    return f"an accept queue of length {_SHORT_QUEUE} takes {_MOST_ROOM} attempts and more"


def _is_out_of_reach(given: socket.socket) -> bool:
    """Return whether connecting to the name of a socket would lead elsewhere: to another machine or namespace."""
    host = given.getsockname()[0]
    if host not in _ANY and not ipaddress.ip_address(host).is_loopback:
        return True
    if not sys.platform.startswith("linux"):
        return False
    with socket.socket(given.family) as own:
        try:
            ours, theirs = (one.getsockopt(socket.SOL_SOCKET, _NETNS_COOKIE, 8) for one in (own, given))
        except OSError:  # an older kernel does not tell
            return True
    return ours != theirs
