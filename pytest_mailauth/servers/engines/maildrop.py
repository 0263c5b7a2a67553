"""The POP3 view of a mailbox, and the commands that read and mark it: messages numbered at login, sizes in octets.

A maildrop never changes during a session, whatever happens to the mailbox behind it, and deletions wait for QUIT
(RFC 1939 sections 4 to 6). Who may see it is decided before anything here is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.servers.engines import pop3_syntax as syntax
from pytest_mailauth.servers.engines.pop3_syntax import err, listing, multi_line, ok

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from pytest_mailauth.servers.engines.contract import Send
    from pytest_mailauth.servers.mailstore import Mailbox


class Held(NamedTuple):
    """A message as it was at login. Every line of *content* ends with CRLF, so its length is the size to state."""

    uid: int
    unique_id: str
    content: bytes

    @property
    def size(self) -> int:
        """Octets, as a client counts them after it removed the dot-stuffing (RFC 1939 section 11)."""
        return len(self.content)

    def top(self, count: int) -> bytes:
        """Return the header, the blank line and the first *count* lines of the body (RFC 1939 section 7)."""
        header, blank, body = (b"\r\n" + self.content).partition(b"\r\n\r\n")
        lines = body.split(b"\r\n", count)
        if len(lines) <= count:
            return self.content
        return (header + blank)[2:] + b"".join(line + b"\r\n" for line in lines[:count])


def _in_lines(content: bytes) -> bytes:
    lines = content.replace(b"\r\n", b"\n").split(b"\n")
    if lines[-1]:
        lines.append(b"")
    return b"\r\n".join(lines)


class Maildrop:
    """The messages of one mailbox at this moment, numbered from 1."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._all = {
            number: Held(message.uid, f"{mailbox.uid_validity}-{message.uid}", _in_lines(message.content))
            for number, message in enumerate(mailbox.messages, 1)
        }
        self._deleted: set[int] = set()

    def present(self) -> dict[int, Held]:
        """Return the messages that are not marked as deleted, by number."""
        return {number: held for number, held in self._all.items() if number not in self._deleted}

    def totals(self) -> tuple[int, int]:
        """Return how many messages are present, and their octets together."""
        sizes = [held.size for held in self.present().values()]
        return len(sizes), sum(sizes)

    def find(self, number: int) -> Held | str:
        """Return a message, or in words why there is none of this number."""
        if number in self._deleted:
            return f"message {number} is deleted"
        return self._all.get(number, f"no such message, only {len(self._all)} in the maildrop")

    def delete(self, number: int) -> None:
        """Mark a message as deleted. The number must be one that :meth:`find` finds."""
        self._deleted.add(number)

    def restore(self) -> None:
        """Take every mark back."""
        self._deleted.clear()

    def update(self) -> None:
        """Remove the marked messages from the mailbox, and nothing else (RFC 1939 section 6)."""
        gone = {self._all[number].uid for number in self._deleted}
        self._mailbox.messages[:] = [message for message in self._mailbox.messages if message.uid not in gone]


class MaildropCommand(NamedTuple):
    """A command on a maildrop: what it takes, how that is explained, and what answers it."""

    syntax: re.Pattern[bytes]
    usage: str
    answer: Callable[[Maildrop, bytes], Send]


def summary(drop: Maildrop) -> Send:
    """Return the response that says how much is there."""
    count, size = drop.totals()
    return ok(f"maildrop has {count} messages ({size} octets)")


def _about(drop: Maildrop, number: bytes, reply: Callable[[Held], Send]) -> Send:
    held = drop.find(int(number))
    return err(held) if isinstance(held, str) else reply(held)


def _scan(drop: Maildrop, argument: bytes, column: Callable[[Held], object]) -> Send:
    if argument:
        return _about(drop, argument, lambda held: ok(f"{int(argument)} {column(held)}"))
    return listing("listing:", (f"{number} {column(held)}" for number, held in drop.present().items()))


def _stat(drop: Maildrop, _argument: bytes) -> Send:
    count, size = drop.totals()
    return ok(f"{count} {size}")


def _list(drop: Maildrop, argument: bytes) -> Send:
    return _scan(drop, argument, lambda held: held.size)


def _uidl(drop: Maildrop, argument: bytes) -> Send:
    return _scan(drop, argument, lambda held: held.unique_id)


def _retr(drop: Maildrop, argument: bytes) -> Send:
    return _about(drop, argument, lambda held: multi_line(f"{held.size} octets", held.content))


def _top(drop: Maildrop, argument: bytes) -> Send:
    number, count = argument.split(b" ")
    return _about(drop, number, lambda held: multi_line("top of the message:", held.top(int(count))))


def _dele(drop: Maildrop, argument: bytes) -> Send:
    def mark(_held: Held) -> Send:
        drop.delete(int(argument))
        return ok(f"message {int(argument)} deleted")

    return _about(drop, argument, mark)


def _noop(_drop: Maildrop, _argument: bytes) -> Send:
    return ok("nothing done")


def _rset(drop: Maildrop, _argument: bytes) -> Send:
    drop.restore()
    return summary(drop)


COMMANDS: Final = {
    "STAT": MaildropCommand(syntax.NOTHING, "STAT", _stat),
    "LIST": MaildropCommand(syntax.MAYBE_NUMBER, "LIST [msg]", _list),
    "UIDL": MaildropCommand(syntax.MAYBE_NUMBER, "UIDL [msg]", _uidl),
    "RETR": MaildropCommand(syntax.NUMBER, "RETR msg", _retr),
    "TOP": MaildropCommand(syntax.TWO_NUMBERS, "TOP msg n", _top),
    "DELE": MaildropCommand(syntax.NUMBER, "DELE msg", _dele),
    "NOOP": MaildropCommand(syntax.NOTHING, "NOOP", _noop),
    "RSET": MaildropCommand(syntax.NOTHING, "RSET", _rset),
}
"""The commands of the transaction state, without QUIT and CAPA (RFC 1939 sections 5 and 7)."""
