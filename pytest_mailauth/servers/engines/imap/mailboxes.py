"""Handlers of the authenticated state: naming, listing, creating and filling mailboxes (RFC 3501 section 6.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.model import events
from pytest_mailauth.servers.engines.imap import names, strings
from pytest_mailauth.servers.engines.imap.parse import SYSTEM_FLAGS, ParseError
from pytest_mailauth.servers.engines.imap.session import Refused, Reply
from pytest_mailauth.servers.engines.imap.view import View
from pytest_mailauth.servers.mailstore import INBOX, Mailbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.servers.engines.imap.parse import Arguments
    from pytest_mailauth.servers.engines.imap.session import Session

LONGEST_NAME: Final = 255
"""Longest mailbox name that can be created, in characters."""

STATUS_ITEMS: Final[dict[bytes, Callable[[Mailbox], int]]] = {
    b"MESSAGES": lambda mailbox: len(mailbox.messages),
    b"RECENT": lambda _: 0,
    b"UIDNEXT": lambda mailbox: mailbox.uid_next,
    b"UIDVALIDITY": lambda mailbox: mailbox.uid_validity,
    b"UNSEEN": lambda mailbox: sum("\\Seen" not in message.flags for message in mailbox.messages),
}
"""What STATUS can tell (RFC 3501 section 6.3.10). No message is ever recent: RFC 9051 gave the idea up."""


def select(session: Session, args: Arguments, *, read_only: bool = False) -> Reply:
    """SELECT and EXAMINE (RFC 3501 sections 6.3.1 and 6.3.2)."""
    args.space()
    name = args.mailbox()
    args.end()
    # A failed SELECT leaves no mailbox selected.
    session.view = None
    mailbox = session.mailbox(name)
    session.view = View(mailbox, read_only=read_only)
    messages = mailbox.messages
    flags = sorted({flag for message in messages for flag in message.flags}.difference(SYSTEM_FLAGS))
    listed = strings.flag_list([*SYSTEM_FLAGS, *flags])
    lines = [b"FLAGS " + listed, b"%d EXISTS" % len(messages), b"0 RECENT"]
    unseen = next((number for number, message in enumerate(messages, 1) if "\\Seen" not in message.flags), None)
    if unseen:
        lines.append(b"OK [UNSEEN %d] first unseen message" % unseen)
    permanent = b"()" if read_only else listed[:-1] + b" \\*)"
    lines += [
        b"OK [PERMANENTFLAGS %b] flags that can be changed" % permanent,
        b"OK [UIDNEXT %d] next unique identifier" % mailbox.uid_next,
        b"OK [UIDVALIDITY %d] unique identifiers are valid" % mailbox.uid_validity,
    ]
    code = "READ-ONLY" if read_only else "READ-WRITE"
    return Reply("mailbox selected", code=code, untagged=tuple(lines))


def list_mailboxes(session: Session, args: Arguments, *, subscribed: bool = False) -> Reply:
    """LIST and LSUB (RFC 3501 sections 6.3.8 and 6.3.9)."""
    args.space()
    reference = args.mailbox()
    args.space()
    pattern = args.pattern()
    args.end()
    verb = b"LSUB" if subscribed else b"LIST"
    if not pattern:
        # An empty pattern asks for the delimiter and nothing else.
        return Reply("completed", untagged=(verb + b' (\\Noselect) "/" ""',))
    wanted = pattern if pattern.startswith(names.DELIMITER) else reference + pattern
    existing = set(session.mailboxes)
    shown = existing - session.unsubscribed if subscribed else existing
    above = {superior for name in shown for superior in names.superiors(name)}
    lines = [
        b'%b (%b) "/" %b' % (verb, _attributes(name, shown, above), strings.mailbox(name))
        for name in sorted(shown | above, key=lambda name: (name != INBOX, name))
        if names.matches(wanted, name)
    ]
    return Reply("completed", untagged=tuple(lines))


def _attributes(name: str, existing: set[str], above: set[str]) -> bytes:
    children = b"\\HasChildren" if name in above else b"\\HasNoChildren"
    return children if name in existing else b"\\Noselect " + children


def status(session: Session, args: Arguments) -> Reply:
    """STATUS (RFC 3501 section 6.3.10)."""
    args.space()
    name = args.mailbox()
    args.space()
    args.expect(b"(", "a list")
    wanted = []
    while True:
        item = args.atom().upper()
        if item not in STATUS_ITEMS:
            raise ParseError("no such status item")
        wanted.append(item)
        if args.skip(b")"):
            break
        args.space()
    args.end()
    mailbox = session.mailbox(name)
    values = b" ".join(b"%b %d" % (item, STATUS_ITEMS[item](mailbox)) for item in dict.fromkeys(wanted))
    return Reply("STATUS completed", untagged=(b"STATUS %b (%b)" % (strings.mailbox(name), values),))


def create(session: Session, args: Arguments) -> Reply:
    """CREATE (RFC 3501 section 6.3.3), superior names included."""
    args.space()
    # A delimiter at the end only announces that names will be created below.
    name = args.mailbox().removesuffix(names.DELIMITER)
    args.end()
    _add(session.mailboxes, name)
    return Reply("mailbox created")


def _add(mailboxes: dict[str, Mailbox], name: str) -> Mailbox:
    """Create the mailbox *name* and what is missing above it."""
    if name in mailboxes:
        raise Refused("there is a mailbox of this name", code="ALREADYEXISTS")
    if len(name) > LONGEST_NAME or not all(name.split(names.DELIMITER)) or set(name) & set("%*"):
        raise Refused("no mailbox can have this name", code="CANNOT")
    for missing in (*names.superiors(name), name):
        if missing not in mailboxes:
            newest = max(mailbox.uid_validity for mailbox in mailboxes.values())
            mailboxes[missing] = Mailbox(missing, uid_validity=newest + 1)
    return mailboxes[name]


def delete(session: Session, args: Arguments) -> Reply:
    """DELETE (RFC 3501 section 6.3.4). Names below stay; the name itself is then listed as not selectable."""
    args.space()
    name = args.mailbox()
    args.end()
    session.mailbox(name)
    if name == INBOX:
        raise Refused("INBOX cannot be deleted", code="CANNOT")
    del session.mailboxes[name]
    session.unsubscribed.discard(name)
    return Reply("mailbox deleted")


def rename(session: Session, args: Arguments) -> Reply:
    """RENAME (RFC 3501 section 6.3.5), names below included. INBOX is emptied into the new mailbox and stays."""
    args.space()
    old = args.mailbox()
    args.space()
    new = args.mailbox()
    args.end()
    mailboxes = session.mailboxes
    source = session.mailbox(old)
    inside = old + names.DELIMITER
    if new.startswith(inside):
        raise Refused("a mailbox cannot move below itself", code="CANNOT")
    moved = [] if old == INBOX else [name for name in mailboxes if name == old or name.startswith(inside)]
    if any(new + name.removeprefix(old) in mailboxes for name in moved):
        raise Refused("there is a mailbox of this name", code="ALREADYEXISTS")
    target = _add(mailboxes, new)
    if old == INBOX:
        for message in source.messages:
            target.add(message.content, message.flags, message.internal_date)
        source.messages = []
        return Reply("messages moved")
    for name in moved:
        mailbox = mailboxes.pop(name)
        mailbox.name = new + name.removeprefix(old)
        mailboxes[mailbox.name] = mailbox
    return Reply("mailbox renamed")


def subscribe(session: Session, args: Arguments) -> Reply:
    """SUBSCRIBE (RFC 3501 section 6.3.6). Every mailbox is subscribed until the session says otherwise."""
    args.space()
    name = args.mailbox()
    args.end()
    session.mailbox(name)
    session.unsubscribed.discard(name)
    return Reply("subscribed")


def unsubscribe(session: Session, args: Arguments) -> Reply:
    """UNSUBSCRIBE (RFC 3501 section 6.3.7), for the rest of the session."""
    args.space()
    name = args.mailbox()
    args.end()
    session.unsubscribed.add(name)
    return Reply("unsubscribed")


def append(session: Session, args: Arguments) -> Reply:
    """APPEND (RFC 3501 section 6.3.11), with APPENDUID in the reply (RFC 4315)."""
    args.space()
    name = args.mailbox()
    args.space()
    flags: set[str] = set()
    if args.starts_with(b"("):
        flags = args.flags()
        args.space()
    moment = None
    if args.starts_with(b'"'):
        moment = args.date_time()
        args.space()
    content = args.literal()
    args.end()
    mailbox = session.mailbox(name, code="TRYCREATE")
    message = mailbox.add(content, flags, moment)
    session.facts.append(events.Stored(len(content), ()))
    return Reply("message appended", code=f"APPENDUID {mailbox.uid_validity} {message.uid}")
