"""The authorization server over HTTP: paths, methods, status codes and headers, and the record of what was asked.

What is answered is decided in ``oauth_grants``; here it becomes a response. The only room, with ``oauth_serving``,
that imports Werkzeug.
"""

from __future__ import annotations

import html
import json
import threading
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.wrappers import Request, Response

from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.servers.oauth_errors import OAuthError
from pytest_mailauth.servers.oauth_paths import (
    DEVICE_PAGE,
    DISCOVERY_PATH,
    ENDPOINTS,
    METADATA_PATH,
)
from pytest_mailauth.servers.oauth_tokens import TokenReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIEnvironment

    from werkzeug.datastructures import Authorization

    from pytest_mailauth.servers.oauth_grants import AuthorizationServer

SHOWN_FIELDS: Final = frozenset(
    {
        "audience",
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "grant_type",
        "login_hint",
        "nonce",
        "prompt",
        "redirect_uri",
        "resource",
        "response_mode",
        "response_type",
        "scope",
        "state",
        "token_type_hint",
        "username",
    }
)
"""Parameters whose values are shown, unless there is a secret in them. No others are: they may hold anything."""
NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
"""RFC 6749 section 5.1."""
LARGEST: Final = 1_000_000
"""Bytes of the largest request that is read."""
CLIENT_AUTHENTICATION: Final = ["client_secret_basic", "client_secret_post"]


@dataclass(frozen=True, kw_only=True)
class OAuthRequest:
    """One request to the authorization server, and how it was answered.

    Attributes:
        method: ``"GET"`` or ``"POST"``.
        path: Where it went, for example ``"/token"``.
        form: The parameters. Values that are secret, or may be, are each a :class:`Secret`.
        client_auth: How the client authenticated: ``"basic"``, ``"post"`` or ``"none"``.
        client_id: Which client it said to be, or None.
        status: The HTTP status of the answer.
        error: The error code of the answer, or None.
    """

    method: str
    path: str
    form: Mapping[str, str] = field(default_factory=dict)
    client_auth: str
    client_id: str | None
    status: int
    error: str | None = None

    @property
    def grant(self) -> str | None:
        """The ``grant_type`` of a token request, or None."""
        return self.form.get("grant_type")


class _Request(Request):
    max_content_length = LARGEST


class _Asked(NamedTuple):
    """A request as the routes see it."""

    form: dict[str, str]
    basic: tuple[str, str] | None
    bearer: str | None


class Application:
    """The WSGI application.

    Args:
        decisions: Who decides.
        url: Returns the address under which clients reach it, without a slash at the end.
    """

    def __init__(self, decisions: AuthorizationServer, url: Callable[[], str]) -> None:
        self.requests: list[OAuthRequest] = []
        """What was asked so far."""
        self.faults: list[str] = []
        """What failed inside; our bugs."""
        self.lock = threading.Lock()
        """Held while a request is decided: each is answered as if it was the only one."""
        self._decisions = decisions
        self._url = url

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        request = _Request(environ)
        try:
            return self._respond(request)(environ, start_response)
        except HTTPException as error:
            response = Response(f"{error.name}\n", error.code, [h for h in error.get_headers() if h[0] == "Allow"])
        except Exception:  # noqa: BLE001 - a failure belongs to the test, not to this thread
            self.faults.append(traceback.format_exc())
            response = _refused(OAuthError("server_error"))
        return response(environ, start_response)

    def _respond(self, request: Request) -> Response:
        if request.path not in ROUTES:
            raise NotFound
        methods, route = ROUTES[request.path]
        if request.method not in methods:
            raise MethodNotAllowed(methods)
        given = request.form if request.method == "POST" else request.args
        asked = _Asked(given.to_dict(), _basic(request), _bearer(request))
        with self.lock:
            try:
                if any(len(values) > 1 for _, values in given.lists()):
                    # RFC 6749 sections 3.1 and 3.2
                    raise OAuthError("invalid_request", "a parameter is repeated")  # noqa: TRY301
                response = route(self, asked)
            except OAuthError as error:
                response = _refused(error, challenged=asked.basic is not None)
            self.requests.append(_record(request, asked, response, self._decisions.holds_secret))
        return response

    def _metadata(self, asked: _Asked) -> Response:  # noqa: ARG002 - a route like the others
        """RFC 8414 section 2, with what OpenID Connect Discovery adds."""
        url = self._url()
        return _json(
            {
                "issuer": url,
                **{name: url + path for name, path in ENDPOINTS.items()},
                "scopes_supported": [self._decisions.issuer.scope, "openid", "email", "offline_access"],
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": list(self._decisions.GRANTS),
                "token_endpoint_auth_methods_supported": [*CLIENT_AUTHENTICATION, "none"],
                "revocation_endpoint_auth_methods_supported": [*CLIENT_AUTHENTICATION, "none"],
                "introspection_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
                "code_challenge_methods_supported": ["S256"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [self._decisions.issuer.algorithm],
            }
        )

    def _jwks(self, asked: _Asked) -> Response:  # noqa: ARG002 - a route like the others
        return _json(self._decisions.issuer.key.public)

    def _authorize(self, asked: _Asked) -> Response:
        return Response(status=302, headers={"Location": self._decisions.authorize(asked.form), **NO_STORE})

    def _token(self, asked: _Asked) -> Response:
        return _json(self._decisions.token(asked.form, asked.basic))

    def _device_authorization(self, asked: _Asked) -> Response:
        answer = self._decisions.device_authorization(asked.form, asked.basic)
        page = self._url() + DEVICE_PAGE
        complete = f"{page}?user_code={answer['user_code']}"
        return _json(answer | {"verification_uri": page, "verification_uri_complete": complete})

    def _device(self, asked: _Asked) -> Response:
        """The page that a user opens (RFC 8628 section 3.3). Who gives the code says yes."""
        code = asked.form.get("user_code")
        if not code:
            return _page('<form>Code: <input name="user_code"> <button>Allow</button></form>')
        denials = self._decisions.denials
        try:
            self._decisions.devices.answer(code, yes=not denials.waiting)
            denials.raise_next()
        except (ConfigError, OAuthError) as error:
            return _page(str(error), 400)
        return _page("The device is allowed in. You can close this page.")

    def _revoke(self, asked: _Asked) -> Response:
        self._decisions.revoke(asked.form, asked.basic)
        return Response(headers=NO_STORE)

    def _introspect(self, asked: _Asked) -> Response:
        return _json(self._decisions.introspect(asked.form, asked.basic))

    def _userinfo(self, asked: _Asked) -> Response:
        """Who the token's user is (OpenID Connect Core section 5.3); refusals as in RFC 6750 section 3."""
        if asked.bearer is None:
            return Response(status=401, headers={"WWW-Authenticate": 'Bearer realm="mailauth"'})
        verdict = self._decisions.issuer.check(asked.bearer, scope="openid")
        if not verdict:
            challenge = f'Bearer realm="mailauth", error="{verdict.error}", error_description="{verdict.reason}"'
            status = 403 if verdict.reason is TokenReason.WRONG_SCOPE else 401
            return Response(status=status, headers={"WWW-Authenticate": challenge})
        return _json(self._decisions.issuer.identity(asked.bearer))


_Route = tuple[tuple[str, ...], "Callable[[Application, _Asked], Response]"]
_READ, _WRITE = ("GET", "HEAD"), ("POST",)
ROUTES: Final[dict[str, _Route]] = {
    DISCOVERY_PATH: (_READ, Application._metadata),  # noqa: SLF001 - a table of its own methods, like the next lines
    METADATA_PATH: (_READ, Application._metadata),  # noqa: SLF001
    ENDPOINTS["jwks_uri"]: (_READ, Application._jwks),  # noqa: SLF001
    ENDPOINTS["authorization_endpoint"]: (_READ, Application._authorize),  # noqa: SLF001
    ENDPOINTS["token_endpoint"]: (_WRITE, Application._token),  # noqa: SLF001
    ENDPOINTS["device_authorization_endpoint"]: (_WRITE, Application._device_authorization),  # noqa: SLF001
    DEVICE_PAGE: (_READ, Application._device),  # noqa: SLF001
    ENDPOINTS["revocation_endpoint"]: (_WRITE, Application._revoke),  # noqa: SLF001
    ENDPOINTS["introspection_endpoint"]: (_WRITE, Application._introspect),  # noqa: SLF001
    ENDPOINTS["userinfo_endpoint"]: (("GET", "HEAD", "POST"), Application._userinfo),  # noqa: SLF001
}
"""Path to the methods it takes and what answers it."""


def _json(content: Mapping[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(content), status, NO_STORE, mimetype="application/json")


def _page(body: str, status: int = 200) -> Response:
    text = body if body.startswith("<form") else html.escape(body)
    return Response(f"<!doctype html><title>Device</title><p>{text}</p>\n", status, NO_STORE, mimetype="text/html")


def _refused(error: OAuthError, *, challenged: bool = False) -> Response:
    response = _json({"error": error.error, "error_description": error.description}, error.status)
    if error.status == 401 and challenged:
        # Due to a client that used the Authorization header (RFC 6749 section 5.2).
        response.headers["WWW-Authenticate"] = 'Basic realm="mailauth"'
    return response


def _authorization(request: Request) -> Authorization | None:
    try:
        return request.authorization
    except ValueError:  # Werkzeug expects ASCII
        return None


def _basic(request: Request) -> tuple[str, str] | None:
    """Return client id and secret of HTTP Basic, both of which are form-encoded before (RFC 6749 section 2.3.1)."""
    given = _authorization(request)
    if "Authorization" not in request.headers or (given is not None and given.type == "bearer"):
        return None
    if given is None or given.type != "basic":
        return "", ""  # a scheme that no client can pass with
    return unquote_plus(given.username or ""), unquote_plus(given.password or "")


def _bearer(request: Request) -> str | None:
    given = _authorization(request)
    return given.token if given is not None and given.type == "bearer" else None


def _record(request: Request, asked: _Asked, response: Response, holds_secret: Callable[[str], bool]) -> OAuthRequest:
    form = {
        name: value if name in SHOWN_FIELDS and not holds_secret(value) else Secret(value)
        for name, value in asked.form.items()
    }
    error = None
    if response.status_code == 302:
        error = dict(parse_qsl(urlsplit(response.headers["Location"]).query)).get("error")
    elif response.status_code >= 400 and response.mimetype == "application/json":
        error = response.json["error"] if response.json else None
    way = "basic" if asked.basic else "post" if "client_secret" in form else "none"
    client_id = asked.basic[0] if asked.basic else form.get("client_id")
    if client_id is not None and holds_secret(client_id):
        client_id = Secret(client_id)
    return OAuthRequest(
        method=request.method,
        path=request.path,
        form=form,
        client_auth=way,
        client_id=client_id,
        status=response.status_code,
        error=error,
    )
