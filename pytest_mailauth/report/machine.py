"""The report as JSON, for programs, and the file that it goes to. The names of its fields are public and stay."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import platform
import shutil
import ssl
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_mailauth.judge.ruleset import RuleSet
    from pytest_mailauth.judge.verdict import Result
    from pytest_mailauth.report.digest import ClientReport

_IN_PLACE: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY})
"""Why a file cannot be replaced that can be written: its folder takes no other one, or it is mounted by itself."""


def environment(servable: Iterable[str], asked: RuleSet | None, *, interrupted: bool) -> dict[str, Any]:
    """Return what a verdict depends on besides client and rules.

    Args:
        servable: The TLS versions that this host can serve.
        asked: The profile and the version of the rules; None when it did not come to that.
        interrupted: Whether the run was ended early.
    """
    return {
        "profile": asked and asked.profile,
        "rules": asked and asked.rules,
        "package": metadata.version("pytest-mailauth"),
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "openssl": ssl.OPENSSL_VERSION,
        "platform": platform.platform(),
        "servable_tls": list(servable),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "interrupted": interrupted,
    }


def document(reports: Iterable[ClientReport], about: dict[str, Any], error: str | None = None) -> str:
    """Return the JSON text of a run: ``results``, one a case, ``environment``, and why there are no results."""
    results = [_row(row) for report in reports for row in report.rows]
    return json.dumps({"results": results, "environment": about, "error": error}, indent=2) + "\n"


class Destination:
    """Where a document goes: to standard output, or into a file, which holds a whole one or is left as it was.

    Args:
        name: The name of a file, or ``-`` for standard output.

    Raises:
        ConfigError: The file could not be written.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_stdout = name == "-"
        self._path = Path(name).resolve()  # a link stays a link
        problem = None if self.is_stdout else _problem(self._path)
        if problem is not None:
            raise self._refusal(problem)

    def write(self, text: str) -> None:
        """Write a document.

        Raises:
            ConfigError: The file cannot be written after all.
            BrokenPipeError: Nobody reads standard output any more.
        """
        if self.is_stdout:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        try:
            _put(self._path, text)
        except OSError as error:
            raise self._refusal(error.errno) from error

    def _refusal(self, problem: int | None) -> ConfigError:
        return ConfigError(f"--json {self._name}: {os.strerror(problem or errno.EIO)}")


def _problem(path: Path) -> int | None:
    """Return what keeps *path* from being written, as an error number, without touching it."""
    if path.is_dir():
        return errno.EISDIR
    if not path.exists() and not path.parent.is_dir():
        return errno.ENOENT
    return None if os.access(path if path.exists() else path.parent, os.W_OK) else errno.EACCES


def _put(path: Path, text: str) -> None:
    if path.exists() and not path.is_file():  # a device or a pipe, which must not be replaced
        path.write_text(text, encoding="utf-8")
        return
    beside = path.with_name(f".mailauth-{os.getpid()}.json")
    try:
        beside.write_text(text, encoding="utf-8")
        if path.exists():
            shutil.copymode(path, beside)
        beside.replace(path)
    except OSError as error:
        if error.errno not in _IN_PLACE:
            raise
        path.write_text(text, encoding="utf-8")
    finally:
        beside.unlink(missing_ok=True)


def _row(row: Result) -> dict[str, Any]:
    return {
        "client": row.client,
        "protocol": row.protocol.value,
        "security": row.security.value,
        "scenario": row.setting.scenario.name,
        "id": row.setting.id,
        "verdict": row.verdict.value,
        "rules": [
            {
                "rule": judgement.rule,
                "verdict": judgement.finding.verdict.value,
                "requirement": judgement.requirement,
                "evidence": judgement.finding.evidence,
            }
            for judgement in row.judgements
        ],
        "transcript": row.transcript,
        "diagnosis": [dataclasses.asdict(one) for one in row.diagnosis],
        "seconds": round(row.seconds, 3),
    }
