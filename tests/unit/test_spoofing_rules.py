"""What the rule about text from before TLS makes of what a client shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_trials import CLEAR, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios.spoofing import ESCAPE, MARKER
from pytest_mailauth.model import events as e
from pytest_mailauth.model.terms import Protocol, Verdict
from pytest_mailauth.model.trial import Outcome

RULE = "untrusted-text-not-shown"
ALERT = f"* OK [ALERT] Call {MARKER}\r\n"


def said(shown, *, text=ALERT, marker=MARKER, layer=CLEAR):
    facts = {} if shown is None else {"shown": shown}
    made = recorded([(layer, e.Sent(text.encode()))], protocol=Protocol.IMAP, outcome=Outcome(facts=facts))
    return RULES[RULE].check(replace(made, marker=marker, wants=("shown",)))


@pytest.mark.parametrize(
    ("shown", "verdict"),
    [
        ("", Verdict.PASS),
        ("The server refused the service.", Verdict.PASS),
        (f"The server says: Call {MARKER}", Verdict.VIOLATION),
        (["done", {"alert": f"Call {MARKER}"}], Verdict.VIOLATION),
        (f"unverified text of the server: Call {MARKER}", Verdict.NOTE),
        (f"This text was not encrypted: Call {MARKER}", Verdict.NOTE),
        (f"unverified:\nCall {MARKER}", Verdict.VIOLATION),
        (f"unverified: Call {MARKER}\nCall {MARKER}", Verdict.VIOLATION),
        (f"verified: Call {MARKER}", Verdict.VIOLATION),
        (None, Verdict.NOT_APPLICABLE),
    ],
)
def test_text_may_be_shown_where_it_is_marked(shown, verdict):
    assert said(shown).verdict is verdict


@pytest.mark.parametrize(
    ("shown", "verdict"),
    [
        (f"unverified: {ESCAPE}Server", Verdict.VIOLATION),
        ("?[31;1mServer", Verdict.PASS),
        (repr(f"{ESCAPE}Server"), Verdict.PASS),
    ],
)
def test_control_characters_have_no_effect_however_they_are_marked(shown, verdict):
    finding = said(shown, text=f"-ERR {ESCAPE}Server\r\n", marker=ESCAPE)
    assert finding.verdict is verdict
    assert ESCAPE not in finding.evidence


def test_text_inside_tls_is_another_matter():
    assert said(f"Call {MARKER}", layer=TLS).verdict is Verdict.PASS
    assert said("Done.", layer=TLS).verdict is Verdict.NOTE


def test_a_row_without_text_of_its_own_proves_nothing():
    assert said("anything", marker="").verdict is Verdict.INCONCLUSIVE
