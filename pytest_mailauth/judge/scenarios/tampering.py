"""Class H: data of a mailbox that comes before it may, from whoever sits on the path before TLS begins.

Each row says its lines twice, right behind the greeting and in front of the STARTTLS reply: some clients heed the one
place and some the other, and the last digit of what they show says which. The third place, behind the STARTTLS reply,
is the bytes' matter (``inject-untagged-line``): who reads them at all has lost already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.scenarios.scenario import BOTH, Scenario
from pytest_mailauth.judge.scenarios.starttls import stripped
from pytest_mailauth.model.config import AuthPolicy
from pytest_mailauth.model.deviations import Announce, Answer, Deviation, Greet, Precede
from pytest_mailauth.model.exchanges import CAPABILITIES
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


_DRAFT: Final = b"From: alice@example.test\r\nSubject: to be sent later\r\n\r\nNot for everybody's eyes.\r\n"


def _announces(name: str, summary: str, severity: str, sources: tuple[str, ...], *capabilities: str) -> Scenario:
    """In clear the server announces what is only good inside TLS; there it is not announced.

    The catalogue has compression announced inside TLS as well. This server does not have it, and announces nothing
    that a client could then miss.
    """
    return Scenario(
        name=name,
        family="H",
        summary=summary,
        rules=("no-operation-before-required-tls",),
        severity=severity,
        sources=("RFC 8314 section 5.2", *sources),
        protocols=_IMAP,
        modes=(Security.STARTTLS,),
        deviations=lambda _protocol, _timeout: (Announce(lines=capabilities),),
        profile="full",
    )


def _answers_twice(name: str, summary: str, protocol: Protocol, answer: bytes, further: bytes) -> Scenario:
    """What nobody asked for names a mechanism that is not offered inside TLS, where there is LOGIN alone."""

    def made(*replies: bytes) -> Deviations:
        return lambda of, _timeout: (Answer(verb=CAPABILITIES[of], reply=b"".join(replies)),)

    return Scenario(
        name=name,
        family="H",
        summary=summary,
        rules=("discard-pretls-state",),
        severity="medium",
        sources=("RFC 3207 section 4.2", "RFC 2595 section 4"),
        protocols=(protocol,),
        modes=(Security.STARTTLS,),
        settings={"auth": AuthPolicy(mechanisms=("LOGIN",), password_commands="never")},
        deviations=made(answer, further),
        control=made(answer),
        profile="full",
    )


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
    Scenario(
        name="tamper-drafts-on-strip",
        family="H",
        summary="STARTTLS is stripped, and the session is logged in at once: a draft could be saved there in clear.",
        # The catalogue gives it to no-content-in-clear. What tempts a client is PREAUTH, and whoever goes on there
        # shows it by this rule already; the draft tempts those, too, that open no mailbox.
        rules=("preauth-ends-required-starttls",),
        severity="high",
        sources=("RFC 9051 section 7.1.4", "RFC 8314 section 5.2"),
        protocols=_IMAP,
        modes=(Security.STARTTLS,),
        settings={"auth": AuthPolicy(preauthenticated=True)},
        deviations=stripped(b"{tag} NO not allowed\r\n"),
        tells={"draft": _DRAFT},
        profile="full",
    ),
    _announces(
        "tamper-enable-utf8-only",
        "In clear the server announces UTF8=ONLY and ENABLE.",
        "medium",
        ("RFC 9051 section 6.3.1",),
        "ENABLE",
        "UTF8=ONLY",
    ),
    _announces(
        "tamper-compress-before-tls",
        "In clear the server announces COMPRESS=DEFLATE.",
        "low",
        ("RFC 4978 section 3",),
        "COMPRESS=DEFLATE",
    ),
    _answers_twice(
        "tamper-pop3-multiline",
        "In clear CAPA is answered, and behind that come a scan listing, and a second list that names PLAIN.",
        Protocol.POP3,
        b"+OK\r\nSTLS\r\n.\r\n",
        b"+OK 1 messages\r\n1 120\r\n.\r\n+OK\r\nSASL PLAIN\r\n.\r\n",
    ),
    _answers_twice(
        "tamper-smtp-extra-replies",
        "In clear EHLO is answered twice, and the second answer names PLAIN.",
        Protocol.SMTP,
        b"250-localhost\r\n250 STARTTLS\r\n",
        b"250-localhost\r\n250 AUTH PLAIN\r\n",
    ),
)
