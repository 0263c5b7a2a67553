"""Class O: how passwords and their mechanisms are offered, asked for and refused, and what a client makes of that."""

from __future__ import annotations

from typing import Final

from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.model.config import AuthPolicy
from pytest_mailauth.model.relay import RelayPolicy
from pytest_mailauth.model.terms import Protocol

_SMTP, _POP3, _IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP

ROWS: Final = (
    Scenario(
        name="auth-not-offered-after-tls",
        family="O",
        summary="Inside TLS no AUTH is offered, and MAIL is taken from everybody.",
        rules=("authenticate-before-submission",),
        severity="medium",
        sources=("S3", "S8", "RFC 6409 section 4.3"),
        protocols=(_SMTP,),
        settings={"auth": AuthPolicy(mechanisms=())},
    ),
    Scenario(
        name="auth-required-on-mail",
        family="O",
        # AUTH is hidden, not missing: a client that does not look whether it is offered can log in.
        summary="Inside TLS no AUTH is offered, and MAIL is answered with 530: authentication required.",
        rules=("authenticate-before-submission",),
        severity="low",
        sources=("S3", "RFC 4954 section 6"),
        protocols=(_SMTP,),
        settings={"auth": AuthPolicy(advertised=False), "relay": RelayPolicy(login_first=True)},
    ),
)
