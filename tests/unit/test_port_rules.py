"""The rules about blocked ports read what a client says: what counts as a cause, as blame, and as an address."""

from __future__ import annotations

import dataclasses

import pytest
from recorded_trials import PASSWORD, TLS, attempted, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.rules.wording import blames_credentials, names_network
from pytest_mailauth.model import events as e
from pytest_mailauth.model.attempts import AttemptOutcome
from pytest_mailauth.model.canary import Account, Secret
from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.portstates import UNSEEN, port_fact
from pytest_mailauth.model.record import SessionRecord
from pytest_mailauth.model.terms import Layer, PortState, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration, Outcome, Trial

PORT = 40587
AT = f"localhost:{PORT}"

CAUSES = [
    # What Python's modules raise, by type and text.
    "ConnectionRefusedError: [Errno 111] Connection refused",
    "TimeoutError: timed out",
    "SMTPServerDisconnected: Connection unexpectedly closed: timed out",
    "error_proto: -ERR EOF",
    "abort: socket error: EOF",
    f"SMTPConnectError: Error connecting to localhost on port {PORT}: Connect call failed ('127.0.0.1', {PORT})",
    # curl, msmtp, swaks, openssl, Node.js, Jakarta Mail, Go, .NET.
    f"exit status 7: curl: (7) Failed to connect to localhost port {PORT} after 0 ms: Couldn't connect to server",
    "exit status 28: curl: (28) Connection timed out after 1001 milliseconds",
    "exit status 56: curl: (56) response reading failed (errno: 104)",
    f"exit status 68: msmtp: cannot connect to localhost, port {PORT}: Connection refused",
    "exit status 69: msmtp: the server sent an empty reply",
    f"*** Error connecting to {AT}: / *** IO::Socket::INET6: connect: Connection refused",
    "connect:errno=111",
    f"Error: connect ECONNREFUSED 127.0.0.1:{PORT}",
    f"Couldn't connect to host, port: localhost, {PORT}; timeout 1000",
    f"dial tcp 127.0.0.1:{PORT}: i/o timeout",
    "No connection could be made because the target machine actively refused it",
    # What programs say in words of their own.
    f"{AT} is unreachable",
    f"the server at {AT} did not answer",
    f"cannot open a connection to {AT}",
    f"connection to {AT} was unexpectedly closed",
    f"{AT}: no greeting within 2 s",
    f"port {PORT} blocked by a firewall",
    # A name without an address: Linux, macOS, Windows, curl, Node.js.
    "gaierror: [Errno -2] Name or service not known",
    "nodename nor servname provided, or not known",
    "[Errno 11001] getaddrinfo failed",
    "curl: (6) Could not resolve host: mail.example.test",
    "getaddrinfo ENOTFOUND mail.example.test",
    # A login that never was is no blame.
    f"Login failed: cannot connect to {AT}: [Errno 111] Connection refused",
    f"cannot connect to {AT} ([Errno 111] Connection refused); login was not attempted",
    f"cannot reach {AT}: timed out. Check host and port (not your password).",
    f"{AT}: connection reset by peer [imaps://bob:<password>@{AT}]",
    "Mailer().login().quit() / ConnectionRefusedError: [Errno 111] Connection refused",
]
BLAME = [
    "LoginFailed: authentication failed: check user name and password",
    f"{AT}: connection ok, but access denied: wrong account or secret",
    f"Connected to {AT}. Login failed.",
    f"Connection to {AT}: login failed",
    f"Connecting to {AT} ... / invalid credentials",
    "SMTPAuthenticationError",
    "535 5.7.8 Username and Password not accepted",
    "Bad username or password",
    f"cannot log in to {AT}",
    f"login to {AT} failed",
    f"login for alice@example.test at {AT} refused",
    "the server rejected your password",
    "Please check your account settings",
    f"authentication failed for bob with <password> at {AT}",
]
EMPTY = [
    f"Connected to {AT}, message sent",
    f"Connecting to {AT} ...",
    f"Connecting to {AT} (timeout 2 s)",
    f"timeout={2} {AT}",
    "connection ok",
    "usage: mailer --user NAME --password PASSWORD",
    f"imaps://bob:<password>@{AT}",
    "exit status 1",
    f"login was not attempted at {AT}",
    "something is wrong",
]


def trial(said, *, state=PortState.REFUSED, seconds=0.1, ports=(PORT,), control=None):
    config = ServerConfig(protocol="smtp", port_state=state)
    return Trial(
        protocol=Protocol.SMTP,
        security=Security.STARTTLS,
        declared=Declaration(timeout=1.0),
        served=config,
        account=Account.fresh(),
        sessions=(),
        outcome=Outcome(error=said, seconds=seconds),
        control=control,
        ports=ports,
    )


def diagnosed(said, **seen):
    return RULES["blocked-port-diagnosed"].check(trial(said, **seen))


@pytest.mark.parametrize("said", CAUSES)
def test_a_failure_of_the_network_is_a_cause_whatever_else_is_said(said):
    assert names_network(said)
    assert not blames_credentials(said)
    assert diagnosed(said).verdict in (Verdict.PASS, Verdict.NOTE)


@pytest.mark.parametrize("said", BLAME)
def test_credentials_that_are_called_wrong_or_refused_are_blamed(said):
    assert not names_network(said)
    assert diagnosed(said).verdict is Verdict.VIOLATION


@pytest.mark.parametrize("said", EMPTY)
def test_progress_success_and_a_mere_mention_prove_nothing(said):
    assert diagnosed(said).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ("[Errno 111] Connection refused", "names neither host nor port"),
        ("localhost: [Errno 111] Connection refused", "names the host and not the port"),
        (f"localhost, try {PORT}1: Connection refused", "names the host and not the port"),
        (f"port {PORT}: Connection refused", "names the port and not the host"),
    ],
)
def test_host_and_port_are_asked_for(said, missing):
    finding = diagnosed(said)
    assert (finding.verdict, finding.evidence) == (Verdict.NOTE, f"gave up in time, but {missing}: {said}")


@pytest.mark.parametrize("where", [AT, f"localhost, port {PORT}", f"127.0.0.1:{PORT}", f"[::1]:{PORT}"])
def test_an_address_is_as_good_as_a_name(where):
    assert diagnosed(f"{where}: Connection refused").verdict is Verdict.PASS


def on_a_banner(text):
    record = trial(text, state=PortState.BANNER)
    met = e.Entry(0.0, Layer.CLEAR, e.Deviated(port_fact(PortState.BANNER), "", b""))
    session = SessionRecord(1, Protocol.SMTP, Security.STARTTLS, "main", (met,))
    return RULES["blocked-port-diagnosed"].check(dataclasses.replace(record, sessions=(session,)))


@pytest.mark.parametrize(
    "text", ["Got unexpected smtp-server response: 554", "554 5.7.1 no", "* BYE no", "service refused", "-ERR no"]
)
def test_a_refusal_is_a_cause_where_the_port_is_blocked_by_a_banner_and_nowhere_else(text):
    assert on_a_banner(f"{AT}: {text}").verdict is Verdict.PASS
    assert on_a_banner(text).verdict is Verdict.NOTE
    assert diagnosed(f"{AT}: {text}").verdict is Verdict.INCONCLUSIVE


def test_blame_for_a_banner_is_blame():
    assert on_a_banner(f"{AT}: wrong password").verdict is Verdict.VIOLATION
    assert on_a_banner(f"{AT}: 5544 bytes").verdict is Verdict.INCONCLUSIVE


def test_the_other_port_of_the_account_is_not_the_blocked_one():
    assert diagnosed("localhost:40025: Connection refused", ports=(PORT, 40025)).verdict is Verdict.NOTE


def test_giving_up_late_is_a_note():
    said = f"{AT}: timed out"
    assert diagnosed(said, seconds=2.4, state=PortState.TIMEOUT).verdict is Verdict.PASS
    late = diagnosed(said, seconds=3.0, state=PortState.TIMEOUT)
    assert late.verdict is Verdict.NOTE
    assert late.evidence == f"gave up only after 3.0 s (declared time-out: 1 s), and said: {said}"
    unnamed = diagnosed("timed out", seconds=3.0, state=PortState.TIMEOUT)
    assert unnamed.evidence.endswith("and names neither host nor port: timed out")


def test_a_client_that_is_slow_to_start_is_not_late():
    slow = dataclasses.replace(trial(None), outcome=Outcome(seconds=1.0))
    assert diagnosed(f"{AT}: timed out", seconds=3.0, control=slow).verdict is Verdict.PASS


def test_a_progress_line_does_not_show_that_the_refused_port_was_tried():
    switch = RULES["no-silent-port-switch"]
    progress = dataclasses.replace(trial(f"Connecting to {AT} ..."), may_switch=True)
    assert switch.check(progress).verdict is Verdict.INCONCLUSIVE
    refused = dataclasses.replace(trial(f"{AT}: Connection refused"), may_switch=True)
    assert switch.check(refused).verdict is Verdict.PASS


# Port states.

BLOCKED = [
    PortState.SILENT,
    PortState.RESET,
    PortState.BANNER,
    PortState.HANDSHAKE_RESET,
    PortState.HANDSHAKE_CLOSE,
]
SERVED = [PortState.OPEN, PortState.SLOW, PortState.INTERCEPTED, PortState.INTERCEPTED_NO_TLS]


def session(*facts, listener="main"):
    entries = tuple(e.Entry(float(at), layer, fact) for at, (layer, fact) in enumerate(facts))
    return SessionRecord(1, Protocol.SMTP, Security.STARTTLS, listener, entries)


CAME = (Layer.CLEAR, e.Opened("x"))
HELLO = (Layer.CLEAR, e.HelloSeen(ClientHello(legacy_version="1.2")))
LEFT = (Layer.CLEAR, e.Closed("client", "close"))
MAIL = (Layer.CLEAR, e.Command("MAIL", b"FROM:<a@b>", "MAIL FROM:<a@b>"))


def met(state):
    return (Layer.CLEAR, e.Deviated(port_fact(state), "", b""))


def test_every_port_state_is_among_those_tested():
    assert {*BLOCKED, *SERVED, *UNSEEN} == set(PortState)


@pytest.mark.parametrize("state", BLOCKED)
def test_a_blocked_port_that_a_client_never_met_tells_nothing(state):
    said = f"{AT}: connection reset"
    with_fact = dataclasses.replace(trial(said, state=state), sessions=(session(CAME, met(state), LEFT),))
    check = RULES["blocked-port-diagnosed"].check
    assert check(with_fact).verdict is Verdict.PASS
    for sessions in ((), (session(CAME, LEFT),), (session(CAME, met(PortState.SLOW), LEFT),)):
        finding = check(dataclasses.replace(with_fact, sessions=sessions))
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert "never met the port state" in finding.evidence


@pytest.mark.parametrize("state", SERVED)
def test_a_port_on_which_a_server_answers_is_not_blocked(state):
    seen = dataclasses.replace(trial(f"{AT}: connection reset", state=state), sessions=(session(CAME, met(state)),))
    assert RULES["blocked-port-diagnosed"].check(seen).verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize("state", sorted(UNSEEN))
def test_a_port_that_shows_nobody_is_judged_by_what_is_said(state):
    assert diagnosed(f"{AT}: connection refused", state=state).verdict is Verdict.PASS
    assert diagnosed("wrong password", state=state).verdict is Verdict.VIOLATION


def switched(state, *sessions, said=f"{AT}: connection reset"):
    return RULES["no-silent-port-switch"].check(
        dataclasses.replace(trial(said, state=state), sessions=sessions, may_switch=True)
    )


@pytest.mark.parametrize("state", [state for state in PortState if state not in UNSEEN])
def test_a_client_that_did_not_come_to_the_port_has_not_refrained(state):
    assert switched(state).verdict is Verdict.INCONCLUSIVE
    assert switched(state, session(CAME, LEFT, listener="other")).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("state", [PortState.OPEN, PortState.SLOW, PortState.INTERCEPTED, *BLOCKED[3:]])
def test_a_handshake_that_was_not_begun_cannot_have_failed(state):
    assert switched(state, session(CAME, LEFT)).verdict is Verdict.INCONCLUSIVE
    assert switched(state, session(CAME, HELLO, LEFT)).verdict is Verdict.PASS


@pytest.mark.parametrize("state", [PortState.BANNER, PortState.INTERCEPTED_NO_TLS])
def test_a_client_that_leaves_where_there_is_no_tls_has_refrained(state):
    assert switched(state, session(CAME, met(state), LEFT)).verdict is Verdict.PASS
    assert switched(state, session(CAME, met(state), MAIL, LEFT)).verdict is Verdict.VIOLATION


def test_a_certificate_of_another_server_is_for_another_host():
    inside = (Layer.TLS, e.Command("MAIL", b"FROM:<a@b>", "MAIL FROM:<a@b>"))
    check = RULES["verify-before-credentials"].check
    other = dataclasses.replace(trial(None, state=PortState.INTERCEPTED), sessions=(session(CAME, HELLO, inside),))
    finding = check(other)
    assert finding.verdict is Verdict.VIOLATION
    assert "the certificate was wrong-host" in finding.evidence
    own = dataclasses.replace(other, served=ServerConfig(protocol="smtp", port_state="slow"))
    assert check(own).verdict is Verdict.NOT_APPLICABLE
    unseen = dataclasses.replace(other, sessions=(session(CAME, LEFT),))
    assert check(unseen).verdict is Verdict.INCONCLUSIVE


# Names, and port numbers that mean something.

HOST = "mail.example.test"


def attempts(*outcomes, name=HOST, port=25):
    return tuple(attempted(number, port, outcome, name=name) for number, outcome in enumerate(outcomes, start=1))


def named(said, tried, *, state=PortState.TIMEOUT, port="given", **seen):
    seen_trial = trial(said, state=state, ports=(25,))
    served = dataclasses.replace(seen_trial.served, host=HOST)
    declared = Declaration(timeout=1.0, port=port)
    return dataclasses.replace(seen_trial, served=served, attempts=tried, declared=declared, in_network=True, **seen)


def diagnosis(*args, **seen):
    return RULES["blocked-port-diagnosed"].check(named(*args, **seen))


def test_a_client_without_a_time_out_is_found_without_waiting_for_it():
    assert diagnosis(f"{HOST}:25: timed out", attempts(AttemptOutcome.UNBOUNDED)).verdict is Verdict.VIOLATION
    assert diagnosis(f"{HOST}:25: timed out", attempts(AttemptOutcome.TIMEOUT)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (f"cannot resolve host {HOST}", Verdict.PASS),
        (f"{HOST}: Name or service not known", Verdict.PASS),
        ("[Errno -2] Name or service not known", Verdict.NOTE),
        ("login failed: wrong password", Verdict.VIOLATION),
        (None, Verdict.NOT_APPLICABLE),
    ],
)
def test_a_name_without_an_address_is_told(said, verdict):
    tried = attempts(AttemptOutcome.UNRESOLVABLE)
    assert diagnosis(said, tried, state=PortState.OPEN).verdict is verdict


def test_a_name_that_nobody_asked_for_is_no_blocked_port():
    assert diagnosis("timed out", (), state=PortState.OPEN).verdict is Verdict.NOT_APPLICABLE


def login_at(name, port):
    (session,) = recorded(((TLS, e.Authentication("PLAIN", "user", Secret(PASSWORD), accepted=True)),)).sessions
    return (attempted(9, port, name=name, session=session),)


def test_a_login_under_another_name_is_a_violation_and_at_another_port_with_tls_a_note():
    nowhere = attempts(AttemptOutcome.UNRESOLVABLE)
    found = diagnosis(None, nowhere + login_at("example.test", 25), state=PortState.OPEN)
    assert (found.verdict, found.evidence) == (
        Verdict.VIOLATION,
        "mail.example.test has no address, and the client logged in at example.test, which it was not told",
    )
    assert diagnosis(None, attempts(AttemptOutcome.TIMEOUT) + login_at(HOST, 587)).verdict is Verdict.NOTE


def test_whoever_chose_the_port_may_name_any_that_it_tried():
    tried = attempts(AttemptOutcome.TIMEOUT) + attempts(AttemptOutcome.REFUSED, port=465)
    said = f"{HOST}:465: connection refused"
    assert diagnosis(said, tried).verdict is Verdict.NOTE
    assert diagnosis(said, tried, port="chosen").verdict is Verdict.PASS


def test_a_refused_attempt_shows_that_the_port_was_tried():
    switch = RULES["no-silent-port-switch"]
    tried = named("failed", attempts(AttemptOutcome.REFUSED), state=PortState.REFUSED)
    assert switch.check(tried).verdict is Verdict.PASS
    assert switch.check(dataclasses.replace(tried, attempts=())).verdict is Verdict.INCONCLUSIVE
    assert switch.check(dataclasses.replace(tried, attempts=(), in_network=False)).verdict is Verdict.NOT_APPLICABLE


def test_what_was_not_tried_is_not_diagnosed():
    assert diagnosis(f"{HOST}:25: connection refused", ()).verdict is Verdict.INCONCLUSIVE
