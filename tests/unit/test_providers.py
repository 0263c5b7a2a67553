"""The provider profiles: complete, each fact with a source, and every service answers as its row says."""

from __future__ import annotations

import base64
import contextlib
import imaplib
import json
import poplib
import re
import smtplib
import socket
import sys

import pytest
from provider_clients import CONNECT, Refused, announced, as_refused, authenticate, log_in, old_context

from pytest_mailauth import ConfigError, provider
from pytest_mailauth.model.config import PASSWORD_MECHANISMS, PROOF_MECHANISMS, TOKEN_MECHANISMS
from pytest_mailauth.model.errors import CannotServe
from pytest_mailauth.model.terms import STANDARD_PORTS, PortState, Protocol, Refusal, Security
from pytest_mailauth.network.providers import PROVIDERS, start
from pytest_mailauth.servers.engines.refusals import REPLIES

NAMED = ("gmail", "microsoft-365", "outlook.com", "yahoo", "icloud", "fastmail")
GENERIC = ("isp-blocks-25", "strict-submission", "legacy")
EVERY = [(one, service) for one in PROVIDERS.values() for service in one.services]
OPEN = [(one, service) for one, service in EVERY if service.port_state is PortState.OPEN]
LOCATIONS = {
    "gmail": {"smtp": "smtp.gmail.com", "imap": "imap.gmail.com", "pop3": "pop.gmail.com"},
    "microsoft-365": {
        "smtp": "smtp.office365.com",
        "imap": "outlook.office365.com",
        "pop3": "outlook.office365.com",
    },
    "outlook.com": {
        "smtp": "smtp-mail.outlook.com",
        "imap": "outlook.office365.com",
        "pop3": "outlook.office365.com",
    },
    "yahoo": {"smtp": "smtp.mail.yahoo.com", "imap": "imap.mail.yahoo.com", "pop3": "pop.mail.yahoo.com"},
    "icloud": {"smtp": "smtp.mail.me.com", "imap": "imap.mail.me.com"},
    "fastmail": {"smtp": "smtp.fastmail.com", "imap": "imap.fastmail.com", "pop3": "pop.fastmail.com"},
}
STARTS = {Protocol.SMTP: r"\d{3}[ -]", Protocol.POP3: r"-ERR ", Protocol.IMAP: r"NO "}
GREETS = {Protocol.SMTP: "220 ", Protocol.POP3: "+OK ", Protocol.IMAP: "* OK "}


def ids(rows):
    return [f"{one.name}-{service.protocol}-{service.security}" for one, service in rows]


every_service = pytest.mark.parametrize(("one", "service"), EVERY, ids=ids(EVERY))
every_open_service = pytest.mark.parametrize(("one", "service"), OPEN, ids=ids(OPEN))
every_mechanism = pytest.mark.parametrize(
    ("one", "service", "mechanism"),
    [(*row, mechanism) for row in OPEN for mechanism in row[1].mechanisms],
    ids=[f"{name}-{m}" for name, row in zip(ids(OPEN), OPEN, strict=True) for m in row[1].mechanisms],
)

# The table.


def test_every_profile_is_there():
    assert tuple(PROVIDERS) == NAMED + GENERIC
    assert all(provider(name).name == name for name in PROVIDERS)


@pytest.mark.parametrize("name", LOCATIONS)
def test_names_for_sending_and_reading_are_what_they_are(name):
    hosts = {(str(service.protocol), service.host) for service in provider(name).services}
    assert hosts == set(LOCATIONS[name].items())


@pytest.mark.parametrize("name", PROVIDERS)
def test_no_two_services_are_the_same(name):
    keys = [(service.protocol, service.security) for service in provider(name).services]
    assert len(keys) == len(set(keys))


@every_service
def test_ports(one, service):
    if (service.protocol, service.security) in STANDARD_PORTS and one.name != "legacy":
        assert service.port == STANDARD_PORTS[service.protocol, service.security]
    else:
        assert service.port in {25, *STANDARD_PORTS.values()}
    assert service.host.endswith(".example") == (one.name in GENERIC)


@every_service
def test_every_fact_has_a_source_or_says_that_it_has_none(one, service):
    assert one.title
    assert one.notes.endswith(".")
    assert service.located is not None
    sources = [*one.sources, service.located, service.offered, *(wording.source for wording in service.wordings)]
    for source in filter(None, sources):
        assert re.fullmatch(r"S\d+|RFC \d+( section [\d.]+)?", source.title) or source.address.startswith("https://")
    assert [wording.verified for wording in service.wordings] == [w.source is not None for w in service.wordings]
    assert all(wording.invented == (one.name in GENERIC) for wording in service.wordings)
    assert service.token_answer is not None or (service.token_scope is None and service.challenges)


@every_service
def test_wordings_belong_to_their_protocol(one, service):
    if service.greeting is not None:
        assert service.greeting.text.startswith(GREETS[service.protocol])
        assert "\n" not in service.greeting.text
    for refusal, wording in service.texts.items():
        assert refusal in Refusal
        lines = wording.text.split("\n")
        assert len(lines) == 1 or service.protocol is Protocol.SMTP
        for line in lines:
            assert re.match(STARTS[service.protocol], line)
        if service.protocol is Protocol.SMTP:
            assert [line[3] for line in lines] == ["-"] * (len(lines) - 1) + [" "]


@every_service
def test_the_server_is_here_whatever_the_profile_says(one, service):
    assert service.config().host == "localhost"
    assert service.config() == one.config(service.protocol, service.security)


def test_the_first_service_is_the_recommended_one():
    assert provider("gmail").service("smtp").port == 587
    assert provider("gmail").service("smtp", "implicit").port == 465
    assert provider("isp-blocks-25").config("smtp").port_state == "open"
    assert provider("yahoo").service(Protocol.SMTP).security is Security.IMPLICIT


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(ConfigError, match="'gmial' is not known; use one of 'gmail', 'microsoft-365', "):
        provider("gmial")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pop3",), r"provider 'icloud' has no service pop3; it has smtp/starttls, imap/implicit"),
        (("imap", "starttls"), r"has no service imap/starttls"),
        (("nntp",), r"protocol='nntp' is not known"),
        (("imap", "tls"), r"security='tls' is not known"),
    ],
)
def test_a_service_that_is_not_there(arguments, words):
    with pytest.raises(ConfigError, match=words):
        provider("icloud").config(*arguments)


# The servers.


@pytest.fixture
def lookups(monkeypatch):
    """The names that were looked up."""
    asked = []
    look_up = socket.getaddrinfo

    def recorded(host, *args, **kwargs):
        asked.append(host)
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", recorded)
    yield asked
    assert set(asked) <= {"localhost", "127.0.0.1", "::1", None}


@pytest.fixture
def started(mailauth, lookups):
    def serve(one, service, **options):
        try:
            return start(mailauth, one.name, service.protocol, service.security, **options)
        except CannotServe as reason:
            pytest.skip(str(reason))

    return serve


@contextlib.contextmanager
def connected(server, **how):
    old = server.config.tls.max_version == "1.0"
    with CONNECT[server.protocol](server, old_context(server) if old else server.ssl_context(), **how) as client:
        yield client


def secret_of(server, mechanism):
    return server.account.token if mechanism in TOKEN_MECHANISMS else server.account.password


def reply_of(service, refusal):
    usual = REPLIES[refusal][service.protocol]
    return as_refused(service.texts[refusal].on_the_wire if refusal in service.texts else usual)


@every_mechanism
def test_every_mechanism_answers_as_documented(started, one, service, mechanism):
    server = started(one, service)
    refused = not service.less_secure_apps and mechanism not in TOKEN_MECHANISMS
    with connected(server) as client:
        if refused:
            with pytest.raises(Refused) as caught:
                authenticate(client, mechanism, server.account.username, secret_of(server, mechanism))
            assert str(caught.value) == reply_of(service, Refusal.OAUTH_REQUIRED)
        else:
            authenticate(client, mechanism, server.account.username, secret_of(server, mechanism))
    (seen,) = server.sessions[0].auth
    assert (seen.mechanism, seen.accepted) == (mechanism, not refused)


@every_mechanism
def test_a_wrong_secret_is_refused_as_documented(started, one, service, mechanism):
    server = started(one, service)
    refusal = Refusal.BAD_TOKEN if mechanism in TOKEN_MECHANISMS else Refusal.INVALID
    with connected(server) as client, pytest.raises(Refused) as caught:
        authenticate(client, mechanism, server.account.username, "not it")
    assert str(caught.value) == reply_of(service, refusal)
    assert [fact.accepted for fact in server.sessions[0].auth] == [False]


@every_open_service
@pytest.mark.parametrize("less_secure_apps", [None, True])
def test_a_client_that_only_knows_passwords(started, one, service, less_secure_apps):
    server = started(one, service, less_secure_apps=less_secure_apps)
    account = server.account
    with connected(server) as client:
        if one.name == "strict-submission":
            with pytest.raises(Exception, match="No suitable authentication method"):
                log_in(client, account.username, account.password)
        elif less_secure_apps or service.less_secure_apps:
            log_in(client, account.username, account.password)
            assert server.sessions[0].auth[-1].accepted
        else:
            with pytest.raises(Refused) as caught:
                log_in(client, account.username, account.password)
            assert str(caught.value) == reply_of(service, Refusal.OAUTH_REQUIRED)


@every_open_service
def test_the_greeting_and_what_is_announced(started, one, service):
    server = started(one, service)
    with connected(server) as client:
        words = announced(client)
    session = server.sessions[0]
    said = session.tls_out if service.security is Security.IMPLICIT else session.clear_out
    if service.greeting is not None:
        assert said.startswith(f"{service.greeting.text}\r\n".encode())
    else:
        assert said.startswith(GREETS[service.protocol].encode())
    assert not words & set(service.hides)
    assert set(service.announces) <= words
    known = {*PASSWORD_MECHANISMS, *PROOF_MECHANISMS, *TOKEN_MECHANISMS}
    mechanisms = set(re.findall(r"[A-Z0-9-]+", (session.tls_out or b"").decode())) & known
    assert mechanisms == set(service.mechanisms) & known


@pytest.mark.parametrize(("one", "service"), [row for row in OPEN if row[1].security is Security.STARTTLS])
def test_only_the_legacy_server_takes_a_password_in_clear(started, one, service):
    server = started(one, service)
    account = server.account
    with connected(server, in_clear=True) as client:
        if one.name == "legacy":
            log_in(client, account.username, account.password)
        else:
            with pytest.raises(Exception, match=r"not supported|PRIVACYREQUIRED|LOGINDISABLED|TLS"):
                log_in(client, account.username, account.password)
    assert any(fact.accepted for fact in server.sessions[0].auth) == (one.name == "legacy")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's accept queue")
def test_port_25_never_answers(started):
    one = provider("isp-blocks-25")
    server = started(one, one.service("smtp", "none"))
    with socket.socket() as client:
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.connect(("127.0.0.1", server.port))


def challenges_to(client, mechanism):
    """Log in with a bad token; what the server said in challenges before it refused."""
    told = []

    def answer(challenge=b""):
        if challenge:
            told.append(json.loads(challenge))
            return ""
        return "user=alice@example.test\x01auth=Bearer bad\x01\x01"

    with contextlib.suppress(smtplib.SMTPAuthenticationError, imaplib.IMAP4.error, poplib.error_proto):
        match client:
            case smtplib.SMTP():
                client.auth(mechanism, answer)
            case imaplib.IMAP4():
                client.authenticate(mechanism, lambda challenge: answer(challenge).encode())
            case _:
                first = base64.b64encode(answer().encode()).decode()
                reply = client._shortcmd(f"AUTH {mechanism} {first}")
                while reply.startswith(b"+ "):
                    reply = client._shortcmd(answer(base64.b64decode(reply[2:])))
    return told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gmail", [{"status": "400", "schemes": "bearer", "scope": "https://mail.google.com/"}]),
        ("microsoft-365", []),
        ("outlook.com", []),
    ],
)
@pytest.mark.parametrize("protocol", ["smtp", "pop3", "imap"])
def test_a_bad_token_is_answered_as_the_provider_documents(started, name, told, protocol):
    one = provider(name)
    server = started(one, one.service(protocol))
    with connected(server) as client:
        assert challenges_to(client, "XOAUTH2") == told
    assert [fact.accepted for fact in server.sessions[0].auth] == [False]


def test_other_settings_of_logging_in_can_be_given(mailauth):
    asked = []
    service = provider("gmail").service("smtp")
    config = provider("gmail").config(
        "smtp",
        accept_token=lambda token, _: asked.append(token) or token == "good",
        token_scope="mail.send",
        texts={"temporary": "454 4.7.0 Later. - gsmtp"},
    )
    assert config.auth.texts["temporary"] == "454 4.7.0 Later. - gsmtp"
    assert config.auth.texts["invalid"] == service.texts[Refusal.INVALID].on_the_wire
    server = mailauth.serve(config)
    with connected(server) as client:
        assert challenges_to(client, "XOAUTH2")[0]["scope"] == "mail.send"
        authenticate(client, "XOAUTH2", server.account.username, "good")
    assert asked == ["bad", "good"]
    with pytest.raises(ConfigError, match="AuthPolicy has no setting 'acept_token'; did you mean 'accept_token'"):
        provider("gmail").config("smtp", acept_token=None)
    with pytest.raises(ConfigError, match="texts='no' must be a mapping"):
        provider("gmail").config("smtp", texts="no")


def test_a_profile_serves_like_any_settings(mailauth):
    server = mailauth.serve(provider("gmail").config("smtp"))
    assert server.url.startswith("smtp://localhost:")
