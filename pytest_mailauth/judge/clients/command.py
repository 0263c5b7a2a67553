"""Any program as a client under test: placeholders in its arguments, the same values in its environment.

A program runs in a session of its own and is ended with everything it started. Standard input is empty; what it
prints is kept, up to a limit, because its last lines are all it can say about a failure.
"""

from __future__ import annotations

import atexit
import contextlib
import difflib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.clients.client import Client, ClientFailedError
from pytest_mailauth.model.canary import find, redact
from pytest_mailauth.model.errors import ClientUnusable, ConfigError
from pytest_mailauth.model.trial import Declaration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_mailauth.judge.clients.case import Case
    from pytest_mailauth.model.terms import Protocol, Security

OUTPUT_LIMIT: Final = 64 * 1024
"""Bytes of output that are kept; of more, the last ones."""
LAST_LINES: Final = 4
"""Lines of output that are quoted when a program fails."""
LINE_LIMIT: Final = 200
"""Characters of each of them."""
LONGEST_FORM: Final = 1024
"""Characters that no secret takes, in whatever encoding."""

RELAXED_POLICY: Final = """\
openssl_conf = openssl_init
[openssl_init]
ssl_conf = ssl
[ssl]
system_default = relaxed
[relaxed]
MinProtocol = TLSv1
CipherString = DEFAULT@SECLEVEL=0
"""
"""An OpenSSL configuration that forbids nothing which a program itself allows. Other TLS libraries ignore it."""

NO_PORT: Final = "0"
"""What ``{fallback_port}`` becomes where the account has no other port: a number that no connection goes to."""

PLACEHOLDERS: Final[dict[str, Callable[[Case], str]]] = {
    "host": lambda case: case.host,
    "port": lambda case: str(case.port),
    "security": lambda case: case.security.value,
    "username": lambda case: case.username,
    "password": lambda case: case.password,
    "token": lambda case: case.token,
    "cafile": lambda case: case.cafile,
    "sender": lambda case: case.sender,
    "recipient": lambda case: case.recipient,
    "url": lambda case: case.url,
    "fallback_port": lambda case: str(case.fallback_port or NO_PORT),
    "timeout": lambda case: f"{case.timeout:g}",
    "domain": lambda case: case.domain or "",
    "by_default": lambda case: "yes" if case.by_default else "no",
    "pinned": lambda case: case.pinned or "",
    "sts_policy": lambda case: case.sts_policy or "",
    "tlsa": lambda case: "\n".join(case.tlsa),
    "requires_tls": lambda case: "yes" if case.requires_tls else "no",
}
"""What may stand in braces in an argument."""

_FALLBACK: Final = "fallback_port"
_HEEDED: Final = frozenset({_FALLBACK, "by_default", "pinned", "sts_policy", "tlsa", "requires_tls"})
"""Words that say of a program which uses them that it can do what they are about; without one it is not told."""
# What people write first, because other programs call it so.
_OTHER_NAMES: Final = {
    "user": "username",
    "login": "username",
    "pass": "password",
    "passwd": "password",
    "hostname": "host",
    "server": "host",
    "ca": "cafile",
    "cacert": "cafile",
    "tls": "security",
    "from": "sender",
    "to": "recipient",
    "rcpt": "recipient",
}
# ``${word}`` belongs to a shell and ``%{word}`` to curl's --write-out.
_BRACED: Final = re.compile(r"(?<![$%])\{([a-z_]+)\}")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def command_client(
    argv: Sequence[str],
    protocol: Protocol,
    securities: tuple[Security, ...],
    declared: Declaration | None = None,
    name: str | None = None,
) -> Client:
    """Return a client that runs a program.

    Args:
        argv: The program and its arguments. ``{host}``, ``{port}`` and the other names of :data:`PLACEHOLDERS` are
            replaced; all other braces stay as they are.
        protocol: The protocol it speaks.
        securities: The modes it is judged in.
        declared: What it is declared to do. A program with ``{fallback_port}`` in its arguments is always one that
            knows another port.
        name: What it is called in reports; None for the name of the program.

    Raises:
        ConfigError: There is no program, or a placeholder is spelt wrong.
        ClientUnusable: There is no such program on this host.
    """
    declared = declared or Declaration()
    program = Program(argv, may_switch=declared.fallback == "other-port")
    return Client(
        name=name or os.path.basename(argv[0]),  # noqa: PTH119 - a program's name is no path yet
        run=program.run,
        protocols=(protocol,),
        securities=securities,
        declared=declared,
        relaxed=program.run_relaxed,
        stop=program.stop,
        reach=None,
    )


class Program:
    """A program that is run once for each case, several at a time.

    Args:
        argv: See :func:`command_client`.
        may_switch: Tell it the other port of the account in ``MAILAUTH_FALLBACK_PORT`` although no argument asks.

    Raises:
        ConfigError: There is no program, or a placeholder is spelt wrong.
        ClientUnusable: There is no such program on this host.
    """

    def __init__(self, argv: Sequence[str], *, may_switch: bool = False) -> None:
        self._argv = tuple(argv)
        used = _used(self._argv)
        self._heeds = (used & _HEEDED) | ({_FALLBACK} if may_switch else set())
        if not _BRACED.search(self._argv[0]) and shutil.which(self._argv[0]) is None:
            raise ClientUnusable(f"there is no program {self._argv[0]!r} that could be run")
        self._lock = threading.Lock()
        self._running: dict[Case, subprocess.Popen[bytes]] = {}
        self._stopped: set[Case] = set()
        self._policies: list[Path] = []
        self._closed = False
        # Trials run in threads that nobody waits for after Ctrl-C; their programs must not outlive this one.
        atexit.register(self.close)

    def run_relaxed(self, case: Case) -> None:
        """Run the program once under an OpenSSL configuration that allows old TLS. See :meth:`run`."""
        policy = self._relaxed_policy()
        try:
            self.run(case, {"OPENSSL_CONF": str(policy)})
        finally:
            policy.unlink(missing_ok=True)

    def _relaxed_policy(self) -> Path:
        """Write the policy to a file of its own, which goes with this run, or else with everything."""
        with self._lock:
            if self._closed:
                raise ClientFailedError("stopped before it was started")
            descriptor, name = tempfile.mkstemp(prefix="mailauth-", suffix=".cnf", text=True)
            policy = Path(name)
            self._policies.append(policy)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(RELAXED_POLICY)
        return policy

    def run(self, case: Case, extra: Mapping[str, str] | None = None) -> None:
        """Run the program once and wait for its end.

        Args:
            case: What it is given.
            extra: Further environment variables.

        Raises:
            ClientFailedError: It ended with an error; the text is its exit status and its last lines.
            ClientUnusable: It could not be started.
        """
        values = self._values(case)
        argv = [_BRACED.sub(lambda match: values.get(match[1], match[0]), part) for part in self._argv]
        environment = os.environ | {f"MAILAUTH_{name.upper()}": value for name, value in values.items()}
        environment |= extra or {}
        if case.enter is not None:
            argv = case.enter(argv)
        reading, writing = os.pipe()
        output = _Output(reading, writing)
        try:
            process = self._start(case, argv, environment, writing)
            try:
                status = process.wait()
            finally:
                _end(process)
                was_stopped = self._forget(case)
        finally:
            printed = output.finish()
        hidden = ((case.password, "<password>"), (case.token, "<token>"))
        if any(find(secret, printed) for secret, _label in hidden):
            case.note_disclosure(printed)
        said = _last_lines(printed, hidden)
        if "shown" in case.wants:
            case.report(shown=_shown(printed, hidden))
        if status or was_stopped:
            ended = "still running at its time limit, and stopped" if was_stopped else _status(status)
            raise ClientFailedError(f"{ended}{f': {said}' if said else ''}")
        if said:
            case.report(error=said)

    def stop(self, case: Case) -> None:
        """End the run of *case*, with everything it started. It need not have begun."""
        with self._lock:
            self._stopped.add(case)
            process = self._running.get(case)
        if process is not None:
            _end(process)

    def close(self) -> None:
        """End every run, remove what was written for them, and begin no other."""
        with self._lock:
            self._closed = True
            running = tuple(self._running.values())
        for process in running:
            _end(process)
        # The thread of a run may not live to remove its own.
        for policy in self._policies:
            policy.unlink(missing_ok=True)

    def _values(self, case: Case) -> dict[str, str]:
        names = [name for name in PLACEHOLDERS if name not in _HEEDED or name in self._heeds]
        kept_back = {*case.untold, "url"} if case.untold else set()
        kept_back |= set() if case.domain else {"domain"}
        return {name: PLACEHOLDERS[name](case) for name in names if name not in kept_back}

    def _start(
        self, case: Case, argv: list[str], environment: Mapping[str, str], writing: int
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed or case in self._stopped:
                raise ClientFailedError("stopped before it was started")
            try:
                process = subprocess.Popen(  # noqa: S603 - running the user's program is the purpose
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=writing,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise ClientUnusable(f"{argv[0]!r} could not be started: {error.strerror or error}") from error
            self._running[case] = process
            return process

    def _forget(self, case: Case) -> bool:
        """Forget the run of *case* and return whether it was stopped."""
        with self._lock:
            del self._running[case]
            return case in self._stopped


class _Output:
    """What a program prints, read in a thread so that a full pipe never stops the program.

    A program may leave a process behind that holds the pipe open for ever. The end of the output is therefore not
    waited for but written: a mark of our own, after everything that the program wrote.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self._reading = reading
        self._writing = writing
        self._kept = b""
        self._mark = secrets.token_bytes(16)
        self._thread = threading.Thread(target=self._read, name="mailauth output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while self._mark not in self._kept:
            self._kept = self._kept[-OUTPUT_LIMIT:] + os.read(self._reading, OUTPUT_LIMIT)

    def finish(self) -> bytes:
        """Close the pipe and return what was printed, at most the last :data:`OUTPUT_LIMIT` bytes."""
        os.write(self._writing, self._mark)
        self._thread.join()
        os.close(self._reading)
        os.close(self._writing)
        return self._kept.partition(self._mark)[0][-OUTPUT_LIMIT:]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and every process of its group, and reap it."""
    if sys.platform == "win32":  # pragma: no cover  # no process groups there
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _used(argv: tuple[str, ...]) -> frozenset[str]:
    """Return the placeholders in *argv*, and refuse what was meant to be one."""
    if not argv:
        raise ConfigError("there is no program to run")
    words = {word for part in argv for word in _BRACED.findall(part)}
    for word in sorted(words - PLACEHOLDERS.keys()):
        near = _OTHER_NAMES.get(word) or next(iter(difflib.get_close_matches(word, PLACEHOLDERS, 1, 0.75)), None)
        if near is not None:
            known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            raise ConfigError(f"{{{word}}} is no placeholder; did you mean {{{near}}}? There are {known}")
    return frozenset(words & PLACEHOLDERS.keys())


def _last_lines(printed: bytes, hidden: tuple[tuple[str, str], ...]) -> str:
    """Return the last lines of a program's output on one line, without what is hidden or only for a terminal."""
    # Before anything is cut: half a secret is not found any more, and tells half of it.
    text = redact(_COLOUR.sub("", printed.decode("utf-8", "replace")), hidden)
    if len(printed) == OUTPUT_LIMIT:
        text = text[LONGEST_FORM:]  # the output itself was cut here, perhaps inside a secret
    lines = [" ".join(line.split()) for line in re.split(r"[\r\n]+", text)]
    told = [line[:LINE_LIMIT] for line in lines if line][-LAST_LINES:]
    return "".join(c if c.isprintable() else "?" for c in " / ".join(told))


def _shown(printed: bytes, hidden: tuple[tuple[str, str], ...]) -> str:
    """Return everything that a program printed, as it was: a user sees it so. Secrets are hidden."""
    text = redact(printed.decode("utf-8", "replace"), hidden)
    return text[LONGEST_FORM:] if len(printed) == OUTPUT_LIMIT else text


def _status(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(-status).name}"
    return f"exit status {status}"
