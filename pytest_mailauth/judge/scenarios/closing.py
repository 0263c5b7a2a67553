"""Class L, the end of TLS: a message or a reply is cut off, and TCP ends without close_notify (RFC 8446 section 6.1).

Whoever can inject a FIN can do this, without a key.
"""

from __future__ import annotations

from typing import Final

from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.model.deviations import BreakOff
from pytest_mailauth.model.terms import Protocol
from pytest_mailauth.servers.script import MESSAGE

_SOURCES: Final = ("RFC 8314 section 3.4", "RFC 8446 section 6.1")
_MARKER: Final = "As agreed you pay"
_WHOLE: Final = b"From: <bob@example.test>\r\nTo: <alice@example.test>\r\nSubject: Hello\r\n\r\n" + b"Hello.\r\n" * 99
"""The message that lies in the mailbox. Nobody ever gets it."""
_HALF: Final = b"From: <bob@example.test>\r\nSubject: The price\r\n\r\n" + _MARKER.encode() + b" one thousand\r\n"
"""What is handed out of it; the rest of the sentence may turn its meaning round."""


def _cut_off(name: str, reply: bytes, summary: str, variant_of: str = "") -> Scenario:
    """Return a server of SMTP that has taken the message, and does not come to the end of saying so."""
    return Scenario(
        name=name,
        family="L",
        summary=summary,
        rules=("orderly-close",),
        severity="medium",
        sources=(*_SOURCES, "RFC 5321 section 4.2"),
        protocols=(Protocol.SMTP,),
        deviations=lambda _protocol, _timeout: (BreakOff(verbs=(MESSAGE,), reply=reply),),
        wants=("sent",),
        profile="full",
        variant_of=variant_of,
    )


def _fetched(name: str, protocol: Protocol, verbs: tuple[str, ...], before: bytes, summary: str) -> Scenario:
    """Return a server of POP3 or IMAP that stops in the middle of the message."""
    return Scenario(
        name=name,
        family="L",
        summary=summary,
        rules=("orderly-close",),
        severity="medium",
        sources=_SOURCES,
        protocols=(protocol,),
        deviations=lambda _protocol, _timeout: (BreakOff(verbs=verbs, reply=before + _HALF),),
        inbox=(_WHOLE,),
        wants=("messages",),
        marker=_MARKER,
        profile="full",
    )


ROWS: Final = (
    _fetched(
        "truncated-pop3-message",
        Protocol.POP3,
        ("RETR", "TOP"),
        b"+OK message follows\r\n",
        "The connection ends in the middle of a message, without the final dot and without close_notify.",
    ),
    _fetched(
        "truncated-imap-literal",
        Protocol.IMAP,
        ("FETCH", "UID FETCH"),
        b"* 1 FETCH (UID 1 BODY[] {1000}\r\n",
        "The connection ends before all of the announced literal was sent, and without close_notify.",
    ),
    _cut_off(
        "truncated-smtp-reply",
        b"250",
        "The connection ends behind the code of the reply to a message: 250, without the end of the line.",
    ),
    _cut_off(
        "truncated-smtp-reply-one-digit",
        b"2",
        "The connection ends behind the first digit of the reply to a message: 2.",
        variant_of="truncated-smtp-reply",
    ),
)
