"""Commands with the replies they got, as far as a record shows both. What a command is for, and nothing of verdicts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.model import events as e
from pytest_mailauth.model.terms import Layer, Protocol

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord

DISCOVERY: Final[dict[Protocol, frozenset[str]]] = {
    Protocol.SMTP: frozenset({"EHLO", "HELO", "STARTTLS", "NOOP", "RSET", "QUIT", "HELP"}),
    Protocol.POP3: frozenset({"CAPA", "STLS", "QUIT"}),
    # ID is sent in clear by honest clients; what it tells is another rule's matter.
    Protocol.IMAP: frozenset({"CAPABILITY", "STARTTLS", "NOOP", "LOGOUT", "ID"}),
}
"""Commands that reveal and change nothing: allowed in clear even where TLS is required (RFC 8314 section 5.2)."""

CAPABILITIES: Final = {Protocol.SMTP: "EHLO", Protocol.POP3: "CAPA", Protocol.IMAP: "CAPABILITY"}
"""The command that asks what a server can do."""
LOGINS: Final = frozenset({"AUTH", "AUTHENTICATE", "LOGIN", "USER", "PASS", "APOP"})
TLS_STARTERS: Final = frozenset({"STARTTLS", "STLS"})
_GOES_ON: Final = ("334", "354", "+ ")
"""How a reply begins that asks for more (RFC 4954 section 4, RFC 5321 section 4.1.1.4, RFC 5034 section 4)."""
_REFUSED: Final = {
    Protocol.SMTP: re.compile(r"[45]\d\d"),
    Protocol.POP3: re.compile(r"-ERR"),
    Protocol.IMAP: re.compile(r"NO|BAD|\* BYE"),
}


class Exchange(NamedTuple):
    """A command, where it was said, and the last reply to it in one line; empty where none came."""

    layer: Layer
    command: e.Command
    reply: str
    is_refused: bool
    presented: tuple[e.Authentication, ...]


def exchanges(session: SessionRecord) -> tuple[Exchange, ...]:
    """Return the commands of a session in order, each with what was replied to it."""
    found: list[tuple[Layer, e.Command, list[bytes], list[e.Authentication]]] = []
    for entry in session.entries:
        if isinstance(entry.fact, e.Command):
            found.append((entry.layer, entry.fact, [], []))
        elif found and isinstance(entry.fact, e.Sent):
            found[-1][2].append(entry.fact.data)
        elif found and isinstance(entry.fact, e.Authentication):
            found[-1][3].append(entry.fact)
    made = []
    for layer, command, sent, presented in found:
        reply = _last(session.protocol, command, b"".join(sent).decode("utf-8", "backslashreplace"))
        refused = _REFUSED[session.protocol].match(reply) is not None
        made.append(Exchange(layer, command, reply, refused, tuple(presented)))
    return tuple(made)


def _last(protocol: Protocol, command: e.Command, said: str) -> str:
    """Return the reply that ended the command."""
    lines = [line.rstrip("\r") for line in said.split("\n") if line.strip()]
    if protocol is Protocol.IMAP:
        tag = command.tag.decode("utf-8", "backslashreplace") + " "
        return next((line.removeprefix(tag) for line in reversed(lines) if line.startswith(tag)), "")
    if protocol is Protocol.POP3:  # what follows the first line may be a message
        return next((line for line in lines if not line.startswith(_GOES_ON)), "")
    final = [line for line in lines if not line.startswith(_GOES_ON)]
    code = final[-1][:3] if final else ""
    first = next((at for at, line in enumerate(final) if line[:3] == code), 0)
    return " ".join([*final[first : first + 1], *(line[4:] for line in final[first + 1 :])])


def greeting(session: SessionRecord) -> str:
    """Return the first line that the server sent; empty when it sent none."""
    sent = b"".join(fact.data for fact in session.of(e.Sent)[:1])
    return sent.decode("utf-8", "backslashreplace").partition("\r\n")[0]


def is_turned_away(session: SessionRecord) -> bool:
    """Return whether the greeting refused the service: 554 or 421, ``-ERR``, ``* BYE``."""
    return _REFUSED[session.protocol].match(greeting(session)) is not None


def is_operation(protocol: Protocol, command: e.Command) -> bool:
    """Return whether *command* does more than discover, secure or leave. POP3 ``AUTH`` alone only lists.

    A line without a verb is no command: a ClientHello on a cleartext port looks like that.
    """
    if not command.verb:
        return False
    if protocol is Protocol.POP3 and command.verb == "AUTH" and not command.argument:
        return False
    return command.verb not in DISCOVERY[protocol]


def operations_in_clear(session: SessionRecord) -> tuple[e.Command, ...]:
    """Return what a client did outside TLS beyond discovery, in order."""
    return tuple(c for c in session.of(e.Command, Layer.CLEAR) if is_operation(session.protocol, c))
