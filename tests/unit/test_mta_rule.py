"""What the rule about mail transfer agents makes of deliveries, and of silence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_trials import CLEAR, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios import SCENARIOS, settings_for
from pytest_mailauth.model import events as e
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration

PASS, NOTE, VIOLATION, INCONCLUSIVE = Verdict.PASS, Verdict.NOTE, Verdict.VIOLATION, Verdict.INCONCLUSIVE
NOT_APPLICABLE = Verdict.NOT_APPLICABLE
MTA = Declaration(role="mta", auth="none")
ENFORCE = SCENARIOS["mta-sts-enforce-strip"].tells
UNLISTED = SCENARIOS["mta-sts-mx-not-listed"].tells
TESTING = SCENARIOS["mta-sts-testing-mode"].tells
RECORDS = {"tlsa": ("3 0 1 c0",)}
MARKED = {"requires_tls": True}

OPENED = (CLEAR, e.Opened("127.0.0.1:1"))
EHLO = (CLEAR, e.Command("EHLO", b"mta.test", "EHLO mta.test"))
OFFER = (CLEAR, e.Sent(b"250-mx.test\r\n250 STARTTLS\r\n"))
HANDSHAKE = (CLEAR, e.HelloSeen(ClientHello.__new__(ClientHello)))


def mail(layer, argument=b"FROM:<a@example.test>"):
    return layer, e.Command("MAIL", argument, f"MAIL {argument.decode()}")


def delivered(layer):
    return mail(layer), (layer, e.Stored(1, ("bob@example.test",)))


DELIVERS = recorded([OPENED, EHLO, *delivered(TLS)])


def judged(tells, *facts, control=DELIVERS, declared=MTA, unheard=(), connects=True):
    trial = recorded(*([[OPENED, *facts]] if connects else []), control=control)
    return RULES["mta-policy-honoured"].check(replace(trial, declared=declared, tells=tells, unheard=unheard)).verdict


@pytest.mark.parametrize("layer", [CLEAR, TLS])
@pytest.mark.parametrize("tells", [{}, TESTING])
def test_an_agent_that_nothing_binds_may_deliver_as_it_can(tells, layer):
    assert judged(tells, EHLO, *delivered(layer)) is PASS


@pytest.mark.parametrize("tells", [{}, TESTING])
def test_an_agent_that_nothing_binds_loses_mail_when_it_leaves(tells):
    assert judged(tells, EHLO) is NOTE
    assert judged(tells) is INCONCLUSIVE


@pytest.mark.parametrize("layer", [CLEAR, TLS])
@pytest.mark.parametrize("tells", [ENFORCE, UNLISTED, RECORDS, MARKED])
def test_mail_against_the_policy_is_a_violation_taken_or_not(tells, layer):
    assert judged(tells, EHLO, mail(layer)) is VIOLATION
    assert judged(tells, EHLO, *delivered(layer), control=None) is VIOLATION


@pytest.mark.parametrize("tells", [ENFORCE, RECORDS, MARKED])
def test_silence_is_obedience_of_an_agent_that_delivers_elsewhere(tells):
    assert judged(tells, EHLO) is PASS
    assert judged(tells, EHLO, control=None) is INCONCLUSIVE
    assert judged(tells, EHLO, control=recorded([OPENED, EHLO])) is INCONCLUSIVE
    assert judged(tells, EHLO, control=recorded([OPENED, EHLO, *delivered(CLEAR)])) is INCONCLUSIVE
    assert judged(tells) is INCONCLUSIVE
    assert judged(tells, connects=False) is INCONCLUSIVE


def test_whoever_leaves_before_tls_that_is_offered_did_not_look_at_it():
    assert judged(RECORDS, EHLO, OFFER) is INCONCLUSIVE
    assert judged(RECORDS, EHLO, OFFER, HANDSHAKE) is PASS


def test_a_host_that_is_not_listed_need_not_be_visited():
    assert judged(UNLISTED, connects=False) is PASS
    assert judged(UNLISTED, connects=False, control=None) is INCONCLUSIVE


def test_asking_for_requiretls_where_it_is_not_offered_is_noted_as_long_as_nothing_is_taken():
    asked = mail(TLS, b"FROM:<a@example.test> requiretls")
    assert judged(MARKED, EHLO, asked) is NOTE
    assert judged(MARKED, EHLO, asked, (TLS, e.Stored(1, ("bob@example.test",)))) is VIOLATION
    assert judged(ENFORCE, EHLO, asked) is VIOLATION


def test_who_never_read_the_policy_cannot_have_broken_it():
    assert judged(ENFORCE, EHLO, mail(CLEAR), unheard=("sts_policy",)) is NOT_APPLICABLE


def test_user_agents_have_no_such_policies():
    assert judged(ENFORCE, EHLO, mail(CLEAR), declared=Declaration()) is NOT_APPLICABLE


def test_an_agent_meets_honest_servers_and_what_is_about_agents_over_starttls_alone():
    found = {row.scenario.name: row.scenario for row in settings_for(Protocol.SMTP, Security.STARTTLS, MTA)}
    assert {"base-starttls-ok", "mta-opportunistic-strip", "local-recipient-without-auth"} <= set(found)
    assert {row.family for row in found.values()} == {"A", "R", "U"}
    assert not any(name.startswith(("mta-sts", "dane", "requiretls")) for name in found)
    assert settings_for(Protocol.SMTP, Security.IMPLICIT, MTA) == ()
    assert settings_for(Protocol.IMAP, Security.STARTTLS, MTA) == ()


@pytest.mark.parametrize(
    ("policy", "beginning"), [("mta-sts", "mta-sts-"), ("dane", "dane-"), ("requiretls", "requiretls-")]
)
def test_a_policy_is_a_matter_for_who_honours_it(policy, beginning):
    declared = replace(MTA, mta_policy=policy)
    found = {row.scenario.name for row in settings_for(Protocol.SMTP, Security.STARTTLS, declared)}
    assert {name for name in SCENARIOS if name.startswith(beginning)} <= found
    free = {row.scenario.name for row in settings_for(Protocol.SMTP, Security.STARTTLS, MTA)}
    assert all(name.startswith(beginning) for name in found - free)


def test_no_user_agent_meets_any_of_it():
    met = settings_for(Protocol.SMTP, Security.STARTTLS, Declaration(auth="none"))
    assert not any(row.scenario.family == "U" for row in met)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"role": "mta"}, "declare auth='none' too"),
        ({"mta_policy": "dane"}, "declare role='mta' too"),
        ({"role": "relay"}, "role='relay' is not known"),
        ({"role": "mta", "auth": "none", "mta_policy": "sts"}, "mta_policy='sts' is not known"),
    ],
)
def test_declarations_that_make_no_sense_are_refused(declared, message):
    with pytest.raises(ConfigError, match=message):
        Declaration.parse(declared)


def test_no_agent_is_required_to_have_tls_by_its_mode():
    trial = recorded()
    assert trial.requires_tls
    assert not replace(trial, declared=MTA).requires_tls
