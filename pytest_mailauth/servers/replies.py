"""The replies that a user may script, from the words of each protocol to bytes. Nothing else is known here.

A reply is checked when it is written down, long before a client hears it; what is refused comes back with the form
that would be taken.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


NO_WORDS: Final = "scripted reply"
"""The text of an SMTP reply that was given none, so that it is known in a client's log."""
LINE_LIMIT: Final = 512
"""Longest line of an SMTP reply or a POP3 status in bytes, line end included; the same in RFC 5321 and RFC 1939."""

_UNPRINTABLE: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
_POP3_STATUS: Final = re.compile(r"(?:\+OK|-ERR)(?: .*)?")
_IMAP_STATUS: Final = re.compile(r"(?:OK|NO|BAD) \S.*")
_IMAP_UNTAGGED: Final = re.compile(r"\* \S.*")
_WANTED: Final = {
    Protocol.SMTP: """reply(550, "5.1.1 no such user")""",
    Protocol.POP3: """reply("-ERR [SYS/TEMP] try later") or reply("+OK 1 messages\\n1 120")""",
    Protocol.IMAP: """reply("NO [OVERQUOTA] the mailbox is full"), whose tag is put in front by the server""",
}


def refused(protocol: Protocol, what: str) -> ConfigError:
    """Return the error for a reply that the protocol does not know, with the form that it does."""
    return ConfigError(f"reply: {what}; over {protocol} it looks like {_WANTED[protocol]}")


def reply_of(protocol: Protocol, code_or_text: int | str, text: str) -> Callable[[bytes], bytes]:
    r"""Return what makes the bytes of a scripted reply from the tag of the IMAP command that it answers.

    Args:
        protocol: The protocol of the server.
        code_or_text: The code of an SMTP reply, or the whole of a POP3 or IMAP response.
        text: The text of an SMTP reply; lines are parted by ``\n``.

    Raises:
        ConfigError: The protocol has no such reply.
    """
    for words in (code_or_text, text):
        if isinstance(words, str) and _UNPRINTABLE.search(words):
            raise refused(protocol, f"a control character in {words!r} (lines are parted by a plain \\n)")
    if protocol is Protocol.SMTP:
        return _smtp(code_or_text, text)
    if not isinstance(code_or_text, str) or text:
        raise refused(protocol, f"({code_or_text!r}, {text!r}) is not one text")
    return _pop3(code_or_text) if protocol is Protocol.POP3 else _imap(code_or_text)


def _smtp(code: int | str, text: str) -> Callable[[bytes], bytes]:
    """An SMTP reply: three digits and text, on several lines if need be (RFC 5321 section 4.2)."""
    if not isinstance(code, int) or isinstance(code, bool):
        raise refused(Protocol.SMTP, f"{code!r} is not a code")
    if not (200 <= code <= 559 and code // 10 % 10 <= 5):
        raise refused(Protocol.SMTP, f"there is no code {code}")
    if code // 100 == 3:
        raise refused(Protocol.SMTP, f"{code} asks the client to go on, and a scripted command reads nothing more")
    lines = (text or NO_WORDS).split("\n")
    written = [f"{code}{'-' if line_follows else ' '}{line}" for line, line_follows in _with_successor(lines)]
    return _fixed(Protocol.SMTP, written, limited=len(written))


def _pop3(text: str) -> Callable[[bytes], bytes]:
    """A POP3 response: a status, and with more lines a multi-line response (RFC 1939 section 3)."""
    status, *more = text.split("\n")
    if not _POP3_STATUS.fullmatch(status):
        raise refused(Protocol.POP3, f"{status!r} does not begin with +OK or -ERR")
    if more:
        more = [*("." + line if line.startswith(".") else line for line in more), "."]
    return _fixed(Protocol.POP3, [status, *more], limited=1)


def _imap(text: str) -> Callable[[bytes], bytes]:
    """An IMAP response: untagged lines, then one with a status that the tag is put in front of (RFC 3501 section 7)."""
    *untagged, last = text.split("\n")
    for line in untagged:
        if not _IMAP_UNTAGGED.fullmatch(line):
            raise refused(Protocol.IMAP, f"{line!r}, which is not the last line, does not begin with '* '")
    before = "".join(f"{line}\r\n" for line in untagged).encode()
    if _IMAP_UNTAGGED.fullmatch(last):
        return lambda _tag: before + last.encode() + b"\r\n"
    if not _IMAP_STATUS.fullmatch(last):
        raise refused(Protocol.IMAP, f"{last!r} is not OK, NO or BAD with words behind it")
    return lambda tag: before + tag + b" " + last.encode() + b"\r\n"


def _with_successor(lines: list[str]) -> list[tuple[str, bool]]:
    return [(line, number < len(lines)) for number, line in enumerate(lines, 1)]


def _fixed(protocol: Protocol, lines: list[str], *, limited: int) -> Callable[[bytes], bytes]:
    written = [f"{line}\r\n".encode() for line in lines]
    for line in written[:limited]:
        if len(line) > LINE_LIMIT:
            raise refused(protocol, f"a line of {len(line)} bytes is longer than {LINE_LIMIT}")
    data = b"".join(written)
    return lambda _tag: data
