"""The rules about cipher suites, on records: what was used, offered and refused, and what shows nothing."""

from dataclasses import replace

import pytest
from recorded_trials import CLEAR, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios import parameters
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.terms import NO_COMMON_SUITE, NO_COMMON_VERSION, HandshakeOutcome, Protocol, Verdict
from pytest_mailauth.model.trial import Declaration
from pytest_mailauth.servers.wire.ciphers import named_suites

WEAK = RULES["no-weak-ciphers"].check
MTI = RULES["support-mti-suite"].check
NULL_ONLY = {"tls": TLSPolicy(max_version="1.2", ciphers="NULL-SHA256")}
MTI_ONLY = {"tls": TLSPolicy(max_version="1.2", ciphers="ECDHE-RSA-AES128-GCM-SHA256")}
LOGIN = (TLS, e.Authentication("PLAIN", "alice", Secret("x"), accepted=True))
END = (TLS, e.Closed("client", "close"))


def hello(*ciphers, versions=("1.3", "1.2"), extensions=()):
    return (CLEAR, e.HelloSeen(ClientHello("1.2", versions, ciphers=ciphers, extensions=extensions)))


def ended(outcome, **facts):
    return (CLEAR, e.HandshakeEnded(outcome, **facts))


def used(cipher, *said, extensions=()):
    spoken = [(TLS, e.Received(f"{verb}\r\n".encode())) for verb in said]
    commands = [(TLS, e.Command(verb, b"", verb)) for verb in said]
    done = ended(HandshakeOutcome.COMPLETED, version="1.2", cipher=cipher)
    return [hello(0xC02F, extensions=extensions), done, *spoken, *commands, END]


@pytest.mark.parametrize(
    ("cipher", "verdict", "should"),
    [
        ("NULL-SHA256", Verdict.VIOLATION, False),
        ("AECDH-AES128-SHA", Verdict.VIOLATION, False),
        ("RC4-SHA", Verdict.VIOLATION, False),
        ("EXP-RC4-MD5", Verdict.VIOLATION, False),
        ("DES-CBC3-SHA", Verdict.NOTE, True),
        ("AES128-GCM-SHA256", Verdict.NOTE, True),
        ("ECDHE-RSA-AES128-SHA", Verdict.NOTE, True),
    ],
)
def test_a_suite_that_was_used_is_judged(cipher, verdict, should):
    finding = WEAK(recorded(used(cipher, "EHLO"), **NULL_ONLY))
    assert (finding.verdict, finding.should) == (verdict, should)
    assert cipher in finding.evidence


def test_the_worst_suite_speaks():
    trial = recorded(used("AES128-SHA", "EHLO"), used("NULL-SHA", "EHLO"), used("AES128-SHA", "EHLO"), **NULL_ONLY)
    assert WEAK(trial).verdict is Verdict.VIOLATION


def test_cbc_with_encrypt_then_mac_is_as_good_as_any():
    trial = recorded([*used("ECDHE-RSA-AES128-SHA", "EHLO", extensions=(22,)), LOGIN], **NULL_ONLY)
    assert WEAK(trial).verdict is Verdict.PASS


def test_a_finished_handshake_alone_is_no_use():
    trial = recorded(used("NULL-SHA256"), control=recorded(), **NULL_ONLY)
    assert WEAK(trial).verdict is Verdict.PASS
    assert WEAK(replace(trial, control=None)).verdict is Verdict.INCONCLUSIVE
    assert WEAK(recorded(used("NULL-SHA256", "QUIT"), control=recorded(), **NULL_ONLY)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("how", "verdict"),
    [
        ({"outcome": HandshakeOutcome.SERVER_REFUSED, "reason": NO_COMMON_SUITE}, Verdict.PASS),
        ({"outcome": HandshakeOutcome.SERVER_REFUSED, "reason": NO_COMMON_VERSION}, Verdict.PASS),
        ({"outcome": HandshakeOutcome.SERVER_REFUSED, "reason": "something else"}, Verdict.INCONCLUSIVE),
        ({"outcome": HandshakeOutcome.CLIENT_ALERT, "alert": "illegal_parameter"}, Verdict.PASS),
        ({"outcome": HandshakeOutcome.CLIENT_ALERT, "alert": "unknown_ca"}, Verdict.INCONCLUSIVE),
        ({"outcome": HandshakeOutcome.NOT_TLS}, Verdict.INCONCLUSIVE),
    ],
)
def test_only_a_refusal_of_the_suite_is_one(how, verdict):
    trial = recorded([hello(0xC02F), ended(**how), END], control=recorded(), **NULL_ONLY)
    assert WEAK(trial).verdict is verdict


def test_what_the_host_refuses_is_no_obedience():
    relaxed = recorded(used("NULL-SHA256", "EHLO"), **NULL_ONLY)
    refused = [hello(0xC02F), ended(HandshakeOutcome.SERVER_REFUSED, reason=NO_COMMON_SUITE), END]
    finding = WEAK(recorded(refused, control=relaxed, **NULL_ONLY))
    assert finding.verdict is Verdict.NOTE
    assert "by this host" in finding.evidence


def test_nothing_begun_shows_nothing():
    assert WEAK(recorded()).verdict is Verdict.INCONCLUSIVE
    assert WEAK(recorded([hello(0xC02F)], **NULL_ONLY)).verdict is Verdict.INCONCLUSIVE
    assert WEAK(recorded([(CLEAR, e.HelloSeen(ClientHello("1.2")))])).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("ciphers", "verdict", "should"),
    [
        ((0x1301, 0xC02F, 0x00FF), Verdict.PASS, False),
        ((0xC02F, 0x000A, 0x002F), Verdict.NOTE, True),
        ((0xC02F, 0x002F, 0x0005), Verdict.VIOLATION, False),
        ((0xC02F, 0xC018), Verdict.VIOLATION, False),
    ],
)
def test_what_is_offered_to_an_honest_server_is_judged(ciphers, verdict, should):
    done = ended(HandshakeOutcome.COMPLETED, version="1.3", cipher="TLS_AES_128_GCM_SHA256")
    trial = recorded([hello(*ciphers), done, END])
    finding = WEAK(trial)
    assert (finding.verdict, finding.should) == (verdict, should)


def test_who_verifies_nobody_may_have_anonymous_suites_and_no_other_weak_ones():
    careless = Declaration(verify="none")
    done = ended(HandshakeOutcome.COMPLETED, version="1.3", cipher="TLS_AES_128_GCM_SHA256")
    for offered, verdict in (((0xC018,), Verdict.NOTE), ((0xC018, 0x0005), Verdict.VIOLATION)):
        trial = recorded([hello(0xC02F, *offered), done, END])
        assert WEAK(replace(trial, declared=careless)).verdict is verdict
    trial = recorded(used("AECDH-AES128-SHA", "EHLO"), **NULL_ONLY)
    assert WEAK(replace(trial, declared=careless)).verdict is Verdict.NOTE


@pytest.mark.parametrize(
    ("protocol", "verdict"), [("smtp", Verdict.NOTE), ("pop3", Verdict.NOTE), ("imap", Verdict.VIOLATION)]
)
def test_the_mandatory_suite_is_mandatory_for_imap(protocol, verdict):
    refused = [hello(0xC030), ended(HandshakeOutcome.SERVER_REFUSED, reason=NO_COMMON_SUITE), END]
    finding = MTI(recorded(refused, protocol=Protocol(protocol), **MTI_ONLY))
    assert (finding.verdict, finding.should) == (verdict, verdict is Verdict.NOTE)


def test_who_has_the_suite_or_needs_none_is_not_accused():
    name = "ECDHE-RSA-AES128-GCM-SHA256"
    refused = ended(HandshakeOutcome.SERVER_REFUSED, reason=NO_COMMON_VERSION)
    cases = {
        Verdict.PASS: [*used(name, "EHLO"), LOGIN],
        Verdict.NOT_APPLICABLE: [hello(0x1301, versions=("1.3",)), refused, END],
        Verdict.INCONCLUSIVE: [hello(0xC02F), ended(HandshakeOutcome.CLIENT_ALERT, alert="unknown_ca"), END],
    }
    for verdict, session in cases.items():
        assert MTI(recorded(session, protocol=Protocol.IMAP, **MTI_ONLY)).verdict is verdict
    assert MTI(recorded(protocol=Protocol.IMAP, **MTI_ONLY)).verdict is Verdict.INCONCLUSIVE
    assert MTI(recorded(used(name, "EHLO"))).verdict is Verdict.NOT_APPLICABLE


def test_a_host_without_the_suite_is_told_from_a_client_without_it():
    refused = [hello(0xC030), ended(HandshakeOutcome.SERVER_REFUSED, reason=NO_COMMON_SUITE), END]
    relaxed = recorded([*used("ECDHE-RSA-AES128-GCM-SHA256", "EHLO"), LOGIN], protocol=Protocol.IMAP, **MTI_ONLY)
    finding = MTI(recorded(refused, protocol=Protocol.IMAP, control=relaxed, **MTI_ONLY))
    assert finding.verdict is Verdict.NOTE


def test_every_suite_of_a_row_is_named_so_that_it_is_proved_before_a_client_comes():
    # A server proves each suite that is named; what a keyword selects would be left out in silence.
    for row in parameters.ROWS:
        policy = row.settings.get("tls", TLSPolicy())
        if policy.ciphers is not None:
            assert named_suites(policy.ciphers) == tuple(policy.ciphers.split(":")), row.name
            assert row.host_may_decide, row.name
