"""Class H: data of a mailbox that comes before it may, from whoever sits on the path before TLS begins.

Each row says its lines twice, right behind the greeting and in front of the STARTTLS reply: some clients heed the one
place and some the other, and the last digit of what they show says which. The third place, behind the STARTTLS reply,
is the bytes' matter (``inject-untagged-line``): who reads them at all has lost already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.scenarios.scenario import BOTH, Scenario
from pytest_mailauth.model.deviations import Announce, Answer, Deviation, Greet, Precede
from pytest_mailauth.model.terms import Protocol, Security

if TYPE_CHECKING:
    from pytest_mailauth.judge.scenarios.scenario import Deviations

MARKER: Final = "7180427"
"""Stands in every name and number that is made up. With the digit of its place behind it, it is a number for IMAP, and
cannot be a port."""

_IMAP: Final = (Protocol.IMAP,)
_GREETING: Final = "* OK IMAP4rev1 server ready\r\n"
_LETTER: Final = b"From: bob@example.test\r\nSubject: lunch\r\n\r\nAt noon?\r\n"


def _said_early(lines: str, *further: Deviation) -> Deviations:
    """*lines* come in both places, with ``MARK`` for the marker and the digit of the place."""
    behind, before = (lines.replace("MARK", f"{MARKER}{place}") for place in (1, 2))
    made = (
        Greet(data=f"{_GREETING}{behind}".encode()),
        Precede(verb="STARTTLS", data=before.encode()),
        *further,
    )
    return lambda _protocol, _timeout: made


def _tampers(
    name: str,
    summary: str,
    lines: str,
    *further: Deviation,
    wants: tuple[str, ...] = ("mailbox",),
    severity: str = "high",
    inbox: tuple[bytes, ...] = (),
    is_compared: bool = False,
) -> Scenario:
    return Scenario(
        name=name,
        family="H",
        summary=f"Before TLS the server sends {summary} that nobody asked for; inside TLS it is honest.",
        rules=("ignore-unsolicited-before-auth",),
        severity=severity,
        sources=("RFC 9051 section 11.3", "CVE-2021-29969"),
        protocols=_IMAP,
        modes=(Security.STARTTLS,),
        deviations=_said_early(lines, *further),
        control=(lambda _protocol, _timeout: further) if is_compared else None,
        wants=wants,
        marker=MARKER,
        inbox=inbox,
        profile="full",
    )


def _literal(text: str) -> str:
    return f"{{{len(text)}}}\r\n{text}"


_FORGED: Final = f"From: Injected\r\nSubject: {MARKER}0\r\n\r\nCall us.\r\n"

_EXTENSIONS: Final = (
    '* NAMESPACE (("BoxMARK/" "/")) NIL NIL\r\n'
    '* ID ("name" "ServerMARK")\r\n'
    "* QUOTAROOT INBOX RootMARK\r\n"
    "* ENABLED XMARK\r\n"
    "* VANISHED MARK\r\n"
    "* ESEARCH ALL MARK\r\n"
    '* METADATA INBOX (/private/comment "MARK")\r\n'
)
"""Responses of extensions: RFC 2342, 2971, 9208, 5161, 7162, 4731 and 5464."""

_NAMESPACE: Final = (
    Announce(lines=("NAMESPACE",), over_tls=True),
    Answer(verb="NAMESPACE", reply=b'* NAMESPACE (("" "/")) NIL NIL\r\n{tag} OK done\r\n', over_tls=True),
)
"""An honest answer to whoever asks: a client that is refused here would report nothing."""

_UNSELECTED: Final = ("LIST", "LSUB", "STATUS", "NAMESPACE", "ID", "ENABLE")
"""Commands of the authenticated state. Lines in front of their replies come when nothing is selected, for certain; what
comes behind a login may be read after SELECT was sent."""


def _unselected(_protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    mark = f"{MARKER}3"
    lines = f"* {mark} EXISTS\r\n* 1 FETCH (UID {mark} BODY[] {_literal(_FORGED)})\r\n"
    return tuple(Precede(verb=verb, data=lines.encode(), over_tls=True) for verb in _UNSELECTED)


ROWS: Final = (
    _tampers("tamper-list", "a LIST response", '* LIST () "/" BoxMARK\r\n', wants=("folders",)),
    _tampers("tamper-lsub", "an LSUB response", '* LSUB () "/" BoxMARK\r\n', wants=("folders",)),
    _tampers(
        "tamper-status",
        "STATUS responses for INBOX and for a mailbox that does not exist",
        "* STATUS INBOX (MESSAGES MARK RECENT MARK UIDNEXT MARK UNSEEN MARK UIDVALIDITY MARK)\r\n"
        "* STATUS BoxMARK (MESSAGES 3)\r\n",
    ),
    _tampers("tamper-search", "a SEARCH response", "* SEARCH 1 2 3 MARK\r\n"),
    _tampers("tamper-flags", "a FLAGS response", "* FLAGS (\\Flagged FlagMARK)\r\n", severity="medium"),
    _tampers("tamper-exists", "an EXISTS response", "* MARK EXISTS\r\n"),
    _tampers("tamper-recent", "a RECENT response", "* MARK RECENT\r\n", severity="medium"),
    _tampers(
        "tamper-expunge",
        "EXPUNGE responses",
        "* 1 EXPUNGE\r\n* 2 EXPUNGE\r\n* 3 EXPUNGE\r\n",
        inbox=(_LETTER,) * 4,
        is_compared=True,
    ),
    _tampers(
        "tamper-fetch",
        "a FETCH response with a message",
        f"* 1 FETCH (BODY[] {_literal(_FORGED)})\r\n",
        wants=("messages",),
        inbox=(_LETTER,),
    ),
    _tampers(
        "tamper-namespace-id-quota",
        "NAMESPACE, ID, QUOTAROOT, ENABLED, VANISHED, ESEARCH and METADATA responses",
        _EXTENSIONS,
        *_NAMESPACE,
        severity="medium",
    ),
    Scenario(
        name="tamper-not-selected",
        family="H",
        summary="Inside TLS, after the login and before a mailbox is selected, the server sends EXISTS and FETCH.",
        rules=("ignore-unsolicited-before-auth",),
        severity="low",
        sources=("RFC 9051 section 11.3",),
        protocols=_IMAP,
        modes=BOTH,
        deviations=_unselected,
        wants=("folders", "mailbox", "messages"),
        marker=MARKER,
        inbox=(_LETTER,),
        profile="full",
    ),
)
