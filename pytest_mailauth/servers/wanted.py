"""What a test waits for, which message fits it, and what it is told when none came.

Pure: messages and sessions in, an answer or a text out.
"""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.canary import redact
from pytest_mailauth.model.diagnosis import diagnose, ending
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Protocol
from pytest_mailauth.model.transcript import presentable, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_mailauth.servers.letters import Message
    from pytest_mailauth.servers.server import MailServer

NEAR_MISSES: Final = 10
"""Messages that are shown of those that arrived instead; the nearest."""
TAIL: Final = 20
"""Lines of the last session that are shown."""
WIDTH: Final = 72
"""Longest subject shown."""


@dataclass
class Wanted:
    """What is waited for, as given to ``wait_for_message``, and how far the messages were looked through.

    Raises:
        ConfigError: An argument makes no sense.
    """

    to: str | None
    subject: str | re.Pattern[str] | None
    match: Callable[[Message], object] | None
    after: Message | None
    timeout: float
    _seen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.to is not None and not isinstance(self.to, str):
            raise ConfigError(f"to={self.to!r} is not an address; give one envelope recipient as a string")
        is_pattern = isinstance(self.subject, re.Pattern) and isinstance(self.subject.pattern, str)
        if self.subject is not None and not (is_pattern or isinstance(self.subject, str)):
            raise ConfigError(f"subject={self.subject!r} is neither a string nor a pattern compiled from one")
        if self.match is not None and not callable(self.match):
            raise ConfigError(f"match={self.match!r} cannot be called; give a function of a message")
        if inspect.iscoroutinefunction(self.match):
            raise ConfigError(
                f"match={self.match!r} is a coroutine function, which nobody would await; give a plain one"
            )
        is_number = isinstance(self.timeout, int | float)
        if not is_number or math.isnan(self.timeout) or self.timeout < 0:
            raise ConfigError(f"timeout={self.timeout!r} is no number of seconds; give 0 or more")

    def look(self, messages: Sequence[Message]) -> Message | None:
        """Return the first message that fits among those that were not looked at before, or None.

        Raises:
            ConfigError: The message it has to come after is not here.
        """
        for message in messages[max(self._seen, self._first(messages)) :]:
            if not self._misses(message) and (self.match is None or self.match(message)):
                return message
        self._seen = len(messages)
        return None

    def _first(self, messages: Sequence[Message]) -> int:
        """Return how many messages come too early to count."""
        if self.after is None:
            return 0
        for number, message in enumerate(messages, 1):
            if message is self.after:  # two equal messages are still two
                return number
        raise ConfigError(f"after={self.after!r} is none of the messages of this inbox")

    def _misses(self, message: Message) -> list[str]:
        """Return the names of what does not fit, but for the caller's own function."""
        misses = []
        if self.to is not None and self.to.lower() not in {address.lower() for address in message.rcpt_tos}:
            misses.append("recipient")
        if isinstance(self.subject, str):
            fits = message.subject == self.subject
        else:
            fits = self.subject is None or self.subject.search(message.subject) is not None
        return misses if fits else [*misses, "subject"]

    def described(self) -> str:
        """Return what is waited for in words."""
        said = [] if self.to is None else [f"to {self.to}"]
        if isinstance(self.subject, str):
            said.append(f"with the subject {self.subject!r}")
        elif self.subject is not None:
            said.append(f"with a subject that has {self.subject.pattern!r}")
        if self.match is not None:
            name = getattr(self.match, "__name__", type(self.match).__name__)
            said.append(f"taken by {name.replace('<lambda>', 'the lambda')}")
        if self.after is not None:
            said.append("after an earlier one")
        return " ".join(["a message", *said]) if said else "any message"

    def near_misses(self, messages: Sequence[Message], hidden: tuple[tuple[str, str], ...]) -> list[str]:
        """Return a line for each of the nearest messages, in order of arrival: what it was, and what does not fit."""
        first = self._first(messages)
        told: list[tuple[int, str]] = []
        for number, message in enumerate(messages, 1):
            misses = [f"the {what} differs" for what in self._misses(message)]
            if number <= first:
                misses.append("it is not after the earlier one")
            reason = " and ".join(misses) or "the function did not take it"
            subject = _cut(redact(message.subject, hidden))  # in this order: half a password is a leak too
            told.append((len(misses), f"{number}. to {_addresses(message, hidden)}, subject {subject}: {reason}"))
        nearest = sorted(range(len(told)), key=lambda at: (told[at][0], -at))[:NEAR_MISSES]
        return [told[at][1] for at in sorted(nearest)]


def _cut(text: str) -> str:
    return repr(text) if len(text) <= WIDTH else f"{text[:WIDTH]!r}..."


def _addresses(message: Message, hidden: tuple[tuple[str, str], ...]) -> str:
    shown = ", ".join(printable(redact(address, hidden)) for address in message.rcpt_tos[:3])
    more = len(message.rcpt_tos) - 3
    return shown + (f" and {more} more" if more > 0 else "")


def account_of_failure(
    wanted: Wanted, messages: Sequence[Message], servers: Sequence[MailServer], *, over: bool, blocked_loop: bool
) -> str:
    """Return the text of ``MessageNotArrived``: what was waited for, what came instead, what clients said, what next.

    Args:
        wanted: What was waited for.
        messages: Every message that arrived.
        servers: The servers that could have taken it.
        over: Whether they are closed, so that nothing more can come.
        blocked_loop: Whether the waiting held up an event loop.
    """
    title = f"{wanted.described()} did not arrive " + (
        "and cannot: the servers are closed" if over else f"within {wanted.timeout:g} s"
    )
    hidden = tuple(dict.fromkeys(value for server in servers for value in server.hidden))
    lines = wanted.near_misses(messages, hidden)
    arrived = f"  Arrived:   {_counted(len(messages), 'message')}"
    if len(messages) > len(lines):
        arrived += f", of which the nearest {NEAR_MISSES} are"
    text = [title, arrived, *(f"    {line}" for line in lines), *_clients(servers)]
    text.append(f"  Next step: {_advice(messages, servers, blocked_loop=blocked_loop)}")
    text += _diagnosed(servers, hidden)
    return presentable("\n".join(text), hidden)


def _submission(servers: Sequence[MailServer]) -> list[MailServer]:
    return [server for server in servers if server.protocol is Protocol.SMTP]


def _clients(servers: Sequence[MailServer]) -> list[str]:
    sessions = [(server, session) for server in _submission(servers) for session in server.sessions]
    if not sessions:
        urls = ", ".join(server.url for server in _submission(servers)) or "any server: there is no SMTP server"
        return [f"  Clients:   none connected to {urls}"]
    server, last = sessions[-1]
    lines = last.transcript().splitlines()
    cut = ["...", *lines[-TAIL:]] if len(lines) > TAIL else lines
    return [
        f"  Clients:   {_counted(len(sessions), 'session')}, the last one with {server.url}",
        *(f"    {line}".rstrip() for line in cut),
    ]


def _diagnosed(servers: Sequence[MailServer], hidden: tuple[tuple[str, str], ...]) -> list[str]:
    """Return what went wrong in the sessions that could have submitted something."""
    sessions = [session for server in _submission(servers) for session in server.sessions]
    if not sessions:
        return []
    paragraphs = ending(diagnose(sessions, hidden=hidden))
    labels = ["Diagnosis:", *["Also:     "] * len(paragraphs)]
    return [f"  {label} {paragraph}" for label, paragraph in zip(labels, paragraphs, strict=False)]


def _advice(messages: Sequence[Message], servers: Sequence[MailServer], *, blocked_loop: bool) -> str:
    if blocked_loop:
        return (
            "Waiting blocked the event loop of this thread. If the application sends from it, "
            "use `await server.await_message(...)`."
        )
    if messages:
        return "Compare what arrived with what was waited for."
    if not _submission(servers):
        return "Make an SMTP server, with mailauth.smtp() or the fixture mailauth_smtp, and send to it."
    if any(server.sessions for server in _submission(servers)):
        return "See in the transcript how far the client came: only a message whose data was answered with 250 arrives."
    return "Check that the application was given host and port of this server, and that it sends at all."


def _counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
