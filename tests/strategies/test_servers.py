"""What is drawn for servers starts one, and where it says so an honest client logs in."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import smtplib

import pytest
from drawing import drawn
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mailauth import ServerConfig, strategies
from pytest_mailauth.model.terms import Protocol, Security
from pytest_mailauth.strategies.cases import mix

settings_of_many = settings(max_examples=150, deadline=None, derandomize=True, database=None)
TIMEOUT = 5


def log_in(server):
    """Connect as the server's settings say, log in with the standard library, and leave."""
    implicit = server.security is Security.IMPLICIT
    context, account = server.ssl_context(), server.account
    match server.protocol:
        case Protocol.SMTP:
            kind = smtplib.SMTP_SSL if implicit else smtplib.SMTP
            with kind(server.host, server.port, timeout=TIMEOUT, **({"context": context} if implicit else {})) as smtp:
                if not implicit:
                    smtp.starttls(context=context)
                smtp.login(account.username, account.password)
        case Protocol.IMAP:
            kind = imaplib.IMAP4_SSL if implicit else imaplib.IMAP4
            options = {"ssl_context": context} if implicit else {}
            imap = kind(server.host, server.port, timeout=TIMEOUT, **options)
            try:
                if not implicit:
                    imap.starttls(context)
                imap.login(account.username, account.password)
                imap.logout()
            except Exception:  # a logout that fails leaves the socket open
                with contextlib.suppress(OSError):
                    imap.shutdown()
                raise
        case Protocol.POP3:
            kind = poplib.POP3_SSL if implicit else poplib.POP3
            pop = kind(server.host, server.port, timeout=TIMEOUT, **({"context": context} if implicit else {}))
            with contextlib.closing(pop):
                if not implicit:
                    pop.stls(context)
                pop.user(account.username)
                pop.pass_(account.password)
                pop.quit()


@settings_of_many
@given(config=strategies.server_configs(sound=True))
def test_an_honest_client_logs_in_where_the_settings_are_sound(mailauth_factory, config):
    with mailauth_factory.serve(config) as server:
        log_in(server)
        assert [login.accepted for login in server.sessions[0].auth] == [True]


@settings_of_many
@given(config=strategies.server_configs())
def test_every_server_starts(mailauth_factory, config):
    with mailauth_factory.serve(config) as server:
        assert server.port > 0
        assert server.config == config


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("sound", [True, False])
def test_the_protocol_can_be_given(protocol, sound):
    values = drawn(strategies.server_configs(protocol, sound=sound), 50).values
    assert {config.protocol for config in values} == {protocol}


@pytest.mark.parametrize("protocol", Protocol)
def test_settings_that_contradict_each_other_are_never_drawn(protocol):
    configs = drawn(strategies.server_configs(protocol, sound=False), 500).values  # or it would have failed
    assert any(not config.reachable_mechanisms for config in configs)


@settings_of_many
@given(policy=strategies.tls_policies())
def test_every_tls_policy_can_be_served(mailauth_factory, policy):
    with mailauth_factory.imap(tls=policy):
        pass


@settings_of_many
@given(policy=strategies.auth_policies())
def test_an_auth_policy_fits_every_protocol(mailauth_factory, policy):
    for start in (mailauth_factory.smtp, mailauth_factory.pop3, mailauth_factory.imap):
        with start(auth=policy):
            pass


def test_a_protocol_adds_what_it_has_alone():
    imap = drawn(strategies.auth_policies("imap", sound=False), 200).values
    assert any(policy.preauthenticated for policy in imap)
    pop3 = drawn(strategies.mechanism_lists("pop3", external=True), 200).values
    assert {"APOP", "EXTERNAL"} <= {name for names in pop3 for name in names}


def test_there_is_no_clear_phase_with_implicit_tls():
    assert not any(policy.before_tls for policy in drawn(strategies.auth_policies(security="implicit"), 200).values)


def test_a_case_without_weight_is_left_out():
    only = mix("x", (1, "a", strategies.ports()), (0, "b", strategies.ports()))
    assert {text for text in drawn(only, 30).counted if text.startswith("x: ")} == {"x: a"}


# Misbehaviour.


@settings_of_many
@given(data=st.data(), protocol=strategies.protocols(), security=st.sampled_from(["starttls", "implicit"]))
def test_every_deviation_can_be_had(mailauth_factory, data, protocol, security):
    config = ServerConfig(
        protocol=protocol, security=security, deviations=(data.draw(strategies.deviations(protocol)),)
    )
    with mailauth_factory.serve(config):
        pass


FAILURES = (OSError, EOFError, ValueError, smtplib.SMTPException, imaplib.IMAP4.error, poplib.error_proto)
"""What the standard library raises when a server does not do what it should."""


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(data=st.data(), protocol=strategies.protocols())
def test_a_plan_of_faults_is_met(mailauth_factory, data, protocol):
    plan = data.draw(strategies.fault_plans(protocol))
    with mailauth_factory.serve(ServerConfig(protocol=protocol, security="implicit")) as server:
        plan.tell(server)
        try:
            log_in(server)
        except FAILURES:
            assert plan != strategies.FaultPlan()
        else:
            assert server.sessions[0].auth[-1].accepted


@pytest.mark.parametrize(
    ("act", "raised"),
    [
        ("drop", smtplib.SMTPServerDisconnected),
        ("reset", OSError),
        ("garble", smtplib.SMTPAuthenticationError),
        ("refuse", smtplib.SMTPAuthenticationError),
        ("later", smtplib.SMTPAuthenticationError),
        ("delay", None),
        ("drip", None),
    ],
)
def test_each_act_of_a_plan(mailauth, act, raised):
    server = mailauth.smtp(security="implicit")
    strategies.FaultPlan(faults=(strategies.Fault(verb="AUTH", act=act, times=3),)).tell(server)
    with pytest.raises(raised) if raised else contextlib.nullcontext():
        log_in(server)
    assert f"scripted {act}" in server.transcript() or "scripted reply" in server.transcript()
