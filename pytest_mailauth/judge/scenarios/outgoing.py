"""Class V: what the client itself sends. The servers are honest; what the caller passes in is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.deviations import Answer, Deviation, Hide
from pytest_mailauth.model.relay import CHUNKING, KEYWORDS, RelayPolicy
from pytest_mailauth.model.terms import Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

_SMTP, _POP3, _IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP
_INJECTION: Final = ("no-command-injection",)
_SMUGGLING: Final = ("no-smuggling-output",)

_HEADER: Final = b"From: <alice@example.test>\r\nTo: <bob@example.test>\r\nSubject: odd lines\r\n\r\n"
_SECOND: Final = (
    b"MAIL FROM:<smuggled@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"
    b"Subject: smuggled\r\n\r\nthe end of the message\r\n"
)
"""What a message holds behind something that may be taken for its end: a second envelope and message."""
_DOTS: Final = _HEADER + b"before the dots\r\n.\r\n..two dots\r\n.one dot\r\n" + _SECOND
_BARE: Final = _HEADER + b"one\n.\ntwo\n.\r\nthree\r.\rfour\r\n.\r" + _SECOND
_LONG_ENOUGH: Final = _HEADER.replace(b"\r\n", b"\n") + b"one\n.\n.two\nthe last line of the message\n"
"""Who counts before the line ends are mended counts too few octets, and the last line is cut."""
_WITH_NUL: Final = _HEADER + b"a NUL: \0 and more\r\n"


def _commands_only(_protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    """Hide SASL of POP3 and IMAP: where it encodes everything, USER, PASS and LOGIN carry the value as it is."""
    return (Hide(names=("SASL", "AUTH=PLAIN", "AUTH=LOGIN")),)


def _injects(
    name: str,
    tells: Mapping[str, Any],
    summary: str,
    *,
    protocols: tuple[Protocol, ...] = (_SMTP,),
    severity: str = "high",
    sources: tuple[str, ...] = ("CVE-2026-30227", "RFC 5321 section 4.1.2"),
    **more: Any,
) -> Scenario:
    return Scenario(
        name=name,
        family="V",
        summary=f"An honest server; {summary}.",
        rules=_INJECTION,
        severity=severity,
        sources=sources,
        protocols=protocols,
        tells=tells,
        profile="full",
        **more,
    )


def _logs_in_as(name: str, tells: Mapping[str, Any], summary: str, *, variant_of: str = "") -> Scenario:
    # Not SMTP, which the catalogue has too: all its ways to log in are SASL, in base64, whatever the secret holds.
    # And not clients with tokens, which know nothing but SASL either.
    return _injects(
        name,
        tells,
        summary,
        protocols=(_POP3, _IMAP),
        sources=("CVE-2026-42257", "RFC 1939 section 3", "RFC 9051 section 9"),
        needs={"auth": "password"},
        deviations=_commands_only,
        variant_of=variant_of,
    )


def _sends(name: str, summary: str, *, severity: str, sources: tuple[str, ...], **more: Any) -> Scenario:
    return Scenario(
        name=name,
        family="V",
        summary=summary,
        rules=_SMUGGLING,
        severity=severity,
        sources=sources,
        protocols=(_SMTP,),
        profile="full",
        **more,
    )


ROWS: Final = (
    _injects(
        "crlf-in-address",
        {"sender": "alice@example.test>\r\nRCPT TO:<evil@example.test"},
        "the sender's address holds a line break and a RCPT command",
    ),
    _injects(
        "crlf-in-address-quoted",
        {"recipients": ('"bob\r\nRCPT TO:<evil@example.test>"@example.test',)},
        "a quoted local part of a recipient holds a line break and a RCPT command",
        variant_of="crlf-in-address",
    ),
    _injects(
        "crlf-in-address-bare",
        {"recipients": ("bob@example.test>\nRCPT TO:<evil@example.test",)},
        "a recipient's address holds a bare LF and a RCPT command",
        variant_of="crlf-in-address",
    ),
    _injects(
        "crlf-in-ehlo-name",
        {"local_name": "client.example.test\r\nVRFY evil"},
        "the name of the client's host holds a line break and a VRFY command",
        severity="medium",
    ),
    _logs_in_as(
        "crlf-in-credentials",
        {"username": "alice\r\nx1 NOOP"},
        "the user name holds a line break and a NOOP command",
    ),
    _logs_in_as(
        "crlf-in-credentials-password",
        {"password": Secret("secret\nx1 NOOP")},
        "the password holds a bare LF and a NOOP command",
        variant_of="crlf-in-credentials",
    ),
    _logs_in_as(
        "crlf-in-credentials-nul",
        {"password": Secret("secret\0more")},
        "the password holds a NUL",
        variant_of="crlf-in-credentials",
    ),
    _injects(
        "crlf-in-mailbox-or-search",
        {"mailbox": "INBOX\r\nx1 NOOP"},
        "the name of the mailbox holds a line break and a NOOP command",
        protocols=(_IMAP,),
        sources=("CVE-2026-42257", "RFC 9051 section 9"),
    ),
    _injects(
        "crlf-in-mailbox-or-search-quote",
        {"mailbox": 'INBOX" (CONDSTORE) "more'},
        "the name of the mailbox holds a quotation mark, which ends a quoted string",
        protocols=(_IMAP,),
        sources=("CVE-2026-42257", "RFC 9051 section 4.3"),
        variant_of="crlf-in-mailbox-or-search",
    ),
    _injects(
        "crlf-in-mailbox-or-search-literal",
        {"mailbox": "INBOX {12}"},
        "the name of the mailbox ends like the announcement of a literal, which would swallow the next command",
        protocols=(_IMAP,),
        sources=("CVE-2026-47241", "RFC 9051 section 4.3"),
        variant_of="crlf-in-mailbox-or-search",
    ),
    _injects(
        "crlf-in-message-number",
        {"message_number": "1\r\nDELE 2"},
        "the number of the message holds a line break and a DELE command",
        protocols=(_POP3,),
        severity="medium",
        sources=("CVE-2026-42257", "RFC 1939 section 3"),
    ),
    _injects(
        "header-injection",
        {"subject": "Hello\r\nX-Injected: yes"},
        "the subject holds a line break and a further header",
        severity="medium",
        sources=("CVE-2026-1299", "RFC 5322 section 2.2"),
    ),
    _injects(
        "imap-append-nul",
        {"draft": _WITH_NUL},
        "the message to append holds a NUL, and BINARY is not offered",
        protocols=(_IMAP,),
        severity="low",
        sources=("RFC 9051 section 4.3.1", "RFC 9051 section 9"),
    ),
    _sends(
        "dot-stuffing",
        "An honest server; lines of the message begin with dots, and one is a dot alone.",
        severity="high",
        sources=("RFC 5321 section 4.5.2",),
        tells={"message": _DOTS},
    ),
    _sends(
        "bare-lf-smuggling",
        "An honest server; the message holds bare CR and LF around dots, and a second envelope behind them.",
        severity="high",
        sources=("RFC 5321 section 2.3.8", "SMTP smuggling (2023)"),
        tells={"message": _BARE},
    ),
    _sends(
        "data-after-refusal",
        "DATA is refused with 554.",
        severity="medium",
        # The catalogue gives this row to credentials-only-after-continuation, which is about secrets. What happens is
        # what happens in smuggling: lines of a message are read as commands.
        sources=("RFC 5321 section 3.3",),
        deviations=lambda _protocol, _timeout: (Answer(verb="DATA", reply=b"554 5.7.1 Not today\r\n", over_tls=True),),
    ),
    _sends(
        "bdat-length",
        "An honest server that offers CHUNKING; the lines of the message end with LF, so that their ends are mended.",
        severity="low",
        sources=("RFC 3030 section 2",),
        settings={"relay": RelayPolicy(keywords=(*KEYWORDS, CHUNKING))},
        tells={"message": _LONG_ENOUGH},
    ),
    _sends(
        "smtputf8-without-offer",
        "SMTPUTF8 is not offered; the sender's address is not ASCII.",
        severity="info",
        sources=("RFC 6531 section 3.2",),
        settings={"relay": RelayPolicy(keywords=tuple(name for name in KEYWORDS if name != "SMTPUTF8"))},
        tells={"sender": "älice@example.test"},
    ),
)
