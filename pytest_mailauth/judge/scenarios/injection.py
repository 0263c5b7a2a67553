"""Class F: bytes in clear behind the STARTTLS reply, in the same segment, and what they could be taken for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.judge.scenarios.starttls import STARTTLS_VERB
from pytest_mailauth.model.config import IN_CLEAR, AuthPolicy
from pytest_mailauth.model.deviations import Answer, Deviation, Precede, Preface, Trail, Withhold
from pytest_mailauth.model.terms import Protocol, Security

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mailauth.judge.scenarios.scenario import Deviations

_SMTP, _POP3, _IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP

_LINES: Final = {
    _SMTP: b"250-localhost\r\n250 AUTH PLAIN LOGIN\r\n",
    # The second line is a capability to those who ask for a list, and the reply to PASS to those who do not.
    _POP3: b"+OK\r\n+OK\r\nUSER\r\nSASL PLAIN LOGIN\r\n.\r\n",
    _IMAP: b"* CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN\r\n{next} OK done\r\n",
}
"""Complete answers to the first question a client asks inside TLS."""

_LOGIN: Final = {
    _SMTP: _LINES[_SMTP] + b"235 2.7.0 ok\r\n250 ok\r\n250 ok\r\n",
    _POP3: b"+OK\r\n+OK\r\n+OK 0 0\r\nUSER\r\nSASL PLAIN LOGIN\r\n.\r\n+OK\r\n+OK 0 0\r\n",
    _IMAP: b"* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\n{next} OK done\r\n{next2} OK done\r\n{next3} OK done\r\n",
}
"""The same, with the answers to a login and to what may come behind it."""

_FRAGMENT: Final = {
    _SMTP: b"250-AUTH PLAIN ",
    _POP3: b"+OK\r\nSASL PLAIN ",
    _IMAP: b"* CAPABILITY IMAP4rev1 AUTH=PLAIN ",
}
"""The beginning of such an answer, without its line end: it names a mechanism that is not offered inside TLS."""

_UNTAGGED: Final = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"
"""A whole line that belongs to no command, so that no tag has to be guessed; it names the same mechanism."""

_WEAKER: Final = {
    _SMTP: b"250-localhost\r\n250 AUTH PLAIN\r\n",
    _POP3: b"+OK\r\nSASL PLAIN\r\n.\r\n",
    _IMAP: b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{next} OK done\r\n",
}
"""A whole answer that names the weaker one of two mechanisms."""

_MARKER: Final = "zq7kx4wv"
_GARBAGE: Final = bytes(range(0x80, 0xA0)) + _MARKER.encode() + bytes(range(0xE0, 0x100)) + b"\r\n"
"""A line of bytes that mean nothing, with a word in it by which they can be told from any other garbage."""

_CALL: Final = "718-0428"
"""A number to call, which stands in an ALERT."""
_ALERT: Final = f"* OK [ALERT] Your account is locked. Call {_CALL}\r\n".encode()
_ASKED_FIRST: Final = ("CAPABILITY", "LOGIN", "AUTHENTICATE")
"""What a client may say first inside TLS."""

_LARGE: Final = 65_000
"""Bytes of a suffix that is as large as can be read at once together with the reply: 64 KiB."""
_FILLING: Final = {_SMTP: b"250 x\r\n", _POP3: b"+OK x\r\n", _IMAP: b"* OK x\r\n"}

_GREETINGS: Final = {_SMTP: b"220 localhost ESMTP\r\n", _POP3: b"+OK ready\r\n", _IMAP: b"* OK ready\r\n"}

_REFUSED_AND_WELL: Final = {
    # The catalogue has 235 first: so a client that introduces itself again would notice.
    _SMTP: b"454 4.7.0 no\r\n250 AUTH PLAIN LOGIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n",
    _POP3: b"-ERR no\r\n" + _LOGIN[_POP3],
    _IMAP: b"{tag} BAD no\r\n" + _LOGIN[_IMAP],
}
"""A refusal, and behind it the replies to everything that a client would do without TLS."""

# Long enough for a client to have acted on injected lines, short enough to look again before its time-out.
_PATIENCE: Final = 0.4
_LATER: Final = 0.2
"""Seconds after which bytes travel in a segment of their own, and are met by a client that waits for TLS."""


def _withheld(_protocol: Protocol, timeout: float) -> tuple[Deviation, ...]:
    return (Withhold(patience=_PATIENCE * timeout),)


def _trailing(data: Mapping[Protocol, bytes], later: float = 0.0) -> Deviations:
    return lambda protocol, timeout: (Trail(data=data[protocol], later=later), *_withheld(protocol, timeout))


def _only_trailing(data: Mapping[Protocol, bytes]) -> Deviations:
    return lambda protocol, _timeout: (Trail(data=data[protocol]),)


def _prefaced(protocol: Protocol, timeout: float) -> tuple[Deviation, ...]:
    return (Preface(data=_GREETINGS[protocol]), *_withheld(protocol, timeout))


def _refused_and_well(protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    return (Answer(verb=STARTTLS_VERB[protocol], reply=_REFUSED_AND_WELL[protocol]),)


def _alert_inside(_protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    return tuple(Precede(verb=verb, data=_ALERT, over_tls=True) for verb in _ASKED_FIRST)


_ABOUT_ALERTS: Final[dict[str, Any]] = {
    "sources": ("RFC 9051 section 7.1", "RFC 9051 section 11.3"),
    "protocols": (_IMAP,),
    "modes": (Security.STARTTLS,),
    "wants": ("shown",),
    "marker": _CALL,
    "profile": "full",
}


def _large(protocol: Protocol) -> bytes:
    filling = _FILLING[protocol]
    return _LINES[protocol] + filling * (_LARGE // len(filling) - 10)


def _injects(name: str, summary: str, deviations: Deviations, **more: Any) -> Scenario:
    row: dict[str, Any] = {
        "severity": "critical",
        "sources": ("RFC 3207 section 4.2", "RFC 9051 section 6.2.1"),
        "modes": (Security.STARTTLS,),
        "control": _withheld,
        "repeat": 3,
        "waits": True,
        "patience": 4,
    }
    return Scenario(
        name=name,
        family="F",
        summary=summary,
        rules=("discard-pretls-bytes",),
        deviations=deviations,
        **row | more,
    )


def _offers(name: str, summary: str, data: dict[Protocol, bytes], mechanisms: tuple[str, ...] = ("LOGIN",)) -> Scenario:
    """*data* offers PLAIN in clear; inside TLS the server offers *mechanisms*, and every reply is sent."""
    return _injects(
        name,
        summary,
        _only_trailing(data),
        severity="high",
        protocols=tuple(data),
        settings={"auth": AuthPolicy(mechanisms=mechanisms)},
        control=lambda _protocol, _timeout: (),
        patience=2.5,
    )


def _answers(protocol: Protocol) -> Scenario:
    return _injects(
        f"inject-after-starttls-ok-{protocol}",
        "Answers follow the STARTTLS reply in the same segment; inside TLS every reply is held back.",
        _trailing(_LINES),
        sources=("RFC 3207 section 4.2", "CVE-2021-38371", "CVE-2020-15685", "CVE-2021-22947"),
        protocols=(protocol,),
    )


ROWS: Final = (
    _answers(_SMTP),
    _answers(_POP3),
    _answers(_IMAP),
    _injects(
        "inject-login-ok",
        "Answers to a whole login follow the STARTTLS reply in the same segment; inside TLS every reply is held back.",
        _trailing(_LOGIN),
        sources=("RFC 3207 section 4.2", "RFC 9051 section 6.2.1"),
    ),
    # The catalogue gives it to no-mechanism-downgrade too; but nothing stronger was tried and refused.
    _offers(
        "inject-mechanism-downgrade",
        "A list of PLAIN alone follows the STARTTLS reply in the same segment; inside TLS SCRAM is offered too.",
        _WEAKER,
        ("SCRAM-SHA-256", "PLAIN"),
    ),
    _offers("inject-partial-line", "A line without its end follows the STARTTLS reply in the same segment.", _FRAGMENT),
    # For clients whose tags cannot be foreseen: the answers of inject-after-starttls-ok-imap never fit them.
    _offers(
        "inject-untagged-line",
        "A whole untagged line follows the STARTTLS reply in the same segment.",
        {_IMAP: _UNTAGGED},
    ),
    _injects(
        "inject-bye-suffix",
        "A farewell follows the STARTTLS reply in the same segment; in the control it is a line that means nothing.",
        _only_trailing({_IMAP: b"* BYE close the connection\r\n"}),
        severity="high",
        protocols=(_IMAP,),
        control=_only_trailing({_IMAP: b"* OK keep the connection\r\n"}),
        patience=2.5,
    ),
    Scenario(
        name="inject-alert-prefix",
        family="F",
        summary="An ALERT comes in front of the reply to STARTTLS.",
        rules=("untrusted-text-not-shown",),
        severity="medium",
        deviations=lambda _protocol, _timeout: (Precede(verb="STARTTLS", data=_ALERT),),
        **_ABOUT_ALERTS,
    ),
    _injects(
        "inject-alert-suffix",
        "An ALERT follows the STARTTLS reply in the same segment; in the control it comes inside TLS.",
        _only_trailing({_IMAP: _ALERT}),
        severity="high",
        control=_alert_inside,
        patience=2.5,
        **_ABOUT_ALERTS,
    ),
    # Of these three it is the one in which the text is to be shown: without that the others prove nothing.
    Scenario(
        name="alert-inside-tls-control",
        family="F",
        summary="An ALERT comes inside TLS.",
        rules=("untrusted-text-not-shown",),
        severity="info",
        deviations=_alert_inside,
        **_ABOUT_ALERTS,
    ),
    _injects(
        "inject-garbage-suffix",
        "A line of bytes that mean nothing follows the STARTTLS reply in the same segment.",
        _only_trailing(dict.fromkeys(Protocol, _GARBAGE)),
        severity="medium",
        control=lambda _protocol, _timeout: (),
        patience=2.5,
        marker=_MARKER,
    ),
    _injects(
        "inject-large-suffix",
        "Answers and 64 KiB of further lines follow the STARTTLS reply; inside TLS every reply is held back.",
        _trailing({protocol: _large(protocol) for protocol in Protocol}),
        severity="medium",
    ),
    # Nothing is to be blamed here: it shows that what becomes of the bytes is a matter of when they come.
    _injects(
        "inject-split-segments",
        "Answers follow the STARTTLS reply in a segment of their own, which a client meets when it waits for TLS.",
        _trailing(_LINES, later=_LATER),
        severity="info",
        repeat=1,
    ),
    Scenario(
        name="inject-refusal-plus-success",
        family="F",
        summary="STARTTLS is refused, and answers to a login in clear follow the refusal in the same segment.",
        rules=("check-starttls-reply",),
        severity="high",
        sources=("RFC 3207 section 4", "CVE-2021-22947"),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=_refused_and_well,
    ),
    _injects(
        "inject-before-greeting-of-implicit",
        "Where TLS begins at once, a greeting in clear comes first; inside TLS every reply is held back.",
        _prefaced,
        severity="medium",
        sources=("RFC 8314 section 3",),
        modes=(Security.IMPLICIT,),
    ),
)
