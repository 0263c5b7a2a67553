"""A report in JSON read again: what went wrong in every case that did not pass, in plain words.

What stands in a file is somebody else's text: it is checked before it is used, and made printable before it is shown.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_mailauth.model.causes.cause import Diagnosis
from pytest_mailauth.model.diagnosis import ending
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import SEVERITY, Verdict
from pytest_mailauth.model.transcript import encodable
from pytest_mailauth.report.text import diagnosed, labelled, one_line, sentence

if TYPE_CHECKING:
    from collections.abc import Iterable

_AGAIN: Final = "write one with `mailauth check ... --json FILE`"
_TEXTS: Final = ("client", "id", "verdict")
_RULE_TEXTS: Final = ("rule", "verdict", "evidence")
_PARTS: Final = ("name", "cause", "evidence", "advice")


class Row(NamedTuple):
    """A case of the report that did not pass."""

    client: str
    id: str
    verdict: Verdict
    rule: str
    evidence: str
    diagnosis: tuple[Diagnosis, ...]


def explain_file(name: str, width: int) -> str:
    """Return what went wrong in the cases of a report, worst first; those that say the same are put together.

    Args:
        name: The name of a file written by ``mailauth check --json``, or ``-`` for standard input.
        width: Columns to wrap at.

    Raises:
        ConfigError: It cannot be read, or is no such report.
    """
    document = _parsed(name)
    if document.get("error") and not document["results"]:
        return f"Nothing was judged: {sentence(str(document['error']))}"
    rows = [row for each in document["results"] if (row := _row(name, each)) is not None]
    if not rows:
        count = len(document["results"])
        return f"{count} case{'' if count == 1 else 's'}, and none asks for an explanation: all have passed."
    told = sorted(_together(rows), key=lambda group: SEVERITY.index(group[0].verdict))
    return encodable("\n\n".join("\n".join(_block(group, width)) for group in told))


def _together(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows of each client with the same verdict, rule and causes."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        key = row.client, row.verdict, row.rule, tuple(one.name for one in row.diagnosis)
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _block(group: list[Row], width: int) -> list[str]:
    first = group[0]
    lines = [
        one_line(f"{first.client}: {first.verdict}, {first.rule}"),
        labelled("Cases", ", ".join(row.id for row in group), width),
        labelled("Actual", sentence(first.evidence), width),
    ]
    return [*lines, *diagnosed(ending(first.diagnosis), width)]


def _parsed(name: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--from {name}: {os.strerror(error.errno or errno.EIO)}; {_AGAIN}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"--from {name}: it is no JSON, which is UTF-8; {_AGAIN}") from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--from {name}: it is no JSON ({error}); {_AGAIN}") from error
    if not isinstance(document, dict) or not isinstance(document.get("results"), list):
        raise ConfigError(f"--from {name}: it is no report of `mailauth check`, which has a list 'results'; {_AGAIN}")
    return document


def _row(name: str, row: Any) -> Row | None:
    """Return a case as it is told, or None when it passed.

    Raises:
        ConfigError: It is none, or it was written before reports had a diagnosis.
    """
    if not _has_texts(row, _TEXTS) or row["verdict"] not in list(Verdict) or not isinstance(row.get("rules"), list):
        raise _foreign(name)
    if row["verdict"] == Verdict.PASS:
        return None
    if "diagnosis" not in row:
        raise ConfigError(
            f"--from {name}: the case {row['id']} has no 'diagnosis': an older version wrote this report. Run the "
            "check again with this one, with --json"
        )
    rules = [rule for rule in row["rules"] if _has_texts(rule, _RULE_TEXTS)]
    decisive = next((rule for rule in rules if rule["verdict"] == row["verdict"]), None)
    if decisive is None or not isinstance(row["diagnosis"], list):
        raise _foreign(name)
    diagnosis = tuple(_diagnosis(name, one) for one in row["diagnosis"])
    return Row(row["client"], row["id"], Verdict(row["verdict"]), decisive["rule"], decisive["evidence"], diagnosis)


def _diagnosis(name: str, one: Any) -> Diagnosis:
    if not _has_texts(one, _PARTS) or not isinstance(one.get("sources"), list):
        raise _foreign(name)
    return Diagnosis(**{part: one[part] for part in _PARTS}, sources=tuple(map(str, one["sources"])))


def _has_texts(value: Any, names: Iterable[str]) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(each), str) for each in names)


def _foreign(name: str) -> ConfigError:
    return ConfigError(f"--from {name}: a case in it is not as `mailauth check` writes them; {_AGAIN}")
