"""What a test asserts about the clients of a server. Every failure names the requirement and shows the transcript.

No assertion passes on an empty record: a client that never connected has not obeyed anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.errors import ClientViolation, ConfigError, ServerFault
from pytest_mailauth.model.terms import TLS_VERSIONS, Certificate, PortState, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration, Finding, Outcome, Trial
from pytest_mailauth.report.text import explain_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_mailauth.model.config import ServerConfig
    from pytest_mailauth.servers.server import MailServer

_APPLIES: Final[dict[str, Callable[[ServerConfig], bool]]] = {
    "no-cleartext-credentials": lambda _config: True,
    "no-operation-before-required-tls": lambda config: config.security is not Security.NONE,
    "verify-before-credentials": lambda config: config.certificate is not Certificate.VALID,
    "tls12-or-newer": lambda config: config.tls.is_legacy,
    "respect-logindisabled": lambda config: (
        config.protocol is Protocol.IMAP
        and config.security is not Security.IMPLICIT
        and config.auth.password_commands != "always"
    ),
}
"""Rules that one server's record can answer without a scenario, and the servers on which they mean something."""

_UNSEEN: Final = (PortState.REFUSED, PortState.TIMEOUT)
"""Port states in which a connection attempt leaves no trace on the server."""


def assert_obeys(
    server: MailServer, *, rules: Iterable[str] | None = None, declared: Declaration | None = None
) -> None:
    """Assert that every client of *server* obeyed the rules.

    Args:
        server: The server whose record is judged.
        rules: Names of rules; None (default) for every rule that this server's record can answer.
        declared: What the client is declared to do; None for a client that requires TLS and verifies.

    Raises:
        ClientViolation: A rule was broken, or no client did anything that could be judged.
        ConfigError: A rule does not exist.

    Examples:
        >>> import smtplib
        >>> from pytest_mailauth import MailServers, assert_obeys
        >>> with MailServers() as servers:
        ...     server = servers.smtp()
        ...     with smtplib.SMTP(server.host, server.port, timeout=2) as client:
        ...         _ = client.starttls(context=server.ssl_context())
        ...         _ = client.login(server.account.username, server.account.password)
        ...     assert_obeys(server)
    """
    __tracebackhide__ = True
    names = [name for name, applies in _APPLIES.items() if applies(server.config)] if rules is None else list(rules)
    unknown = [name for name in names if name not in RULES]
    if unknown:
        raise ConfigError(f"there is no rule {unknown[0]!r}; the rules are {', '.join(sorted(RULES))}")
    trial = _trial(server, declared or Declaration())
    findings = {name: RULES[name].check(trial) for name in names}
    for name, finding in findings.items():
        if finding.verdict is Verdict.ERROR:
            raise ServerFault(f"{name}: {finding.evidence}")
        if finding.verdict is Verdict.VIOLATION:
            raise ClientViolation(explain_failure(name, finding, server.transcript()))
    if not any(finding.verdict in (Verdict.PASS, Verdict.NOTE) for finding in findings.values()):
        name, finding = next(iter(findings.items()))
        raise ClientViolation(explain_failure(name, finding, server.transcript()))


def assert_no_cleartext_credentials(server: MailServer) -> None:
    """Assert that no client sent this account's password outside TLS (S2, S9, S12; RFC 8314 section 5.2).

    Raises:
        ClientViolation: The password crossed in clear, or no client did anything.
    """
    __tracebackhide__ = True
    assert_obeys(server, rules=("no-cleartext-credentials",))


def assert_tls(server: MailServer, *, min_version: str = "1.2") -> None:
    """Assert that every client that connected ended up inside TLS of at least *min_version* (S5; RFC 8997).

    Args:
        server: The server whose record is judged.
        min_version: ``"1.0"`` to ``"1.3"``. Default ``"1.2"``.

    Raises:
        ClientViolation: A client was not inside TLS, used an older version, or none connected.
        ConfigError: The version is not known.
    """
    __tracebackhide__ = True
    if min_version not in TLS_VERSIONS:
        raise ConfigError(f"min_version={min_version!r} is not known; use one of {', '.join(TLS_VERSIONS)}")
    sessions = server.sessions
    if not sessions:
        _fail(server, "tls12-or-newer", "no client connected")
    for session in sessions:
        facts = session.tls
        if not session.over_tls or facts is None:
            _fail(server, "tls12-or-newer", f"session {session.number} never had a finished TLS handshake")
        elif facts.version is not None and facts.version < min_version:
            _fail(server, "tls12-or-newer", f"session {session.number} used TLS {facts.version}, not {min_version}")


def assert_not_authenticated(server: MailServer) -> None:
    """Assert that a client reached this server and did not log in: what a refusing client does.

    On a port that is refused or never answers, no connection can be seen, and none is asked for.

    Raises:
        ClientViolation: A client presented this account's password, or none connected.
    """
    __tracebackhide__ = True
    sessions = server.sessions
    if not sessions and server.config.port_state not in _UNSEEN:
        _fail(server, "verify-before-credentials", "no client connected")
    for session in sessions:
        for fact in session.of(e.Authentication):
            if fact.accepted or fact.secret in server.account.secrets.values():
                outcome = "logged in" if fact.accepted else "presented the account's secret"
                evidence = f"session {session.number}: a client {outcome} with {fact.mechanism}"
                if server.config.certificate is not Certificate.VALID:
                    evidence += f", although the certificate is {server.config.certificate}"
                _fail(server, "verify-before-credentials", evidence)


def _fail(server: MailServer, rule: str, evidence: str) -> None:
    __tracebackhide__ = True
    raise ClientViolation(explain_failure(rule, Finding(Verdict.VIOLATION, evidence), server.transcript()))


def _trial(server: MailServer, declared: Declaration) -> Trial:
    return Trial(
        protocol=server.protocol,
        security=server.security,
        declared=declared,
        served=server.config,
        account=server.account,
        sessions=server.sessions,
        outcome=Outcome(),
    )
