"""The commands that carry a message: DATA (RFC 5321 section 4.1.1.4) and BDAT (RFC 3030 section 2).

A part of the SMTP engine's session, in front of aiosmtpd. What becomes of a message is decided elsewhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model import events as e
from pytest_mailauth.servers.engines.lines import LENIENT_LIMIT
from pytest_mailauth.servers.engines.smtp_data import TOO_LONG, TOO_MUCH
from pytest_mailauth.servers.engines.smtp_lines import DATA_LINE_LIMIT

if TYPE_CHECKING:
    from pytest_mailauth.servers.engines.contract import Output
    from pytest_mailauth.servers.engines.smtp_lines import Feed
    from pytest_mailauth.servers.policy import Policy

_CHUNK: Final = re.compile(r"(?P<size>[0-9]{1,20})(?: (?P<last>LAST))?", re.IGNORECASE)
"""What stands behind BDAT (RFC 3030 section 2); more digits than that are no size of anything."""
_LINE_LIMIT: Final = DATA_LINE_LIMIT - 1
"""Bytes of a line in a chunk, which has no transparency dots."""
_NO_RECIPIENTS: Final = "554 5.5.1 No valid recipients"
_OVERRAN: Final = "a line of the message is longer than 1000 bytes (RFC 5321 section 4.5.3.1.6)"


class Messages:
    """How a session that has these attributes takes a message; the methods have aiosmtpd's names."""

    policy: Policy
    envelope: Any
    session: Any
    out: list[Output]
    refused: int
    data_size_limit: Any
    event_handler: Any
    _reader: Feed

    if TYPE_CHECKING:  # what the session has besides

        def offers(self, keyword: str) -> bool:
            """Return whether a service extension is offered."""

        def reply(self, status: str | bytes) -> None:
            """Add a reply."""

        async def push(self, status: str | bytes) -> None:
            """Add a reply, as aiosmtpd does."""

        def _set_post_data_state(self) -> None: ...

    async def smtp_DATA(self, arg: str | None) -> None:
        """Take a message that ends with a dot."""
        if self.envelope.chunks is not None:
            # The two do not mix, and what is left of the message is indeterminate (RFC 3030 section 2): it is dropped.
            self._give_up("503 5.5.1 DATA cannot follow BDAT")
            return
        if self.refused and self.envelope.mail_from and not self.envelope.rcpt_tos:
            self.reply(_NO_RECIPIENTS)
            return
        if arg or not self.envelope.rcpt_tos:  # aiosmtpd refuses it
            await super().smtp_DATA(arg)  # type: ignore[misc] # aiosmtpd's
            return
        self.reply("354 End data with <CR><LF>.<CR><LF>")
        # Our own reading: aiosmtpd's takes a message line by line, a coroutine for each.
        text = await self._reader.message(self.data_size_limit or 0)
        await self._finish_message(text.content, text.problem, overran=text.overran)

    async def smtp_BDAT(self, arg: str | None) -> None:
        """Take a chunk of a message; its octets follow the line at once, whatever becomes of them."""
        if not self.offers("CHUNKING"):
            self.reply("502 5.5.1 BDAT is not offered")
            return
        chunk = _CHUNK.fullmatch(arg or "")
        if chunk is None:
            self.out.append(e.Malformed("BDAT without a number of octets (RFC 3030 section 2)"))
            self.reply("501 5.5.4 Syntax: BDAT octets [LAST]")
            return
        size = int(chunk["size"])
        held = self.envelope.chunks or bytearray()
        problem = self._out_of_turn() or (TOO_MUCH if 0 < self.data_size_limit < len(held) + size else None)
        octets = await self._reader.octets(size, are_kept=problem is None)
        if problem is None and chunk["last"]:
            content = bytes(held + octets)
            longest = max(map(len, content.split(b"\r\n"))) + 2
            problem = TOO_LONG if longest > (LENIENT_LIMIT if self.policy.is_lenient else _LINE_LIMIT) else None
            await self._finish_message(content, problem, overran=longest > _LINE_LIMIT)
            return
        self.out.append(e.Response(f"<chunk of {size} bytes>"))
        if problem is not None:
            self._give_up(problem)
            return
        self.envelope.chunks = held + octets
        self.reply(f"250 {size} octets received")

    async def skip_chunk(self, arg: str) -> None:
        """Drop the octets behind a BDAT that is not carried out: they are no commands."""
        chunk = _CHUNK.fullmatch(arg)
        if chunk is not None and self.offers("CHUNKING"):
            await self._reader.octets(int(chunk["size"]), are_kept=False)

    def _out_of_turn(self) -> str | None:
        """Return the reply to a chunk that belongs to no transaction, or None."""
        if self.envelope.rcpt_tos:
            return None
        return _NO_RECIPIENTS if self.refused and self.envelope.mail_from else "503 5.5.1 Error: need RCPT command"

    def _give_up(self, problem: str) -> None:
        self.reply(problem)
        self._set_post_data_state()

    async def _finish_message(self, content: bytes, problem: str | None, *, overran: bool) -> None:
        """Pass a whole message on, or say what is wrong with it. Either ends the transaction."""
        if problem is not None:
            self.reply(problem)
        else:
            self.envelope.content = content
            await self.push(await self.event_handler.handle_DATA(self, self.session, self.envelope))
        self._set_post_data_state()
        if overran:
            self.out.append(e.Malformed(_OVERRAN))
