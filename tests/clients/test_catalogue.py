"""Clients by name: what there is, what is said about the rest, and that each of them works."""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import shutil
import warnings

import pytest

from pytest_mailauth.judge.clients import thirdparty
from pytest_mailauth.judge.clients.catalogue import STYLES, builtin, meaning_of, names
from pytest_mailauth.judge.clients.stdlib import NAMES
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.judge.scenarios import SCENARIOS, Setting
from pytest_mailauth.judge.trialrun import run_trial
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.reports import REPORTS, texts
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.servers.environment import MailServers

INSTALLED = {
    "aiosmtplib": importlib.util.find_spec("aiosmtplib") is not None,
    "IMAPClient": importlib.util.find_spec("imapclient") is not None,
    "curl": shutil.which("curl") is not None,
}


def test_what_is_installed_is_offered():
    assert names() == (*NAMES, *(name for name, is_here in INSTALLED.items() if is_here))


def test_a_name_means_every_style():
    assert [client.name for client in builtin("smtplib")] == ["smtplib:default", "smtplib:verifying"]


def test_one_style_can_be_named():
    (client,) = builtin("imaplib:verifying")
    assert client.name == "imaplib:verifying"
    assert client.protocols == (Protocol.IMAP,)


def test_case_does_not_matter():
    assert builtin("SMTPLIB:default")[0].name == "smtplib:default"


def test_every_style_is_described():
    for name in names():
        for client in builtin(name):
            assert meaning_of(client.name) == STYLES.get(client.name.partition(":")[2], "")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("smtplb", "no built-in client 'smtplb'; did you mean 'smtplib'"),
        ("thunderbird", "To judge a program: mailauth check --protocol smtp -- thunderbird"),
        ("smtplib:strict", "use one of smtplib:default, smtplib:verifying, or smtplib for all"),
    ],
)
def test_a_name_that_is_none_is_answered_with_what_there_is(name, told):
    with pytest.raises(ConfigError, match=told):
        builtin(name)


def test_a_client_that_is_not_installed_is_told_how_to_install(monkeypatch):
    monkeypatch.setattr(thirdparty, "is_installed", lambda _name: False)
    with pytest.raises(ConfigError, match="python -m pip install aiosmtplib") as caught:
        builtin("aiosmtplib")
    assert str(caught.value).endswith("Built in and installed: smtplib, poplib, imaplib.")


@pytest.mark.parametrize("name", [*NAMES, *INSTALLED])
def test_each_client_works_and_can_refuse(name):
    if not INSTALLED.get(name, True):
        pytest.skip(f"{name} is not installed")
    verifying = [client for client in builtin(name) if name not in NAMES or client.name.endswith("verifying")]
    with warnings.catch_warnings():
        # A library that leaves a socket to the collector is not ours to mend.
        warnings.simplefilter("ignore", ResourceWarning)
        rows = Runner(verifying, select=["base-odd-but-legal", "cert-unknown-ca"]).run()
        gc.collect()
    modes = sum(len(client.protocols) * len(client.securities) for client in verifying)
    assert [row.verdict for row in rows] == [Verdict.PASS] * (2 * modes), [row.judgements for row in rows]


@pytest.mark.parametrize("name", ["imaplib", "poplib", "IMAPClient"])
def test_each_client_reports_what_is_asked_of_it_and_nothing_else(name):
    if not INSTALLED.get(name, True):
        pytest.skip(f"{name} is not installed")
    (client,) = builtin(f"{name}:verifying")
    (protocol,) = client.protocols
    letter = b"Subject: lunch\r\n\r\nAt noon?\r\n"
    reported = {}
    for wants in ((), tuple(TOLD[protocol])):
        asking = dataclasses.replace(SCENARIOS["base-implicit-ok"], wants=wants, inbox=(letter,))
        with MailServers() as servers:
            reported = run_trial(servers, client, Setting(asking, protocol, Security.IMPLICIT)).outcome.facts
        assert set(reported) & set(REPORTS) == set(wants)
    for fact, text in TOLD[protocol].items():
        assert text in "\n".join(texts(reported[fact]))


TOLD = {
    Protocol.IMAP: {"folders": "INBOX", "mailbox": "exists\n", "messages": "At noon?"},
    Protocol.POP3: {"messages": "At noon?"},
}
"""What clients report of an honest mailbox with one message, and a text that is in it."""
