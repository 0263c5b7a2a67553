"""The keys of SEARCH (RFC 3501 section 6.4.4): one row a key, read into a test of one message.

Text is compared without regard to case, in headers with encoded words and in bodies with transfer encodings undone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import cached_property
from operator import eq, ge, gt, lt
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.servers.engines.imap import mime, text
from pytest_mailauth.servers.engines.imap.parse import MONTHS, SYSTEM_FLAGS, ParseError
from pytest_mailauth.servers.engines.imap.session import Refused

if TYPE_CHECKING:
    from pytest_mailauth.servers.engines.imap.parse import Arguments
    from pytest_mailauth.servers.engines.imap.view import View
    from pytest_mailauth.servers.mailstore import StoredMessage

DEEPEST: Final = 50
"""How deep NOT, OR and parentheses may be nested."""

CHARSETS: Final = ("US-ASCII", "UTF-8")

_SENT: Final = re.compile(rb"(\d{1,2})\s+([A-Za-z]{3})\s+(\d{4})")


class Candidate:
    """A message that is being searched; what is costly is done once."""

    def __init__(self, number: int, message: StoredMessage) -> None:
        self.number = number
        self.message = message

    @cached_property
    def part(self) -> mime.Part:
        """The message as a part."""
        return mime.Part(self.message.content)

    @cached_property
    def body_text(self) -> str:
        """All text of the body, folded."""
        return text.body(self.part).casefold()

    @cached_property
    def header_text(self) -> str:
        """The header, folded."""
        return text.header(self.part).casefold()

    def field(self, name: bytes) -> list[str]:
        """Return the values of the header fields called *name*, folded."""
        return [text.words(value).casefold() for key, value in mime.fields(self.part.header) if key == name]

    @property
    def sent(self) -> date | None:
        """The day of the Date field, without regard to its zone."""
        found = _SENT.search(self.part.fields.get(b"date", b""))
        if found is None:
            return None
        day, month, year = found.groups()
        try:
            return date(int(year), MONTHS.index(month.decode().capitalize()) + 1, int(day))
        except ValueError:
            return None


Test = Callable[[Candidate], bool]
"""What a search key comes to: is this message meant?"""


class Query(NamedTuple):
    """The command being read: its arguments, the mailbox it is about, and how deep it is nested here."""

    args: Arguments
    view: View
    depth: int = 0

    def string(self) -> str:
        """Take the string argument of a key, folded."""
        self.args.space()
        return self.args.astring().decode("utf-8", "replace").casefold()

    def key(self) -> Test:
        """Take a search key that stands behind another one."""
        self.args.space()
        return _key(self._replace(depth=self.depth + 1))


Row = Callable[[Query], Test]
"""What reads the arguments of a search key."""


def parse(args: Arguments, view: View) -> Test:
    """Take the arguments of SEARCH and return the test they make; several keys must all hold.

    Raises:
        Refused: The character set is not one of :data:`CHARSETS` (``BADCHARSET``).
    """
    if args.skip(b"CHARSET ") or args.skip(b"charset "):
        charset = args.astring().decode("ascii", "replace").upper()
        if charset not in CHARSETS:
            raise Refused("no such character set", code=f"BADCHARSET ({' '.join(CHARSETS)})")
        args.space()
    return _all(Query(args, view), until_end=True)


def _all(query: Query, *, until_end: bool) -> Test:
    """Take keys up to the end, or up to the closing parenthesis."""
    tests = [_key(query)]
    while not (query.args.at_end if until_end else query.args.skip(b")")):
        query.args.space()
        tests.append(_key(query))
    return tests[0] if len(tests) == 1 else lambda candidate: all(test(candidate) for test in tests)


def _key(query: Query) -> Test:
    if query.depth > DEEPEST:
        raise ParseError("search keys are nested too deep")
    args = query.args
    if args.skip(b"("):
        return _all(query._replace(depth=query.depth + 1), until_end=False)
    if args.starts_with(*_SET_STARTS):
        numbers = {number for number, _ in _known(query, by_uid=False)}
        return lambda candidate: candidate.number in numbers
    row = KEYS.get(args.atom().upper())
    if row is None:
        raise ParseError("no such search key")
    return row(query)


_SET_STARTS: Final = (b"*", *(b"%d" % digit for digit in range(10)))


def _known(query: Query, *, by_uid: bool) -> list[tuple[int, StoredMessage]]:
    return query.view.select(query.args.sequence_set(), by_uid=by_uid)


def _uid(query: Query) -> Test:
    query.args.space()
    uids = {message.uid for _, message in _known(query, by_uid=True)}
    return lambda candidate: candidate.message.uid in uids


def _everything(_: Query) -> Test:
    return lambda _: True


def _nothing(_: Query) -> Test:
    return lambda _: False


def _not(query: Query) -> Test:
    test = query.key()
    return lambda candidate: not test(candidate)


def _or(query: Query) -> Test:
    first, second = query.key(), query.key()
    return lambda candidate: first(candidate) or second(candidate)


def _flag(flag: str, *, wanted: bool) -> Row:
    return lambda _: lambda candidate: (flag in candidate.message.flags) is wanted


def _keyword(*, wanted: bool) -> Row:
    def row(query: Query) -> Test:
        query.args.space()
        flag = query.args.atom().decode("ascii").lower()
        return lambda candidate: (flag in {has.lower() for has in candidate.message.flags}) is wanted

    return row


def _in_field(name: bytes) -> Row:
    def row(query: Query) -> Test:
        wanted = query.string()
        return lambda candidate: any(wanted in value for value in candidate.field(name))

    return row


def _header(query: Query) -> Test:
    query.args.space()
    return _in_field(query.args.astring().lower())(query)


def _body(query: Query) -> Test:
    wanted = query.string()
    return lambda candidate: wanted in candidate.body_text


def _text(query: Query) -> Test:
    wanted = query.string()
    return lambda candidate: wanted in candidate.header_text or wanted in candidate.body_text


def _size(compare: Callable[[int, int], bool]) -> Row:
    def row(query: Query) -> Test:
        query.args.space()
        size = query.args.number()
        return lambda candidate: compare(len(candidate.message.content), size)

    return row


def _received(compare: Callable[[date, date], bool]) -> Row:
    def row(query: Query) -> Test:
        query.args.space()
        day = query.args.day()
        return lambda candidate: compare(candidate.message.internal_date.date(), day)

    return row


def _sent(compare: Callable[[date, date], bool]) -> Row:
    def row(query: Query) -> Test:
        query.args.space()
        day = query.args.day()
        return lambda candidate: (sent := candidate.sent) is not None and compare(sent, day)

    return row


def _system_flags() -> dict[bytes, Row]:
    rows = {}
    for flag in SYSTEM_FLAGS:
        name = flag.removeprefix("\\").upper().encode("ascii")
        rows[name] = _flag(flag, wanted=True)
        rows[b"UN" + name] = _flag(flag, wanted=False)
    return rows


KEYS: Final[dict[bytes, Row]] = {
    b"ALL": _everything,
    **_system_flags(),
    # No message is ever recent, so none is new and all are old.
    b"RECENT": _nothing,
    b"NEW": _nothing,
    b"OLD": _everything,
    b"KEYWORD": _keyword(wanted=True),
    b"UNKEYWORD": _keyword(wanted=False),
    **{name: _in_field(name.lower()) for name in (b"FROM", b"TO", b"CC", b"BCC", b"SUBJECT")},
    b"HEADER": _header,
    b"BODY": _body,
    b"TEXT": _text,
    b"LARGER": _size(gt),
    b"SMALLER": _size(lt),
    b"BEFORE": _received(lt),
    b"ON": _received(eq),
    b"SINCE": _received(ge),
    b"SENTBEFORE": _sent(lt),
    b"SENTON": _sent(eq),
    b"SENTSINCE": _sent(ge),
    b"UID": _uid,
    b"NOT": _not,
    b"OR": _or,
}
"""Search key to what reads its arguments and returns its test."""
