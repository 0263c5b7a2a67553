"""What runs in a namespace: a helper that makes it and serves it, and the way in for one program.

Started by :mod:`pytest_mailauth.network.namespace` as a process of its own, by ``python -I -S`` and with little of the
standard library, because Python's own start is most of what a namespace costs. It imports nothing of this package.

The helper makes sockets and passes them out (``SCM_RIGHTS``); it never accepts or reads. It ends with the process
that started it, and every program ends with the helper.
"""

from __future__ import annotations

import _socket
import ctypes
import marshal
import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn, Self
else:
    import _signal

# linux/sched.h, linux/mount.h, linux/prctl.h, linux/sockios.h, linux/if.h
NEW_MOUNTS, NEW_USERS, NEW_PIDS, NEW_NET = 0x0002_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000
BIND, RECURSIVE, PRIVATE, DETACH = 0x1000, 0x4000, 0x4_0000, 2
PARENT_DEATH_SIGNAL, DUMPABLE = 1, 4
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1

FILES = ("/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf")
"""What tells programs where names come from. Each is covered by a file of ours, where it exists."""
ASKED_FOR_NAMES = ("/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve", "/run/avahi-daemon/socket")
"""Sockets of services that look names up outside: a path leads out of any network namespace."""

CANNOT_ENTER, CANNOT_EXECUTE, NOT_FOUND = 125, 126, 127
"""Exit statuses when a program was not started; the last two are those of a shell."""


class Refused(OSError):
    """The kernel refuses a step; ``filename`` names it."""


def _call(step: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), step)(*arguments) < 0:
        number = ctypes.get_errno()
        raise Refused(number, os.strerror(number), step)


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    kind_of = None if kind is None else kind.encode()
    _call("mount", os.fsencode(source), os.fsencode(target), kind_of, ctypes.c_ulong(flags), None)


def _unshare(flags: int, inner: tuple[int, int], outer: tuple[int, int]) -> None:
    """Enter new namespaces, in which the user and group *outer* of the one around are called *inner*."""
    _call("unshare", flags | NEW_USERS)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{inner[0]} {outer[0]} 1"),
        ("gid_map", f"{inner[1]} {outer[1]} 1"),
    ):
        try:
            with open(f"/proc/self/{name}", "wb", buffering=0) as file:  # noqa: PTH123 - pathlib takes longer than this
                file.write(text.encode())
        except OSError as error:
            raise Refused(error.errno, error.strerror, name) from error


# The helper.


def _loopback_up() -> None:
    request = ctypes.create_string_buffer(b"lo", 40)  # struct ifreq: a name of 16 bytes, then a union
    flags = ctypes.c_short.from_buffer(request, 16)
    with _Socket(_socket.AF_INET, _socket.SOCK_DGRAM) as one:
        _call("ioctl", one.fileno(), ctypes.c_ulong(GET_FLAGS), request)
        flags.value |= UP
        _call("ioctl", one.fileno(), ctypes.c_ulong(SET_FLAGS), request)


class _Socket(_socket.socket):
    """A socket that a with statement closes. Not that of the module socket, whose import takes as long as Python."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cover_files() -> dict[str, int]:
    """Put files of our own over :data:`FILES` and :data:`ASKED_FOR_NAMES`; return descriptors to write the former."""
    # They stand in memory. The folder that carries them meanwhile is uncovered again, and no name of them is left.
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - as above
    _mount("tmpfs", folder, "tmpfs", 0)
    covered = {}
    for number, target in enumerate((*FILES, *ASKED_FOR_NAMES)):
        if os.path.exists(target):  # noqa: PTH110 - as above
            source = f"{folder}/{number}"
            descriptor = os.open(source, os.O_RDWR | os.O_CREAT, 0o644)
            os.fchmod(descriptor, 0o644)
            _mount(source, target, None, BIND)
            covered[target] = descriptor
    _call("umount2", os.fsencode(folder), DETACH)
    return covered


class _Helper:
    """Serves requests of the process that started it, one after the other, until that process hangs up."""

    def __init__(self, control: _Socket) -> None:
        self._control = control
        self._files: dict[str, int] = {}

    def begin(self) -> None:
        os.close(os.pidfd_open(os.getpid()))  # programs will need it
        _unshare(NEW_NET | NEW_MOUNTS, (0, 0), (os.geteuid(), os.getegid()))
        _mount("none", "/", None, RECURSIVE | PRIVATE)
        _loopback_up()
        self._files = _cover_files()

    def listen(self, kind: tuple[int, int, int], address: str | int, port: int, backlog: int) -> _Socket:
        one = _Socket(kind[0], kind[1] | _socket.SOCK_CLOEXEC, kind[2])
        try:
            if kind[1] == _socket.SOCK_STREAM:
                one.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            one.bind((address, port))
            if kind[1] == _socket.SOCK_STREAM:
                one.listen(backlog)
        except BaseException:
            one.close()
            raise
        return one

    def write(self, name: str, content: bytes) -> None:
        if name not in self._files:
            raise FileNotFoundError(2, "there is no such file to be covered", name)
        # One write, and then shorter if need be: nobody finds the file empty.
        os.pwrite(self._files[name], content, 0)
        os.ftruncate(self._files[name], len(content))

    def netlink(self, protocol: int, messages: bytes) -> bytes:
        with _Socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, protocol) as one:
            one.bind((0, 0))
            one.send(messages)
            # The kernel has answered by the time that send returns.
            answers = b""
            while True:
                try:
                    answers += one.recv(1 << 16, _socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return answers

    def serve(self) -> None:
        self._answer("begin", ())
        while True:
            length = self._read(4)
            if not length:
                return
            self._answer(*marshal.loads(self._read(int.from_bytes(length, "big"))))  # noqa: S302 - of our own parent

    def _read(self, length: int) -> bytes:
        """Return so many bytes, or nothing once the other side has hung up."""
        parts = []
        while length:
            part = self._control.recv(length)
            if not part:
                return b""
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _answer(self, name: str, arguments: tuple[object, ...]) -> None:
        value, passed = None, []
        try:
            value = getattr(self, name)(*arguments)
            if isinstance(value, _Socket):
                passed, value = [value], None
            problem = None
        except OSError as error:
            problem = (error.errno, error.strerror, error.filename)
        message = marshal.dumps((problem, value))
        rights = b"".join(one.fileno().to_bytes(4, sys.byteorder) for one in passed)
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if rights else []
        try:
            # The descriptor travels with the length, so that it is there when the rest is read.
            self._control.sendmsg([len(message).to_bytes(4, "big")], ancillary)
            self._control.sendall(message)
        finally:
            for one in passed:
                one.close()


def _serve(control: str) -> None:
    with _Socket(fileno=int(control)) as one:
        os.set_inheritable(int(control), False)  # noqa: FBT003 - the os module's own signature
        try:  # noqa: SIM105 - contextlib takes longer than this
            _Helper(one).serve()
        except (BrokenPipeError, ConnectionResetError):
            pass  # whoever asked is gone


# The way in.

ENDING = (1, 2, 15)
"""SIGHUP, SIGINT and SIGTERM, by which programs are ended; by number, since not every system has them."""


class _Ended(BaseException):
    """A signal came that ends the program."""


def _take(number: int, _frame: object) -> NoReturn:
    for one in ENDING:
        _signal.signal(one, _signal.SIG_IGN)  # the first one is enough
    raise _Ended(number)


def _enter(helper: str, inode: str, *argv: str) -> NoReturn:
    """Run a program inside and end as it ends: with its exit status, or by its signal.

    The program is the second process of a PID namespace, so whatever it leaves behind ends with the first.
    """
    environment, inherited = _initial_environment(), _inherited()
    try:
        watched = _go_inside(helper, int(inode))
    except OSError as error:
        os.write(2, f"mailauth: cannot enter the namespace: {error}\n".encode())
        os._exit(CANNOT_ENTER)
    # As they are after the first fork: neither end of either pipe reaches the program.
    told, telling = os.pipe()
    alive, living = os.pipe()
    init = 0
    try:
        taken = [number for number in ENDING if _signal.getsignal(number) != _signal.SIG_IGN]
        for number in taken:
            _signal.signal(number, _take)
        init = os.fork()
        if not init:
            for number in taken:
                _signal.signal(number, _signal.SIG_DFL)
            os.close(living)
            _be_first(argv, environment, inherited, (telling, alive))
        os.close(telling)
        # What the program closes has to be closed for whoever is at the other end.
        for descriptor in inherited:
            os.close(descriptor)
        status = _wait(told, watched)
    except _Ended as ended:
        status = ended.args[0]
    if init:
        # The kernel ends every process of a PID namespace with the first, and lets that be reaped when all are gone.
        os.kill(init, _signal.SIGKILL)
        os.waitpid(init, 0)
    _end_like(status)


def _inherited() -> list[int]:
    found = []
    for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - as above
        try:
            os.fstat(descriptor)
        except OSError:
            continue  # that of the listing
        found.append(descriptor)
    return found


def _initial_environment() -> dict[bytes, bytes]:
    """Return the environment this process was given. Python may have changed it: LC_CTYPE (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 - as above
        pairs = [line.partition(b"=") for line in file.read().split(b"\0") if line]
    return {name: value for name, _, value in pairs}


def _go_inside(helper: str, inode: int) -> int:
    """Join the helper's namespaces, under the user and group of before; return a descriptor to wait for its end."""
    user, place = (os.geteuid(), os.getegid()), os.getcwd()  # noqa: PTH109 - as above
    watched = os.pidfd_open(int(helper))
    namespaces = [os.open(f"/proc/{helper}/ns/{kind}", os.O_RDONLY) for kind in ("user", "net", "mnt")]
    if os.fstat(namespaces[1]).st_ino != inode:
        raise ProcessLookupError(3, "it is closed")
    for descriptor in namespaces:
        _call("setns", descriptor, 0)
        os.close(descriptor)
    _unshare(NEW_PIDS | NEW_MOUNTS, user, (0, 0))
    os.chdir(place)
    return watched


def _wait(told: int, watched: int) -> int:
    """Return the program's wait status, or that of a killed one when the helper ends before it."""
    ready, _, _ = select.select([told, watched], [], [])
    status = os.read(told, 4) if told in ready else b""
    return int.from_bytes(status, sys.byteorder) if status else _signal.SIGKILL


def _be_first(
    argv: tuple[str, ...], environment: dict[bytes, bytes], inherited: list[int], pipes: tuple[int, int]
) -> NoReturn:
    """Start the program, reap what it orphans, and tell its wait status."""
    telling, alive = pipes
    try:
        _call("prctl", PARENT_DEATH_SIGNAL, _signal.SIGKILL)
        if select.select([alive], [], [], 0)[0]:
            os._exit(0)  # the one to die with has died already
        try:  # noqa: SIM105 - as above
            _mount("proc", "/proc", "proc", 0)
        except Refused:
            pass  # in some containers; the program then sees the processes of outside
        program = os.fork()
        if not program:
            _execute(argv, environment)
        for descriptor in inherited:
            os.close(descriptor)
        ended = 0
        while ended != program:
            ended, status = os.waitpid(-1, 0)
        os.write(telling, status.to_bytes(4, sys.byteorder))
    finally:
        os._exit(0)


def _execute(argv: tuple[str, ...], environment: dict[bytes, bytes]) -> NoReturn:
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)  # Python ignores them
    try:
        os.execvpe(argv[0], argv, environment)  # noqa: S606 - the purpose
    except OSError as error:
        os.write(2, f"mailauth: cannot run {argv[0]}: {error.strerror}\n".encode(errors="backslashreplace"))
        os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_EXECUTE)


def _end_like(status: int) -> NoReturn:
    number = status & 0x7F
    if number:
        _call("prctl", DUMPABLE, 0)  # if a core was to be dumped, the program has done so
        if number != _signal.SIGKILL:
            _signal.signal(number, _signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(status >> 8)


def main(task: str, *arguments: str) -> None:
    """Do one task: ``serve`` a descriptor of a socket, or ``enter`` for a program."""
    if task == "serve":
        _serve(*arguments)
    else:
        _enter(*arguments)
