"""POP3 as a sans-I/O engine (RFC 1939), with CAPA (RFC 2449), STLS (RFC 2595), AUTH (RFC 5034) and [AUTH] (RFC 3206).

Each command is a row of a table and a small handler that asks the policy and never decides. Every command is a
fact before it is answered, and so are the credentials in it, whether or not anybody wanted them.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.deviations import fill
from pytest_mailauth.model.events import Authentication, Command, Deviated, Malformed, Response
from pytest_mailauth.servers import sasl
from pytest_mailauth.servers.engines.contract import Close, Output, Send, StartTLS
from pytest_mailauth.servers.engines.lines import LineBuffer
from pytest_mailauth.servers.mailstore import INBOX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_mailauth.servers.mailstore import Mailbox, MailStore
    from pytest_mailauth.servers.policy import Policy

COMMAND_LIMIT: Final = 255
"""Longest command in bytes, line end included (RFC 2449 section 4). A longer one is noted and still obeyed."""
LINE_LIMIT: Final = 12_288
"""Longest line that is read at all: room for any SASL response. A longer one is swallowed unseen."""
BAD_COMMANDS: Final = 10
"""How many bad commands in a row are answered; one more ends the connection."""

_KEYWORD: Final = re.compile(rb"[A-Za-z][A-Za-z0-9]{2,3}")
"""Three or four characters (RFC 2449 section 3); anything longer might be a credential and is never shown."""
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")

_NOTHING: Final = re.compile(rb"() *")
_TEXT: Final = re.compile(rb"(.+)", re.DOTALL)
_NUMBER: Final = re.compile(rb"([0-9]{1,9}) *")
_MAYBE_NUMBER: Final = re.compile(rb"([0-9]{1,9})? *")
_TWO_NUMBERS: Final = re.compile(rb"([0-9]{1,9} [0-9]{1,9}) *")
_MECHANISM: Final = re.compile(rb"([!-~]+(?: [!-~]+)?)? *")


class _State(Enum):
    AUTHORIZATION = auto()
    TRANSACTION = auto()
    OVER = auto()


class _Held(NamedTuple):
    """A message of the maildrop as it was at login, in lines that end with CRLF."""

    uid: int
    content: bytes


class _Row(NamedTuple):
    """One command: where it is allowed, what it takes, how that is explained, and what carries it out."""

    states: tuple[_State, ...]
    syntax: re.Pattern[bytes]
    usage: str
    run: Callable[[Pop3Engine, bytes], list[Output]]
    witness: Callable[[Pop3Engine, bytes], list[Output]] = lambda _engine, _argument: []
    """What to note of credentials in a command that is not carried out."""


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _ok(text: str) -> Send:
    return Send(f"+OK {text}\r\n".encode())


def _err(text: str) -> Send:
    return Send(f"-ERR {text}\r\n".encode())


def _multi_line(text: str, content: bytes) -> Send:
    """A response of several lines: *content* with its dots stuffed, then the lone dot (RFC 1939 section 3)."""
    stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")
    return Send(b"+OK " + text.encode() + stuffed + b".\r\n")


def _listing(text: str, lines: Iterable[str]) -> Send:
    return _multi_line(text, b"".join(line.encode("utf-8", "backslashreplace") + b"\r\n" for line in lines))


def _in_lines(content: bytes) -> bytes:
    """Return *content* with every line ending in CRLF, so that its length is the size a client will count."""
    lines = content.replace(b"\r\n", b"\n").split(b"\n")
    if lines[-1]:
        lines.append(b"")
    return b"\r\n".join(lines)


def _top(content: bytes, count: int) -> bytes:
    """Return the header, the blank line and the first *count* lines of the body (RFC 1939 section 7)."""
    header, blank, body = (b"\r\n" + content).partition(b"\r\n\r\n")
    lines = body.split(b"\r\n", count)
    if len(lines) <= count:
        return content
    return (header + blank)[2:] + b"".join(line + b"\r\n" for line in lines[:count])


class Pop3Engine:
    """The server side of one POP3 session.

    Args:
        policy: The decisions of the server.
        store: Where the maildrops are. A maildrop is the INBOX as it was at login; QUIT deletes from the INBOX.
        over_tls: Whether TLS is active before the greeting.
    """

    def __init__(self, policy: Policy, store: MailStore, *, over_tls: bool) -> None:
        self._policy = policy
        self._store = store
        self._over_tls = over_tls
        self._lines = LineBuffer(LINE_LIMIT)
        self._begin()

    def _begin(self) -> None:
        self._lines.clear()
        self._state = _State.AUTHORIZATION
        self._name: str | None = None
        self._sasl: tuple[str, sasl.Exchange] | None = None
        self._mailbox: Mailbox | None = None
        self._drop: dict[int, _Held] = {}
        self._deleted: set[int] = set()
        self._bad = 0

    def greet(self) -> list[Output]:
        """Return the greeting. It carries no timestamp, since there is no APOP (RFC 1939 section 7)."""
        greeting = self._policy.greeting
        return [_ok("POP3 server ready") if greeting is None else Send(fill(greeting))]

    def receive(self, data: bytes) -> list[Output]:
        """Take the next bytes and return what follows from them."""
        outputs: list[Output] = []
        if self._state is not _State.OVER:
            self._lines.feed(data)
        while self._state is not _State.OVER:
            ready, line = self._lines.next_line()
            if not ready:
                break
            bad = self._bad
            outputs += self._command(line) if self._sasl is None else self._response(line, *self._sasl)
            if self._bad == bad:
                self._bad = 0
            if isinstance(outputs[-1], StartTLS):
                self._lines.clear()
                break
        return outputs

    def tls_started(self) -> list[Output]:
        """Begin again in the authorization state, without a greeting (RFC 2595 section 4)."""
        self._over_tls = True
        self._begin()
        return []

    def eof(self) -> list[Output]:
        """Note a line that was never finished. Without QUIT nothing is deleted (RFC 1939 section 6)."""
        unfinished = self._lines.unfinished
        self._lines.clear()
        return [Malformed("the client left in the middle of a line")] if unfinished else []

    # From a line to a handler.

    def _command(self, line: bytes | None) -> list[Output]:
        if line is None:
            return [Malformed(f"a line of more than {LINE_LIMIT} bytes"), *self._reject("the line is too long")]
        word, _, argument = line.partition(b" ")
        if not _KEYWORD.fullmatch(word):
            unknown = Command("", line, f"<not a command: {len(line)} bytes>")
            return [unknown, Malformed("no command begins like this"), *self._reject("this is no command")]
        verb = word.decode().upper()
        row = self._ROWS.get(verb)
        facts: list[Output] = [Command(verb, argument, f"{verb} {self._shown(verb, argument)}".rstrip())]
        if len(line) + 2 > COMMAND_LIMIT:
            facts.append(Malformed(f"a command of more than {COMMAND_LIMIT} bytes (RFC 2449 section 4)"))
        instead = self._policy.answer_instead(verb, over_tls=self._over_tls)
        if instead is not None:
            reply = fill(instead.reply)
            witnessed = row.witness(self, argument) if row else []
            return [*facts, *witnessed, Deviated("answer", verb, reply), Send(reply)]
        if row is None:
            return [*facts, *self._reject("unknown command")]
        if _CONTROL.search(line):
            refusal = [Malformed(f"a control character in {verb}"), *self._reject("control characters are not allowed")]
        elif (match := row.syntax.fullmatch(argument)) is None:
            refusal = [Malformed(f"{verb} takes: {row.usage}"), *self._reject(f"use: {row.usage}")]
        elif self._state not in row.states:
            refusal = self._reject(f"{verb} is not possible {_WHERE[self._state]}")
        else:
            return [*facts, *row.run(self, match[1] or b"")]
        return [*facts, *row.witness(self, argument), *refusal]

    def _shown(self, verb: str, argument: bytes) -> str:
        """Return the form of *argument* that may be displayed: nothing that might be a credential."""
        if verb == "PASS":
            return "<password>"
        if verb == "USER":
            known = any(_text(argument) in (account.username, account.address) for account in self._policy.accounts)
            return _text(argument) if known else f"<unknown name of {len(argument)} bytes>"
        if verb == "AUTH":
            mechanism, _, initial = argument.partition(b" ")
            named = mechanism.decode() if _MECHANISM_NAME.fullmatch(mechanism) else "<unknown mechanism>"
            return f"{named} <initial response of {len(initial)} bytes>" if initial else named
        if not argument or (verb in self._ROWS and _NUMBERS.fullmatch(argument)):
            return argument.decode()
        return f"<{len(argument)} bytes>"

    def _reject(self, text: str) -> list[Output]:
        """Answer a bad command, or end the connection after too many in a row."""
        self._bad += 1
        if self._bad > BAD_COMMANDS:
            return [_err("too many bad commands"), self._close()]
        return [_err(text)]

    def _close(self) -> Close:
        self._state = _State.OVER
        self._lines.clear()
        return Close()

    # Who are you?

    def _user(self, argument: bytes) -> list[Output]:
        self._name = _text(argument)
        if not self._policy.may_use_password_command(over_tls=self._over_tls):
            return [self._no_passwords()]
        return [_ok("send PASS")]

    def _pass(self, argument: bytes) -> list[Output]:
        if not self._policy.may_use_password_command(over_tls=self._over_tls):
            return [*self._witness_pass(argument), self._no_passwords()]
        if self._name is None:
            return [*self._witness_pass(argument), *self._reject("USER comes first")]
        return self._log_in("USER", sasl.Credentials(self._name, Secret(_text(argument))))

    def _no_passwords(self) -> Send:
        return self._refusal("USER and PASS are", in_tls=self._policy.may_use_password_command(over_tls=True))

    def _witness_user(self, argument: bytes) -> list[Output]:
        self._name = _text(argument)
        return []

    def _witness_pass(self, argument: bytes) -> list[Output]:
        return [Authentication("USER", self._name or "", Secret(_text(argument)), accepted=False)]

    def _auth(self, argument: bytes) -> list[Output]:
        if not argument:
            mechanisms = self._policy.announced_mechanisms(over_tls=self._over_tls)
            return [_listing("these mechanisms", mechanisms)]
        mechanism = _mechanism(argument)
        if mechanism not in sasl.MECHANISMS or not self._policy.may_authenticate(mechanism, over_tls=self._over_tls):
            in_tls = self._policy.may_authenticate(mechanism, over_tls=True)
            return [*self._witness_auth(argument), self._refusal("this mechanism is", in_tls=in_tls)]
        return self._advance(mechanism, *_begin(argument))

    def _witness_auth(self, argument: bytes) -> list[Output]:
        ...
