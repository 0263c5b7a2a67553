"""Fake SMTP, POP3 and IMAP servers with TLS and authentication policies, and a verdict on mail clients.

Names are imported when they are first used: pytest imports this package at every start, needed or not.

PYTEST_DONT_REWRITE: Hypothesis imports it for its profile, maybe before pytest starts, which would warn of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_mailauth.assertions import (
        assert_no_cleartext_credentials,
        assert_not_authenticated,
        assert_obeys,
        assert_tls,
    )
    from pytest_mailauth.attempt_assertions import assert_attempts, assert_bounded, assert_never_weaker
    from pytest_mailauth.examination import conformance
    from pytest_mailauth.judge.clients.case import Case
    from pytest_mailauth.leaks import Secrets
    from pytest_mailauth.message_assertions import assert_message_count, assert_recipients
    from pytest_mailauth.model.attempts import Attempt, AttemptOutcome, Strength
    from pytest_mailauth.model.canary import Account, Secret
    from pytest_mailauth.model.causes.cause import Diagnosis
    from pytest_mailauth.model.config import AuthPolicy, ServerConfig, TLSPolicy
    from pytest_mailauth.model.errors import (
        CannotServe,
        ClientUnusable,
        ClientViolation,
        ConfigError,
        MailAuthError,
        MessageNotArrived,
        ServerFault,
        UnmetExpectations,
    )
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.relay import RelayPolicy
    from pytest_mailauth.model.terms import HandshakeOutcome, Layer, Protocol, Security, Verdict
    from pytest_mailauth.model.trial import Declaration
    from pytest_mailauth.network.hosts import Host
    from pytest_mailauth.network.network import Network
    from pytest_mailauth.network.providers import provider
    from pytest_mailauth.report.explain import diagnose, explain
    from pytest_mailauth.servers.environment import MailServers
    from pytest_mailauth.servers.letters import Attachment, Message
    from pytest_mailauth.servers.oauth import TokenIssuer
    from pytest_mailauth.servers.oauth_server import OAuthServer
    from pytest_mailauth.servers.oauth_tokens import BearerToken, TokenReason, TokenVerdict
    from pytest_mailauth.servers.script import Expectation
    from pytest_mailauth.servers.server import MailServer
    from pytest_mailauth.session_assertions import (
        assert_capabilities_refetched,
        assert_commands,
        assert_handshake_rejected,
        assert_mechanism,
        assert_no_connection,
        assert_quit_sent,
        assert_starttls_before_auth,
    )

_HOMES = {
    "assertions": "assert_no_cleartext_credentials assert_not_authenticated assert_obeys assert_tls",
    "attempt_assertions": "assert_attempts assert_bounded assert_never_weaker",
    "examination": "conformance",
    "judge.clients.case": "Case",
    "model.attempts": "Attempt AttemptOutcome Strength",
    "model.canary": "Account Secret",
    "model.causes.cause": "Diagnosis",
    "model.config": "AuthPolicy ServerConfig TLSPolicy",
    "model.errors": (
        "CannotServe ClientUnusable ClientViolation ConfigError MailAuthError MessageNotArrived ServerFault "
        "UnmetExpectations"
    ),
    "model.record": "SessionRecord",
    "model.relay": "RelayPolicy",
    "model.terms": "HandshakeOutcome Layer Protocol Security Verdict",
    "model.trial": "Declaration",
    "servers.letters": "Attachment Message",
    "servers.oauth": "TokenIssuer",
    "servers.oauth_server": "OAuthServer",
    "servers.oauth_tokens": "BearerToken TokenReason TokenVerdict",
    "servers.script": "Expectation",
    "network.hosts": "Host",
    "network.network": "Network",
    "network.providers": "provider",
    "report.explain": "diagnose explain",
    "servers.environment": "MailServers",
    "servers.server": "MailServer",
    "leaks": "Secrets",
    "message_assertions": "assert_message_count assert_recipients",
    "session_assertions": (
        "assert_capabilities_refetched assert_commands assert_handshake_rejected assert_mechanism "
        "assert_no_connection assert_quit_sent assert_starttls_before_auth"
    ),
}
_HOME_OF = {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names.split()}

__all__ = [  # noqa: RUF022 - in the order of the table above
    "assert_no_cleartext_credentials",
    "assert_not_authenticated",
    "assert_obeys",
    "assert_tls",
    "assert_attempts",
    "assert_bounded",
    "assert_never_weaker",
    "conformance",
    "Case",
    "Attempt",
    "AttemptOutcome",
    "Strength",
    "Account",
    "Secret",
    "Diagnosis",
    "AuthPolicy",
    "ServerConfig",
    "TLSPolicy",
    "CannotServe",
    "ClientUnusable",
    "ClientViolation",
    "ConfigError",
    "MailAuthError",
    "MessageNotArrived",
    "ServerFault",
    "UnmetExpectations",
    "SessionRecord",
    "RelayPolicy",
    "HandshakeOutcome",
    "Layer",
    "Protocol",
    "Security",
    "Verdict",
    "Declaration",
    "Attachment",
    "Message",
    "TokenIssuer",
    "OAuthServer",
    "BearerToken",
    "TokenReason",
    "TokenVerdict",
    "Expectation",
    "Host",
    "Network",
    "provider",
    "diagnose",
    "explain",
    "MailServer",
    "MailServers",
    "Secrets",
    "assert_message_count",
    "assert_recipients",
    "assert_capabilities_refetched",
    "assert_commands",
    "assert_handshake_rejected",
    "assert_mechanism",
    "assert_no_connection",
    "assert_quit_sent",
    "assert_starttls_before_auth",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    # Not kept here: a pytester run in this process forgets the modules it imported; a kept class would outlive them.
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
