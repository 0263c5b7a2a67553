"""The AUTH command of SMTP (RFC 4954): what may begin, the exchange line by line, and the reply at its end.

A part of the SMTP engine's session; the mechanisms themselves and the decision are elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pytest_mailauth.model import events as e
from pytest_mailauth.model.terms import Protocol, Refusal
from pytest_mailauth.servers import sasl
from pytest_mailauth.servers.engines.refusals import refusal_text
from pytest_mailauth.servers.engines.smtp_lines import LINE_LIMITS, raw

if TYPE_CHECKING:
    from pytest_mailauth.servers.engines.contract import Output
    from pytest_mailauth.servers.policy import Policy


class _TooLong(sasl.SaslError):
    """The client's line is longer than any response may be (RFC 4954 section 6)."""


class AuthCommand:
    """The AUTH command as a part of a session that has these attributes."""

    policy: Policy
    over_tls: bool
    out: list[Output]
    login: str | None
    peer: sasl.Peer | None
    session: Any
    envelope: Any
    _reader: Any

    def reply(self, status: str | bytes) -> None:
        """Add a reply; the session does it."""
        raise NotImplementedError

    async def smtp_AUTH(self, arg: str | None) -> None:
        """Answer AUTH; the name is aiosmtpd's for a command's handler."""
        mechanism, _, initial = (arg or "").partition(" ")
        mechanism, initial = mechanism.upper(), initial.strip()
        refusal = self._refusal(mechanism)
        if refusal is not None:
            self.witness(arg or "")
            self.reply(refusal)
            return
        try:
            attempt = await self._exchange(mechanism, initial)
        except sasl.SaslError as error:
            self.out.append(e.Malformed(str(error)))
            code = "500 5.5.6" if isinstance(error, _TooLong) else "501 5.5.2"
            self.reply(f"{code} {error}")
            return
        if attempt is None:
            self.reply("501 5.7.0 Authentication cancelled")
            return
        account, refusal_reason, _ = attempt.decision
        self.out += sasl.noted(mechanism, attempt)
        if account is None:
            reason = refusal_reason or Refusal.INVALID
            self.reply(refusal_text(reason, Protocol.SMTP, self.policy.config.auth))
            return
        self.session.authenticated = True
        self.login = account.username
        self.reply("235 2.7.0 Authentication successful")

    def _refusal(self, mechanism: str) -> str | None:
        """Return why AUTH cannot begin now (RFC 4954 section 4), or None."""
        if not self.session.extended_smtp:
            return "503 5.5.1 Send EHLO first"
        if self.session.authenticated:
            return "503 5.5.1 Already authenticated"
        if self.envelope.mail_from is not None:
            return "503 5.5.1 Not during a mail transaction"
        if not mechanism:
            return "501 5.5.4 Syntax: AUTH mechanism [initial-response]"
        if self.policy.may_authenticate(mechanism, self.peer, over_tls=self.over_tls):
            return None
        if self.policy.lacks_tls(mechanism, over_tls=self.over_tls):
            return refusal_text(Refusal.ENCRYPTION_NEEDED, Protocol.SMTP, self.policy.config.auth)
        return "504 5.5.4 Unrecognized authentication type"

    def witness(self, arg: str) -> None:
        """Note the credentials that came with an AUTH that is not carried out: they have crossed the wire."""
        mechanism, _, initial = arg.partition(" ")
        mechanism, initial = mechanism.upper(), initial.strip()
        if mechanism not in sasl.MECHANISMS or not initial:
            return
        try:
            claim = sasl.read(mechanism, sasl.decode_initial(raw(initial)))
        except sasl.SaslError as error:
            self.out.append(e.Malformed(str(error)))
        else:
            if claim is not None:
                self.out.append(sasl.presented(mechanism, claim, accepted=False))

    async def _exchange(self, mechanism: str, initial: str) -> sasl.Attempt | None:
        desk = self.policy.desk(self.peer, mechanism)
        exchange = sasl.begin(mechanism, desk, sasl.decode_initial(raw(initial)) if initial else None)
        try:
            challenge = next(exchange)
            while True:
                self.out += sasl.noted(mechanism, challenge)
                self.reply(b"334 " + sasl.encode_challenge(challenge))
                line = (await self._reader.readuntil()).rstrip(b"\r\n")
                self.out.append(e.Response(f"<response of {len(line)} bytes>"))
                if len(line) + 2 > LINE_LIMITS["AUTH"]:
                    self.out.append(e.Malformed(f"a response of more than {LINE_LIMITS['AUTH']} bytes"))
                if line == b"*":
                    return None
                challenge = exchange.send(sasl.decode_response(line))
        except StopIteration as done:
            attempt: sasl.Attempt = done.value
            return attempt
        except asyncio.LimitOverrunError:
            await self._reader.skip_line()
            raise _TooLong("the response is too long") from None
