"""Tokens that a test asked for at the token endpoint, in order: good for something else, or for a shorter time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.settings import check_number
from pytest_mailauth.servers.oauth_settings import check_token

if TYPE_CHECKING:
    from pytest_mailauth.servers.oauth_tokens import Grant


class CommandedTokens:
    """What shall be different about the next access tokens. Their refresh tokens stay what the client asked for."""

    def __init__(self) -> None:
        self._waiting: list[dict[str, Any]] = []

    def add(self, times: int, *, audience: str | None, scope: str | None, expires_in: float | None) -> None:
        """Let the next *times* access tokens differ in what is not None.

        Raises:
            ConfigError: Nothing is different, or a value is of the wrong kind.
        """
        check_number(times, "times", 1)
        check_token(audience=audience, scope=scope, expires_in=expires_in)
        asked = {"audience": audience, "scope": scope, "expires_in": expires_in}
        changes = {name: value for name, value in asked.items() if value is not None}
        if not changes:
            raise ConfigError("issue_next: nothing is asked for; give audience=, scope= or expires_in=")
        self._waiting += [changes] * times

    def apply(self, grant: Grant) -> Grant:
        """Return what the next access token stands for, where a client's request led to *grant*."""
        if not self._waiting:
            return grant
        changes = dict(self._waiting.pop(0))
        lifetime = changes.pop("expires_in", grant.lifetime)
        return replace(grant, **changes, lifetime=lifetime, expires_at=grant.issued_at + lifetime)

    @property
    def tale(self) -> str | None:
        """What a test asked for and no request has met, in words, or None."""
        if not self._waiting:
            return None
        what = "; ".join(", ".join(f"{name}={value!r}" for name, value in one.items()) for one in self._waiting)
        return f"the token endpoint was to hand out a token with {what}, and no request came for it"
