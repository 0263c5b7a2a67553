"""The authorization server over HTTP, driven by clients that nobody here wrote: Authlib, requests and urllib."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import smtplib
import socket
import ssl
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6749.errors import MissingCodeException
from authlib.oauth2.rfc6749.parameters import parse_authorization_code_response
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import KeySet
from werkzeug.test import Client

from pytest_mailauth import AuthPolicy, CannotServe, ConfigError, OAuthServer, Secret, ServerFault, UnmetExpectations
from pytest_mailauth.servers.oauth_errors import ERRORS
from pytest_mailauth.servers.oauth_http import ROUTES, Application

BACK = "https://app.example.test/back"
VERIFIER = "a-verifier-that-is-long-enough-to-be-a-verifier"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
HTTPS = pytest.mark.mailauth_oauth(https=True)
BOTH = pytest.mark.parametrize("scheme", [pytest.param("http"), pytest.param("https", marks=HTTPS)])


@pytest.fixture(autouse=True)
def plain_http_on_loopback(monkeypatch):
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def client(mailauth_oauth):
    """Make an Authlib client of the server."""
    oauth, made = mailauth_oauth, []

    def client(**settings):
        session = OAuth2Session(
            **{
                "client_id": oauth.client_id,
                "client_secret": str(oauth.client_secret),
                "redirect_uri": BACK,
                "scope": oauth.issuer.scope,
                "code_challenge_method": "S256",
                **settings,
            }
        )
        session.trust_env = False
        session.verify = oauth.cafile
        made.append(session)
        return session

    yield client
    for session in made:
        session.close()


@pytest.fixture
def web(mailauth_oauth):
    """A plain HTTP client that trusts the server's authority and follows nobody."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = mailauth_oauth.cafile
        yield session


@pytest.fixture
def ask(mailauth_oauth, web):
    """Ask the token endpoint; the status and the answer."""

    def ask(url=None, **form):
        who = (mailauth_oauth.client_id, str(mailauth_oauth.client_secret))
        answer = web.post(url or mailauth_oauth.token_url, data=form, auth=who, timeout=5)
        return answer.status_code, answer.json() if answer.content else None

    return ask


def sign_in(session, oauth, **query):
    """Send a user to the authorization endpoint; the address that it sends back to."""
    url, state = session.create_authorization_url(oauth.authorize_url, code_verifier=VERIFIER, **query)
    answer = requests.Session.get(session, url, withhold_token=True, allow_redirects=False, timeout=5)
    assert answer.status_code == 302
    assert answer.headers["Cache-Control"] == "no-store"
    back = answer.headers["Location"]
    assert f"state={state}" in back
    return back


# The flows.


@BOTH
def test_code_with_pkce(mailauth_oauth, client, scheme):
    oauth = mailauth_oauth
    session = client()
    token = session.fetch_token(oauth.token_url, authorization_response=sign_in(session, oauth), code_verifier=VERIFIER)
    assert oauth.url.startswith(f"{scheme}://127.0.0.1:")
    assert oauth.accepts(token["access_token"], oauth.account)
    assert token["token_type"] == "Bearer"
    seen = oauth.requests
    assert [(one.path, one.grant, one.client_auth, one.status) for one in seen] == [
        ("/authorize", None, "none", 302),
        ("/token", "authorization_code", "basic", 200),
    ]
    assert seen[1].client_id == oauth.client_id
    assert seen[1].form["redirect_uri"] == BACK
    assert seen[1].form["code_verifier"] == VERIFIER
    shown = repr(seen)
    for secret in (VERIFIER, seen[1].form["code"], oauth.client_secret, token["access_token"]):
        assert str(secret) not in shown


@pytest.mark.parametrize("verifier", ["another-verifier-that-is-long-enough-to-be-one", None])
def test_a_code_without_its_verifier(mailauth_oauth, client, verifier):
    session = client()
    back = sign_in(session, mailauth_oauth)
    given = {} if verifier is None else {"code_verifier": verifier}
    with pytest.raises(OAuthError) as caught:
        session.fetch_token(mailauth_oauth.token_url, authorization_response=back, **given)
    assert caught.value.error == ("invalid_request" if verifier is None else "invalid_grant")
    assert mailauth_oauth.requests[-1].error == caught.value.error
    assert mailauth_oauth.requests[-1].status == 400


def test_a_client_without_pkce(mailauth_oauth, client):
    session = client(code_challenge_method=None)
    url, _ = session.create_authorization_url(mailauth_oauth.authorize_url)
    answer = requests.Session.get(session, url, withhold_token=True, allow_redirects=False, timeout=5)
    with pytest.raises(MissingCodeException):
        parse_authorization_code_response(answer.headers["Location"])
    assert mailauth_oauth.requests[-1].error == "invalid_request"
    assert "error_description=code+challenge+required" in answer.headers["Location"]


def test_a_user_says_no(mailauth_oauth, client):
    mailauth_oauth.deny_next()
    session = client()
    with pytest.raises(MissingCodeException):
        parse_authorization_code_response(sign_in(session, mailauth_oauth))
    assert [(one.path, one.error) for one in mailauth_oauth.requests] == [("/authorize", "access_denied")]
    assert "code=" in sign_in(session, mailauth_oauth)


@BOTH
def test_refresh_rotates_and_reuse_ends_the_family(mailauth_oauth, client, scheme):
    oauth = mailauth_oauth
    session = client()
    first = session.fetch_token(oauth.token_url, authorization_response=sign_in(session, oauth), code_verifier=VERIFIER)
    oauth.advance(first["expires_in"])
    assert oauth.reason(first["access_token"], oauth.account) == "expired"
    second = session.refresh_token(oauth.token_url, refresh_token=first["refresh_token"])
    assert second["refresh_token"] != first["refresh_token"]
    assert oauth.accepts(second["access_token"], oauth.account)
    with pytest.raises(OAuthError) as caught:
        session.refresh_token(oauth.token_url, refresh_token=first["refresh_token"])
    assert caught.value.error == "invalid_grant"
    assert oauth.reason(second["access_token"], oauth.account) == "revoked"


@pytest.mark.parametrize("way", ["client_secret_basic", "client_secret_post"])
def test_client_credentials(mailauth_oauth, client, way):
    session = client(token_endpoint_auth_method=way)
    token = session.fetch_token(mailauth_oauth.token_url, grant_type="client_credentials")
    assert mailauth_oauth.check(token["access_token"], user=mailauth_oauth.client_id)
    assert "refresh_token" not in token
    assert mailauth_oauth.requests[0].client_auth == way.rpartition("_")[2]


@pytest.mark.mailauth_oauth(client_id="my app:1", client_secret="pass word%&")
@pytest.mark.parametrize("encode", [urllib.parse.quote_plus])
def test_odd_client_names_are_encoded_before_basic(mailauth_oauth, web, encode):
    who = (encode(mailauth_oauth.client_id), encode(mailauth_oauth.client_secret))
    answer = web.post(mailauth_oauth.token_url, data={"grant_type": "client_credentials"}, auth=who, timeout=5)
    assert answer.status_code == 200


def test_a_wrong_secret(mailauth_oauth, client):
    session = client(client_secret="wrong")
    with pytest.raises(OAuthError) as caught:
        session.fetch_token(mailauth_oauth.token_url, grant_type="client_credentials")
    assert caught.value.error == "invalid_client"
    answer = requests.post(
        mailauth_oauth.token_url, data={"grant_type": "client_credentials"}, auth=("a", "b"), timeout=5
    )
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@BOTH
def test_a_device_polls_until_its_user_says_yes(mailauth_oauth, client, scheme):
    oauth = mailauth_oauth
    session = client(token_endpoint_auth_method="none")
    given = requests.Session.post(
        session, oauth.device_url, data={"client_id": oauth.client_id}, withhold_token=True, timeout=5
    ).json()
    assert given["verification_uri_complete"] == f"{oauth.url}/device?user_code={given['user_code']}"

    def poll():
        return session.fetch_token(oauth.token_url, grant_type=DEVICE_GRANT, device_code=given["device_code"])

    errors = []
    for wait in (0, 0, given["interval"] + 5):
        oauth.advance(wait)
        with pytest.raises(OAuthError) as caught:
            poll()
        errors.append(caught.value.error)
    assert errors == ["authorization_pending", "slow_down", "authorization_pending"]
    oauth.approve(given["user_code"])
    assert oauth.accepts(poll()["access_token"], oauth.account)


def test_a_device_is_allowed_in_by_a_browser(mailauth_oauth, web, ask):
    def begin():
        given = web.post(mailauth_oauth.device_url, data={"client_id": mailauth_oauth.client_id}, timeout=5).json()
        return given, {"grant_type": DEVICE_GRANT, "device_code": given["device_code"]}

    given, poll = begin()
    assert "user_code" in web.get(given["verification_uri"], timeout=5).text
    assert web.get(given["verification_uri"] + "?user_code=<b>", timeout=5).status_code == 400
    assert "allowed in" in web.get(given["verification_uri_complete"], timeout=5).text
    assert ask(**poll)[0] == 200
    given, poll = begin()
    mailauth_oauth.deny_next()
    assert web.get(given["verification_uri_complete"], timeout=5).status_code == 400
    assert ask(**poll)[1]["error"] == "access_denied"
    given, poll = begin()
    mailauth_oauth.deny(given["user_code"])
    assert ask(**poll)[1]["error"] == "access_denied"
    given, poll = begin()
    mailauth_oauth.advance(given["expires_in"])
    assert ask(**poll)[1]["error"] == "expired_token"


@pytest.mark.mailauth_oauth(device_interval=0)
def test_a_client_that_really_sleeps_is_not_slowed_down(mailauth_oauth, web, ask):
    given = web.post(mailauth_oauth.device_url, data={"client_id": mailauth_oauth.client_id}, timeout=5).json()
    errors = [ask(grant_type=DEVICE_GRANT, device_code=given["device_code"])[1]["error"] for _ in range(3)]
    assert errors == ["authorization_pending"] * 3


# On command.


@pytest.mark.parametrize("error", [name for name, row in ERRORS.items() if "token" in row.endpoints])
def test_each_error_on_command(mailauth_oauth, client, error):
    mailauth_oauth.fail_next(error)
    session = client()
    expected = requests.HTTPError if ERRORS[error].status >= 500 else OAuthError
    with pytest.raises(expected):
        session.fetch_token(mailauth_oauth.token_url, grant_type="client_credentials")
    assert [(one.error, one.status) for one in mailauth_oauth.requests] == [(error, ERRORS[error].status)]
    assert session.fetch_token(mailauth_oauth.token_url, grant_type="client_credentials")["access_token"]


# The other endpoints.


@BOTH
def test_discovery_by_the_standard_library(mailauth_oauth, scheme):
    oauth = mailauth_oauth
    context = oauth.ssl_context() if oauth.https else None
    documents = []
    for url in (oauth.discovery_url, f"{oauth.url}/.well-known/oauth-authorization-server"):
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:  # noqa: S310 - loopback
            assert answer.headers["Content-Type"] == "application/json"
            documents.append(json.load(answer))
    assert documents[0] == documents[1]
    found = documents[0]
    assert found["issuer"] == oauth.url
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert DEVICE_GRANT in found["grant_types_supported"]
    assert {value for name, value in found.items() if name.endswith(("endpoint", "uri"))} == {
        oauth.token_url,
        oauth.authorize_url,
        oauth.device_url,
        oauth.jwks_url,
        oauth.revoke_url,
        oauth.introspect_url,
        oauth.userinfo_url,
    }
    assert {urllib.parse.urlsplit(value).path for value in found.values() if str(value).startswith(oauth.url + "/")} < {
        *ROUTES
    }


@BOTH
@pytest.mark.parametrize(
    "algorithm",
    [
        pytest.param("ES256", marks=pytest.mark.mailauth_oauth(format="jwt")),
        pytest.param("RS256", marks=pytest.mark.mailauth_oauth(format="jwt", algorithm="RS256")),
    ],
)
def test_signed_tokens_are_verified_with_the_published_keys(mailauth_oauth, client, web, algorithm, scheme):
    oauth = mailauth_oauth
    session = client(scope=f"openid {oauth.issuer.scope}")
    back = sign_in(session, oauth, nonce="n-1")
    token = session.fetch_token(oauth.token_url, authorization_response=back, code_verifier=VERIFIER)
    published = web.get(oauth.jwks_url, timeout=5).json()
    assert not {"d", "p", "q"} & set(published["keys"][0])
    keys = KeySet.import_key_set(published)
    access = jwt.decode(token["access_token"], keys, algorithms=[algorithm])
    assert access.header["typ"] == "at+jwt"
    assert access.claims["iss"] == oauth.url
    assert access.claims["sub"] == oauth.account.username
    assert access.claims["aud"] == oauth.issuer.audience
    assert access.claims["exp"] - access.claims["iat"] == 3600
    jwt.JWTClaimsRegistry(iss={"essential": True, "value": oauth.url}).validate(access.claims)  # today's clock
    who = jwt.decode(token["id_token"], keys, algorithms=[algorithm]).claims
    assert (who["aud"], who["nonce"]) == (oauth.client_id, "n-1")
    assert who["email"] == oauth.account.address
    assert oauth.accepts(token["access_token"], oauth.account)
    oauth.revoke(token["access_token"])
    assert oauth.reason(token["access_token"], oauth.account) == "revoked"


def test_signed_tokens_without_http(mailauth_oauth):
    token = mailauth_oauth.issue(format="jwt")
    claims = jwt.decode(token, KeySet.import_key_set(mailauth_oauth.issuer.key.public), algorithms=["ES256"]).claims
    assert claims["iss"] == mailauth_oauth.url
    forged = token[:-6] + ("AAAAAA" if not token.endswith("AAAAAA") else "BBBBBB")
    assert mailauth_oauth.check(forged).reason.value == "unknown"


def test_revocation_by_authlib(mailauth_oauth, client, ask):
    oauth = mailauth_oauth
    token = oauth.issue()
    session = client()
    assert session.revoke_token(oauth.revoke_url, token=str(token)).status_code == 200
    assert oauth.reason(token, oauth.account) == "revoked"
    assert session.revoke_token(oauth.revoke_url, token="unknown").status_code == 200
    assert ask(oauth.revoke_url)[1]["error"] == "invalid_request"
    other = oauth.issue()
    session.revoke_token(oauth.revoke_url, token=str(other.refresh_token), token_type_hint="refresh_token")
    assert oauth.reason(other, oauth.account) == "revoked"


def test_introspection_and_userinfo(mailauth_oauth, client, web, ask):
    oauth = mailauth_oauth
    token = oauth.issue(scope="openid mail")
    known = client().introspect_token(oauth.introspect_url, token=str(token)).json()
    assert (known["active"], known["username"], known["scope"]) == (True, oauth.account.username, "openid mail")
    assert ask(oauth.introspect_url, token="unknown") == (200, {"active": False})
    answers = {}
    for name, headers in {
        "none": {},
        "unknown": {"Authorization": "Bearer unknown"},
        "narrow": {"Authorization": f"Bearer {oauth.issue()}"},
        "right": {"Authorization": f"Bearer {token}"},
    }.items():
        answers[name] = web.get(oauth.userinfo_url, headers=headers, timeout=5)
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "none": 401,
        "unknown": 401,
        "narrow": 403,
        "right": 200,
    }
    assert "error" not in answers["none"].headers["WWW-Authenticate"]
    assert 'error="invalid_token"' in answers["unknown"].headers["WWW-Authenticate"]
    assert 'error="insufficient_scope"' in answers["narrow"].headers["WWW-Authenticate"]
    assert answers["right"].json() == {"sub": oauth.account.username, "email": oauth.account.address}


# What does not fit.


def test_bad_requests_are_answered(mailauth_oauth, web):
    oauth = mailauth_oauth
    who = (oauth.client_id, str(oauth.client_secret))
    assert web.get(oauth.url + "/nowhere", timeout=5).status_code == 404
    refused = web.get(oauth.token_url, timeout=5)
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
    repeated = web.post(oauth.token_url, data=[("grant_type", "a"), ("grant_type", "b")], auth=who, timeout=5)
    assert repeated.json()["error"] == "invalid_request"
    as_json = web.post(oauth.token_url, json={"grant_type": "client_credentials"}, auth=who, timeout=5)
    assert as_json.json()["error"] == "invalid_request"
    foreign = web.post(
        oauth.token_url,
        data={"grant_type": "client_credentials"},
        headers={"Authorization": "Digest x=y"},
        timeout=5,
    )
    assert foreign.status_code == 401
    assert web.head(oauth.discovery_url, timeout=5).status_code == 200
    assert web.post(oauth.token_url, data=b"x" * 1_100_000, timeout=5).status_code in (400, 413)
    raw = web.post(
        oauth.token_url,
        data=b"grant_type=%ff%fe&client_id=\xff",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        timeout=5,
    )
    assert raw.status_code == 400
    stray = web.get(oauth.authorize_url, params={"client_id": "x"}, timeout=5, allow_redirects=False)
    assert (stray.status_code, stray.json()["error"]) == (400, "invalid_request")


GRANT_TYPES = ["authorization_code", "refresh_token", "client_credentials", DEVICE_GRANT, "password"]
VALUES = {
    "grant_type": st.sampled_from(GRANT_TYPES),
    "client_id": st.just("mailauth-client"),
    "client_secret": st.just("correct-horse"),
    "response_type": st.just("code"),
    "redirect_uri": st.sampled_from([BACK, "x:", "http://[", "//", "https://app.example.test:port/"]),
    "code_challenge": st.text("aA0-_", min_size=43, max_size=43),
    "code_challenge_method": st.sampled_from(["S256", "plain"]),
    **dict.fromkeys(
        [
            "state",
            "scope",
            "code",
            "code_verifier",
            "refresh_token",
            "device_code",
            "user_code",
            "token",
            "login_hint",
            "nonce",
            "resource",
        ],
        st.text(max_size=5),
    ),
}
FORMS = st.fixed_dictionaries({}, optional={name: st.one_of(right, st.text()) for name, right in VALUES.items()})


@settings(max_examples=150, deadline=None)
@given(
    path=st.sampled_from(sorted(ROUTES)),
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT"]),
    form=FORMS,
    authorization=st.none() | st.sampled_from(["Basic", "Bearer", "Basic bWFpbGF1dGg6", "Basic \xff", "Bearer a=b"]),
)
def test_no_request_fails_inside(path, method, form, authorization):
    with OAuthServer(client_secret="correct-horse") as oauth:
        application = Application(oauth._decisions, lambda: "http://oauth.example.test")
        headers = {} if authorization is None else {"Authorization": authorization}
        where = {"data" if method == "POST" else "query_string": form}
        answer = Client(application).open(path, method=method, headers=headers, **where)
        assert application.faults == []
        assert answer.status_code in (200, 302, 400, 401, 403, 405)
        assert "correct-horse" not in repr(application.requests)


def _connect(oauth):
    return socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(oauth.url).port), timeout=5)


@BOTH
def test_silent_and_rude_clients_hold_up_nobody(mailauth_oauth, web, scheme):
    oauth = mailauth_oauth
    silent = [_connect(oauth) for _ in range(3)]
    for noise in (b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b""):
        with _connect(oauth) as rude:
            rude.sendall(noise)
    assert web.get(oauth.discovery_url, timeout=5).status_code == 200
    oauth.close()
    assert not [one for one in threading.enumerate() if one.name == "mailauth-oauth"]
    for one in silent:
        one.close()


def test_of_many_who_refresh_at_once_one_succeeds(mailauth_oauth):
    oauth, answers = mailauth_oauth, []
    token = oauth.issue()
    form = {"grant_type": "refresh_token", "refresh_token": str(token.refresh_token)}
    together = threading.Barrier(6)

    def refresh():
        together.wait(5)
        who = (oauth.client_id, str(oauth.client_secret))
        answers.append(requests.post(oauth.token_url, data=form, auth=who, timeout=5).status_code)

    threads = [threading.Thread(target=refresh) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 400, 400, 400, 400, 400]
    assert len(oauth.requests) == 6
    assert oauth.reason(token, oauth.account) == "revoked"


def test_it_can_be_closed_while_it_answers():
    """An answer that needs the server's own address must not wait for whoever closes it."""
    oauth = OAuthServer()
    begun, closing = threading.Event(), threading.Event()
    real = oauth._decisions.issuer.details

    def details(token):
        begun.set()
        closing.wait(5)
        return real(token)

    oauth._decisions.issuer.details = details
    form = {"client_id": oauth.client_id, "client_secret": str(oauth.client_secret), "token": str(oauth.issue())}

    def introspect():
        with contextlib.suppress(requests.RequestException):  # closing cuts it off, in the middle too
            requests.post(oauth.introspect_url, data=form, timeout=5)

    client = threading.Thread(target=introspect)
    client.start()
    assert begun.wait(5)
    closer = threading.Thread(target=oauth.close)
    closer.start()
    closing.set()
    for thread in (closer, client):
        thread.join(5)
        assert not thread.is_alive()


@HTTPS
def test_a_client_that_trusts_nobody_is_no_failure_of_ours(mailauth_oauth):
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(mailauth_oauth.discovery_url, timeout=5, verify=True)
    assert mailauth_oauth.requests == ()


@pytest.mark.mailauth_oauth(https=True, certificate="expired")
def test_a_certificate_with_a_fault(mailauth_oauth):
    port = urllib.parse.urlsplit(mailauth_oauth.url).port
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=mailauth_oauth.ssl_context(), timeout=5)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        connection.request("GET", "/jwks")
    connection.close()


def test_nothing_is_logged_or_printed(mailauth_oauth, client, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    session = client()
    try:
        token = session.fetch_token(
            mailauth_oauth.token_url,
            authorization_response=sign_in(session, mailauth_oauth),
            code_verifier=VERIFIER,
        )
    finally:
        logging.getLogger("urllib3").setLevel(logging.NOTSET)
    assert token["access_token"]
    assert "werkzeug" not in {record.name for record in caplog.records}
    assert capfd.readouterr() == ("", "")
    assert str(mailauth_oauth.client_secret) not in repr([mailauth_oauth, mailauth_oauth.client_secret])


# The server as its users hold it.


def test_nothing_is_served_before_a_url_is_asked_for():
    with OAuthServer() as oauth:
        assert repr(oauth) == "<OAuthServer without endpoints yet>"
        assert oauth.check(oauth.issue())
        assert oauth.requests == ()
        assert not [one for one in threading.enumerate() if one.name == "mailauth-oauth"]
        assert oauth.token_url == oauth.url + "/token"
        assert repr(oauth) == f"<OAuthServer {oauth.url}>"
        assert requests.get(oauth.jwks_url, timeout=5).status_code == 200
    oauth.close()
    assert len(oauth.requests) == 1
    assert oauth.token_url.endswith("/token")
    unused = OAuthServer()
    unused.close()
    with pytest.raises(RuntimeError, match="closed"):
        assert unused.url


def test_https_with_an_authority_of_its_own():
    with OAuthServer(https=True) as oauth:
        assert requests.get(oauth.jwks_url, timeout=5, verify=oauth.cafile).status_code == 200


def test_a_failure_inside_fails_the_test(monkeypatch):
    oauth = OAuthServer()

    def broken(self, form, basic):
        raise ZeroDivisionError

    monkeypatch.setattr("pytest_mailauth.servers.oauth_grants.AuthorizationServer.token", broken)
    answer = requests.post(oauth.token_url, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (500, "server_error")
    with pytest.raises(ServerFault, match="ZeroDivisionError"), oauth:
        pass


@pytest.mark.parametrize("module", ["joserfc", "werkzeug"])
def test_without_the_extra(monkeypatch, module):
    for name in [*sys.modules]:
        if name.partition(".")[0] == module or name.endswith((".oauth_http", ".oauth_serving")):
            monkeypatch.delitem(sys.modules, name)
    for name in (module, f"{module}.jwk", f"{module}.wrappers", f"{module}.exceptions", f"{module}.serving"):
        monkeypatch.setitem(sys.modules, name, None)
    with OAuthServer() as oauth:
        assert oauth.check(oauth.issue())
        with pytest.raises(CannotServe, match=r'pip install "pytest-mailauth\[oauth\]"'):
            oauth.issuer.key if module == "joserfc" else oauth.url  # noqa: B018


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"format": "saml"}, "format='saml' is not known"),
        ({"algorithm": "none"}, "algorithm='none' is not known"),
        ({"certificate": "stale"}, "certificate='stale' is not known"),
        ({"https": "no"}, "https='no' must be True or False"),
        ({"tls": "1.2"}, "tls='1.2' must be a TLSPolicy"),
        ({"client_id": 5}, "client_id=5 must be text"),
        ({"client_secret": 5}, "client_secret must be text"),
        ({"redirect_uris": "https://app.test/back"}, r"redirect_uris=\('https://app.test/back',\)"),
        ({"redirect_uris": ["/back"]}, "redirect_uris: '/back' is no absolute URI"),
        ({"scope": -5}, "scope=-5 must be one scope"),
        ({"audience": -5}, "audience=-5 must be text"),
        ({"expires_in": -5}, "expires_in=-5 must be a number of seconds"),
        ({"expires_in": True}, "expires_in=True must be a number of seconds"),
        ({"device_interval": float("nan")}, "device_interval=nan must be a number of seconds, 0 or more; use 5"),
        ({"clock": -5}, "clock=-5 must be a function"),
        ({"acts_for": 5}, "acts_for=5 must be a list"),
        ({"expire_in": 5}, "OAuthServer has no setting 'expire_in'; did you mean 'expires_in'"),
    ],
)
def test_settings_are_checked_when_it_is_made(wrong, message):
    with pytest.raises(ConfigError, match=message):
        OAuthServer(**wrong)


@pytest.mark.mailauth_oauth(format="jwt", expires_in=60)
def test_its_settings_are_those_of_its_tokens(mailauth_oauth):
    token = mailauth_oauth.issue()
    assert (token.count("."), token.expires_at - token.issued_at) == (2, 60)


@pytest.mark.mailauth_oauth(acts_for=["alice@example.test"])
def test_an_application_opens_the_mailboxes_that_it_acts_for(mailauth_oauth, mailauth, ask):
    token = ask(grant_type="client_credentials")[1]["access_token"]
    assert mailauth_oauth.accepts(token, mailauth.account)
    assert mailauth_oauth.reason(token, mailauth.add_account("bob@example.test")) == "wrong-user"
    policy = AuthPolicy(mechanisms=("XOAUTH2",), accept_token=mailauth_oauth.admits)
    server = mailauth.smtp(security="implicit", auth=policy)
    message = f"user={mailauth.account.username}\x01auth=Bearer {token}\x01\x01"
    with smtplib.SMTP_SSL(server.host, server.port, context=server.ssl_context(), timeout=5) as client:
        client.ehlo()
        client.auth("XOAUTH2", lambda challenge=None: "" if challenge else message)
    assert [fact.accepted for fact in server.sessions[0].auth] == [True]


def test_a_wrong_token_that_was_asked_for_is_waited_for(ask):
    with (
        pytest.raises(UnmetExpectations, match=r"audience='calendar\.example\.test', and no request"),
        OAuthServer() as oauth,
    ):
        oauth.issue_next(audience="calendar.example.test")
    oauth.raise_unmet()  # once


@pytest.mark.mailauth_oauth(client_secret="a")
def test_a_short_secret_is_not_found_in_every_word(mailauth_oauth, web):
    web.post(mailauth_oauth.token_url, data={"grant_type": "password", "client_id": "a"}, timeout=5)
    assert repr(mailauth_oauth.requests[0].form) == "{'grant_type': 'password', 'client_id': Secret(<redacted>)}"


def test_no_secret_is_shown_wherever_it_was_put(mailauth_oauth, web):
    oauth = mailauth_oauth
    token, secret, password = oauth.issue(scope="openid"), oauth.client_secret, oauth.account.password
    web.post(oauth.userinfo_url, data={"access_token": str(token)}, timeout=5)
    web.post(oauth.token_url, data={"grant_type": "client_credentials", "client_id": str(secret)}, timeout=5)
    web.post(oauth.token_url, data={"grant_type": str(token.refresh_token)}, auth=(str(secret), "x"), timeout=5)
    web.post(
        oauth.token_url, data={"grant_type": "password", "pass": str(password), "resource": f"x{password}"}, timeout=5
    )
    back = {"client_id": oauth.client_id, "redirect_uri": f"{BACK}?t={token}"}
    web.get(oauth.authorize_url, params=back, allow_redirects=False, timeout=5)
    seen = oauth.requests
    assert [one.path for one in seen] == ["/userinfo", "/token", "/token", "/token", "/authorize"]
    assert (seen[1].client_id, seen[2].client_id, seen[3].grant) == (secret, secret, "password")
    shown = repr(seen)
    assert "client_credentials" in shown
    assert oauth.client_id in shown
    for hidden in (token, token.refresh_token, secret, password):
        assert str(hidden) not in shown


def test_the_secret_of_the_client_is_one():
    with OAuthServer(client_secret="known") as oauth:
        assert isinstance(oauth.client_secret, Secret)
        assert oauth.client_secret == "known"


def test_it_belongs_to_the_account_of_the_mail_servers(mailauth_oauth, mailauth):
    assert mailauth_oauth.account is mailauth.account
    assert mailauth_oauth.accepts(mailauth_oauth.issue(mailauth.account), mailauth.account)


def test_the_marker(pytester):
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.mailauth_oauth(https=True, client_id="outer")

        @pytest.mark.mailauth_oauth(client_id="inner")
        def test_the_closest_wins(mailauth_oauth):
            assert mailauth_oauth.https
            assert mailauth_oauth.client_id == "inner"
            assert mailauth_oauth.token_url.startswith("https://")
        """
    )
    run = ("-W", "error", "--strict-markers", "-p", "no:randomly", "-p", "no:asyncio")
    pytester.runpytest(*run).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("https=True, colour='red'", "*@pytest.mark.mailauth_oauth: OAuthServer has no setting 'colour'; there are *"),
        ("audiance='x'", "*@pytest.mark.mailauth_oauth: *'audiance'; did you mean 'audience'?"),
        ("certificate='stale'", "*@pytest.mark.mailauth_oauth: certificate='stale' is not known*"),
        ("True", "*@pytest.mark.mailauth_oauth: True has no name; it takes keyword arguments only"),
    ],
)
def test_a_wrong_marker_is_an_error_of_its_test(pytester, marker, message):
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.mailauth_oauth({marker})
        def test_it(mailauth_oauth): ...
        """
    )
    result = pytester.runpytest("-W", "error", "--strict-markers", "-p", "no:asyncio")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])
