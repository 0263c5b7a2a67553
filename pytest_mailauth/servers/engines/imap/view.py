"""The selected mailbox as one client knows it: which message has which number, and what it has been told.

The mailbox changes under the feet of a session. A number keeps its meaning until the client has been told otherwise
(RFC 3501 sections 2.3.1.2 and 7.4.1); the messages of the view are therefore a list of their own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from pytest_mailauth.servers.engines.imap import strings
from pytest_mailauth.servers.engines.imap.parse import STAR, ParseError

if TYPE_CHECKING:
    from pytest_mailauth.servers.engines.imap.parse import SequenceSet
    from pytest_mailauth.servers.mailstore import Mailbox, StoredMessage

Numbered = tuple[int, "StoredMessage"]
"""A message with its sequence number."""


class View:
    """One session's view of a mailbox.

    Args:
        mailbox: The selected mailbox.
        read_only: True after EXAMINE (RFC 3501 section 6.3.2).
    """

    def __init__(self, mailbox: Mailbox, *, read_only: bool) -> None:
        self.mailbox = mailbox
        self.read_only = read_only
        self.messages = list(mailbox.messages)
        self._next = mailbox.uid_next
        self._told = {message.uid: frozenset(message.flags) for message in self.messages}

    def select(self, wanted: SequenceSet, *, by_uid: bool) -> list[Numbered]:
        """Return the messages a set names, in order.

        Unique identifiers that do not exist are passed over (RFC 3501 section 6.4.8); a sequence number that does
        not exist is an error (section 9, ``seq-number``).

        Raises:
            ParseError: A sequence number is larger than the number of messages.
        """
        places = self._by_uid(wanted) if by_uid else self._by_number(wanted)
        return [(place + 1, self.messages[place]) for place in sorted(places)]

    def _by_uid(self, wanted: SequenceSet) -> set[int]:
        uids = [message.uid for message in self.messages]
        places: set[int] = set()
        for low, high in _ordered(wanted, uids[-1] if uids else 0):
            places.update(range(bisect_left(uids, low), bisect_right(uids, high)))
        return places

    def _by_number(self, wanted: SequenceSet) -> set[int]:
        count = len(self.messages)
        places: set[int] = set()
        for low, high in _ordered(wanted, count):
            # "1:*" is what clients send to an empty mailbox too: it names nothing there.
            if high > count and not (count == 0 and STAR in {bound for pair in wanted for bound in pair}):
                raise ParseError("no message has this number")
            places.update(range(max(low, 1) - 1, min(high, count)))
        return places

    def told(self, message: StoredMessage) -> None:
        """Note that the client knows the flags this message has now."""
        self._told[message.uid] = frozenset(message.flags)

    def updates(self, *, may_expunge: bool) -> list[bytes]:
        """Return what the client has to be told, without the leading ``*``, and regard it as told.

        Args:
            may_expunge: False while FETCH, STORE or SEARCH is answered (RFC 3501 section 7.4.1).
        """
        current = self.mailbox.messages
        lines: list[bytes] = []
        if current != self.messages:
            if may_expunge:
                lines += self._removed({message.uid for message in current})
            lines += self._arrived([message for message in current if message.uid >= self._next])
        told = self._told
        for number, message in enumerate(self.messages, 1):
            if told[message.uid] != message.flags:
                lines.append(b"%d FETCH (FLAGS %b)" % (number, strings.flag_list(message.flags)))
                self.told(message)
        return lines

    def _removed(self, alive: set[int]) -> list[bytes]:
        kept: list[StoredMessage] = []
        lines = []
        for message in self.messages:
            if message.uid in alive:
                kept.append(message)
            else:
                # Every removal moves the ones behind it down by one.
                lines.append(b"%d EXPUNGE" % (len(kept) + 1))
        self.messages = kept
        return lines

    def _arrived(self, new: list[StoredMessage]) -> list[bytes]:
        if not new:
            return []
        self.messages += new
        self._next = new[-1].uid + 1
        for message in new:
            self.told(message)
        return [b"%d EXISTS" % len(self.messages), b"0 RECENT"]


def _ordered(wanted: SequenceSet, largest: int) -> list[tuple[int, int]]:
    """Return the ranges of *wanted* with ``*`` resolved, each with the smaller number first."""
    resolved = [(first or largest, last or largest) for first, last in wanted]
    return [(min(pair), max(pair)) for pair in resolved]
