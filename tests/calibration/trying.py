"""One client, tried in a few scenarios: how most tests here begin."""

from __future__ import annotations

import base64

from pytest_mailauth.judge.clients.client import Client, in_process
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration


def tried(
    run,
    select,
    *,
    protocol=Protocol.SMTP,
    securities=(Security.STARTTLS,),
    timeout=1.0,
    reach=in_process,
    by_name=False,
    **declared,
):
    """Return the rows of the client *run* in the scenarios *select*, by their names."""
    client = Client(
        name="under test",
        run=run,
        protocols=(protocol,),
        securities=securities,
        declared=Declaration(timeout=timeout, **declared),
        reach=reach,
        by_name=by_name,
    )
    return {row.setting.scenario.name: row for row in Runner([client], select=[*select]).run()}


def verdicts_of(rows):
    """Return the verdict of each row."""
    return {name: row.verdict for name, row in rows.items()}


def broken(rows):
    """Return the rules that were broken in each row."""
    return {name: broken_in(row) for name, row in rows.items()}


def broken_in(row):
    return [j.rule for j in row.judgements if j.finding.verdict is Verdict.VIOLATION]


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def plain(case):
    """Return the initial response of PLAIN (RFC 4616 section 2)."""
    return encoded(f"\0{case.username}\0{case.password}")
