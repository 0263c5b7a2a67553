"""The data items of FETCH: read from the command, written for a message (RFC 3501 sections 6.4.5 and 7.4.2).

An item without arguments is one row of a table. A section of the body is cut out of the message as it stands.
"""

from __future__ import annotations

import re
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.servers.engines.imap import envelope, mime, strings
from pytest_mailauth.servers.engines.imap.parse import ParseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.servers.engines.imap.parse import Arguments
    from pytest_mailauth.servers.mailstore import StoredMessage

_NAME: Final = re.compile(rb"[A-Za-z0-9.]+")
_SECTION: Final = re.compile(
    rb"\[((?:[1-9]\d{0,4})(?:\.[1-9]\d{0,4})*)?(\.?)(HEADER\.FIELDS(?:\.NOT)?|HEADER|TEXT|MIME)?",
    re.IGNORECASE,
)
_PARTIAL: Final = re.compile(rb"<(\d{1,10})\.([1-9]\d{0,9})>")


class Reader:
    """A message being read by several items: what is costly is done once."""

    def __init__(self, message: StoredMessage) -> None:
        self.message = message

    @cached_property
    def part(self) -> mime.Part:
        """The message as a part."""
        return mime.Part(self.message.content)


class Section(NamedTuple):
    """A section of a body: ``BODY[1.2.HEADER.FIELDS (From)]<0.100>`` taken apart.

    Attributes:
        numbers: Part numbers from the outside in.
        text: ``HEADER``, ``HEADER.FIELDS``, ``HEADER.FIELDS.NOT``, ``TEXT``, ``MIME`` or nothing.
        fields: Names of header fields.
        partial: First octet and number of octets, or None for all.
    """

    numbers: tuple[int, ...] = ()
    text: bytes = b""
    fields: tuple[bytes, ...] = ()
    partial: tuple[int, int] | None = None

    @property
    def label(self) -> bytes:
        """The section as it is named in the response: with the first octet, without the number of octets."""
        words = [b"%d" % number for number in self.numbers]
        if self.text:
            words.append(self.text)
        listed = b" (" + b" ".join(map(strings.astring, self.fields)) + b")" if self.fields else b""
        origin = b"<%d>" % self.partial[0] if self.partial else b""
        return b"BODY[" + b".".join(words) + listed + b"]" + origin

    def cut(self, reader: Reader) -> bytes | None:
        """Return the octets of the section, or None when the message has no such part."""
        data = self._whole(reader)
        if data is None or self.partial is None:
            return data
        origin, size = self.partial
        return data[origin : origin + size]

    def _whole(self, reader: Reader) -> bytes | None:
        part: mime.Part | None = reader.part
        if self.numbers:
            part = reader.part.find(self.numbers)
            if part is None:
                return None
            if not self.text:
                return part.body
            if self.text == b"MIME":
                return part.header
            # Header and text of a part are those of the message in it.
            part = part.message
        if part is None:
            return None
        return _TEXTS[self.text](part, self.fields)


_TEXTS: Final[dict[bytes, Callable[[mime.Part, tuple[bytes, ...]], bytes]]] = {
    b"": lambda part, _: part.content,
    b"HEADER": lambda part, _: part.header,
    b"TEXT": lambda part, _: part.body,
    b"HEADER.FIELDS": lambda part, names: mime.subset(part.header, names, inverted=False),
    b"HEADER.FIELDS.NOT": lambda part, names: mime.subset(part.header, names, inverted=True),
}


class Item(NamedTuple):
    """One data item: its name in the response, how its value is written, and whether it sets the Seen flag."""

    label: bytes
    write: Callable[[Reader], bytes]
    marks_seen: bool = False


def _section_value(section: Section, reader: Reader) -> bytes:
    data = section.cut(reader)
    # A literal even where a quoted string would do: clients tell bodies from other data by it.
    return b"NIL" if data is None else strings.literal(data)


_HEADER: Final = partial(_section_value, Section(text=b"HEADER"))
_TEXT: Final = partial(_section_value, Section(text=b"TEXT"))
_ALL: Final = partial(_section_value, Section())

_ROWS: Final = (
    Item(b"FLAGS", lambda reader: strings.flag_list(reader.message.flags)),
    Item(b"UID", lambda reader: b"%d" % reader.message.uid),
    Item(b"INTERNALDATE", lambda reader: strings.date_time(reader.message.internal_date)),
    Item(b"RFC822.SIZE", lambda reader: b"%d" % len(reader.message.content)),
    Item(b"RFC822", _ALL, marks_seen=True),
    Item(b"RFC822.HEADER", _HEADER),
    Item(b"RFC822.TEXT", _TEXT, marks_seen=True),
    Item(b"ENVELOPE", lambda reader: envelope.envelope(reader.part)),
    Item(b"BODYSTRUCTURE", lambda reader: envelope.structure(reader.part, extended=True)),
    Item(b"BODY", lambda reader: envelope.structure(reader.part, extended=False)),
)
ITEMS: Final = {row.label: row for row in _ROWS}
"""The items without arguments."""

FLAGS: Final = ITEMS[b"FLAGS"]
UID: Final = ITEMS[b"UID"]

_FAST: Final = (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE")
MACROS: Final = {b"FAST": _FAST, b"ALL": (*_FAST, b"ENVELOPE"), b"FULL": (*_FAST, b"ENVELOPE", b"BODY")}
"""Names that stand for several items, and stand alone."""


def parse(args: Arguments) -> list[Item]:
    """Take the items of a FETCH command: a macro, one item, or a list of items. Repetitions are dropped."""
    found: dict[bytes, Item] = {}
    if args.skip(b"("):
        while True:
            item = _item(args, _item_name(args))
            found[item.label] = _merged(found.get(item.label), item)
            if args.skip(b")"):
                return list(found.values())
            args.space()
    name = _item_name(args)
    if name in MACROS:
        return [ITEMS[label] for label in MACROS[name]]
    return [_item(args, name)]


def _merged(old: Item | None, new: Item) -> Item:
    """Of two items with the same label the one that sets the Seen flag counts: BODY[] beside BODY.PEEK[]."""
    return old if old is not None and old.marks_seen else new


def _item_name(args: Arguments) -> bytes:
    found = args.match(_NAME)
    if not found:
        raise ParseError("a FETCH item expected")
    return found[0].upper()


def _item(args: Arguments, name: bytes) -> Item:
    if name in (b"BODY", b"BODY.PEEK") and args.starts_with(b"["):
        section = _section(args)
        return Item(section.label, partial(_section_value, section), marks_seen=name == b"BODY")
    if name not in ITEMS:
        raise ParseError("no such FETCH item")
    return ITEMS[name]


def _section(args: Arguments) -> Section:
    found = args.match(_SECTION)
    words = found.groups(b"") if found else (b"", b"", b"")
    numbers = tuple(int(number) for number in words[0].split(b".") if number)
    text = words[2].upper()
    # A dot stands between part number and text, and nowhere else; MIME is only of a part.
    if bool(words[1]) != (bool(numbers) and bool(text)) or (text == b"MIME" and not numbers):
        raise ParseError("no such section")
    fields: list[bytes] = []
    if text.startswith(b"HEADER.FIELDS"):
        args.space()
        args.expect(b"(", "a list of header fields")
        fields.append(args.astring())
        while not args.skip(b")"):
            args.space()
            fields.append(args.astring())
    args.expect(b"]", "a bracket")
    piece = args.match(_PARTIAL)
    return Section(numbers, text, tuple(fields), (int(piece[1]), int(piece[2])) if piece else None)


def render(items: list[Item], message: StoredMessage) -> bytes:
    """Return the parenthesised data of one FETCH response."""
    reader = Reader(message)
    return b"(" + b" ".join(item.label + b" " + item.write(reader) for item in items) + b")"
