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
from pytest_mailauth.model.terms import HandshakeOutcome, Security, Verdict

OPENED = (CLEAR, e.Opened("127.0.0.1:40000"))
HELLO = (CLEAR, e.HelloSeen(ClientHello("1.3")))
UNREAD_HELLO = (CLEAR, e.Received(b"\x16\x03\x01\x00\x05hello"))
EHLO = (CLEAR, e.Received(b"EHLO me\r\n"))
LOGIN = (TLS, e.Authentication("PLAIN", "user", Secret(PASSWORD), accepted=True))
SECURED = (HELLO, (CLEAR, e.HandshakeEnded(HandshakeOutcome.COMPLETED, "1.3")), LOGIN)


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
