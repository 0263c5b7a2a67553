"""The pytest plugin: hooks and fixtures, no logic. Nothing heavy is imported before a fixture is used.

Fixtures: ``mailauth_smtp``, ``mailauth_pop3``, ``mailauth_imap`` (a ready server each, set up by the marker
``mailauth``), ``mailauth`` (makes servers), ``mailauth_factory`` (the same for a whole session, for Hypothesis),
``mailauth_ca`` (the certificate authority), ``mailauth_oauth`` (issues bearer tokens, set up by the marker
``mailauth_oauth``) and ``mailauth_case`` (for ``@conformance``).
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pytest_mailauth.examination import Examination
    from pytest_mailauth.leaks import Secrets
    from pytest_mailauth.network.network import Network
    from pytest_mailauth.servers.environment import MailServers
    from pytest_mailauth.servers.oauth_server import OAuthServer
    from pytest_mailauth.servers.pki import CertificateAuthority
    from pytest_mailauth.servers.server import MailServer

MARKER = (
    "mailauth(*, security='starttls', tls=TLSPolicy(), certificate='valid', auth=AuthPolicy(), port_state='open', "
    "host='localhost', relay=RelayPolicy(), line_limits='strict'): settings of the servers behind mailauth_smtp, "
    "mailauth_pop3 and mailauth_imap, and of those that mailauth makes unless it is told otherwise."
)
OAUTH_MARKER = (
    "mailauth_oauth(*, https=False, certificate='valid', tls=TLSPolicy(), client_id=..., client_secret=..., "
    "redirect_uris=(), scope=..., audience=..., expires_in=3600, format='opaque', algorithm='ES256', "
    "device_interval=5, acts_for=(), clock=None): settings of mailauth_oauth."
)
TRANSCRIPT_LINES = 200
"""Lines of each server's transcript in the report of a failure; of a longer one the middle is left out."""
SHARED_SERVERS = 5
"""Servers of ``mailauth_factory`` whose transcripts are in the report of a failure: those that were made last."""
_WITH_TRANSCRIPT = ("ClientViolation", "ClientUnusable")
"""Failures of our own, which carry the transcript in their text."""
_SKIPS = "CannotServeHere"
_PLAN = "mailauth_conformance"
_FIXTURES = {"mailauth_smtp": "smtp", "mailauth_pop3": "pop3", "mailauth_imap": "imap"}
_servers = pytest.StashKey[list["MailServers"]]()
_factory = pytest.StashKey["MailServers"]()
_running = pytest.StashKey[pytest.Item]()
_began = pytest.StashKey[float]()
_ended_early = pytest.StashKey[bool]()
_issuers = pytest.StashKey[list["OAuthServer"]]()
_network = pytest.StashKey["Network"]()
_controls = pytest.StashKey[dict[str, Any]]()


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, so that ``--strict-markers`` and ``pytest --markers`` know it."""
    config.addinivalue_line("markers", MARKER)
    config.addinivalue_line("markers", OAUTH_MARKER)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each scenario of a ``@conformance`` function."""
    plan = getattr(metafunc.function, _PLAN, None)
    if plan is not None:
        ids = [setting.id for setting in plan.settings]
        metafunc.parametrize("mailauth_case", plan.settings, ids=ids, indirect=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember which test runs, and since when, and check its markers: a mistake is an error of this test alone.

    Not before others have looked whether it is skipped; the runner makes the fixtures later.
    """
    item.config.stash[_running] = item
    item.stash[_began] = time.monotonic()
    if next(item.iter_markers("mailauth"), None) is not None:
        used = [_FIXTURES[name] for name in getattr(item, "fixturenames", ()) if name in _FIXTURES]
        _settings(item, *used)
    if next(item.iter_markers("mailauth_oauth"), None) is not None:
        _oauth_settings(item)


def _settings(item: pytest.Item, *protocols: str) -> dict[str, Any]:
    """Return the marker's settings, and fail the test if one of *protocols* does not take them.

    Without any, the test may still ask for each of them, so it is enough that one does.
    """
    from pytest_mailauth.model.config import ServerConfig
    from pytest_mailauth.model.errors import ConfigError

    settings = _keywords(item, "mailauth")
    if "protocol" in settings:
        said = f"protocol={settings['protocol']!r} is said by the fixture: use mailauth_smtp, mailauth_pop3 or"
        _refuse(item, "mailauth", f"{said} mailauth_imap, and leave it out here")
    problems = []
    for protocol in protocols or _FIXTURES.values():
        try:
            ServerConfig(protocol=protocol, **settings)
        except (ConfigError, TypeError) as error:
            problems.append(str(error))
    if problems and (protocols or len(problems) == len(_FIXTURES)):
        _refuse(item, "mailauth", problems[0])
    return settings


def _refuse(item: pytest.Item, marker: str, problem: str) -> NoReturn:
    __tracebackhide__ = True
    pytest.fail(f"{item.nodeid}: @pytest.mark.{marker}: {problem}", pytrace=False)


def _keywords(item: pytest.Item, name: str) -> dict[str, Any]:
    """Return the keyword arguments of all markers of this name; the closest one wins."""
    keywords: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers(name))):
        if marker.args:
            _refuse(item, name, f"{marker.args[0]!r} has no name; it takes keyword arguments only")
        keywords.update(marker.kwargs)
    return keywords


def _oauth_settings(item: pytest.Item) -> dict[str, Any]:
    """Return the settings of ``mailauth_oauth``, and fail the test if one is unknown, or its value is."""
    from pytest_mailauth.model.errors import ConfigError
    from pytest_mailauth.servers.oauth_server import OAuthServer

    settings = _keywords(item, "mailauth_oauth")
    try:
        OAuthServer(**settings)  # starts nothing
    except (ConfigError, TypeError) as error:
        _refuse(item, "mailauth_oauth", str(error))
    return settings


@pytest.fixture(scope="session")
def mailauth_factory(request: pytest.FixtureRequest) -> Iterator[MailServers]:
    """Make servers for the whole session, each with accounts and messages of its own. Safe under ``@given``.

    Use each server as a context manager: ``with mailauth_factory.smtp(...) as server:``.
    """
    from pytest_mailauth.servers.environment import MailServers

    with MailServers(isolated=True) as servers:
        request.session.stash[_factory] = servers
        yield servers


@pytest.fixture(scope="session")
def mailauth_ca(mailauth_factory: MailServers) -> CertificateAuthority:
    """The certificate authority behind every valid certificate: ``cafile``, ``ssl_context()``, ``issue(...)``."""
    return mailauth_factory.ca


@pytest.fixture
def mailauth(mailauth_factory: MailServers, request: pytest.FixtureRequest) -> Iterator[MailServers]:
    """Make servers for one test: ``mailauth.smtp(...)``, ``.pop3(...)``, ``.imap(...)``.

    They share accounts and messages: what is sent to ``mailauth.account.address`` over SMTP can be read over POP3
    and IMAP. All are closed when the test ends, and a failure inside one of them fails the test. The marker
    ``mailauth`` says what they are set to unless the call does.
    """
    with mailauth_factory.environment(**_keywords(request.node, "mailauth")) as servers:
        request.node.stash.setdefault(_servers, []).append(servers)
        yield servers
        if request.node.stash.get(_ended_early, False):
            servers.excuse()


@pytest.fixture
def mailauth_secrets(request: pytest.FixtureRequest) -> Secrets:
    """Secrets made for one test (``password``, ``token``, ``new(label)``), and the search for them.

    ``mailauth_secrets.assert_absent(caplog, capsys, exception)`` also looks for the passwords and tokens of the test's
    own servers. No server is started for it.
    """
    from pytest_mailauth.leaks import Secrets

    environments = request.node.stash.setdefault(_servers, [])
    issuers = request.node.stash.setdefault(_issuers, [])
    return Secrets(
        lambda: [account for servers in environments for account in servers.store.accounts],
        lambda: {name: secret for issuer in issuers for name, secret in issuer.secrets.items()},
    )


def _ready(servers: MailServers, request: pytest.FixtureRequest, protocol: str) -> MailServer:
    make = {"smtp": servers.smtp, "pop3": servers.pop3, "imap": servers.imap}[protocol]
    settings = _settings(request.node, protocol)
    if protocol != "smtp":
        settings.pop("relay", None)  # a marker is for all three, and mail is sent to one of them
    return make(**settings)


@pytest.fixture
def mailauth_smtp(mailauth: MailServers, request: pytest.FixtureRequest) -> MailServer:
    """A strict SMTP submission server: passwords only inside TLS 1.2 or newer. Change it with the marker."""
    return _ready(mailauth, request, "smtp")


@pytest.fixture
def mailauth_pop3(mailauth: MailServers, request: pytest.FixtureRequest) -> MailServer:
    """A strict POP3 server: passwords only inside TLS 1.2 or newer. Change it with the marker."""
    return _ready(mailauth, request, "pop3")


@pytest.fixture
def mailauth_imap(mailauth: MailServers, request: pytest.FixtureRequest) -> MailServer:
    """A strict IMAP server: passwords only inside TLS 1.2 or newer. Change it with the marker."""
    return _ready(mailauth, request, "imap")


@pytest.fixture
def mailauth_network(mailauth: MailServers, request: pytest.FixtureRequest) -> Iterator[Network]:
    """Names and real port numbers in front of the fakes, for the Python clients of this process.

    ``mailauth_network.host("smtp.example.test").smtp(587)`` adds a server, ``block(25)`` blocks a port, ``attempts``
    lists what clients tried. A client that tries to reach another machine is kept from it, and fails the test.
    """
    from pytest_mailauth.network.network import Network

    with Network(mailauth) as network:
        request.node.stash[_network] = network
        yield network


@pytest.fixture
def mailauth_oauth(mailauth: MailServers, request: pytest.FixtureRequest) -> Iterator[OAuthServer]:
    """An OAuth 2.0 authorization server: ``issue()`` makes bearer tokens, ``token_url`` and the others start HTTP.

    Time stands still on its clock until ``advance(seconds)``. Set it up with the marker ``mailauth_oauth``.
    """
    from pytest_mailauth.servers.oauth_server import OAuthServer

    shared: dict[str, Any] = {"account": mailauth.account, "ca": mailauth.ca}
    with OAuthServer(**shared | _oauth_settings(request.node)) as oauth:
        request.node.stash.setdefault(_issuers, []).append(oauth)
        mailauth.store.issuers.append(oauth)
        yield oauth
        if request.node.stash.get(_ended_early, False):
            oauth.excuse()


@pytest.fixture
def mailauth_case(mailauth_factory: MailServers, request: pytest.FixtureRequest) -> Examination:
    """What a ``@conformance`` test is given to connect with: host, port, security, username, password, cafile."""
    from pytest_mailauth.examination import Examination

    plan = getattr(request.function, _PLAN, None)
    if plan is None:
        raise pytest.UsageError(f"{request.node.nodeid}: mailauth_case needs the decorator @conformance(...)")
    passed = request.session.stash.setdefault(_controls, {}).setdefault(request.node.nodeid.partition("[")[0], {})
    environments = request.node.stash.setdefault(_servers, [])
    return Examination(mailauth_factory, request.param, plan, passed, environments)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Turn what a ``@conformance`` test cannot decide into a skip with its reason, and keep remarks in the report."""
    __tracebackhide__ = True
    if getattr(pyfuncitem.obj, _PLAN, None) is None:
        return (yield)
    from pytest_mailauth.model.errors import CannotServe

    examination = cast("Examination", pyfuncitem.funcargs["mailauth_case"])
    try:
        result = yield
    except CannotServe as reason:
        raise pytest.skip.Exception(str(reason), _use_item_location=True) from None
    if examination.remark is not None:
        pyfuncitem.add_report_section("call", "mailauth", examination.remark)
        pyfuncitem.user_properties.append(("mailauth", examination.remark))
    if examination.not_applicable:
        raise pytest.skip.Exception(f"not applicable: {examination.remark}", _use_item_location=True)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_assertrepr_compare(
    config: pytest.Config, op: str, left: object, right: object
) -> Generator[None, list[list[str]], Any]:
    """Keep pytest from comparing passwords and tokens in the open."""
    told = yield
    if "pytest_mailauth.model.canary" not in sys.modules:
        return told  # nobody can have made a Secret
    from pytest_mailauth.report.concealment import conceal_comparison, conceal_texts

    item = config.stash.get(_running, None)
    if item is not None and isinstance(left, str) and isinstance(right, str):
        clean = conceal_texts(left, right, _hidden(item))
        if clean is not None:
            told = item.ihook.pytest_assertrepr_compare(config=config, op=op, left=clean[0], right=clean[1])
    return conceal_comparison(told, op, left, right)


def _used(item: pytest.Item) -> list[MailServer]:
    """Return the servers that a test used: its own, and the last of those of the session that it spoke to."""
    own = [server for servers in item.stash.get(_servers, []) for server in servers.servers]
    factory = item.session.stash.get(_factory, None)
    if factory is None:
        return own
    from pytest_mailauth.servers.showing import seen_since

    return own + seen_since((*factory.servers, *factory.recent), item.stash.get(_began, 0.0))[-SHARED_SERVERS:]


def _hidden(item: pytest.Item) -> tuple[tuple[str, str], ...]:
    """Return the secrets of a test, each with the label that is shown in its place."""
    secrets = (getattr(item, "funcargs", None) or {}).get("mailauth_secrets")
    hidden = list(secrets.hidden) if secrets is not None else []
    factory = item.session.stash.get(_factory, None)
    if factory is not None:
        from pytest_mailauth.servers.showing import hidden_of

        for servers in item.stash.get(_servers, []):
            hidden += hidden_of(servers.store, (session for one in servers.servers for session in one.sessions))
        for server in (*factory.servers, *factory.recent):
            hidden += server.hidden
    return tuple(dict.fromkeys(hidden))


def _skip(reason: str) -> NoReturn:
    raise pytest.skip.Exception(reason, _use_item_location=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Take the secrets of the test's servers out of a failure, and put the transcripts beside it.

    What this system does not have, and others do, is a skip with its reason and no failure: ``port_state="timeout"``.
    """
    if call.excinfo is not None and call.excinfo.typename == _SKIPS:
        reason = str(call.excinfo.value)
        call.excinfo = pytest.CallInfo.from_call(lambda: _skip(reason), call.when).excinfo
    report = yield
    if call.excinfo is not None:
        item.stash[_ended_early] = True  # a test that has failed, or was skipped, could not do what is waited for
    if report.failed and (hidden := _hidden(item)):
        from pytest_mailauth.report.concealment import conceal_report

        report.longrepr = cast("Any", conceal_report(report.longrepr, hidden))
    if report.failed and call.excinfo is not None and call.excinfo.typename not in _WITH_TRANSCRIPT:
        for server in _used(item):
            if server.sessions:
                from pytest_mailauth.report.explain import known_endings
                from pytest_mailauth.report.text import diagnosed, shown

                lines = shown(server.transcript(), limit=TRANSCRIPT_LINES)
                lines += map(server.shown, diagnosed(known_endings(server)))
                report.sections.append((f"mailauth {server!r}", "\n".join(lines)))
    if report.failed and (network := item.stash.get(_network, None)) is not None:
        from pytest_mailauth.report.explain import network_section

        told = call.excinfo is not None and call.excinfo.typename in _WITH_TRANSCRIPT
        report.sections.append(("mailauth network", network_section(network, _hidden(item), told=told)))
    return report
