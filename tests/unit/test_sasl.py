"""SASL mechanisms, each as the documents write it, and what is no message of theirs."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mailauth.model.config import MECHANISMS
from pytest_mailauth.servers import sasl


def run(mechanism, *messages, initial=None):
    exchange = sasl.begin(mechanism, initial)
    challenges = []
    try:
        challenges.append(next(exchange))
        for message in messages:
            # Not extend(map(...)): it would take the end of the exchange for the end of the list.
            challenges.append(exchange.send(message))  # noqa: PERF401
    except StopIteration as done:
        return done.value, challenges
    raise AssertionError(f"the exchange wants more: {challenges}")


EXAMPLES = [
    # RFC 4616 section 4, both examples
    ("PLAIN", b"\0tim\0tanstaaftanstaaf", sasl.Credentials("tim", "tanstaaftanstaaf")),
    ("PLAIN", b"Ursel\0Kurt\0xipj3plmq", sasl.Credentials("Kurt", "xipj3plmq", "Ursel")),
    # RFC 7628 section 4.1
    (
        "OAUTHBEARER",
        b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
        sasl.Credentials("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", is_token=True),
    ),
    ("XOAUTH2", b"user=a@b.test\x01auth=bearer t\x01\x01", sasl.Credentials("a@b.test", "t", is_token=True)),
]


def test_the_table_holds_what_the_settings_offer():
    assert tuple(sasl.MECHANISMS) == MECHANISMS


@pytest.mark.parametrize(("mechanism", "message", "expected"), EXAMPLES)
def test_with_and_without_an_initial_response(mechanism, message, expected):
    assert run(mechanism, initial=message) == (expected, [])
    assert run(mechanism.lower(), message) == (expected, [b""])


def test_login_asks_for_what_is_missing():
    expected = sasl.Credentials("tim", "secret")
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
        ("OAUTHBEARER", b"n,,\x01auth=Bearer t\x01\x01"),
        ("OAUTHBEARER", b"n,a=a,b,\x01auth=Bearer t\x01\x01"),
    ],
)
def test_what_is_no_message_is_said_with_its_source(mechanism, message):
    with pytest.raises(sasl.SaslError, match="RFC"):
        run(mechanism, initial=message)


def test_names_with_commas_are_unescaped():
    given, _ = run("OAUTHBEARER", initial=b"n,a=a=2Cb=3Dc,\x01auth=Bearer t\x01\x01")
    assert given.identity == "a,b=c"


@given(st.sampled_from(MECHANISMS), st.lists(st.binary(max_size=60), min_size=2, max_size=2))
def test_no_message_raises_anything_else(mechanism, messages):
    with contextlib.suppress(sasl.SaslError):
        run(mechanism, *messages)


@given(st.binary(max_size=80))
def test_a_response_is_base64_or_said_to_be_none(line):
    try:
        decoded = sasl.decode_response(line)
    except sasl.SaslError:
        return
    assert sasl.decode_response(sasl.encode_challenge(decoded)) == decoded


def test_an_equals_sign_is_an_empty_response():
    assert sasl.decode_response(b"=") == b""
