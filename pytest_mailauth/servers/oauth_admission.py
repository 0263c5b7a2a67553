"""The question that a mail server asks an issuer about a bearer token, with what it tells a client that is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.canary import Account
    from pytest_mailauth.servers.oauth import TokenIssuer


@dataclass(frozen=True, slots=True)
class Admission:
    """What ``AuthPolicy(accept_token=...)`` calls: True for a token that logs an account in, else its error code.

    Attributes:
        issuer: Who knows the tokens.
        document: Returns the address of the discovery document, None where there is none.
    """

    issuer: TokenIssuer
    document: Callable[[], str | None]

    def __call__(self, token: str, account: Account) -> bool | str:
        """Return True if *token* logs *account* in, else its error code (RFC 6750 section 3.1)."""
        verdict = self.issuer.check(token, user=account, scope=self.issuer.scope, audience=self.issuer.audience)
        return True if verdict else (verdict.error or False)

    @property
    def scope(self) -> str:
        """The scope that a token needs."""
        return self.issuer.scope

    @property
    def discovery_url(self) -> str | None:
        """Where a client learns how to get a token, or None."""
        return self.document()
