"""Text and TLS records in one stream of bytes: parted the same way however the stream was cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mailauth.model.sieve import Sieve


def record(content, kind=0x16):
    return bytes((kind, 3, 1)) + len(content).to_bytes(2, "big") + content


HELLO = record(b"\x01\x00\x00\x05\nA\nB\n")
ALERT = record(b"\x02\x0a", 0x15)
STREAMS = {
    "text": (b"EHLO x\r\nQUIT\r\n", b""),
    "a hello": (b"", HELLO),
    "a hello behind a command": (b"NOOP\r\n", HELLO),
    "an alert": (b"NOOP\r\n", ALERT),
    "text behind records": (b"LOGIN a b\r\n", HELLO + ALERT),
}


def parted(pieces):
    sieve = Sieve()
    text, records = b"", b""
    for piece in pieces:
        some_text, some_records = sieve.feed(piece)
        text += some_text
        records += some_records
    return text + sieve.rest(), records


@pytest.mark.parametrize("name", STREAMS)
def test_whole_and_byte_by_byte(name):
    text, records = STREAMS[name]
    stream = records + text if name.endswith("records") else text + records
    assert parted([stream]) == parted(stream[at : at + 1] for at in range(len(stream))) == (text, records)


@pytest.mark.parametrize(
    "text",
    [
        b"a line with \x16\x03\x01\x00\x02 in it\r\n",
        b"\x16",
        b"\x16\x03",
        b"\x16\x03\x09\x00\x00x",
        b"\x16\x03\x01\xff\xffx",
        b"\x13\x03\x01\x00\x01x",
        b"NOOP\r\n\x15",
        b"half a line",
    ],
)
def test_what_is_no_record_is_text(text):
    assert parted([text]) == (text, b"")


@given(
    st.lists(st.sampled_from([b"NOOP\r\n", b"\x16", b"\x03", b"x\n", HELLO, ALERT, HELLO[:7], b"\n", b""]), max_size=8),
    st.data(),
)
def test_cuts_change_nothing_and_nothing_is_lost(parts, data):
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    text, records = parted([stream])
    assert parted(pieces) == (text, records)
    assert sorted(text + records) == sorted(stream)
