"""What the rules about logging in make of a record."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_trials import ACCOUNT, CLEAR, PASSWORD, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration, Outcome

SMTP, POP3, IMAP = Protocol
PASS, NOTE, VIOLATION, INCONCLUSIVE = Verdict.PASS, Verdict.NOTE, Verdict.VIOLATION, Verdict.INCONCLUSIVE
NOT_APPLICABLE = Verdict.NOT_APPLICABLE
OPENED = (CLEAR, e.Opened("127.0.0.1:1"))


def said(verb, argument=b"", layer=TLS, tag=b""):
    line = f"{verb} {argument.decode()}".rstrip()
    return [(layer, e.Received(line.encode() + b"\r\n")), (layer, e.Command(verb, argument, line, tag))]


def sent(data, layer=TLS):
    return [(layer, e.Sent(data))]


def presented(mechanism="PLAIN", *, accepted=False, layer=TLS):
    return [(layer, e.Authentication(mechanism, ACCOUNT.username, Secret(PASSWORD), accepted))]


def asked(rule, *session, **told):
    return RULES[rule].check(recorded([OPENED, *session], **told))


# authenticate-before-submission


def before_submission(*session, **told):
    return asked("authenticate-before-submission", *said("EHLO"), *session, **told).verdict


def test_a_message_belongs_behind_an_accepted_login():
    assert before_submission(*presented(accepted=True), *said("MAIL")) is PASS
    assert before_submission(*said("MAIL")) is VIOLATION
    assert before_submission(*presented(accepted=False), *said("MAIL")) is VIOLATION
    assert before_submission(*said("MAIL"), *presented(accepted=True), *said("MAIL")) is VIOLATION


def test_who_cannot_log_in_and_leaves_has_obeyed():
    assert before_submission(*said("QUIT")) is PASS
    assert before_submission(*presented(accepted=False)) is PASS


def test_a_login_on_another_connection_is_none_here():
    first, second = [OPENED, *presented(accepted=True)], [OPENED, *said("MAIL")]
    assert RULES["authenticate-before-submission"].check(recorded(first, second)).verdict is VIOLATION


def test_who_left_before_tls_has_seen_no_list():
    clear = said("EHLO", layer=CLEAR)
    assert asked("authenticate-before-submission", *clear).verdict is INCONCLUSIVE
    assert asked("authenticate-before-submission", *clear, security=Security.NONE).verdict is PASS
    assert RULES["authenticate-before-submission"].check(recorded()).verdict is INCONCLUSIVE


@pytest.mark.parametrize("protocol", [Protocol.POP3, Protocol.IMAP])
def test_messages_are_submitted_over_smtp(protocol):
    assert before_submission(*said("MAIL"), protocol=protocol) is NOT_APPLICABLE


def test_who_has_no_credentials_need_not_log_in():
    trial = recorded([OPENED, *said("MAIL")])
    trial = replace(trial, declared=replace(trial.declared))
    object.__setattr__(trial.declared, "auth", "none")
    assert RULES["authenticate-before-submission"].check(trial).verdict is NOT_APPLICABLE


# bounded-auth-retries and auth-failure-is-not-network-failure

REPLIES = {
    "wrong": {SMTP: b"535 5.7.8 no\r\n", POP3: b"-ERR [AUTH] no\r\n", IMAP: b"a NO [AUTHENTICATIONFAILED] no\r\n"},
    "later": {SMTP: b"454 4.7.0 no\r\n", POP3: b"-ERR [SYS/TEMP] no\r\n", IMAP: b"a NO [UNAVAILABLE] no\r\n"},
    "tls": {SMTP: b"538 5.7.11 no\r\n", IMAP: b"a NO [PRIVACYREQUIRED] no\r\n"},
}
LOGIN = {SMTP: ("AUTH", b"PLAIN x"), POP3: ("AUTH", b"PLAIN x"), IMAP: ("LOGIN", b"name secret")}


def refused(protocol, kind="wrong", times=1):
    return [*said(*LOGIN[protocol], tag=b"a"), *sent(REPLIES[kind][protocol])] * times


def tried(protocol, times, **declared):
    trial = recorded([OPENED, *refused(protocol, times=times)], protocol=protocol)
    return RULES["bounded-auth-retries"].check(replace(trial, declared=Declaration(**declared))).verdict


@pytest.mark.parametrize("protocol", Protocol)
def test_a_refused_secret_is_tried_once_more_at_most(protocol):
    assert [tried(protocol, times) for times in range(4)] == [INCONCLUSIVE, PASS, PASS, VIOLATION]
    assert [tried(protocol, times, auth_retries=0) for times in (1, 2)] == [PASS, VIOLATION]
    assert tried(protocol, 3, auth_retries=2) is PASS


def test_tries_on_several_connections_are_counted_together():
    sessions = [[OPENED, *refused(SMTP)]] * 3
    assert RULES["bounded-auth-retries"].check(recorded(*sessions)).verdict is VIOLATION


def test_another_mechanism_is_another_try():
    facts = [*refused(SMTP), *said("AUTH", b"LOGIN"), *sent(b"535 5.7.8 no\r\n"), *refused(SMTP)]
    assert asked("bounded-auth-retries", *facts).verdict is PASS


def test_who_is_let_in_may_log_in_as_often_as_it_likes():
    facts = [*said("AUTH", b"PLAIN x"), *sent(b"235 2.7.0 yes\r\n")] * 5
    assert asked("bounded-auth-retries", *facts).verdict is INCONCLUSIVE


def test_a_client_that_had_to_be_stopped_may_have_been_about_to_try_again():
    finding = asked("bounded-auth-retries", *refused(SMTP), outcome=Outcome(hung=True))
    assert finding.verdict is INCONCLUSIVE


WORDS = {
    "wrong": ["LoginFailed: login refused", "error: [AUTHENTICATIONFAILED] no", "check user name and password"],
    "later": ["the server cannot check the login now, try again later", "(454, b'4.7.0 Temporary failure')"],
    "tls": ["TLS is needed first", "(538, b'5.7.11 Encryption required')"],
    "network": ["connection to the server was lost", "ConnectionResetError: connection reset by peer"],
}


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("kind", ["wrong", "later", "tls"])
@pytest.mark.parametrize(("named", "words"), [(named, words) for named, all_of in WORDS.items() for words in all_of])
def test_each_cause_is_called_by_its_name(protocol, kind, named, words):
    if protocol not in REPLIES[kind]:
        return
    told = {"protocol": protocol, "outcome": Outcome(error=words)}
    verdict = asked("auth-failure-is-not-network-failure", *refused(protocol, kind), **told).verdict
    if named == kind:
        assert verdict is PASS
    elif named in ("wrong", "network"):
        assert verdict is VIOLATION
    else:
        assert verdict in (VIOLATION, INCONCLUSIVE)


def test_the_last_refusal_is_the_one_that_is_explained():
    facts = [*refused(SMTP, "later"), *refused(SMTP)]
    told = {"outcome": Outcome(error="login refused")}
    assert asked("auth-failure-is-not-network-failure", *facts, **told).verdict is PASS
    assert asked("auth-failure-is-not-network-failure", *reversed_pairs(facts), **told).verdict is VIOLATION


def reversed_pairs(facts):
    half = len(facts) // 2
    return [*facts[half:], *facts[:half]]


def test_without_words_or_a_refusal_nothing_can_be_said():
    assert asked("auth-failure-is-not-network-failure", *refused(SMTP)).verdict is NOT_APPLICABLE
    assert asked("auth-failure-is-not-network-failure", outcome=Outcome(error="lost")).verdict is INCONCLUSIVE


# secrets-not-logged, where the password is asked for first


def test_a_password_that_was_given_for_a_name_is_not_shown():
    prompts = (TLS, e.Deviated("prompts", "LOGIN", b"Password:"))
    told = {"outcome": Outcome(error="login refused")}
    assert asked("secrets-not-logged", prompts, **told).verdict is PASS
    assert asked("secrets-not-logged", prompts, outcome=Outcome(error="x", disclosed=("raised",))).verdict is VIOLATION
    assert asked("secrets-not-logged", **told).verdict is NOT_APPLICABLE
    assert asked("secrets-not-logged", prompts).verdict is NOT_APPLICABLE


@pytest.mark.parametrize("bad", [-1, True, 1.5])
def test_how_often_a_client_tries_is_a_number(bad):
    with pytest.raises(ConfigError, match=r"auth_retries=.* must be a whole number"):
        Declaration(auth_retries=bad)


def test_how_often_a_client_tries_is_read_from_text():
    assert Declaration.parse({"auth-retries": "3"}).auth_retries == 3
    with pytest.raises(ConfigError, match="auth_retries='often' must be a whole number"):
        Declaration.parse({"auth-retries": "often"})
