"""Class E: STARTTLS is answered with something like success, too early, or with no TLS behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.judge.scenarios.starttls import STARTTLS_VERB
from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.model.deviations import (
    Agree,
    Announce,
    Answer,
    Deviation,
    Greet,
    StayClear,
)
from pytest_mailauth.model.exchanges import CAPABILITIES
from pytest_mailauth.model.terms import Protocol, Security

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mailauth.judge.scenarios.scenario import Deviations

_SMTP, _POP3, _IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP

_INTERNAL_ERROR: Final = b"\x15\x03\x03\x00\x02\x02\x50"
"""The fatal alert internal_error(80) as a record (RFC 8446 sections 5.1 and 6.2); retry-after-tls-failure has 40."""

_AGREED: Final = {
    _SMTP: b"220 2.0.0 Ready to start TLS\r\n",
    _POP3: b"+OK begin TLS negotiation\r\n",
    _IMAP: b"{tag} OK begin TLS\r\n",
}

_EARLY: Final = {
    _SMTP: b"220 2.0.0 Ready to start TLS\r\n",
    _POP3: b"+OK begin TLS negotiation\r\n",
    _IMAP: b"{next} OK begin TLS\r\n",
}
"""The same reply to a command that has not been sent yet: the one behind the question that it follows."""

_OFFER: Final = {
    _SMTP: b"250-localhost\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n",
    _POP3: b"+OK\r\nPIPELINING\r\nUSER\r\nSASL PLAIN LOGIN\r\nSTLS\r\n.\r\n",
    _IMAP: b"* CAPABILITY IMAP4rev1 SASL-IR STARTTLS AUTH=PLAIN AUTH=LOGIN\r\n",
}
"""What a server that takes passwords everywhere offers in clear; IMAP's has its completion behind it."""
_DONE: Final = b"{tag} OK done\r\n"

_GREETING: Final = b"* OK IMAP4rev1 server ready\r\n"
"""A greeting that lists no capabilities, so that a client asks for them."""
_TAGS: Final = ("A001", "A0001", "a1", "1", "a001", "A1")
"""Tags with which clients begin that do not choose them at random."""

_PAUSE: Final = 0.05
"""Seconds between two segments: enough for a client to have read the first."""


def _answered(reply: bytes, end: str = "") -> Deviations:
    """STARTTLS is answered with *reply*, and TLS does not begin."""
    return lambda protocol, _timeout: (Answer(verb=STARTTLS_VERB[protocol], reply=reply, end=end),)


def _lost(end: str) -> Deviations:
    return lambda protocol, timeout: _answered(_AGREED[protocol], end)(protocol, timeout)


def _early(answers: Mapping[Protocol, tuple[bytes, bytes]]) -> Deviations:
    """A question in clear is answered with more than its answer, in one segment or two; STARTTLS is not at all."""

    def make(protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
        reply, rest = answers[protocol]
        greeting = (Greet(data=_GREETING),) if protocol is _IMAP else ()
        return (
            *greeting,
            Answer(verb=CAPABILITIES[protocol], reply=reply, rest=rest, pause=_PAUSE),
            Answer(verb=STARTTLS_VERB[protocol], reply=b""),
        )

    return make


def _with_greeting(_protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    early = b"".join(b"%s OK begin TLS\r\n" % tag.encode() for tag in _TAGS)
    return (Greet(data=_GREETING + early), Answer(verb="STARTTLS", reply=b""))


def always(*deviations: Deviation) -> Deviations:
    """Return what makes these deviations for every protocol."""
    return lambda _protocol, _timeout: deviations


def row(name: str, rule: str, summary: str, deviations: Deviations, **more: Any) -> Scenario:
    """Return a row for clients that were told STARTTLS, of class E; *more* are further fields of it."""
    defaults: dict[str, Any] = {
        "family": "E",
        "severity": "high",
        "sources": ("RFC 3207 section 4",),
        "modes": (Security.STARTTLS,),
        "rules": (rule,),
    }
    return Scenario(name=name, summary=summary, deviations=deviations, **defaults | more)


def _wrong(name: str, protocol: Protocol, reply: bytes, severity: str, variant_of: str, **more: Any) -> Scenario:
    return row(
        name,
        "check-starttls-reply",
        f"STARTTLS is answered with {reply.decode().strip()!r}, and TLS does not begin.",
        _answered(reply),
        severity=severity,
        protocols=(protocol,),
        settings={"auth": IN_CLEAR},
        variant_of="" if name == variant_of else variant_of,
        **more,
    )


def _reply_of(
    name: str, protocols: tuple[Protocol, ...], summary: str, deviations: Deviations, **more: Any
) -> Scenario:
    # The catalogue gives some of these rows to tls-really-started. A client that goes on in clear because it took the
    # reply for its own and one that took it for TLS say the same on the wire: all ask whether the reply was checked.
    return row(
        name,
        "check-starttls-reply",
        summary,
        deviations,
        **{"protocols": protocols, "settings": {"auth": IN_CLEAR}, "waits": True} | more,
    )


_WRONG_CODE, _LOOKALIKE = "starttls-wrong-success-code", "starttls-lookalike-pop3"
_EARLY_TAGGED: Final[dict[str, Any]] = {
    "severity": "critical",
    "sources": ("RFC 9051 section 6.2.1", "CVE-2026-42246"),
}
_VARIANT: Final[dict[str, Any]] = {**_EARLY_TAGGED, "variant_of": "starttls-early-tagged-ok-variants"}

ROWS: Final = (
    _wrong(_WRONG_CODE, _SMTP, b"250 fine\r\n", "high", _WRONG_CODE),
    _wrong("starttls-wrong-success-code-221", _SMTP, b"221 fine\r\n", "high", _WRONG_CODE),
    _wrong("starttls-wrong-success-code-235", _SMTP, b"235 fine\r\n", "high", _WRONG_CODE),
    _wrong("starttls-wrong-success-code-2200", _SMTP, b"2200 fine\r\n", "high", _WRONG_CODE),
    _wrong("starttls-wrong-success-code-unfinished", _SMTP, b"220-go\r\n", "high", _WRONG_CODE, waits=True),
    row(
        "starttls-wrong-success-code-then-tls",
        "check-starttls-reply",
        "STARTTLS is answered with '250 fine', and TLS begins.",
        always(Agree(reply=b"250 fine\r\n")),
        protocols=(_SMTP,),
        settings={"auth": IN_CLEAR},
        variant_of=_WRONG_CODE,
    ),
    _wrong(_LOOKALIKE, _POP3, b"+Okay, do your thing.\r\n", "low", _LOOKALIKE),
    _wrong("starttls-lookalike-pop3-okay", _POP3, b"+OKAY\r\n", "low", _LOOKALIKE),
    _wrong("starttls-lookalike-pop3-plus", _POP3, b"+\r\n", "low", _LOOKALIKE),
    _wrong("starttls-lookalike-pop3-bare", _POP3, b"ok\r\n", "low", _LOOKALIKE),
    # The catalogue gives these to starttls-required-is-required and bounded-resources. STARTTLS was offered and
    # agreed to in all of them: a client that goes on without the TLS that it was promised breaks one rule.
    row(
        "starttls-ok-then-close",
        "tls-really-started",
        "STARTTLS is answered with success, and the connection is closed.",
        _lost("close"),
        severity="critical",
        sources=("RFC 9051 section 11.1",),
        settings={"auth": IN_CLEAR},
    ),
    row(
        "starttls-ok-then-reset",
        "tls-really-started",
        "STARTTLS is answered with success, and the connection is reset.",
        _lost("reset"),
        severity="critical",
        sources=("RFC 9051 section 11.1",),
        settings={"auth": IN_CLEAR},
        variant_of="starttls-ok-then-close",
    ),
    row(
        "starttls-ok-then-silence",
        "tls-really-started",
        "STARTTLS is answered with success, and the ClientHello is not answered.",
        always(StayClear(data=b"")),
        severity="medium",
        sources=("RFC 9051 section 11.1",),
        settings={"auth": IN_CLEAR},
        waits=True,
    ),
    Scenario(
        name="starttls-handshake-alert",
        family="E",
        summary="STARTTLS is answered with success, and the ClientHello with the fatal alert internal_error.",
        rules=("tls-really-started", "no-version-fallback"),
        severity="critical",
        sources=("RFC 3207 section 4.1", "RFC 9325 section 3.1.3"),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=always(StayClear(data=_INTERNAL_ERROR)),
    ),
    _reply_of(
        "starttls-early-tagged-ok",
        (_IMAP,),
        "Behind the answer to CAPABILITY stands an OK with the next tag; STARTTLS is not answered.",
        _early({_IMAP: (_OFFER[_IMAP] + _DONE + _EARLY[_IMAP], b"")}),
        **_EARLY_TAGGED,
    ),
    _reply_of(
        "starttls-early-tagged-ok-before-data",
        (_IMAP,),
        "In front of the answer to CAPABILITY stands an OK with the next tag; STARTTLS is not answered.",
        _early({_IMAP: (_EARLY[_IMAP] + _OFFER[_IMAP] + _DONE, b"")}),
        **_VARIANT,
    ),
    _reply_of(
        "starttls-early-tagged-ok-with-greeting",
        (_IMAP,),
        "Behind the greeting stand OKs with the tags that clients usually begin with; STARTTLS is not answered.",
        _with_greeting,
        # To a client that takes one for the answer to CAPABILITY, STARTTLS is not offered.
        rules=("check-starttls-reply", "starttls-required-is-required"),
        **_VARIANT,
    ),
    _reply_of(
        "starttls-early-tagged-ok-split",
        (_IMAP,),
        "Behind the answer to CAPABILITY stands half an OK with the next tag, and the rest comes soon after.",
        _early({_IMAP: (_OFFER[_IMAP] + _DONE + _EARLY[_IMAP][:9], _EARLY[_IMAP][9:])}),
        **_VARIANT,
    ),
    _reply_of(
        "starttls-early-220",
        (_SMTP, _POP3),
        "Behind the answer to EHLO or CAPA stands the success reply to STARTTLS, which is not answered later.",
        _early({protocol: (_OFFER[protocol] + _EARLY[protocol], b"") for protocol in (_SMTP, _POP3)}),
        sources=("RFC 3207 section 4", "RFC 2595 section 4"),
    ),
    row(
        "starttls-twice",
        "no-tls-inside-tls",
        "Inside TLS the server lists STARTTLS among its capabilities once more.",
        lambda protocol, _timeout: (Announce(lines=(STARTTLS_VERB[protocol],), over_tls=True),),
        severity="low",
        sources=("RFC 3207 section 4.2",),
    ),
)
