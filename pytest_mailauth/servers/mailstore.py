"""One message store behind all servers of an environment: what SMTP takes in, POP3 and IMAP hand out.

Only the loop thread changes a store; other threads read copies.
"""

from __future__ import annotations

import email
import email.policy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import EmailMessage

    from pytest_mailauth.model.canary import Account

INBOX: Final = "INBOX"


@dataclass(frozen=True)
class Message:
    """A message as a server took it over.

    Attributes:
        content: The message as it crossed the wire, dot-stuffing removed, lines ending in CRLF.
        mail_from: The envelope sender; empty for an appended message.
        rcpt_tos: The envelope recipients, BCC included.
        authenticated_as: Login name of the submitting client, or None.
        over_tls: Whether it came in over TLS.
    """

    content: bytes = field(repr=False)
    mail_from: str = ""
    rcpt_tos: tuple[str, ...] = ()
    authenticated_as: str | None = None
    over_tls: bool = False

    @cached_property
    def parsed(self) -> EmailMessage:
        """The message as :class:`email.message.EmailMessage`."""
        return email.message_from_bytes(self.content, policy=email.policy.default)

    @property
    def subject(self) -> str:
        """The decoded Subject, empty when there is none."""
        return str(self.parsed["Subject"] or "")


@dataclass
class StoredMessage:
    """A message in a mailbox: its unique identifier, flags and internal date (RFC 9051 section 2.3)."""

    uid: int
    content: bytes = field(repr=False)
    flags: set[str] = field(default_factory=set)
    internal_date: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Mailbox:
    """A named list of messages in ascending order of unique identifiers (RFC 9051 section 2.3.1.1)."""

    name: str
    uid_validity: int = 1
    uid_next: int = 1
    messages: list[StoredMessage] = field(default_factory=list)

    def add(self, content: bytes, flags: Iterable[str] = (), internal_date: datetime | None = None) -> StoredMessage:
        """Append a message, give it the next unique identifier, and return it."""
        message = StoredMessage(self.uid_next, content, set(flags), internal_date or datetime.now(UTC))
        self.uid_next += 1
        self.messages.append(message)
        return message


class MailStore:
    """Mailboxes by account, and every message that was ever submitted."""

    def __init__(self, accounts: tuple[Account, ...]) -> None:
        self.accounts = accounts
        self.submitted: list[Message] = []
        self._mailboxes: dict[str, dict[str, Mailbox]] = {}

    def mailboxes(self, account: Account) -> dict[str, Mailbox]:
        """Return the mailboxes of *account* by name; INBOX always exists."""
        return self._mailboxes.setdefault(account.username, {INBOX: Mailbox(INBOX)})

    def mailbox(self, account: Account, name: str) -> Mailbox | None:
        """Return one mailbox or None. INBOX is named in any case (RFC 9051 section 5.1)."""
        return self.mailboxes(account).get(INBOX if name.upper() == INBOX else name)

    def deliver(self, message: Message) -> None:
        """Keep a submitted message, and put it into the INBOX of each recipient that has an account here."""
        self.submitted.append(message)
        wanted = {address.lower() for address in message.rcpt_tos}
        for account in self.accounts:
            if wanted & {account.address.lower(), account.username.lower()}:
                self.mailboxes(account)[INBOX].add(message.content)
