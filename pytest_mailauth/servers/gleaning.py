"""What a test gleans from the words of a message: links, one-time codes, and the visible text of HTML.

Pure functions of a string, linear in its length; none of them raises.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_URL: Final = re.compile(
    r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,31}://"
    r"[^\s<>\"\x00-\x1f\x7f\u201c-\u201f\u00ab\u00bb\u2039\u203a\u3001\u3002\u3008-\u3011\uff08\uff09\uff0c\uff1b]+"
)
"""A URL with an authority (RFC 3986 section 3) and what may be written behind it; quotation marks of any language and
full-width punctuation end it, since nobody sends them unencoded within a URL."""
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}://\S")
_ADDRESS: Final = re.compile(r"[^\s<>@]{1,64}@[^\s<>@]{1,255}")
_ENDS_SENTENCE: Final = frozenset(".,;:!?'*_\u2018\u2019\u201a\u2026\uff01\uff1a\uff1f")
_BRACKETS: Final = {")": "(", "]": "[", "}": "{"}

_CODE: Final = re.compile(
    r"""
    (?:
        (?<![\w\#$€£¥/=.,+&%-]) (?<![$€£¥][ ])     # nothing it would be a part of: a word, a number, a path, a price
        (?<!(?:CURRENCY)[ ]) (?<!(?i:euro)[ ])
      | (?i:(?<=\bcode=)|(?<=\botp=)|(?<=\bpin=)|(?<=\btan=))
    )
    (?:[A-Z]-(?=\d))?                             # "G-123456"
    (?!(?:\d+(?:CURRENCY)|(?:CURRENCY)\d+)\b)
    (?P<code>
        \d{4}[ -]\d{4} | \d{3}[ -]\d{3}           # digits in two groups
      | \d{4,8}                                   # digits
      | (?=[A-Z-]{0,10}\d)(?:[A-Z0-9]{3}-[A-Z0-9]{3} | [A-Z0-9]{4}-[A-Z0-9]{4} | [A-Z0-9]{5}-[A-Z0-9]{5})
      | (?=\d{0,9}[A-Z])(?=[A-Z]{0,9}\d)[A-Z0-9]{6,10}
    )
    (?![\w/%€=@&+-] | [.,:]\d | [ ]\d)            # nor does it go on
    (?![ ]?(?:[$€£¥] | (?:CURRENCY|(?i:euros?|dollars?))\b))
    """.replace("CURRENCY", "AUD|BRL|CAD|CHF|CNY|CZK|DKK|EUR|GBP|HUF|INR|JPY|NOK|PLN|SEK|USD|ZAR"),  # ISO 4217
    re.VERBOSE | re.ASCII,
)
_COPYRIGHT: Final = re.compile(r"(?:©|\(c\)|copyright)\s{0,8}(?:\d{4}\s{0,4}[-\u2013]\s{0,4})?\d{4}", re.IGNORECASE)
_SPACES: Final = str.maketrans("\u00a0\u202f", "  ")
"""Spaces at which no line is broken, as they stand between the groups of a number and before a currency."""
_BEFORE_DIGITS: Final = re.compile(r"\d ")

_HIDDEN: Final = frozenset({"script", "style", "head", "title", "template"})
_LINKING: Final = frozenset({"a", "area"})
_INLINE: Final = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "code", "em", "font", "i", "mark", "s", "small", "span"}
) | {
    "strong",
    "sub",
    "sup",
    "tt",
    "u",
    "wbr",
}
"""Elements that do not end a word; every other one does."""


def urls(text: str) -> tuple[str, ...]:
    """Return the absolute URLs that stand in *text*, in order, without the punctuation behind them."""
    return tuple(url for found in _URL.finditer(text) if _ABSOLUTE.match(url := _trimmed(found[0])))


def _trimmed(url: str) -> str:
    """Cut off what belongs to the sentence: punctuation, and brackets that were not opened within the URL."""
    surplus = {close: url.count(close) - url.count(opening) for close, opening in _BRACKETS.items()}
    end = len(url)
    while True:  # until the authority's slashes at the latest
        last = url[end - 1]
        if surplus.get(last, 0) > 0:
            surplus[last] -= 1
        elif last not in _ENDS_SENTENCE:
            return url[:end]
        end -= 1


def unflowed(text: str, *, delsp: bool) -> str:
    r"""Return text of the format "flowed" with each of its paragraphs on one line (RFC 3676 sections 4.1 to 4.5).

    Args:
        text: The text, lines ending in ``"\n"``.
        delsp: Whether the space is deleted that says that a line goes on.
    """
    lines: list[list[str]] = []
    goes_on, last_depth = False, 0
    for line in text.split("\n"):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")  # it was put there so that the line begins with no quote mark
        is_signature = content == "-- "
        if goes_on and depth == last_depth and not is_signature:
            lines[-1].append(content)
        else:
            lines.append([">" * depth + " " * bool(depth), content])
        goes_on, last_depth = content.endswith(" ") and not is_signature, depth
        if goes_on and delsp:
            lines[-1][-1] = content[:-1]
    return "\n".join("".join(pieces) for pieces in lines)


def codes(text: str) -> tuple[str, ...]:
    """Return the one-time codes of *text* in order; :attr:`Message.codes` says what counts as one."""
    spaced = text.translate(_SPACES)
    return tuple(_codes(_COPYRIGHT.sub(" ", _ADDRESS.sub(" @ ", _URL.sub(" / ", spaced)))))


def _codes(text: str) -> Iterator[str]:
    for found in _CODE.finditer(text):
        code = found["code"]
        # A look-behind cannot say "a digit and a space": the end of a longer number.
        if not (code[0].isdigit() and _BEFORE_DIGITS.fullmatch(text[max(found.start() - 2, 0) : found.start()])):
            yield re.sub(r"[ -]", "", code) if re.fullmatch(r"[\d -]+", code) else code


@dataclass(frozen=True)
class Page:
    """What is to be seen of an HTML body: its links and its visible text."""

    links: tuple[str, ...]
    text: str


class _Reader(HTMLParser):
    """Collects links and visible text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.words: list[str] = []
        self._hidden: set[str] = set()
        self._linked = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden.add(tag)
        elif tag == "body":  # a head that was never closed ends here
            self._hidden.clear()
        if tag not in _INLINE:
            self.words.append("\n")
        if tag in _LINKING:
            self._linked += tag == "a"
            target = (dict(attrs).get("href") or "").strip()
            if _ABSOLUTE.match(target):
                self.found.append(target)

    def handle_endtag(self, tag: str) -> None:
        self._hidden.discard(tag)
        if tag not in _INLINE:
            self.words.append("\n")
        if tag == "a":
            self._linked = max(0, self._linked - 1)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)
            if not self._linked:  # inside a link, the URL shown is not where it leads
                self.found += urls(data)


def page(html: str) -> Page:
    """Return what is to be seen of an HTML body; an unfinished tag at its end is no text, as in browsers."""
    reader = _Reader()
    # AssertionError is what html.parser raises on a declaration it does not know. Its close() is left out: that tries
    # each "<" of what is unfinished once more, which takes minutes for a body of nothing else.
    with contextlib.suppress(AssertionError):
        reader.feed(html)
        if not reader.rawdata.startswith("<"):
            reader.handle_data(unescape(reader.rawdata))
    return Page(tuple(reader.found), "".join(reader.words))
