"""What may be shown of a command: the line a person reads, with credentials replaced.

Only what is understood is shown. A line that is no IMAP command may be anything, a password included, and is
shown as its length.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.canary import redact
from pytest_mailauth.model.transcript import hidden_values
from pytest_mailauth.servers.engines.imap.parse import LITERAL_END, Arguments, ParseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.canary import Account

ELSEWHERE: Final = frozenset(
    (
        "COMPRESS CONVERT DELETEACL ENABLE GETACL GETMETADATA GETQUOTA GETQUOTAROOT IDLE LISTRIGHTS MOVE MYRIGHTS "
        "NAMESPACE NOTIFY REPLACE SETACL SETMETADATA SETQUOTA SORT THREAD UNAUTHENTICATE XLIST"
    ).split()
) | {"UID MOVE", "UID SORT", "UID THREAD"}
"""Commands of extensions this engine does not offer: their names may be shown."""

_MECHANISM: Final = re.compile(rb" ([A-Za-z0-9_-]{1,20})(?: (.*))?", re.DOTALL)


def command(tag: bytes, verb: str, tail: bytes, accounts: tuple[Account, ...]) -> str:
    """Return what may be shown of the first line of a known command; *tail* begins with the space behind the verb."""
    hide = _HIDDEN.get(verb)
    shown = hide(tail) if hide else readable(tail)
    return redact(f"{readable(tag)} {verb}{shown}", hidden_values(accounts))


def rest(verb: str, line: bytes, accounts: tuple[Account, ...]) -> str:
    """Return what may be shown of a line of *verb* that follows a literal."""
    if verb not in _HIDDEN:
        return redact(readable(line), hidden_values(accounts))
    return readable(line) if LITERAL_END.fullmatch(line) else f"<{len(line)} bytes>"


def readable(data: bytes) -> str:
    """Return *data* as text; what is not UTF-8 is escaped."""
    return data.decode("utf-8", "backslashreplace")


def _login(tail: bytes) -> str:
    """The user name may be shown, the password never; either may be a literal that follows."""
    announced = LITERAL_END.search(tail)
    marker = readable(announced[0]) if announced else ""
    args = Arguments(tail[: announced.start()] if announced else tail)
    try:
        user = password = b""
        if not (announced and args.at_end):
            args.space()
            user = args.astring()
        if not announced:
            args.space()
            password = args.astring()
        args.end()
    except ParseError:
        return f" <argument of {len(tail)} bytes>"
    shown = f" {readable(user)}" if user else ""
    if password:
        shown = " <user>" if password in user else shown
        marker = " <password>"
    return shown + marker


def _authenticate(tail: bytes) -> str:
    found = _MECHANISM.fullmatch(tail)
    if not found:
        return f" <argument of {len(tail)} bytes>"
    initial = "" if found[2] is None else f" <initial response of {len(found[2])} bytes>"
    return f" {readable(found[1])}{initial}"


_HIDDEN: Final[dict[str, Callable[[bytes], str]]] = {"LOGIN": _login, "AUTHENTICATE": _authenticate}
"""The commands that carry credentials."""
