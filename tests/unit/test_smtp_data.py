"""Messages behind DATA: read by the handful, and the same as read line by line, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_mailauth.servers.engines.smtp_data import TOO_LONG, TOO_MUCH, MessageText

LIMIT, LINE = 60, 12
ENDED = b"\r\n.\r\n"


def line_by_line(data, size_limit=LIMIT, line_limit=LINE):
    """Return content, problem and rest as RFC 5321 has them, a line at a time."""
    content, size, problem = b"", 0, None
    while data:
        line, end, data = data.partition(b"\r\n")
        if not end:
            return None
        if line == b".":
            return (b"" if problem else content), problem, data
        size += len(line) + 2
        if problem is None and len(line) + 2 > line_limit:
            problem = TOO_LONG
        elif problem is None and size > size_limit:
            problem = TOO_MUCH
        content += (line[1:] if line.startswith(b".") else line) + b"\r\n"
    return None


def read(pieces, size_limit=LIMIT, line_limit=LINE):
    text, buffer = MessageText(size_limit, line_limit, line_limit), bytearray()
    for at, piece in enumerate(pieces):
        buffer += piece
        if text.take(buffer):
            return text, bytes(buffer) + b"".join(pieces[at + 1 :])
        assert len(buffer) <= line_limit + len(piece) + 1
    return None, bytes(buffer)


WORDS = st.sampled_from([b".", b"..", b"\r\n", b"\r", b"\n", b"a", b"bb", b"." * 5, b"x" * 9, b"\r\n.", b"QUIT\r\n"])


@given(st.lists(WORDS, max_size=40).map(b"".join), st.lists(st.integers(1, 30), max_size=40))
@example(b"a\r\n.\rb", [1] * 20)
def test_any_cut_gives_what_line_by_line_gives(data, sizes):
    data += ENDED + b"rest"
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    wanted = line_by_line(data)
    text, rest = read([*pieces, data[at:]])
    content, problem, behind = wanted
    assert (text.content, rest) == (content, behind)
    assert text.problem == problem


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"x" * (LINE - 2), None),
        (b"x" * (LINE - 1), TOO_LONG),
        (b"x" * 500, TOO_LONG),
        (b"aaaa\r\n" * 10, None),
        (b"aaaa\r\n" * 11, TOO_MUCH),
        (b"aaaa\r\n" * 10 + b"x" * 20, TOO_LONG),
        (b"aaaa\r\n" * 11 + b"x" * 20, TOO_MUCH),
        (b"x" * 20 + b"\r\n" + b"aaaa\r\n" * 11, TOO_LONG),
    ],
)
def test_the_limit_that_is_broken_first_is_named(data, problem):
    text, rest = read([(data.removesuffix(b"\r\n") + ENDED)])
    assert (text.problem, text.overran, rest) == (problem, problem is TOO_LONG or b"x" * 20 in data, b"")
    assert (text.content == b"") == (problem is not None)


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r"])
def test_nothing_else_ends_a_message(end):
    assert read([b"a" + end + b"b"])[0] is None


def test_without_a_limit_any_size_is_taken():
    text, _ = read([b"aaaa\r\n" * 1000 + b".\r\n"], size_limit=0)
    assert (text.problem, len(text.content)) == (None, 6000)
