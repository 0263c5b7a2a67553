"""Scenarios that take a second TLS library: without it nothing is passed."""

import sys

from clients import make_client

from pytest_mailauth.judge.clients.client import Client
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.judge.scenarios import SCENARIOS, legacy
from pytest_mailauth.model.obsolete import FORGED, Obsolete
from pytest_mailauth.model.terms import Protocol, Security, Verdict


def test_what_cannot_be_served_is_not_passed(monkeypatch):
    monkeypatch.setitem(sys.modules, "tlslite", None)  # as though it were not installed
    client = Client(
        name="honest",
        run=make_client("imap"),
        protocols=(Protocol.IMAP,),
        securities=(Security.IMPLICIT,),
    )
    rows = Runner([client], select=[row.name for row in legacy.ROWS]).run()
    by_openssl = {*FORGED, Obsolete.DHE_1024}
    assert len(rows) == len(legacy.ROWS)
    for row in rows:
        (deviation,) = SCENARIOS[row.setting.scenario.name].deviations(Protocol.IMAP, 1.0)
        assert row.verdict is (Verdict.PASS if deviation.what in by_openssl else Verdict.INCONCLUSIVE), row
        if deviation.what not in by_openssl:
            assert all('pip install "pytest-mailauth[legacy]"' in one.finding.evidence for one in row.judgements)
