"""The report as JSON, for programs. The names of its fields are public and stay."""

from __future__ import annotations

import json
import platform
import ssl
import sys
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_mailauth.judge.verdict import Result
    from pytest_mailauth.report.digest import ClientReport


def environment(servable: Iterable[str], *, interrupted: bool) -> dict[str, Any]:
    """Return what a verdict depends on besides client and rules.

    Args:
        servable: The TLS versions that this host can serve.
        interrupted: Whether the run was ended early.
    """
    return {
        "package": metadata.version("pytest-mailauth"),
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "openssl": ssl.OPENSSL_VERSION,
        "platform": platform.platform(),
        "servable_tls": list(servable),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "interrupted": interrupted,
    }


def document(reports: Iterable[ClientReport], about: dict[str, Any]) -> str:
    """Return the JSON text of a run: ``results``, one a case, and ``environment``."""
    results = [_row(row) for report in reports for row in report.rows]
    return json.dumps({"results": results, "environment": about}, indent=2) + "\n"


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
        "seconds": round(row.seconds, 3),
    }
