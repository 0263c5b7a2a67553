"""The part of a network that runs programs. Nothing of a namespace is imported before the first of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    import subprocess
    from collections.abc import Sequence

    from pytest_mailauth.network.directory import Directory
    from pytest_mailauth.network.programs import Programs
    from pytest_mailauth.servers.environment import MailServers


class RunsPrograms:
    """What a network does for programs; its own namespace is made by the first of them."""

    _directory: Directory
    servers: MailServers

    def __init__(self) -> None:
        self._inside: Programs | None = None
        self._starting = threading.Lock()
        self._runs_none = False
        """Whether it is closed: a thread that comes late starts nothing that nobody would end."""

    def run(self, argv: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run a program that meets this network: its names, real port numbers, servers and blocks. Linux alone.

        The first call makes a namespace, which ends with this network. What the program did is in the sessions and
        messages of the servers, and in :attr:`attempts` as far as somebody answered.

        Args:
            argv: The program and its arguments.
            options: ``input``, ``timeout`` and ``check`` as for :func:`subprocess.run`, and those of
                :class:`subprocess.Popen`: ``env``, ``cwd``, ``text`` and so on. Its output is captured.

        Raises:
            CannotServeHere: This system gives no such network. A test in which it is raised is skipped.
            ConfigError: There is no program to run.
            FileNotFoundError: There is no such program.
            subprocess.TimeoutExpired: It was ended at its time-out, with everything that it had started.
            subprocess.CalledProcessError: *check* is set, and its exit status is not 0.
        """
        done: subprocess.CompletedProcess[Any] = self._programs().run(argv, **options)
        return done

    def popen(self, argv: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.Popen[Any]:
        """Start a program that meets this network, as :meth:`run` does; it ends with the network at the latest."""
        started: subprocess.Popen[Any] = self._programs().popen(argv, **options)
        return started

    def command(self, argv: Sequence[str | os.PathLike[str]]) -> list[str]:
        """Return the command that runs a program as :meth:`run` does, for whatever starts programs."""
        return self._programs().namespace.command(argv)

    def dns_inside(self) -> tuple[str, int]:
        """Return host and port of the DNS server that programs ask, which is also the one their system names.

        Raises:
            CannotServeHere: This system gives no such network.
            ConfigError: The optional package for it is not installed.
        """
        return self._programs().nameserver

    def _programs(self) -> Programs:
        with self._starting:
            if self._runs_none:
                raise RuntimeError("this network is closed; it runs no more programs")
            if self._inside is None:
                from pytest_mailauth.network.programs import Programs  # noqa: PLC0415 - most tests run no program

                self._inside = Programs(self._directory, self.servers)
            inside = self._inside
        inside.follow()
        return inside

    def _end_programs(self) -> None:
        with self._starting:
            inside, self._inside, self._runs_none = self._inside, None, True
        if inside is not None:
            inside.close()

    def _let_programs_in(self) -> None:
        if self._inside is not None:
            self._inside.look()

    def changed(self) -> None:
        """Let programs that run meet what was changed."""
        if self._inside is not None:
            self._inside.follow()
