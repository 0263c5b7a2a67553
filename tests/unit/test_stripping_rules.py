"""What the rules about stripped servers make of a record: which logins prove, which timestamps are msg-ids."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_trials import CLEAR, PASSWORD, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios.stripping import _ALL_MECHANISMS
from pytest_mailauth.model import events as e
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration

SMTP, POP3, IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP
PASS, NOTE, VIOLATION, INCONCLUSIVE = Verdict.PASS, Verdict.NOTE, Verdict.VIOLATION, Verdict.INCONCLUSIVE
NOT_APPLICABLE = Verdict.NOT_APPLICABLE
OPENED = (CLEAR, e.Opened("127.0.0.1"))
LISTED = {
    SMTP: b"250-localhost\r\n250 AUTH PLAIN CRAM-MD5\r\n",
    POP3: b"+OK\r\nSASL PLAIN CRAM-MD5\r\n.\r\n",
    IMAP: b"* OK [CAPABILITY IMAP4rev1 AUTH=CRAM-MD5] ready\r\n",
}
BEGIN = {SMTP: "AUTH", POP3: "AUTH", IMAP: "AUTHENTICATE"}


def said(verb, argument=b"", layer=CLEAR):
    return (layer, e.Command(verb, argument, f"{verb} {argument.decode()}".rstrip()))


def derived(*facts, protocol=SMTP, **declared):
    trial = recorded([OPENED, *facts], protocol=protocol)
    return RULES["no-derived-credentials-in-clear"].check(replace(trial, declared=Declaration(**declared))).verdict


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize(
    ("mechanism", "verdict"),
    [
        *[(name, VIOLATION) for name in (b"CRAM-MD5", b"ntlm", b"NTLM TlRM", b"SCRAM-SHA-256 biws", b"X-ODD", b"\xff")],
        *[(name, PASS) for name in (b"PLAIN AGEAYg==", b"login", b"XOAUTH2 dXNl", b"OAUTHBEARER")],
        *[(b"", PASS), (b" ", PASS)],
    ],
)
def test_a_login_that_does_not_carry_the_password_is_a_proof(protocol, mechanism, verdict):
    command = (CLEAR, e.Command(BEGIN[protocol], mechanism, "shown"))
    assert derived((CLEAR, e.Sent(LISTED[protocol])), command, protocol=protocol) is verdict


def test_apop_is_a_proof_and_one_inside_tls_is_none_of_this_rule():
    greeted = (CLEAR, e.Sent(b"+OK ready <1@example.test>\r\n"))
    assert derived(greeted, said("APOP", b"alice 0123"), protocol=POP3) is VIOLATION
    assert derived(greeted, said("APOP", b"alice 0123", TLS), protocol=POP3) is PASS


def test_where_no_proof_was_offered_silence_proves_nothing():
    assert derived((CLEAR, e.Sent(b"250-localhost\r\n250 AUTH PLAIN\r\n"))) is INCONCLUSIVE
    assert derived((CLEAR, e.Sent(b"+OK ready\r\n")), protocol=POP3) is INCONCLUSIVE
    assert derived((CLEAR, e.Sent(b"+OK ready\r\n")), said("STLS"), protocol=POP3) is PASS


@pytest.mark.parametrize(("allowed", "verdict"), [(False, NOTE), (True, PASS)])
def test_a_client_that_may_go_without_tls_may_prove_a_password_in_clear(allowed, verdict):
    opportunistic = {"starttls": "opportunistic", "allow_insecure_auth": allowed}
    assert derived((CLEAR, e.Sent(LISTED[SMTP])), said("AUTH", b"CRAM-MD5"), **opportunistic) is verdict


def test_what_is_required_of_starttls_is_not_asked_of_a_client_that_sent_a_proof_alone():
    check = RULES["starttls-required-is-required"].check
    proof, work = said("AUTH", b"CRAM-MD5"), said("MAIL", b"FROM:<a@example.test>")
    assert check(recorded([OPENED, proof, work])).verdict is NOT_APPLICABLE
    assert check(recorded([OPENED, work])).verdict is VIOLATION
    lost = (CLEAR, e.Received(f"AUTH PLAIN {PASSWORD}\r\n".encode()))
    assert check(recorded([OPENED, proof, lost, work])).verdict is VIOLATION


def guarded(greeting, *facts, control=(), security=Security.IMPLICIT):
    layer = TLS if security is Security.IMPLICIT else CLEAR
    kept = recorded([OPENED, *control], protocol=POP3, security=security)
    trial = recorded([OPENED, (layer, e.Sent(greeting)), *facts], protocol=POP3, security=security, control=kept)
    return RULES["apop-guarded"].check(trial).verdict


ODD = [b"<a@b@c>", b"<a>", b"<>", b"<@b>", b"<a@>", b"<a b@c>", b"<a\x01@c>", b"<\xe9@c>", b"<a@c\x7f>"]


@pytest.mark.parametrize("stamp", ODD)
@pytest.mark.parametrize(("security", "layer"), [(Security.IMPLICIT, TLS), (Security.NONE, CLEAR)])
def test_apop_after_what_is_no_timestamp_is_flagged(stamp, security, layer):
    greeting, apop = b"+OK ready " + stamp + b"\r\n", said("APOP", b"alice 0123", layer)
    assert guarded(greeting, apop, security=security) is VIOLATION
    assert guarded(greeting, control=[apop], security=security) is PASS
    assert guarded(greeting, security=security) is NOT_APPLICABLE


@pytest.mark.parametrize("stamp", [b"<1896.697170952@dbc.mtview.ca.us>", b"<a_1%+x@b>", b""])
def test_a_timestamp_that_is_one_shows_nothing(stamp):
    assert guarded(b"+OK ready " + stamp + b"\r\n", said("APOP", b"alice 0123", TLS)) is INCONCLUSIVE


def test_all_mechanisms_fit_into_one_line_and_each_is_named_once():
    assert len(f"250-AUTH {' '.join(_ALL_MECHANISMS)}\r\n") <= 512
    assert len(set(_ALL_MECHANISMS)) == len(_ALL_MECHANISMS) >= 40
