"""Bearer tokens: who was given one, for what, for how long, and whether it still counts (RFC 6749, RFC 6750).

Pure: no socket, no thread, no clock of the system. Time is what ``clock`` says plus what a test advanced; by default
it stands still, so that a token expires when the test says so and never in the middle of it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.settings import check_callable, check_text, known_by_name
from pytest_mailauth.servers.oauth_admission import Admission
from pytest_mailauth.servers.oauth_errors import CommandedErrors, OAuthError
from pytest_mailauth.servers.oauth_jwt import ALGORITHMS, Algorithm, SigningKey
from pytest_mailauth.servers.oauth_settings import MAIL_AUDIENCE, MAIL_SCOPE, check_token, checked_users
from pytest_mailauth.servers.oauth_tokens import (
    BearerToken,
    Family,
    Format,
    Grant,
    TokenReason,
    TokenVerdict,
    names_of,
    random_token,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_mailauth.model.canary import Account
    from pytest_mailauth.servers.oauth_commands import CommandedTokens
    from pytest_mailauth.servers.oauth_tokens import Everybody

STANDING_STILL: Final = 1_900_000_000.0
"""The time of an issuer that was given no clock, in seconds since 1970."""


@known_by_name()
class TokenIssuer:
    """Issues bearer tokens, remembers them, and says of any string whether it is a token that counts.

    Args:
        clock: Returns the time in seconds since 1970; None for one that stands still.
        url: The issuer's name in signed tokens (``iss``), or what returns it.
        scope: The scope that :meth:`accepts` demands, and the default of :meth:`issue`.
        audience: The audience that :meth:`accepts` demands, and the default of :meth:`issue`.
        client_id: The client that tokens are issued to (``client_id`` in signed tokens).
        expires_in: Seconds for which tokens count, unless :meth:`issue` is told otherwise.
        format: Their format, ``"opaque"`` or ``"jwt"``, unless :meth:`issue` is told otherwise.
        algorithm: What signed tokens are signed with, ``"ES256"`` or ``"RS256"``.

    Raises:
        ConfigError: A setting or its value is unknown.

    Examples:
        >>> issuer = TokenIssuer()
        >>> token = issuer.issue("alice@example.test", expires_in=60)
        >>> token
        BearerToken(<redacted>, user='alice@example.test', scope='https://mail.example.test/')
        >>> issuer.check(token).reason.value
        'ok'
        >>> issuer.advance(60)
        >>> issuer.check(token).reason.value
        'expired'
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] | None = None,
        url: str | Callable[[], str] = "https://oauth.example.test",
        scope: str = MAIL_SCOPE,
        audience: str = MAIL_AUDIENCE,
        client_id: str = "mailauth-client",
        expires_in: float = 3600,
        format: Format = "opaque",  # noqa: A002 - the word that users know
        algorithm: Algorithm = "ES256",
    ) -> None:
        check_callable(clock, "clock")
        check_token(scope=scope, audience=audience, expires_in=expires_in, format=format)
        check_text(client_id, "client_id", "'my-app'")
        if algorithm not in ALGORITHMS:
            raise ConfigError(f"algorithm={algorithm!r} is not known; use one of {', '.join(map(repr, ALGORITHMS))}")
        self.scope = scope
        self.audience = audience
        self.client_id = client_id
        self.algorithm = algorithm
        self._expires_in, self._format = expires_in, format
        self._clock = clock or (lambda: STANDING_STILL)
        self._advanced = 0.0
        self._url = url
        self._access: dict[str, Grant] = {}
        self._refresh: dict[str, Grant] = {}
        self._made_key: SigningKey | None = None
        self.failures = CommandedErrors("token")
        """What :meth:`fail_next` asked for and the token endpoint has not answered yet."""

    @property
    def now(self) -> float:
        """The time on the issuer's clock, in seconds since 1970."""
        return self._clock() + self._advanced

    @property
    def url(self) -> str:
        """The issuer's name: ``iss`` in signed tokens (RFC 7519 section 4.1.1)."""
        return self._url if isinstance(self._url, str) else self._url()

    @property
    def key(self) -> SigningKey:
        """The key that signs, made when first asked for.

        Raises:
            CannotServe: The extra ``oauth`` is not installed.
        """
        if self._made_key is None:
            self._made_key = SigningKey(self.algorithm)
        return self._made_key

    def advance(self, seconds: float) -> None:
        """Let time pass on the issuer's clock. It fits in the place of ``time.sleep``.

        Raises:
            ConfigError: *seconds* is negative.
        """
        if seconds < 0:
            raise ConfigError(f"seconds={seconds!r} is negative; time only goes forward")
        self._advanced += seconds

    def fail_next(self, error: str, times: int = 1) -> None:
        """Let the next *times* requests at the token endpoint fail, whatever they ask for.

        Args:
            error: An error code of RFC 6749 section 5.2 or RFC 8628 section 3.5, ``"server_error"`` or
                ``"temporarily_unavailable"``.
            times: How many requests.

        Raises:
            ConfigError: The token endpoint never answers with this error.
        """
        self.failures.add(error, times)

    def issue(
        self,
        user: str | Account,
        *,
        scope: str | None = None,
        audience: str | None = None,
        expires_in: float | None = None,
        format: Format | None = None,  # noqa: A002 - the word that users know
        length: int | None = None,
        refreshable: bool = True,
        acts_for: Sequence[str | Account] | Account | Everybody = (),
        commanded: CommandedTokens | None = None,
    ) -> BearerToken:
        """Return a new access token.

        Args:
            user: A user name, or the account of a mail server, whose login name and address both count.
            scope: What it is good for; several scopes are separated by spaces. Default the mail scope.
            audience: Whom it is for. Default the mail servers.
            expires_in: Seconds until it expires on the issuer's clock. Default the issuer's, an hour; 0 is expired
                already.
            format: ``"opaque"`` or ``"jwt"``, which needs the extra ``oauth`` (RFC 9068). Default the issuer's.
            length: Characters of an opaque token. Default 43; 2000 and more are usual at large providers, and too
                long for one line of a mail protocol.
            refreshable: Whether a refresh token comes with it.
            acts_for: Whose mailbox it opens besides, where *user* is an application: user names or accounts, or
                ``"everybody"``.
            commanded: What shall be different about the access token, and not about its refresh token.

        Raises:
            ConfigError: A value is of the wrong kind, or the length is too short or asked of a signed token.
            CannotServe: The extra ``oauth`` is not installed.
        """
        format = self._format if format is None else format  # noqa: A001
        check_token(scope=scope or None, audience=audience or None, expires_in=expires_in, format=format, length=length)
        lifetime = self._expires_in if expires_in is None else expires_in
        grant = Grant(
            names_of(user),
            scope or self.scope,
            audience or self.audience,
            Family(),
            lifetime,
            format,
            length,
            self.now,
            self.now + lifetime,
            checked_users(acts_for),
        )
        return self._make(grant, commanded, refreshable=refreshable)

    def _make(self, grant: Grant, commanded: CommandedTokens | None, *, refreshable: bool) -> BearerToken:
        given = grant if commanded is None else commanded.apply(grant)
        token = BearerToken(self._signed(given) if given.format == "jwt" else random_token(given.length))
        token.user, token.scope, token.audience = given.names[0], given.scope, given.audience
        token.issued_at, token.expires_at = given.issued_at, given.issued_at + given.lifetime
        token.refresh_token = Secret(random_token()) if refreshable else None
        self._access[str(token)] = given
        if token.refresh_token is not None:
            self._refresh[str(token.refresh_token)] = grant.another(grant.scope, self.now, expires_at=None)
        return token

    def _signed(self, grant: Grant) -> str:
        claims = grant.claims(self.url, self.client_id, grant.issued_at + grant.lifetime)
        return self.key.sign({**claims, "jti": secrets.token_hex(8)}, "at+jwt")

    def id_token(self, token: BearerToken, nonce: str | None = None) -> str:
        """Return who the user of *token* is, signed for the client (OpenID Connect Core section 2).

        Raises:
            CannotServe: The extra ``oauth`` is not installed.
        """
        claims = {
            "iss": self.url,
            "aud": self.client_id,
            "iat": int(token.issued_at),
            "exp": int(token.expires_at),
            **self.identity(token),
        }
        return self.key.sign(claims if nonce is None else claims | {"nonce": nonce}, "JWT")

    def identity(self, token: str) -> dict[str, str]:
        """Return who the user of an access token is: ``sub`` and ``email`` (OpenID Connect Core section 5.1).

        Raises:
            ConfigError: This issuer never issued it.
        """
        names = self._known(token).names
        return {"sub": names[0], "email": names[-1]}

    def refresh(
        self, refresh_token: str, *, scope: str | None = None, commanded: CommandedTokens | None = None
    ) -> BearerToken:
        """Return a new access token with a new refresh token; the one that was given is used up.

        A refresh token that comes a second time was stolen from one of the two who used it: all tokens that go back
        to the same consent are revoked (RFC 9700 section 4.14.2).

        Args:
            refresh_token: The refresh token.
            scope: A part of the scope that was granted; None for all of it (RFC 6749 section 6).
            commanded: What shall be different about the access token, and not about its refresh token.

        Raises:
            OAuthError: ``invalid_grant`` or ``invalid_scope``.
        """
        grant = self._refresh.get(refresh_token)
        if grant is None:
            raise OAuthError("invalid_grant", "the refresh token is unknown")
        if grant.used:
            grant.family.revoked = True
            raise OAuthError("invalid_grant", "the refresh token was used before; its tokens are revoked")
        reason = grant.ended(self.now)
        if reason is not None:
            raise OAuthError("invalid_grant", f"the refresh token is {reason}")
        if scope and not set(scope.split()) <= set(grant.scope.split()):
            raise OAuthError("invalid_scope", "the scope is wider than the one that was granted")
        grant.used = True
        now = self.now
        renewed = grant.another(scope or grant.scope, now, expires_at=now + grant.lifetime)
        token = self._make(renewed, commanded, refreshable=True)
        # A narrower access token does not narrow what the next refresh may ask for (RFC 6749 section 6).
        self._refresh[str(token.refresh_token)].scope = grant.scope
        return token

    def knows(self, token: str) -> bool:
        """Return whether this is an access or refresh token of this issuer, whatever became of it."""
        return token in self._access or token in self._refresh

    def revoke(self, token: str) -> None:
        """Revoke a token. With a refresh token goes all that came from the same consent (RFC 7009 section 2.1).

        Raises:
            ConfigError: This issuer never issued it.
        """
        grant = self._known(token)
        if token in self._refresh:
            grant.family.revoked = True
        grant.revoked = True

    def expire(self, token: str) -> None:
        """Let a token expire now. A signed one still says otherwise in ``exp``; :meth:`check` knows better.

        Raises:
            ConfigError: This issuer never issued it.
        """
        self._known(token).expires_at = self.now

    def _known(self, token: str) -> Grant:
        grant = self._access.get(token) or self._refresh.get(token)
        if grant is None:
            raise ConfigError("this issuer never issued that token")
        return grant

    def check(
        self,
        token: str,
        *,
        user: str | Account | None = None,
        scope: str | None = None,
        audience: str | None = None,
    ) -> TokenVerdict:
        """Return whether *token* is an access token that counts, and if not, why not.

        Args:
            token: Any string.
            user: Whose it has to be; None for anybody's.
            scope: What it has to be good for; None for anything.
            audience: Whom it has to be for; None for anybody.
        """
        grant = self._access.get(token)
        if grant is None:
            return TokenVerdict(TokenReason.UNKNOWN)
        reason = grant.ended(self.now) or TokenReason.OK
        if reason is TokenReason.OK:
            if user is not None and not grant.is_for(names_of(user)):
                reason = TokenReason.WRONG_USER
            elif scope is not None and not set(scope.split()) <= set(grant.scope.split()):
                reason = TokenReason.WRONG_SCOPE
            elif audience is not None and audience != grant.audience:
                reason = TokenReason.WRONG_AUDIENCE
        return TokenVerdict(reason, grant.names[0], grant.scope)

    def details(self, token: str) -> dict[str, Any]:
        """Return what is known of an access token, as introspection names it (RFC 7662 section 2.2)."""
        grant = self._access.get(token)
        if grant is None or grant.ended(self.now) is not None:
            return {"active": False}
        claims = grant.claims(self.url, self.client_id, grant.expires_at or 0)
        return {"active": True, "token_type": "Bearer", "username": grant.names[0], **claims}

    def accepts(self, token: str, account: Account) -> bool:
        """Return whether *token* logs *account* in to a mail server: the login decision asks this."""
        return self.reason(token, account) is None

    def reason(self, token: str, account: Account) -> str | None:
        """Return why *token* does not log *account* in (a value of :class:`TokenReason`), or None if it does."""
        verdict = self.check(token, user=account, scope=self.scope, audience=self.audience)
        return None if verdict else verdict.reason.value

    @property
    def admits(self) -> Admission:
        """What ``AuthPolicy(accept_token=...)`` asks: ``admits(token, account)`` is True, or the token's error code.

        Who is refused is told the issuer's scope.
        """
        return Admission(self, lambda: None)

    @property
    def secrets(self) -> dict[str, Secret]:
        """Every token that was issued, by a name that may be shown in its place."""
        kinds = {"access token": self._access, "refresh token": self._refresh}
        return {f"{kind} {n}": Secret(token) for kind, known in kinds.items() for n, token in enumerate(list(known), 1)}
