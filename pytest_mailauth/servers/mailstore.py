"""One message store behind all servers of an environment: what SMTP takes in, POP3 and IMAP hand out.

Only the loop thread changes a store; other threads read copies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_mailauth.model.canary import Account
    from pytest_mailauth.servers.letters import Message

INBOX: Final = "INBOX"
HIERARCHY: Final = "/"
"""Separates the levels of a mailbox name."""


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


@runtime_checkable
class IssuesSecrets(Protocol):
    """Whoever issues secrets and remembers them."""

    @property
    def secrets(self) -> Mapping[str, str]:
        """Each of them, by a name that may be shown in its place."""


class MailStore:
    """Mailboxes by account, and every message that was ever submitted."""

    def __init__(self, accounts: tuple[Account, ...]) -> None:
        self.accounts: list[Account] = list(accounts)
        self.submitted: list[Message] = []
        self.on_delivery: Callable[[], object] = lambda: None
        self.issuers: list[IssuesSecrets] = []
        """Who issued further secrets that are not shown either: authorization servers."""
        self._mailboxes: dict[str, dict[str, Mailbox]] = {}

    def hide_issued(self, accepts: object) -> None:
        """Let the tokens be hidden whose issuer *accepts* asks, if it is a method of one or names one."""
        issuer = getattr(accepts, "issuer", None) or getattr(accepts, "__self__", None)
        if isinstance(issuer, IssuesSecrets) and issuer not in self.issuers:
            self.issuers.append(issuer)

    def issued(self) -> tuple[tuple[str, str], ...]:
        """Return every secret that was issued up to now, each with the label to show in its place."""
        return tuple((str(one), f"<{name}>") for issuer in self.issuers for name, one in issuer.secrets.items())

    def mailboxes(self, account: Account) -> dict[str, Mailbox]:
        """Return the mailboxes of *account* by name; INBOX always exists."""
        return self._mailboxes.setdefault(account.username, {INBOX: Mailbox(INBOX)})

    def mailbox(self, account: Account, name: str) -> Mailbox | None:
        """Return one mailbox or None. INBOX is named in any case (RFC 9051 section 5.1)."""
        return self.mailboxes(account).get(INBOX if name.upper() == INBOX else name)

    def made(self, account: Account, name: str) -> Mailbox:
        """Return one mailbox, made together with what is missing above it when it is not there."""
        mailboxes = self.mailboxes(account)
        levels = name.split(HIERARCHY)
        for depth in range(1, len(levels) + 1):
            path = HIERARCHY.join(levels[:depth])
            if path not in mailboxes:
                newest = max(mailbox.uid_validity for mailbox in mailboxes.values())
                mailboxes[path] = Mailbox(path, uid_validity=newest + 1)
        return mailboxes[name]

    def deliver(self, message: Message) -> None:
        """Keep a submitted message, put it into the INBOX of each recipient with an account here, and tell of it."""
        self.submitted.append(message)
        wanted = {address.lower() for address in message.rcpt_tos}
        for account in self.accounts:
            if wanted & {account.address.lower(), account.username.lower()}:
                self.mailboxes(account)[INBOX].add(message.content)
        self.on_delivery()
