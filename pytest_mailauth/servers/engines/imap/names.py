"""Mailbox names: their international encoding, and the wildcards of LIST (RFC 3501 sections 5.1.3 and 6.3.8).

Inside the package a mailbox name is an ordinary ``str``; only here is it turned into what crosses the wire.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

DELIMITER: Final = "/"
"""Separates the levels of the hierarchy."""

_SHIFTED: Final = re.compile(r"&([A-Za-z0-9+,]*)-")
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def decode(raw: bytes) -> str:
    """Return the name behind modified UTF-7.

    Raises:
        ValueError: The bytes are not modified UTF-7, or hide a control character.
    """
    text = raw.decode("ascii")
    if "&" in text:
        if "&" in _SHIFTED.sub("", text):
            raise ValueError("an unfinished shift sequence")
        text = _SHIFTED.sub(lambda found: _unshift(found[1]), text)
    if _CONTROL.search(text):
        raise ValueError("a control character")
    return text


def _unshift(digits: str) -> str:
    if not digits:
        return "&"
    padded = digits.replace(",", "/") + "=" * (-len(digits) % 4)
    try:
        return base64.b64decode(padded, validate=True).decode("utf-16-be")
    except binascii.Error as error:
        raise ValueError("not base64") from error


def encode(name: str) -> bytes:
    """Return *name* in modified UTF-7."""
    if name.isascii() and name.isprintable() and "&" not in name:
        return name.encode("ascii")
    return _UNPRINTABLE.sub(lambda found: _shift(found[0]), name.replace("&", "&-")).encode("ascii")


def _shift(text: str) -> str:
    digits = base64.b64encode(text.encode("utf-16-be", "surrogatepass")).decode("ascii")
    return f"&{digits.rstrip('=').replace('/', ',')}-"


def matches(pattern: str, name: str) -> bool:
    """True when *name* fits *pattern*: ``*`` stands for anything, ``%`` for anything within one level.

    The time is bounded by the product of the lengths, whatever the pattern is.
    """
    if name == "INBOX":
        pattern = pattern.upper()
    reached = {0}
    for char in pattern:
        if char == "*":
            reached = set(range(min(reached), len(name) + 1))
        elif char == "%":
            reached = _within_level(name, reached)
        else:
            reached = {at + 1 for at in reached if name.startswith(char, at)}
        if not reached:
            return False
    return len(name) in reached


def _within_level(name: str, reached: set[int]) -> set[int]:
    """Return *reached* and every place after it up to the next delimiter."""
    spread = set()
    inside = False
    for at in range(min(reached), len(name) + 1):
        inside = inside or at in reached
        if inside:
            spread.add(at)
        if name.startswith(DELIMITER, at):
            inside = False
    return spread


def superiors(name: str) -> list[str]:
    """Return the names above *name* in the hierarchy, the highest first."""
    levels = name.split(DELIMITER)
    return [DELIMITER.join(levels[:depth]) for depth in range(1, len(levels))]
