"""What there is to say about a token: itself, what it stands for, and the verdict on it. No decision is made here."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal

from pytest_mailauth.model.canary import SHOWN, Account, Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

Format = Literal["opaque", "jwt"]
FORMATS: Final = ("opaque", "jwt")
Everybody = Literal["everybody"]
EVERYBODY: Final[Everybody] = "everybody"
"""For whom an application acts that may open every mailbox."""


class TokenReason(StrEnum):
    """Why a token is accepted or not."""

    OK = "ok"
    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"
    WRONG_USER = "wrong-user"
    WRONG_SCOPE = "wrong-scope"
    WRONG_AUDIENCE = "wrong-audience"


@dataclass(frozen=True, slots=True)
class TokenVerdict:
    """What :meth:`TokenIssuer.check` found. True where the token is accepted.

    Attributes:
        reason: Why.
        user: Whose token it is; None for an unknown one.
        scope: What it is good for; None for an unknown one.
    """

    reason: TokenReason
    user: str | None = None
    scope: str | None = None

    def __bool__(self) -> bool:
        return self.reason is TokenReason.OK

    @property
    def error(self) -> str | None:
        """The error code a resource server answers with (RFC 6750 section 3.1), or None."""
        match self.reason:
            case TokenReason.OK:
                return None
            case TokenReason.WRONG_SCOPE:
                return "insufficient_scope"
            case _:
                return "invalid_token"


class BearerToken(Secret):
    """An access token: a string that never shows itself, with what the issuer knows about it.

    Attributes:
        user: Whose token it is.
        scope: What it is good for, separated by spaces (RFC 6749 section 3.3).
        audience: Whom it is for.
        issued_at: When it was issued, in seconds since 1970 on the issuer's clock.
        expires_at: When it stops counting, on the same clock.
        refresh_token: The refresh token that came with it, or None.
    """

    __slots__ = ("audience", "expires_at", "issued_at", "refresh_token", "scope", "user")

    user: str
    scope: str
    audience: str
    issued_at: float
    expires_at: float
    refresh_token: Secret | None

    def __repr__(self) -> str:
        return f"BearerToken({SHOWN}, user={self.user!r}, scope={self.scope!r})"


@dataclass(slots=True)
class Family:
    """All tokens that go back to one consent. A reused refresh token ends them together."""

    revoked: bool = False


@dataclass(slots=True)
class Grant:
    """What one access or refresh token stands for."""

    names: tuple[str, ...]
    scope: str
    audience: str
    family: Family
    lifetime: float
    format: Format
    length: int | None
    issued_at: float
    expires_at: float | None
    acts_for: tuple[str, ...] | Everybody = ()
    revoked: bool = False
    used: bool = False

    def is_for(self, names: tuple[str, ...]) -> bool:
        """Return whether a user with one of these names owns the token, or the application may act for one."""
        return self.acts_for == EVERYBODY or bool({*names} & {*self.names, *self.acts_for})

    def ended(self, now: float) -> TokenReason | None:
        """Return why the token counts for nothing any more, or None."""
        if self.revoked or self.family.revoked:
            return TokenReason.REVOKED
        return TokenReason.EXPIRED if self.expires_at is not None and now >= self.expires_at else None

    def another(self, scope: str, now: float, *, expires_at: float | None) -> Grant:
        """Return what another token of the same family stands for."""
        return replace(self, scope=scope, issued_at=now, expires_at=expires_at, revoked=False, used=False)

    def claims(self, issuer: str, client_id: str, expires_at: float) -> dict[str, Any]:
        """Return what the token says of itself, by the names of RFC 9068 section 2.2 and RFC 7662 section 2.2."""
        return {
            "iss": issuer,
            "sub": self.names[0],
            "aud": self.audience,
            "scope": self.scope,
            "client_id": client_id,
            "iat": int(self.issued_at),
            "exp": int(expires_at),
        }


def random_token(length: int | None = None) -> str:
    """Return a token that says nothing, of 43 characters or so many."""
    return secrets.token_urlsafe(32) if length is None else secrets.token_urlsafe(length)[:length]


def users_of(users: Sequence[str | Account]) -> tuple[str, ...]:
    """Return all names by which these users are known."""
    return tuple(name for user in users for name in names_of(user))


def names_of(user: str | Account) -> tuple[str, ...]:
    """Return the names by which a user is known; the first is the subject of a token."""
    return (user.username, user.address) if isinstance(user, Account) else (user,)
