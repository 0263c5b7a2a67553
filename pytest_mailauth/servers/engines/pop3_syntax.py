"""The lines of POP3: what a command may look like, how it may be shown, and how a response is written.

Nothing here knows the state of a session or decides anything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.servers.engines.contract import Send

if TYPE_CHECKING:
    from collections.abc import Iterable

COMMAND_LIMIT: Final = 255
"""Longest command in bytes, line end included (RFC 2449 section 4), AUTH with its initial response
included (RFC 5034 section 4)."""
LINE_LIMIT: Final = 12_288
"""Longest line that is read at all: room for any SASL response. A longer one is swallowed unseen."""

KEYWORD: Final = re.compile(rb"[A-Za-z][A-Za-z0-9]{2,3}")
"""Three or four characters (RFC 2449 section 3). Anything longer might be a credential, and is never shown."""
CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")

# What stands behind the keyword; the group is what the handler gets. A space at the end of the line is forgiven.
NOTHING: Final = re.compile(rb"() *")
TEXT: Final = re.compile(rb"(.+)", re.DOTALL)
NUMBER: Final = re.compile(rb"([0-9]{1,9}) *")
MAYBE_NUMBER: Final = re.compile(rb"([0-9]{1,9})? *")
TWO_NUMBERS: Final = re.compile(rb"([0-9]{1,9} [0-9]{1,9}) *")
NAME_AND_DIGEST: Final = re.compile(rb"([^ ]+(?: [^ ]+)* [0-9A-Fa-f]{32}) *")
MAYBE_MECHANISM: Final = re.compile(rb"([!-~]+(?: [!-~]+)?)? *")

_NUMBERED: Final = frozenset({"LIST", "UIDL", "RETR", "DELE", "TOP"})
_SHOWN_NUMBERS: Final = re.compile(rb"[0-9 ]{1,20}")
_SHOWN_MECHANISM: Final = re.compile(rb"[A-Z0-9_-]{1,20}")
"""RFC 4422 section 3.1."""


def text(data: bytes) -> str:
    """Return a name or password as text; bytes that are not UTF-8 survive the way back."""
    return data.decode("utf-8", "surrogateescape")


def mechanism_of(argument: bytes) -> tuple[str, bytes]:
    """Return the mechanism in upper case and the initial response that an AUTH argument holds."""
    name, _, initial = argument.partition(b" ")
    return name.decode("ascii", "replace").upper(), initial


def shown(verb: str, argument: bytes, names: Iterable[str]) -> str:
    """Return a command as it may be displayed, without anything that might be a credential.

    Args:
        verb: The keyword in upper case.
        argument: What the client sent behind it.
        names: The login names that are known; another one might be a password in the wrong place.
    """
    if not argument:
        return verb
    if verb == "PASS":
        return "PASS <password>"
    if verb == "USER":
        return f"USER {text(argument) if text(argument) in names else f'<unknown name of {len(argument)} bytes>'}"
    if verb == "AUTH":
        mechanism, _, initial = argument.partition(b" ")
        named = mechanism.decode() if _SHOWN_MECHANISM.fullmatch(mechanism) else "<unknown mechanism>"
        return f"AUTH {named} <initial response of {len(initial)} bytes>" if initial else f"AUTH {named}"
    if verb in _NUMBERED and _SHOWN_NUMBERS.fullmatch(argument):
        return f"{verb} {argument.decode()}"
    return f"{verb} <{len(argument)} bytes>"


def ok(words: str) -> Send:
    """Return a success response of one line."""
    return Send(f"+OK {words}\r\n".encode())


def err(words: str) -> Send:
    """Return an error response."""
    return Send(f"-ERR {words}\r\n".encode())


def multi_line(words: str, content: bytes) -> Send:
    """Return a success response that *content* follows, dots stuffed, and a lone dot (RFC 1939 section 3).

    Args:
        words: The text of the first line.
        content: Lines that each end with CRLF.
    """
    stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")
    return Send(b"+OK " + words.encode() + stuffed + b".\r\n")


def listing(words: str, lines: Iterable[str]) -> Send:
    """Return a success response that *lines* follow."""
    return multi_line(words, b"".join(line.encode("utf-8", "backslashreplace") + b"\r\n" for line in lines))
