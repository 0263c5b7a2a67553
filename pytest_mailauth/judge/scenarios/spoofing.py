"""Class I: text before TLS that an attacker would like a user to read."""

from __future__ import annotations

from typing import Final

from pytest_mailauth.judge.scenarios.scenario import EVERY, Deviations, Scenario
from pytest_mailauth.model.deviations import Deviation, Greet, Precede
from pytest_mailauth.model.terms import Protocol, Security

_SMTP, _POP3, _IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP
MARKER: Final = "718-0427"
"""A number to call, which stands in every text."""
ESCAPE: Final = "\x1b[31;1m"
"""A control sequence that colours what follows (ECMA-48)."""

_CALL: Final = f"Your account is locked. Call {MARKER}"


def _greets(*lines: str) -> Deviations:
    made = (Greet(data="".join(f"{line}\r\n" for line in lines).encode()),)
    return lambda _protocol, _timeout: made


def _shown(
    name: str,
    summary: str,
    deviations: Deviations,
    *,
    protocols: tuple[Protocol, ...] = (_IMAP,),
    severity: str = "medium",
    marker: str = MARKER,
    sources: tuple[str, ...] = ("RFC 9051 section 7.1", "RFC 9051 section 11.3"),
) -> Scenario:
    return Scenario(
        name=name,
        family="I",
        summary=summary,
        rules=("untrusted-text-not-shown",),
        severity=severity,
        sources=sources,
        protocols=protocols,
        modes=(Security.STARTTLS,),
        deviations=deviations,
        wants=("shown",),
        marker=marker,
        profile="full",
    )


_REFUSALS: Final = {
    _SMTP: f"421 4.7.0 {_CALL}, or visit http://help.example.test/\r\n",
    _POP3: f"-ERR [SYS/PERM] {_CALL}\r\n",
}
_COLOURED: Final = {
    _SMTP: f"554 5.7.1 {ESCAPE}Server\x1b[0m refuses\r\n",
    _POP3: f"-ERR {ESCAPE}Server\x1b[0m refuses\r\n",
    _IMAP: f"* BYE {ESCAPE}Server\x1b[0m refuses\r\n",
}


def _refuses(texts: dict[Protocol, str]) -> Deviations:
    def made(protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
        return (Greet(data=texts[protocol].encode()),)

    return made


ROWS: Final = (
    _shown(
        "alert-in-greeting",
        "The greeting is an ALERT, and untagged NO and BAD with an ALERT follow it.",
        _greets(f"* OK [ALERT] {_CALL}", f"* NO [ALERT] {_CALL}", f"* BAD [ALERT] {_CALL}"),
    ),
    _shown(
        "badcharset-parse-in-greeting",
        "The greeting has the code BADCHARSET; OK and NO with the codes PARSE and BADCHARSET follow it.",
        _greets(
            f"* OK [BADCHARSET ({MARKER})] {_CALL}", f"* OK [PARSE] {_CALL}", f"* NO [BADCHARSET ({MARKER})] {_CALL}"
        ),
        severity="low",
    ),
    _shown(
        "alert-before-starttls-ok",
        "An ALERT comes in front of the reply to STARTTLS.",
        lambda _protocol, _timeout: (Precede(verb="STARTTLS", data=f"* OK [ALERT] {_CALL}\r\n".encode()),),
    ),
    _shown("bye-greeting-text", "The greeting is BYE, with a number to call.", _greets(f"* BYE {_CALL}")),
    _shown(
        "error-text-pop3-smtp",
        "The greeting refuses the service, with a number to call.",
        _refuses(_REFUSALS),
        protocols=(_POP3, _SMTP),
        severity="low",
        sources=("RFC 9051 section 7.1", "RFC 5321 section 3.1"),
    ),
    _shown(
        "ansi-escape-text",
        "The greeting refuses the service in red, by control sequences of a terminal.",
        _refuses(_COLOURED),
        protocols=EVERY,
        severity="low",
        marker=ESCAPE,
        sources=("CWE-150",),
    ),
)
