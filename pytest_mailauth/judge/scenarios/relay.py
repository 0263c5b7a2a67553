"""Class R: what servers take from whom, and which recipients and senders they refuse."""

from __future__ import annotations

from typing import Any, Final

from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.model.relay import RelayPolicy
from pytest_mailauth.model.terms import Protocol

_LOGS_IN: Final = ("authenticate-before-submission",)
_ELSEWHERE: Final = ("bob@elsewhere.test",)
"""A recipient that only a relay takes."""
_UNKNOWN: Final = "550 5.1.1 No such user"


def _row(
    name: str, summary: str, *, rules: tuple[str, ...], severity: str, sources: tuple[str, ...], **more: Any
) -> Scenario:
    return Scenario(
        name=name,
        family="R",
        summary=summary,
        rules=rules,
        severity=severity,
        sources=sources,
        protocols=(Protocol.SMTP,),
        profile="full",
        **more,
    )


ROWS: Final = (
    _row(
        "relay-denied-unauthenticated",
        "The recipient is elsewhere: who has not logged in is refused with 550 5.7.1.",
        rules=(*_LOGS_IN, "no-open-relay-reliance"),
        severity="medium",
        sources=("S3", "RFC 6409 section 4.3"),
        tells={"recipients": _ELSEWHERE},
    ),
    _row(
        "relay-denied-to-everybody",
        "The recipient is elsewhere, and refused with 550 5.7.1 whoever asks.",
        rules=("no-open-relay-reliance",),
        severity="medium",
        sources=("S3", "S17"),
        settings={"relay": RelayPolicy(relay="local")},
        tells={"recipients": _ELSEWHERE},
        variant_of="relay-denied-unauthenticated",
    ),
    _row(
        "open-relay-server",
        "Every recipient is taken from everybody; AUTH is offered all the same.",
        rules=_LOGS_IN,
        severity="medium",
        sources=("S3",),
        settings={"relay": RelayPolicy(relay="open")},
    ),
    _row(
        "recipient-rejected",
        "Of three recipients the second is refused with 550 5.1.1.",
        rules=("report-rejected-recipients",),
        severity="low",
        sources=("S17", "RFC 5321 section 3.3"),
        settings={"relay": RelayPolicy(recipients={"nobody@example.test": _UNKNOWN})},
        tells={"recipients": ("bob@example.test", "nobody@example.test", "carol@example.test")},
    ),
    _row(
        "all-recipients-rejected",
        "Every recipient is refused with 550 5.1.1, and DATA with 554.",
        rules=("report-rejected-recipients",),
        severity="low",
        sources=("S17", "RFC 5321 section 3.3"),
        settings={"relay": RelayPolicy(known_recipients=())},
        tells={"recipients": ("nobody@example.test", "noone@example.test")},
    ),
    _row(
        "sender-not-owned",
        "The sender's address is not the account's, and is refused with 553 5.7.1.",
        rules=_LOGS_IN,
        severity="low",
        sources=("RFC 6409 section 6.1",),
        settings={"relay": RelayPolicy(own_sender=True)},
        tells={"sender": "director@example.test"},
    ),
    _row(
        "auth-mid-transaction",
        "An honest server, which refuses AUTH in the middle of a transaction with 503.",
        rules=_LOGS_IN,
        severity="low",
        sources=("RFC 4954 section 4",),
    ),
    _row(
        "second-auth",
        "An honest server, which refuses AUTH with 503 once somebody has logged in.",
        rules=_LOGS_IN,
        severity="info",
        sources=("RFC 4954 section 4",),
    ),
)
