"""POP3 as a sans-I/O engine (RFC 1939), with CAPA (RFC 2449), STLS (RFC 2595), AUTH (RFC 5034) and [AUTH] (RFC 3206).

Each command is a row of a table and a small handler that asks the policy and never decides. Every command is a
fact before it is answered, and so are the credentials in it, whether or not anybody wanted them.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.deviations import fill
from pytest_mailauth.model.events import Authentication, Command, Malformed, Response
from pytest_mailauth.model.terms import Protocol, Refusal
from pytest_mailauth.servers import sasl
from pytest_mailauth.servers.engines import pop3_syntax as syntax
from pytest_mailauth.servers.engines.contract import Close, Output, Send, StartTLS
from pytest_mailauth.servers.engines.lines import LENIENT_LIMIT, LineBuffer
from pytest_mailauth.servers.engines.maildrop import COMMANDS, Maildrop, MaildropCommand, summary
from pytest_mailauth.servers.engines.pop3_syntax import err, listing, ok, text
from pytest_mailauth.servers.engines.refusals import refusal_text
from pytest_mailauth.servers.mailstore import INBOX, Mailbox
from pytest_mailauth.servers.script import GREETING

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from pytest_mailauth.servers.mailstore import MailStore
    from pytest_mailauth.servers.policy import Policy

BAD_COMMANDS: Final = 10
"""How many bad commands in a row are answered; one more ends the connection."""


class _State(Enum):
    AUTHORIZATION = "before login"
    TRANSACTION = "after login"
    OVER = "any more"


_BEFORE: Final = (_State.AUTHORIZATION,)
_AFTER: Final = (_State.TRANSACTION,)
_BOTH: Final = _BEFORE + _AFTER


class _Row(NamedTuple):
    """One command: where it is allowed, what it takes, how that is explained, and what carries it out.

    *witness* notes the credentials in a command that is not carried out.
    """

    states: tuple[_State, ...]
    syntax: re.Pattern[bytes]
    usage: str
    run: Callable[[Pop3Engine, bytes], list[Output]]
    witness: Callable[[Pop3Engine, bytes], list[Output]] = lambda _engine, _argument: []


def _on_maildrop(command: MaildropCommand) -> Callable[[Pop3Engine, bytes], list[Output]]:
    return lambda self, argument: [command.answer(self._drop, argument)]


def _step(exchange: sasl.Exchange, response: bytes | None) -> bytes | sasl.Attempt:
    """Take an exchange one step on: the next challenge, or the attempt at its end. None begins it."""
    try:
        return next(exchange) if response is None else exchange.send(response)
    except StopIteration as end:
        attempt: sasl.Attempt = end.value
        return attempt


class Pop3Engine:
    """The server side of one POP3 session. See :class:`~pytest_mailauth.servers.engines.contract.Engine`.

    Args:
        policy: The decisions of the server.
        store: Where the mailboxes are; the maildrop of an account is its INBOX.
        over_tls: Whether TLS is active before the greeting.
    """

    def __init__(self, policy: Policy, store: MailStore, *, over_tls: bool) -> None:
        self._policy = policy
        self._store = store
        self._over_tls = over_tls
        self._dialogue = policy.dialogue()
        self._peer: sasl.Peer | None = None
        self._timestamp = b""
        self._lines = LineBuffer(LENIENT_LIMIT if policy.is_lenient else syntax.LINE_LIMIT)
        self._begin()

    def _begin(self) -> None:
        self._lines.clear()
        self._state = _State.AUTHORIZATION
        self._name: str | None = None
        self._sasl: tuple[str, sasl.Exchange] | None = None
        self._drop = Maildrop(Mailbox(INBOX))
        self._bad = 0

    def greet(self) -> list[Output]:
        """Return the greeting, with a timestamp where APOP is taken (RFC 1939 section 7)."""
        act = self._dialogue.greet()
        if act is None:
            return self._greeting()
        if act.ends:
            self._close()
        return [*act.outputs(GREETING), *(self._greeting() if act.carries_out else [])]

    def _greeting(self) -> list[Output]:
        if self._policy.greeting is not None:
            return [Send(fill(self._policy.greeting))]
        if not self._policy.takes_apop:
            return [ok("POP3 server ready")]
        desk = self._policy.desk(None)
        self._timestamp = f"<{desk.nonce()}@{desk.host}>".encode()
        return [ok(f"POP3 server ready {self._timestamp.decode()}")]

    def met(self, peer: sasl.Peer) -> None:
        """Take note of the other end of the TLS connection."""
        self._peer = peer

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
                # Dropped, never executed: what came in clear must not be taken for something said inside TLS.
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
            return self._malformed(f"a line of more than {self._lines.limit} bytes")
        word, _, argument = line.partition(b" ")
        if not syntax.KEYWORD.fullmatch(word):
            shown = f"<not a command: {len(line)} bytes>"
            return [Command("", line, shown), *self._malformed("a line that begins with no command")]
        verb = word.decode().upper()
        row = self._ROWS.get(verb)
        names = [name for account in self._policy.accounts for name in (account.username, account.address)]
        facts: list[Output] = [Command(verb, argument, syntax.shown(verb, argument, names))]
        if len(line) + 2 > syntax.COMMAND_LIMIT:
            reason = f"a command of more than {syntax.COMMAND_LIMIT} bytes"
            if not self._policy.is_lenient:
                witnessed = row.witness(self, argument) if row is not None else []
                return [*facts, *witnessed, *self._malformed(reason)]
            facts.append(Malformed(reason))
        act = self._policy.act_on(verb, argument, self._dialogue, over_tls=self._over_tls)
        if act is not None:
            if not act.carries_out and row is not None:
                facts += row.witness(self, argument)
            facts += act.outputs(verb)
            if act.ends:
                self._close()
            if not act.carries_out:
                return facts
        if row is None:
            return [*facts, *self._reject("unknown command")]
        if syntax.CONTROL.search(line):
            refusal = self._malformed(f"a control character in {verb}")
        elif (match := row.syntax.fullmatch(argument)) is None:
            refusal = self._malformed(f"{verb} is used like this: {row.usage}")
        elif self._state not in row.states:
            refusal = self._reject(f"{verb} is not possible {self._state.value}")
        else:
            return [*facts, *row.run(self, match[1] or b"")]
        return [*facts, *row.witness(self, argument), *refusal]

    def _malformed(self, reason: str) -> list[Output]:
        return [Malformed(reason), *self._reject(reason)]

    def _reject(self, words: str) -> list[Output]:
        """Answer a bad command, or end the connection after too many in a row."""
        self._bad += 1
        if self._bad > BAD_COMMANDS:
            return [err("too many bad commands"), self._close()]
        return [err(words)]

    def _close(self) -> Close:
        self._state = _State.OVER
        self._lines.clear()
        return Close()

    # Who are you?

    def _user(self, argument: bytes) -> list[Output]:
        self._name = text(argument)
        allowed = self._policy.may_use_password_command(over_tls=self._over_tls)
        return [ok("send PASS") if allowed else self._no_passwords()]

    def _witness_user(self, argument: bytes) -> list[Output]:
        self._name = text(argument)
        return []

    def _pass(self, argument: bytes) -> list[Output]:
        if not self._policy.may_use_password_command(over_tls=self._over_tls):
            return [*self._witness_pass(argument), self._no_passwords()]
        if self._name is None:
            return [*self._witness_pass(argument), *self._reject("USER comes first")]
        name, self._name = self._name, None  # another try begins with USER (RFC 1939 section 7)
        return self._decide("USER", sasl.Claim(name, Secret(text(argument))))

    def _witness_pass(self, argument: bytes) -> list[Output]:
        return [Authentication("USER", self._name or "", Secret(text(argument)), accepted=False)]

    def _no_passwords(self) -> Send:
        lacks_tls = not self._over_tls and self._policy.may_use_password_command(over_tls=True)
        return self._refusal("USER and PASS are", lacks_tls=lacks_tls)

    def _refusal(self, what: str, *, lacks_tls: bool) -> Send:
        return self._refused(Refusal.ENCRYPTION_NEEDED) if lacks_tls else err(f"{what} not offered here")

    def _refused(self, refusal: Refusal) -> Send:
        return Send(f"{refusal_text(refusal, Protocol.POP3, self._policy.config.auth)}\r\n".encode())

    def _auth(self, argument: bytes) -> list[Output]:
        if not argument:
            return [listing("mechanisms:", self._announced_mechanisms())]
        mechanism, initial = syntax.mechanism_of(argument)
        if not self._policy.may_authenticate(mechanism, self._peer, over_tls=self._over_tls):
            lacks_tls = self._policy.lacks_tls(mechanism, over_tls=self._over_tls)
            return [*self._witness_auth(argument), self._refusal("this mechanism is", lacks_tls=lacks_tls)]
        try:
            desk = self._policy.desk(self._peer, mechanism)
            exchange = sasl.begin(mechanism, desk, sasl.decode_initial(initial) if initial else None)
            return self._go_on(mechanism, exchange, None)
        except sasl.SaslError as error:
            return self._malformed(str(error))

    def _announced_mechanisms(self) -> tuple[str, ...]:
        return self._policy.announced_mechanisms(self._peer, over_tls=self._over_tls)

    def _witness_auth(self, argument: bytes) -> list[Output]:
        mechanism, initial = syntax.mechanism_of(argument)
        if mechanism not in sasl.MECHANISMS or not initial:
            return []
        try:
            claim = sasl.read(mechanism, sasl.decode_initial(initial))
        except sasl.SaslError as error:
            return [Malformed(str(error))]
        return [] if claim is None else [sasl.presented(mechanism, claim, accepted=False)]

    def _apop(self, argument: bytes) -> list[Output]:
        if not self._policy.may_authenticate("APOP", self._peer, over_tls=self._over_tls):
            return [self._refusal("APOP is", lacks_tls=self._policy.lacks_tls("APOP", over_tls=self._over_tls))]
        identity, _, digest = argument.rpartition(b" ")
        desk = self._policy.desk(self._peer, "APOP")
        return self._decide("APOP", sasl.apop_claim(desk, self._timestamp, identity, digest))

    def _decide(self, mechanism: str, claim: sasl.Claim) -> list[Output]:
        return self._log_in(mechanism, sasl.Attempt(claim, self._policy.desk(self._peer, mechanism).decide(claim)))

    def _response(self, line: bytes | None, mechanism: str, exchange: sasl.Exchange) -> list[Output]:
        self._sasl = None
        if line is None:
            return self._malformed(f"a response of more than {self._lines.limit} bytes")
        if line == b"*":
            return [Response("*"), err("authentication cancelled")]
        shown = Response(f"<response of {len(line)} bytes>")
        try:
            return [shown, *self._go_on(mechanism, exchange, sasl.decode_response(line))]
        except sasl.SaslError as error:
            return [shown, *self._malformed(str(error))]

    def _go_on(self, mechanism: str, exchange: sasl.Exchange, response: bytes | None) -> list[Output]:
        step = _step(exchange, response)
        if isinstance(step, sasl.Attempt):
            return self._log_in(mechanism, step)
        self._sasl = (mechanism, exchange)
        return [*sasl.noted(mechanism, step), Send(b"+ " + sasl.encode_challenge(step) + b"\r\n")]

    def _log_in(self, mechanism: str, attempt: sasl.Attempt) -> list[Output]:
        account, refusal, _ = attempt.decision
        seen = sasl.noted(mechanism, attempt)
        if account is None:
            return [*seen, self._refused(refusal or Refusal.INVALID)]
        self._drop = Maildrop(self._store.mailboxes(account)[INBOX])
        self._state = _State.TRANSACTION
        return [*seen, summary(self._drop)]

    # What else there is.

    def _stls(self, _argument: bytes) -> list[Output]:
        if self._policy.may_start_tls(over_tls=self._over_tls):
            return [StartTLS(b"+OK begin TLS negotiation\r\n")]
        return [err("TLS is active already" if self._over_tls else "STLS is not offered here")]

    def _capa(self, _argument: bytes) -> list[Output]:
        return [listing("capabilities:", self._policy.advertised(self._capabilities(), over_tls=self._over_tls))]

    def _capabilities(self) -> tuple[str, ...]:
        """Return what is announced now: ways to log in also after the login (RFC 2449 section 5), STLS not."""
        always = ("TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING")
        mechanisms = self._announced_mechanisms()
        may_start_tls = self._policy.may_start_tls(over_tls=self._over_tls)
        sometimes = {
            "USER": self._policy.may_use_password_command(over_tls=self._over_tls),
            " ".join(("SASL", *mechanisms)): bool(mechanisms),
            "STLS": may_start_tls and self._state is not _State.TRANSACTION,
        }
        return (*always, *(name for name, now in sometimes.items() if now))

    def _quit(self, _argument: bytes) -> list[Output]:
        self._drop.update()
        return [ok("goodbye"), self._close()]

    _ROWS: ClassVar[dict[str, _Row]] = {
        "USER": _Row(_BEFORE, syntax.TEXT, "USER name", _user, _witness_user),
        "PASS": _Row(_BEFORE, syntax.TEXT, "PASS password", _pass, _witness_pass),
        "APOP": _Row(_BEFORE, syntax.NAME_AND_DIGEST, "APOP name digest", _apop),
        "AUTH": _Row(_BEFORE, syntax.MAYBE_MECHANISM, "AUTH mechanism [initial-response]", _auth, _witness_auth),
        "STLS": _Row(_BEFORE, syntax.NOTHING, "STLS", _stls),
        "CAPA": _Row(_BOTH, syntax.NOTHING, "CAPA", _capa),
        "QUIT": _Row(_BOTH, syntax.NOTHING, "QUIT", _quit),
        **{verb: _Row(_AFTER, does.syntax, does.usage, _on_maildrop(does)) for verb, does in COMMANDS.items()},
    }
