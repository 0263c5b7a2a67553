"""The helper inside a namespace as a process of ours, and what is asked of it.

One request and its answer at a time; a descriptor comes back beside the answer (``SCM_RIGHTS``).
"""

from __future__ import annotations

import contextlib
import marshal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

from pytest_mailauth.model.errors import CannotServeHere, ServerFault

PATIENCE: Final = 10.0
"""Seconds to wait for the helper, which never waits itself, before calling it our bug."""

_BOOT: Final = "import sys; sys.path.append(sys.argv[1]); import inside; inside.main(*sys.argv[2:])"
# Imported, not run as a script, so that its byte code is kept. Isolated and without site: half of Python's start.
_INSIDE: Final = (
    *(sys.executable, "-I", "-S"),
    *(["-B"] if sys.dont_write_bytecode else []),
    *("-c", _BOOT, str(Path(__file__).parent)),
)
_LENGTH, _DESCRIPTOR = 4, 4
"""Bytes of a message's length, and of a descriptor (an int)."""

_FORBIDDEN_BY: Final = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor restricts it (Ubuntu)"),
    ("kernel/unprivileged_userns_clone", "0", "it is switched off (Debian)"),
    ("user/max_user_namespaces", "0", "none is allowed"),
)
"""Settings under /proc/sys that forbid user namespaces, with the value that does."""
_FORBIDDEN_ELSEWHERE: Final = (
    "a container's seccomp profile or a security module forbids it; for Docker see "
    "--security-opt seccomp=unconfined and apparmor=unconfined"
)

_SETTINGS: Final = Path("/proc/sys")


class Channel:
    """The process that makes a namespace and serves it from inside.

    Raises:
        CannotServeHere: The kernel refuses to make one; the message says why.
        ServerFault: The helper failed otherwise. Our bug.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(self._control.close)
            self._control.settimeout(PATIENCE)
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                (*_INSIDE, "serve", str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                cwd="/",
                start_new_session=True,  # a terminal's Ctrl-C is for us, and we end it
            )
            undo.callback(self.close)
            theirs.close()
            try:
                self._answered()
                self._inode = Path(f"/proc/{self._process.pid}/ns/net").stat().st_ino
            except OSError as error:
                raise CannotServeHere(_why_not(error)) from error
            except EOFError:
                status = self._process.wait(PATIENCE)
                raise ServerFault(f"the helper inside the namespace ended with status {status}") from None
            undo.pop_all()

    @property
    def entrance(self) -> tuple[str, ...]:
        """What comes before a program and its arguments in the command that runs it inside."""
        return (*_INSIDE, "enter", str(self._process.pid), str(self._inode))

    def close(self) -> None:
        """Hang up and wait for the helper's end, which is the end of every program inside. Harmless when repeated."""
        with self._lock:
            self._control.close()
        reap(self._process)

    def ask(self, name: str, *arguments: Any) -> Any:
        """Have the helper do something, and return its answer; of a socket its descriptor, which never is inherited.

        Raises:
            OSError: It could not be done.
            RuntimeError: The namespace is closed.
            ServerFault: The helper has ended, or answers no more. Our bug.
        """
        with self._lock:
            if self._control.fileno() < 0:
                raise RuntimeError("this namespace is closed; make a new one with Namespace()")
            message = marshal.dumps((name, arguments))
            try:
                self._control.sendall(len(message).to_bytes(4, "big") + message)
                return self._answered()
            except (EOFError, ConnectionError, TimeoutError) as error:
                raise ServerFault("the namespace's helper has ended, or answers no more") from error

    def _answered(self) -> Any:
        passed = None
        flags = socket.MSG_CMSG_CLOEXEC
        try:
            length, ancillary, _, _ = self._control.recvmsg(_LENGTH, socket.CMSG_SPACE(_DESCRIPTOR), flags)
            passed = next((int.from_bytes(data, sys.byteorder) for _, _, data in ancillary), None)
            length += self._received(_LENGTH - len(length))
            problem, value = marshal.loads(self._received(int.from_bytes(length, "big")))  # noqa: S302 - our helper's
        except BaseException:
            # Half an answer would be taken for the next one.
            self._control.close()
            raise
        if problem is not None:
            raise OSError(*problem)
        return value if passed is None else passed

    def _received(self, length: int) -> bytes:
        message = bytearray()
        while len(message) < length:
            part = self._control.recv(length - len(message))
            if not part:
                raise EOFError
            message += part
        return bytes(message)


def reap(process: subprocess.Popen[Any]) -> None:
    """Wait for the end of a process that has been told to end, and make it end if it does not."""
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _why_not(error: OSError) -> str:
    """Return the sentence for a step that the kernel refused, with the remedy as far as it can be told."""
    known = [
        f"{why}: the setting {name.replace('/', '.')} is {value}"
        for name, value, why in _FORBIDDEN_BY
        if _setting(name) == value
    ]
    step = f"{error.filename}: " if error.filename else ""
    remedy = known[0] if known else _FORBIDDEN_ELSEWHERE
    return f"this system gives no network namespace ({step}{error.strerror}); {remedy}"


def _setting(name: str) -> str | None:
    try:
        return (_SETTINGS / name).read_text(encoding="ascii").strip()
    except OSError:
        return None
