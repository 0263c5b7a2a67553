"""Which senders, recipients and messages an SMTP server takes: decisions, with what it remembers of earlier ones.

Every method returns the reply of a refusal, or None to take what was offered.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_mailauth.model.relay import RelayPolicy
    from pytest_mailauth.servers.logins import Logins


class Relaying:
    """The memory of one server: what greylisting has seen."""

    def __init__(self, policy: RelayPolicy, logins: Logins) -> None:
        self.policy = policy
        self.logins = logins
        self.seen: Counter[tuple[str, str]] = Counter()

    def visit(self) -> Visit:
        """Return the memory of one session."""
        return Visit(self)


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
        told = policy.senders.get(address)
        if told is not None:
            return None if told.startswith("2") else told
        if policy.own_sender and self.login is not None:
            account = self._relaying.logins.account_of(self.login)
            if account is not None and address not in (account.address, account.username):
                return f"553 5.7.1 <{address}>: not the address of the account that logged in"
        return None

    def recipient(self, sender: str, address: str, already: int) -> str | None:
        """Judge RCPT TO; *already* recipients of this message were taken."""
        policy = self._policy
        told = policy.recipients.get(address)
        if told is not None:
            return None if told.startswith("2") else told
        if policy.max_recipients is not None and already >= policy.max_recipients:
            return "452 4.5.3 Too many recipients"
        local = address.rpartition("@")[2].lower() in policy.domains
        may_relay = policy.relay == "open" or (policy.relay == "authenticated" and self.login is not None)
        if not local and not may_relay:
            return f"550 5.7.1 <{address}>: relaying denied" + ("" if self.login else ", authenticate first")
        if local and policy.known_recipients is not None and address not in policy.known_recipients:
            return f"550 5.1.1 <{address}>: no such recipient"
        pair = (sender, address)
        self._relaying.seen[pair] += 1
        if self._relaying.seen[pair] <= policy.greylist:
            return f"451 4.7.1 <{address}>: greylisted, try again later"
        return None
