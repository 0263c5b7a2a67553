"""A client that may go without TLS is judged by what it was allowed: to work in clear where there is no TLS to be had."""

from __future__ import annotations

import pytest
from clients import Faults, Habits, make_client
from trying import tried, verdicts_of

from pytest_mailauth.judge.scenarios import SCENARIOS
from pytest_mailauth.model.terms import Protocol, Security, Verdict

MAY_GO_WITHOUT = Faults(clear_when_starttls_missing=True)
"""With the right declaration it is no fault."""
STRIPPED = ("starttls-not-offered", "starttls-not-offered-pop3", "starttls-not-offered-imap")
ABOUT = [
    name
    for name, row in SCENARIOS.items()
    if row.family in ("D", "G") and row.modes == (Security.STARTTLS,) and row.auth != "none"
] + ["base-starttls-ok", "base-opportunistic-setup"]


def verdicts(protocol, faults=None, habits=None, *, select=ABOUT, **declared):
    run = make_client(protocol, faults, habits)
    return verdicts_of(tried(run, select, protocol=protocol, starttls="opportunistic", **declared))


@pytest.mark.parametrize("protocol", Protocol)
def test_who_gives_up_without_tls_obeys(protocol):
    found = verdicts(protocol)
    assert found["base-opportunistic-setup"] is Verdict.PASS
    assert {name for name, verdict in found.items() if verdict not in (Verdict.PASS, Verdict.NOT_APPLICABLE)} == set()


@pytest.mark.parametrize("protocol", Protocol)
def test_who_goes_on_without_tls_is_only_noted_where_that_was_allowed(protocol):
    found = verdicts(protocol, MAY_GO_WITHOUT, allow_insecure_auth=True)
    assert found["base-opportunistic-setup"] is Verdict.PASS
    assert set(found.values()) <= {Verdict.PASS, Verdict.NOTE, Verdict.NOT_APPLICABLE}
    assert {found[name] for name in STRIPPED if name in found} == {Verdict.NOTE}


@pytest.mark.parametrize("protocol", Protocol)
def test_a_password_in_clear_has_to_be_allowed_by_itself(protocol):
    assert set(verdicts(protocol, MAY_GO_WITHOUT, select=STRIPPED).values()) == {Verdict.VIOLATION}


def test_mail_without_a_password_may_go_without_tls():
    no_credentials = Habits(has_credentials=False)
    rows = ["no-auth-no-tls-configured", "no-auth-no-tls-configured-refused"]
    found = verdicts(Protocol.SMTP, MAY_GO_WITHOUT, no_credentials, select=rows, auth="none")
    assert found == dict.fromkeys(rows, Verdict.NOT_APPLICABLE)
