"""What a test tells a server to do about certain commands: expectations, in the order in which they are tried.

A script is told from the thread of the test and asked from the thread that serves; one lock keeps the two apart.
It knows commands as words and answers with acts. No socket, clock or engine is known here.
"""

from __future__ import annotations

import re
import threading
import traceback
from typing import TYPE_CHECKING, Final, Self

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Protocol
from pytest_mailauth.servers.acts import Act, Faults, garbage, seconds_of
from pytest_mailauth.servers.engines.contract import Close, Reset
from pytest_mailauth.servers.replies import reply_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Argument = str | re.Pattern[str] | Callable[[str], object] | None

MESSAGE: Final = "DATA-END"
"""The verb of the end of an SMTP message, which is answered like a command; its argument is the message."""
GREETING: Final = "GREETING"
"""The verb of the moment in which a client connects, which is answered like a command."""

_VERB: Final = {
    Protocol.SMTP: re.compile(rf"[A-Z]+|{MESSAGE}"),
    Protocol.POP3: re.compile(r"[A-Z][A-Z0-9]{2,3}"),
    Protocol.IMAP: re.compile(r"(?:UID )?[A-Z][A-Z0-9]*"),
}
_ELSEWHERE: Final = {
    (Protocol.SMTP, "STLS"): "STARTTLS",
    (Protocol.SMTP, "AUTHENTICATE"): "AUTH",
    (Protocol.SMTP, "LOGIN"): "AUTH",
    (Protocol.SMTP, "LOGOUT"): "QUIT",
    (Protocol.POP3, "STARTTLS"): "STLS",
    (Protocol.POP3, "AUTHENTICATE"): "AUTH",
    (Protocol.POP3, "LOGIN"): "PASS",
    (Protocol.POP3, "LOGOUT"): "QUIT",
    (Protocol.IMAP, "STLS"): "STARTTLS",
    (Protocol.IMAP, "AUTH"): "AUTHENTICATE",
    (Protocol.IMAP, "QUIT"): "LOGOUT",
}
"""What a command of another protocol is called in this one."""
_PATHS: Final = frozenset({"MAIL", "RCPT"})
_PATH: Final = re.compile(r":\s*<?([^>\s]*)")
_MARKS: Final = re.compile(r'[\s"()]+')


def _words(text: str) -> str:
    """Return *text* in one case, between single spaces and without the marks around its words."""
    return f" {_MARKS.sub(' ', text).strip().casefold()} "


def _verb_of(protocol: Protocol, verb: str) -> str:
    given = " ".join(verb.upper().split())
    name = MESSAGE if given == "MESSAGE" and protocol is Protocol.SMTP else given
    other = _ELSEWHERE.get((protocol, name))
    if other is not None:
        raise ConfigError(f"on: {protocol} has no {name}; the command is called {other}")
    if name != GREETING and not _VERB[protocol].fullmatch(name):
        raise ConfigError(f"on: {verb!r} is no {protocol} command; give its name alone, and the rest as arg=...")
    return name


class Expectation:
    """A command that a test waits for, and what the server does about it. Made by ``server.on(...)``.

    Every method returns the expectation, so that they can be chained. Those that are given no number of times hold
    for every command that matches, and wait for at least one.
    """

    def __init__(self, protocol: Protocol, verb: str, arg: Argument, lock: threading.RLock) -> None:
        self.verb = _verb_of(protocol, verb)
        self.used = 0
        self.is_optional = False
        self._called = verb
        self._arg = arg
        self._protocol = protocol
        self._lock = lock
        self._limit: int | None = None
        self._said: Callable[[bytes], bytes] | None = None
        self._end: Close | Reset | None = None
        self._wait = self._drip = 0.0
        self._told: list[str] = []
        if arg is not None and self.verb == GREETING:
            raise ConfigError("on: a greeting answers no command, so there is no argument; leave arg out")
        if arg is not None and not isinstance(arg, str | re.Pattern) and not callable(arg):
            raise ConfigError(f"on: arg={arg!r} is neither a text nor a pattern nor a function of the argument")

    def __repr__(self) -> str:
        given = "" if self._arg is None else f", arg={self._arg!r}"
        return f"on({self._called!r}{given})"

    # What the server does.

    def reply(self, code_or_text: int | str, text: str = "") -> Self:
        r"""Answer with this reply, and do not carry the command out.

        Args:
            code_or_text: SMTP: the code. POP3 and IMAP: the whole response; the tag is put in front of an IMAP status.
            text: SMTP: the text behind the code. Lines, in all three protocols, are parted by ``\n``.

        Raises:
            ConfigError: The protocol has no such reply, or another answer was given before.
        """
        return self._answer("reply", reply_of(self._protocol, code_or_text, text))

    def garble(self, seed: int | str = 0) -> Self:
        """Answer with a line of bytes that mean nothing, and do not carry the command out.

        Raises:
            ConfigError: Another answer was given before.
        """
        return self._answer("garble", garbage(seed))

    def drop(self) -> Self:
        """Close the connection: instead of answering, or behind the reply that was given before.

        Raises:
            ConfigError: The connection is reset already, or the honest reply was to drip.
        """
        return self._leave("drop", Close())

    def reset(self) -> Self:
        """Reset the connection instead of answering.

        Raises:
            ConfigError: There is an answer already, or a drop.
        """
        if self._said is not None:
            raise ConfigError(f"{self!r}: a reset would destroy the reply on its way; use .drop() behind a reply")
        return self._leave("reset", Reset())

    def delay(self, seconds: float) -> Self:
        """Let the reply, honest or scripted, come so many *seconds* later; the client's next commands wait with it.

        Raises:
            ConfigError: That is no time.
        """
        wait = seconds_of("delay", seconds)
        with self._lock:
            self._wait = wait
            self._told.append(f"delay of {wait:g} s")
        return self

    def drip(self, seconds: float) -> Self:
        """Let the reply, honest or scripted, out byte by byte, with so many *seconds* between two of them.

        Raises:
            ConfigError: That is no time, or there is no reply.
        """
        pause = seconds_of("drip", seconds)
        if self._end is not None and self._said is None:
            raise ConfigError(f"{self!r}: there is no reply that could drip; give it before .drop()")
        with self._lock:
            self._drip = pause
            self._told.append("drip")
        return self

    # How often.

    def once(self) -> Self:
        """Hold for the first command that matches, and for no other."""
        return self.times(1)

    def times(self, number: int) -> Self:
        """Hold for the first *number* of commands that match; all of them have to come.

        Raises:
            ConfigError: That is no number of times.
        """
        if not isinstance(number, int) or number < 1:
            raise ConfigError(f"{self!r}: times({number!r}) is not a number of times; give 1 or more")
        with self._lock:
            self._limit = number
        return self

    def optional(self) -> Self:
        """Let it be no failure when no such command comes."""
        with self._lock:
            self.is_optional = True
        return self

    # What the script asks.

    def _answer(self, name: str, said: Callable[[bytes], bytes]) -> Self:
        if self._said is not None or self._end is not None:
            raise ConfigError(f"{self!r}: .{name}() would be a second answer to one command; make another on(...)")
        with self._lock:
            self._said = said
            self._told.append(name)
        return self

    def _leave(self, name: str, end: Close | Reset) -> Self:
        if self._end is not None:
            raise ConfigError(f"{self!r}: the connection can end only once")
        if self._drip and self._said is None:
            raise ConfigError(f"{self!r}: there is no reply that could drip; give it before .{name}()")
        with self._lock:
            self._end = end
            self._told.append(name)
        return self

    @property
    def needed(self) -> int:
        """How many commands have to come."""
        return 0 if self.is_optional else self._limit or 1

    @property
    def acts(self) -> bool:
        """True once it was told what to do."""
        return bool(self._told)

    @property
    def used_up(self) -> bool:
        """True when it holds for no further command."""
        return self._limit is not None and self.used >= self._limit

    def matches(self, verb: str, argument: bytes) -> bool:
        """Return whether it is about this command."""
        if verb != self.verb:
            return False
        text, arg = argument.decode("utf-8", "surrogateescape"), self._arg
        if arg is None:
            return True
        if isinstance(arg, re.Pattern):
            return arg.search(text) is not None
        if not isinstance(arg, str):
            return bool(arg(text))
        if verb in _PATHS:
            path = _PATH.search(text)
            return path is not None and path[1].casefold() == arg.strip("<>").casefold()
        return arg.casefold() in text.casefold() if verb == MESSAGE else _words(arg) in _words(text)

    def act(self) -> Act:
        """Return what to do about a command."""
        return Act(f"scripted {', '.join(self._told)}", self._said, self._wait, self._drip, self._end)


class Script:
    """The expectations of one server and its faults."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.expectations: list[Expectation] = []
        self.faults: Faults | None = None
        self.excused = False
        self.errors: list[str] = []
        """What failed in functions that were given as arguments."""
        self._sessions = 0
        self._lock = threading.RLock()  # a user's function is called under it, and may add another expectation

    def on(self, verb: str, arg: Argument) -> Expectation:
        """Add an expectation behind the others."""
        expectation = Expectation(self.protocol, verb, arg, self._lock)
        with self._lock:
            self.expectations.append(expectation)
        return expectation

    def dialogue(self) -> Dialogue:
        """Return the share of the next session."""
        self._sessions += 1
        return Dialogue(self, self._sessions)

    def act(self, verb: str, argument: bytes) -> Act | None:
        """Use the first expectation that is about this command and not used up."""
        with self._lock:
            for one in self.expectations:
                if one.acts and not one.used_up and self._is_about(one, verb, argument):
                    one.used += 1
                    return one.act()
        return None

    def _is_about(self, one: Expectation, verb: str, argument: bytes) -> bool:
        try:
            return one.matches(verb, argument)
        except Exception:  # noqa: BLE001 - the function is the user's, and so is its mistake
            self.errors.append(f"{one!r} failed to look at a command:\n{traceback.format_exc()}")
            return False

    def unmet(self) -> tuple[Expectation, ...]:
        """Return the expectations that were not used as often as they have to be."""
        with self._lock:
            return tuple(one for one in self.expectations if one.used < one.needed)


class Dialogue:
    """The share of one session in a script; engines ask it about each command."""

    def __init__(self, script: Script, session: int) -> None:
        self._script = script
        self._session = session
        self._asked = 0

    def greet(self) -> Act | None:
        """Return what to do instead of the greeting, or None to greet. Chance never keeps a server from greeting."""
        return self._script.act(GREETING, b"") if self._script.expectations else None

    def act(self, verb: str, argument: bytes) -> Act | None:
        """Return what to do about a command, or None to carry it out. What a test asked for comes before chance."""
        number = self._asked
        self._asked += 1
        act = self._script.act(verb, argument) if self._script.expectations else None
        if act is None and self._script.faults is not None:
            act = self._script.faults.act(self._session, number)
        return act
