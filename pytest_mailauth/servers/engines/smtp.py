"""The SMTP engine: aiosmtpd's command grammar, run without its event loop. The only module that imports aiosmtpd.

aiosmtpd writes each command as a coroutine that awaits a reader and pushes replies. Here the reader waits by
yielding to :meth:`SmtpEngine.receive` and ``push`` collects bytes, so the same grammar becomes a machine without
socket, task or clock, and meets the contract that POP3 and IMAP meet. Ours are the session loop, EHLO, AUTH,
STARTTLS and QUIT, where aiosmtpd ties policy to its own transport.

RFC 5321 (SMTP), 3207 (STARTTLS), 4954 (AUTH), 2034 (enhanced status codes), 6409 (submission).
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Final, cast

from aiosmtpd.smtp import MISSING, SMTP, Envelope

from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import fill
from pytest_mailauth.model.relay import REQUIRETLS
from pytest_mailauth.servers.engines.contract import Close, Output, Send, StartTLS
from pytest_mailauth.servers.engines.smtp_auth import AuthCommand
from pytest_mailauth.servers.engines.smtp_lines import (
    LINE_LIMIT,
    LINE_LIMITS,
    UNPRINTABLE,
    Feed,
    Loopless,
    raw,
    shown,
)
from pytest_mailauth.servers.engines.smtp_log import advance, quiet
from pytest_mailauth.servers.engines.smtp_message import Messages
from pytest_mailauth.servers.engines.smtp_paths import ASCII_ONLY, Paths
from pytest_mailauth.servers.engines.smtp_replies import several_lines, with_code, without_code
from pytest_mailauth.servers.letters import Message
from pytest_mailauth.servers.script import GREETING, MESSAGE

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pytest_mailauth.servers.mailstore import MailStore
    from pytest_mailauth.servers.policy import Policy
    from pytest_mailauth.servers.sasl import Peer

IDENT: Final = "pytest-mailauth"
SAID: Final = ""
"""What a hook returns when the reply is among the outputs already."""
MAX_BAD_COMMANDS: Final = 10
_VERBS: Final = frozenset(name[5:] for name in dir(SMTP) if name.startswith("smtp_")) | {"BDAT"}


class _Handler:
    """aiosmtpd's hooks: the relay policy and the mail store."""

    async def handle_MAIL(self, core: _Core, _session: Any, envelope: Any, address: str, options: Any) -> Any:
        core.refused = 0
        reply = core.visit.sender(address) if core.may_name(address) else ASCII_ONLY["MAIL"]
        if reply is None:
            return MISSING
        if reply.startswith("2"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return core.say(raw(reply))

    async def handle_RCPT(self, core: _Core, _session: Any, envelope: Any, address: str, options: Any) -> Any:
        taken = envelope.rcpt_tos
        may_name = core.may_name(address)
        reply = core.visit.recipient(envelope.mail_from, address, len(taken)) if may_name else ASCII_ONLY["RCPT"]
        if reply is None:
            return MISSING
        if reply.startswith("2"):
            taken.append(address)
            envelope.rcpt_options.extend(options)
        else:
            core.refused += 1
        return core.say(raw(reply))

    async def handle_DATA(self, core: _Core, _session: Any, envelope: Any) -> str:
        content = bytes(envelope.content)
        core.visit.messages += 1
        sender, recipients = envelope.mail_from, tuple(envelope.rcpt_tos)
        core.out.append(e.Response(f"<message data of {len(content)} bytes>"))
        if not (core.offers("8BITMIME") or content.isascii()):
            core.out.append(e.Malformed("8-bit data, though 8BITMIME is not offered (RFC 6152 section 3)"))
        if core.acted_on(MESSAGE, content):
            return SAID
        core.store.deliver(Message(content, sender, recipients, authenticated_as=core.login, over_tls=core.over_tls))
        core.out.append(e.Stored(len(content), recipients))
        return "250 2.0.0 OK: message taken"


class _Transaction(Envelope):
    """Aiosmtpd's envelope, and the chunks of a message that came with BDAT; None before the first."""

    chunks: bytearray | None = None


class _Core(AuthCommand, Paths, Messages, SMTP):
    """One session of aiosmtpd's grammar. Copied from a template, since its constructor costs more than a session."""

    policy: Policy
    store: MailStore
    over_tls: bool
    out: list[Output]
    # Ours where aiosmtpd has objects of asyncio.
    _reader: Any
    session: Any
    envelope: Any
    transport: Any

    def begin(self, policy: Policy, store: MailStore, *, over_tls: bool) -> None:
        self.policy = policy
        self.store = store
        self.over_tls = over_tls
        self.out = []
        self.bad_commands = 0
        self.between_commands = True
        self.finished = False
        self._dialogue = policy.dialogue()
        self._reader = Feed(asyncio.LimitOverrunError, is_lenient=policy.is_lenient)
        self.transport = self  # aiosmtpd asks only whether there is one
        self.hostname = policy.config.greets_as
        self.verb = ""
        self.data_size_limit = policy.config.relay.max_size
        self.has_codes = self.offers("ENHANCEDSTATUSCODES")
        self.peer: Peer | None = None
        self.restart()

    def _set_post_data_state(self) -> None:
        self.envelope = _Transaction()

    _set_rset_state = _set_post_data_state  # as in aiosmtpd, without its detour

    def restart(self) -> None:
        """Forget the client: at the start, and after STARTTLS (RFC 3207 section 4.2)."""
        self._reader.buffer.clear()
        self._set_rset_state()
        self.session = self._create_session()
        self.visit = self.policy.relaying.visit()
        self.refused = 0
        self.session.peer = ("", 0)

    @property
    def login(self) -> str | None:
        """The login name of the client, or None."""
        return self.visit.login

    @login.setter
    def login(self, name: str | None) -> None:
        self.visit.login = name

    async def push(self, status: str | bytes) -> None:
        if status == SAID:
            return
        self.reply(status)

    def reply(self, status: str | bytes) -> None:
        """Send a reply, with an enhanced status code where it has none and should."""
        reply = raw(status) if isinstance(status, str) else status
        self.say(with_code(self.verb, reply) if self.has_codes else reply)

    def say(self, reply: bytes) -> str:
        """Send a reply as it stands, since a test may have worded it; return what a hook does then."""
        sent = (reply if self.has_codes else without_code(reply)) + b"\r\n"
        if self.out and isinstance(self.out[-1], Send):
            self.out[-1] = Send(self.out[-1].data + sent)
        else:
            self.out.append(Send(sent))
        return SAID

    async def converse(self) -> None:
        act = self._dialogue.greet()
        if act is not None:
            self.out += act.outputs(GREETING)
            self.finished = act.ends
        if act is None or act.carries_out:
            if self.policy.greeting is not None:
                self.out.append(Send(fill(self.policy.greeting)))
            else:
                self.reply(f"220 {self.hostname} ESMTP {IDENT}")
        while not self.finished:
            self.between_commands = True
            try:
                line = await self._reader.readuntil()
            except asyncio.LimitOverrunError:
                self.between_commands = False
                await self._reader.skip_line()
                self._reject("a line longer than any SMTP command", "500 5.5.2 Line too long")
            else:
                self.between_commands = False
                await self._command(line.rstrip(b"\r\n"))

    def _reject(self, reason: str, reply: str) -> None:
        self.out.append(e.Malformed(reason))
        self.reply(reply)
        self.bad_commands += 1
        if self.bad_commands >= MAX_BAD_COMMANDS:
            self.reply("421 4.7.0 Too many errors, closing")
            self._finish()

    def _finish(self) -> None:
        self.out.append(Close())
        self.finished = True

    async def _command(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        if not word.isalpha() or UNPRINTABLE.search(line):
            self._reject("not an SMTP command line", "500 5.5.2 Syntax error")
            return
        verb, argument = word.decode().upper(), rest.strip()
        self.verb = verb
        self.out.append(e.Command(verb, argument, shown(verb, argument, self.policy.accounts, known=verb in _VERBS)))
        if len(line) + 2 > LINE_LIMITS.get(verb, LINE_LIMIT):
            reason = f"{verb} line of {len(line)} bytes"
            if not self.policy.is_lenient:
                self._reject(reason, "500 5.5.2 Line too long")
                return
            self.out.append(e.Malformed(reason))
        if self.acted_on(verb, argument):
            if verb == "AUTH":
                self.witness(argument.decode("utf-8", "surrogateescape"))
            elif verb == "BDAT" and not self.finished:
                await self.skip_chunk(argument.decode("utf-8", "surrogateescape"))
            return
        if verb not in _VERBS:
            self._reject("an unknown command", "500 5.5.1 Command not recognized")
            return
        self.bad_commands = 0
        await getattr(self, f"smtp_{verb}")(argument.decode("utf-8", "surrogateescape") or None)

    def acted_on(self, verb: str, argument: bytes) -> bool:
        """Do what the policy wants done about a command; True when it is not carried out."""
        act = self.policy.act_on(verb, argument, self._dialogue, over_tls=self.over_tls)
        if act is None:
            return False
        self.out += act.outputs(verb)
        self.finished = act.ends
        return not act.carries_out

    async def smtp_EHLO(self, hostname: str | None) -> None:
        if not hostname:
            self.reply("501 Syntax: EHLO hostname")
            return
        self._set_rset_state()
        self.session.extended_smtp = True
        self.session.host_name = hostname
        self.say(several_lines((self.hostname, *self.policy.advertised(self._keywords(), over_tls=self.over_tls))))

    def _keywords(self) -> tuple[str, ...]:
        mechanisms = self.policy.announced_mechanisms(self.peer, over_tls=self.over_tls)
        relay = self.policy.config.relay
        values = {"SIZE": f"SIZE {relay.max_size}"}
        later = ("HELP",) if self.over_tls else ("HELP", REQUIRETLS)
        offers = [values.get(keyword, keyword) for keyword in relay.keywords if keyword not in later]
        if self.policy.may_start_tls(over_tls=self.over_tls):
            offers.append("STARTTLS")
        if mechanisms:
            offers.append(f"AUTH {' '.join(mechanisms)}")
        return (*offers, "HELP") if "HELP" in relay.keywords else tuple(offers)

    async def smtp_HELP(self, arg: str | None) -> None:
        if self.offers("HELP"):
            await super().smtp_HELP(arg)
        else:
            self.reply("502 5.5.1 HELP is not offered")

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        if arg:
            self.reply("501 5.5.4 Syntax: STARTTLS")
        elif not self.policy.may_start_tls(over_tls=self.over_tls):
            self.reply("502 5.5.1 STARTTLS is not offered")
        else:
            # What the client sent behind STARTTLS is dropped, never executed (RFC 3207 section 4.2).
            self._reader.buffer.clear()
            self.out.append(StartTLS(b"220 2.0.0 Ready to start TLS\r\n"))

    async def smtp_QUIT(self, arg: str | None) -> None:
        if arg:
            self.reply("501 5.5.4 Syntax: QUIT")
            return
        self.reply("221 2.0.0 Bye")
        self._finish()


@functools.cache
def _template() -> dict[str, Any]:
    core = quiet().run(
        _Core,
        _Handler(),
        hostname="localhost",
        ident=IDENT,
        enable_SMTPUTF8=True,
        auth_require_tls=False,
        loop=cast("asyncio.AbstractEventLoop", Loopless()),
    )
    return vars(core)


class SmtpEngine:
    """A submission server's side of SMTP. See :class:`~pytest_mailauth.servers.engines.contract.Engine`."""

    def __init__(self, policy: Policy, store: MailStore, *, over_tls: bool) -> None:
        self._core = _Core.__new__(_Core)
        vars(self._core).update(_template())
        self._core.begin(policy, store, over_tls=over_tls)
        self._session: Coroutine[Any, Any, None] | None = None
        self._quiet = quiet()

    def greet(self) -> list[Output]:
        """Return the greeting (RFC 5321 section 3.1)."""
        self._session = self._core.converse()
        return self._step()

    def receive(self, data: bytes) -> list[Output]:
        """Take bytes from the client and return what follows."""
        if self._session is None:  # over: nothing is kept of what comes now
            return []
        self._core._reader.buffer += data  # noqa: SLF001 - both classes are one engine
        return self._step()

    def met(self, peer: Peer) -> None:
        """Take note of the other end of the TLS connection."""
        self._core.peer = peer

    def tls_started(self) -> list[Output]:
        """Forget everything the client said before TLS (RFC 3207 section 4.2)."""
        self._core.over_tls = True
        self._core.restart()
        return []

    def eof(self) -> list[Output]:
        """End the session's coroutine, and note a command or message that was never finished."""
        if self._session is None:
            return []
        self._session.close()
        self._session = None
        unfinished = not self._core.between_commands or self._core._reader.buffer  # noqa: SLF001
        return [e.Malformed("the client left in the middle of a command")] if unfinished else []

    def _step(self) -> list[Output]:
        if self._session is not None and not advance(self._session, self._quiet):
            self._session = None
            self._core._reader.buffer.clear()  # noqa: SLF001
        out, self._core.out = self._core.out, []
        return out
