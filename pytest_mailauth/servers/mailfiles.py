"""Messages from files: ``.eml``, mbox and Maildir, told apart by what is in them.

Everything a user can get wrong about a file is a ConfigError that names it.
"""

from __future__ import annotations

import contextlib
import email.parser
import email.policy
import email.utils
import mailbox
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.servers.mailstore import HIERARCHY, INBOX

if TYPE_CHECKING:
    import os

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:")
"""What a message begins with: a header field (RFC 5322 section 2.2)."""
_QUOTED_FROM: Final = re.compile(rb"^>(>*From )", re.MULTILINE)
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f%*]")
"""What no mailbox name may hold: control characters, and the wildcards of IMAP LIST."""
_ACCEPTED: Final = "an .eml file, an mbox file and a Maildir (a folder that holds cur and new) are read"

_MAILDIR_FLAGS: Final = {"S": "\\Seen", "R": "\\Answered", "F": "\\Flagged", "T": "\\Deleted", "D": "\\Draft"}
_MBOX_FLAGS: Final = {"R": "\\Seen", "A": "\\Answered", "F": "\\Flagged", "D": "\\Deleted"}
"""Flags as :mod:`mailbox` names them, and as IMAP does (RFC 9051 section 2.3.2)."""


@dataclass(frozen=True)
class Letter:
    """A message from a file.

    Attributes:
        content: The message, lines ending in CRLF.
        flags: Its IMAP flags.
    """

    content: bytes = field(repr=False)
    flags: frozenset[str] = frozenset()

    @property
    def internal_date(self) -> datetime | None:
        """The moment of its Date header; None when there is none that can be read."""
        parser = email.parser.BytesHeaderParser(policy=email.policy.compat32)
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            moment = email.utils.parsedate_to_datetime(str(parser.parsebytes(self.content)["Date"] or ""))
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return None


def read(path: str | os.PathLike[str]) -> list[Letter]:
    """Return the messages of a file or Maildir in order.

    Raises:
        ConfigError: It cannot be read, is of no known kind, or holds no message.
    """
    source = Path(path)
    try:
        letters = _read(source)
    except OSError as error:
        raise ConfigError(f"cannot read messages from {source}: {error.strerror or error}") from error
    if not letters:
        raise ConfigError(f"{source} holds no message")
    return letters


def _read(source: Path) -> list[Letter]:
    if source.is_dir():
        if not all((source / folder).is_dir() for folder in ("cur", "new")):
            raise ConfigError(f"{source} is a folder but no Maildir; {_ACCEPTED}")
        return _maildir(source)
    content = source.read_bytes().removeprefix(_BYTE_ORDER_MARK)
    if content.startswith(b"From "):
        return _mbox(source)
    if content.strip() and not _FIELD.match(content):
        raise ConfigError(f"{source} does not begin with a header field, so it is no message; {_ACCEPTED}")
    return [Letter(_with_crlf(content))] if content.strip() else []


def _mbox(source: Path) -> list[Letter]:
    box = mailbox.mbox(source, create=False)
    try:
        # "From " at the beginning of a line was quoted when the file was written.
        return [
            Letter(
                _with_crlf(_QUOTED_FROM.sub(rb"\1", box.get_bytes(key))),
                _flags(_MBOX_FLAGS, box.get_message(key).get_flags()),
            )
            for key in box.keys()  # noqa: SIM118 - iterating over a mailbox yields messages
        ]
    finally:
        box.close()


def _maildir(source: Path) -> list[Letter]:
    box = mailbox.Maildir(source, create=False)
    # By name, which begins with the time of delivery: the order of a directory is nobody's.
    return [
        Letter(_with_crlf(box.get_bytes(key)), _flags(_MAILDIR_FLAGS, box.get_message(key).get_flags()))
        for key in sorted(box.keys())
    ]


def _flags(names: dict[str, str], letters: str) -> frozenset[str]:
    return frozenset(names[letter] for letter in letters if letter in names)


def _with_crlf(content: bytes) -> bytes:
    lines = _LINE_END.sub(b"\r\n", content)
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"


def mailbox_name(name: str) -> str:
    """Return a mailbox name as the store keeps it.

    Raises:
        ConfigError: No mailbox can have this name.
    """
    if not isinstance(name, str) or _UNFIT.search(name) or not all(name.split(HIERARCHY)):
        raise ConfigError(
            f"mailbox={name!r} is no name of a mailbox; give one such as 'INBOX' or 'Archive/2026', "
            "without wildcards and empty levels"
        )
    return INBOX if name.upper() == INBOX else name
