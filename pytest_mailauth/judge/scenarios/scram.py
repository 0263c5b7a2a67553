"""Class P, and of class G the success without an exchange: SCRAM, in which a server has to prove something, too."""

from __future__ import annotations

from typing import Any, Final

from pytest_mailauth.judge.scenarios.passwords import announced
from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.model.config import PASSWORD_MECHANISMS, AuthPolicy, TLSPolicy
from pytest_mailauth.model.deviations import Admit, MisplaySCRAM

_MECHANISMS: Final = ("SCRAM-SHA-256", "SCRAM-SHA-1")
_PLUS: Final = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")

HUGE: Final = 100_000_000
"""Iterations that nobody asks for. The catalogue has 2,147,483,647, which would occupy a processor for half an hour
after a client in this process was given up; these take it far beyond every time-out, and end."""


def _scram(name: str, summary: str, severity: str, source: str, **row: Any) -> Scenario:
    return Scenario(
        name=name,
        summary=summary,
        severity=severity,
        sources=(source,),
        **{
            "family": "P",
            "auth": "password",
            "rules": ("scram-verify-server",),
            "settings": {"auth": AuthPolicy(mechanisms=_MECHANISMS, password_commands="never")},
            "profile": "full",
        }
        | row,
    )


def _misplayed(name: str, summary: str, severity: str, source: str, *, row: dict[str, Any], **play: Any) -> Scenario:
    deviation = MisplaySCRAM(**play)
    return _scram(name, summary, severity, source, deviations=lambda _protocol, _timeout: (deviation,), **row)


_SANE: Final[dict[str, Any]] = {"rules": ("scram-sane-iterations",)}
# The catalogue has section 4 of RFC 7677; the least number of iterations stands in section 3.

ROWS: Final = (
    # PLAIN and LOGIN beside it, so that a client without SCRAM is not taken for one that cannot log in.
    _scram(
        "scram-good",
        "Honest server that offers SCRAM before PLAIN and LOGIN.",
        "info",
        "RFC 7677 section 3",
        rules=("control",),
        settings={"auth": AuthPolicy(mechanisms=(*_MECHANISMS, *PASSWORD_MECHANISMS))},
    ),
    _misplayed(
        "scram-bad-server-signature",
        "The server's signature is wrong by one bit, and then it says that the login succeeded.",
        "high",
        "RFC 5802 section 5",
        row={},
        signature="wrong",
    ),
    _misplayed(
        "scram-missing-server-signature",
        "The server says that the login succeeded, without any signature of its own.",
        "high",
        "RFC 5802 section 5",
        row={},
        signature="missing",
    ),
    _misplayed(
        "scram-nonce-not-extended",
        "The server answers with a nonce that does not begin with the client's.",
        "high",
        "RFC 5802 section 5.1",
        row={},
        nonce="replaced",
    ),
    _misplayed(
        "scram-nonce-repeated",
        "The server answers with the client's own nonce, and adds nothing to it.",
        "high",
        "RFC 5802 section 5.1",
        row={"variant_of": "scram-nonce-not-extended"},
        nonce="repeated",
    ),
    _misplayed(
        "scram-low-iterations",
        "The server asks for one iteration, so that whoever it is finds the password by guessing fast.",
        "medium",
        "RFC 7677 section 3",
        row=_SANE,
        iterations=1,
    ),
    _misplayed(
        "scram-huge-iterations",
        f"The server asks for {HUGE:,} iterations.",
        "medium",
        "CVE-2026-42256",
        row={**_SANE, "waits": True, "patience": 4.0},
        iterations=HUGE,
    ),
    _misplayed(
        "scram-mandatory-extension",
        "The server's first message begins with a mandatory extension that nobody knows.",
        "low",
        "RFC 5802 section 5.1",
        row={},
        extension="m=x,",
    ),
    _scram(
        "scram-channel-binding-strip",
        "Somebody has taken SCRAM-SHA-256-PLUS out of the list; the server has it, and looks at what the client says.",
        "medium",
        "RFC 5802 section 6",
        needs={"channel_binding": "yes"},
        settings={"auth": AuthPolicy(mechanisms=_PLUS, advertised=False, password_commands="never")},
        deviations=announced("SCRAM-SHA-256"),
    ),
    _scram(
        "scram-plus-tls-exporter",
        "SCRAM-SHA-256-PLUS is offered over TLS 1.3, where tls-unique does not exist.",
        "low",
        "RFC 9266 section 3",
        needs={"channel_binding": "yes"},
        settings={
            "auth": AuthPolicy(mechanisms=_PLUS, password_commands="never"),
            "tls": TLSPolicy(min_version="1.3"),
        },
    ),
    _scram(
        "sasl-success-without-exchange",
        "SCRAM and CRAM-MD5 are answered with success at once, without a challenge.",
        "medium",
        "RFC 5802 section 5",
        family="G",
        settings={"auth": AuthPolicy(mechanisms=(*_MECHANISMS, "CRAM-MD5"), password_commands="never")},
        deviations=lambda _protocol, _timeout: (Admit(mechanisms=(*_MECHANISMS, "CRAM-MD5")),),
    ),
)
