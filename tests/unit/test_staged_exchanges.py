"""Exchanges in which a server deviates: what it sends, what it makes of the answers, and what the record shows."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from sasl_exchange import ACCOUNT, Counter, run

from pytest_mailauth.model import events as e
from pytest_mailauth.model.config import AuthPolicy, ServerConfig
from pytest_mailauth.model.deviations import Admit, Challenge, MisplaySCRAM, Refuse, SwapPrompts
from pytest_mailauth.model.terms import Protocol, Refusal, Security
from pytest_mailauth.servers import sasl
from pytest_mailauth.servers.policy import Policy
from pytest_mailauth.servers.sasl.scram import ITERATIONS, ODD, UNBOUND

FIRST = b"n,,n=user,r=abc"


def final(challenge):
    """Return what a client answers that takes whatever it is told."""
    fields = dict(part.partition(b"=")[::2] for part in bytes(challenge).split(b","))
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", base64.b64decode(fields[b"s"]), ITERATIONS)
    bare = b"c=biws,r=" + fields[b"r"]
    said = b",".join((b"n=user,r=abc", bytes(challenge), bare))
    key = hmac.digest(salted, b"Client Key", "sha256")
    proof = hmac.digest(hashlib.sha256(key).digest(), said, "sha256")
    mixed = bytes(a ^ b for a, b in zip(key, proof, strict=True))
    return bare + b",p=" + base64.b64encode(mixed)


def scram(*responses, **play):
    return run("SCRAM-SHA-256", *responses, initial=FIRST, server=Counter(MisplaySCRAM(**play)))


@pytest.mark.parametrize(
    ("play", "beginning"),
    [
        ({"nonce": "replaced"}, b"r=server-nonce,"),
        ({"nonce": "repeated"}, b"r=abc,"),
        ({"extension": "m=x,"}, b"m=x,r=abcserver-nonce,"),
    ],
)
def test_a_first_message_that_is_wrong_leads_to_a_login_that_is_right(play, beginning):
    attempt, (first, last) = scram(final, b"", **play)
    assert attempt.decision.account == ACCOUNT
    assert first.startswith(beginning)
    assert first.endswith(b"i=%d" % ITERATIONS)
    assert sasl.noted("SCRAM-SHA-256", first) == [e.Deviated(ODD, "SCRAM-SHA-256", bytes(first))]
    assert sasl.noted("SCRAM-SHA-256", last) == []


@pytest.mark.parametrize("iterations", [1, 100_000_000])
def test_odd_iteration_counts_are_told_and_not_made(iterations):
    attempt, (first, _) = scram(final, b"", iterations=iterations)
    assert first.endswith(b",i=%d" % iterations)
    assert isinstance(first, sasl.OddChallenge)
    assert attempt.decision.account == ACCOUNT  # who makes the usual number, whatever is told


def test_a_signature_that_is_wrong_by_one_bit():
    attempt, (first, last) = scram(final, b"", signature="wrong")
    said = b",".join((b"n=user,r=abc", bytes(first), final(first).partition(b",p=")[0]))
    salt = base64.b64decode(dict(part.partition(b"=")[::2] for part in first.split(b","))[b"s"])
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", salt, ITERATIONS)
    right = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), said, "sha256")
    sent = base64.b64decode(last.removeprefix(b"v="))
    assert (int.from_bytes(sent, "big") ^ int.from_bytes(right, "big")).bit_count() == 1
    assert sasl.noted("SCRAM-SHA-256", last) == [e.Deviated(ODD, "SCRAM-SHA-256", bytes(last))]
    assert attempt.decision.account == ACCOUNT


def test_a_success_without_a_signature_is_noted():
    attempt, challenges = scram(final, signature="missing")
    assert len(challenges) == 1
    authentication, deviated = sasl.noted("SCRAM-SHA-256", attempt)
    assert authentication.accepted
    assert deviated == e.Deviated(ODD, "SCRAM-SHA-256", b"")


@pytest.mark.parametrize("play", [{"signature": "wrong"}, {"signature": "missing"}])
def test_whoever_does_not_know_the_password_is_refused_all_the_same(play):
    attempt, _ = scram(lambda challenge: final(challenge)[:-8] + b"AAAAAAA=", **play)
    assert attempt.decision.account is None
    assert not attempt.deviated


@pytest.mark.parametrize(
    ("mechanism", "initial"), [("SCRAM-SHA-256", FIRST), ("SCRAM-SHA-256", None), ("CRAM-MD5", None)]
)
def test_whoever_begins_is_let_in(mechanism, initial):
    attempt, challenges = run(mechanism, initial=initial, server=Counter(Admit(mechanisms=(mechanism,))))
    assert (attempt.decision.account, challenges) == (ACCOUNT, [])
    assert sasl.noted(mechanism, attempt)[1] == e.Deviated("admitted", mechanism, b"")


def test_other_mechanisms_are_as_they_were():
    server = Counter(Admit(mechanisms=("CRAM-MD5",)), Challenge(mechanisms=("CRAM-MD5",), line=b"***"))
    assert run("LOGIN", b"a", b"b", server=server)[1] == [b"Username:", b"Password:"]


def test_a_line_in_the_place_of_every_challenge():
    server = Counter(Challenge(mechanisms=("LOGIN",), line=b"***"))
    attempt, challenges = run("LOGIN", b"user", b"pencil", server=server)
    assert [sasl.encode_challenge(one) for one in challenges] == [b"***", b"***"]
    assert attempt.claim == sasl.Claim("user", "pencil")
    assert sasl.noted("LOGIN", challenges[0]) == [e.Deviated("challenge", "LOGIN", b"***")]


def test_prompts_that_come_the_other_way_round():
    attempt, challenges = run("LOGIN", b"pencil", b"user", server=Counter(SwapPrompts()))
    assert [bytes(one) for one in challenges] == [b"Password:", b"Username:"]
    assert attempt.claim == sasl.Claim("user", "pencil")
    assert sasl.encode_challenge(challenges[0]) == base64.b64encode(b"Password:")


def test_a_mechanism_that_is_refused_whatever_is_presented():
    config = ServerConfig(
        protocol=Protocol.SMTP,
        security=Security.NONE,
        auth=AuthPolicy(before_tls=("PLAIN", "LOGIN")),
        deviations=(Refuse(mechanisms=("PLAIN",)),),
    )
    policy = Policy(config, (ACCOUNT,))
    right = sasl.Claim(ACCOUNT.username, ACCOUNT.password)
    assert policy.desk(None, "PLAIN").decide(right) == sasl.Decision(None, Refusal.INVALID)
    assert policy.desk(None, "LOGIN").decide(right).account == ACCOUNT


def test_a_channel_binding_of_another_connection_is_named():
    bound = b"c=eSws,r=abcserver-nonce,p=AAAA"
    attempt, _ = run("SCRAM-SHA-256", bound, initial=FIRST)
    assert e.Malformed(UNBOUND) in sasl.noted("SCRAM-SHA-256", attempt)
