"""The decision table: every line decides something, every question has a line, and the right selector agrees."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectors_in_the_wild import Selector

from pytest_mailauth.judge.selection.questions import PROVIDER
from pytest_mailauth.judge.selection.situations import attempts, ports
from pytest_mailauth.model.terms import Protocol, Security
from pytest_mailauth.selection import (
    COLUMNS,
    LAWS,
    MODES,
    TABLE,
    Attempted,
    Failure,
    Row,
    Service,
    Situation,
    plan_for,
    rows_for,
)

PLAIN = Service(name="plain", sending="smtp.plain.test", retrieving=PROVIDER.retrieving)
ANYTHING = st.builds(
    Situation,
    protocol=st.sampled_from(Protocol),
    port=st.one_of(st.none(), ports(), st.sampled_from((0, -1, 65536))),
    stated=st.sampled_from((None, *Security)),
    credentials=st.booleans(),
    service=st.sampled_from((None, PROVIDER, PLAIN)),
    before=st.lists(attempts(), max_size=2).map(tuple),
)


def after(failure, port=587):
    return (Attempted(port=port, mode=Security.STARTTLS, failure=failure),)


def mail(**known):
    return Situation(**{"protocol": Protocol.SMTP, **known})


DECIDED = {
    "no-such-port": mail(port=0, stated=Security.STARTTLS),
    "cleartext-with-login": mail(port=587, stated=Security.NONE),
    "tls-failed": mail(port=587, before=after(Failure.STRIPPED)),
    "stated": mail(port=587, stated=Security.IMPLICIT),
    "standard-port": mail(port=587),
    "mode-to-choose": mail(),
    "custom-port": mail(port=2525),
    "blocked-25": mail(port=25, before=after(Failure.TIMEOUT, 25)),
    "stated-port": mail(port=2525, stated=Security.STARTTLS),
    "submission-port": mail(),
    "access-port": Situation(protocol=Protocol.IMAP),
    "right-host": mail(service=PLAIN),
    "oauth-required": mail(service=PROVIDER),
    "tls-floor": mail(),
}
"""A question for each line, which decides it."""


def test_every_line_decides_a_question():
    assert list(DECIDED) == [row.name for row in TABLE]
    assert {name for name, asked in DECIDED.items() if rows_for(asked)[_row(name).decides].name == name} == set(DECIDED)


def _row(name):
    return next(row for row in TABLE if row.name == name)


@settings(max_examples=500, database=None, deadline=None)
@given(ANYTHING)
def test_every_question_has_a_mode_a_port_and_an_oldest_tls(asked):
    assert {"mode", "port", "oldest TLS"} <= set(rows_for(asked))
    assert plan_for(asked) in ("implicit", "starttls", "none", "refuse")


@settings(max_examples=500, database=None, deadline=None)
@given(ANYTHING)
def test_no_plan_is_in_clear_where_somebody_logs_in(asked):
    assert not (asked.credentials and plan_for(asked) == "none")


@settings(max_examples=500, database=None, deadline=None)
@given(ANYTHING)
def test_after_a_failure_the_plan_is_the_same_or_a_refusal(asked):
    first = Situation(**{**vars(asked), "before": ()})
    assert plan_for(asked) in (plan_for(first), "refuse")


@settings(max_examples=500, database=None, deadline=None)
@given(ANYTHING.filter(lambda asked: not asked.before))
def test_the_right_selector_does_what_the_table_says(asked):
    try:
        choice = Selector()(asked)
    except ValueError:
        assert plan_for(asked) == "refuse"
        return
    # Whether there is such a port, and what a port means in another protocol, it leaves to others.
    if asked.port is None or 1 <= asked.port <= 65535:
        assert plan_for(asked) in (choice.mode, "refuse")
    if asked.port is None or (asked.protocol, asked.port) in MODES:
        assert plan_for(asked) == choice.mode
    if "login" in rows_for(asked):
        assert choice.auth == "oauth"


def test_whoever_is_refused_is_told_why():
    assert [row.name for row in TABLE if row.plan == "refuse" and not row.complaint] == []
    blocked = rows_for(DECIDED["blocked-25"])["port"]
    assert "587" in blocked.complaint
    assert "state implicit or starttls" in rows_for(DECIDED["custom-port"])["mode"].complaint


def test_every_line_has_a_source_and_every_law_a_line_that_says_so():
    assert [row.name for row in TABLE if not row.sources] == []
    of_table = {source for row in TABLE for source in row.sources}
    assert {name: set(law.sources) - of_table for name, law in LAWS.items() if set(law.sources) - of_table} == {}


def test_a_line_fits_only_where_all_its_columns_do():
    narrow = Row(name="narrow", decides="mode", protocol="SMTP", port="a standard one", plan="refuse", sources=("S7",))
    assert narrow.fits(mail(port=25))
    assert not narrow.fits(mail(port=26))
    assert not narrow.fits(Situation(protocol=Protocol.IMAP, port=25))


@pytest.mark.parametrize("column", COLUMNS)
def test_every_condition_is_one_of_a_line(column):
    assert {getattr(row, column) for row in TABLE} == {"any", *COLUMNS[column]}


def test_a_condition_that_no_column_has_is_noticed():
    odd = Row(name="odd", decides="mode", port="26", plan="refuse", sources=("S7",))
    with pytest.raises(KeyError, match="26"):
        odd.fits(mail(port=26))
