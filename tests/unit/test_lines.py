"""Lines and blocks come out the same however their bytes were cut, and the buffer stays small."""

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_mailauth.servers.engines.lines import LineBuffer

steady = settings(max_examples=200, deadline=None, derandomize=True)
LIMIT = 8
streams = st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"12345678", b"\0"]), max_size=40).map(b"".join)


def pieces(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def lines_of(chunks, limit=LIMIT):
    buffer = LineBuffer(limit)
    lines = []
    for chunk in chunks:
        buffer.feed(chunk)
        while (found := buffer.next_line())[0]:
            lines.append(found[1])
        assert len(buffer) <= limit + len(chunk)
    return lines, buffer.unfinished


def by_definition(data, limit=LIMIT):
    *whole, rest = data.split(b"\n")
    return [None if len(line) + 1 > limit else line.removesuffix(b"\r") for line in whole], bool(rest)


@steady
@given(data=streams, cuts=st.lists(st.integers(0, 400), max_size=12))
@example(data=b"1234567\n", cuts=[7])
@example(data=b"12345678\n", cuts=[8])
@example(data=b"123456\r\n", cuts=[7])
@example(data=b"1234567\r\n", cuts=[8])
def test_any_cut_gives_the_lines_of_the_definition(data, cuts):
    expected = by_definition(data)
    assert lines_of([data]) == expected
    assert lines_of([data[i : i + 1] for i in range(len(data))]) == expected
    assert lines_of(pieces(data, cuts)) == expected


def test_an_overlong_line_is_given_out_once_and_the_next_line_is_whole():
    assert lines_of([b"x" * 100, b"y" * 100, b"z\r\nNOOP\r\n"]) == ([None, b"NOOP"], False)


def test_a_limit_raised_between_two_lines_counts_for_the_second_even_in_the_same_piece():
    buffer = LineBuffer(4)
    buffer.feed(b"AUTH\nabc\n123456789\n")
    assert buffer.next_line() == (True, None)
    assert buffer.next_line() == (True, b"abc")
    buffer.limit = 10
    assert buffer.next_line() == (True, b"123456789")


def test_no_line_end_ever_takes_no_memory():
    buffer = LineBuffer(LIMIT)
    most = 0
    for _ in range(1000):
        buffer.feed(b"x" * 50)
        most = max(most, len(buffer))
        assert buffer.next_line() == (False, None)
    assert most <= LIMIT + 50
    assert buffer.unfinished


@steady
@given(
    plan=st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=12),
    data=streams,
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_lines_and_blocks_in_turn_come_out_the_same(plan, data, cuts):
    """A plan is what an engine wants next: None for a line, a number for a block of that size."""

    def run(chunks):
        buffer = LineBuffer(LIMIT)
        wanted, got = list(plan), []
        for chunk in chunks:
            buffer.feed(chunk)
            while wanted:
                if wanted[0] is None:
                    ready, item = buffer.next_line()
                else:
                    item = buffer.next_block(wanted[0])
                    ready = item is not None
                if not ready:
                    break
                got.append(item)
                wanted.pop(0)
        return got

    assert run(pieces(data, cuts)) == run([data]) == run([data[i : i + 1] for i in range(len(data))] or [b""])


def test_clear_forgets_also_that_a_line_was_too_long():
    buffer = LineBuffer(LIMIT)
    buffer.feed(b"x" * 20)
    buffer.next_line()
    buffer.clear()
    assert len(buffer) == 0
    assert not buffer.unfinished
    buffer.feed(b"NOOP\r\n")
    assert buffer.next_line() == (True, b"NOOP")


def test_unfinished_is_said_of_an_open_line_only():
    buffer = LineBuffer(LIMIT)
    assert not buffer.unfinished
    buffer.feed(b"NO")
    assert buffer.next_line() == (False, None)
    assert buffer.unfinished
    buffer.feed(b"OP\r\n")
    assert buffer.next_line() == (True, b"NOOP")
    assert not buffer.unfinished
