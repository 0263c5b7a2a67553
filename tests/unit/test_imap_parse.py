"""The IMAP argument parser and its opposite, the names of mailboxes, and sets of numbers."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mailauth.servers.engines.imap import names, strings
from pytest_mailauth.servers.engines.imap.parse import STAR, Arguments, ParseError

steady = settings(max_examples=100, deadline=None, derandomize=True)


def taken(data, method):
    """Return what *method* takes from *data*, and make sure that it takes all."""
    args = Arguments(data)
    value = getattr(args, method)()
    args.end()
    return value


@pytest.mark.parametrize(
    ("method", "data", "value"),
    [
        ("atom", b"INBOX", b"INBOX"),
        ("atom", b"a[b", b"a[b"),
        ("astring", b"a]b", b"a]b"),
        ("astring", b'""', b""),
        ("astring", b'"a b"', b"a b"),
        ("astring", b'"a \\"b\\" \\\\"', b'a "b" \\'),
        ("astring", b"{3}\r\na\r\n", b"a\r\n"),
        ("astring", b"{0}\r\n", b""),
        ("astring", b"{2+}\r\n))", b"))"),
        ("string", b'"NIL"', b"NIL"),
        ("literal", b"{3}\r\n\xff{1", b"\xff{1"),
        ("word", b"eA==", b"eA=="),
        ("word", b"", b""),
        ("mailbox", b"inBOX", "INBOX"),
        ("mailbox", b'"Entw&APw-rfe"', "Entwürfe"),
        ("mailbox", b"&U,BTFw-", "台北"),
        ("mailbox", b"a&-b", "a&b"),
        ("pattern", b"a%/*", "a%/*"),
        ("pattern", b'"%"', "%"),
        ("number", b"4294967295", 4294967295),
        ("number", b"0", 0),
        ("sequence_set", b"1", ((1, 1),)),
        ("sequence_set", b"1:4,7,9:*,*", ((1, 4), (7, 7), (9, STAR), (STAR, STAR))),
        ("sequence_set", b"4:2", ((4, 2),)),
        ("flags", b"()", set()),
        ("flags", b"(\\seen \\ANSWERED $Junk)", {"\\Seen", "\\Answered", "$Junk"}),
        ("flags", b"\\Deleted x", {"\\Deleted", "x"}),
        ("day", b"1-Feb-1994", date(1994, 2, 1)),
        ("day", b'"29-feb-2024"', date(2024, 2, 29)),
        ("date_time", b'" 1-Feb-1994 21:52:25 -0830"',
         datetime(1994, 2, 1, 21, 52, 25, tzinfo=timezone(-timedelta(hours=8, minutes=30)))),
        ("date_time", b'"17-JUL-1996 02:44:25 +0000"', datetime(1996, 7, 17, 2, 44, 25, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_what_is_taken(method, data, value):
    assert taken(data, method) == value


@pytest.mark.parametrize(
    ("method", "data"),
    [
        *[("atom", data) for data in (b"", b"(", b"a]", b'"a"', b"\xe4", b"a b", b"a*")],
        *[("astring", data) for data in (b"", b'"a', b'"a\\b"', b'"a\nb"', b"{3}\r\nab", b"{3}abc", b"{x}", b"{2}\r\na\0")],
        *[("number", data) for data in (b"", b"-1", b"4294967296", b"99999999999", b"1x")],
        *[("sequence_set", data) for data in (b"", b"0", b"1:", b"1,", b",1", b"1:2:3", b"4294967296", b"a", b"1 2")],
        *[("flags", data) for data in (b"", b"(", b"(a", b"(a  b)", b"\\Recent", b"\\*", b"(\\Foo)", b"a ", b"(a) b")],
        *[("mailbox", data) for data in (b"&", b"&AGE", b"\xc3\xbc", b"&!-", b"&AAA-", b"&2AA-", b'"a\x07"', b"&A-")],
        *[("day", data) for data in (b"", b"1-Foo-1994", b"31-Feb-1994", b'"1-Feb-1994', b"1-Feb-94", b"1-Feb-0000")],
        *[("date_time", data) for data in (b'"1-Feb-1994 21:52:25 -0800"', b'" 1-Feb-1994 25:52:25 -0800"')],
        *[("date_time", data) for data in (b'" 1-Feb-1994 21:52:25 +9900"', b'"31-Feb-1994 21:52:25 +0000"', b"x")],
        *[("date_time", data) for data in (b'" 1-Foo-1994 21:52:25 +0000"', b'" 1-Feb-0000 21:52:25 +0000"')],
    ],
)  # fmt: skip
def test_what_is_refused(method, data):
    with pytest.raises(ParseError):
        taken(data, method)


def test_two_arguments_have_one_space_between_them():
    args = Arguments(b" a b")
    args.space()
    assert args.atom() == b"a"
    args.space()
    assert not args.at_end
    assert args.starts_with(b"x", b"b")
    assert args.skip(b"b")
    assert not args.skip(b"b")
    assert args.at_end
    with pytest.raises(ParseError, match="a space expected"):
        args.space()


@steady
@given(st.sampled_from(["atom", "astring", "mailbox", "pattern", "number", "sequence_set", "flags", "day", "date_time"]),
       st.one_of(st.binary(max_size=40), st.text(alphabet='{}"\\()1:,*&-+ \r\nAFeb%', max_size=20).map(str.encode)))  # fmt: skip
def test_no_bytes_raise_anything_else(method, data):
    with suppress(ParseError):
        taken(data, method)


# What is written can be read again.

ANY_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)


@steady
@given(ANY_TEXT)
def test_names_survive_the_wire(name):
    assert names.decode(names.encode(name)) == name
    assert all(0x20 <= octet < 0x7F for octet in names.encode(name))
    assert taken(strings.mailbox(name), "mailbox") == ("INBOX" if name.upper() == "INBOX" else name)


@steady
@given(st.binary(max_size=40).filter(lambda data: b"\0" not in data))
def test_strings_survive_the_wire(data):
    assert taken(strings.nstring(data), "string") == data
    assert taken(strings.astring(data), "astring") == data


@steady
@given(
    st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=-8, minutes=-30)), timezone(timedelta(hours=14))])
    )
)
def test_moments_survive_the_wire(moment):
    assert taken(strings.date_time(moment), "date_time") == moment.replace(microsecond=0)


@pytest.mark.parametrize(
    ("data", "written"),
    [
        (None, b"NIL"),
        (b"", b'""'),
        (b'say "x\\y"', b'"say \\"x\\\\y\\""'),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"\xe4", b"{1}\r\n\xe4"),
        (b"x" * 1001, b"{1001}\r\n" + b"x" * 1001),
    ],
)
def test_strings_are_quoted_where_they_can_be(data, written):
    assert strings.nstring(data) == written


def test_a_moment_without_a_zone_is_utc():
    assert strings.date_time(datetime(2024, 2, 1, 9, 30)) == b'" 1-Feb-2024 09:30:00 +0000"'  # noqa: DTZ001


@pytest.mark.parametrize(("name", "written"), [("NIL", b'"NIL"'), ("a b", b'"a b"'), ("a&b", b"a&-b"), ("~x", b"~x")])
def test_names_are_atoms_where_they_can_be(name, written):
    assert strings.mailbox(name) == written


@pytest.mark.parametrize(
    ("numbers", "written"), [([1], "1"), ([1, 2, 3, 7], "1:3,7"), ([3, 2, 1], "3,2,1"), ([], ""), ([5, 6], "5:6")]
)
def test_sets_of_numbers_are_short(numbers, written):
    assert strings.number_set(numbers) == written


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*", "INBOX", True),
        ("%", "INBOX", True),
        ("inb*", "INBOX", True),
        ("inb*", "INBOXES", False),
        ("%", "a/b", False),
        ("%/%", "a/b", True),
        ("a/%", "a/b/c", False),
        ("a/*", "a/b/c", True),
        ("*c", "a/b/c", True),
        ("%c", "a/b/c", False),
        ("a*b%d", "a/x/b-d", True),
        ("a", "A", False),
        ("", "a", False),
        ("a*b", "a", False),
        ("%%*%", "a/b", True),
        ("a.c", "abc", False),
    ],
)
def test_wildcards(pattern, name, fits):
    assert names.matches(pattern, name) is fits


def test_many_wildcards_take_no_time():
    assert not names.matches("%a*" * 1000 + "b", "a" * 255)


def test_superiors():
    assert names.superiors("a/b/c") == ["a", "a/b"]
    assert names.superiors("INBOX") == []
