"""The engine: cuts the stream into commands, runs them, and writes their replies in the order of RFC 3501.

Here belong lines, literals, tags and outputs. What a command means is in its handler, what is allowed in its row,
and what is decided in the policy.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model import events
from pytest_mailauth.model.deviations import fill
from pytest_mailauth.servers.engines.contract import Close, Send, StartTLS
from pytest_mailauth.servers.engines.imap import shown
from pytest_mailauth.servers.engines.imap.commands import COMMANDS
from pytest_mailauth.servers.engines.imap.parse import LITERAL_END, Arguments, ParseError
from pytest_mailauth.servers.engines.imap.session import Continue, Refused, Reply, Session, State
from pytest_mailauth.servers.engines.lines import LENIENT_LIMIT, LineBuffer
from pytest_mailauth.servers.script import GREETING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.servers.acts import Act
    from pytest_mailauth.servers.engines.contract import Output
    from pytest_mailauth.servers.mailstore import MailStore
    from pytest_mailauth.servers.policy import Policy
    from pytest_mailauth.servers.sasl import Peer

MAX_LINE: Final = 8192
"""Longest line in bytes, line end included (RFC 7162 section 4)."""

MAX_COMMAND: Final = 32 * 1024 * 1024
"""Longest command in bytes, literals included, once somebody is logged in."""

MAX_EARLY_COMMAND: Final = 16 * 1024
"""The same before that: a stranger needs no more than a name and a password."""

MAX_BAD: Final = 10
"""How many bad commands in a row are forgiven; one more ends the connection."""

_LINE: Final = re.compile(
    rb"([^\x00-\x20\x7f-\xff(){%*\"\\+]+) ((?:[Uu][Ii][Dd] )?[!-~]+)(| .*)",
    re.DOTALL,
)
"""Tag, verb, and the rest from the space on. UID and the command behind it are one verb (RFC 3501 section 6.4.8)."""

_FORBIDDEN: Final = re.compile(rb"[\x00\r]")


class _Pending:
    """A command whose end has not arrived yet."""

    def __init__(self, tag: bytes, verb: str, tail: bytes) -> None:
        self.tag = tag
        self.verb = verb
        self.data = bytearray(tail)
        self.size = 0
        self.missing: int | None = None
        self.skipping = False
        self.refusal: Reply | None = None
        self.act: Act | None = None


class ImapEngine:
    """One IMAP connection.

    Args:
        policy: Decides what is advertised, accepted and answered.
        store: The mailboxes; it knows the same accounts as the policy.
        over_tls: Whether the connection is inside TLS from its first byte.
    """

    def __init__(self, policy: Policy, store: MailStore, *, over_tls: bool) -> None:
        self._policy = policy
        self._store = store
        self._session = Session(policy, store, over_tls=over_tls)
        self._dialogue = policy.dialogue()
        self._lines = LineBuffer(LENIENT_LIMIT if policy.is_lenient else MAX_LINE)
        self._pending: _Pending | None = None
        self._resume: tuple[bytes, str, Callable[[bytes | None], Reply | Continue]] | None = None
        self._bad = 0
        self._closed = False

    def greet(self) -> list[Output]:
        """Return the greeting: OK, or PREAUTH when the session starts logged in (RFC 3501 section 7.1)."""
        act = self._dialogue.greet()
        if act is None:
            return self._greeting()
        self._closed = act.ends
        return [*act.outputs(GREETING), *(self._greeting() if act.carries_out else [])]

    def _greeting(self) -> list[Output]:
        session = self._session
        preauthenticated = self._policy.config.auth.preauthenticated and bool(self._policy.accounts)
        if preauthenticated:
            session.enter(self._policy.accounts[0])
        if self._policy.greeting is not None:
            return [Send(fill(self._policy.greeting))]
        status = "PREAUTH" if preauthenticated else "OK"
        return [Send(_status_line(b"*", Reply("IMAP4rev1 server ready", status, session.capability_code())))]

    def met(self, peer: Peer) -> None:
        """Take note of the other end of the TLS connection."""
        self._session.peer = peer

    def tls_started(self) -> list[Output]:
        """Begin anew inside TLS: not authenticated, nothing buffered, no greeting (RFC 3501 section 6.2.1)."""
        peer, self._session = self._session.peer, Session(self._policy, self._store, over_tls=True)
        self._session.peer = peer
        self._lines.clear()
        self._pending = self._resume = None
        self._bad = 0
        return []

    def eof(self) -> list[Output]:
        """Note a command that was never finished."""
        unfinished = not self._closed and (self._lines.unfinished or self._pending)
        return [events.Malformed("the client left in the middle of a command")] if unfinished else []

    def receive(self, data: bytes) -> list[Output]:
        """Take the next bytes and return what follows from them."""
        out: list[Output] = []
        if not self._closed:
            self._lines.feed(data)
            while self._step(out):
                pass
        return out

    def _step(self, out: list[Output]) -> bool:
        """Take one line or one literal; False when none is complete."""
        if self._closed:
            self._lines.clear()  # nothing is kept of what came behind the last command
            return False
        pending = self._pending
        if pending and pending.missing is not None:
            return self._take_literal(pending, pending.missing, out)
        ready, line = self._lines.next_line()
        if not ready:
            return False
        if line is None or len(line) + 2 > MAX_LINE:
            out.append(events.Malformed(f"a line of more than {MAX_LINE} bytes"))
        if self._resume:
            tag, verb, resume = self._resume
            self._resume = None
            self._run(tag, verb, lambda: resume(line), out)
        elif line is None:
            self._pending = None
            self._finish(pending.tag if pending else b"*", "", Reply("the line is too long", "BAD"), out)
        elif pending:
            self._go_on(pending, line, out)
        else:
            self._begin(line, out)
        return True

    def _take_literal(self, pending: _Pending, missing: int, out: list[Output]) -> bool:
        # What is skipped is not kept: the client may have announced any number of bytes.
        wanted = min(missing, len(self._lines)) if pending.skipping else missing
        block = self._lines.next_block(wanted)
        if block is None:
            return False
        if not pending.skipping:
            pending.data += block
        pending.missing = missing - len(block)
        if pending.missing:
            return False
        pending.missing = None
        out.append(events.Response(f"<literal of {pending.size} bytes>"))
        return True

    def _begin(self, line: bytes, out: list[Output]) -> None:
        """Take the first line of a command."""
        found = _LINE.fullmatch(line)
        if not found:
            reason = "not a command"
            out += [events.Command("", line, f"<{reason}: {len(line)} bytes>"), events.Malformed(reason)]
            self._finish(b"*", "", Reply(reason, "BAD"), out)
            return
        tag, verb, tail = found[1], found[2].decode("ascii").upper(), found[3]
        text = shown.first_line(tag, verb, tail, self._policy.accounts)
        out.append(events.Command(verb, tail.removeprefix(b" "), text, tag))
        if not shown.is_known(verb):
            out.append(events.Malformed("an unknown command"))
        pending = _Pending(tag, verb, tail)
        pending.refusal = self._refusal(verb)
        over_tls = self._session.over_tls
        pending.act = self._policy.act_on(verb, tail.removeprefix(b" "), self._dialogue, over_tls=over_tls)
        self._end_of_line(pending, tail, out)

    def _refusal(self, verb: str) -> Reply | None:
        """Return the reply to a command that cannot be carried out whatever its arguments are."""
        row = COMMANDS.get(verb)
        if row is None:
            return Reply("unknown command", "BAD")
        if self._session.state in row.states:
            return None
        if self._session.state is State.NOT_AUTHENTICATED:
            return Reply("log in first", "BAD")
        if State.SELECTED in row.states:
            return Reply("select a mailbox first", "BAD")
        return Reply("already logged in", "BAD")

    def _go_on(self, pending: _Pending, line: bytes, out: list[Output]) -> None:
        """Take a line that follows a literal."""
        if line:
            out.append(events.Response(shown.later_line(pending.verb, line, self._policy.accounts)))
        if not pending.skipping:
            pending.data += line
        self._end_of_line(pending, line, out)

    def _end_of_line(self, pending: _Pending, line: bytes, out: list[Output]) -> None:
        """Run the command, or ask for the literal that the line announces."""
        if _FORBIDDEN.search(line):
            reason = "NUL or a lone CR in a line"
            out.append(events.Malformed(reason))
            pending.refusal = pending.refusal or Reply(reason, "BAD")
        announced = LITERAL_END.search(line)
        waits = announced is not None and not announced[2]
        if announced:
            self._announce(pending, int(announced[1]), waits=waits)
        answered = pending.act is not None and not pending.act.carries_out
        if announced is None or (waits and (pending.refusal or answered)):
            # A client that waits for leave to send a literal does not get it (RFC 3501 section 2.2.1).
            self._pending = None
            self._execute(pending, out)
        elif waits:
            out.append(Send(b"+ OK\r\n"))

    def _announce(self, pending: _Pending, size: int, *, waits: bool) -> None:
        """Prepare for a literal of *size* bytes, or find out why the command is refused because of it."""
        early = self._session.state is State.NOT_AUTHENTICATED
        if len(pending.data) + size > (MAX_EARLY_COMMAND if early else MAX_COMMAND):
            pending.skipping = True
            pending.refusal = pending.refusal or Reply("the literal is too large", "BAD", "TOOBIG")
        elif not waits and "LITERAL+" not in self._session.capabilities():
            pending.refusal = pending.refusal or Reply("non-synchronizing literals are not available", "BAD")
        if not pending.skipping and not (waits and pending.refusal):
            pending.data += b"\r\n"
        pending.missing = pending.size = size
        self._pending = pending

    def _execute(self, pending: _Pending, out: list[Output]) -> None:
        """Carry out a command that is complete, or refuse it."""
        tag, verb = pending.tag, pending.verb
        session = self._session
        args = Arguments(bytes(pending.data))
        act = pending.act
        answered = act is not None and not act.carries_out
        row = COMMANDS.get(verb)
        if (answered or pending.refusal) and row and row.witness:
            self._witness(row.witness, args, out)
        if act is not None:
            out += act.outputs(verb, tag)
            self._closed = act.ends
        if answered:
            return
        if row is None or pending.refusal:
            self._finish(tag, verb, pending.refusal or Reply("unknown command", "BAD"), out)
        else:
            self._run(tag, verb, lambda: row.handler(session, args), out)

    def _witness(self, witness: Callable[[Session, Arguments], None], args: Arguments, out: list[Output]) -> None:
        with suppress(ParseError):
            witness(self._session, args)
        self._state_facts(out)

    def _run(self, tag: bytes, verb: str, handler: Callable[[], Reply | Continue], out: list[Output]) -> None:
        """Call a handler and write what it returns."""
        try:
            reply = handler()
        except ParseError as error:
            self._session.facts.append(events.Malformed(str(error)))
            reply = Reply(str(error), "BAD")
        except Refused as refused:
            reply = refused.reply
        self._state_facts(out)
        if isinstance(reply, Continue):
            self._resume = (tag, verb, reply.resume)
            out.append(Send(b"+ " + reply.prompt + b"\r\n"))
        else:
            self._finish(tag, verb, reply, out)

    def _state_facts(self, out: list[Output]) -> None:
        out += self._session.facts
        self._session.facts.clear()

    def _finish(self, tag: bytes, verb: str, reply: Reply, out: list[Output]) -> None:
        """Write a reply: untagged lines, news of the mailbox, then the tagged line."""
        session = self._session
        if reply.start_tls:
            # What came behind the command was sent in clear and must not count (RFC 3501 section 6.2.1).
            self._lines.clear()
            out.append(StartTLS(_status_line(tag, reply), tag))
            return
        lines = [b"* " + line + b"\r\n" for line in reply.untagged]
        row = COMMANDS.get(verb)
        if row and session.state is State.SELECTED:
            lines += [b"* " + line + b"\r\n" for line in session.view.updates(may_expunge=row.may_expunge)]
        lines.append(_status_line(tag, reply))
        self._bad = self._bad + 1 if reply.status == "BAD" else 0
        if self._bad > MAX_BAD:
            lines.append(b"* BYE too many bad commands\r\n")
        out.append(Send(b"".join(lines)))
        if self._bad > MAX_BAD or session.state is State.LOGOUT:
            self._closed = True
            out.append(Close())


def _status_line(tag: bytes, reply: Reply) -> bytes:
    code = f"[{reply.code}] " if reply.code else ""
    return tag + f" {reply.status} {code}{reply.text}\r\n".encode()
