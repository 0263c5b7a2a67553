"""Whatever a client sends, what is shown of it can be printed, and holds no secret that anybody presented."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_mailauth import Account, Secret
from pytest_mailauth.model import events as e
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.record import SessionRecord
from pytest_mailauth.model.terms import HandshakeOutcome, Layer, Protocol, Security
from pytest_mailauth.model.transcript import encodable, printable, render
from pytest_mailauth.places import Place

SURROGATE = b"\xff".decode("utf-8", "surrogateescape")
TOKEN = "eYI9j1ZYQydUgCZ7LECbuH1CM"

texts = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=20) | st.binary(max_size=20).map(
    lambda data: data.decode("utf-8", "surrogateescape")
)
facts = st.one_of(
    # Engines decode with backslashes, which tests/fuzz/run.py looks at.
    st.builds(e.Command, texts, st.binary(), st.text()),
    st.builds(e.Response, st.text()),
    st.builds(e.Sent, st.binary()),
    st.builds(e.Stored, st.just(1), st.tuples(texts, texts)),
    st.builds(e.Malformed, texts),
    st.builds(e.Deviated, texts, texts, st.binary()),
    st.builds(e.Failed, texts),
    st.builds(e.Authentication, st.text(), texts, texts.map(Secret), st.booleans(), texts),
    st.builds(
        lambda name: e.HelloSeen(ClientHello(legacy_version="1.2", versions=("1.2",), server_name=name)),
        texts,
    ),
    st.builds(lambda text: e.HandshakeEnded(HandshakeOutcome.SERVER_REFUSED, alert=text, reason=text), texts),
)


def session(*observed, **more):
    entries = tuple(e.Entry(0.0, Layer.CLEAR, fact) for fact in observed)
    return SessionRecord(1, Protocol.SMTP, Security.NONE, "main", entries, **more)


def is_encodable(text):
    # Answers instead of raising: a failure that cannot be printed would be none under pytest-xdist.
    return not any("\ud800" <= char <= "\udfff" for char in text)


@given(st.lists(facts, max_size=5))
@example([e.Authentication("PLAIN", "", Secret("0000000\ud800"), accepted=False)])
def test_whatever_was_observed_can_be_printed(observed):
    record = session(*observed)
    shown = (record.transcript(), repr(record), *(repr(fact) for fact in observed))
    assert [text for text in shown if not is_encodable(text)] == []


@given(texts)
def test_what_is_printable_is_encodable_too(text):
    assert is_encodable(encodable(text))
    assert is_encodable(printable(text))


@given(st.text())
def test_what_can_be_printed_stays_as_it_is(text):
    assert encodable(text) == text


def test_bytes_that_are_no_utf_8_are_shown_as_such():
    assert "for b\\xff@example.test]" in render(session(e.Stored(1, (f"b{SURROGATE}@example.test",))).entries)


def login(secret):
    return e.Authentication("XOAUTH2", "alice", Secret(secret), accepted=False)


def test_what_was_presented_as_a_secret_is_hidden_elsewhere_too():
    record = session(
        e.Command("NOOP", b"", f"{TOKEN} NOOP", TOKEN.encode()), login(TOKEN), e.Sent(b"%b OK\r\n" % TOKEN.encode())
    )
    assert record.transcript() == "C: <secret> NOOP\nS: <secret> OK"


@pytest.mark.parametrize("secret", ["", "short", "alice@example.test", "alice-1@example.test"])
def test_what_is_too_short_or_a_name_is_not_hidden(secret):
    account = Account("alice-1@example.test", Secret("a long password"), "alice@example.test")
    record = session(e.Command("EHLO", b"", f"EHLO {secret}"), login(secret), accounts=(account,))
    assert record.transcript() == f"C: EHLO {secret}"


def test_the_label_of_a_known_secret_is_its_own():
    account = Account("alice", Secret("a long password"), "alice@example.test", Secret(TOKEN))
    record = session(login(TOKEN), e.Malformed(TOKEN), accounts=(account,))
    assert record.transcript() == "-- [malformed: <token>]"


def test_what_was_issued_elsewhere_is_hidden():
    assert session(e.Malformed(TOKEN), issued=lambda: ((TOKEN, "<access token 1>"),)).transcript() == (
        "-- [malformed: <access token 1>]"
    )


@pytest.mark.parametrize("secret", ["p@ss wörd\"1'", TOKEN])
@pytest.mark.parametrize("before", range(60, 110, 5))
def test_a_line_that_is_cut_shows_no_half_of_a_secret(secret, before):
    account = Account("alice", Secret(secret), "alice@example.test")
    line = f"{'x' * before}{secret}{'y' * 100}"
    told = session(
        e.Malformed(line), e.Sent(line.encode()), e.Command("X", b"", line), accounts=(account,)
    ).transcript()
    assert secret[:3] not in told
    assert secret[-3:] not in told


@pytest.mark.parametrize(
    "thing",
    [
        e.Received(TOKEN.encode()),
        e.Sent(TOKEN.encode()),
        e.Deviated("scripted reply", "NOOP", TOKEN.encode()),
        e.Command("NOOP", TOKEN.encode(), "NOOP <secret>", TOKEN.encode()),
        e.Authentication("PLAIN", TOKEN, Secret(TOKEN), accepted=True, authorization=TOKEN),
        Place("the str", f"the str, {TOKEN!r}", TOKEN.encode()),
        session(login(TOKEN)),
        Account("alice", Secret(TOKEN), "alice@example.test", Secret(TOKEN)),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_no_repr_shows_what_may_be_a_secret(thing):
    assert TOKEN not in repr(thing)
    assert TOKEN not in repr([thing])
