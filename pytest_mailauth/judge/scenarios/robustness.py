"""Class W: servers that never come to an end, or say what nobody can follow. The verdict is a hang or a crash."""

from __future__ import annotations

from typing import Any, Final

from pytest_mailauth.judge.scenarios.scenario import EVERY, Scenario
from pytest_mailauth.model.deviations import Answer, BreakOff, Deviation, Greet
from pytest_mailauth.model.floods import Flood, Trickle
from pytest_mailauth.model.terms import Protocol

_SMTP, _POP3, _IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP
_FILLER: Final = b"x" * 900
_DEEP: Final = 10_000
"""How deep the body structure is nested."""

_PAUSES: Final = 20
"""Bytes that trickle: fewer than every greeting has, and so many that who reads them all has waited five time-outs."""

_GREETINGS: Final = {
    _SMTP: Flood(verb="", piece=b"220-" + _FILLER + b"\r\n"),
    # One line: the greeting of the others has no more.
    _POP3: Flood(verb="", head=b"+OK ", piece=_FILLER),
    _IMAP: Flood(verb="", head=b"* OK ", piece=_FILLER),
}
_LISTS: Final = {
    _SMTP: Flood(verb="EHLO", piece=b"250-X" + _FILLER + b"\r\n"),
    _POP3: Flood(verb="CAPA", head=b"+OK\r\n", piece=b"X" + _FILLER + b"\r\n"),
    _IMAP: Flood(verb="CAPABILITY", piece=b"* CAPABILITY IMAP4rev1 X" + _FILLER + b"\r\n"),
}


def _nested(_protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    structure = b"(" * _DEEP + b'"TEXT" "PLAIN" NIL NIL NIL "7BIT" 4 1' + b")" * _DEEP
    reply = b"* 1 EXISTS\r\n* 1 FETCH (BODYSTRUCTURE " + structure + b")\r\n{tag} OK [READ-WRITE] selected\r\n"
    return (Answer(verb="SELECT", reply=reply, over_tls=True),)


def _row(
    name: str, summary: str, *, protocols: tuple[Protocol, ...] = EVERY, sources: tuple[str, ...], **more: Any
) -> Scenario:
    return Scenario(
        name=name,
        family="W",
        summary=summary,
        rules=("bounded-resources",),
        severity="low",
        sources=sources,
        protocols=protocols,
        profile="extended",
        **more,
    )


def _closes(name: str, verb: str, point: str) -> Scenario:
    # Not POP3 and IMAP, which the catalogue has too: there no report would show that a client believes in success,
    # but for the messages, and those are in truncated-pop3-message and truncated-imap-literal.
    return Scenario(
        name=name,
        family="W",
        summary=f"Inside TLS the connection is closed at {point}, without a reply.",
        rules=("orderly-close",),
        severity="medium",
        sources=("RFC 8314 section 3.4",),
        protocols=(_SMTP,),
        deviations=lambda _protocol, _timeout: (BreakOff(verbs=(verb,)),),
        profile="full",
        variant_of="" if name == "close-at-every-point" else "close-at-every-point",
    )


ROWS: Final = (
    _closes("close-at-every-point", "DATA", "DATA"),
    _closes("close-at-every-point-login", "AUTH", "AUTH"),
    _closes("close-at-every-point-sender", "MAIL", "MAIL"),
    _closes("close-at-every-point-recipient", "RCPT", "RCPT"),
    _row(
        "endless-greeting",
        "The greeting has no end: continuation lines in SMTP, one line in POP3 and IMAP.",
        sources=("CWE-400",),
        deviations=lambda protocol, _timeout: (_GREETINGS[protocol],),
        waits=True,
        patience=5,
    ),
    _row(
        "endless-capability",
        "Inside TLS the list of capabilities has no end.",
        sources=("CWE-400",),
        deviations=lambda protocol, _timeout: (_LISTS[protocol],),
        waits=True,
        patience=5,
    ),
    _row(
        "huge-literal",
        "A literal of 4,294,967,295 bytes is announced in the reply to SELECT, and begins.",
        protocols=(_IMAP,),
        sources=("CVE-2026-42245", "CWE-789"),
        deviations=lambda _protocol, _timeout: (
            Flood(verb="SELECT", head=b'* LIST () "/" {4294967295}\r\n', piece=_FILLER),
        ),
        waits=True,
        patience=5,
    ),
    _row(
        "deep-nesting",
        "A body structure comes that is nested 10,000 deep.",
        protocols=(_IMAP,),
        sources=("CWE-674",),
        deviations=_nested,
    ),
    _row(
        "slow-drip",
        "The greeting comes byte by byte, four of them in one time-out of the client, and never whole.",
        sources=("CWE-400", "S11"),
        deviations=lambda _protocol, timeout: (Trickle(pause=timeout * 5 / _PAUSES, most=_PAUSES),),
        waits=True,
        # Then comes silence: who limits each read gives up after one more time-out, and who limits nothing goes on.
        patience=9,
    ),
    _row(
        "capability-bad-loop",
        "Inside TLS CAPABILITY is always answered with BAD.",
        protocols=(_IMAP,),
        sources=("Balsa issue 48", "CWE-835"),
        deviations=lambda _protocol, _timeout: (
            Answer(verb="CAPABILITY", reply=b"{tag} BAD unknown command\r\n", over_tls=True),
        ),
    ),
    _row(
        "no-auth-mech-in-greeting",
        "The greeting lists IMAP4rev1 as the only capability.",
        protocols=(_IMAP,),
        sources=("CVE-2020-16117",),
        deviations=lambda _protocol, _timeout: (Greet(data=b"* OK [CAPABILITY IMAP4rev1] ready\r\n"),),
    ),
)
