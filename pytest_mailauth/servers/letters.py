"""A submitted message as a test reads it: envelope, headers, bodies, links, one-time codes and attachments.

A view never raises, whatever a client sent: what cannot be decoded is shown as it came. The message itself, which is
the bytes that crossed the wire, is never changed.
"""

from __future__ import annotations

import email
import email.errors
import email.header
import email.parser
import email.policy
import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message as Part
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.servers import gleaning

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from email.message import EmailMessage

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SEPARATE: Final = "message/"
"""Parts of these types hold a message of their own, which is an attachment and never looked into."""


@dataclass(frozen=True)
class Attachment:
    """A part of a message that is not one of its bodies.

    Attributes:
        filename: The decoded file name as the sender wrote it, which may be no safe path; empty when there is none.
        content_type: For example ``"application/pdf"``.
        content: The decoded bytes.
    """

    filename: str
    content_type: str
    content: bytes = field(repr=False)


class Headers(Mapping[str, str]):
    r"""The decoded header fields of a message: the first field of a name, found in any case.

    Examples:
        >>> headers = Message(b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n").headers
        >>> headers["subject"], headers.get("Cc", "")
        ('Grüße', '')
    """

    def __init__(self, raw: tuple[tuple[str, str], ...]) -> None:
        self._raw = raw

    def __repr__(self) -> str:
        return f"Headers({dict(self)!r})"

    def __getitem__(self, name: str) -> str:
        for value in self.get_all(name):
            return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        names: dict[str, str] = {}
        for name, _ in self._raw:
            names.setdefault(name.lower(), name)
        return iter(names.values())

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._raw})

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return the decoded values of every field of this name, in order."""
        return tuple(_decoded(value) for value in self.raw(name))

    def raw(self, name: str) -> tuple[str, ...]:
        """Return the values of every field of this name as they were sent, unfolded."""
        return tuple(value for field_name, value in self._raw if field_name.lower() == name.lower())


@dataclass(frozen=True)
class Message:
    r"""A message that a client submitted. What it stores with IMAP's APPEND was not submitted, and is none of these.

    Attributes:
        content: The message as it crossed the wire, dot-stuffing removed, lines ending in CRLF.
        mail_from: The envelope sender; ``"<>"`` for the null reverse-path (RFC 5321 section 4.5.5).
        rcpt_tos: The envelope recipients, BCC included.
        authenticated_as: Login name of the submitting client, or None.
        over_tls: Whether it came in over TLS.

    Examples:
        >>> message = Message(
        ...     b"To: bob@example.test\r\n\r\nYour code is 271828: https://example.test/confirm.\r\n",
        ...     rcpt_tos=("bob@example.test", "eve@example.test"),
        ... )
        >>> message.codes, message.links, message.bcc
        (('271828',), ('https://example.test/confirm',), ('eve@example.test',))
    """

    content: bytes = field(repr=False)
    mail_from: str = ""
    rcpt_tos: tuple[str, ...] = ()
    authenticated_as: str | None = None
    over_tls: bool = False

    @cached_property
    def parsed(self) -> EmailMessage:
        """The message as :class:`email.message.EmailMessage`. Unlike the rest, it may raise on malformed headers."""
        return email.message_from_bytes(self.content, policy=email.policy.default)

    @cached_property
    def headers(self) -> Headers:
        """The decoded header fields, by name in any case; UTF-8 is read where it stands unencoded (RFC 6532)."""
        text = _head(self.content).decode("utf-8", "replace")
        items = email.parser.HeaderParser(policy=email.policy.compat32).parsestr(text).items()
        return Headers(tuple((name, " ".join(str(value).splitlines())) for name, value in items))

    @property
    def subject(self) -> str:
        """The decoded Subject, empty when there is none."""
        return self.headers.get("Subject", "")

    @cached_property
    def text(self) -> str:
        r"""The first ``text/plain`` body, decoded, lines ending in ``"\n"``; empty when there is none."""
        return _body(self._parts, "text/plain")

    @cached_property
    def _unflowed(self) -> str:
        """The text body with flowed lines joined."""
        part = _first(self._parts, "text/plain")
        if part is None or _parameter(part, "format") != "flowed":
            return self.text
        return gleaning.unflowed(self.text, delsp=_parameter(part, "delsp") == "yes")

    @cached_property
    def html(self) -> str:
        r"""The first ``text/html`` body, decoded, lines ending in ``"\n"``; empty when there is none."""
        return _body(self._parts, "text/html")

    @cached_property
    def links(self) -> tuple[str, ...]:
        """Absolute links, each once: those of the HTML body in order, then the URLs that stand in the text body.

        Of the HTML, the ``href`` of ``a`` and ``area``, and URLs that stand in text outside such elements. Absolute
        means ``scheme://``; ``mailto:``, ``cid:`` and relative links are left out. Where a line of the text body goes
        on in the next one (``format=flowed``, RFC 3676), so does a link.
        """
        return tuple(dict.fromkeys((*gleaning.page(self.html).links, *gleaning.urls(self._unflowed))))

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """One-time codes, each once: those of the subject, then of the text body, then of the visible HTML.

        A code stands alone, outside links and addresses, and is one of: 4 to 8 digits; two groups of 3 or of 4 digits
        with a space or hyphen between, which is left out; 6 to 10 upper-case letters and digits with at least one of
        each; two groups of 3 to 5 of them, equally long, joined by a hyphen, with at least one digit. No code is what
        touches ``#``, ``%``, ``/``, ``=`` or further digits (dates, phone numbers), what stands beside a currency
        (``1234 EUR``), nor the year after a copyright sign. ``G-123456`` is read as ``123456``, and so are
        ``code=123456`` and the same with ``otp``, ``pin`` and ``tan``.
        """
        seen = (self.subject, self._unflowed, gleaning.page(self.html).text)
        return tuple(dict.fromkeys(code for text in seen for code in gleaning.codes(text)))

    @cached_property
    def attachments(self) -> tuple[Attachment, ...]:
        """Parts declared as attachments, parts with a file name, and whatever is not text; inline images too."""
        return tuple(
            Attachment(_filename(part), part.get_content_type(), _payload(part))
            for part in self._parts
            if _is_attachment(part)
        )

    @property
    def bcc(self) -> tuple[str, ...]:
        """The envelope recipients that neither To nor Cc names, compared without regard to case."""
        named = email.utils.getaddresses([value for name in ("To", "Cc") for value in self.headers.raw(name)])
        seen = {address.lower() for _, address in named}
        return tuple(recipient for recipient in self.rcpt_tos if recipient.lower() not in seen)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the message to the file *path* (conventionally ``.eml``), byte by byte as it came; return the path.

        Raises:
            OSError: The file cannot be written.
        """
        target = Path(path)
        target.write_bytes(self.content)
        return target

    @cached_property
    def _parts(self) -> tuple[Part, ...]:
        try:
            return tuple(_leaves(email.message_from_bytes(self.content, policy=email.policy.compat32)))
        except (RecursionError, LookupError, ValueError):
            # Parts nested by the hundred, or parameters the email package trips over: to a reader that gives up, all
            # of it is one text.
            plain = Part()
            plain.set_payload(self.content.decode("latin-1"))
            return (plain,)


def _head(content: bytes) -> bytes:
    """Return the header section of a message (RFC 5322 section 2.1)."""
    end = content.find(b"\r\n\r\n")
    return content if end < 0 else content[:end]


def _inside(part: Part) -> list[Part]:
    """Return the parts within a part; none for one that holds text or bytes."""
    payload: Any = part.get_payload()
    return payload if isinstance(payload, list) else []


def _leaves(part: Part) -> Iterator[Part]:
    """Yield the parts that hold no other parts; an enclosed message counts as one."""
    if part.is_multipart() and not part.get_content_type().startswith(_SEPARATE):
        for one in _inside(part):
            yield from _leaves(one)
    else:
        yield part


def _is_attachment(part: Part) -> bool:
    if part.get_content_disposition() == "attachment" or _filename(part):
        return True
    return part.get_content_maintype() != "text"


def _first(parts: tuple[Part, ...], content_type: str) -> Part | None:
    return next((part for part in parts if part.get_content_type() == content_type and not _is_attachment(part)), None)


def _body(parts: tuple[Part, ...], content_type: str) -> str:
    part = _first(parts, content_type)
    return "" if part is None else _text(part).replace("\r\n", "\n").replace("\r", "\n")


def _parameter(part: Part, name: str) -> str:
    """Return a parameter of the content type in lower case; empty when there is none, or none that can be read."""
    try:
        return str(part.get_param(name, "")).lower()
    except (LookupError, ValueError):  # RFC 2231 parameters numbered beyond reason
        return ""


def _text(part: Part) -> str:
    data = _payload(part)
    try:
        return _without_surrogates(data.decode(part.get_content_charset("utf-8"), "replace"))
    except (LookupError, ValueError):  # no such charset, one that is none of text, or parameters beyond reason
        return data.decode("utf-8", "replace")


def _payload(part: Part) -> bytes:
    if part.is_multipart():
        return b"".join(one.as_bytes() for one in _inside(part))
    decoded = part.get_payload(decode=True)
    return decoded if isinstance(decoded, bytes) else b""


def _filename(part: Part) -> str:
    try:
        return _decoded(part.get_filename("") or "")
    except (LookupError, ValueError):  # RFC 2231 parameters numbered beyond reason
        return ""


def _decoded(value: str) -> str:
    """Return a header value with its encoded words decoded (RFC 2047), or as it is when they are malformed."""
    try:
        return _without_surrogates(str(email.header.make_header(email.header.decode_header(value))))
    except (email.errors.HeaderParseError, LookupError, ValueError):
        return _without_surrogates(value)


def _without_surrogates(text: str) -> str:
    """Return *text* with a replacement character for each lone surrogate, which some charsets encode (UTF-7)."""
    return _SURROGATE.sub("\ufffd", text)
