"""The authorization server as its users hold it: a token issuer, and HTTP endpoints that start when they are needed."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Self

from pytest_mailauth.model.canary import Account, Secret
from pytest_mailauth.model.config import TLSPolicy, choose
from pytest_mailauth.model.errors import CannotServe, ConfigError, ServerFault, UnmetExpectations
from pytest_mailauth.model.settings import check_seconds, known_by_name
from pytest_mailauth.model.terms import Certificate
from pytest_mailauth.servers.oauth import TokenIssuer
from pytest_mailauth.servers.oauth_admission import Admission
from pytest_mailauth.servers.oauth_grants import AuthorizationServer, Client
from pytest_mailauth.servers.oauth_jwt import INSTALL
from pytest_mailauth.servers.oauth_paths import LOOPBACK, Addresses
from pytest_mailauth.servers.oauth_settings import MAIL_AUDIENCE, MAIL_SCOPE, checked_client, checked_users
from pytest_mailauth.servers.pki import CertificateAuthority
from pytest_mailauth.servers.wire.contexts import server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from pytest_mailauth.servers.oauth_http import Application, OAuthRequest
    from pytest_mailauth.servers.oauth_jwt import Algorithm
    from pytest_mailauth.servers.oauth_serving import Serving
    from pytest_mailauth.servers.oauth_tokens import BearerToken, Everybody, Format, TokenVerdict


@known_by_name()
class OAuthServer(Addresses):
    """A fake OAuth 2.0 authorization server. The fixture ``mailauth_oauth`` is one.

    Tokens need nothing more. The endpoints need the extra ``oauth`` and start when the first URL is asked for, on
    127.0.0.1 and a port that the system chose. Time stands still from the moment this was made until ``advance()``.

    Args:
        account: Who is signed in, and thus consents, at the authorization endpoint.
        ca: Signs the certificate of https; None for an authority of its own.
        https: Whether the endpoints speak https instead of http.
        certificate: What https shows: ``"valid"`` or the name of one fault, see ``Certificate``.
        tls: Which TLS https speaks.
        client_id: The registered client.
        client_secret: Its secret; None for a random one.
        redirect_uris: Where users may be sent back to; empty for any absolute URI.
        scope: The scope that lets into a mailbox, and the default of every token.
        audience: Whom tokens are for, and whom they have to be for to let into a mailbox.
        expires_in: Seconds for which tokens count, unless ``issue()`` is told otherwise.
        format: Their format, ``"opaque"`` or ``"jwt"``, unless ``issue()`` is told otherwise.
        algorithm: What signed tokens are signed with, ``"ES256"`` or ``"RS256"``.
        device_interval: Seconds between two polls of a device. 0 where the client really sleeps, which the issuer's
            clock does not see.
        acts_for: Whose mailboxes the client's own tokens open (``client_credentials``, RFC 6749 section 4.4): user
            names, addresses or accounts, or ``"everybody"``. Default nobody's.
        clock: Returns the time in seconds since 1970; None for one that stands still.

    Raises:
        ConfigError: A setting is unknown, or its value is of the wrong kind.

    Examples:
        >>> with OAuthServer() as oauth:
        ...     token = oauth.issue("alice@example.test")
        ...     oauth.revoke(token)
        ...     oauth.check(token).reason.value
        'revoked'
    """

    def __init__(
        self,
        account: Account | None = None,
        ca: CertificateAuthority | None = None,
        *,
        https: bool = False,
        certificate: Certificate | str = Certificate.VALID,
        tls: TLSPolicy | None = None,
        client_id: str = "mailauth-client",
        client_secret: str | None = None,
        redirect_uris: tuple[str, ...] = (),
        scope: str = MAIL_SCOPE,
        audience: str = MAIL_AUDIENCE,
        expires_in: float = 3600,
        format: Format = "opaque",  # noqa: A002 - the word that users know
        algorithm: Algorithm = "ES256",
        device_interval: float = 5,
        acts_for: Sequence[str | Account] | Account | Everybody = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        targets = checked_client(client_id, client_secret, redirect_uris)
        check_seconds(device_interval, "device_interval", "5, or 0 for a client that really sleeps")
        checked_users(acts_for)
        if not isinstance(https, bool):
            raise ConfigError(f"https={https!r} must be True or False")
        if tls is not None and not isinstance(tls, TLSPolicy):
            raise ConfigError(f"tls={tls!r} must be a TLSPolicy")
        started = time.time()
        self.account = account or Account.fresh()
        self.https = https
        self.issuer = TokenIssuer(
            clock=clock or (lambda: started),
            url=lambda: self.url,
            scope=scope,
            audience=audience,
            client_id=client_id,
            expires_in=expires_in,
            format=format,
            algorithm=algorithm,
        )
        secret = {} if client_secret is None else {"secret": Secret(client_secret)}
        self._client = Client(id=client_id, redirect_uris=targets, **secret)
        self._decisions = AuthorizationServer(
            self.issuer, self._client, self.account, interval=device_interval, acts_for=acts_for
        )
        self._certificate = choose(Certificate, certificate, "certificate")
        self._tls = tls or TLSPolicy()
        self._own_ca = ca is None
        self._ca = ca
        self._lock = threading.RLock()
        self._application: Application | None = None
        self._serving: Serving | None = None
        self._closed = self._excused = False

    def __repr__(self) -> str:
        return f"<OAuthServer {self._serving.url if self._serving else 'without endpoints yet'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None:
            self.raise_faults()
            self.raise_unmet()

    # Where it is.

    @property
    def url(self) -> str:
        """The issuer's URL, under which all endpoints are. Asking for it starts them, like every other URL here.

        Raises:
            CannotServe: The extra ``oauth`` is not installed.
            RuntimeError: It was closed before it was ever started.
        """
        # The threads that answer ask too. Once it is there they need no lock, which whoever closes may hold.
        if self._serving is None:
            with self._lock:
                if self._serving is None:
                    self._serving = self._start()
        return self._serving.url

    def _start(self) -> Serving:
        if self._closed:
            raise RuntimeError("this authorization server is closed; make a new one")
        try:
            from pytest_mailauth.servers.oauth_http import Application  # noqa: PLC0415 - belongs to an extra
            from pytest_mailauth.servers.oauth_serving import Serving  # noqa: PLC0415
        except ImportError as error:
            raise CannotServe(f"the endpoints need {error.name}; {INSTALL}") from None
        context = server_context(self._tls, self._certificate, self._authority, LOOPBACK) if self.https else None
        self._application = Application(self._decisions, lambda: self.url)
        return Serving(self._application, context)

    @property
    def _authority(self) -> CertificateAuthority:
        if self._ca is None:
            self._ca = CertificateAuthority()
        return self._ca

    @property
    def cafile(self) -> str:
        """Path of a PEM file with the certificate authority that a client has to trust for https."""
        return self._authority.cafile

    def ssl_context(self) -> ssl.SSLContext:
        """Return a client context for https that verifies chain and name."""
        return self._authority.ssl_context()

    # Who may ask, and who did.

    @property
    def client_id(self) -> str:
        """The registered client's identifier."""
        return self._client.id

    @property
    def client_secret(self) -> Secret:
        """The registered client's secret."""
        return self._client.secret

    @property
    def requests(self) -> tuple[OAuthRequest, ...]:
        """What was asked over HTTP so far, in order of the answers."""
        return tuple(self._application.requests) if self._application else ()

    # Tokens. See TokenIssuer.

    @property
    def now(self) -> float:
        """The time on the issuer's clock, in seconds since 1970."""
        return self.issuer.now

    def issue(self, user: str | Account | None = None, **settings: Any) -> BearerToken:
        """Return a new access token for a user name or an account; None for the account that is signed in here.

        See :meth:`TokenIssuer.issue` for the settings: ``scope``, ``audience``, ``expires_in``, ``format``,
        ``length``, ``refreshable``, ``acts_for``. The defaults are those of this server.
        """
        return self.issuer.issue(self.account if user is None else user, **settings)

    def check(
        self,
        token: str,
        *,
        user: str | Account | None = None,
        scope: str | None = None,
        audience: str | None = None,
    ) -> TokenVerdict:
        """Return whether *token* counts, for this user, scope and audience if given. See :meth:`TokenIssuer.check`."""
        return self.issuer.check(token, user=user, scope=scope, audience=audience)

    def accepts(self, token: str, account: Account) -> bool:
        """Return whether *token* logs *account* in to a mail server. See :meth:`TokenIssuer.accepts`."""
        return self.issuer.accepts(token, account)

    def reason(self, token: str, account: Account) -> str | None:
        """Return why *token* does not log *account* in, or None if it does. See :meth:`TokenIssuer.reason`."""
        return self.issuer.reason(token, account)

    @property
    def admits(self) -> Admission:
        """What ``AuthPolicy(accept_token=...)`` asks: ``admits(token, account)`` is True, or the token's error code.

        Who is refused is told the issuer's scope, and :attr:`discovery_url` once the endpoints have been started.

        ``mailauth.imap(auth=AuthPolicy(mechanisms=("OAUTHBEARER",), accept_token=mailauth_oauth.admits))``
        """
        return Admission(self.issuer, lambda: self.discovery_url if self._serving is not None else None)

    @property
    def secrets(self) -> dict[str, Secret]:
        """Every token that was issued and the client's secret, by a name that may be shown in its place."""
        return {**self.issuer.secrets, "client secret": self.client_secret}

    def revoke(self, token: str) -> None:
        """Revoke a token; with a refresh token all of its family. See :meth:`TokenIssuer.revoke`."""
        self.issuer.revoke(token)

    def expire(self, token: str) -> None:
        """Let a token expire now. See :meth:`TokenIssuer.expire`."""
        self.issuer.expire(token)

    def advance(self, seconds: float) -> None:
        """Let time pass on the issuer's clock. It fits in the place of ``time.sleep``."""
        self.issuer.advance(seconds)

    # Answers on command.

    def fail_next(self, error: str, times: int = 1) -> None:
        """Let the next requests at the token endpoint fail with *error*. See :meth:`TokenIssuer.fail_next`."""
        self.issuer.fail_next(error, times)

    def issue_next(
        self,
        *,
        audience: str | None = None,
        scope: str | None = None,
        expires_in: float | None = None,
        times: int = 1,
    ) -> None:
        """Let the token endpoint hand out another access token than it was asked for, as a wrong set-up would.

        Its refresh token stays as good as ever: the next refresh brings what the client wanted.

        Args:
            audience: Whom the token is for.
            scope: What it is good for. The answer says so (RFC 6749 section 5.1).
            expires_in: Seconds until it expires; 0 at once. The answer says so too.
            times: How many tokens.

        Raises:
            ConfigError: Nothing is asked for, or a value is of the wrong kind.
        """
        self._decisions.commanded.add(times, audience=audience, scope=scope, expires_in=expires_in)

    def deny_next(self, error: str = "access_denied", times: int = 1) -> None:
        """Let the next users say no at the authorization endpoint and on the page for devices.

        Args:
            error: An error code of RFC 6749 section 4.1.2.1.
            times: How many.

        Raises:
            ConfigError: The authorization endpoint never answers with this error.
        """
        self._decisions.denials.add(error, times)

    def approve(self, user_code: str, user: str | Account | None = None) -> None:
        """Say yes to a device, as its user would on another one (RFC 8628 section 3.3).

        Args:
            user_code: The code that the device shows.
            user: Who says yes; None for the account that is signed in here.

        Raises:
            ConfigError: No device was given this code.
        """
        self._decisions.devices.answer(user_code, yes=True, user=user)

    def deny(self, user_code: str) -> None:
        """Say no to a device.

        Raises:
            ConfigError: No device was given this code.
        """
        self._decisions.devices.answer(user_code, yes=False)

    # The end.

    def close(self) -> None:
        """Stop serving and free the port. What was asked stays readable. Harmless when repeated."""
        with self._lock:
            again, self._closed = self._closed, True
        if again:
            return
        if self._serving is not None:
            self._serving.close()
        if self._own_ca and self._ca is not None:
            self._ca.close()

    def excuse(self) -> None:
        """Let it be no failure that what was asked for was not met: the test has failed already."""
        self._excused = True

    def raise_unmet(self) -> None:
        """Raise unless all that :meth:`fail_next`, :meth:`issue_next` and :meth:`deny_next` asked for was given; once.

        Raises:
            UnmetExpectations: No request came for one.
        """
        tales = [one.tale for one in (self.issuer.failures, self._decisions.commanded, self._decisions.denials)]
        if not self._excused and any(tales):
            self.excuse()
            raise UnmetExpectations(f"{self!r}: " + "; ".join(filter(None, tales)))

    def raise_faults(self) -> None:
        """Raise what failed inside.

        Raises:
            ServerFault: Something did. Our bug.
        """
        if self._application is not None and self._application.faults:
            raise ServerFault(f"{self!r} failed inside:\n" + "\n".join(self._application.faults))
