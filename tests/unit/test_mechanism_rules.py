"""What the rules about the choice of mechanisms, and about when their messages may be sent, make of a record."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from recorded_trials import ACCOUNT, CLEAR, PASSWORD, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.config import AuthPolicy
from pytest_mailauth.model.deviations import Hide
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration

SMTP, POP3, IMAP = Protocol
PASS, NOTE, VIOLATION, INCONCLUSIVE = Verdict.PASS, Verdict.NOTE, Verdict.VIOLATION, Verdict.INCONCLUSIVE
NOT_APPLICABLE = Verdict.NOT_APPLICABLE
OPENED = (CLEAR, e.Opened("127.0.0.1:1"))
REPLY = {
    SMTP: {"no": b"535 5.7.8 no\r\n", "yes": b"235 2.7.0 yes\r\n", "weak": b"534 5.7.9 too weak\r\n"},
    POP3: {"no": b"-ERR [AUTH] no\r\n", "yes": b"+OK yes\r\n"},
    IMAP: {"no": b"a NO [AUTHENTICATIONFAILED] no\r\n", "yes": b"a OK yes\r\n"},
}
BEGIN = {SMTP: "AUTH", POP3: "AUTH", IMAP: "AUTHENTICATE"}
ASK = {SMTP: "EHLO", POP3: "CAPA", IMAP: "CAPABILITY"}


def said(verb, argument=b"", layer=TLS):
    line = verb.encode() + b" " + argument
    return [(layer, e.Received(line.rstrip() + b"\r\n")), (layer, e.Command(verb, argument, line.decode(), b"a"))]


def sent(data, layer=TLS):
    return [(layer, e.Sent(data))]


def tried(protocol, *attempts, layer=TLS):
    """Return the facts of attempts, each a mechanism and what became of it."""
    facts = []
    for mechanism, outcome in attempts:
        command = (mechanism, b"name secret") if mechanism in ("APOP", "LOGIN-COMMAND") else (BEGIN[protocol], None)
        verb = command[0].replace("LOGIN-COMMAND", "LOGIN")
        facts += said(verb, command[1] or mechanism.encode(), layer)
        facts += sent(REPLY[protocol][outcome], layer)
    return facts


def asked(rule, *facts, declared=None, tells=None, **told):
    trial = recorded([OPENED, *facts], **told)
    return RULES[rule].check(replace(trial, declared=declared or Declaration(), tells=tells or {}))


# no-mechanism-downgrade


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("strong", ["SCRAM-SHA-256", "CRAM-MD5"])
def test_a_weaker_mechanism_behind_a_refused_one(protocol, strong):
    weaker = (strong, "no"), ("PLAIN", "yes")
    clear = {"protocol": protocol, "security": Security.NONE}
    finding = asked("no-mechanism-downgrade", *tried(protocol, *weaker, layer=CLEAR), **clear)
    assert finding.verdict is VIOLATION
    assert finding.evidence.startswith(f"{strong} was refused, and the client went on in clear with")
    inside = tried(protocol, *weaker)
    assert asked("no-mechanism-downgrade", *inside, protocol=protocol).verdict is NOTE
    strict = Declaration(mechanism_downgrade="no")
    assert asked("no-mechanism-downgrade", *inside, protocol=protocol, declared=strict).verdict is VIOLATION


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize(
    "attempts",
    [
        [("CRAM-MD5", "no")],
        [("CRAM-MD5", "no"), ("CRAM-MD5", "yes")],
        [("CRAM-MD5", "no"), ("SCRAM-SHA-256", "yes")],
        [("CRAM-MD5", "yes"), ("PLAIN", "yes")],
        [("PLAIN", "no"), ("LOGIN", "yes")],
    ],
)
def test_what_is_no_downgrade(protocol, attempts):
    auth = AuthPolicy(mechanisms=("CRAM-MD5", "PLAIN"))
    strict = Declaration(mechanism_downgrade="no")
    facts = tried(protocol, *attempts)
    verdict = asked("no-mechanism-downgrade", *facts, protocol=protocol, declared=strict, auth=auth).verdict
    assert verdict is (NOT_APPLICABLE if attempts[-1][0] == "PLAIN" else PASS)


def test_a_downgrade_may_come_on_another_connection():
    first, second = ([OPENED, *tried(SMTP, one, layer=CLEAR)] for one in (("CRAM-MD5", "no"), ("PLAIN", "yes")))
    trial = recorded(first, second, security=Security.NONE)
    assert RULES["no-mechanism-downgrade"].check(trial).verdict is VIOLATION


def test_user_and_pass_are_weaker_than_apop():
    user = [*said("USER", b"name", CLEAR), *sent(b"+OK\r\n", CLEAR), *said("PASS", b"secret", CLEAR)]
    facts = [*tried(POP3, ("APOP", "no"), layer=CLEAR), *user]
    assert asked("no-mechanism-downgrade", *facts, protocol=POP3, security=Security.NONE).verdict is VIOLATION


def test_what_the_server_called_too_weak_is_not_followed_by_what_is_weaker():
    assert asked("no-mechanism-downgrade", *tried(SMTP, ("CRAM-MD5", "weak"), ("PLAIN", "weak"))).verdict is VIOLATION
    assert asked("no-mechanism-downgrade", *tried(SMTP, ("PLAIN", "weak"), ("LOGIN", "weak"))).verdict is NOTE
    assert asked("no-mechanism-downgrade", *tried(SMTP, ("PLAIN", "weak"), ("SCRAM-SHA-1", "yes"))).verdict is PASS


def test_without_a_login_nothing_was_refused():
    assert asked("no-mechanism-downgrade", *said("EHLO")).verdict is INCONCLUSIVE
    assert asked("no-mechanism-downgrade", *tried(SMTP, ("XOAUTH2", "yes"))).verdict is INCONCLUSIVE


# offered-mechanisms-only

LISTED = {
    SMTP: b"250-localhost\r\n250 AUTH SCRAM-SHA-256\r\n",
    POP3: b"+OK\r\nSASL SCRAM-SHA-256\r\n.\r\n",
    IMAP: b"* CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256 LOGINDISABLED\r\na OK\r\n",
}


def offered(protocol, *facts, listed=None, **told):
    begun = [*said(ASK[protocol]), *sent(listed or LISTED[protocol])]
    return asked("offered-mechanisms-only", *begun, *facts, protocol=protocol, **told).verdict


@pytest.mark.parametrize("protocol", Protocol)
def test_only_what_is_listed_may_be_used(protocol):
    assert offered(protocol, *tried(protocol, ("SCRAM-SHA-256", "yes"))) is PASS
    assert offered(protocol) is PASS
    assert offered(protocol, *tried(protocol, ("PLAIN", "no"))) is VIOLATION
    assert asked("offered-mechanisms-only", protocol=protocol).verdict is INCONCLUSIVE


@pytest.mark.parametrize("protocol", Protocol)
def test_what_was_listed_in_clear_is_not_listed_inside_tls(protocol):
    clear = [*said(ASK[protocol], layer=CLEAR), *sent(LISTED[protocol].replace(b"SCRAM-SHA-256", b"PLAIN"), CLEAR)]
    facts = [*clear, *said(ASK[protocol]), *sent(LISTED[protocol]), *tried(protocol, ("PLAIN", "no"))]
    assert asked("offered-mechanisms-only", *facts, protocol=protocol).verdict is VIOLATION


def test_login_is_a_way_unless_it_is_disabled():
    login = said("LOGIN", b"name secret")
    assert offered(IMAP, *login) is VIOLATION
    assert offered(IMAP, *login, listed=b"* CAPABILITY IMAP4rev1\r\n") is PASS


def test_user_need_not_be_asked_for_and_must_not_be_gone_on_with():
    user = [*said("USER", b"name"), *sent(b"-ERR no\r\n")]
    assert offered(POP3, *user) is VIOLATION
    assert offered(POP3, *user, listed=b"+OK\r\nUSER\r\n.\r\n") is PASS
    assert asked("offered-mechanisms-only", *user, protocol=POP3).verdict is NOTE
    assert asked("offered-mechanisms-only", *user, *said("PASS", b"x"), protocol=POP3).verdict is VIOLATION
    taken = [*said("USER", b"name"), *sent(b"+OK\r\n"), *said("PASS", b"x"), *sent(b"+OK\r\n")]
    assert asked("offered-mechanisms-only", *taken, protocol=POP3).verdict is PASS


def test_the_list_of_pop3_may_be_one_of_lines():
    assert offered(POP3, *tried(POP3, ("PLAIN", "yes")), listed=b"+OK\r\nPLAIN\r\n.\r\n") is PASS


def test_the_old_form_is_noted():
    listed = b"250-localhost\r\n250 AUTH=LOGIN PLAIN\r\n"
    assert offered(SMTP, *tried(SMTP, ("LOGIN", "yes")), listed=listed) is NOTE
    assert offered(SMTP, *tried(SMTP, ("CRAM-MD5", "no")), listed=listed) is VIOLATION


def test_external_takes_a_certificate_and_anonymous_no_name():
    listed = b"250 AUTH EXTERNAL ANONYMOUS\r\n"
    assert offered(SMTP, *tried(SMTP, ("EXTERNAL", "no")), listed=listed) is VIOLATION
    anonymous = tried(SMTP, ("ANONYMOUS", "yes"))
    assert offered(SMTP, *anonymous, listed=listed) is NOTE
    for trace in (ACCOUNT.username, ACCOUNT.address):
        told = [(TLS, e.Authentication("ANONYMOUS", trace, Secret(""), accepted=True))]
        assert offered(SMTP, *anonymous, *told, listed=listed) is VIOLATION


@pytest.mark.parametrize(
    ("argument", "verdict"), [(b"a {9}", PASS), (b"a {9+}", VIOLATION), (b'a "b"', NOT_APPLICABLE)]
)
def test_a_literal_waits_unless_it_is_said_that_it_need_not(argument, verdict):
    listed, hide = b"* CAPABILITY IMAP4rev1\r\n", (Hide(names=("LITERAL+",)),)
    assert offered(IMAP, *said("LOGIN", argument), listed=listed, deviations=hide) is verdict
    assert offered(IMAP, *said("LOGIN", argument), listed=b"* CAPABILITY IMAP4rev1 LITERAL+\r\n") is PASS


# credentials-only-after-continuation

ENCODED = base64.b64encode(PASSWORD.encode()) + b"\r\n"


def continued(*facts, **told):
    return asked("credentials-only-after-continuation", *facts, **told).verdict


def answered(verb="AUTH", argument=b"LOGIN", data=b"535 no\r\n"):
    return [*said(verb, argument), (TLS, e.Deviated("answer", verb, data)), *sent(data)]


def test_a_secret_behind_a_refusal():
    assert continued(*answered()) is PASS
    assert continued(*answered(), (TLS, e.Received(b"YWxpY2U=\r\n"))) is PASS
    assert continued(*answered(), (TLS, e.Received(ENCODED))) is VIOLATION
    assert continued((TLS, e.Received(ENCODED)), *answered()) is PASS


def test_another_login_command_is_a_new_matter():
    assert continued(*answered(), (TLS, e.Received(b"AUTH PLAIN " + ENCODED))) is PASS
    imap = answered("AUTHENTICATE", data=b"a NO no\r\n")
    assert continued(*imap, (TLS, e.Received(b"b LOGIN a " + PASSWORD.encode() + b"\r\n")), protocol=IMAP) is PASS


@pytest.mark.parametrize(
    ("argument", "verdict"), [(b"a {9}", VIOLATION), (b"a {9+}", NOT_APPLICABLE), (b'a "b"', NOT_APPLICABLE)]
)
def test_a_literal_behind_a_refusal(argument, verdict):
    facts = [*answered("LOGIN", argument, b"a BAD no\r\n"), (TLS, e.Received(PASSWORD.encode() + b"\r\n"))]
    assert continued(*facts, protocol=IMAP) is verdict


def test_the_password_may_be_one_that_the_scenario_tells():
    facts = [*answered("LOGIN", b"a {9}", b"a BAD no\r\n"), (TLS, e.Received("gänz-anders".encode() + b"\r\n"))]
    assert continued(*facts, protocol=IMAP) is PASS
    assert continued(*facts, protocol=IMAP, tells={"password": Secret("gänz-anders")}) is VIOLATION


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [(b"*\r\n", PASS), (b"", PASS), (b"YWxpY2U=\r\n", PASS), (ENCODED, NOTE)],
    ids=["cancel", "empty", "name", "password"],
)
def test_a_challenge_that_nobody_can_decode(reply, verdict):
    facts = [*said("AUTH", b"LOGIN"), (TLS, e.Deviated("challenge", "LOGIN", b"***")), *sent(b"334 ***\r\n")]
    assert continued(*facts, (TLS, e.Received(reply))) is verdict


def test_a_challenge_with_a_text_may_be_answered_or_not():
    facts = [*said("AUTH", b"PLAIN"), (TLS, e.Deviated("challenge", "PLAIN", b"dGV4dA==")), (TLS, e.Received(ENCODED))]
    accepted = (TLS, e.Authentication("PLAIN", ACCOUNT.username, Secret(PASSWORD), accepted=True))
    assert continued(*facts, accepted) is PASS
    assert continued(*facts) is NOTE


def test_who_was_not_asked_has_shown_nothing():
    assert continued(*said("EHLO")) is INCONCLUSIVE
    assert continued(*said("USER", b"name"), protocol=POP3) is NOT_APPLICABLE
    assert continued(*said("CAPABILITY"), protocol=IMAP, tells={"password": Secret("é")}) is NOT_APPLICABLE
    assert continued(protocol=IMAP, tells={"password": Secret("é")}) is INCONCLUSIVE
