"""Settings that are unknown, of the wrong kind or against each other fail when they are made, and say what would do."""

import dataclasses

import pytest

from pytest_mailauth.model.config import AuthPolicy, ServerConfig, TLSPolicy
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.relay import RelayPolicy
from pytest_mailauth.model.terms import Certificate, PortState, Protocol

KINDS = (TLSPolicy, AuthPolicy, RelayPolicy)


def config(protocol="smtp", **settings):
    return ServerConfig(protocol=protocol, **settings)


# Names.


@pytest.mark.parametrize(
    ("ciphers", "max_version", "anonymous"),
    [
        (None, "1.2", False),
        ("aNULL:!eNULL", "1.2", True),
        ("AECDH-AES128-SHA:ADH:@SECLEVEL=0", "1.0", True),
        ("aNULL", None, False),  # TLS 1.3 is served besides, and there is a certificate in it
        ("aNULL:AES128-SHA", "1.2", False),
        ("!aNULL:AES128-SHA", "1.2", False),
        ("!aNULL", "1.2", False),
    ],
)
def test_a_server_is_anonymous_when_nothing_it_serves_has_a_certificate(ciphers, max_version, anonymous):
    assert TLSPolicy(ciphers=ciphers, max_version=max_version).is_anonymous is anonymous


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        ("valid", "mail.example.test"),
        ("expired", "mail.example.test"),
        ("wrong-host", "wrong.host.test"),
        ("lookalike-host", "mail.example.test.evil.test"),
        ("cn-match-san-mismatch", "wrong.host.test"),
    ],
)
def test_a_server_greets_as_whoever_its_certificate_is_for(certificate, name):
    assert ServerConfig(protocol="smtp", certificate=certificate, host="mail.example.test").greets_as == name


@pytest.mark.parametrize(
    ("make", "misspelt", "message"),
    [
        (config, "securty", "ServerConfig has no setting 'securty'; did you mean 'security'?"),
        (TLSPolicy, "minimum_version", "TLSPolicy has no setting 'minimum_version'; did you mean 'min_version'?"),
        (AuthPolicy, "mechanism", "AuthPolicy has no setting 'mechanism'; did you mean 'mechanisms'?"),
        (RelayPolicy, "greylisting", "RelayPolicy has no setting 'greylisting'; did you mean 'greylist'?"),
        (
            TLSPolicy,
            "x",
            "TLSPolicy has no setting 'x'; there are min_version, max_version, ciphers, client_certificate, acknowledges_name, resumption",
        ),
        (
            config,
            "mechanisms",
            "ServerConfig has no setting 'mechanisms'; it belongs to AuthPolicy: auth=AuthPolicy(mechanisms=...)",
        ),
        (config, "max_version", "it belongs to TLSPolicy: tls=TLSPolicy(max_version=...)"),
        (config, "greylist", "it belongs to RelayPolicy: relay=RelayPolicy(greylist=...)"),
    ],
)
def test_an_unknown_setting(make, misspelt, message):
    with pytest.raises(ConfigError) as caught:
        make(**{misspelt: "none"})
    assert str(caught.value).endswith(message)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("protocol", Protocol)
def test_an_unknown_setting_of_a_server(mailauth, protocol):
    with pytest.raises(ConfigError, match="did you mean 'security'"):
        getattr(mailauth, protocol.value)(securty="none")
    assert mailauth.servers == ()


@pytest.mark.parametrize("protocol", Protocol)
def test_a_protocol_where_it_is_known_already(mailauth, protocol):
    with pytest.raises(ConfigError, match="takes no protocol, it is one"):
        getattr(mailauth, protocol.value)(protocol="smtp")


def test_an_unknown_setting_of_a_copy():
    with pytest.raises(ConfigError, match="did you mean 'lockout'"):
        dataclasses.replace(AuthPolicy(), lock_out=1)


def test_settings_have_no_order():
    with pytest.raises(TypeError, match="positional argument"):
        AuthPolicy(("PLAIN",))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_of_known_settings_stays_a_plain_dataclass(kind):
    again = kind(**{field.name: getattr(kind(), field.name) for field in dataclasses.fields(kind)})
    assert again == kind() == dataclasses.replace(kind())
    assert hash(again) == hash(kind())


# Values.


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (TLSPolicy, {"min_version": 1.2}, "min_version=1.2 is not known; use one of '1.0', '1.1', '1.2', '1.3'"),
        (TLSPolicy, {"max_version": "1.4"}, "max_version='1.4' is not known"),
        (TLSPolicy, {"min_version": "1.3", "max_version": "1.2"}, "min_version='1.3' is newer than max_version='1.2'"),
        (TLSPolicy, {"min_version": "1.3", "ciphers": "HIGH"}, "is for TLS 1.2 and older, and min_version is '1.3'"),
        (TLSPolicy, {"client_certificate": True}, "client_certificate=True is not known; use one of 'none'"),
        (TLSPolicy, {"ciphers": ("ECDHE",)}, "ciphers=('ECDHE',) must be an OpenSSL cipher list"),
        (AuthPolicy, {"mechanisms": "PLAIN"}, "not one string: mechanisms=('PLAIN',)"),
        (AuthPolicy, {"mechanisms": None}, "mechanisms=None must be a list of mechanism names"),
        (AuthPolicy, {"before_tls": (1,)}, "before_tls: 1 is not one of the mechanism names; give text"),
        (AuthPolicy, {"password_commands": True}, "password_commands=True is not known; use one of 'never'"),
        (AuthPolicy, {"less_secure_apps": "no"}, "less_secure_apps='no' must be True or False"),
        (AuthPolicy, {"advertised": None}, "advertised=None must be True or False"),
        (AuthPolicy, {"preauthenticated": 1}, "preauthenticated=1 must be True or False"),
        (AuthPolicy, {"reject": True}, "reject=True is not known; use one of 'invalid'"),
        (AuthPolicy, {"lockout": "3"}, "lockout='3' must be a whole number, at least 1"),
        (AuthPolicy, {"lockout": True}, "lockout=True must be a whole number"),
        (AuthPolicy, {"lockout": 0}, "lockout=0 must be at least 1"),
        (AuthPolicy, {"rate_limit": 5}, "rate_limit=5 must be a number of attempts and of seconds, such as (5, 60.0)"),
        (AuthPolicy, {"rate_limit": (5,)}, "rate_limit=(5,) must be"),
        (AuthPolicy, {"rate_limit": (5, "60")}, "rate_limit=(5, '60') must be"),
        (AuthPolicy, {"rate_limit": (0, 60)}, "rate_limit=(0, 60) must be"),
        (AuthPolicy, {"rate_limit": (1, 0)}, "rate_limit=(1, 0) must be"),
        (AuthPolicy, {"decide": True}, "decide=True must be a function, or None"),
        (AuthPolicy, {"accept_token": "good"}, "accept_token='good' must be a function, or None"),
        (AuthPolicy, {"before_tls": ("EXTERNAL",)}, "before_tls: EXTERNAL rests on the client's TLS certificate"),
        (AuthPolicy, {"reject": "invalid", "decide": str}, "decide would never be asked; give one of the two"),
        (AuthPolicy, {"texts": "535 no"}, "texts='535 no' must be a mapping of texts"),
        (AuthPolicy, {"texts": {"invalid": 535}}, "texts={'invalid': 535} must be a mapping of texts"),
        (RelayPolicy, {"relay": "closed"}, "relay='closed' is not known; use one of 'authenticated'"),
        (RelayPolicy, {"domains": "example.test"}, "not one string: domains=('example.test',)"),
        (RelayPolicy, {"known_recipients": "a@b.test"}, "known_recipients='a@b.test' must be a list of addresses"),
        (RelayPolicy, {"keywords": "SIZE"}, "keywords='SIZE' must be a list of EHLO keywords"),
        (RelayPolicy, {"keywords": ("BINARYMIME",)}, "keywords: 'BINARYMIME' is not known; use some of SIZE"),
        (RelayPolicy, {"recipients": ["a@b.test"]}, "recipients=['a@b.test'] must be a mapping of texts"),
        (RelayPolicy, {"senders": {"a@b.test": 550}}, "senders={'a@b.test': 550} must be a mapping of texts"),
        (RelayPolicy, {"senders": {"a@b.test": "no"}}, "senders['a@b.test']='no' is no SMTP reply"),
        (RelayPolicy, {"login_first": "yes"}, "login_first='yes' must be True or False"),
        (RelayPolicy, {"own_sender": 0}, "own_sender=0 must be True or False"),
        (RelayPolicy, {"greylist": True}, "greylist=True must be a whole number, at least 0"),
        (RelayPolicy, {"greylist": None}, "greylist=None must be a whole number"),
        (RelayPolicy, {"max_size": "1 MB"}, "max_size='1 MB' must be a whole number, at least 1"),
        (RelayPolicy, {"max_messages": 0}, "max_messages=0 must be at least 1"),
        (config, {"protocol": "nntp"}, "protocol='nntp' is not known; use one of 'smtp', 'pop3', 'imap'"),
        (config, {"security": None}, "security=None is not known; use one of 'implicit', 'starttls', 'none'"),
        (config, {"host": ""}, "host='' must be a name such as 'localhost'"),
        (config, {"auth": {"mechanisms": ()}}, "must be an AuthPolicy"),
    ],
)
def test_a_value_that_is_none(kind, settings, message):
    with pytest.raises(ConfigError) as caught:
        kind(**settings)
    assert message in str(caught.value)


# Settings that contradict each other.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: config(security="none", certificate="expired"), "needs TLS, but security is 'none'"),
        (lambda: config(auth=AuthPolicy(mechanisms=("EXTERNAL",))), "TLSPolicy(client_certificate='optional')"),
        (lambda: config(auth=AuthPolicy(mechanisms=("APOP",))), "APOP exists in POP3 only"),
        (lambda: config(auth=AuthPolicy(preauthenticated=True)), "exists in IMAP only"),
        (
            lambda: config(security="implicit", auth=AuthPolicy(before_tls=("PLAIN",))),
            "before_tls=('PLAIN',) is for a clear phase, and security='implicit' has none; leave it out, and name in",
        ),
        (
            lambda: config("pop3", auth=AuthPolicy(mechanisms=("APOP",), advertised=False)),
            "advertised=False takes the timestamp out of POP3's greeting, and there is no APOP without it",
        ),
        (
            lambda: config(auth=AuthPolicy(accept_token=print)),
            "and no mechanism takes one; add XOAUTH2 or OAUTHBEARER to AuthPolicy(mechanisms=...)",
        ),
        (
            lambda: config(security="none", auth=AuthPolicy(mechanisms=("XOAUTH2",), accept_token=print)),
            "add XOAUTH2 or OAUTHBEARER to AuthPolicy(before_tls=...)",
        ),
        (
            lambda: config(auth=AuthPolicy(mechanisms=()), relay=RelayPolicy(login_first=True)),
            "login_first=True and no mechanism to log in with; give AuthPolicy(mechanisms=...) some",
        ),
        (lambda: config(security="none", relay=RelayPolicy(login_first=True)), "give AuthPolicy(before_tls=...) some"),
        (
            lambda: config(security="none", tls=TLSPolicy(client_certificate="required")),
            "client_certificate needs TLS, but security is 'none'",
        ),
        (lambda: config(host="evil\r\nx"), "must be a name such as 'localhost', or 127.0.0.1, where servers listen"),
        (lambda: config(host="::1"), "must be a name such as 'localhost', or 127.0.0.1, where servers listen"),
        (
            lambda: config("imap", auth=AuthPolicy(texts={"invalid": "535 5.7.8 no"})),
            "texts: 'invalid': '535 5.7.8 no' is no refusal of imap; one is 'NO [AUTHENTICATIONFAILED] wrong",
        ),
        (lambda: config(auth=AuthPolicy(texts={"invalid": "535 no\r\n250 yes"})), "is no refusal of smtp"),
        (lambda: config(auth=AuthPolicy(texts={"invalid": "235 yes"})), "is no refusal of smtp"),
        (
            lambda: AuthPolicy(too_weak=("CRAM-MD5",)),
            "too_weak='CRAM-MD5' is not offered, so nobody meets it; add it to mechanisms or before_tls",
        ),
    ],
)
def test_a_contradiction(make, message):
    with pytest.raises(ConfigError) as caught:
        make()
    assert message in str(caught.value)


def test_what_looks_like_a_contradiction_and_is_none():
    before_tls = AuthPolicy(mechanisms=(), before_tls=("plain",), too_weak=("plain",))
    assert before_tls.too_weak == ("PLAIN",)
    assert config(auth=before_tls, relay=RelayPolicy(login_first=True)).relay.login_first
    # Settings may be shared by three servers, of which one only sends mail.
    assert config("imap", auth=AuthPolicy(mechanisms=()), relay=RelayPolicy(login_first=True)).relay.login_first


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_a_server_to_read_from_takes_no_relay_policy(mailauth, protocol):
    with pytest.raises(ConfigError) as caught:
        getattr(mailauth, protocol)(relay=RelayPolicy(relay="open"))
    assert str(caught.value) == f"{protocol}(...) takes no relay, since no mail is sent there; give it to smtp(...)"
    assert mailauth.servers == ()


@pytest.mark.mailauth(relay=RelayPolicy(relay="open"))
def test_settings_for_all_servers_may_have_one(mailauth, mailauth_pop3):
    assert mailauth_pop3.config.relay == mailauth.imap().config.relay == RelayPolicy(relay="open")


def test_a_policy_for_tokens_forgets_which_passwords_were_too_weak():
    weak = AuthPolicy(mechanisms=("PLAIN", "XOAUTH2"), too_weak=("PLAIN", "XOAUTH2"))
    assert weak.for_tokens().too_weak == ("XOAUTH2",)


@pytest.mark.parametrize(
    ("state", "remedy"),
    [("handshake-reset", "reset"), ("handshake-close", "reset"), ("intercepted", "intercepted-no-tls")],
)
def test_port_states_about_tls_need_tls(state, remedy):
    for security in ("starttls", "implicit"):
        assert ServerConfig(protocol="smtp", security=security, port_state=state).port_state is PortState(state)
    told = f"port_state='{state}' needs TLS, but security is 'none'; use .* or port_state='{remedy}'"
    with pytest.raises(ConfigError, match=told):
        ServerConfig(protocol="smtp", security="none", port_state=state)
    assert ServerConfig(protocol="smtp", security="none", port_state=remedy)


@pytest.mark.parametrize("state", ["intercepted", "intercepted-no-tls"])
def test_an_intercepted_server_is_not_the_relay_itself(state):
    with pytest.raises(ConfigError, match=r"host='relay.isp.test' .* port_state='intercepted.*; use another host"):
        ServerConfig(protocol="imap", host="relay.isp.test", port_state=state)
    assert ServerConfig(protocol="imap", host="relay.isp.test").port_state is PortState.OPEN


@pytest.mark.parametrize("state", PortState)
def test_only_an_intercepted_port_shows_another_certificate(state):
    config = ServerConfig(protocol="pop3", certificate="expired", port_state=state)
    shown = Certificate.WRONG_HOST if state is PortState.INTERCEPTED else Certificate.EXPIRED
    assert config.shown_certificate is shown
