"""The rules about certificates, on records: one that was taken breaks one rule, and which, other runs of the client say."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_trials import CLEAR, PASSWORD, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.rules.certificates import CHAIN, EXCEPTION, HOST, MATCHING, TOO_LATE
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.deviations import Swap
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.terms import (
    ALMOST_FOR_THE_HOST,
    FOR_ANOTHER_HOST,
    NO_COMMON_SUITE,
    SOUND,
    Certificate,
    HandshakeOutcome,
    Verdict,
)
from pytest_mailauth.model.trial import Declaration, Earlier, Outcome

ALL = (CHAIN, HOST, MATCHING, TOO_LATE, EXCEPTION)
CHAINS = sorted(set(Certificate) - SOUND - FOR_ANOTHER_HOST - ALMOST_FOR_THE_HOST)
ADVISORY = {"incomplete-chain", "no-san", "weak-key", "sha1", "mail-domain"}

SHOWN = ((CLEAR, e.HelloSeen(ClientHello("1.2"))), (CLEAR, e.HandshakeEnded(HandshakeOutcome.COMPLETED, "1.3")))
LOGIN = (
    (TLS, e.Received(f"AUTH {PASSWORD}".encode())),
    (TLS, e.Command("AUTH", b"PLAIN", "AUTH PLAIN <initial response>")),
    (TLS, e.Authentication("PLAIN", "alice", Secret(PASSWORD), accepted=True)),
)
WORK = ((TLS, e.Command("MAIL", b"FROM:<a@b>", "MAIL FROM:<a@b>")),)
LEFT = ((TLS, e.Closed("client", "close")),)
REFUSAL = (
    SHOWN[0],
    (CLEAR, e.HandshakeEnded(HandshakeOutcome.CLIENT_ALERT, alert="bad_certificate")),
    (CLEAR, e.Closed("client", "close")),
)
USUAL = (*SHOWN, *LOGIN, *WORK, *LEFT)
"""What a client does that takes the certificate."""
LATE = (*SHOWN, *LOGIN, *LEFT)
"""What one does that looks at it when it has logged in."""


def apart(trial):
    """Let the sessions of a trial come one after another."""
    moved = (
        replace(s, entries=tuple(entry._replace(at=entry.at + 100 * number) for entry in s.entries))
        for number, s in enumerate(trial.sessions)
    )
    return replace(trial, sessions=tuple(moved))


HONEST = recorded(USUAL)


def seen(*sessions, certificate="valid", control=HONEST, **how):
    tells, earlier = how.pop("tells", {}), how.pop("earlier", None)
    made = recorded(*sessions, control=control, certificate=Certificate(certificate), **how)
    return replace(apart(made), tells=tells, earlier=earlier)


def beside(*session, certificate):
    return seen(session, certificate=certificate)


def verdicts(trial):
    return {name: finding.verdict for name in ALL if (finding := RULES[name].check(trial))}


def broken(trial):
    return [name for name, verdict in verdicts(trial).items() if verdict is Verdict.VIOLATION]


@pytest.mark.parametrize("certificate", [kind for kind in CHAINS if kind not in ADVISORY])
def test_a_chain_that_was_taken(certificate):
    assert broken(seen(USUAL, certificate=certificate)) == [CHAIN]


@pytest.mark.parametrize("certificate", sorted(FOR_ANOTHER_HOST - ADVISORY))
def test_a_certificate_for_another_host_that_was_taken(certificate):
    assert broken(seen(USUAL, certificate=certificate)) == [HOST]


@pytest.mark.parametrize("certificate", sorted(ALMOST_FOR_THE_HOST - ADVISORY))
def test_a_name_that_is_almost_the_hosts_tells_less_of_a_client_that_takes_every_name(certificate):
    takes, refuses = (beside(*way, certificate="wrong-host") for way in (USUAL, REFUSAL))
    assert broken(seen(USUAL, certificate=certificate, control=takes)) == [HOST]
    assert broken(seen(USUAL, certificate=certificate, control=refuses)) == [MATCHING]


@pytest.mark.parametrize("certificate", ["self-signed", "wrong-host", "wildcard-bare"])
def test_a_client_that_leaves_after_its_login_looked_too_late(certificate):
    assert broken(seen(LATE, certificate=certificate)) == [TOO_LATE]
    late = beside(*LATE, certificate="wrong-host")
    assert broken(seen(LATE, certificate=certificate, control=late)) == [TOO_LATE]


def test_a_client_that_never_does_more_than_log_in_did_not_leave_because_of_the_certificate():
    assert broken(seen(LATE, certificate="expired", control=recorded(LATE))) == [CHAIN]


@pytest.mark.parametrize("certificate", sorted(set(Certificate) - SOUND))
def test_a_bare_record_has_the_rule_about_credentials_for_every_fault(certificate):
    trial = seen(USUAL, certificate=certificate, control=None)
    wanted = Verdict.NOTE if certificate in ADVISORY else Verdict.VIOLATION
    assert RULES[TOO_LATE].check(trial).verdict is wanted


@pytest.mark.parametrize("certificate", sorted(set(Certificate) - SOUND))
@pytest.mark.parametrize("way", [USUAL, LATE], ids=["usual", "late"])
@pytest.mark.parametrize("compared", [USUAL, REFUSAL, LATE], ids=["takes", "refuses", "late"])
def test_what_was_taken_is_never_left_without_a_rule(certificate, way, compared):
    found = verdicts(seen(way, certificate=certificate, control=beside(*compared, certificate="wrong-host")))
    wanted = Verdict.NOTE if certificate in ADVISORY else Verdict.VIOLATION
    assert [verdict for verdict in found.values() if verdict is not Verdict.NOT_APPLICABLE] == [wanted]


@pytest.mark.parametrize("certificate", sorted(set(Certificate) - SOUND))
def test_a_refusal_passes_every_rule_that_is_concerned(certificate):
    found = verdicts(seen(REFUSAL, certificate=certificate))
    assert set(found.values()) == {Verdict.PASS, Verdict.NOT_APPLICABLE}
    assert found[TOO_LATE] is Verdict.PASS


def test_a_client_that_verifies_nothing_by_declaration_gets_notes():
    trial = replace(seen(USUAL, certificate="expired"), declared=Declaration(verify="none"))
    assert RULES[CHAIN].check(trial).verdict is Verdict.NOTE


@pytest.mark.parametrize("rule", [CHAIN, TOO_LATE])
def test_who_never_began_a_handshake_has_seen_nothing(rule):
    trial = seen(((CLEAR, e.Opened("x")), (CLEAR, e.Closed("client", "close"))), certificate="expired")
    assert RULES[rule].check(trial).verdict is Verdict.INCONCLUSIVE


def test_a_handshake_that_the_server_broke_off_shows_nothing():
    refused = (SHOWN[0], (CLEAR, e.HandshakeEnded(HandshakeOutcome.SERVER_REFUSED, reason=NO_COMMON_SUITE)))
    assert RULES[CHAIN].check(seen(refused, certificate="expired")).verdict is Verdict.INCONCLUSIVE
    anonymous = seen(refused, tls=TLSPolicy(max_version="1.2", ciphers="aNULL:!eNULL"))
    assert RULES[CHAIN].check(anonymous).verdict is Verdict.PASS


@pytest.mark.parametrize("rule", ALL)
def test_the_valid_certificate_is_no_matter(rule):
    assert RULES[rule].check(seen(USUAL)).verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize("certificate", sorted(SOUND - {Certificate.VALID}))
def test_a_sound_certificate_is_to_be_taken(certificate):
    taken, refused = (RULES[MATCHING].check(seen(way, certificate=certificate)) for way in (USUAL, REFUSAL))
    assert taken.verdict is Verdict.PASS
    assert (refused.verdict, refused.should) == (Verdict.NOTE, True)
    assert RULES[MATCHING].check(seen(certificate=certificate)).verdict is Verdict.INCONCLUSIVE


# Exceptions, and what is done when nobody has spoken of TLS.

SWAP = {"deviations": (Swap(certificate=Certificate.SELF_SIGNED),), "earlier": Earlier()}
PINNED = {"certificate": "self-signed", "tells": {"pinned": Certificate.UNTRUSTED_ROOT}}
OTHER = {"certificate": "self-signed", "earlier": Earlier(other_account=True, pinned=Certificate.SELF_SIGNED)}
DEFAULT = {"certificate": "self-signed", "tells": {"by_default": True}}
REFUSES = beside(*REFUSAL, certificate="self-signed")
TAKES = beside(*USUAL, certificate="self-signed")


@pytest.mark.parametrize(
    ("sessions", "how", "rule"),
    [
        ((USUAL, USUAL), SWAP, EXCEPTION),
        ((USUAL,), PINNED, EXCEPTION),
        ((USUAL, USUAL), OTHER, EXCEPTION),
        ((USUAL,), DEFAULT, TOO_LATE),
    ],
    ids=["swap", "another", "another account", "default"],
)
def test_a_self_signed_certificate_is_an_exception_to_those_that_refuse_it_else(sessions, how, rule):
    assert broken(seen(*sessions, control=REFUSES, **how)) == [rule]
    assert broken(seen(*sessions, control=TAKES, **how)) == [CHAIN]
    assert broken(seen(*sessions[:-1], LATE, control=beside(*LATE, certificate="self-signed"), **how)) == [TOO_LATE]
    found = verdicts(seen(*sessions[:-1], REFUSAL, control=REFUSES, **how))
    assert {found[name] for name in (rule, CHAIN, TOO_LATE)} == {Verdict.PASS}


@pytest.mark.parametrize("how", [SWAP, OTHER])
def test_a_second_transfer_that_was_never_tried_shows_nothing(how):
    trial = seen(USUAL, control=REFUSES, outcome=Outcome(error="gave up"), **how)
    assert RULES[EXCEPTION].check(trial).verdict is Verdict.INCONCLUSIVE
    assert RULES[EXCEPTION].check(seen(REFUSAL, control=REFUSES, **how)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("how", [SWAP, OTHER])
def test_one_connection_for_both_transfers_shows_one_certificate(how):
    both = (*SHOWN, *LOGIN, *WORK, *WORK, *LEFT)
    finding = RULES[EXCEPTION].check(seen(both, control=REFUSES, **how))
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert "one connection" in finding.evidence


def test_who_makes_one_transfer_cannot_be_shown_two_certificates():
    finding = RULES[EXCEPTION].check(seen(USUAL, control=REFUSES, **{**SWAP, "earlier": None}))
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert "case.earlier" in finding.evidence
