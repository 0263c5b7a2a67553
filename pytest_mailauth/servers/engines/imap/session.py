"""What one connection knows, and the words in which a handler answers.

Handlers change a :class:`Session` and return a :class:`Reply` or a :class:`Continue`; they never see a tag, a
buffer or an output. Every decision is asked of the policy.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.servers.engines.imap.parse import Arguments

if TYPE_CHECKING:
    from pytest_mailauth.model.canary import Account
    from pytest_mailauth.model.events import Fact
    from pytest_mailauth.servers.engines.imap.view import View
    from pytest_mailauth.servers.mailstore import Mailbox, MailStore
    from pytest_mailauth.servers.policy import Policy
    from pytest_mailauth.servers.sasl import Peer

EXTENSIONS: Final = ("IMAP4rev1", "SASL-IR", "ID", "LITERAL+", "UIDPLUS", "UNSELECT", "CHILDREN")
"""What the engine can do on every layer and in every state: RFC 3501, 4959, 2971, 7888, 4315, 3691 and 3348."""


class State(Enum):
    """The four states of a connection (RFC 3501 section 3)."""

    NOT_AUTHENTICATED = auto()
    AUTHENTICATED = auto()
    SELECTED = auto()
    LOGOUT = auto()


class Reply(NamedTuple):
    """The end of a command.

    Attributes:
        text: Words for people, behind the status and the code.
        status: ``OK``, ``NO`` or ``BAD`` (RFC 3501 section 7.1).
        code: A response code without its brackets.
        untagged: Lines that come first, without the leading ``*``.
        start_tls: Whether TLS starts right behind this reply.
    """

    text: str
    status: str = "OK"
    code: str = ""
    untagged: tuple[bytes, ...] = ()
    start_tls: bool = False


class Continue(NamedTuple):
    """The command waits for one more line from the client.

    Attributes:
        prompt: What follows the plus sign (RFC 3501 section 7.5).
        resume: Takes that line, or None when it was too long or held what no line may hold.
    """

    prompt: bytes
    resume: Callable[[bytes | None], Reply | Continue]


class Refused(Exception):
    """A command that is not carried out; raised by a handler, answered by the engine."""

    def __init__(self, text: str, *, code: str = "", status: str = "NO") -> None:
        super().__init__(text)
        self.reply = Reply(text, status, code)


Handler = Callable[["Session", Arguments], Reply | Continue]


class Session:
    """The state of one connection on one layer; a new one is made when TLS has started."""

    def __init__(self, policy: Policy, store: MailStore, *, over_tls: bool) -> None:
        self.policy = policy
        self.store = store
        self.over_tls = over_tls
        self.peer: Peer | None = None
        self.state = State.NOT_AUTHENTICATED
        self.facts: list[Fact] = []
        self.unsubscribed: set[str] = set()
        self._account: Account | None = None
        self._view: View | None = None

    def enter(self, account: Account) -> None:
        """Let *account* in."""
        self._account = account
        self.state = State.AUTHENTICATED

    @property
    def mailboxes(self) -> dict[str, Mailbox]:
        """The mailboxes of the account that is logged in, by name."""
        if self._account is None:
            raise LookupError("nobody is logged in: the command's row allows a state it must not")
        return self.store.mailboxes(self._account)

    def mailbox(self, name: str, *, code: str = "NONEXISTENT") -> Mailbox:
        """Return one mailbox.

        Raises:
            Refused: There is none of this name; *code* is the response code of the reply.
        """
        found = self.mailboxes.get(name)
        if found is None:
            raise Refused("no such mailbox", code=code)
        return found

    @property
    def view(self) -> View:
        """The selected mailbox."""
        if self._view is None:
            raise LookupError("no mailbox is selected: the command's row allows a state it must not")
        return self._view

    @view.setter
    def view(self, view: View | None) -> None:
        self._view = view
        self.state = State.SELECTED if view else State.AUTHENTICATED

    def writable(self) -> View:
        """Return the selected mailbox for a change.

        Raises:
            Refused: It was opened with EXAMINE.
        """
        if self.view.read_only:
            raise Refused("the mailbox is open read-only")
        return self.view

    def capabilities(self) -> tuple[str, ...]:
        """Return the capabilities as they are announced here and now (RFC 3501 section 7.2.1).

        After authentication what concerns logging in is left out.
        """
        names = list(EXTENSIONS)
        if self.state is State.NOT_AUTHENTICATED:
            if self.policy.may_start_tls(over_tls=self.over_tls):
                names.append("STARTTLS")
            mechanisms = self.policy.announced_mechanisms(self.peer, over_tls=self.over_tls)
            names += [f"AUTH={name}" for name in mechanisms]
            if not self.policy.may_use_password_command(over_tls=self.over_tls):
                names.append("LOGINDISABLED")
        return self.policy.advertised(tuple(names), over_tls=self.over_tls)

    def capability_code(self) -> str:
        """Return the capabilities as a response code; empty when the server hides them all."""
        names = self.capabilities()
        return " ".join(("CAPABILITY", *names)) if names else ""
