"""The text of a failure: every part is there, in order, readable, and harmless to a terminal."""

from __future__ import annotations

import pytest

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model.terms import Verdict
from pytest_mailauth.model.trial import Finding
from pytest_mailauth.report.text import (
    TRANSCRIPT_LINES,
    WIDTH,
    cite,
    explain_failure,
    explanation,
    meaning,
    next_step,
    one_line,
    sentence,
    shown,
)

RULE = "tls12-or-newer"
BROKEN = Finding(Verdict.VIOLATION, "the client negotiated TLS 1.0 and went on with EHLO")


def test_a_failure_in_full():
    assert explain_failure(RULE, BROKEN, "S: 220 hello\nC: EHLO there\n\n======== TLS 1.0") == (
        "tls12-or-newer: VIOLATION (the client broke this rule)\n"
        "  Requirement: The client negotiates TLS 1.2 or newer, or its declared minimum, and nothing older.\n"
        "               (RFC 8996 section 4, RFC 8997, RFC 9325 section 3.1.1)\n"
        "  Expected:    The client refuses TLS 1.0 and 1.1 during the handshake, and logs in over TLS 1.2 and\n"
        "               1.3.\n"
        "  Actual:      The client negotiated TLS 1.0 and went on with EHLO.\n"
        "  Transcript:\n"
        "    S: 220 hello\n"
        "    C: EHLO there\n"
        "\n"
        "    ======== TLS 1.0\n"
        "  Next step:   Set the minimum TLS version to 1.2, or to the declared minimum; allow 1.3."
    )


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("verdict", Verdict)
def test_every_rule_and_verdict_can_be_explained(name, verdict):
    text = explain_failure(name, Finding(verdict, "something happened"), "")
    assert text.startswith(f"{name}: {verdict} ({meaning(verdict)})\n  Requirement: ")
    assert "Actual:      Something happened." in text
    assert ("Expected:" in text) is (verdict is not Verdict.NOTE)
    assert max(map(len, text.splitlines())) <= WIDTH


def test_only_what_is_no_breach_has_another_next_step():
    rule = RULES[RULE]
    assert next_step(rule, Verdict.VIOLATION) == rule.advice
    assert "come further" in next_step(rule, Verdict.INCONCLUSIVE)
    assert "report it" in next_step(rule, Verdict.ERROR)
    assert next_step(RULES["control"], Verdict.ERROR) == RULES["control"].advice


def test_more_can_be_said_behind_labels_of_its_own():
    lines = explanation(RULE, BROKEN, None, facts={"Seen in": "a place"}, width=80)
    assert "  Seen in:     a place" in lines
    assert "  Transcript:" not in lines


def test_sources_are_those_that_can_be_looked_up():
    assert cite(("S2", "S12", "RFC 8997", "CVE-2016-0772")) == "RFC 8997, CVE-2016-0772"
    assert cite(("S1",)) == ""


def test_what_a_client_said_cannot_speak_to_the_terminal():
    assert one_line("a\x1b[31mred\x07\r\n  b\u202e") == r"a\x1b[31mred\x07 b\u202e"


@pytest.mark.parametrize(
    ("evidence", "said"), [("it left", "It left."), ("why?", "Why?"), ("It left.", "It left."), ("", ".")]
)
def test_evidence_becomes_a_sentence(evidence, said):
    assert sentence(evidence) == said


def test_a_long_transcript_is_cut_in_the_middle_and_says_so():
    lines = shown("\n".join(f"C: {number}" for number in range(100)))
    assert len(lines) == TRANSCRIPT_LINES + 1
    assert lines[0] == "    C: 0"
    assert lines[TRANSCRIPT_LINES // 2] == "    ... (40 lines left out)"
    assert lines[-1] == "    C: 99"
    assert len(shown("\n" * 100, None)) == 100


def test_no_transcript_is_said():
    assert shown("") == ["    (no connection)"]
