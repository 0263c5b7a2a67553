"""Rules about versions on records: what is listed, and what is asked for when a handshake has failed."""

from dataclasses import replace

import pytest
from recorded_trials import CLEAR, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.terms import HandshakeOutcome, Verdict
from pytest_mailauth.model.trial import Declaration

FALLBACK = RULES["no-version-fallback"].check
VERSIONS = RULES["tls12-or-newer"].check
DONE = (CLEAR, e.HandshakeEnded(HandshakeOutcome.COMPLETED, version="1.3", cipher="TLS_AES_128_GCM_SHA256"))
LOGIN = (TLS, e.Authentication("PLAIN", "alice", Secret("x"), accepted=True))
SAID = (TLS, e.Received(b"EHLO x\r\n"))
END = (CLEAR, e.Closed("server", "reset"))


def hello(*versions, legacy="1.2"):
    return (CLEAR, e.HelloSeen(ClientHello(legacy, versions)))


def listing(*versions, **served):
    return recorded([hello(*versions), DONE, SAID, LOGIN], **served)


@pytest.mark.parametrize(
    ("versions", "verdict"),
    [
        (("1.3", "1.2"), Verdict.PASS),
        (("1.3",), Verdict.PASS),
        (("1.3", "1.2", "1.1"), Verdict.VIOLATION),
        (("1.2", "SSL 3.0"), Verdict.VIOLATION),
        (("1.3", "1.2", "0x7f1c"), Verdict.PASS),
        ((), Verdict.NOTE),
    ],
)
def test_what_is_listed_to_an_honest_server_is_judged(versions, verdict):
    assert VERSIONS(listing(*versions)).verdict is verdict


def test_a_list_is_judged_where_no_version_is_tried_out():
    assert VERSIONS(listing("1.3", "1.2", "1.1", tls=TLSPolicy(max_version="1.2"))).verdict is Verdict.PASS


def test_what_was_declared_may_be_listed():
    declared = Declaration(min_tls="1.1")
    assert VERSIONS(replace(listing("1.3", "1.2", "1.1"), declared=declared)).verdict is Verdict.NOTE
    assert VERSIONS(replace(listing("1.3", "1.2", "1.0"), declared=declared)).verdict is Verdict.VIOLATION


def test_who_spoke_and_did_not_log_in_is_only_noted():
    assert VERSIONS(recorded([hello("1.3", "1.2"), DONE, SAID])).verdict is Verdict.NOTE


@pytest.mark.parametrize(
    ("hellos", "verdict"),
    [
        ([hello("1.3", "1.2")], Verdict.PASS),
        ([hello("1.3", "1.2"), hello("1.3", "1.2")], Verdict.PASS),
        ([hello("1.3", "1.2"), hello("1.3", "1.2"), hello(legacy="1.1")], Verdict.VIOLATION),
        ([hello(legacy="1.2"), hello(legacy="1.0")], Verdict.VIOLATION),
        ([hello(legacy="1.2"), hello("1.3", "1.2")], Verdict.PASS),
        ([hello("1.3", "1.2"), hello(legacy="1.2")], Verdict.NOTE),
    ],
    ids=["once", "twice the same", "older in the end", "from 1.2", "newer", "from 1.3 to 1.2"],
)
def test_an_older_hello_after_a_failure_is_a_fallback(hellos, verdict):
    finding = FALLBACK(recorded(*([one, END] for one in hellos)))
    assert finding.verdict is verdict
    assert finding.should is (verdict is Verdict.NOTE)


def test_where_nothing_failed_nobody_falls_back():
    assert FALLBACK(recorded()).verdict is Verdict.INCONCLUSIVE
    assert FALLBACK(recorded([hello("1.3"), DONE, SAID], [hello(legacy="1.1"), END])).verdict is Verdict.INCONCLUSIVE
