"""Rows and reports made by hand, so that what is printed about them is known beforehand."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

from pytest_mailauth.judge.scenarios import SCENARIOS, Setting
from pytest_mailauth.judge.verdict import Judgement, Result
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration, Finding
from pytest_mailauth.report.digest import ClientReport

if TYPE_CHECKING:
    from pytest_mailauth.model.causes.cause import Diagnosis

TRANSCRIPT = "S: 220 localhost\nC: EHLO there\n======== TLS 1.3, A_SUITE =====\nC: AUTH PLAIN <initial response>"


def made_row(
    scenario: str,
    *told: tuple[str, Verdict, str],
    security: Security = Security.STARTTLS,
    protocol: Protocol = Protocol.SMTP,
    client: str = "smtplib:default",
    transcript: str = TRANSCRIPT,
    diagnosis: tuple[Diagnosis, ...] = (),
) -> Result:
    """Return a row whose rules said what is given as (rule, verdict, evidence)."""
    return Result(
        client=client,
        setting=Setting(SCENARIOS[scenario], protocol, security),
        judgements=tuple(Judgement(rule, Finding(verdict, evidence)) for rule, verdict, evidence in told),
        transcript=transcript,
        seconds=0.12345,
        diagnosis=diagnosis,
    )


def made_report(*rows: Result, declared: Declaration | None = None) -> ClientReport:
    """Return the report of the client of *rows*."""
    return ClientReport(
        name=rows[0].client,
        protocol=rows[0].protocol,
        securities=tuple(dict.fromkeys(row.security for row in rows)),
        declared=declared or Declaration(),
        rows=rows,
    )


def plain_console(width: int = 80, encoding: str = "utf-8") -> Console:
    """Return a console that is no terminal; what was printed is in ``console.file``."""
    return Console(file=io.TextIOWrapper(io.BytesIO(), encoding, write_through=True), width=width)


def printed(console: Console) -> str:
    """Return what was printed on a :func:`plain_console`."""
    return console.file.buffer.getvalue().decode(console.encoding)
