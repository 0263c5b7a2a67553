"""Class X: secrets outside the credentials' own place: in logs and errors, in the message, in names."""

from __future__ import annotations

from typing import Any, Final

from pytest_mailauth.judge.scenarios.scenario import BOTH, EVERY, Scenario
from pytest_mailauth.judge.scenarios.strangers import repeats
from pytest_mailauth.model.config import AuthPolicy
from pytest_mailauth.model.terms import Certificate, Protocol

_SMTP: Final = (Protocol.SMTP,)


def _row(name: str, summary: str, *sources: str, protocols: tuple[Protocol, ...] = EVERY, **more: Any) -> Scenario:
    return Scenario(
        name=name,
        family="X",
        summary=summary,
        rules=("secrets-not-logged",),
        severity="medium",
        sources=sources,
        protocols=protocols,
        modes=BOTH,
        profile="full",
        **more,
    )


ROWS: Final = (
    _row("secret-in-log", "An honest server; what the client prints, logs and reports is searched.", "CWE-532"),
    _row(
        "secret-in-exception",
        "Inside TLS the login is refused, and the client's own line repeated in the refusal.",
        "CWE-209",
        settings={"auth": AuthPolicy(mechanisms=("PLAIN",))},
        deviations=repeats,
    ),
    _row(
        "secret-in-exception-certificate",
        "The certificate is not trusted; what the client says about that is searched.",
        "CWE-209",
        settings={"certificate": Certificate.UNTRUSTED_ROOT},
        variant_of="secret-in-exception",
    ),
    _row(
        "secret-in-received-or-headers",
        "An honest server; the message is searched as it was received.",
        "CWE-200",
        protocols=_SMTP,
    ),
    _row(
        "secret-in-sni-or-ehlo",
        "An honest server; the name of the client in EHLO and that of the server in the ClientHello are searched.",
        "CWE-200",
        # Not POP3 and IMAP: they have no EHLO, and a secret in a ClientHello is one in clear, which is looked for in
        # every scenario.
        protocols=_SMTP,
    ),
)
