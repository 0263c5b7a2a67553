"""`tls12-or-newer` on real connections: what was negotiated decides, and only a refusal of the version is one."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl

import pytest

from pytest_mailauth import ClientViolation, Declaration, TLSPolicy, assert_obeys
from pytest_mailauth.judge.clients.client import Client
from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.judge.scenarios import SCENARIOS
from pytest_mailauth.model.canary import Account
from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.model.events import Entry, HandshakeEnded, HelloSeen
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.record import SessionRecord
from pytest_mailauth.model.terms import NO_COMMON_SUITE, HandshakeOutcome, Layer, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Outcome, Trial
from pytest_mailauth.servers.wire import contexts

RULE = RULES["tls12-or-newer"].check


def context_of(server, *, newest="1.3"):
    """A client context that verifies and takes every version up to *newest*."""
    context = server.ssl_context()
    contexts._set_versions(context, contexts.VERSIONS["1.0"], contexts.VERSIONS[newest])
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def log_in(server, context):
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        client.starttls(context=context)
        client.login(server.account.username, server.account.password)


def finding(server, **declared):
    return RULE(
        Trial(
            protocol=server.protocol,
            security=server.security,
            declared=Declaration(**declared),
            served=server.config,
            account=server.account,
            sessions=server.sessions,
            outcome=Outcome(),
        )
    )


def test_a_modern_client_of_a_server_that_takes_old_tls_too_obeys(mailauth):
    server = mailauth.smtp(tls=TLSPolicy(min_version="1.0"))
    log_in(server, server.ssl_context())
    assert finding(server).verdict is Verdict.PASS
    assert_obeys(server)


def test_old_tls_on_a_server_that_takes_new_tls_too_is_a_violation(mailauth):
    server = mailauth.smtp(tls=TLSPolicy(min_version="1.0", max_version="1.2"))
    log_in(server, server.ssl_context())
    log_in(server, context_of(server, newest="1.1"))
    assert finding(server).verdict is Verdict.VIOLATION
    assert "negotiated TLS 1.1" in finding(server).evidence
    with pytest.raises(ClientViolation, match="tls12-or-newer: VIOLATION"):
        assert_obeys(server)
    assert finding(server, min_tls="1.1").verdict is Verdict.NOTE


def test_a_declared_minimum_binds(mailauth):
    server = mailauth.smtp()
    log_in(server, context_of(server, newest="1.2"))
    assert finding(server).verdict is Verdict.NOTE
    assert "does not say what else it takes" in finding(server).evidence
    assert finding(server, min_tls="1.3").verdict is Verdict.VIOLATION
    assert finding(server, min_tls="1.3").evidence.endswith("its declared minimum is 1.3")


@pytest.mark.parametrize("policy", [TLSPolicy(), TLSPolicy(max_version="1.2"), TLSPolicy(max_version="1.1")])
def test_distrust_of_the_certificate_says_nothing_about_versions(mailauth, policy):
    server = mailauth.smtp(tls=policy)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLCertVerificationError):
        log_in(server, context)
    assert finding(server).verdict is Verdict.INCONCLUSIVE
    assert "refused the certificate" in finding(server).evidence
    with pytest.raises(ClientViolation, match="INCONCLUSIVE"):
        assert_obeys(server, rules="tls12-or-newer")


def test_leaving_without_a_word_proves_nothing_without_a_control(mailauth):
    server = mailauth.smtp(security="implicit", tls=TLSPolicy(max_version="1.1"))
    with (
        socket.create_connection((server.host, server.port), timeout=5) as connection,
        context_of(server).wrap_socket(connection, server_hostname=server.host),
    ):
        pass
    assert finding(server).verdict is Verdict.INCONCLUSIVE


def test_neither_does_a_goodbye_alone(mailauth):
    server = mailauth.smtp(security="implicit", tls=TLSPolicy(max_version="1.1"))
    with (
        socket.create_connection((server.host, server.port), timeout=5) as connection,
        context_of(server).wrap_socket(connection, server_hostname=server.host) as tls,
    ):
        tls.sendall(b"QUIT\r\n")
        with contextlib.suppress(OSError):
            while tls.recv(1000):
                pass
    assert finding(server).verdict is Verdict.INCONCLUSIVE


def test_who_shares_no_version_was_refused_for_that(mailauth):
    server = mailauth.smtp(tls=TLSPolicy(max_version="1.1"))
    with pytest.raises(ssl.SSLError):
        log_in(server, server.ssl_context())
    assert finding(server).verdict is Verdict.PASS


def test_who_offers_a_maximum_and_refuses_the_old_version_obeys(mailauth):
    # Such a hello does not say what is refused; the alert does, in a record of a version that was not chosen.
    server = mailauth.smtp(tls=TLSPolicy(max_version="1.1"))
    context = server.ssl_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DEFAULT")  # with suites that the old version has as well
    with pytest.raises(ssl.SSLError):
        log_in(server, context)
    assert server.sessions[0].tls.client_hello.versions == ()
    assert finding(server).verdict is Verdict.PASS
    assert "protocol_version" in finding(server).evidence


def test_a_client_of_old_and_new_versions_that_speaks_in_none_is_not_judged(mailauth):
    server = mailauth.smtp(tls=TLSPolicy(min_version="1.0", ciphers="NULL-SHA", max_version="1.2"))
    with pytest.raises(ssl.SSLError):
        log_in(server, server.ssl_context())
    assert finding(server).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("ciphers", "policy", "verdict"),
    [
        ((0x0033, 0xC02B), {"max_version": "1.0"}, Verdict.INCONCLUSIVE),
        ((0xC02B, 0x00FF), {"max_version": "1.0"}, Verdict.PASS),
        ((0xC02B,), {"max_version": "1.2"}, Verdict.NOTE),
        ((0xC02B,), {"max_version": "1.2", "ciphers": "NULL-SHA256"}, Verdict.INCONCLUSIVE),
    ],
    ids=["it has old suites", "it has none", "new", "of our choosing"],
)
def test_the_hello_says_what_a_missing_suite_means(ciphers, policy, verdict):
    # No stock client does this: it offers an old version, and suites that this server lacks.
    config = ServerConfig(protocol="smtp", tls=TLSPolicy(**policy))
    hello = ClientHello("1.2", ("1.2", "1.1", "1.0"), ciphers=ciphers)
    facts = (HelloSeen(hello), HandshakeEnded(HandshakeOutcome.SERVER_REFUSED, reason=NO_COMMON_SUITE))
    entries = tuple(Entry(float(at), Layer.CLEAR, fact) for at, fact in enumerate(facts))
    session = SessionRecord(1, Protocol.SMTP, Security.STARTTLS, "main", entries)
    trial = Trial(
        protocol=Protocol.SMTP,
        security=Security.STARTTLS,
        declared=Declaration(),
        served=config,
        account=Account.fresh(),
        sessions=(session,),
        outcome=Outcome(),
    )
    assert RULE(trial).verdict is verdict


# One kind of suite alone: an old server that lacks it would make a saint of the client. With ECDHE alone, which OpenSSL
# would choose first, static RSA is what is missed; see LEGACY_CIPHERS.
@pytest.mark.parametrize(
    "suites",
    [
        "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-GCM-SHA256",
        "AES128-SHA:AES128-GCM-SHA256",
        "AES256-SHA",
        "ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256",
    ],
    ids=["ECDSA", "static RSA", "static RSA with 256 bits", "ECDHE with RSA"],
)
def test_a_client_with_one_kind_of_suites_alone_is_no_saint(suites):
    def old(case):
        context = case.ssl_context()
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers(f"{suites}:@SECLEVEL=0")
        with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
            client.starttls(context=context)
            client.login(case.username, case.password)

    client = Client(name="old", run=old, protocols=(Protocol.SMTP,), securities=(Security.STARTTLS,))
    rows = Runner([client], select=["tls10-only", "tls11-only"]).run()
    verdicts = {row.setting.scenario.name: row.verdict for row in rows}
    assert verdicts == {"tls10-only": Verdict.VIOLATION, "tls11-only": Verdict.VIOLATION}


@pytest.mark.parametrize("name", ["tls10-only", "tls11-only"])
def test_an_old_server_has_an_rsa_certificate_and_prefers_static_rsa(mailauth, name):
    server = mailauth.smtp(**SCENARIOS[name].settings)
    log_in(server, context_of(server, newest="1.1"))
    assert server.sessions[0].tls.cipher == "AES128-SHA"  # static RSA: nothing else than an RSA key serves it
