"""What the rules about logging in make of a record."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_trials import ACCOUNT, CLEAR, PASSWORD, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.terms import Protocol, Security, Verdict

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
