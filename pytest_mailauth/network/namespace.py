"""A network of its own for any program: real names, real ports and blocked ports, on Linux and without root.

The kernel gives an unprivileged process a user, network and mount namespace. A helper in it (:mod:`.inside`) makes
listening sockets and passes them out, so servers and records stay in this process; programs are started inside.
Nothing outside changes: the namespace has no other interface than loopback, and ends with this process.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import ipaddress
import os
import shutil
import socket
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from pytest_mailauth.model.errors import CannotServe, CannotServeHere, ConfigError, ServerFault
from pytest_mailauth.network import blocking, files, sightings
from pytest_mailauth.network.channel import Channel, reap
from pytest_mailauth.network.files import loopback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

BACKLOG: Final = 1024
"""Clients that may connect at once before anybody accepts."""
CANNOT_ENTER: Final = 125
"""The status with which the way in ends when the kernel refuses it. See :mod:`.inside`."""
_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - of a network that has nothing but loopback
_ROOM: Final = 1 << 20
"""Bytes for what was seen and is not read yet."""
_ROUTE, _NETFILTER = 0, 12
"""Netlink protocols (``linux/netlink.h``)."""


class Namespace:
    """A Linux network namespace with a loopback interface and nothing else.

    Programs that are started inside see the files and the environment of the test, run as its user, and find there:
    the names of :meth:`names`, the ports of :meth:`listen`, and nothing of any other network. Use it in a ``with``
    statement, or call :meth:`close`.

    Raises:
        CannotServeHere: This system gives no such namespace; the message says why. See :meth:`probe`.
    """

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise CannotServeHere(
                f"a network of its own for a program needs Linux's namespaces; this is {sys.platform}"
            )
        self._lock = threading.Lock()
        self._blocks: dict[tuple[str | None, int], str] = {}
        self._policies: frozenset[bytes] = frozenset()
        self._founded = False
        self._noting = b""
        self._versions = (4, 6) if Path("/proc/net/if_inet6").exists() else (4,)
        self._programs: weakref.WeakSet[subprocess.Popen[Any]] = weakref.WeakSet()
        self._channel = Channel()
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self.names({})
            self._write(files.SWITCH, files.looked_up_in("files"), needed=False)
            # A program with a resolver of its own is refused at once, rather than told to wait for somebody outside.
            self._write(files.RESOLVER, files.asking("127.0.0.1"), needed=False)
            undo.pop_all()

    @staticmethod
    def probe(how: str | None = None) -> str | None:
        """Return why this system cannot run a program in a namespace, or None if it can. Tried once in a process.

        Args:
            how: A way to block a port, which has to work as well. See :meth:`block`.

        Raises:
            ServerFault: It failed for another reason than a refusal. Our bug, and none to skip a test for.
        """
        return _probe(how)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every program inside, and the namespace. Harmless when repeated.

        Sockets that were passed out stay open until their owners close them; nobody can connect to them any more.
        """
        self._channel.close()
        for program in tuple(self._programs):
            reap(program)

    # Names and ports.

    def names(
        self, names: Mapping[str, str | Sequence[str]], aliases: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Let these names, ``localhost`` and the name of this machine be all that there are.

        Args:
            names: For each name its address, or several in order.
            aliases: For those that are aliases of another name, that name.

        Raises:
            ConfigError: An address is not in 127.0.0.0/8 or ::1, or a name is none.
            CannotServeHere: This system has no /etc/hosts that could be covered.
        """
        self._write(files.HOSTS, files.hosts(names, aliases))

    def resolver(self, address: str) -> None:
        """Let programs ask a DNS server at *address*, port 53, for what is not among the names.

        Make its sockets with :meth:`listen`: UDP with ``datagrams=True``, and TCP.

        Raises:
            ConfigError: The address is not in 127.0.0.0/8 or ::1.
            CannotServeHere: This system has no /etc/resolv.conf that could be covered.
        """
        self._write(files.RESOLVER, files.asking(loopback(address)))
        self._write(files.SWITCH, files.looked_up_in("files dns"), needed=False)

    def listen(
        self, address: str | None, port: int, *, datagrams: bool = False, backlog: int = BACKLOG
    ) -> socket.socket:
        """Return a socket that listens inside the namespace, and belongs to the caller.

        Args:
            address: In 127.0.0.0/8, or ::1; None for every address of IPv4.
            port: 0 for one that the system chooses.
            datagrams: A UDP socket, which is bound and receives.
            backlog: How many clients may wait to be accepted.

        Raises:
            ConfigError: The address is no loopback address, or the port is none or taken.
            CannotServe: There is no IPv6.
        """
        ip = ipaddress.ip_address(_EVERYWHERE if address is None else loopback(address))
        family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
        kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
        try:
            passed = self._channel.ask("listen", (int(family), int(kind), 0), str(ip), _port(port, least=0), backlog)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(f"{ip} port {port} is taken in this namespace; close its socket first") from error
            raise CannotServe(f"nothing can listen on {ip} port {port}: {error.strerror}") from error
        return socket.socket(fileno=passed)

    def block(self, address: str | None, port: int, how: str = "timeout") -> None:
        """Block a TCP port on its way, whether somebody listens there or not.

        Args:
            address: Where; None for every address. A block of one address counts before one of every address.
            port: Which port.
            how: What a client meets: ``"timeout"``, ``"refused"``, ``"prohibited"`` (EHOSTUNREACH, or EACCES with
                IPv6), ``"unreachable"`` (EHOSTUNREACH), or ``"reset"``: connected to whoever listens, and cut off
                before a byte gets through. ``"timeout"`` and ``"refused"`` are for new connections; under the others
                open ones do not go on either.

        Raises:
            ConfigError: The address is no loopback address, or the port or the way is unknown.
            CannotServeHere: The kernel cannot do it.
        """
        if how not in blocking.HOW:
            raise ConfigError(f"how={how!r} is not known; use one of {', '.join(map(repr, blocking.HOW))}")
        where = (None if address is None else loopback(address), _port(port))
        with self._lock:
            self._become(self._blocks | {where: how})

    def blocks(self, blocks: Mapping[tuple[str | None, int], str]) -> None:
        """Let these be all blocks that there are: for each address, or None, and port the way. See :meth:`block`."""
        with self._lock:
            self._become(dict(blocks))

    def lift(self, address: str | None = None, port: int | None = None) -> None:
        """Lift every block, or those of an address, of a port, or of both.

        Raises:
            ConfigError: The address is no loopback address.
        """
        address = None if address is None else loopback(address)
        with self._lock:
            kept = {
                where: how
                for where, how in self._blocks.items()
                if address not in (None, where[0]) or port not in (None, where[1])
            }
            self._become(kept)

    def sightings(self) -> socket.socket | None:
        """Return a socket that tells of every attempt to connect, for :func:`.sightings.read`; None if none can."""
        kind = int(socket.AF_NETLINK), socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETFILTER
        passed = self._channel.ask("listen", kind, 0, 0, 0)
        told = socket.socket(fileno=passed)
        told.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        try:
            for request in sightings.subscription():
                told.send(request)
                for number in blocking.errors(told.recv(_ROOM)):
                    raise OSError(number, os.strerror(number))  # noqa: TRY301 - as if the kernel had raised it
            with self._lock:
                self._noting = sightings.rule()
                self._become(self._blocks)
        except (OSError, CannotServe):
            self._noting = b""
            told.close()
            return None
        return told

    def _become(self, wanted: dict[tuple[str | None, int], str]) -> None:
        blocks = tuple(blocking.Block(*where, how) for where, how in wanted.items())
        policies = blocking.policies(blocks, self._versions)
        try:
            if policies and not self._founded:
                self._netlink(_ROUTE, blocking.foundation(self._versions))
                self._founded = True
            if policies != self._policies:
                self._netlink(_ROUTE, blocking.changes(self._policies, policies))
                self._policies = policies
            self._netlink(_NETFILTER, blocking.filters(blocks, self._noting))
        except OSError as error:
            raise CannotServeHere(f"this kernel cannot block a port: {error.strerror}") from error
        self._blocks = wanted

    # Programs.

    def command(self, argv: Sequence[str | os.PathLike[str]]) -> list[str]:
        """Return the command that runs a program inside, for whatever starts programs.

        It ends as the program ends, and takes everything with it that the program has started. SIGTERM ends it
        after them.

        Raises:
            ConfigError: There is no program to run.
        """
        if not argv:
            raise ConfigError("there is no program to run")
        return [*self._channel.entrance, *(os.fspath(part) for part in argv)]

    def popen(self, argv: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.Popen[Any]:
        """Start a program inside. The *options* are those of :class:`subprocess.Popen`, without ``pass_fds``.

        Raises:
            ConfigError: There is no program to run.
            FileNotFoundError: There is no such program.
        """
        command, program = self.command(argv), os.fspath(argv[0])
        sought = Path(options.get("cwd") or ".", program) if os.sep in program else program
        if shutil.which(sought, path=(options.get("env") or os.environ).get("PATH")) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
        process = subprocess.Popen(command, **options)  # noqa: S603 - running the user's program is the purpose
        self._programs.add(process)
        return process

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        input: Any = None,  # noqa: A002 - the name that subprocess.run has
        timeout: float | None = None,
        check: bool = False,
        **options: Any,
    ) -> subprocess.CompletedProcess[Any]:
        """Run a program inside and return what came of it; its output is captured.

        Args:
            argv: The program and its arguments.
            input: What it reads from standard input; None for nothing.
            timeout: Seconds after which it is ended, with everything that it started.
            check: Raise when its exit status is not 0.
            options: Those of :class:`subprocess.Popen`: ``env``, ``cwd``, ``text`` and so on.

        Raises:
            ConfigError: There is no program to run.
            FileNotFoundError: There is no such program.
            subprocess.TimeoutExpired: It was ended at its time-out; with its output so far.
            subprocess.CalledProcessError: *check* is set, and its exit status is not 0.
        """
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        streams["stdin"] = subprocess.DEVNULL if input is None else subprocess.PIPE
        with self.popen(argv, **(streams | options)) as process:
            try:
                out, err = process.communicate(input, timeout)
            except subprocess.TimeoutExpired as late:
                process.terminate()
                late.output, late.stderr = process.communicate()
                raise
            except BaseException:
                process.terminate()
                raise
        done = subprocess.CompletedProcess(argv, process.returncode, out, err)
        if check:
            done.check_returncode()
        return done

    def _netlink(self, protocol: int, messages: bytes) -> None:
        for number in blocking.errors(self._channel.ask("netlink", protocol, messages)):
            raise OSError(number, os.strerror(number))

    def _write(self, name: str, content: str, *, needed: bool = True) -> None:
        try:
            self._channel.ask("write", name, content.encode("utf-8", "surrogateescape"))
        except FileNotFoundError:
            if needed:
                raise CannotServeHere(f"this system has no {name} that could be covered inside the namespace") from None


@functools.cache
def _probe(how: str | None) -> str | None:
    try:
        with Namespace() as one:
            if how is not None:
                one.block(None, 25, how)
            done = one.run([sys.executable, "-I", "-S", "-c", ""], text=True)
    except CannotServe as refusal:
        return str(refusal)
    if done.returncode == CANNOT_ENTER:
        return f"no program can be run in a namespace: {done.stderr.strip()}"
    if done.returncode:
        raise ServerFault(f"a program in a namespace ended with status {done.returncode}: {done.stderr.strip()}")
    return None


def _port(port: int, least: int = 1) -> int:
    if not isinstance(port, int) or not least <= port <= 0xFFFF:
        raise ConfigError(f"port={port!r} must be a number from {least} to 65535")
    return port
