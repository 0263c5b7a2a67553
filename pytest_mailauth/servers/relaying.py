"""Which senders, recipients and messages an SMTP server takes: decisions, with what it remembers of earlier ones.

What is judged is answered with a reply, or with None to take it in the server's own words. A reply that a test wrote
may begin with 2, and then it takes what was offered, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.relay import POSTMASTER, comparable

if TYPE_CHECKING:
    from pytest_mailauth.model.relay import RelayPolicy
    from pytest_mailauth.servers.logins import Logins

MOST_PAIRS: Final = 10_000
"""How many pairs of sender and recipient greylisting remembers; those not tried for longest are forgotten first."""


class Relaying:
    """The memory of one server: what greylisting has seen."""

    def __init__(self, policy: RelayPolicy, logins: Logins) -> None:
        self.policy = policy
        self.logins = logins
        self._seen: dict[tuple[str, str], int] = {}

    def visit(self) -> Visit:
        """Return the memory of one session."""
        return Visit(self)

    def is_too_early(self, sender: str, recipient: str) -> bool:
        """Count an attempt, and return whether greylisting refuses it."""
        if not self.policy.greylist:
            return False
        pair = (sender, recipient)
        attempts = self._seen.pop(pair, 0) + 1
        self._seen[pair] = attempts
        if len(self._seen) > MOST_PAIRS:
            del self._seen[next(iter(self._seen))]
        return attempts <= self.policy.greylist


class Visit:
    """One session: who logged in, and how many messages it has sent."""

    def __init__(self, relaying: Relaying) -> None:
        self._relaying = relaying
        self._policy = relaying.policy
        self.login: str | None = None
        self.messages = 0

    def sender(self, address: str) -> str | None:
        """Judge MAIL FROM."""
        policy = self._policy
        if policy.login_first and self.login is None:
            return "530 5.7.0 Authentication required"
        if policy.max_messages is not None and self.messages >= policy.max_messages:
            return "452 4.3.1 Too many messages in this session"
        told = policy.senders.get(comparable(address))
        if told is not None:
            return told
        if policy.own_sender and self.login is not None:
            account = self._relaying.logins.account_of(self.login)
            if account is not None and comparable(address) not in map(comparable, (account.address, account.username)):
                return f"553 5.7.1 <{address}>: not the address of the account that logged in"
        return None

    def recipient(self, sender: str, address: str, already: int) -> str | None:
        """Judge RCPT TO; *already* recipients of this message were taken."""
        policy = self._policy
        if address in ("", "<>"):  # only a sender may be nobody (RFC 5321 section 4.1.1.3)
            return "553 5.1.3 A recipient has an address"
        mailbox = comparable(address)
        told = policy.recipients.get(mailbox)
        if told is not None:
            return told
        if policy.max_recipients is not None and already >= policy.max_recipients:
            return "452 4.5.3 Too many recipients"
        _, at, domain = mailbox.rpartition("@")
        local = mailbox == POSTMASTER or (bool(at) and domain in policy.domains)
        may_relay = policy.relay == "open" or (policy.relay == "authenticated" and self.login is not None)
        if not local and not may_relay:
            return f"550 5.7.1 <{address}>: relaying denied" + ("" if self.login else ", authenticate first")
        if local and policy.known_recipients is not None and mailbox not in policy.known_recipients:
            return f"550 5.1.1 <{address}>: no such recipient"
        if self._relaying.is_too_early(comparable(sender), mailbox):
            return f"451 4.7.1 <{address}>: greylisted, try again later"
        return None
