"""BDAT: the octets that were announced are the message, and what follows them is a command (RFC 3030 section 2)."""

from __future__ import annotations

import pytest
from smtp_session import ENVELOPE, codes, facts, lines, replies, talk

from pytest_mailauth.model.deviations import Answer
from pytest_mailauth.model.events import Command, Malformed, Response
from pytest_mailauth.model.relay import CHUNKING, KEYWORDS, RelayPolicy

OFFERED = RelayPolicy(keywords=(*KEYWORDS, CHUNKING))
TEXT = b"Subject: x\r\n\r\n.\r\nDATA\r\n..two\r\n"


def sent(*pieces, relay=OFFERED, **settings):
    """Return the codes behind those of the envelope, the outputs and the store."""
    data = b"".join(piece if isinstance(piece, bytes) else lines(piece) for piece in pieces)
    outputs, store = talk(lines(*ENVELOPE[:4]) + data, relay=relay, **settings)
    return codes(outputs)[4:], outputs, store


def contents(store):
    return [message.content for message in store.submitted]


def test_a_message_in_one_chunk_is_taken_as_it_is():
    answers, outputs, store = sent(f"BDAT {len(TEXT)} LAST", TEXT, "QUIT")
    assert answers == ["250", "221"]
    assert contents(store) == [TEXT]
    assert facts(outputs, Malformed) == []
    assert facts(outputs, Response)[-1].shown == f"<message data of {len(TEXT)} bytes>"
    assert [fact.verb for fact in facts(outputs, Command)][-2:] == ["BDAT", "QUIT"]


@pytest.mark.parametrize("end", ["BDAT 0 LAST", "bdat 0 last"])
def test_a_message_in_several_chunks_is_one(end):
    answers, outputs, store = sent("BDAT 7", TEXT[:7], f"BDAT {len(TEXT) - 7}", TEXT[7:], end, "QUIT")
    assert answers == ["250", "250", "250", "221"]
    assert contents(store) == [TEXT]
    assert "250 2.0.0 7 octets received" in replies(outputs)


def test_too_low_a_count_ends_in_a_syntax_error_that_is_noted():
    answers, outputs, store = sent(f"BDAT {len(TEXT) - 5} LAST", TEXT, "QUIT")
    assert answers == ["250", "500", "221"]
    assert contents(store) == [TEXT[:-5]]
    assert len(facts(outputs, Malformed)) == 1


def test_too_high_a_count_swallows_what_follows():
    answers, outputs, store = sent(f"BDAT {len(TEXT) + 7} LAST", TEXT, "QUIT")
    assert answers == []
    assert contents(store) == []
    assert [fact.reason for fact in facts(outputs, Malformed)] == ["the client left in the middle of a command"]


@pytest.mark.parametrize("argument", ["", "x", "-1", "5 FIRST", "5  LAST", "LAST", "9" * 21])
def test_what_is_no_count_is_refused_and_noted(argument):
    answers, outputs, _ = sent(f"BDAT {argument}", "NOOP")
    assert answers == ["501", "250"]
    assert len(facts(outputs, Malformed)) == 1


def test_without_the_keyword_there_is_no_such_command():
    answers, outputs, store = sent("BDAT 4 LAST", "NOOP", relay=RelayPolicy())
    assert answers == ["502", "250"]
    assert contents(store) == []
    assert "CHUNKING" not in "".join(replies(outputs))
    assert any("CHUNKING" in reply for reply in replies(sent(relay=OFFERED)[1]))


def test_a_chunk_without_a_recipient_is_read_and_refused():
    outputs, store = talk(lines("EHLO here", "BDAT 6 LAST") + b"QUIT\r\n" + lines("NOOP"), relay=OFFERED)
    assert codes(outputs) == ["250", "503", "250"]
    assert contents(store) == []


def test_refused_recipients_leave_nobody_to_send_to():
    relay = RelayPolicy(keywords=OFFERED.keywords, known_recipients=())
    answers, _, _ = sent("BDAT 6 LAST", b"QUIT\r\n", "NOOP", relay=relay)
    assert answers == ["554", "250"]


@pytest.mark.parametrize("forget", ["RSET", "EHLO again.test"])
def test_chunks_are_forgotten_with_their_transaction(forget):
    answers, _, store = sent("BDAT 5", b"one\r\n", forget, *ENVELOPE[2:4], "BDAT 5 LAST", b"two\r\n")
    assert answers == ["250", "250", "250", "250", "250"]
    assert contents(store) == [b"two\r\n"]


def test_data_does_not_follow_a_chunk():
    answers, _, store = sent("BDAT 5", b"one\r\n", "DATA", "BDAT 5 LAST", b"two\r\n", "NOOP")
    assert answers == ["250", "503", "503", "250"]
    assert contents(store) == []


@pytest.mark.parametrize("chunks", [(11,), (6, 5), (11, 0)])
def test_too_much_is_read_and_refused(chunks):
    relay = RelayPolicy(keywords=OFFERED.keywords, max_size=10)
    pieces = [part for size in chunks[:-1] for part in (f"BDAT {size}", b"x" * size)]
    answers, _, store = sent(*pieces, f"BDAT {chunks[-1]} LAST", b"x" * chunks[-1], "NOOP", relay=relay)
    assert "552" in answers
    assert answers[-1] == "250"
    assert contents(store) == []


@pytest.mark.parametrize(
    ("length", "limits", "code", "noted"),
    [(998, "strict", "250", 0), (999, "strict", "500", 1), (999, "lenient", "250", 1), (70_000, "lenient", "500", 1)],
)
def test_the_lines_of_a_chunk_have_the_limits_of_every_line(length, limits, code, noted):
    line = b"x" * length + b"\r\n"
    answers, outputs, store = sent(
        "BDAT 500", line[:500], f"BDAT {len(line) - 500} LAST", line[500:], line_limits=limits
    )
    assert answers == ["250", code]
    assert contents(store) == ([line] if code == "250" else [])
    assert len(facts(outputs, Malformed)) == noted


def test_the_octets_behind_a_bdat_that_is_answered_otherwise_are_no_commands():
    told = (Answer(verb="BDAT", reply=b"451 4.3.0 later\r\n", over_tls=True),)
    answers, outputs, _ = sent("BDAT 6 LAST", b"QUIT\r\n", "NOOP", deviations=told)
    assert answers == ["451", "250"]
    assert facts(outputs, Malformed) == []
