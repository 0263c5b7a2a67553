"""Class Q: OAuth 2.0. Where bearer tokens may go, how they are said, and what comes after one that is refused."""

from __future__ import annotations

from typing import Final

from pytest_mailauth.judge.scenarios.scenario import BOTH, Scenario
from pytest_mailauth.judge.scenarios.starttls import STARTTLS_VERB
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.config import PASSWORD_MECHANISMS, TOKEN_MECHANISMS, AuthPolicy
from pytest_mailauth.model.deviations import Deviation, Hide
from pytest_mailauth.model.terms import Certificate, Protocol, Security
from pytest_mailauth.model.trial import Earlier

_POP3, _IMAP = Protocol.POP3, Protocol.IMAP
_ONLY_TOKENS: Final = AuthPolicy(mechanisms=TOKEN_MECHANISMS, password_commands="never")
_FRESH: Final = Secret("Fresh-" + "0123456789abcdef" * 2)
"""What the hook gives when the first token is refused."""
_LONG: Final = Secret("long" * 750)
"""A token of 3,000 characters, as some providers issue them."""


def _refuses(token: str, _account: object) -> bool:
    return token == _FRESH


def _takes(_token: str, _account: object) -> bool:
    return True


def _strips(protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    return (Hide(names=(STARTTLS_VERB[protocol],)),)


def _says(name: str, mechanism: str, source: str) -> Scenario:
    return Scenario(
        name=name,
        family="Q",
        summary=f"Of all mechanisms only {mechanism} is offered, inside TLS.",
        rules=("oauth-wire-format",),
        severity="low",
        sources=(source,),
        auth="oauth",
        settings={"auth": AuthPolicy(mechanisms=(mechanism,), password_commands="never")},
        profile="full",
    )


ROWS: Final = (
    Scenario(
        name="oauth-only-provider",
        family="Q",
        summary="Only XOAUTH2 and OAUTHBEARER are offered, inside TLS; passwords are refused.",
        rules=("oauth-when-required",),
        severity="high",
        sources=("S15", "S16"),
        settings={"auth": _ONLY_TOKENS},
    ),
    Scenario(
        name="oauth-in-clear",
        family="Q",
        summary="STARTTLS is not offered; XOAUTH2 and OAUTHBEARER are, in clear.",
        rules=("token-only-over-verified-tls",),
        severity="critical",
        sources=("S15", "RFC 7628 section 3"),
        # Not in mode none, which the catalogue has too: no honest client logs in there, so that nothing could be
        # judged. A token in clear is caught there as it is everywhere, by the rules that every scenario asks.
        modes=(Security.STARTTLS,),
        auth="oauth",
        settings={"auth": AuthPolicy(mechanisms=TOKEN_MECHANISMS, before_tls=TOKEN_MECHANISMS)},
        deviations=_strips,
    ),
    Scenario(
        name="oauth-bad-certificate",
        family="Q",
        summary="The certificate is self-signed; bearer tokens are taken.",
        # On the wire this is what the rules about certificates say of a password, in every row about those; and a
        # client with a token meets them too. One rule is enough for both.
        rules=("verify-chain", "verify-before-credentials"),
        severity="critical",
        sources=("RFC 7628 section 3", "RFC 6750 section 5.2"),
        auth="oauth",
        settings={"certificate": Certificate.SELF_SIGNED},
    ),
    Scenario(
        name="oauth-no-password-fallback",
        family="Q",
        summary="Every token is refused; PLAIN and LOGIN are offered beside the token mechanisms.",
        rules=("oauth-no-password-fallback",),
        severity="high",
        sources=("S15",),
        auth="oauth",
        settings={"auth": AuthPolicy(mechanisms=(*TOKEN_MECHANISMS, *PASSWORD_MECHANISMS), accept_token=_refuses)},
    ),
    Scenario(
        name="oauth-stripped-to-password",
        family="Q",
        summary="Inside TLS only PLAIN and LOGIN are offered, and no token mechanism.",
        rules=("oauth-no-password-fallback",),
        severity="high",
        sources=("S16",),
        auth="oauth",
        settings={"auth": AuthPolicy()},
    ),
    _says("oauth-wire-xoauth2", "XOAUTH2", "XOAUTH2 (Google, Microsoft)"),
    _says("oauth-wire-oauthbearer", "OAUTHBEARER", "RFC 7628 section 3.1"),
    Scenario(
        name="oauth-no-initial-response",
        family="Q",
        summary="The token has 3,000 characters; POP3 has no room for it behind AUTH, and IMAP announces no SASL-IR.",
        rules=("oauth-wire-format",),
        severity="low",
        sources=("RFC 5034 section 4", "RFC 4959 section 3"),
        # Not SMTP, which the catalogue has too: RFC 4954 section 4 keeps AUTH with its initial response to the 512
        # octets of a command line, but many clients put longer tokens there.
        protocols=(_POP3, _IMAP),
        auth="oauth",
        tells={"token": _LONG},
        deviations=lambda _protocol, _timeout: (Hide(names=("SASL-IR",)),),
        profile="full",
    ),
    Scenario(
        name="oauth-error-challenge",
        family="Q",
        summary="Every token is refused, with an error challenge that waits for an answer.",
        rules=("oauth-error-handshake",),
        severity="low",
        sources=("RFC 7628 section 3.2.3", "XOAUTH2 (Google, Microsoft)"),
        auth="oauth",
        settings={"auth": AuthPolicy(mechanisms=TOKEN_MECHANISMS, password_commands="never", accept_token=_refuses)},
        profile="full",
    ),
    Scenario(
        name="oauth-expired-token-refresh-once",
        family="Q",
        summary="The first token is refused as expired; the client is given another one when it asks.",
        # The catalogue gives this row to bounded-auth-retries; oauth-error-handshake says the same of tokens.
        rules=("oauth-error-handshake",),
        severity="low",
        sources=("RFC 6750 section 3.1",),
        auth="oauth",
        settings={"auth": AuthPolicy(mechanisms=TOKEN_MECHANISMS, password_commands="never", accept_token=_refuses)},
        tells={"fresh_token": _FRESH},
        profile="full",
    ),
    Scenario(
        name="oauth-token-in-pool",
        family="Q",
        summary="An honest server; the client is told to make a transfer with another token of the account first.",
        rules=("reuse-matches-security",),
        severity="medium",
        sources=("CVE-2022-22576",),
        modes=BOTH,
        auth="oauth",
        settings={"auth": AuthPolicy(mechanisms=TOKEN_MECHANISMS, password_commands="never", accept_token=_takes)},
        earlier=Earlier(other_token=True),
        profile="full",
    ),
)
