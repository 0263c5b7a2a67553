"""SASL mechanisms, each as the documents write it, and what is no message of theirs."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sasl_exchange import ACCOUNT, Counter, run

from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.config import MECHANISMS, AuthPolicy, ServerConfig
from pytest_mailauth.model.events import Authentication
from pytest_mailauth.model.terms import Refusal
from pytest_mailauth.servers import sasl
from pytest_mailauth.servers.mailstore import MailStore
from pytest_mailauth.servers.policy import Policy
from pytest_mailauth.servers.server import engine_of


class Refusing(Counter):
    def decide(self, _claim):
        return sasl.Decision(None, Refusal.BAD_TOKEN)


EXAMPLES = [
    # RFC 4616 section 4, both examples
    ("PLAIN", b"\0tim\0tanstaaftanstaaf", sasl.Claim("tim", "tanstaaftanstaaf")),
    ("PLAIN", b"Ursel\0Kurt\0xipj3plmq", sasl.Claim("Kurt", "xipj3plmq", "Ursel")),
    # RFC 7628 section 4.1
    (
        "OAUTHBEARER",
        b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
        sasl.Claim("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", kind=sasl.Kind.TOKEN),
    ),
    ("XOAUTH2", b"user=a@b.test\x01auth=bearer t\x01\x01", sasl.Claim("a@b.test", "t", kind=sasl.Kind.TOKEN)),
]


def test_the_table_holds_what_the_settings_offer():
    assert set(sasl.MECHANISMS) == set(MECHANISMS) - {"APOP"}


@pytest.mark.parametrize(("mechanism", "message", "expected"), EXAMPLES)
def test_with_and_without_an_initial_response(mechanism, message, expected):
    attempt = sasl.Attempt(expected, sasl.Decision(ACCOUNT))
    assert run(mechanism, initial=message) == (attempt, [])
    assert run(mechanism.lower(), message) == (attempt, [b""])
    assert sasl.read(mechanism, message) == expected


def test_login_asks_for_what_is_missing():
    expected = sasl.Attempt(sasl.Claim("tim", "secret"), sasl.Decision(ACCOUNT))
    assert run("LOGIN", b"tim", b"secret") == (expected, [b"Username:", b"Password:"])
    assert run("LOGIN", b"secret", initial=b"tim") == (expected, [b"Password:"])


@pytest.mark.parametrize(
    ("mechanism", "message"),
    [
        ("PLAIN", b"tim\0secret"),
        ("PLAIN", b"\0\0secret"),
        ("PLAIN", b"\0a\0b\0c"),
        ("XOAUTH2", b"user=a\x01auth=Bearer t\x01"),
        ("XOAUTH2", b"user=a\x01auth=Basic t\x01\x01"),
        ("XOAUTH2", b"user=a\x01auth=Bearer \x01\x01"),
        ("OAUTHBEARER", b"p=tls,a=a,\x01auth=Bearer t\x01\x01"),
        ("OAUTHBEARER", b"n,a=,\x01auth=Bearer t\x01\x01"),
        ("OAUTHBEARER", b"n,\x01auth=Bearer t\x01\x01"),
        ("OAUTHBEARER", b"n,,\x01host=mail.example.test\x01\x01"),
        ("OAUTHBEARER", b"\x01"),
        ("OAUTHBEARER", b"n,a=a,b,\x01auth=Bearer t\x01\x01"),
    ],
)
def test_what_is_no_message_is_said_with_its_source(mechanism, message):
    with pytest.raises(sasl.SaslError, match="RFC"):
        run(mechanism, initial=message)


def test_names_with_commas_are_unescaped():
    attempt, _ = run("OAUTHBEARER", initial=b"n,a=a=2Cb=3Dc,\x01auth=Bearer t\x01\x01")
    assert attempt.claim.identity == "a,b=c"


@given(st.sampled_from(sorted(sasl.MECHANISMS)), st.lists(st.binary(max_size=60), min_size=2, max_size=2))
def test_no_message_raises_anything_else(mechanism, messages):
    with contextlib.suppress(sasl.SaslError, AssertionError):
        run(mechanism, *messages)


@given(st.binary(max_size=80))
def test_a_response_is_base64_or_said_to_be_none(line):
    try:
        decoded = sasl.decode_response(line)
    except sasl.SaslError:
        return
    assert sasl.decode_response(sasl.encode_challenge(decoded)) == decoded


def test_an_equals_sign_is_an_empty_initial_response_and_no_later_one():
    assert sasl.decode_initial(b"=") == sasl.decode_initial(b"") == b""
    assert sasl.decode_initial(b"eA==") == b"x"
    with pytest.raises(sasl.SaslError, match="not base64"):
        sasl.decode_response(b"=")


def test_cram_md5_is_the_example_of_its_document():
    # RFC 2195 section 2: tim, tanstaaftanstaaf
    class Document(Counter):
        host = "postoffice.reston.mci.net"

        def nonce(self):
            return "1896.697170952"

        def password_of(self, identity):
            return Secret("tanstaaftanstaaf") if identity == "tim" else None

    right = b"tim b913a602c7eda7a495b4e6e7334d3890"
    attempt, challenges = run("CRAM-MD5", right, server=Document())
    assert challenges == [b"<1896.697170952@postoffice.reston.mci.net>"]
    assert attempt.claim == sasl.Claim("tim", "", kind=sasl.Kind.PROOF, proved=True)
    for wrong in (right[:-1] + b"1", right.replace(b"tim", b"tom")):
        assert not run("CRAM-MD5", wrong, server=Document())[0].claim.proved


def test_apop_is_the_example_of_its_document():
    # RFC 1939 section 7: mrose, tanstaaf
    class Document(Counter):
        def password_of(self, identity):
            return Secret("tanstaaf") if identity == "mrose" else None

    timestamp, digest = b"<1896.697170952@dbc.mtview.ca.us>", b"c4c9334bac560ecc979e58001b3e22fb"
    assert sasl.apop_claim(Document(), timestamp, b"mrose", digest).proved
    assert not sasl.apop_claim(Document(), timestamp, b"rose", digest).proved
    assert not sasl.apop_claim(Document(), timestamp + b"x", b"mrose", digest).proved


@pytest.mark.parametrize(
    ("mechanism", "message", "error"),
    [
        ("XOAUTH2", b"user=a\x01auth=Bearer t\x01\x01", {"status": "400", "schemes": "bearer"}),
        ("OAUTHBEARER", b"n,a=a,\x01auth=Bearer t\x01\x01", {"status": "invalid_token"}),
    ],
)
def test_a_bad_token_is_answered_with_the_documented_challenge(mechanism, message, error):
    attempt, (challenge,) = run(mechanism, b"\x01", initial=message, server=Refusing())
    assert error.items() <= json.loads(challenge).items()
    assert attempt.decision == sasl.Decision(None, Refusal.BAD_TOKEN)
    assert attempt.told
    assert challenge.claim == attempt.claim


@pytest.mark.parametrize("auth", ["", "Basic dTpw", "Bearer", "Bearer "])
def test_without_a_token_a_client_is_told_what_it_needs(auth):
    # RFC 7628 section 4.3: "a client can query for the needed scope" with an empty auth.
    message = f"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth={auth}\x01\x01".encode()
    attempt, (challenge,) = run("OAUTHBEARER", b"\x01", initial=message, server=Refusing())
    assert json.loads(challenge) == {"status": "invalid_token", "scope": "https://mail.example.test/"}
    assert attempt == sasl.Attempt(
        sasl.Claim("user@example.com", "", kind=sasl.Kind.TOKEN), attempt.decision, told=True
    )


class Helping(Refusing):
    token_help = sasl.TokenHelp("mail.read", "https://issuer.example.test/.well-known/openid-configuration")


def test_the_challenge_says_what_the_token_needs_and_who_issues_one():
    for mechanism, message, told in (
        (
            "OAUTHBEARER",
            b"n,a=a,\x01auth=Bearer t\x01\x01",
            {"status": "invalid_token", "scope": "mail.read", "openid-configuration": Helping.token_help.discovery_url},
        ),
        ("XOAUTH2", b"user=a\x01auth=Bearer t\x01\x01", {"status": "400", "schemes": "bearer", "scope": "mail.read"}),
    ):
        _, (challenge,) = run(mechanism, b"\x01", initial=message, server=Helping())
        assert json.loads(challenge) == told


@pytest.mark.parametrize("message", [b"user=a\x01auth=Bearer t\x01\x01"])
def test_a_server_without_challenges_refuses_at_once(message):
    class Curt(Refusing):
        token_help = sasl.TokenHelp("mail.read", challenged=False)

    attempt, challenges = run("XOAUTH2", initial=message, server=Curt())
    assert (attempt.decision.refusal, attempt.told, challenges) == (Refusal.BAD_TOKEN, False, [])


def test_without_a_name_the_token_says_who_comes():
    attempt, challenges = run("OAUTHBEARER", initial=b"n,,\x01auth=Bearer t\x01\x01")
    assert (attempt.claim.identity, attempt.claim.secret, challenges) == (ACCOUNT.username, "t", [])
    assert sasl.read("OAUTHBEARER", b"n,,\x01auth=Bearer t\x01\x01").secret == "t"


FAREWELLS = {"answers": b"AQ==\r\n", "cancels": b"*\r\n", "leaves": b""}
AUTH_COMMANDS = {
    "smtp": b"EHLO here\r\nAUTH %s %s\r\n",
    "pop3": b"AUTH %s %s\r\n",
    "imap": b"1 AUTHENTICATE %s %s\r\n",
}


@pytest.mark.parametrize("farewell", FAREWELLS)
@pytest.mark.parametrize("protocol", AUTH_COMMANDS)
@pytest.mark.parametrize(
    ("mechanism", "message"),
    [("XOAUTH2", b"user=a\x01auth=Bearer t\x01\x01"), ("OAUTHBEARER", b"n,a=a,\x01auth=Bearer t\x01\x01")],
)
def test_a_refused_token_is_stated_once_whatever_the_client_does_then(mechanism, message, protocol, farewell):
    config = ServerConfig(protocol=protocol, auth=AuthPolicy(mechanisms=(mechanism,)))
    engine = engine_of(config.protocol)(Policy(config, (ACCOUNT,)), MailStore((ACCOUNT,)), over_tls=True)
    engine.greet()
    outputs = engine.receive(AUTH_COMMANDS[protocol] % (mechanism.encode(), base64.b64encode(message)))
    outputs += engine.receive(FAREWELLS[farewell]) + engine.eof()
    assert [x for x in outputs if isinstance(x, Authentication)] == [Authentication(mechanism, "a", "t", False)]  # noqa: FBT003


def test_external_is_the_certificate_and_nobody_else():
    assert run("EXTERNAL", b"")[0].claim == sasl.Claim(
        "alice@example.test", "", kind=sasl.Kind.CERTIFICATE, proved=True
    )
    assert run("EXTERNAL", b"bob@example.test")[0].claim.authorization == "bob@example.test"

    class Bare(Counter):
        peer_identities = ()

    assert not run("EXTERNAL", b"alice@example.test", server=Bare())[0].claim.proved


def test_anonymous_is_nobody():
    attempt, _ = run("ANONYMOUS", b"sirhc")
    assert attempt.claim == sasl.Claim("sirhc", "", kind=sasl.Kind.NOTHING, proved=True)
