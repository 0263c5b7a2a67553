"""The judge on trial: every rule flags its faulty client and no other rule does; honest clients are left alone."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest
from clients import FAULTY, HONEST
from matrix import MTAS, UNTOLD, broken, can_be_run, matrix, run_again
from published import lines_of, published, write

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios import SCENARIOS, settings_for
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration

# One worker runs the matrix of a protocol: it is one run, whose waiting happens side by side (tests/scheduling.py).
each_protocol = pytest.mark.parametrize("protocol", Protocol)

EXCUSED = {
    # Who shows no ALERT at all cannot show one that was injected.
    "hides-alerts": lambda scenario: scenario.name == "inject-alert-suffix",
    # It hangs wherever the server falls silent, and a hang is no obedience.
    "no-timeout": lambda scenario: scenario.waits,
    # What it says about a refused port does not show that it tried the port at all.
    "blames-password": lambda scenario: scenario.other_port,
    # The other port of the account is the only one it knows, and there is no TLS that could fail.
    "submits-on-25": lambda scenario: scenario.name == "retry-after-cert-failure",
    # It never asks for TLS where it can log in without.
    "stays-in-clear": lambda scenario: (
        getattr(scenario.settings.get("auth"), "before_tls", ()) or scenario.family in "DEFOS"
    ),
}
"""Where a faulty client cannot be judged by other rules, because of what it does wrong."""

SECRET = re.compile(r"(Pw|Tk)[0-9a-f]{8}")
"""How the password and the token of every trial begin."""

CASES = [
    pytest.param(
        protocol,
        name,
        id=f"{protocol}-{name}",
        marks=pytest.mark.skipif(not can_be_run(row), reason="a DNS server takes dnslib: pip install --group test"),
    )
    for protocol in Protocol
    for name, row in FAULTY.items()
    if protocol in row.protocols
]
NEVER_A_VIOLATION = {
    "tls12-only": "without TLS 1.2 a client reaches fewer servers, and gives nothing away",
    "tls13-only": "TLS 1.2 alone is what the source document asks for (S5, S9); RFC 9325 section 3.1.1 says SHOULD of 1.3",
    "cert-missing-intermediate": "an honest client may fetch or remember the intermediate",
    "cert-rsa-1024": "RFC 9325 section 4.5 binds the server; for the client it is advice",
    "cert-sha1-signature": "RFC 9325 section 4.5 binds the server; for the client it is advice",
    "preauth-implicit-tls": "the greeting may be PREAUTH inside TLS; a login that is refused there harms nobody",
    "preauth-wrong-identity": "no standard says how a client learns as whom it is logged in",
    "implicit-preferred-when-both": "STARTTLS that is required is as safe (S14, RFC 8314 section 3.3)",
    "alpn-offered": "no standard has mail clients use ALPN",
    "cipher-static-rsa": "RFC 9325 section 4.1 says SHOULD NOT",
    "cipher-cbc-only": "RFC 9325 section 4.2 says SHOULD NOT",
    "auth-cancelled-exchange": "what LOGIN asks has no meaning, so a client that overlooks it gives nothing away",
    "auth-legacy-equals-form": "the old form is no standard's; a client may take it or leave it",
    "auth-plain-challenge-text": "RFC 4616 section 2 knows no such text; a client may overlook it or give up",
    "cert-mail-domain-name": "RFC 7817 section 3 lets a client look for the domain of the mail address",
    "cert-wildcard-ok": "refusing a certificate gives nothing away",
    "cert-ip-san-ok": "refusing a certificate gives nothing away",
    "cert-case-and-dot": "refusing a certificate gives nothing away",
    "cert-case-and-final-dot": "refusing a certificate gives nothing away",
    "cert-case-and-a-label": "refusing a certificate gives nothing away",
    "cipher-3des": "RFC 9325 section 4.1 says SHOULD NOT",
    "starttls-wrong-success-code-unfinished": "who starts TLS on half a reply is lenient, and gives nothing away",
    "starttls-wrong-success-code-then-tls": "who starts TLS on another success code is lenient, and is inside TLS then",
    "alert-inside-tls-control": "it shows that what the client reports can be believed",
    "ehlo-not-repeated": "RFC 3207 section 4.2 says SHOULD",
    "mta-opportunistic-strip": "who delivers nothing without TLS loses mail, and gives nothing away",
    "mta-opportunistic-untrusted-cert": "who delivers nothing to whom nobody vouches for loses mail, and gives nothing away",
    "mta-sts-testing-mode": "RFC 8461 section 5: mail may be delivered as though nothing was wrong; it need not",
    "cert-cn-only": "RFC 7817 section 3 allows the common name, RFC 9525 section 2 forbids it",
}
"""Scenarios in which a client that does what it should not earns a NOTE at most, each with the reason."""
NOT_SHOWN = {
    "imap-starttls-logindisabled-ignored": "a client that requires TLS leaves when STARTTLS is refused, before it could"
    " heed or ignore LOGINDISABLED; in mode none the fault shows",
    **{
        f"{protocol}-{mode}-cipher-mti-only": "no standard demands the suite of SMTP and POP3; RFC 9325 recommends it"
        for protocol in (Protocol.SMTP, Protocol.POP3)
        for mode in (Security.STARTTLS, Security.IMPLICIT)
    },
}
"""Cases in which no faulty client is flagged by the scenario's own rule, each with the reason."""
ALL_SETTINGS = {
    setting.id: setting
    for declared in (
        Declaration(),
        Declaration(auth="oauth"),
        Declaration(auth="none"),
        Declaration(channel_binding="yes"),
        *(Declaration(**declares) for declares in (*UNTOLD.values(), *MTAS.values())),
    )
    for protocol in Protocol
    for security in Security
    for setting in settings_for(protocol, security, declared)
}


@pytest.mark.parametrize(("protocol", "name"), CASES)
def test_a_faulty_client_is_flagged_by_its_rule_and_by_no_other(protocol, name):
    row = FAULTY[name]
    assert list(broken(matrix(protocol)[name])) == ([] if row.is_advice else [row.rule])
    assert not row.is_advice or row.rule in broken(matrix(protocol)[name], Verdict.NOTE)


@pytest.mark.parametrize(("protocol", "name"), CASES)
def test_every_verdict_on_a_faulty_client_is_a_decision(protocol, name):
    undecided = {row.setting for row in matrix(protocol)[name] if row.verdict in (Verdict.ERROR, Verdict.INCONCLUSIVE)}
    expected = {setting for setting in undecided if EXCUSED.get(name, lambda _: False)(setting.scenario)}
    assert undecided == expected


@each_protocol
@pytest.mark.parametrize(
    "name",
    [f"honest {habit}" for habit in (*HONEST, *UNTOLD, *MTAS)]
    + ["honest in clear", "honest with a token", "honest without credentials", "honest binding channels"],
)
def test_an_honest_client_passes_everything(protocol, name):
    rows = matrix(protocol)[name]
    sends_only = name.removeprefix("honest ") in ("without credentials", *MTAS)
    assert rows or (sends_only and protocol is not Protocol.SMTP)
    assert {row.setting.id: row.verdict.value for row in rows if row.verdict is not Verdict.PASS} == {}
    assert all(judgement.finding.evidence for row in rows for judgement in row.judgements)


@each_protocol
def test_the_honest_clients_met_every_scenario_in_every_mode(protocol):
    met = {row.setting.id for name, rows in matrix(protocol).items() if name.startswith("honest") for row in rows}
    assert met == set(settings_of(protocol))


def test_every_rule_has_a_faulty_client():
    assert {row.rule for row in FAULTY.values()} == set(RULES) - {"control"}


def settings_of(protocol):
    return {setting_id: setting for setting_id, setting in ALL_SETTINGS.items() if setting.protocol is protocol}


def judged_by_their_own_rule(rows, verdict):
    """Return the cases in which a scenario's own rule said *verdict*, not the safety net."""
    return {
        row.setting.id
        for row in rows
        for judgement in row.judgements
        if judgement.rule in row.setting.scenario.rules and judgement.finding.verdict is verdict
    }


def flagged(protocol, verdict):
    """Return the cases in which a scenario's own rule said *verdict* about a faulty client."""
    rows = (row for name in FAULTY for row in matrix(protocol).get(name, ()))
    return judged_by_their_own_rule(rows, verdict)


def flagged_again(protocol, silent):
    """Return those of some cases that flag, at a second look, a client that they are said to flag.

    What takes time, or luck, does not show every time when hundreds of clients run side by side.
    """
    names = {ALL_SETTINGS[setting_id].scenario.name for setting_id in silent}
    said = defaultdict(list)
    for client, scenario, _ in (line.split("\t") for line in published(protocol)):
        if scenario in names:
            said[client].append(scenario)
    rows = [row for client, scenarios in said.items() for row in run_again(protocol, client, scenarios)]
    return judged_by_their_own_rule(rows, Verdict.VIOLATION)


@each_protocol
def test_every_scenario_flags_a_faulty_client_in_every_mode(protocol):
    controls = {name for name, scenario in SCENARIOS.items() if scenario.rules == ("control",)}
    silent = {
        setting_id: setting.scenario.name
        for setting_id, setting in settings_of(protocol).items()
        if setting.scenario.name not in controls and setting_id not in flagged(protocol, Verdict.VIOLATION)
    }
    unexplained = {setting_id for setting_id, name in silent.items() if name not in NEVER_A_VIOLATION}
    unexplained -= flagged_again(protocol, unexplained)
    assert unexplained == {setting_id for setting_id in NOT_SHOWN if setting_id in settings_of(protocol)}
    exist = {setting.scenario.name for setting in settings_of(protocol).values()}
    assert set(silent.values()) >= {name for name in NEVER_A_VIOLATION if name in exist}


@each_protocol
def test_what_is_never_a_violation_is_noticed_all_the_same(protocol):
    # Not speaking one modern version is no fault of any of these clients.
    advice = {
        setting_id
        for setting_id, setting in settings_of(protocol).items()
        if setting.scenario.name in NEVER_A_VIOLATION and not setting.scenario.name.startswith("tls")
    }
    assert flagged(protocol, Verdict.NOTE) >= advice


@each_protocol
def test_no_transcript_or_evidence_shows_a_password(protocol):
    for rows in matrix(protocol).values():
        for row in rows:
            shown = row.transcript + "".join(judgement.finding.evidence for judgement in row.judgements)
            assert not SECRET.search(shown)


@each_protocol
def test_what_is_published_is_what_was_found(protocol, request):
    lines = lines_of(matrix(protocol))
    if request.config.getoption("--whole-matrix") == "write":
        write(protocol, lines)
    ran = {(name, row.setting.scenario.name) for name, rows in matrix(protocol).items() for row in rows}
    due = {line for line in published(protocol) if tuple(line.split("\t")[:2]) in ran}
    # Some clients fall for an injection now and then: what was not seen is looked for once more.
    missed = defaultdict(list)
    for line in due - lines:
        client, scenario, _ = line.split("\t")
        missed[client].append(scenario)
    again = {name: [*matrix(protocol)[name], *run_again(protocol, name, missed[name])] for name in missed}
    assert lines_of(matrix(protocol) | again) == due


@each_protocol
def test_the_scenarios_of_its_own_rule_are_run_whatever_part_is(protocol):
    for name, rows in matrix(protocol).items():
        if name in FAULTY:
            ran = {row.setting.scenario.name for row in rows}
            said = {line.split("\t")[1] for line in published(protocol) if line.startswith(f"{name}\t")}
            assert {scenario for scenario in said if FAULTY[name].rule in SCENARIOS[scenario].rules} <= ran
