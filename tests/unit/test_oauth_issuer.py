"""The token issuer and the decisions of the authorization server: pure, on a clock of their own."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from pytest_mailauth import Account, BearerToken, ConfigError, TokenIssuer, TokenReason
from pytest_mailauth.servers.oauth_device import DEVICE_GRANT
from pytest_mailauth.servers.oauth_errors import ERRORS, OAuthError
from pytest_mailauth.servers.oauth_grants import AuthorizationServer, Client

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
BACK = "https://app.example.test/back?keep=1"
RFC_7636_APPENDIX_B = (
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
)


@pytest.fixture
def issuer():
    return TokenIssuer()


@pytest.fixture
def decisions(issuer):
    client = Client(id=issuer.client_id)
    return AuthorizationServer(issuer, client, "alice@example.test", interval=5)


@pytest.fixture
def ask(decisions):
    """Ask the token endpoint as a public client; the answer, or the error code."""

    def ask(**form):
        try:
            return decisions.token({"client_id": decisions.client.id, **form}, None)
        except OAuthError as error:
            return error.error

    return ask


@pytest.fixture
def code_for(decisions):
    def code_for(**query):
        full = {
            "response_type": "code",
            "client_id": decisions.client.id,
            "redirect_uri": BACK,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **query,
        }
        back = decisions.authorize({name: value for name, value in full.items() if value is not None})
        assert back.startswith(BACK)
        return {name: value for name, (value,) in parse_qs(urlsplit(back).query).items() if name != "keep"}

    return code_for


def exchange(code, /, **form):
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": BACK,
        "code_verifier": VERIFIER,
        **form,
    }


# Tokens.


def test_a_token_does_not_show_itself(issuer):
    token = issuer.issue("alice@example.test")
    shown = f"{token!r} {issuer.check(token)!r} {[token.refresh_token]!r}"
    assert str(token) not in shown
    assert str(token.refresh_token) not in shown
    assert "alice@example.test" in repr(token)
    assert isinstance(token, str)
    assert token == str(token)
    assert len({*(issuer.issue("a") for _ in range(20))}) == 20


def test_time_stands_still_until_it_is_advanced(issuer):
    token = issuer.issue("alice@example.test", expires_in=60)
    assert token.expires_at - token.issued_at == 60
    issuer.advance(59.9)
    assert issuer.check(token)
    issuer.advance(0.1)
    assert issuer.check(token).reason is TokenReason.EXPIRED
    with pytest.raises(ConfigError, match="only goes forward"):
        issuer.advance(-1)


def test_a_clock_of_the_users_own():
    now = [1000.0]
    issuer = TokenIssuer(clock=lambda: now[0])
    token = issuer.issue("alice@example.test", expires_in=10)
    now[0] = 1010.0
    assert issuer.check(token).reason is TokenReason.EXPIRED


def test_every_reason(issuer):
    token = issuer.issue("alice@example.test", scope="mail.read mail.send", audience="api.example.test")
    expired, revoked = issuer.issue("a"), issuer.issue("a")
    issuer.expire(expired)
    issuer.revoke(revoked)
    seen = {
        issuer.check(token, user="alice@example.test", scope="mail.send", audience="api.example.test").reason: None,
        issuer.check("nonsense").reason: "invalid_token",
        issuer.check(token.refresh_token).reason: "invalid_token",
        issuer.check(expired).reason: "invalid_token",
        issuer.check(revoked).reason: "invalid_token",
        issuer.check(token, user="bob@example.test").reason: "invalid_token",
        issuer.check(token, scope="mail.send admin").reason: "insufficient_scope",
        issuer.check(token, audience="mail.example.test").reason: "invalid_token",
    }
    assert set(seen) == set(TokenReason)
    assert issuer.check(token, scope="admin").error == "insufficient_scope"
    assert issuer.check("nonsense").error == "invalid_token"
    assert issuer.check(token).error is None


def test_an_account_is_known_by_its_login_name_and_by_its_address(issuer):
    account = Account.fresh("alice@example.test")
    token = issuer.issue(account)
    assert token.user == account.username
    assert issuer.check(token, user="alice@example.test")
    assert issuer.check(issuer.issue("alice@example.test"), user=account)
    assert not issuer.check(token, user=Account.fresh("bob@example.test"))


def test_the_question_that_a_mail_server_asks(issuer):
    account = Account.fresh()
    assert issuer.accepts(issuer.issue(account), account)
    assert issuer.reason(issuer.issue(account), account) is None
    assert issuer.reason(issuer.issue(account, audience="calendar.example.test"), account) == "wrong-audience"
    assert issuer.reason(issuer.issue(account, scope="openid"), account) == "wrong-scope"
    assert issuer.reason(issuer.issue("bob@example.test"), account) == "wrong-user"
    assert not issuer.accepts("nonsense", account)
    assert issuer.reason(account.password, account) == "unknown"


@settings(max_examples=30, deadline=None)
@given(length=st.integers(24, 5000))
def test_opaque_tokens_have_the_length_that_was_asked_for(length):
    token = TokenIssuer().issue("alice@example.test", length=length)
    assert len(token) == length
    assert token.isascii()
    assert not set(token) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "saml"}, "use one of 'opaque', 'jwt'"),
        ({"length": 3}, "24 or more"),
        (
            {"expires_in": -5},
            "expires_in=-5 must be a number of seconds, 0 or more; use 0 for a token that has expired",
        ),
        ({"scope": 'a"b'}, "must be one scope or several"),
        ({"audience": 5}, "audience=5 must be text such as 'mail.example.test'"),
        ({"acts_for": "bob"}, r"acts_for='bob' must be a list of user names or accounts, .* or 'everybody'"),
        ({"length": 3000, "format": "jwt"}, "only for opaque"),
    ],
)
def test_what_cannot_be_issued(issuer, settings, message):
    with pytest.raises(ConfigError, match=message):
        issuer.issue("alice@example.test", **settings)


def test_what_a_test_must_not_confuse(issuer):
    for act in (issuer.revoke, issuer.expire):
        with pytest.raises(ConfigError, match="never issued") as caught:
            act("some-foreign-token")
        assert "some-foreign-token" not in str(caught.value)
    with pytest.raises(ConfigError, match="'ES256', 'RS256'"):
        TokenIssuer(algorithm="none")
    with pytest.raises(ConfigError, match="'invalid_grant'"):
        issuer.fail_next("invalid_mood")
    with pytest.raises(ConfigError, match="1 or more"):
        issuer.fail_next("invalid_grant", times=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clock": 5}, "clock=5 must be a function"),
        ({"scope": ""}, "scope='' must be one scope"),
        ({"expires_in": "60"}, "expires_in='60' must be a number of seconds"),
        ({"format": "saml"}, "use one of 'opaque', 'jwt'"),
        ({"client_id": ""}, "client_id='' must be text"),
        ({"audiance": "x"}, "TokenIssuer has no setting 'audiance'; did you mean 'audience'"),
    ],
)
def test_what_an_issuer_cannot_be_told(settings, message):
    with pytest.raises(ConfigError, match=message):
        TokenIssuer(**settings)


def test_the_issuers_settings_are_what_it_issues():
    issuer = TokenIssuer(expires_in=60, format="jwt")
    token = issuer.issue("alice@example.test")
    assert (token.count("."), token.expires_at - token.issued_at) == (2, 60)
    token = issuer.issue("alice@example.test", expires_in=10, format="opaque")
    assert (token.count("."), token.expires_at - token.issued_at) == (0, 10)


def test_a_token_of_an_application_that_acts_for_users(issuer):
    alice, bob = Account.fresh(), Account.fresh("bob@example.test")
    for acts_for, reached in (
        ((), (None, None)),
        (alice, (alice, None)),
        (["alice@example.test"], (alice, None)),
        ("everybody", (alice, bob)),
    ):
        token = issuer.issue("app", acts_for=acts_for)
        assert issuer.check(token, user="app").user == "app"
        assert tuple(who if issuer.accepts(token, who) else None for who in (alice, bob)) == reached


def test_a_token_can_be_copied_like_a_string(issuer):
    token = issuer.issue("alice@example.test")
    assert copy.copy(token) == token
    assert isinstance(token, BearerToken)


# Rotation.


def test_a_refresh_token_works_once_and_its_reuse_ends_the_family(issuer):
    first = issuer.issue("alice@example.test", expires_in=60)
    issuer.advance(60)
    second = issuer.refresh(first.refresh_token)
    assert issuer.check(second, user="alice@example.test")
    third = issuer.refresh(second.refresh_token)
    stranger = issuer.issue("alice@example.test")
    with pytest.raises(OAuthError, match="used before"):
        issuer.refresh(first.refresh_token)
    assert {issuer.check(token).reason for token in (first, second, third)} == {TokenReason.REVOKED}
    assert issuer.check(stranger)
    with pytest.raises(OAuthError, match="revoked"):
        issuer.refresh(third.refresh_token)


def test_a_revoked_refresh_token_takes_its_access_token_along_but_not_the_other_way_round(issuer):
    token = issuer.issue("alice@example.test")
    issuer.revoke(token)
    assert issuer.check(issuer.refresh(token.refresh_token))
    token = issuer.issue("alice@example.test")
    issuer.revoke(token.refresh_token)
    assert issuer.check(token).reason is TokenReason.REVOKED


def test_an_expired_refresh_token(issuer):
    token = issuer.issue("alice@example.test")
    issuer.expire(token.refresh_token)
    with pytest.raises(OAuthError, match="expired"):
        issuer.refresh(token.refresh_token)
    with pytest.raises(OAuthError, match="unknown"):
        issuer.refresh("nonsense")


def test_a_refresh_may_ask_for_less_but_not_for_more(issuer):
    token = issuer.issue("alice@example.test", scope="read send", length=100)
    with pytest.raises(OAuthError, match="wider") as caught:
        issuer.refresh(token.refresh_token, scope="read admin")
    assert caught.value.error == "invalid_scope"
    narrow = issuer.refresh(token.refresh_token, scope="read")
    assert (narrow.scope, len(narrow)) == ("read", 100)
    assert issuer.refresh(narrow.refresh_token).scope == "read send"


class Rotation(RuleBasedStateMachine):
    """Whatever happens, a token counts exactly when the model says so."""

    tokens = Bundle("tokens")

    def __init__(self):
        super().__init__()
        self.issuer = TokenIssuer()
        self.families = 0
        self.ended, self.used = set(), set()
        self.expected = {}

    def _add(self, token, family):
        self.expected[token] = [family, self.issuer.now + 100, False]
        return token, family

    @rule(target=tokens)
    def issue(self):
        self.families += 1
        return self._add(self.issuer.issue("alice@example.test", expires_in=100), self.families)

    @rule(target=tokens, one=tokens)
    def refresh(self, one):
        token, family = one
        refresh_token = token.refresh_token
        if refresh_token in self.used:
            self.ended.add(family)
        if family in self.ended:
            with pytest.raises(OAuthError):
                self.issuer.refresh(refresh_token)
            return one
        self.used.add(refresh_token)
        return self._add(self.issuer.refresh(refresh_token), family)

    @rule(one=tokens)
    def revoke(self, one):
        self.issuer.revoke(one[0])
        self.expected[one[0]][2] = True

    @rule(one=consumes(tokens))
    def revoke_refresh(self, one):
        self.issuer.revoke(one[0].refresh_token)
        self.ended.add(one[1])

    @rule(seconds=st.integers(0, 60))
    def advance(self, seconds):
        self.issuer.advance(seconds)

    @invariant()
    def verdicts_agree(self):
        for token, (family, expires_at, revoked) in self.expected.items():
            counts = family not in self.ended and not revoked and self.issuer.now < expires_at
            assert bool(self.issuer.check(token)) is counts


TestRotation = Rotation.TestCase
TestRotation.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


# The authorization endpoint.


def test_a_code_comes_back_with_the_state(code_for):
    answer = code_for(state="a b&c")
    assert answer["state"] == "a b&c"
    assert set(answer) == {"code", "state"}


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"scope": 'a"b'}, "invalid_scope"),
    ],
)
def test_a_bad_question_comes_back_as_an_error(code_for, query, error):
    answer = code_for(state="s", **query)
    assert (answer["error"], answer["state"]) == (error, "s")
    assert "code" not in answer


@pytest.mark.parametrize("error", [name for name, row in ERRORS.items() if "authorize" in row.endpoints])
def test_a_user_says_no_on_command(decisions, code_for, error):
    decisions.denials.add(error, 1)
    assert code_for()["error"] == error
    assert "code" in code_for()


@pytest.mark.parametrize(
    "query",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"redirect_uri": None},
        {"redirect_uri": "/relative"},
        {"redirect_uri": "http://["},
        {"redirect_uri": "https://app.example.test:port/"},
        {"redirect_uri": BACK + "#fragment"},
    ],
)
def test_nobody_is_sent_to_an_address_that_cannot_be_trusted(code_for, query):
    with pytest.raises(OAuthError) as caught:
        code_for(**query)
    assert caught.value.error == "invalid_request"


def test_registered_addresses(issuer):
    client = Client(id="app", redirect_uris=(BACK,))
    decisions = AuthorizationServer(issuer, client, "alice", interval=5)
    query = {
        "response_type": "code",
        "client_id": "app",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    assert decisions.authorize(query).startswith(BACK)
    with pytest.raises(OAuthError, match="not registered"):
        decisions.authorize(query | {"redirect_uri": "https://evil.example.test/"})


# The code grant.


def test_a_code_becomes_a_token_of_who_is_signed_in(ask, code_for, issuer):
    answer = ask(**exchange(code_for(scope="mail")["code"]))
    assert answer["token_type"] == "Bearer"
    assert (answer["expires_in"], answer["scope"]) == (3600, "mail")
    assert issuer.check(answer["access_token"], user="alice@example.test", scope="mail")


def test_who_signs_in_can_be_said(ask, code_for, issuer):
    answer = ask(**exchange(code_for(login_hint="bob@example.test", resource="https://x.example.test")["code"]))
    assert issuer.check(answer["access_token"], user="bob@example.test", audience="https://x.example.test")


def test_the_example_of_the_rfc(ask, code_for):
    verifier, challenge = RFC_7636_APPENDIX_B
    assert "access_token" in ask(**exchange(code_for(code_challenge=challenge)["code"], code_verifier=verifier))


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"redirect_uri": "https://evil.example.test/"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_grant"),
        ({"code": "nonsense"}, "invalid_grant"),
        ({"code": ""}, "invalid_request"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
    ],
)
def test_a_code_is_refused(ask, code_for, form, error):
    assert ask(**exchange(code_for()["code"], **form)) == error


def test_a_code_expires(ask, code_for, issuer):
    code = code_for()["code"]
    issuer.advance(600)
    assert ask(**exchange(code)) == "invalid_grant"


def test_a_code_that_comes_twice_ends_what_came_of_it(ask, code_for, issuer):
    code = code_for()["code"]
    token = ask(**exchange(code))["access_token"]
    assert ask(**exchange(code)) == "invalid_grant"
    assert issuer.check(token).reason is TokenReason.REVOKED


# Clients.


def test_ways_to_authenticate(decisions):
    right = (decisions.client.id, str(decisions.client.secret))
    grant = {"grant_type": "client_credentials"}
    for form, basic in ((grant, right), (grant | dict(zip(("client_id", "client_secret"), right, strict=True)), None)):
        answer = decisions.token(form, basic)
        assert decisions.issuer.check(answer["access_token"], user=decisions.client.id)
        assert "refresh_token" not in answer
    for form, basic, error in (
        (grant, (right[0], "wrong"), "invalid_client"),
        (grant, ("", ""), "invalid_client"),
        (grant, None, "invalid_client"),
        (grant | {"client_id": right[0]}, None, "invalid_client"),
        (grant | {"client_secret": right[1]}, right, "invalid_request"),
    ):
        with pytest.raises(OAuthError) as caught:
            decisions.token(form, basic)
        assert caught.value.error == error
    assert right[1] not in repr(decisions.client)


# Devices.


def test_a_device_waits_for_its_user(ask, decisions, issuer):
    codes = decisions.device_authorization({"client_id": decisions.client.id, "scope": "mail"}, None)
    poll = {"grant_type": DEVICE_GRANT, "device_code": codes["device_code"]}
    assert codes["interval"] == 5
    assert ask(**poll) == "authorization_pending"
    assert ask(**poll) == "slow_down"  # at once
    issuer.advance(5)
    assert ask(**poll) == "slow_down"  # the interval is 10 by now, and now 15
    issuer.advance(15)
    assert ask(**poll) == "authorization_pending"
    decisions.devices.answer(codes["user_code"].lower().replace("-", " "), yes=True)
    answer = ask(**poll)
    assert issuer.check(answer["access_token"], user="alice@example.test", scope="mail")
    assert ask(**poll) == "invalid_grant"


def test_a_device_is_refused(ask, decisions, issuer):
    def codes():
        given = decisions.device_authorization({"client_id": decisions.client.id}, None)
        return given["user_code"], {"grant_type": DEVICE_GRANT, "device_code": given["device_code"]}

    user_code, poll = codes()
    decisions.devices.answer(user_code, yes=False)
    assert ask(**poll) == "access_denied"
    _, poll = codes()
    issuer.advance(1800)
    assert ask(**poll) == "expired_token"
    assert ask(grant_type=DEVICE_GRANT, device_code="nonsense") == "invalid_grant"
    with pytest.raises(ConfigError, match="no device"):
        decisions.devices.answer("BBBB-BBBB", yes=True)


# On command.


@pytest.mark.parametrize("error", [name for name, row in ERRORS.items() if "token" in row.endpoints])
def test_each_error_on_command(ask, issuer, code_for, error):
    issuer.fail_next(error, times=2)
    assert issuer.failures.waiting == (error, error)
    code = code_for()["code"]
    assert [ask(**exchange(code)), ask(**exchange(code))] == [error, error]
    assert "access_token" in ask(**exchange(code))


def client_credentials(decisions, **form):
    return decisions.token(
        {"grant_type": "client_credentials", **form}, (decisions.client.id, str(decisions.client.secret))
    )


def test_the_wrong_token_on_command(ask, code_for, decisions, issuer):
    decisions.commanded.add(2, audience="calendar.example.test", scope=None, expires_in=None)
    decisions.commanded.add(1, audience=None, scope="profile", expires_in=0)
    first = ask(**exchange(code_for()["code"]))
    assert issuer.check(first["access_token"], audience=issuer.audience).reason is TokenReason.WRONG_AUDIENCE
    assert first["scope"] == issuer.scope
    second = ask(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert issuer.check(second["access_token"], audience=issuer.audience).reason is TokenReason.WRONG_AUDIENCE
    third = ask(grant_type="refresh_token", refresh_token=second["refresh_token"])
    assert issuer.check(third["access_token"]).reason is TokenReason.EXPIRED
    assert (third["scope"], third["expires_in"]) == ("profile", 0)
    fourth = ask(grant_type="refresh_token", refresh_token=third["refresh_token"])
    assert (fourth["scope"], fourth["expires_in"]) == (issuer.scope, 3600)
    assert issuer.check(fourth["access_token"], scope=issuer.scope, audience=issuer.audience)


def test_a_token_on_command_waits_for_a_request_that_is_granted(ask, decisions):
    decisions.commanded.add(1, audience="calendar.example.test", scope=None, expires_in=0.5)
    assert ask(grant_type="refresh_token", refresh_token="nonsense") == "invalid_grant"
    assert decisions.commanded.tale == (
        "the token endpoint was to hand out a token with audience='calendar.example.test', expires_in=0.5, "
        "and no request came for it"
    )
    client_credentials(decisions)
    assert decisions.commanded.tale is None


def test_a_signed_token_on_command_says_so_itself():
    issuer = TokenIssuer(format="jwt")
    decisions = AuthorizationServer(issuer, Client(id="app"), "alice", interval=5)
    decisions.commanded.add(1, audience="calendar.example.test", scope=None, expires_in=None)
    token = client_credentials(decisions)["access_token"]
    assert issuer.details(token)["aud"] == "calendar.example.test"
    payload = token.split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["aud"] == "calendar.example.test"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "give audience=, scope= or expires_in="),
        ({"scope": ""}, "scope='' must be"),
        ({"expires_in": -1}, "expires_in=-1 must be"),
        ({"audience": "x", "times": 0}, "times=0 must be at least 1"),
    ],
)
def test_a_token_that_cannot_be_commanded(decisions, asked, message):
    with pytest.raises(ConfigError, match=message):
        decisions.commanded.add(**{"times": 1, "audience": None, "scope": None, "expires_in": None, **asked})


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_has_its_row(name):
    row = ERRORS[name]
    assert row.endpoints
    assert row.status in (400, 401, 500, 503)
    assert not set(row.meaning) & {'"', "\\"}
    assert row.meaning.isascii()
    assert row.source.startswith("RFC ")
