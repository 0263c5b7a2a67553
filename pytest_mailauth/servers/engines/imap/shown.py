"""What may be shown of a command: the line a person reads, with credentials replaced.

Only what is understood is shown. A line that is no IMAP command may be anything, a password included, and is
shown as its length.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.transcript import hide
from pytest_mailauth.servers.engines.imap.commands import COMMANDS
from pytest_mailauth.servers.engines.imap.parse import LITERAL_END, Arguments, ParseError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_mailauth.model.canary import Account

ELSEWHERE: Final = frozenset(
    {
        *("COMPRESS", "ENABLE", "IDLE", "NAMESPACE", "NOTIFY", "UNAUTHENTICATE", "XLIST"),
        *("MOVE", "REPLACE", "SORT", "THREAD", "UID MOVE", "UID SORT", "UID THREAD"),
        *("GETACL", "SETACL", "DELETEACL", "LISTRIGHTS", "MYRIGHTS"),
        *("GETQUOTA", "GETQUOTAROOT", "SETQUOTA", "GETMETADATA", "SETMETADATA"),
    }
)
"""Commands of extensions this engine does not offer: their names may be shown."""

_MECHANISM: Final = re.compile(rb" ([A-Za-z0-9_-]{1,20})(?: (.*))?", re.DOTALL)


def is_known(verb: str) -> bool:
    """True for the name of an IMAP command, whether or not it can be carried out."""
    return verb in COMMANDS or verb in ELSEWHERE


def first_line(tag: bytes, verb: str, tail: bytes, accounts: Sequence[Account]) -> str:
    """Return what may be shown of the first line of a command; *tail* begins with the space behind the verb."""
    if not is_known(verb):
        return f"<unknown command: {len(tag) + 1 + len(verb) + len(tail)} bytes>"
    of_a_login = _HIDDEN.get(verb)
    argument = of_a_login(tail, accounts) if of_a_login else readable(tail)
    return hide(f"{readable(tag)} {verb}{argument}", accounts)


def later_line(verb: str, line: bytes, accounts: Sequence[Account]) -> str:
    """Return what may be shown of a line of the command *verb* that follows a literal."""
    if is_known(verb) and (verb not in _HIDDEN or LITERAL_END.fullmatch(line)):
        return hide(readable(line), accounts)
    return f"<{len(line)} bytes>"


def readable(data: bytes) -> str:
    """Return *data* as text; what is not UTF-8 is escaped."""
    return data.decode("utf-8", "backslashreplace")


def _login(tail: bytes, accounts: Sequence[Account]) -> str:
    """A user name is shown if it is known: another one might be a password in the wrong place. Both may be literals."""
    announced = LITERAL_END.search(tail)
    args = Arguments(tail[: announced.start()] if announced else tail)
    words = []
    try:
        if not (announced and args.at_end):
            args.space()
            words.append(_user(args.astring(), accounts))
        if announced:
            words.append(readable(announced[0][1:]))
        else:
            args.space()
            args.astring()
            words.append("<password>")
        args.end()
    except ParseError:
        words = [f"<argument of {len(tail)} bytes>"]
    return "".join(f" {word}" for word in words)


def _user(name: bytes, accounts: Sequence[Account]) -> str:
    known = {known for account in accounts for known in (account.username, account.address)}
    return readable(name) if readable(name) in known else f"<unknown name of {len(name)} bytes>"


def _authenticate(tail: bytes, _accounts: Sequence[Account]) -> str:
    found = _MECHANISM.fullmatch(tail)
    if not found:
        return f" <argument of {len(tail)} bytes>"
    initial = "" if found[2] is None else f" <initial response of {len(found[2])} bytes>"
    return f" {readable(found[1])}{initial}"


_HIDDEN: Final[dict[str, Callable[[bytes, Sequence[Account]], str]]] = {
    "LOGIN": _login,
    "AUTHENTICATE": _authenticate,
}
"""The commands that carry credentials."""
