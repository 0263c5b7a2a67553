"""What the rules about bearer tokens make of a record."""

from __future__ import annotations

import base64
from dataclasses import replace
from itertools import count

import pytest
from recorded_trials import ACCOUNT, CLEAR, PASSWORD, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.verdict import judge
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.terms import Protocol, Verdict
from pytest_mailauth.model.trial import Declaration, Outcome

SMTP, POP3, IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP
PASS, NOTE, VIOLATION, INCONCLUSIVE = Verdict.PASS, Verdict.NOTE, Verdict.VIOLATION, Verdict.INCONCLUSIVE
OPENED = (CLEAR, e.Opened("127.0.0.1:1"))
NAME, TOKEN = ACCOUNT.username, str(ACCOUNT.token)
OAUTH = Declaration(auth="oauth")
GAVE_UP = Outcome(error="NoMechanism: the server offers no way to log in that this client has")
XOAUTH2 = f"user={NAME}\x01auth=Bearer {TOKEN}\x01\x01"
BEARER = f"n,a={NAME},\x01auth=Bearer {TOKEN}\x01\x01"
OFFER = (TLS, e.Sent(b"250-here\r\n250 AUTH XOAUTH2 OAUTHBEARER\r\n"))
EHLO = (TLS, e.Command("EHLO", b"here", "EHLO here"))


def b64(text):
    return base64.b64encode(text.encode())


def judged(rule, *facts, protocol=SMTP, outcome=None, declared=OAUTH, **changes):
    trial = recorded([OPENED, *facts], protocol=protocol, outcome=outcome)
    return RULES[rule].check(replace(trial, declared=declared, **changes)).verdict


def presented(mechanism, secret, *, accepted=False):
    return (TLS, e.Authentication(mechanism, NAME, Secret(secret), accepted))


@pytest.mark.parametrize("rule", ["oauth-when-required", "oauth-no-password-fallback"])
def test_a_password_where_a_token_belongs_is_a_violation(rule):
    assert judged(rule, OFFER, (TLS, e.Received(PASSWORD.encode())), outcome=GAVE_UP) is VIOLATION
    assert judged(rule, OFFER, presented("PLAIN", PASSWORD)) is VIOLATION
    assert judged(rule, OFFER, presented("PLAIN", "another one")) is VIOLATION
    assert judged(rule, OFFER, presented("PLAIN", TOKEN)) is VIOLATION


def test_giving_up_where_only_tokens_are_taken_passes_if_the_offer_was_seen():
    rule = "oauth-when-required"
    assert judged(rule, OFFER, presented("XOAUTH2", TOKEN, accepted=True)) is PASS
    assert judged(rule, OFFER, outcome=GAVE_UP) is PASS
    assert judged(rule, OFFER) is INCONCLUSIVE
    assert judged(rule, outcome=GAVE_UP) is INCONCLUSIVE
    assert judged(rule, OFFER, outcome=Outcome(error="connection reset by peer")) is INCONCLUSIVE


def test_a_token_that_was_of_no_use_is_followed_by_nothing():
    rule = "oauth-no-password-fallback"
    assert judged(rule, presented("XOAUTH2", TOKEN)) is PASS
    assert judged(rule, EHLO, outcome=GAVE_UP) is PASS
    assert judged(rule, EHLO) is INCONCLUSIVE
    assert judged(rule, outcome=GAVE_UP) is INCONCLUSIVE


def test_a_token_in_clear_is_a_violation_also_where_passwords_are_allowed():
    rule = "token-only-over-verified-tls"
    offer = (CLEAR, e.Sent(b"250 AUTH XOAUTH2\r\n"))
    lost = (CLEAR, e.Received(b"AUTH XOAUTH2 " + b64(XOAUTH2) + b"\r\n"))
    lax = Declaration(auth="oauth", starttls="opportunistic", allow_insecure_auth=True)
    assert judged(rule, offer, lost, declared=lax) is VIOLATION
    assert judged(rule, offer) is PASS
    assert judged(rule) is INCONCLUSIVE
    assert judged(rule, offer, lost, declared=Declaration()) is Verdict.NOT_APPLICABLE
    # And in every scenario, whatever it is about.
    trial = replace(recorded([OPENED, offer, lost]), declared=lax)
    assert [j.rule for j in judge(trial, ("control",))] == ["control", rule]


def spelt(protocol, line, *, ports=(), **more):
    return judged("oauth-wire-format", (TLS, e.Received(line)), protocol=protocol, ports=ports, **more)


@pytest.mark.parametrize(
    "message",
    [
        XOAUTH2.replace(NAME, "somebody"),
        XOAUTH2.replace("Bearer ", ""),
        XOAUTH2[:-1],
        BEARER,
        f"auth=Bearer {TOKEN}\x01user={NAME}\x01\x01",
    ],
    ids=map(str, count()),  # what is sent differs from run to run
)
def test_xoauth2_is_compared_byte_by_byte(message):
    assert spelt(SMTP, b"AUTH XOAUTH2 " + b64(XOAUTH2) + b"\r\n") is PASS
    assert spelt(SMTP, b"AUTH XOAUTH2\r\n" + b64(XOAUTH2) + b"\r\n") is PASS
    assert spelt(SMTP, b"AUTH XOAUTH2 " + b64(message) + b"\r\n") is VIOLATION


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        (BEARER, PASS),
        (f"n,,\x01auth=Bearer {TOKEN}\x01\x01", PASS),
        (BEARER.replace("\x01auth", "\x01host=localhost\x01port=40587\x01auth"), PASS),
        (BEARER.replace("\x01auth", "\x01host=provider.test\x01auth"), VIOLATION),
        (BEARER.replace("\x01auth", "\x01port=25\x01auth"), VIOLATION),
        (BEARER.replace(TOKEN, "another"), VIOLATION),
        (BEARER[:-1], VIOLATION),
        (XOAUTH2, VIOLATION),
    ],
    ids=map(str, count()),
)
def test_oauthbearer_is_read_by_its_grammar(message, verdict):
    assert spelt(IMAP, b"A1 AUTHENTICATE OAUTHBEARER\r\n" + b64(message) + b"\r\n", ports=(40587,)) is verdict


def test_a_long_token_has_a_line_of_its_own():
    long = Secret("t" * 300)
    message = b64(XOAUTH2.replace(TOKEN, long))
    told = {"tells": {"token": long}}
    assert spelt(POP3, b"AUTH XOAUTH2 " + message + b"\r\n", **told) is VIOLATION
    assert spelt(POP3, b"AUTH XOAUTH2\r\n" + message + b"\r\n", **told) is PASS
    assert spelt(IMAP, b"A1 AUTHENTICATE XOAUTH2 " + message + b"\r\n", **told) is VIOLATION
    assert spelt(IMAP, b"A1 NOOP\r\n", **told) is INCONCLUSIVE


ERROR = (TLS, e.Sent(b"334 " + b64('{"status": "400"}') + b"\r\n"))


def answered(mechanism, line, *more, **told):
    facts = [
        (TLS, e.Command("AUTH", mechanism.encode() + b" x", "AUTH")),
        presented(mechanism, TOKEN),
        ERROR,
        *([(TLS, e.Received(line)), (TLS, e.Sent(b"535 no\r\n"))] if line is not None else []),
        *more,
    ]
    return judged("oauth-error-handshake", *facts, **told)


@pytest.mark.parametrize(
    ("mechanism", "line", "verdict"),
    [
        ("XOAUTH2", b"\r\n", PASS),
        ("XOAUTH2", b"*\r\n", PASS),
        ("OAUTHBEARER", b"AQ==\r\n", PASS),
        ("OAUTHBEARER", b"*\r\n", PASS),
        ("OAUTHBEARER", b"\r\n", VIOLATION),
        ("XOAUTH2", b64(XOAUTH2) + b"\r\n", VIOLATION),
        ("XOAUTH2", b"QUIT\r\n", VIOLATION),
        ("XOAUTH2", None, NOTE),
    ],
    ids=map(str, count()),
)
def test_an_error_challenge_has_its_answers(mechanism, line, verdict):
    assert answered(mechanism, line) is verdict


def test_after_it_comes_one_other_token_at_most():
    assert answered("XOAUTH2", b"\r\n", presented("XOAUTH2", "fresh", accepted=True)) is PASS
    assert answered("XOAUTH2", b"\r\n", presented("XOAUTH2", TOKEN)) is VIOLATION
    assert answered("XOAUTH2", b"\r\n", presented("XOAUTH2", "a"), presented("XOAUTH2", "b")) is VIOLATION
    assert answered("XOAUTH2", b"\r\n", outcome=Outcome(hung=True)) is VIOLATION
    assert judged("oauth-error-handshake", presented("XOAUTH2", TOKEN)) is INCONCLUSIVE
