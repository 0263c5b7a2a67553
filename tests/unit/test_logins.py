"""Who is let in: every reason to refuse, and what a server remembers."""

from __future__ import annotations

import smtplib
from unittest.mock import Mock

import pytest

from pytest_mailauth.model.canary import Account, Secret
from pytest_mailauth.model.config import AuthPolicy, ServerConfig, TLSPolicy
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Protocol, Refusal
from pytest_mailauth.servers.engines.refusals import REPLIES, refusal_text
from pytest_mailauth.servers.logins import Logins
from pytest_mailauth.servers.sasl import Claim, Kind, TokenHelp

ALICE, BOB = Account.fresh(), Account.fresh("bob@example.test")
RIGHT = Claim(ALICE.username, ALICE.password)
WRONG = Claim(ALICE.username, Secret("not it"))
TOKEN = Claim(ALICE.username, ALICE.token, kind=Kind.TOKEN)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def logins(clock=None, **policy):
    return Logins(AuthPolicy(**policy), (ALICE, BOB), clock or Clock(), [])


@pytest.mark.parametrize(
    ("claim", "account", "refusal"),
    [
        (RIGHT, ALICE, None),
        (Claim(ALICE.address, ALICE.password), ALICE, None),
        (Claim(ALICE.username, ALICE.password, ALICE.address), ALICE, None),
        (WRONG, None, Refusal.INVALID),
        (Claim("nobody", ALICE.password), None, Refusal.INVALID),
        (Claim(BOB.username, ALICE.password), None, Refusal.INVALID),
        (Claim(ALICE.username, ALICE.password, BOB.username), None, Refusal.INVALID),
        (Claim(ALICE.username, ALICE.token), None, Refusal.INVALID),
        (TOKEN, ALICE, None),
        (Claim(ALICE.username, ALICE.password, kind=Kind.TOKEN), None, Refusal.BAD_TOKEN),
        (Claim(ALICE.username, Secret(""), kind=Kind.PROOF, proved=True), ALICE, None),
        (Claim(ALICE.username, Secret(""), kind=Kind.PROOF), None, Refusal.INVALID),
        (Claim("nobody", Secret(""), kind=Kind.PROOF, proved=True), None, Refusal.INVALID),
        (Claim(ALICE.username, Secret(""), kind=Kind.CERTIFICATE, proved=True), ALICE, None),
        (Claim(ALICE.username, Secret(""), kind=Kind.CERTIFICATE), None, Refusal.INVALID),
    ],
)
def test_the_usual_decision(claim, account, refusal):
    assert logins().decide(claim)[:2] == (account, refusal)


def test_nobody_is_somebody():
    account, refusal, _ = logins().decide(Claim("trace", Secret(""), kind=Kind.NOTHING, proved=True))
    assert (account.username, refusal) == ("anonymous", None)


@pytest.mark.parametrize("reason", Refusal)
def test_every_login_can_be_refused_with_every_reason(reason):
    assert logins(reject=reason.value).decide(RIGHT)[:2] == (None, reason)


def test_passwords_can_be_switched_off():
    strict = logins(less_secure_apps=False)
    assert strict.decide(RIGHT)[:2] == (None, Refusal.OAUTH_REQUIRED)
    assert strict.decide(WRONG)[:2] == (None, Refusal.INVALID)
    assert strict.decide(TOKEN)[:2] == (ALICE, None)


def test_a_weak_mechanism():
    assert logins(too_weak=("PLAIN",)).decide(RIGHT, "PLAIN")[:2] == (None, Refusal.TOO_WEAK)
    assert logins(too_weak=("PLAIN",)).decide(RIGHT, "LOGIN")[:2] == (ALICE, None)


def test_lock_out_after_failures_in_a_row():
    desk = logins(lockout=2)
    assert [desk.decide(claim).refusal for claim in (WRONG, RIGHT, WRONG, WRONG, RIGHT)] == [
        Refusal.INVALID,
        None,
        Refusal.INVALID,
        Refusal.INVALID,
        Refusal.LOCKED,
    ]
    assert desk.decide(Claim(ALICE.address, ALICE.password)).refusal is Refusal.LOCKED
    assert desk.decide(Claim(BOB.username, BOB.password)).account == BOB


def test_rate_limit_on_a_clock():
    clock = Clock()
    desk = logins(clock, rate_limit=(2, 10.0))
    assert [desk.decide(RIGHT).refusal for _ in range(3)] == [None, None, Refusal.RATE_LIMITED]
    clock.now = 10.0
    assert desk.decide(RIGHT).account == ALICE


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (True, (ALICE, None)),
        (False, (None, Refusal.INVALID)),
        ("temporary", (None, Refusal.TEMPORARY)),
        (None, (None, Refusal.INVALID)),
    ],
)
def test_a_callable_decides(told, expected):
    seen = []
    desk = logins(decide=lambda claim: seen.append(claim) or told)
    assert desk.decide(WRONG)[:2] == expected
    assert seen == [WRONG]


def test_an_issuer_accepts_tokens():
    issued = {"good": ALICE}
    desk = logins(accept_token=lambda token, account: issued.get(token) == account)
    assert desk.decide(Claim(ALICE.username, Secret("good"), kind=Kind.TOKEN)).account == ALICE
    assert desk.decide(Claim(BOB.username, Secret("good"), kind=Kind.TOKEN)).refusal is Refusal.BAD_TOKEN
    assert desk.decide(TOKEN).refusal is Refusal.BAD_TOKEN
    assert desk.decide(Claim("nobody", Secret("good"), kind=Kind.TOKEN)).refusal is Refusal.BAD_TOKEN


def nameless(token, mechanism="OAUTHBEARER", **policy):
    return logins(**policy).decide(Claim("", Secret(token), kind=Kind.TOKEN), mechanism)


def test_a_token_without_a_name_is_its_owners():
    assert nameless(BOB.token)[:2] == (BOB, None)
    assert nameless("not it")[:2] == (None, Refusal.BAD_TOKEN)
    # XOAUTH2 has no form without a name.
    assert nameless(BOB.token, "XOAUTH2")[:2] == (None, Refusal.BAD_TOKEN)


@pytest.mark.parametrize("order", [("insufficient_scope", "invalid_token"), ("invalid_token", "insufficient_scope")])
def test_an_issuer_is_asked_about_each_account_until_it_knows_the_owner(order):
    told = dict(zip((ALICE, BOB), order, strict=True))
    assert nameless("t", accept_token=lambda _, account: account is BOB).account is BOB
    assert nameless("t", accept_token=lambda _, account: told[account]).status == "insufficient_scope"
    asked = []
    nameless("t", accept_token=lambda _, account: asked.append(account) or account is ALICE)
    assert asked == [ALICE]


def test_who_gives_no_token_only_asks():
    asking = Claim(ALICE.username, Secret(""), kind=Kind.TOKEN)
    desk = logins(lockout=1, accept_token=lambda *_: True, decide=lambda _: True)
    assert desk.decide(asking, "OAUTHBEARER")[:2] == (None, Refusal.BAD_TOKEN)
    assert desk.decide(TOKEN, "OAUTHBEARER").account is ALICE  # nobody was locked out for asking
    assert logins(reject="temporary").decide(asking).refusal is Refusal.TEMPORARY


class Issuer:
    scope = "mail.read"
    discovery_url = "https://issuer.example.test/.well-known/openid-configuration"

    def __call__(self, _token, _account):
        return False


@pytest.mark.parametrize(
    ("policy", "scope", "url"),
    [
        ({}, "https://mail.example.test/", ""),
        ({"accept_token": Issuer()}, Issuer.scope, Issuer.discovery_url),
        (
            {"accept_token": Issuer(), "token_scope": "https://mail.google.com/"},
            "https://mail.google.com/",
            Issuer.discovery_url,
        ),
        ({"accept_token": Mock()}, "https://mail.example.test/", ""),
    ],
)
def test_who_is_refused_is_told_the_scope_of_the_settings_or_of_the_issuer(policy, scope, url):
    assert logins(**policy).token_help == TokenHelp(scope, url)
    assert not logins(**policy, error_challenge=False).token_help.challenged


def test_every_refusal_has_a_reply_on_every_protocol():
    assert set(REPLIES) == set(Refusal)
    assert all(set(row) == set(Protocol) for row in REPLIES.values())
    starts = {Protocol.SMTP: "45", Protocol.POP3: "-ERR", Protocol.IMAP: "NO"}
    for row in REPLIES.values():
        for protocol, reply in row.items():
            assert reply.startswith(starts[protocol] if protocol is not Protocol.SMTP else tuple(starts[protocol]))


def test_a_reply_in_the_providers_wording():
    policy = AuthPolicy(texts={"invalid": "535 5.7.8 Username and Password not accepted"})
    assert refusal_text(Refusal.INVALID, Protocol.SMTP, policy) == "535 5.7.8 Username and Password not accepted"
    assert refusal_text(Refusal.LOCKED, Protocol.SMTP, policy) == REPLIES[Refusal.LOCKED][Protocol.SMTP]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"before_tls": ("SCRAM-SHA-256-PLUS",)}, "binds to TLS"),
        ({"reject": "rubbish"}, "reject='rubbish' is not known"),
        ({"texts": {"rubbish": "535"}}, "texts='rubbish' is not known"),
        ({"token_scope": ""}, "token_scope='' must be a scope such as"),
        ({"error_challenge": "no"}, "error_challenge='no' must be True or False"),
        ({"lockout": 0}, "lockout=0 must be at least 1"),
        ({"rate_limit": (0, 1.0)}, "a number of attempts and of seconds"),
        ({"too_weak": ("NTLM",)}, "too_weak='NTLM' is not known"),
    ],
)
def test_settings_that_make_no_sense(policy, message):
    with pytest.raises(ConfigError, match=message):
        AuthPolicy(**policy)


def test_mechanisms_that_need_something_else():
    with pytest.raises(ConfigError, match="EXTERNAL needs a client certificate"):
        ServerConfig(protocol="smtp", auth=AuthPolicy(mechanisms=("EXTERNAL",)))
    ServerConfig(
        protocol="smtp",
        auth=AuthPolicy(mechanisms=("EXTERNAL",)),
        tls=TLSPolicy(client_certificate="optional"),
    )
    with pytest.raises(ConfigError, match="APOP exists in POP3 only"):
        ServerConfig(protocol="imap", auth=AuthPolicy(mechanisms=("APOP",)))


# Functions that fail are their author's mistake.


def shout(*_):
    raise ZeroDivisionError("oh no")


@pytest.mark.parametrize(
    ("policy", "claim", "said"),
    [
        ({"decide": shout}, RIGHT, "decide failed:\nTraceback"),
        (
            {"decide": lambda _: "perhaps"},
            RIGHT,
            "decide returned 'perhaps'; return True, False, None or one of 'invalid'",
        ),
        ({"decide": lambda _: 5}, RIGHT, "decide returned 5"),
        ({"accept_token": shout}, TOKEN, "accept_token failed:\nTraceback"),
        ({"accept_token": lambda *_: 5}, TOKEN, "accept_token returned 5; return True, False or an error code"),
    ],
)
def test_a_function_that_fails_lets_nobody_in_and_fails_the_test(policy, claim, said):
    errors = []
    desk = Logins(AuthPolicy(**policy), (ALICE, BOB), Clock(), errors)
    assert desk.decide(claim).account is None
    (error,) = errors
    assert error.startswith(said)


def test_a_function_that_fails_is_told_when_the_server_is_left(mailauth):
    server = mailauth.smtp(auth=AuthPolicy(decide=shout))
    with smtplib.SMTP(server.host, server.port, timeout=5) as client:
        client.starttls(context=server.ssl_context())
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(ALICE.username, ALICE.password)
    with pytest.raises(ConfigError, match="oh no"):
        server.raise_unmet()


# What counts towards a lock-out.


@pytest.mark.parametrize(
    "policy",
    [{"less_secure_apps": False}, {"decide": lambda claim: "temporary" if claim == RIGHT else None}],
    ids=["OAuth is required", "later"],
)
def test_what_was_right_is_no_step_towards_a_lock_out(policy):
    desk = logins(lockout=2, **policy)
    assert [desk.decide(RIGHT).refusal for _ in range(3)].count(Refusal.LOCKED) == 0
    assert [desk.decide(WRONG).refusal for _ in range(3)] == [Refusal.INVALID, Refusal.INVALID, Refusal.LOCKED]


def test_nothing_is_kept_of_names_without_a_lock_out():
    desk = logins()
    for number in range(10):
        desk.decide(Claim(f"stranger {number}", Secret("x")))
    assert not desk._failures


# Names.


def test_the_address_can_be_kept_from_logging_in():
    desk = logins(address_logs_in=False)
    assert desk.decide(Claim(ALICE.address, ALICE.password)).refusal is Refusal.INVALID
    assert desk.decide(Claim(ALICE.address, ALICE.token, kind=Kind.TOKEN)).refusal is Refusal.BAD_TOKEN
    assert desk.decide(RIGHT).account is ALICE


def test_a_mechanism_named_twice_is_announced_once():
    assert AuthPolicy(mechanisms=("PLAIN", "plain", "LOGIN")).mechanisms == ("PLAIN", "LOGIN")
