"""What an authorization server answers to each request (RFC 6749, RFC 7636, RFC 8628). Pure: forms in, answers out.

It knows nothing of HTTP but names and values, and of time only what the issuer's clock says. A refusal is an
:class:`OAuthError`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pytest_mailauth.model.canary import Account, Secret
from pytest_mailauth.servers.oauth_commands import CommandedTokens
from pytest_mailauth.servers.oauth_device import DEVICE_GRANT, Devices
from pytest_mailauth.servers.oauth_errors import CommandedErrors, OAuthError
from pytest_mailauth.servers.oauth_settings import SCOPE, is_target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_mailauth.servers.oauth import TokenIssuer
    from pytest_mailauth.servers.oauth_tokens import BearerToken, Everybody

CODE_LIFETIME: Final = 600
"""Seconds for which an authorization code counts: the longest that is recommended (RFC 6749 section 4.1.2)."""
TELLING: Final = 8
"""Characters from which on a secret does not stand in a text by chance."""
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
"""A SHA-256 in base64url without padding (RFC 7636 section 4.2)."""
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
"""RFC 7636 section 4.1."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """The application that is registered at the authorization server.

    Attributes:
        id: Its client identifier (RFC 6749 section 2.2).
        secret: Its password (RFC 6749 section 2.3.1).
        redirect_uris: Where users may be sent back to; empty for any absolute URI.
    """

    id: str
    secret: Secret = field(default_factory=lambda: Secret(f"Cs{secrets.token_hex(12)}"))
    redirect_uris: tuple[str, ...] = ()


@dataclass(slots=True)
class _Code:
    """An authorization code that was handed out."""

    user: str | Account
    redirect_uri: str | None
    challenge: str
    scope: str | None
    audience: str | None
    nonce: str | None
    expires_at: float
    used: bool = False
    token: BearerToken | None = None


class AuthorizationServer:
    """The decisions of one authorization server with one registered client.

    Args:
        issuer: What issues the tokens.
        client: The registered client.
        user: Who is signed in at the authorization endpoint.
        interval: Seconds between two polls of a device.
        acts_for: For whom the client may act where no user has consented (RFC 6749 section 4.4).
    """

    def __init__(
        self,
        issuer: TokenIssuer,
        client: Client,
        user: str | Account,
        *,
        interval: float,
        acts_for: Sequence[str | Account] | Account | Everybody = (),
    ) -> None:
        self.issuer = issuer
        self.client = client
        self.user = user
        self.devices = Devices(issuer, interval)
        self.denials = CommandedErrors("authorize")
        self.commanded = CommandedTokens()
        self._acts_for = acts_for
        self._codes: dict[str, _Code] = {}

    def holds_secret(self, text: str) -> bool:
        """Return whether there is anything in *text* that nobody may see: a secret, a code or a token."""
        own = (self.client.secret, *(self.user.secrets.values() if isinstance(self.user, Account) else ()))
        secrets = (*own, *self._codes, *self.issuer.secrets.values())
        return any(secret == text or (len(secret) >= TELLING and secret in text) for secret in secrets if secret)

    def authenticate(
        self, form: Mapping[str, str], basic: tuple[str, str] | None, *, confidential: bool = False
    ) -> None:
        """Authenticate the client, by HTTP Basic or in the form (RFC 6749 section 2.3.1).

        A public client names itself and gives no secret; where only a confidential one may come, that is refused.

        Raises:
            OAuthError: ``invalid_client``, or ``invalid_request`` for both ways at once.
        """
        if basic is not None and "client_secret" in form:
            raise OAuthError("invalid_request", "more than one way of client authentication")
        given_id, secret = basic or (form.get("client_id"), form.get("client_secret"))
        right = given_id == self.client.id and (
            not confidential if secret is None else hmac.compare_digest(secret.encode(), self.client.secret.encode())
        )
        if not right:
            raise OAuthError("invalid_client")

    # The authorization endpoint (RFC 6749 section 4.1.1).

    def authorize(self, query: Mapping[str, str]) -> str:
        """Return where the user is sent back to, with a code or with an error. Everybody says yes.

        Raises:
            OAuthError: The client or the redirect URI is wrong, so that nobody may be sent there (section 4.1.2.1).
        """
        target = self._redirect_uri(query)
        try:
            self.denials.raise_next()
            answer = {"code": self._code(query)}
        except OAuthError as error:
            answer = {"error": error.error, "error_description": error.description}
        if "state" in query:
            answer["state"] = query["state"]
        parts = urlsplit(target)
        pairs = [*parse_qsl(parts.query, keep_blank_values=True), *answer.items()]
        return urlunsplit(parts._replace(query=urlencode(pairs)))

    def _redirect_uri(self, query: Mapping[str, str]) -> str:
        if query.get("client_id") != self.client.id:
            raise OAuthError("invalid_request", "client_id is missing or unknown")
        registered = self.client.redirect_uris
        target = query.get("redirect_uri")
        if target is None and len(registered) == 1:
            return registered[0]
        if target is None:
            raise OAuthError("invalid_request", "redirect_uri is missing")
        if registered and target not in registered:
            raise OAuthError("invalid_request", "redirect_uri is not registered")
        if not is_target(target):
            raise OAuthError("invalid_request", "redirect_uri is no absolute URI without a fragment")
        return target

    def _code(self, query: Mapping[str, str]) -> str:
        if _required(query, "response_type") != "code":
            raise OAuthError("unsupported_response_type")
        challenge = query.get("code_challenge")
        if challenge is None:
            raise OAuthError("invalid_request", "code challenge required")
        if query.get("code_challenge_method", "plain") != "S256":
            raise OAuthError("invalid_request", "transform algorithm not supported; use S256")
        if not _CHALLENGE.fullmatch(challenge):
            raise OAuthError("invalid_request", "code_challenge is no SHA-256 in base64url")
        code = Secret(secrets.token_urlsafe(24))
        self._codes[str(code)] = _Code(
            user=query.get("login_hint") or self.user,
            redirect_uri=query.get("redirect_uri"),
            challenge=challenge,
            scope=scope_of(query),
            audience=audience_of(query),
            nonce=query.get("nonce"),
            expires_at=self.issuer.now + CODE_LIFETIME,
        )
        return str(code)

    # The token endpoint (RFC 6749 section 3.2).

    def token(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> dict[str, Any]:
        """Return the answer to a token request (RFC 6749 section 5.1).

        Raises:
            OAuthError: It is refused.
        """
        self.issuer.failures.raise_next()
        grant_type = _required(form, "grant_type")
        if grant_type not in self.GRANTS:
            raise OAuthError("unsupported_grant_type")
        self.authenticate(form, basic, confidential=grant_type == "client_credentials")
        return self.GRANTS[grant_type](self, form)

    def _authorization_code(self, form: Mapping[str, str]) -> dict[str, Any]:
        code = self._codes.get(_required(form, "code"))
        if code is None:
            raise OAuthError("invalid_grant", "the code is unknown")
        if code.used:
            # Two came with the same code, so one of them stole it (RFC 6749 section 4.1.2).
            if code.token is not None and code.token.refresh_token is not None:
                self.issuer.revoke(code.token.refresh_token)
            raise OAuthError("invalid_grant", "the code was used before")
        code.used = True
        if self.issuer.now >= code.expires_at:
            raise OAuthError("invalid_grant", "the code has expired")
        if form.get("redirect_uri") != code.redirect_uri:
            raise OAuthError("invalid_grant", "redirect_uri differs from the one that the code was asked for with")
        verifier = _required(form, "code_verifier")
        digest = hashlib.sha256(verifier.encode()).digest()
        shown = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(shown, code.challenge):
            raise OAuthError("invalid_grant", "code_verifier does not match code_challenge")
        code.token = self._issue(code.user, code.scope, code.audience)
        return self._answer(code.token, code.nonce)

    def _refresh_token(self, form: Mapping[str, str]) -> dict[str, Any]:
        token = _required(form, "refresh_token")
        return self._answer(self.issuer.refresh(token, scope=scope_of(form), commanded=self.commanded))

    def _client_credentials(self, form: Mapping[str, str]) -> dict[str, Any]:
        # No refresh token: the client can ask again at any time (RFC 6749 section 4.4.3).
        token = self.issuer.issue(
            self.client.id,
            scope=scope_of(form),
            audience=audience_of(form),
            refreshable=False,
            acts_for=self._acts_for,
            commanded=self.commanded,
        )
        return self._answer(token)

    def _device_code(self, form: Mapping[str, str]) -> dict[str, Any]:
        device = self.devices.poll(_required(form, "device_code"))
        return self._answer(self._issue(device.user or self.user, device.scope, device.audience))

    GRANTS: ClassVar[dict[str, Callable[[AuthorizationServer, Mapping[str, str]], dict[str, Any]]]] = {
        "authorization_code": _authorization_code,
        "refresh_token": _refresh_token,
        "client_credentials": _client_credentials,
        DEVICE_GRANT: _device_code,
    }
    """Grant type to what answers it."""

    def _issue(self, user: str | Account, scope: str | None, audience: str | None) -> BearerToken:
        return self.issuer.issue(user, scope=scope, audience=audience, commanded=self.commanded)

    def _answer(self, token: BearerToken, nonce: str | None = None) -> dict[str, Any]:
        answer = {
            "access_token": str(token),
            "token_type": "Bearer",
            "expires_in": int(token.expires_at - self.issuer.now),
            "scope": token.scope,
        }
        if token.refresh_token is not None:
            answer["refresh_token"] = str(token.refresh_token)
        if "openid" in token.scope.split():
            answer["id_token"] = self.issuer.id_token(token, nonce)
        return answer

    # The other endpoints.

    def device_authorization(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> dict[str, Any]:
        """Return the codes for a device without a browser (RFC 8628 section 3.2).

        Raises:
            OAuthError: It is refused.
        """
        self.authenticate(form, basic)
        return self.devices.begin(scope_of(form), audience_of(form))

    def revoke(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> None:
        """Revoke a token; one that nobody knows is revoked already (RFC 7009 section 2.2).

        Raises:
            OAuthError: The client is not authenticated, or there is no token.
        """
        self.authenticate(form, basic)
        token = _required(form, "token")
        if self.issuer.knows(token):
            self.issuer.revoke(token)

    def introspect(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> dict[str, Any]:
        """Return what is known of an access token (RFC 7662 section 2.2).

        Raises:
            OAuthError: The client is not authenticated, or there is no token.
        """
        self.authenticate(form, basic, confidential=True)
        return self.issuer.details(_required(form, "token"))


def _required(form: Mapping[str, str], name: str) -> str:
    # A parameter without a value counts as omitted (RFC 6749 section 3.1).
    if not form.get(name):
        raise OAuthError("invalid_request", f"{name} is missing")
    return form[name]


def scope_of(form: Mapping[str, str]) -> str | None:
    """Return the scope that was asked for, or None.

    Raises:
        OAuthError: ``invalid_scope``: its syntax is wrong.
    """
    scope = form.get("scope")
    if scope and not SCOPE.fullmatch(scope):
        raise OAuthError("invalid_scope", "the scope is malformed")
    return scope or None


def audience_of(form: Mapping[str, str]) -> str | None:
    """Return whom the token shall be for (``resource``, RFC 8707 section 2; some providers: ``audience``), or None."""
    return form.get("resource") or form.get("audience") or None
