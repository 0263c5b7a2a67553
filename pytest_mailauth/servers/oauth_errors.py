"""The errors of OAuth 2.0 as data: one row an error code, with its status and where it is defined.

An error is an exception on its way to the client. What a test asks for on command is a row of the same table.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pytest_mailauth.model.errors import ConfigError


class ErrorRow(NamedTuple):
    """One error code.

    Attributes:
        status: The HTTP status at the token endpoint.
        endpoints: Where it can be answered on command: ``"token"``, ``"authorize"``.
        meaning: What it tells the client; sent as ``error_description`` unless there is more to say.
        source: Where it is defined.
    """

    status: int
    endpoints: tuple[str, ...]
    meaning: str
    source: str


_TOKEN, _AUTHORIZE = ("token",), ("authorize",)
_BOTH = (*_TOKEN, *_AUTHORIZE)

ERRORS: Final[dict[str, ErrorRow]] = {
    "invalid_request": ErrorRow(400, _BOTH, "the request is malformed", "RFC 6749 section 5.2"),
    "invalid_client": ErrorRow(401, _TOKEN, "the client is unknown or its secret is wrong", "RFC 6749 section 5.2"),
    "invalid_grant": ErrorRow(
        400, _TOKEN, "the code or refresh token is invalid, expired or revoked", "RFC 6749 section 5.2"
    ),
    "unauthorized_client": ErrorRow(400, _BOTH, "this client may not use this grant", "RFC 6749 section 5.2"),
    "unsupported_grant_type": ErrorRow(400, _TOKEN, "this grant type is not supported", "RFC 6749 section 5.2"),
    "unsupported_response_type": ErrorRow(
        400, _AUTHORIZE, "only response_type=code is supported", "RFC 6749 section 4.1.2.1"
    ),
    "invalid_scope": ErrorRow(400, _BOTH, "the scope is malformed or wider than granted", "RFC 6749 section 5.2"),
    "invalid_target": ErrorRow(400, _BOTH, "no token is issued for this resource", "RFC 8707 section 2"),
    "access_denied": ErrorRow(400, _BOTH, "the user said no", "RFC 6749 section 4.1.2.1"),
    "authorization_pending": ErrorRow(400, _TOKEN, "the user has not answered yet", "RFC 8628 section 3.5"),
    "slow_down": ErrorRow(400, _TOKEN, "poll five seconds less often", "RFC 8628 section 3.5"),
    "expired_token": ErrorRow(400, _TOKEN, "the device code has expired", "RFC 8628 section 3.5"),
    "server_error": ErrorRow(500, _BOTH, "the authorization server failed", "RFC 6749 section 4.1.2.1"),
    "temporarily_unavailable": ErrorRow(503, _BOTH, "try again later", "RFC 6749 section 4.1.2.1"),
}
"""Error code to its row. The last two have no status at the token endpoint in the RFC; theirs are HTTP's own."""


class OAuthError(Exception):
    """An error answered to an OAuth client.

    Attributes:
        error: The error code, a key of :data:`ERRORS`.
        description: What is told besides, in ASCII and without any secret.
    """

    def __init__(self, error: str, description: str | None = None) -> None:
        self.error = error
        self.description = description or ERRORS[error].meaning
        super().__init__(f"{error}: {self.description}")

    @property
    def status(self) -> int:
        """The HTTP status at the token endpoint."""
        return ERRORS[self.error].status


class CommandedErrors:
    """Errors that a test asked for, in order, at one endpoint."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._waiting: list[str] = []

    def add(self, error: str, times: int) -> None:
        """Let the next *times* requests fail with *error*.

        Raises:
            ConfigError: The endpoint never answers with this error, or *times* is not positive.
        """
        known = [code for code, row in ERRORS.items() if self._endpoint in row.endpoints]
        if error not in known:
            allowed = ", ".join(map(repr, known))
            raise ConfigError(f"error={error!r} is no error of the {self._endpoint} endpoint; use one of {allowed}")
        if times < 1:
            raise ConfigError(f"times={times!r} is too few; use 1 or more")
        self._waiting += [error] * times

    @property
    def waiting(self) -> tuple[str, ...]:
        """The errors that no request has met yet."""
        return tuple(self._waiting)

    @property
    def tale(self) -> str | None:
        """What a test asked for and no request has met, in words, or None."""
        if not self._waiting:
            return None
        what = ", ".join(self._waiting)
        return f"the {self._endpoint} endpoint was to answer {what}, and no request came for it"

    def raise_next(self) -> None:
        """Raise the next error, if there is one.

        Raises:
            OAuthError: A test asked for it.
        """
        if self._waiting:
            raise OAuthError(self._waiting.pop(0))
