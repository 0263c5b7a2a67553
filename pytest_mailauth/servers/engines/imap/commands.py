"""The commands: verb to the states it is allowed in and to its handler. To add a command, add a row."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.servers.engines.imap import login, mailboxes, messages
from pytest_mailauth.servers.engines.imap.session import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.servers.engines.imap.parse import Arguments
    from pytest_mailauth.servers.engines.imap.session import Handler, Session

ANY: Final = frozenset({State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED})
BEFORE_LOGIN: Final = frozenset({State.NOT_AUTHENTICATED})
AFTER_LOGIN: Final = frozenset({State.AUTHENTICATED, State.SELECTED})
SELECTED: Final = frozenset({State.SELECTED})


class Command(NamedTuple):
    """One command.

    Attributes:
        states: Where it is allowed (RFC 3501 section 3); anywhere else it is answered with BAD.
        handler: What carries it out.
        may_expunge: Whether its reply may tell of removed messages (RFC 3501 section 7.4.1).
        witness: What states the credentials in it when it is not carried out.
    """

    states: frozenset[State]
    handler: Handler
    may_expunge: bool = True
    witness: Callable[[Session, Arguments], None] | None = None


COMMANDS: Final[dict[str, Command]] = {
    "CAPABILITY": Command(ANY, login.capability),
    "NOOP": Command(ANY, login.noop),
    "LOGOUT": Command(ANY, login.logout),
    "ID": Command(ANY, login.identify),
    "STARTTLS": Command(BEFORE_LOGIN, login.starttls),
    "AUTHENTICATE": Command(BEFORE_LOGIN, login.authenticate, witness=login.witness_authenticate),
    "LOGIN": Command(BEFORE_LOGIN, login.login, witness=login.witness_login),
    "SELECT": Command(AFTER_LOGIN, mailboxes.select),
    "EXAMINE": Command(AFTER_LOGIN, partial(mailboxes.select, read_only=True)),
    "CREATE": Command(AFTER_LOGIN, mailboxes.create),
    "DELETE": Command(AFTER_LOGIN, mailboxes.delete),
    "RENAME": Command(AFTER_LOGIN, mailboxes.rename),
    "SUBSCRIBE": Command(AFTER_LOGIN, mailboxes.subscribe),
    "UNSUBSCRIBE": Command(AFTER_LOGIN, mailboxes.unsubscribe),
    "LIST": Command(AFTER_LOGIN, mailboxes.list_mailboxes),
    "LSUB": Command(AFTER_LOGIN, partial(mailboxes.list_mailboxes, subscribed=True)),
    "STATUS": Command(AFTER_LOGIN, mailboxes.status),
    "APPEND": Command(AFTER_LOGIN, mailboxes.append),
    "CHECK": Command(SELECTED, login.noop),
    "CLOSE": Command(SELECTED, messages.close),
    "UNSELECT": Command(SELECTED, messages.unselect),
    "EXPUNGE": Command(SELECTED, messages.expunge),
    "SEARCH": Command(SELECTED, messages.search, may_expunge=False),
    "FETCH": Command(SELECTED, messages.fetch, may_expunge=False),
    "STORE": Command(SELECTED, messages.store, may_expunge=False),
    "COPY": Command(SELECTED, messages.copy),
    "UID SEARCH": Command(SELECTED, partial(messages.search, by_uid=True)),
    "UID FETCH": Command(SELECTED, partial(messages.fetch, by_uid=True)),
    "UID STORE": Command(SELECTED, partial(messages.store, by_uid=True)),
    "UID COPY": Command(SELECTED, partial(messages.copy, by_uid=True)),
    "UID EXPUNGE": Command(SELECTED, messages.uid_expunge),
}
