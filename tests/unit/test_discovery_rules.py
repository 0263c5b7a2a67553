"""The rule about what a client finds out by itself, asked about records that change and configuration files."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_trials import PASSWORD, TLS, attempted, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.terms import Certificate, Verdict
from pytest_mailauth.model.trial import Earlier, Outcome
from pytest_mailauth.model.webrequests import WebRequest

DOMAIN = "example.test"
SAVED, MOVED = "mail.example.test", "moved.example.test"
LOOKED = ((TLS, e.Opened("127.0.0.1:40000")),)
LOGGED_IN = (
    *LOOKED,
    (TLS, e.Received(PASSWORD.encode())),
    (TLS, e.Authentication("PLAIN", "u", Secret(PASSWORD), accepted=True)),
)


def came(*visits, host=SAVED, said=None, **seen):
    """Return the trial of a client that made these visits, each a name and what was observed there."""
    made = recorded(*(session for _, session in visits), host=host, outcome=Outcome(error=said))
    attempts = tuple(
        attempted(number, 465, name=name, session=session)
        for number, ((name, _), session) in enumerate(zip(visits, made.sessions, strict=True), start=1)
    )
    return replace(made, attempts=attempts, domain=DOMAIN, in_network=True, **seen)


def asked(trial):
    return RULES["discovery-keeps-floor"].check(trial)


# Records that change between two connections.

ONE = came((SAVED, LOGGED_IN))


@pytest.mark.parametrize(
    ("visits", "usual", "verdict"),
    [
        (((SAVED, LOGGED_IN), (SAVED, LOGGED_IN)), ONE, Verdict.PASS),
        (((SAVED, LOGGED_IN), (MOVED, LOGGED_IN)), ONE, Verdict.VIOLATION),
        (((SAVED, LOGGED_IN), (MOVED, LOOKED)), ONE, Verdict.VIOLATION),
        (((SAVED, LOGGED_IN), (MOVED, LOOKED), (SAVED, LOGGED_IN)), ONE, Verdict.VIOLATION),
        # One connection for both, or for one: nothing shows where another would have gone.
        (((SAVED, LOGGED_IN),), ONE, Verdict.INCONCLUSIVE),
        (((SAVED, LOGGED_IN), (SAVED, LOOKED)), ONE, Verdict.INCONCLUSIVE),
        # Each transfer of this client takes two.
        (((SAVED, LOGGED_IN),) * 2, came((SAVED, LOGGED_IN), (SAVED, LOGGED_IN)), Verdict.INCONCLUSIVE),
        (((SAVED, LOGGED_IN),) * 3, came((SAVED, LOGGED_IN), (SAVED, LOGGED_IN)), Verdict.PASS),
        (((SAVED, LOGGED_IN),) * 2, None, Verdict.INCONCLUSIVE),
        ((), ONE, Verdict.INCONCLUSIVE),
    ],
)
def test_a_server_that_was_found_is_kept(visits, usual, verdict):
    trial = came(*visits, control=usual, earlier=Earlier(records_change=True), moved_to=MOVED)
    assert asked(trial).verdict is verdict


def test_a_client_of_one_transfer_is_not_judged_by_what_the_next_would_do():
    finding = asked(came((SAVED, LOGGED_IN), control=ONE, moved_to=MOVED))
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert "case.earlier" in finding.evidence


# Configuration files.

HTTPS = WebRequest(scheme="https", host="autoconfig.example.test", path="/mail/config-v1.1.xml", status=200)
HTTP = replace(HTTPS, scheme="http")
UNTRUSTED = replace(HTTPS, certificate=Certificate.UNTRUSTED_ROOT)
GIVEN = {"carried": (("password", "Authorization"),), "status": 401}
LEFT = {"method": None, "path": "", "status": 0}


@pytest.mark.parametrize(
    ("requests", "verdict"),
    [
        ((HTTP,), Verdict.VIOLATION),
        ((UNTRUSTED,), Verdict.VIOLATION),
        ((replace(HTTPS, status=404), HTTP), Verdict.VIOLATION),
        ((replace(HTTPS, **LEFT), HTTP), Verdict.VIOLATION),
        # What a certificate vouches for is enough, whatever else was asked, and in whatever order.
        ((HTTPS,), Verdict.NOTE),
        ((HTTP, HTTPS), Verdict.NOTE),
        # Nothing came of these.
        ((replace(HTTP, status=404),), Verdict.NOTE),
        ((replace(HTTP, method="HEAD"),), Verdict.NOTE),
        ((), Verdict.NOTE),
    ],
)
def test_nobody_logs_in_where_a_file_says_so_that_anybody_may_have_written(requests, verdict):
    assert asked(came((SAVED, LOGGED_IN), requests=requests)).verdict is verdict


def test_a_file_that_came_after_the_login_has_led_nobody_there():
    assert asked(came((SAVED, LOGGED_IN), requests=(replace(HTTP, at=9.0),))).verdict is Verdict.NOTE


def test_a_login_elsewhere_is_not_where_the_file_led():
    assert asked(came(("imap.example.test", LOGGED_IN), requests=(HTTP,))).verdict is Verdict.NOTE
    assert asked(came((SAVED, LOOKED), requests=(HTTP,))).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("request_", "verdict"),
    [
        (replace(HTTP, **GIVEN), Verdict.VIOLATION),
        (replace(UNTRUSTED, **GIVEN), Verdict.VIOLATION),
        (replace(HTTP, carried=(("token", "its address"),), status=404), Verdict.VIOLATION),
        (replace(HTTP, status=401), Verdict.PASS),
        (replace(UNTRUSTED, **LEFT), Verdict.PASS),
        # Whoever only opened a connection has not seen anything.
        (replace(HTTP, **LEFT), Verdict.INCONCLUSIVE),
        (replace(HTTPS, **LEFT), Verdict.INCONCLUSIVE),
    ],
)
def test_no_password_is_given_for_a_file(request_, verdict):
    assert asked(came(requests=(request_,), said="no configuration found")).verdict is verdict


def test_a_client_that_says_nothing_has_refused_nothing():
    assert asked(came(requests=(HTTP,))).verdict is Verdict.INCONCLUSIVE


def test_a_password_that_was_given_for_a_file_counts_after_a_login_too():
    finding = asked(came((SAVED, LOGGED_IN), requests=(HTTPS, replace(HTTP, **GIVEN))))
    assert finding.verdict is Verdict.VIOLATION
    assert "GET http://autoconfig.example.test/mail/config-v1.1.xml (401, with the password in Authorization)" in (
        finding.evidence
    )
