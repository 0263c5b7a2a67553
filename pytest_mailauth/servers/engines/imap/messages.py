"""Handlers of the selected state: what is done to the messages of a mailbox (RFC 3501 section 6.4).

The forms with UID are the same handlers with *by_uid* set; ``commands`` says which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.servers.engines.imap import fetch as items
from pytest_mailauth.servers.engines.imap import search as keys
from pytest_mailauth.servers.engines.imap import strings
from pytest_mailauth.servers.engines.imap.parse import ParseError
from pytest_mailauth.servers.engines.imap.session import Refused, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.servers.engines.imap.parse import Arguments
    from pytest_mailauth.servers.engines.imap.session import Session
    from pytest_mailauth.servers.engines.imap.view import View
    from pytest_mailauth.servers.mailstore import StoredMessage


def close(session: Session, args: Arguments) -> Reply:
    """CLOSE (RFC 3501 section 6.4.2): deleted messages go without a word."""
    args.end()
    if not session.view.read_only:
        _expunge(session.view, lambda _: True)
    session.view = None
    return Reply("mailbox closed")


def unselect(session: Session, args: Arguments) -> Reply:
    """UNSELECT (RFC 3691): CLOSE that removes nothing."""
    args.end()
    session.view = None
    return Reply("mailbox closed")


def expunge(session: Session, args: Arguments) -> Reply:
    """EXPUNGE (RFC 3501 section 6.4.3)."""
    args.end()
    _expunge(session.writable(), lambda _: True)
    return Reply("EXPUNGE completed")


def uid_expunge(session: Session, args: Arguments) -> Reply:
    """UID EXPUNGE (RFC 4315): of the deleted messages, only those that are named."""
    args.space()
    wanted = args.sequence_set()
    args.end()
    view = session.writable()
    named = {message.uid for _, message in view.select(wanted, by_uid=True)}
    _expunge(view, lambda message: message.uid in named)
    return Reply("EXPUNGE completed")


def _expunge(view: View, chosen: Callable[[StoredMessage], bool]) -> None:
    view.mailbox.messages = [
        message for message in view.mailbox.messages if "\\Deleted" not in message.flags or not chosen(message)
    ]


def search(session: Session, args: Arguments, *, by_uid: bool = False) -> Reply:
    """SEARCH (RFC 3501 section 6.4.4)."""
    args.space()
    view = session.view
    wanted = keys.parse(args, view)
    args.end()
    found = [
        message.uid if by_uid else number
        for number, message in enumerate(view.messages, 1)
        if wanted(keys.Candidate(number, message))
    ]
    line = " ".join(["SEARCH", *map(str, found)])
    return Reply("SEARCH completed", untagged=(line.encode("ascii"),))


def fetch(session: Session, args: Arguments, *, by_uid: bool = False) -> Reply:
    """FETCH (RFC 3501 section 6.4.5). Reading a text sets the Seen flag, and the change is reported."""
    args.space()
    wanted = args.sequence_set()
    args.space()
    asked = items.parse(args)
    args.end()
    view = session.view
    chosen = view.select(wanted, by_uid=by_uid)
    if by_uid:
        asked = [items.UID, *(item for item in asked if item != items.UID)]
    marks = not view.read_only and any(item.marks_seen for item in asked)
    lines = []
    for number, message in chosen:
        now = asked
        if marks and "\\Seen" not in message.flags:
            message.flags.add("\\Seen")
            now = asked if items.FLAGS in asked else [*asked, items.FLAGS]
        if items.FLAGS in now:
            view.told(message)
        lines.append(b"%d FETCH %b" % (number, items.render(now, message)))
    return Reply("FETCH completed", untagged=tuple(lines))


def store(session: Session, args: Arguments, *, by_uid: bool = False) -> Reply:
    """STORE (RFC 3501 section 6.4.6)."""
    args.space()
    wanted = args.sequence_set()
    args.space()
    action = args.atom().upper()
    args.space()
    flags = args.flags()
    args.end()
    change = _CHANGES.get(action.removesuffix(b".SILENT"))
    if change is None:
        raise ParseError("FLAGS, +FLAGS or -FLAGS expected")
    view = session.writable()
    answer = [items.UID, items.FLAGS] if by_uid else [items.FLAGS]
    lines = []
    for number, message in view.select(wanted, by_uid=by_uid):
        message.flags = change(message.flags, flags)
        view.told(message)
        if not action.endswith(b".SILENT"):
            lines.append(b"%d FETCH %b" % (number, items.render(answer, message)))
    return Reply("STORE completed", untagged=tuple(lines))


def _without(old: set[str], removed: set[str]) -> set[str]:
    folded = {flag.lower() for flag in removed}
    return {flag for flag in old if flag.lower() not in folded}


_CHANGES: dict[bytes, Callable[[set[str], set[str]], set[str]]] = {
    b"FLAGS": lambda _, flags: set(flags),
    b"+FLAGS": lambda old, flags: _without(flags, old) | old,
    b"-FLAGS": _without,
}
"""What STORE does to the flags. Letters are compared without regard to case (RFC 3501 section 9)."""


def copy(session: Session, args: Arguments, *, by_uid: bool = False) -> Reply:
    """COPY (RFC 3501 section 6.4.7), with COPYUID in the reply (RFC 4315)."""
    args.space()
    wanted = args.sequence_set()
    args.space()
    name = args.mailbox()
    args.end()
    chosen = [message for _, message in session.view.select(wanted, by_uid=by_uid)]
    target = session.mailbox(name, code="TRYCREATE")
    if not chosen:
        if by_uid:
            return Reply("nothing to copy")
        raise Refused("nothing to copy")
    copies = [target.add(message.content, message.flags, message.internal_date) for message in chosen]
    sources = strings.number_set(message.uid for message in chosen)
    targets = strings.number_set(message.uid for message in copies)
    return Reply("COPY completed", code=f"COPYUID {target.uid_validity} {sources} {targets}")
