"""What the rules about SCRAM make of a record."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from recorded_trials import ACCOUNT, CLEAR, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios import SCENARIOS
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.config import AuthPolicy
from pytest_mailauth.model.deviations import MisplaySCRAM
from pytest_mailauth.model.terms import Protocol, Verdict
from pytest_mailauth.model.trial import Declaration, Outcome

SMTP, POP3, IMAP = Protocol
PASS, NOTE, VIOLATION, INCONCLUSIVE = Verdict.PASS, Verdict.NOTE, Verdict.VIOLATION, Verdict.INCONCLUSIVE
NOT_APPLICABLE = Verdict.NOT_APPLICABLE
OPENED = (CLEAR, e.Opened("127.0.0.1:1"))
BEGIN = {SMTP: "AUTH", POP3: "AUTH", IMAP: "AUTHENTICATE"}
WORK = {SMTP: "MAIL", POP3: "STAT", IMAP: "SELECT"}
ASK = {SMTP: "EHLO", POP3: "CAPA", IMAP: "CAPABILITY"}
MECHANISM = "SCRAM-SHA-256"


def encoded(message):
    return base64.b64encode(message)


def said(verb, argument=b""):
    line = verb.encode() + b" " + argument
    return [(TLS, e.Received(line.rstrip() + b"\r\n")), (TLS, e.Command(verb, argument, line.decode(), b"a"))]


def begun(protocol=SMTP, first=b"n,,n=a,r=b", mechanism=MECHANISM):
    return said(BEGIN[protocol], mechanism.encode() + b" " + encoded(first))


def odd(data=b"r=x,s=y,i=1", kind="misplayed", mechanism=MECHANISM):
    return [(TLS, e.Deviated(kind, mechanism, data))]


def answers(message):
    return [(TLS, e.Received(encoded(message) + b"\r\n"))]


PROOF = answers(b"c=biws,r=x,p=AAAA")
CANCELLED = [(TLS, e.Received(b"*\r\n"))]


def asked(rule, *facts, play=None, declared=None, **told):
    deviations = (MisplaySCRAM(**play),) if play else ()
    trial = recorded([OPENED, *facts], deviations=deviations, **told)
    return RULES[rule].check(replace(trial, declared=declared or Declaration()))


def verified(*facts, **told):
    return asked("scram-verify-server", *facts, **told)


# A first message that is not to be answered.


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("play", [{"nonce": "replaced"}, {"nonce": "repeated"}, {"extension": "m=x,"}])
def test_the_proof_is_not_sent_in_answer_to_a_wrong_message(protocol, play):
    facts = [*begun(protocol), *odd()]
    assert verified(*facts, *PROOF, play=play, protocol=protocol).verdict is VIOLATION
    assert verified(*facts, *CANCELLED, play=play, protocol=protocol).verdict is PASS
    assert verified(*facts, play=play, protocol=protocol).verdict is PASS
    assert verified(*PROOF, *facts, play=play, protocol=protocol).verdict is PASS


# A success that counts for nothing.


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("play", [{"signature": "wrong"}, {"signature": "missing"}])
def test_nobody_goes_on_without_a_signature(protocol, play):
    facts = [*begun(protocol), *PROOF, *odd()]
    work = said(WORK[protocol])
    assert verified(*facts, *work, play=play, protocol=protocol).verdict is VIOLATION
    for end in (CANCELLED, [], said({IMAP: "LOGOUT"}.get(protocol, "QUIT"))):
        assert verified(*facts, *end, play=play, protocol=protocol).verdict is PASS


def test_a_success_at_once_is_none_with_scram():
    work = said("MAIL")
    assert verified(*begun(), *odd(kind="admitted"), *work).verdict is VIOLATION
    assert verified(*begun(), *odd(kind="admitted")).verdict is PASS
    cram = odd(kind="admitted", mechanism="CRAM-MD5")
    assert verified(*said("AUTH", b"CRAM-MD5"), *cram, *work).verdict is NOTE


def test_the_worst_of_several_connections_speaks():
    good, bad = [OPENED, *begun(), *odd(), *CANCELLED], [OPENED, *begun(), *odd(), *PROOF]
    for sessions in ((good, bad), (bad, good)):
        trial = recorded(*sessions, deviations=(MisplaySCRAM(nonce="replaced"),))
        assert RULES["scram-verify-server"].check(trial).verdict is VIOLATION


@pytest.mark.parametrize("rule", ["scram-verify-server", "scram-sane-iterations"])
def test_who_does_not_speak_scram_has_shown_nothing(rule):
    play = {"nonce": "replaced"}
    assert asked(rule, *said("AUTH", b"PLAIN"), play=play).verdict is NOT_APPLICABLE
    assert asked(rule, *said("EHLO"), play=play).verdict is NOT_APPLICABLE
    assert asked(rule, play=play).verdict is INCONCLUSIVE
    assert asked(rule, *begun(), play=play).verdict is INCONCLUSIVE


# scram-sane-iterations


def iterated(*facts, iterations, outcome=None):
    play = {"iterations": iterations}
    return asked("scram-sane-iterations", *begun(), *odd(), *facts, play=play, outcome=outcome)


def test_a_low_count_is_refused():
    assert iterated(iterations=1).verdict is PASS
    assert iterated(*PROOF, iterations=1).verdict is VIOLATION
    assert "1 iteration," in iterated(*PROOF, iterations=1).evidence


def test_a_high_count_is_refused_at_once():
    many = SCENARIOS["scram-huge-iterations"].deviations(SMTP, 1.0)[0].iterations
    assert iterated(iterations=many, outcome=Outcome(seconds=0.1)).verdict is PASS
    assert iterated(iterations=many, outcome=Outcome(seconds=9.0)).verdict is NOTE
    assert iterated(iterations=many, outcome=Outcome(seconds=9.0, hung=True)).verdict is VIOLATION
    assert iterated(*PROOF, iterations=many).verdict is VIOLATION


# Channel binding.

BINDS = Declaration(channel_binding="yes")
PLUS = {"auth": AuthPolicy(mechanisms=("SCRAM-SHA-256-PLUS", MECHANISM))}
HIDDEN = {"auth": AuthPolicy(mechanisms=("SCRAM-SHA-256-PLUS", MECHANISM), advertised=False)}
ACCEPTED = [(TLS, e.Authentication(MECHANISM, ACCOUNT.username, Secret(""), accepted=True))]
UNBOUND = [(TLS, e.Malformed("the channel binding is not that of this connection"))]


def bound(flag, *facts, served):
    return verified(*begun(first=flag + b",,n=a,r=b"), *facts, declared=BINDS, **served).verdict


def test_a_client_that_binds_says_so():
    assert bound(b"y", served=HIDDEN) is PASS
    assert bound(b"n", *ACCEPTED, served=HIDDEN) is VIOLATION
    assert bound(b"p=tls-exporter", *ACCEPTED, served=PLUS) is PASS
    assert bound(b"p=tls-unique", *UNBOUND, served=PLUS) is VIOLATION
    assert bound(b"n", *ACCEPTED, served=PLUS) is VIOLATION
    assert bound(b"y", served=PLUS) is VIOLATION
    assert bound(b"p=tls-exporter", served=PLUS) is INCONCLUSIVE


def test_the_first_message_may_come_when_it_is_asked_for():
    facts = [*said("AUTHENTICATE", MECHANISM.encode()), *answers(b"n,,n=a,r=b")]
    assert verified(*facts, declared=BINDS, protocol=IMAP, **HIDDEN).verdict is VIOLATION


def test_a_client_that_binds_and_does_not_begin_has_shown_nothing():
    assert verified(*said("EHLO"), declared=BINDS, **HIDDEN).verdict is NOT_APPLICABLE
