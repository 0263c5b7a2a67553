"""The rules about port numbers, asked about connections that are written down here."""

from __future__ import annotations

import dataclasses

import pytest
from recorded_trials import CLEAR, PASSWORD, TLS, attempted, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.attempts import AttemptOutcome
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.terms import HandshakeOutcome, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration, Outcome

OPENED = (CLEAR, e.Opened("127.0.0.1:40000"))
HELLO = (CLEAR, e.HelloSeen(ClientHello("1.3")))
UNREAD_HELLO = (CLEAR, e.Received(b"\x16\x03\x01\x00\x05hello"))
EHLO = (CLEAR, e.Received(b"EHLO me\r\n"))
LOGIN = (TLS, e.Authentication("PLAIN", "user", Secret(PASSWORD), accepted=True))
SECURED = (HELLO, (CLEAR, e.HandshakeEnded(HandshakeOutcome.COMPLETED, "1.3")), LOGIN)
SECURED_IN_BYTES = (*SECURED, (TLS, e.Received(PASSWORD.encode())))


def visited(*connections, ports=(587,), security=Security.STARTTLS, control=True, **seen):
    """Return the trial of a client that made these connections, each a port and what was observed."""
    made = recorded(*(session for _, session in connections), security=security, **seen)
    attempts = tuple(
        attempted(number, port, session=session)
        for number, ((port, _), session) in enumerate(zip(connections, made.sessions, strict=True), start=1)
    )
    usual = recorded((OPENED, *SECURED)) if control else None
    return dataclasses.replace(made, ports=ports, attempts=attempts, control=usual)


def asked(rule, trial):
    finding = RULES[rule].check(trial)
    return finding.verdict, finding.evidence


@pytest.mark.parametrize(
    ("port", "security", "session", "verdict"),
    [
        (465, Security.IMPLICIT, (OPENED, UNREAD_HELLO), Verdict.PASS),
        (465, Security.IMPLICIT, (OPENED, EHLO), Verdict.VIOLATION),
        (465, Security.IMPLICIT, (OPENED,), Verdict.INCONCLUSIVE),
        (587, Security.STARTTLS, (OPENED, HELLO), Verdict.VIOLATION),
        (587, Security.STARTTLS, (OPENED, UNREAD_HELLO), Verdict.VIOLATION),
        (587, Security.STARTTLS, (OPENED,), Verdict.PASS),
        (587, Security.STARTTLS, (OPENED, EHLO), Verdict.PASS),
    ],
)
def test_a_port_number_stands_for_a_mode(port, security, session, verdict):
    assert asked("port-implies-mode", visited((port, session), ports=(port,), security=security))[0] is verdict


def test_one_wrong_connection_is_enough():
    trial = visited((465, (OPENED, EHLO)), (465, (OPENED, UNREAD_HELLO)), ports=(465,), security=Security.IMPLICIT)
    assert asked("port-implies-mode", trial) == (
        Verdict.VIOLATION,
        "port 465 stands for implicit TLS, and the client began with a command in clear",
    )


def test_silence_of_a_client_that_never_logged_in_proves_nothing():
    assert asked("port-implies-mode", visited((587, (OPENED,)), control=False))[0] is Verdict.INCONCLUSIVE


def test_what_happens_on_other_ports_is_not_asked():
    assert asked("port-implies-mode", visited((2525, (OPENED, HELLO))))[0] is Verdict.INCONCLUSIVE


def test_a_refused_attempt_is_no_connection():
    trial = visited((587, (OPENED, HELLO)))
    refused = tuple(dataclasses.replace(one, outcome=AttemptOutcome.REFUSED) for one in trial.attempts)
    assert asked("port-implies-mode", dataclasses.replace(trial, attempts=refused))[0] is Verdict.INCONCLUSIVE


# A port that stands for no mode.

CLEAR_LOGIN = (
    OPENED,
    (CLEAR, e.Received(b"AUTH PLAIN " + PASSWORD.encode() + b"\r\n")),
    (CLEAR, e.Authentication("PLAIN", "user", Secret(PASSWORD), accepted=True)),
)


def unstated(*sessions, said=None, security=Security.STARTTLS, **seen):
    trial = visited(*((2525, session) for session in sessions), ports=(2525,), security=security, **seen)
    declared = Declaration(mode="from-port")
    return asked("custom-port-needs-mode", dataclasses.replace(trial, declared=declared, outcome=Outcome(error=said)))


def stated(*sessions, security):
    return asked(
        "custom-port-needs-mode", visited(*((2525, session) for session in sessions), ports=(2525,), security=security)
    )


@pytest.mark.parametrize(
    ("sessions", "said", "verdict"),
    [
        ((), "Unconfigured: port 2525 does not tell the mode", Verdict.PASS),
        ((), "ValueError: say ssl or starttls", Verdict.PASS),
        ((), "ConnectionRefusedError: port 2525: connection refused", Verdict.INCONCLUSIVE),
        ((), "KeyError: 2525", Verdict.INCONCLUSIVE),
        ((), None, Verdict.INCONCLUSIVE),
        ((CLEAR_LOGIN,), None, Verdict.VIOLATION),
        (((OPENED, (CLEAR, e.Command("MAIL", b"", "MAIL FROM:<a@b>"))),), None, Verdict.VIOLATION),
        (((OPENED, *SECURED),), None, Verdict.PASS),
        (((OPENED, EHLO),), "no STARTTLS", Verdict.PASS),
        (((OPENED, UNREAD_HELLO),), "not TLS", Verdict.PASS),
        (((OPENED,),), "timed out", Verdict.NOTE),
        (((OPENED, (CLEAR, e.Sent(b"220 hello\r\n"))),), "timed out", Verdict.INCONCLUSIVE),
    ],
)
def test_a_port_without_a_mode(sessions, said, verdict):
    assert unstated(*sessions, said=said)[0] is verdict


def test_a_command_where_tls_is_waited_for():
    assert unstated((OPENED, EHLO), security=Security.IMPLICIT)[0] is Verdict.VIOLATION


@pytest.mark.parametrize(
    ("security", "session", "verdict"),
    [
        (Security.STARTTLS, (OPENED, HELLO), Verdict.VIOLATION),
        (Security.IMPLICIT, (OPENED, EHLO), Verdict.VIOLATION),
        (Security.STARTTLS, (OPENED, EHLO, *SECURED), Verdict.PASS),
        (Security.IMPLICIT, (OPENED, *SECURED), Verdict.PASS),
        (Security.IMPLICIT, (OPENED,), Verdict.INCONCLUSIVE),
        # Facts are a second apart, and the time-out is two.
        (Security.IMPLICIT, (OPENED, (CLEAR, e.Sent(b"")), (CLEAR, e.Closed("client", "close"))), Verdict.VIOLATION),
        (Security.STARTTLS, (OPENED, (CLEAR, e.Sent(b"")), (CLEAR, e.Closed("client", "close"))), Verdict.INCONCLUSIVE),
    ],
)
def test_a_mode_that_was_stated(security, session, verdict):
    assert stated(session, security=security)[0] is verdict


def test_a_wait_proves_nothing_of_a_client_that_never_began_tls():
    waited = (OPENED, (CLEAR, e.Sent(b"")), (CLEAR, e.Closed("client", "close")))
    trial = visited((2525, waited), ports=(2525,), security=Security.IMPLICIT, control=False)
    assert asked("custom-port-needs-mode", trial)[0] is Verdict.INCONCLUSIVE


# The port that a client chooses.


@pytest.mark.parametrize(
    ("connections", "verdict"),
    [
        (((587, (OPENED, EHLO, *SECURED)),), Verdict.PASS),
        (((465, (OPENED, *SECURED)),), Verdict.PASS),
        (((25, (OPENED, EHLO, *SECURED)),), Verdict.VIOLATION),
        (((25, (OPENED, (CLEAR, e.Stored(9, ("bob@example.test",))))),), Verdict.VIOLATION),
        (((25, (OPENED, EHLO)), (587, (OPENED, EHLO, *SECURED))), Verdict.NOTE),
        (((587, (OPENED, EHLO)),), Verdict.INCONCLUSIVE),
        ((), Verdict.INCONCLUSIVE),
    ],
)
def test_the_port_of_submission(connections, verdict):
    assert asked("submission-port-not-25", visited(*connections, ports=(587, 25)))[0] is verdict


@pytest.mark.parametrize(
    ("connections", "verdict"),
    [
        (((993, (OPENED, *SECURED)),), Verdict.PASS),
        (((143, (OPENED, EHLO, *SECURED)),), Verdict.NOTE),
        (((143, (OPENED, EHLO)), (993, (OPENED, *SECURED))), Verdict.PASS),
        (((143, CLEAR_LOGIN),), Verdict.INCONCLUSIVE),
        ((), Verdict.INCONCLUSIVE),
    ],
)
def test_implicit_tls_is_preferred(connections, verdict):
    trial = visited(*connections, ports=(143,), protocol=Protocol.IMAP)
    assert asked("prefer-implicit-tls", trial)[0] is verdict


# What is found by trying.


@pytest.mark.parametrize(
    ("connections", "verdict"),
    [
        (((587, CLEAR_LOGIN),), Verdict.VIOLATION),
        (((587, (OPENED, EHLO)), (25, CLEAR_LOGIN)), Verdict.VIOLATION),
        (((587, (OPENED, (CLEAR, e.Command("MAIL", b"", "MAIL FROM:<a@b>")))),), Verdict.VIOLATION),
        (((587, (OPENED, EHLO)),), Verdict.PASS),
        (((587, (OPENED, EHLO, *SECURED)),), Verdict.NOTE),
        ((), Verdict.INCONCLUSIVE),
    ],
)
def test_nothing_is_done_below_the_floor(connections, verdict):
    assert asked("discovery-keeps-floor", visited(*connections))[0] is verdict


def found_at(*names, listener="main", said=None, connections=(), **seen):
    """Return the trial of a client of example.test that came to these hosts, in this order."""
    trial = visited(*connections, **seen)
    attempts = tuple(dataclasses.replace(one, name=name) for one, name in zip(trial.attempts, names, strict=True))
    sessions = tuple(dataclasses.replace(session, listener=listener) for session in trial.sessions)
    served = dataclasses.replace(trial.served, host="mail.example.test")
    return dataclasses.replace(
        trial,
        attempts=attempts,
        sessions=sessions,
        served=served,
        domain="example.test",
        in_network=True,
        outcome=Outcome(error=said),
    )


SECURE_VISIT = (587, (OPENED, EHLO, *SECURED))


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("mail.example.test", Verdict.NOTE),
        ("example.test", Verdict.NOTE),
        ("mail.other.test", Verdict.VIOLATION),
        ("mail.stranger-example.test", Verdict.VIOLATION),
    ],
)
def test_a_server_of_another_domain_gets_no_password(name, verdict):
    assert asked("discovery-keeps-floor", found_at(name, connections=(SECURE_VISIT,)))[0] is verdict


def test_a_server_that_nobody_vouches_for_gets_no_password():
    decoy = found_at("mail.example.test", listener="decoy", connections=((587, (OPENED, *SECURED_IN_BYTES)),))
    assert asked("discovery-keeps-floor", decoy)[0] is Verdict.VIOLATION


def test_whoever_finds_nothing_has_to_say_what_it_passed_over():
    assert asked("discovery-keeps-floor", found_at(said="is mail.example.test meant?"))[0] is Verdict.PASS
    assert asked("discovery-keeps-floor", found_at(said="no server found"))[0] is Verdict.INCONCLUSIVE
    assert asked("discovery-keeps-floor", found_at())[0] is Verdict.INCONCLUSIVE
