"""What a test asserts about the clients of a server. Every failure names the requirement and shows the transcript.

No assertion passes on an empty record: a client that never connected has not obeyed anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.rules.evidence import leak
from pytest_mailauth.model import events as e
from pytest_mailauth.model.errors import ClientViolation, ConfigError, ServerFault
from pytest_mailauth.model.hello import in_words, rank
from pytest_mailauth.model.portstates import UNSEEN
from pytest_mailauth.model.terms import SOUND, TLS_VERSIONS, Layer, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration, Finding, Outcome, Trial
from pytest_mailauth.report.explain import endings
from pytest_mailauth.report.text import explain_assertion, explain_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_mailauth.model.config import ServerConfig
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.servers.server import MailServer

_APPLIES: Final[dict[str, Callable[[ServerConfig, Declaration], bool]]] = {
    "no-cleartext-credentials": lambda _config, _declared: True,
    "no-operation-before-required-tls": lambda config, _declared: config.security is not Security.NONE,
    "verify-before-credentials": lambda config, _declared: (
        config.shown_certificate not in SOUND or config.tls.is_anonymous
    ),
    "tls12-or-newer": lambda config, declared: (
        config.tls.is_legacy or (declared.min_tls > "1.2" and config.security is not Security.NONE)
    ),
    "respect-logindisabled": lambda config, _declared: (
        config.protocol is Protocol.IMAP
        and config.auth.password_commands in (("never",) if config.security is Security.IMPLICIT else ("never", "tls"))
    ),
}
"""Rules that one server's record can answer without a scenario, and the servers on which they mean something."""

_OWED: Final = frozenset(_APPLIES) - {"no-operation-before-required-tls", "respect-logindisabled"}
"""Of those, the rules that a client has to answer: whoever serves a bad certificate wants to see what becomes of it.
The two others may stay open; a client that does nothing in clear does nothing wrong."""

_ANSWERS: Final = (Verdict.PASS, Verdict.NOTE)


def assert_obeys(
    server: MailServer, *, rules: Iterable[str] | None = None, declared: Declaration | None = None
) -> None:
    """Assert that every client of *server* obeyed the rules.

    Args:
        server: The server whose record is judged.
        rules: Names of rules; None (default) for every rule that this server's record can answer.
        declared: What the client is declared to do; None for a client that requires TLS and verifies.

    Raises:
        ClientViolation: A rule was broken, or no client did what would have answered it: a test in which nobody
            came as far as the bad certificate proves nothing.
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
    declared = declared or Declaration()
    trial = _trial(server, declared)
    names = _usual(server, declared) if rules is None else _named(rules)
    findings = {name: RULES[name].check(trial) for name in names}
    broken = _broken(server, findings)
    if broken is not None:
        raise broken
    for name, finding in findings.items():
        if finding.verdict not in _ANSWERS and (rules is not None or name in _OWED):
            raise _violation(server, name, finding)


def broken_rule(server: MailServer, declared: Declaration) -> str | None:
    """Return the text about the first rule that a client of *server* broke, or None. What is left open is no failure.

    Raises:
        ServerFault: The record contradicts itself.
    """
    trial = _trial(server, declared)
    names = _usual(server, declared) if server.sessions else ()
    broken = _broken(server, {name: RULES[name].check(trial) for name in names})
    return None if broken is None else str(broken)


def _usual(server: MailServer, declared: Declaration) -> list[str]:
    return [name for name, applies in _APPLIES.items() if applies(server.config, declared)]


def _broken(server: MailServer, findings: Mapping[str, Finding]) -> ClientViolation | None:
    """Return the failure of the first rule that was broken, or None."""
    for name, finding in findings.items():
        if finding.verdict is Verdict.ERROR:
            raise ServerFault(f"{name}: {finding.evidence}")
        if finding.verdict is Verdict.VIOLATION:
            return _violation(server, name, finding)
    return None


def _violation(server: MailServer, rule: str, finding: Finding) -> ClientViolation:
    return ClientViolation(server.shown(explain_failure(rule, finding, server.transcript(), endings(server))))


def _named(rules: Iterable[str]) -> list[str]:
    names = [rules] if isinstance(rules, str) else list(rules)
    unknown = [name for name in names if name not in RULES]
    if unknown or not names:
        wrong = f"there is no rule {unknown[0]!r}" if unknown else "no rule is named"
        raise ConfigError(f"{wrong}; the rules are {', '.join(sorted(RULES))}")
    return names


def assert_no_cleartext_credentials(server: MailServer) -> None:
    """Assert that no client sent a password or token outside TLS (S2, S9, S12; RFC 8314 section 5.2).

    Raises:
        ClientViolation: One crossed in clear, right or wrong, or no client did anything.
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
    if not server.sessions:
        nobody = Finding(Verdict.INCONCLUSIVE, "no client connected")
        raise _violation(server, "tls12-or-newer", nobody)
    for session in server.sessions:
        failure = _tls_failure(server, session, min_version)
        if failure is not None:
            raise ClientViolation(failure)


_START_TLS: Final = {
    Security.STARTTLS: "Let the client send STARTTLS (in POP3: STLS) and begin the handshake on a success reply.",
    Security.IMPLICIT: "Let the client begin the TLS handshake as soon as it is connected.",
    Security.NONE: "This server has no TLS; make it with security='starttls' or security='implicit'.",
}


def _tls_failure(server: MailServer, session: SessionRecord, min_version: str) -> str | None:
    """Return what there is to say about a session that was not inside TLS of *min_version*, or None."""
    facts, name = session.tls, f"session {session.number}"
    version = facts.version if facts is not None and session.over_tls else None
    if not session.of(e.HelloSeen):
        actual, step = f"{name} never began a TLS handshake", _START_TLS[server.security]
    elif version is None:
        ended = (facts.alert or facts.reason or facts.outcome) if facts is not None else "it goes on"
        unclear = Finding(Verdict.INCONCLUSIVE, f"{name}: the TLS handshake did not finish ({ended})")
        return explain_failure("tls12-or-newer", unclear, server.transcript(), endings(server))
    elif rank(version) < rank(min(min_version, "1.2")):
        old = Finding(Verdict.VIOLATION, f"{name} used {in_words(version)}, not {min_version}")
        return explain_failure("tls12-or-newer", old, server.transcript(), endings(server))
    elif rank(version) < rank(min_version):  # which no rule forbids
        actual, step = f"{name} used {in_words(version)}", f"Set the minimum TLS version to {min_version}."
    else:
        return None
    expected = f"Every client that connects is inside TLS {min_version} or newer."
    return explain_assertion(
        "assert_tls",
        expected=expected,
        actual=actual,
        transcript=server.transcript(),
        step=step,
        diagnosis=endings(server),
    )


def assert_not_authenticated(server: MailServer) -> None:
    """Assert that a client reached this server and did not log in: what a refusing client does.

    On a port that is refused or never answers, no connection can be seen, and none is asked for.

    Raises:
        ClientViolation: A client presented an account's password or token, or none connected.
    """
    __tracebackhide__ = True
    sessions = server.sessions
    if not sessions and server.config.port_state not in UNSEEN:
        _not_refused(server, "no client connected", "Let the client under test connect to this server: see its error.")
    for session in sessions:
        for fact in session.of(e.Authentication):
            if fact.accepted:
                _let_in(server, f"session {session.number}: a client logged in with {fact.mechanism}")
    trial = _trial(server, Declaration())
    for layer in Layer:
        shown = leak(trial, layer, strangers=False)  # also outside of any login, and behind an alert
        if shown is not None and shown.verdict is Verdict.ERROR:
            raise ServerFault(f"verify-before-credentials: {shown.evidence}")
        if shown is not None:
            _let_in(server, shown.evidence)


def _let_in(server: MailServer, evidence: str) -> NoReturn:
    """Fail with the rule about certificates where one is bad, and with what the test asked for elsewhere."""
    __tracebackhide__ = True
    fault = server.config.shown_certificate
    if fault in SOUND:
        _not_refused(server, evidence, "See in the transcript what let the client go on: it was to refuse this server.")
    finding = Finding(Verdict.VIOLATION, f"{evidence}, although the certificate is {fault}")
    raise _violation(server, "verify-before-credentials", finding)


def _not_refused(server: MailServer, actual: str, step: str) -> NoReturn:
    __tracebackhide__ = True
    expected = "A client reaches this server, and neither logs in nor shows a password or token."
    text = explain_assertion(
        "assert_not_authenticated",
        expected=expected,
        actual=actual,
        transcript=server.transcript(),
        step=step,
        diagnosis=endings(server),
    )
    raise ClientViolation(server.shown(text))


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
