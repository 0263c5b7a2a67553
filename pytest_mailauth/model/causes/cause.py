"""What a cause is: its words, its advice, where both come from, and the question that is asked of what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.model.canary import redact
from pytest_mailauth.model.exchanges import Exchange, exchanges
from pytest_mailauth.model.transcript import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.attempts import Attempt
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.terms import Certificate

SMTP_PORTS: Final = "465 or 587 to send, 995 or 110 for POP3, 993 or 143 for IMAP"
"""The ports of submission and access (S6, S13, S14; RFC 8314 section 3)."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """A cause that was found, or that none was.

    Attributes:
        name: The name of the cause in the table, such as ``"wrong-password"``; ``"nothing-known"`` for none.
        cause: What went wrong, in a sentence without its full stop.
        evidence: What was seen, and where. No secret is in it.
        advice: What to do about it.
        sources: Paragraphs of the source document (``"S9"``) and sections of RFCs.
    """

    name: str
    cause: str
    evidence: str
    advice: str = ""
    sources: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it as one paragraph of text."""
        seen = self.evidence[:1].upper() + self.evidence[1:].rstrip(".")
        return " ".join(filter(None, (f"{self.cause}. {seen}.", self.advice, self.cited)))

    @property
    def cited(self) -> str:
        """The sources in brackets: ``"(source document S9; RFC 8314 section 5.2)"``; empty when there are none."""
        own = [source for source in self.sources if is_paragraph(source)]
        others = [source for source in self.sources if not is_paragraph(source)]
        told = [f"source document {', '.join(own)}"] if own else []
        return f"({'; '.join(told + others)})" if self.sources else ""


def is_paragraph(source: str) -> bool:
    """Return whether a source is a paragraph of the source document."""
    return source[:1] == "S" and source[1:].isdigit()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One connection, as causes look at it.

    Attributes:
        session: Its record.
        hidden: What must not be shown, each value with its label.
        certificate: The certificate that the server showed; None when it is not known.
    """

    session: SessionRecord
    hidden: tuple[tuple[str, str], ...] = ()
    certificate: Certificate | None = None

    @cached_property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The commands with their replies."""
        return exchanges(self.session)

    def quoted(self, text: str) -> str:
        """Return what somebody said as it may be shown: secrets hidden before anything is cut."""
        return printable(redact(text, self.hidden))

    def answered(self, exchange: Exchange) -> str:
        """Return a command with its reply as evidence: ``"DATA was answered with 554 5.5.1 No valid recipients"``."""
        if not exchange.reply:
            return f"{self.quoted(exchange.command.line)} was not answered"
        return f"{self.quoted(exchange.command.line)} was answered with {self.quoted(exchange.reply)}"


class Cause(NamedTuple):
    """A row of the table: what is said when *look* returns evidence for a connection."""

    name: str
    words: str
    advice: str
    sources: tuple[str, ...]
    look: Callable[[Seen], str | None]


class Obstacle(NamedTuple):
    """A row of the table about attempts that led to no connection."""

    name: str
    words: str
    advice: str
    sources: tuple[str, ...]
    look: Callable[[Attempt], str | None]
