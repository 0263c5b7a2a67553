"""What the rules about stripped servers make of a record: which logins prove, which timestamps are msg-ids."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest
from recorded_trials import ACCOUNT, CLEAR, PASSWORD, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios import settings_for
from pytest_mailauth.judge.scenarios.stripping import _ALL_MECHANISMS
from pytest_mailauth.model import events as e
from pytest_mailauth.model.config import AuthPolicy
from pytest_mailauth.model.deviations import Hide
from pytest_mailauth.model.terms import HandshakeOutcome, Protocol, Security, Verdict
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


def told(rule, *facts, protocol=SMTP, **declared):
    trial = recorded([OPENED, *facts], protocol=protocol)
    return RULES[rule].check(replace(trial, declared=Declaration(**declared))).verdict


def heard(text):
    return (CLEAR, e.Received(text.encode()))


NAME = ACCOUNT.username


@pytest.mark.parametrize(
    ("protocol", "facts", "verdict"),
    [
        (POP3, [said("CAPA"), said("USER", b"alice")], VIOLATION),
        (POP3, [said("CAPA"), said("USER", b"alice", TLS)], PASS),
        (POP3, [said("CAPA")], PASS),
        (POP3, [], INCONCLUSIVE),
        (IMAP, [said("ID", b'("user" "x")'), heard(f'a ID ("user" "{NAME}")\r\n')], VIOLATION),
        (IMAP, [said("ID", b'("name" "client")')], NOTE),
        (IMAP, [said("ID", b"nil")], PASS),
        (IMAP, [said("CAPABILITY")], PASS),
        (SMTP, [said("EHLO", b"x"), heard(f"EHLO {NAME}\r\n")], VIOLATION),
        (SMTP, [said("AUTH", b"CRAM-MD5"), heard(b64encode(NAME.encode()).decode())], NOT_APPLICABLE),
        (POP3, [said("USER", b"alice"), heard(f"PASS {PASSWORD}\r\n")], NOT_APPLICABLE),
    ],
)
def test_who_is_named_in_clear(protocol, facts, verdict):
    assert told("no-identity-in-clear", *facts, protocol=protocol) is verdict
    assert told("no-identity-in-clear", *facts, protocol=protocol, starttls="opportunistic") is NOT_APPLICABLE


def test_a_client_that_tells_which_program_it_is_did_not_do_what_it_should():
    trial = recorded([OPENED, said("ID", b'("name" "client")')], protocol=IMAP)
    assert RULES["no-identity-in-clear"].check(trial).should


@pytest.mark.parametrize(
    ("protocol", "facts", "verdict"),
    [
        (SMTP, [said("EHLO"), said("MAIL", b"FROM:<a@b.test>")], VIOLATION),
        (SMTP, [said("EHLO"), said("MAIL", b"FROM:<a@b.test>", TLS)], PASS),
        (SMTP, [said("EHLO"), said("QUIT")], PASS),
        (IMAP, [said("APPEND", b"Drafts {3}")], VIOLATION),
        (IMAP, [said("SELECT", b"INBOX")], VIOLATION),
        (IMAP, [said("CAPABILITY")], PASS),
        (IMAP, [], INCONCLUSIVE),
    ],
)
def test_mail_and_where_it_goes_is_content(protocol, facts, verdict):
    assert told("no-content-in-clear", *facts, protocol=protocol) is verdict
    assert told("no-content-in-clear", *facts, protocol=protocol, starttls="opportunistic") is NOT_APPLICABLE


OFFERED = {SMTP: b"250-x\r\n250 STARTTLS\r\n", POP3: b"+OK\r\nSTLS\r\n.\r\n", IMAP: b"* CAPABILITY STARTTLS\r\n"}


@pytest.mark.parametrize("protocol", Protocol)
def test_an_opportunistic_client_takes_what_is_offered(protocol):
    def best(*facts):
        return told("use-best-when-opportunistic", *facts, protocol=protocol, starttls="opportunistic")

    offered = (CLEAR, e.Sent(OFFERED[protocol]))
    work = {SMTP: "MAIL", POP3: "STAT", IMAP: "SELECT"}[protocol]
    secured = (CLEAR, e.HandshakeEnded(HandshakeOutcome.COMPLETED, "1.3"))
    assert best(offered, said(work)) is VIOLATION
    assert best(offered, secured, said(work, layer=TLS)) is PASS
    assert best(said(work)) is INCONCLUSIVE  # it was not offered
    assert best(offered) is INCONCLUSIVE
    assert told("use-best-when-opportunistic", offered, said(work), protocol=protocol) is NOT_APPLICABLE


@pytest.mark.parametrize(
    ("commands", "facts", "verdict"),
    [
        ("never", [said("LOGIN", b"a b")], VIOLATION),
        ("tls", [said("LOGIN", b"a b")], VIOLATION),
        ("always", [said("LOGIN", b"a b")], INCONCLUSIVE),
        ("never", [(CLEAR, e.Sent(b"* CAPABILITY IMAP4rev1\r\n")), said("LOGIN", b"a b")], INCONCLUSIVE),
        ("never", [(CLEAR, e.Sent(b"* CAPABILITY LOGINDISABLED\r\n")), said("LOGIN", b"a b")], VIOLATION),
        ("never", [(CLEAR, e.Sent(b"* CAPABILITY LOGINDISABLED\r\n"))], PASS),
        ("tls", [(TLS, e.Sent(b"* OK ready\r\n")), said("LOGIN", b"a b", TLS)], INCONCLUSIVE),
        ("never", [], INCONCLUSIVE),
    ],
)
def test_login_is_disabled_for_who_did_not_ask_as_well(commands, facts, verdict):
    greeted = (CLEAR, e.Sent(b"* OK ready\r\n"))
    trial = recorded([OPENED, greeted, *facts], protocol=IMAP, auth=AuthPolicy(password_commands=commands))
    assert RULES["respect-logindisabled"].check(trial).verdict is verdict


def test_a_hidden_logindisabled_is_none():
    hidden = {"auth": AuthPolicy(password_commands="never"), "deviations": (Hide(names=("LOGINDISABLED",)),)}
    trial = recorded([OPENED, (CLEAR, e.Sent(b"* OK\r\n")), said("LOGIN", b"a b")], protocol=IMAP, **hidden)
    assert RULES["respect-logindisabled"].check(trial).verdict is INCONCLUSIVE


@pytest.mark.parametrize(("security", "layer"), [(Security.STARTTLS, TLS), (Security.NONE, CLEAR)])
def test_a_client_without_credentials_works_once_its_message_was_taken(security, layer):
    def control(where):
        stored = (where, e.Stored(100, ("bob@example.test",)))
        trial = recorded([OPENED, stored], security=security)
        return RULES["control"].check(replace(trial, declared=Declaration(auth="none"))).verdict

    assert control(layer) is PASS
    assert control(TLS if layer is CLEAR else CLEAR) is INCONCLUSIVE


def test_which_scenarios_there_are_for_a_client_without_credentials():
    declared = Declaration(auth="none")
    assert settings_for(POP3, Security.STARTTLS, declared) == settings_for(IMAP, Security.IMPLICIT, declared) == ()
    found = {setting.scenario.name for setting in settings_for(SMTP, Security.STARTTLS, declared)}
    assert found >= {"base-starttls-ok", "cert-self-signed", "no-auth-no-tls-configured"}
    assert not found & {"starttls-not-offered", "base-oauth-ok", "tls10-only"}
    with_password = {setting.scenario.name for setting in settings_for(SMTP, Security.STARTTLS, Declaration())}
    assert "no-auth-no-tls-configured" not in with_password


@pytest.mark.parametrize(
    ("verbs", "verdict"),
    [
        ((), PASS),
        (("CAPABILITY", "SELECT", "SEARCH", "FETCH", "LOGOUT"), PASS),
        (("LOGIN",), NOTE),
        (("AUTHENTICATE", "SELECT"), NOTE),
        (("SELECT", "UID STORE"), NOTE),
        (("APPEND",), NOTE),
    ],
)
def test_a_session_that_is_logged_in_inside_tls_is_read_from_alone(verbs, verdict):
    def preauth(greeting, security=Security.IMPLICIT):
        spoken = [said(verb, layer=TLS) for verb in verbs]
        trial = recorded([OPENED, (TLS, e.Sent(greeting)), *spoken], protocol=IMAP, security=security)
        return RULES["preauth-ends-required-starttls"].check(trial).verdict

    assert preauth(b"* PREAUTH ready\r\n") is verdict
    assert preauth(b"* OK ready\r\n") is INCONCLUSIVE
    assert preauth(b"* PREAUTH ready\r\n", Security.STARTTLS) is INCONCLUSIVE  # it came inside TLS
