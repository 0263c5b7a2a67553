"""The rules about names in a handshake, on records: what the server is called, and what a client shows of itself."""

import pytest
from recorded_trials import ACCOUNT, CLEAR, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.terms import UNTRUSTED_CLIENT, HandshakeOutcome, Protocol, Verdict

SNI = RULES["send-sni"].check
CERT = RULES["client-cert-restraint"].check
ASKED = {"tls": TLSPolicy(client_certificate="optional")}


def session(name="mail.test", outcome=HandshakeOutcome.COMPLETED, **facts):
    return [
        (CLEAR, e.HelloSeen(ClientHello("1.2", server_name=name))),
        (CLEAR, e.HandshakeEnded(outcome, "1.3" if outcome is HandshakeOutcome.COMPLETED else None, **facts)),
        (CLEAR, e.Closed("client", "close")),
    ]


@pytest.mark.parametrize(
    ("host", "names", "verdict"),
    [
        ("mail.test", ["mail.test"], Verdict.PASS),
        ("mail.test", ["MAIL.Test", "mail.test"], Verdict.PASS),
        ("mail.test", [None], Verdict.NOTE),
        ("mail.test", ["mail.test", None], Verdict.NOTE),
        ("mail.test", ["mail.test", "other.test"], Verdict.VIOLATION),
        ("mail.test", ["mail.test."], Verdict.VIOLATION),
        ("127.0.0.1", [None], Verdict.PASS),
        ("127.0.0.1", ["127.0.0.1"], Verdict.VIOLATION),
        ("127.0.0.1", ["localhost"], Verdict.VIOLATION),
        ("mail.test", [], Verdict.INCONCLUSIVE),
    ],
)
def test_the_name_in_a_hello_is_that_of_the_host(host, names, verdict):
    assert SNI(recorded(*map(session, names), host=host)).verdict is verdict


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ({}, Verdict.PASS),
        ({"shown": ("carol@example.test",)}, Verdict.VIOLATION),
        ({"shown": (ACCOUNT.username,)}, Verdict.PASS),
        ({"shown": (ACCOUNT.address,)}, Verdict.PASS),
        ({"outcome": HandshakeOutcome.SERVER_REFUSED, "reason": UNTRUSTED_CLIENT}, Verdict.VIOLATION),
        ({"outcome": HandshakeOutcome.CLIENT_ALERT, "alert": "unknown_ca"}, Verdict.INCONCLUSIVE),
    ],
)
def test_a_certificate_of_another_account_is_not_shown(facts, verdict):
    assert CERT(recorded(session(**facts), **ASKED)).verdict is verdict


def test_who_is_not_asked_shows_nothing():
    assert CERT(recorded(session())).verdict is Verdict.NOT_APPLICABLE
    assert CERT(recorded(**ASKED)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("offers", "verdict"),
    [
        ([("imap",)], Verdict.PASS),
        ([("imap",), ("imap",)], Verdict.PASS),
        ([()], Verdict.NOTE),
        ([("imap",), ()], Verdict.NOTE),
        ([("imap", "h2")], Verdict.NOTE),
        ([], Verdict.INCONCLUSIVE),
    ],
)
def test_the_protocol_in_a_hello_is_the_one_that_is_spoken(offers, verdict):
    sessions = [
        [(CLEAR, e.HelloSeen(ClientHello("1.2", alpn=offer))), (CLEAR, e.Closed("client", "close"))] for offer in offers
    ]
    assert RULES["enforce-alpn"].check(recorded(*sessions, protocol=Protocol.IMAP)).verdict is verdict
