"""Class D, and what of O belongs to it: servers that know nothing of STARTTLS, or pretend that they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.scenarios.connections import AT_WORK, UNKNOWN
from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.judge.scenarios.starttls import stripped
from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.model.deviations import Answer, Cut, Deviation, Greet, Hide
from pytest_mailauth.model.relay import KEYWORDS
from pytest_mailauth.model.terms import Protocol, Security
from pytest_mailauth.model.trial import Earlier

if TYPE_CHECKING:
    from pytest_mailauth.judge.scenarios.scenario import Deviations

_SMTP, _POP3, _IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP

_POP3_TAGS: Final = ("TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "USER", "SASL", "STLS")
"""Everything that a POP3 server lists: hidden, nothing is left."""


def _with(*further: Deviation) -> Deviations:
    """STARTTLS is neither offered nor known, and *further* is done besides."""
    return lambda protocol, timeout: (*further, *stripped(UNKNOWN[protocol])(protocol, timeout))


def _strips(name: str, protocol: Protocol, summary: str, *further: Deviation, **other: Any) -> Scenario:
    """What a client cannot know to be true is said; authentication and work in clear are taken."""
    told: dict[str, Any] = {"severity": "critical", "sources": ("RFC 3207 section 6",)} | other
    return Scenario(
        name=name,
        family="D",
        summary=summary,
        rules=("starttls-required-is-required",),
        protocols=(protocol,),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=_with(*further),
        **told,
    )


def _ehlo_rejected(name: str, reply: bytes) -> Scenario:
    return _strips(
        name,
        _SMTP,
        f"EHLO is answered with {reply.decode().strip()!r}, HELO with 250: a server without extensions.",
        Answer(verb="EHLO", reply=reply),
        sources=("RFC 3207 section 6", "RFC 5321 section 4.1.4"),
        variant_of="" if name == "ehlo-rejected" else "ehlo-rejected",
    )


def _odd_introduction(name: str, of: str, *replies: tuple[str, bytes]) -> Scenario:
    # The catalogue gives the replies to EHLO to check-starttls-reply. No client comes to ask for STARTTLS here, so it
    # is the question of all rows in which it is not offered. HELO refused with 5xx as well is wrong-dialect-lmtp.
    said = " and ".join(f"{verb} with {reply.decode().strip()!r}" for verb, reply in replies)
    return _strips(
        name,
        _SMTP,
        f"The introduction is answered with what is no answer to it: {said}.",
        *(Answer(verb=verb, reply=reply) for verb, reply in replies),
        severity="high",
        sources=("RFC 5321 section 4.3.2", "RFC 3207 section 6"),
        variant_of="" if name == of else of,
    )


_NO_EHLO: Final = ("EHLO", b"500 5.5.1 Command not recognized\r\n")

ROWS: Final = (
    _ehlo_rejected("ehlo-rejected", b"502 5.5.1 Command not recognized\r\n"),
    _ehlo_rejected("ehlo-rejected-530", b"530 5.7.0 Must issue a STARTTLS command first\r\n"),
    _ehlo_rejected("ehlo-rejected-550", b"550 5.7.1 Not from you\r\n"),
    _strips(
        "ehlo-empty",
        _SMTP,
        "EHLO is answered with 250 and the server's name alone: no extension is listed.",
        Hide(names=("AUTH", *KEYWORDS)),
        sources=("RFC 3207 section 6", "RFC 5321 section 4.1.1.1"),
    ),
    _odd_introduction("ehlo-odd-success", "ehlo-odd-success", ("EHLO", b"220 EHLO client!\r\n")),
    _odd_introduction("ehlo-odd-success-354", "ehlo-odd-success", ("EHLO", b"354 start\r\n")),
    _odd_introduction("ehlo-odd-success-421", "ehlo-odd-success", ("EHLO", b"421 4.3.2 shutting down\r\n")),
    _odd_introduction("helo-or-rset-odd", "helo-or-rset-odd", _NO_EHLO, ("HELO", b"220 HELO client!\r\n")),
    _odd_introduction(
        "helo-or-rset-odd-354",
        "helo-or-rset-odd",
        _NO_EHLO,
        ("HELO", b"354 start\r\n"),
        ("RSET", b"354 start\r\n"),
    ),
    _strips(
        "quit-odd",
        _SMTP,
        "STARTTLS is not offered, and QUIT is answered with 354: go on.",
        Answer(verb="QUIT", reply=b"354 please stay\r\n"),
        severity="medium",
        sources=("RFC 3207 section 6", "RFC 5321 section 4.1.1.10"),
    ),
    _strips(
        "quit-odd-pop3",
        _POP3,
        "STLS is not offered, and QUIT is refused.",
        Answer(verb="QUIT", reply=b"-ERR please stay\r\n"),
        severity="medium",
        sources=("RFC 2595 section 2.5", "RFC 1939 section 4"),
        variant_of="quit-odd",
    ),
    _strips(
        "capa-rejected",
        _POP3,
        "CAPA is not known, and STLS is not either: a server from before both.",
        Answer(verb="CAPA", reply=b"-ERR no such command\r\n"),
        sources=("RFC 2449 section 5", "RFC 2595 section 2.5"),
    ),
    _strips(
        "capa-empty",
        _POP3,
        "CAPA is answered with an empty list.",
        Hide(names=_POP3_TAGS),
        sources=("RFC 2449 section 5", "RFC 2595 section 2.5"),
    ),
    _strips(
        "capa-err-auth-list",
        _POP3,
        "CAPA is not known; AUTH alone lists mechanisms, and each of them is taken in clear.",
        Answer(verb="CAPA", reply=b"-ERR [SYS/PERM] no such command\r\n"),
        sources=("RFC 2595 section 2.5",),
    ),
    _strips(
        "capability-missing-imap",
        _IMAP,
        "The greeting lists nothing, and CAPABILITY is not known.",
        Greet(data=b"* OK ready\r\n"),
        Answer(verb="CAPABILITY", reply=UNKNOWN[_IMAP]),
        sources=("RFC 2595 section 2.5", "RFC 9051 section 11.1"),
    ),
    _strips(
        "capability-imap4-only",
        _IMAP,
        "The greeting and CAPABILITY list IMAP4 alone.",
        Greet(data=b"* OK [CAPABILITY IMAP4] ready\r\n"),
        Answer(verb="CAPABILITY", reply=b"* CAPABILITY IMAP4\r\n{tag} OK done\r\n"),
        sources=("RFC 2595 section 2.5", "RFC 9051 section 11.1"),
    ),
    Scenario(
        name="tls-dropped-from-previous",
        family="D",
        summary="The client is told to make a transfer before; while it is at work, STARTTLS goes, and never was.",
        rules=("starttls-required-is-required",),
        severity="critical",
        sources=("RFC 3207 section 6", "RFC 8314 section 5.2"),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=lambda protocol, timeout: (
            Cut(verbs=AT_WORK[protocol], then=_with()(protocol, timeout), resets=False),
        ),
        earlier=Earlier(),
    ),
)
