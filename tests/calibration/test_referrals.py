"""Decoys where there are names, and clients that follow hints in other ways than the reference clients."""

from __future__ import annotations

import imaplib
import re
import threading

import pytest
from clients import FAULTY, Faults, Habits, make_client
from trying import tried

from pytest_mailauth.judge.clients.client import NO_WEB, Client
from pytest_mailauth.judge.group import Group
from pytest_mailauth.judge.scenarios import settings_for
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration

WITH_TOKEN = {"auth": "oauth"}


def judged(run, *scenarios, by_name=False, **declared):
    return tried(run, scenarios, protocol=Protocol.IMAP, securities=(Security.IMPLICIT,), by_name=by_name, **declared)


def reference(faults=None, **declared):
    """Return the reference client for IMAP, which holds a token where it is declared to."""
    return make_client("imap", faults or Faults(), Habits(holds_token=declared == WITH_TOKEN))


def evidence(row):
    return " ".join(judgement.finding.evidence for judgement in row.judgements)


@pytest.mark.parametrize(
    ("name", "scenario", "declared"),
    [
        ("follows-referrals", "mailbox-referral-in-tls", {}),
        ("follows-referrals-with-a-token", "oauth-token-after-referral", WITH_TOKEN),
    ],
)
def test_a_decoy_has_a_name_where_there_are_names(name, scenario, declared):
    rows = judged(reference(FAULTY[name].faults, **declared), scenario, by_name=True, **declared)
    assert rows[scenario].verdict is Verdict.VIOLATION
    assert "decoy port" in evidence(rows[scenario])
    assert "imap://decoy.stranger-trial-" in rows[scenario].transcript.replace(";AUTH=*@", "")
    assert judged(reference(**declared), scenario, by_name=True, **declared)[scenario].verdict is Verdict.PASS


def test_a_web_server_is_a_decoy_and_leaves_no_thread():
    run = reference(FAULTY["shows-token-to-provider"].faults, **WITH_TOKEN)
    rows = judged(run, "oauth-error-points-elsewhere", **WITH_TOKEN)
    assert "the token in Authorization" in evidence(rows["oauth-error-points-elsewhere"])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mailauth web")]


def test_a_program_in_a_namespace_meets_no_web_server():
    declared = Declaration(**WITH_TOKEN)
    settings = settings_for(Protocol.IMAP, Security.IMPLICIT, declared)
    client = Client(name="a program", run=print, protocols=(Protocol.IMAP,), declared=declared, by_name=True)
    group = Group(client, Protocol.IMAP, Security.IMPLICIT, settings)
    away = [setting for setting in settings if group.is_out_of_reach(setting)]
    assert [setting.scenario.name for setting in away] == ["oauth-error-points-elsewhere"]
    assert NO_WEB


def logs_in_and_looks(client, case):
    try:
        client.login(case.username, case.password)
        client.select(readonly=True)
    finally:
        client.shutdown()


def follows_carefully(case):
    """Log in, and where that is refused with a referral, go there with STARTTLS."""
    try:
        logs_in_and_looks(imaplib.IMAP4_SSL(case.host, case.port, ssl_context=case.ssl_context()), case)
    except imaplib.IMAP4.error as error:
        port = int(re.search(r"@localhost:(\d+)/", str(error))[1])
        other = imaplib.IMAP4(case.host, port, timeout=case.timeout)
        try:
            other.starttls(case.ssl_context())
        finally:
            other.shutdown()
        logs_in_and_looks(other, case)


def test_who_asks_a_decoy_for_tls_first_gives_nothing_away():
    row = judged(follows_carefully, "login-referral-on-login")["login-referral-on-login"]
    assert row.verdict is Verdict.NOTE
    assert "without a password" in evidence(row)
