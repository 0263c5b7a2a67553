"""Real clients of five makes through every scenario of their protocol.

What is asserted here is public knowledge: that these clients work, that a verifying context verifies, and that the
standard library's calls without a context do not. Nothing else about a named program is written down.
"""

from __future__ import annotations

import gc
import warnings

import pytest

from pytest_mailauth.judge.clients import catalogue
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.model.terms import Verdict

STDLIB = ("smtplib", "poplib", "imaplib")


@pytest.fixture(scope="module")
def rows():
    clients = [client for name in catalogue.names() for client in catalogue.builtin(name)]
    with warnings.catch_warnings():
        # A library that drops a socket when its constructor fails is not ours to mend.
        warnings.simplefilter("ignore", ResourceWarning)
        results = Runner(clients).run()
        gc.collect()
    return results


def test_all_of_them_are_installed_here():
    assert set(catalogue.names()) >= {*STDLIB, "aiosmtplib", "IMAPClient", "curl"}


@pytest.mark.parametrize("name", [client.name for n in catalogue.names() for client in catalogue.builtin(n)])
def test_it_logs_in_everywhere_and_every_verdict_is_a_decision(rows, name):
    mine = [row for row in rows if row.client == name]
    assert mine
    assert [row.setting.id for row in mine if row.verdict is Verdict.ERROR] == []
    assert all(row.verdict is Verdict.PASS for row in mine if row.setting.scenario.rules == ("control",))


@pytest.mark.parametrize("name", STDLIB)
def test_the_standard_library_without_a_context_verifies_nothing(rows, name):
    broken = {
        row.setting.scenario.name
        for row in rows
        if row.client == f"{name}:default" and row.verdict is Verdict.VIOLATION
    }
    assert {"cert-self-signed", "cert-unknown-ca", "cert-wrong-host", "cert-expired"} <= broken


@pytest.mark.parametrize("name", STDLIB)
def test_the_standard_library_with_a_verifying_context_verifies(rows, name):
    verdicts = {
        row.setting.id: row.verdict
        for row in rows
        if row.client == f"{name}:verifying" and row.setting.scenario.family in "DEGKM"
    }
    assert verdicts
    assert {i for i, verdict in verdicts.items() if verdict in (Verdict.VIOLATION, Verdict.INCONCLUSIVE)} == set()
