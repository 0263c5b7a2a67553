"""The text of a failing assertion: requirement, expected, actual, transcript with the TLS boundary, next step."""

from __future__ import annotations

import contextlib
import imaplib
import smtplib
import ssl

import pytest

from pytest_mailauth import (
    AuthPolicy,
    ClientViolation,
    ConfigError,
    Declaration,
    MailServers,
    RelayPolicy,
    TLSPolicy,
    assert_no_cleartext_credentials,
    assert_not_authenticated,
    assert_obeys,
    assert_tls,
)
from pytest_mailauth.model.canary import find

IN_CLEAR = AuthPolicy(before_tls=("PLAIN", "LOGIN"))


def log_in(server, *, context=None):
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        if context is not None:
            client.starttls(context=context)
        client.login(server.account.username, server.account.password)


def unverified():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_the_text_of_a_cleartext_password(mailauth):
    server = mailauth.smtp(auth=IN_CLEAR)
    log_in(server)
    with pytest.raises(ClientViolation) as caught:
        assert_no_cleartext_credentials(server)
    text = str(caught.value)
    assert find(server.account.password, text.encode()) is None
    lines = [line.rstrip() for line in text.splitlines()]
    assert lines[0] == "no-cleartext-credentials: VIOLATION (the client broke this rule)"
    assert "A password never crosses unless TLS is active on that connection." in text
    assert "RFC 8314 section 5.2" in " ".join(text.split())
    assert "ession 1 on the main port: the password crossed in clear with PLAIN (found as base64)" in " ".join(
        text.split()
    )
    assert "C: AUTH PLAIN <initial response of" in text
    assert "Next step:" in text
    assert text.index("Requirement:") < text.index("Expected:") < text.index("Actual:") < text.index("Transcript")


GOLDEN = """\
no-cleartext-credentials: VIOLATION (the client broke this rule)
  Requirement: A password never crosses unless TLS is active on that connection. (RFC 8314 section
               5.2, RFC 4954 section 4, RFC 2595 section 2.3)
  Expected:    The client logs in after the TLS handshake, and leaves if there is none.
  Actual:      Session 1 on the main port: the password crossed in clear with PLAIN (found as
               base64).
  Transcript:
    session 1
    S: 220 localhost ESMTP pytest-mailauth
    C: EHLO client.test
    S: 250-localhost
    S: 250-SIZE 33554432
    S: 250-8BITMIME
    S: 250-SMTPUTF8
    S: 250-PIPELINING
    S: 250-ENHANCEDSTATUSCODES
    S: 250-STARTTLS
    S: 250-AUTH PLAIN LOGIN
    S: 250 HELP
    C: AUTH PLAIN <initial response of 76 bytes>
    S: 235 2.7.0 Authentication successful
    C: QUIT
    S: 221 2.0.0 Bye
    -- [server ended the connection: close]
  Next step:   Start TLS before logging in, and refuse to log in without it.
  Diagnosis:   The server was reached, but the client offered its password before TLS. Session 1:
               AUTH PLAIN <initial response of 76 bytes> in clear. Start TLS first, and give the
               password only inside it. (source document S2, S9, S12; RFC 8314 section 5.2)"""


def test_the_text_to_the_letter(mailauth):
    server = mailauth.smtp(auth=IN_CLEAR)
    log_in(server)
    with pytest.raises(ClientViolation) as caught:
        assert_obeys(server)
    assert str(caught.value) == GOLDEN


def test_assert_obeys_passes_and_names_what_was_broken(mailauth):
    good = mailauth.smtp()
    log_in(good, context=good.ssl_context())
    assert_obeys(good)
    bad = mailauth.smtp(certificate="wrong-host")
    log_in(bad, context=unverified())
    with pytest.raises(ClientViolation, match="verify-before-credentials: VIOLATION") as caught:
        assert_obeys(bad)
    assert "======== TLS 1.3" in str(caught.value)


def test_assert_obeys_judges_by_the_declaration(mailauth):
    server = mailauth.smtp(certificate="self-signed")
    log_in(server, context=unverified())
    assert_obeys(server, declared=Declaration(verify="none"))


def test_assert_obeys_on_old_tls(mailauth):
    server = mailauth.smtp(tls=TLSPolicy(max_version="1.1"))
    context = unverified()
    with pytest.raises(ssl.SSLError):
        log_in(server, context=context)
    assert_obeys(server)


@pytest.mark.parametrize("claim", [assert_obeys, assert_no_cleartext_credentials, assert_tls, assert_not_authenticated])
def test_no_claim_holds_about_a_server_that_nobody_met(mailauth, claim):
    with pytest.raises(ClientViolation):
        claim(mailauth.smtp())


@pytest.mark.parametrize("state", ["refused", "timeout"])
def test_a_port_that_nobody_can_reach_was_not_logged_in_to(mailauth, state):
    assert_not_authenticated(mailauth.smtp(port_state=state))


def test_assert_tls(mailauth):
    server = mailauth.smtp(tls=TLSPolicy(max_version="1.2"))
    log_in(server, context=server.ssl_context())
    assert_tls(server)
    with pytest.raises(ClientViolation, match=r"Session 1 used TLS 1\.2\.") as caught:
        assert_tls(server, min_version="1.3")
    assert "Next step:   Set the minimum TLS version to 1.3.\n  Diagnosis:   No known cause" in str(caught.value)
    with pytest.raises(ConfigError, match=r"min_version='1\.4' is not known"):
        assert_tls(server, min_version="1.4")


@pytest.mark.parametrize(
    ("security", "step"), [("starttls", "Let the client send STARTTLS"), ("none", "This server has no TLS")]
)
def test_assert_tls_sees_a_session_in_clear(mailauth, security, step):
    server = mailauth.smtp(security=security, auth=IN_CLEAR)
    log_in(server)
    with pytest.raises(ClientViolation, match=r"Session 1 never began a TLS handshake") as caught:
        assert_tls(server)
    assert f"Next step:   {step}" in str(caught.value)


def test_assert_tls_on_old_tls(mailauth):
    server = mailauth.smtp(tls=TLSPolicy(max_version="1.1"))
    log_in(server, context=old_tls())
    with pytest.raises(ClientViolation, match=r"\Atls12-or-newer: VIOLATION[^$]*used TLS 1\.1, not 1\.2"):
        assert_tls(server)
    assert_tls(server, min_version="1.1")


def test_assert_tls_draws_no_conclusion_from_nobody_and_from_a_refused_certificate(mailauth):
    server = mailauth.smtp(certificate="expired")
    with pytest.raises(ClientViolation, match=r"\Atls12-or-newer: INCONCLUSIVE[^$]*No client connected"):
        assert_tls(server)
    with pytest.raises(ssl.SSLCertVerificationError):
        log_in(server, context=server.ssl_context())
    with pytest.raises(ClientViolation, match=r"\Atls12-or-newer: INCONCLUSIVE[^$]*certificate_expired"):
        assert_tls(server)


def test_assert_not_authenticated_sees_a_login_and_a_refused_password(mailauth):
    server = mailauth.smtp()
    log_in(server, context=server.ssl_context())
    with pytest.raises(ClientViolation, match="logged in with PLAIN"):
        assert_not_authenticated(server)
    strict = mailauth.smtp(security="none")
    with smtplib.SMTP(strict.host, strict.port, timeout=5) as client:
        client.ehlo()
        client.docmd("AUTH", "PLAIN AGEAYg==")
    assert_not_authenticated(strict)


def test_an_unknown_rule_is_the_users_mistake(mailauth):
    with pytest.raises(ConfigError, match="there is no rule 'no-such-rule'"):
        assert_obeys(mailauth.smtp(), rules=["no-such-rule"])
    with pytest.raises(ConfigError, match="no rule is named"):
        assert_obeys(mailauth.smtp(), rules=[])


def old_tls():
    context = unverified()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def log_in_to_imap(server):
    with imaplib.IMAP4(server.host, server.port, timeout=5) as client, contextlib.suppress(imaplib.IMAP4.error):
        client.login(server.account.username, server.account.password)


def send(server):
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        client.sendmail("a@example.test", [server.account.address], b"Subject: x\r\n\r\n")


BREACHES = {
    "no-cleartext-credentials": ("smtp", {"auth": IN_CLEAR}, log_in),
    "no-operation-before-required-tls": ("smtp", {"relay": RelayPolicy(relay="open")}, send),
    "verify-before-credentials": ("smtp", {"certificate": "expired"}, lambda s: log_in(s, context=unverified())),
    "tls12-or-newer": ("smtp", {"tls": TLSPolicy(max_version="1.1")}, lambda s: log_in(s, context=old_tls())),
    "respect-logindisabled": ("imap", {}, log_in_to_imap),
}


@pytest.mark.parametrize("rule", BREACHES)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_each_rule_that_a_record_can_answer_is_broken_by_somebody(mailauth, rule):
    protocol, settings, breach = BREACHES[rule]
    server = getattr(mailauth, protocol)(**settings)
    breach(server)
    with pytest.raises(ClientViolation, match=rf"\A{rule}: VIOLATION"):
        assert_obeys(server, rules=rule)
    with pytest.raises(ClientViolation, match=r"\A\S+: VIOLATION"):
        assert_obeys(server)


@pytest.mark.parametrize(
    "settings", [{"certificate": "expired"}, {"tls": TLSPolicy(max_version="1.1")}], ids=lambda s: next(iter(s))
)
def test_a_client_that_never_came_to_the_point_has_proved_nothing(mailauth, settings):
    server = mailauth.smtp(**settings)
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        client.noop()
    with pytest.raises(ClientViolation, match=": INCONCLUSIVE") as caught:
        assert_obeys(server)
    assert "the client never began a TLS handshake" in str(caught.value).replace("The client", "the client")


def test_a_rule_that_was_asked_for_has_to_be_answered(mailauth):
    server = mailauth.smtp()
    log_in(server, context=server.ssl_context())
    with pytest.raises(ClientViolation, match="verify-before-credentials: NOT-APPLICABLE"):
        assert_obeys(server, rules=("no-cleartext-credentials", "verify-before-credentials"))


def test_assertions_work_without_pytest():
    with MailServers() as servers:
        server = servers.smtp(security="implicit")
        context = server.ssl_context()
        with smtplib.SMTP_SSL(server.host, server.port, context=context, timeout=5) as client:
            client.login(server.account.username, server.account.password)
        assert_obeys(server)


def test_a_declared_floor_is_asked_for(mailauth):
    server = mailauth.smtp(tls=TLSPolicy(max_version="1.2"))
    log_in(server, context=server.ssl_context())
    assert_obeys(server)
    with pytest.raises(ClientViolation, match="tls12-or-newer: VIOLATION"):
        assert_obeys(server, declared=Declaration(min_tls="1.3"))
