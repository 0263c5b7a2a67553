"""What the rules about strange servers, used connections and shown secrets make of a record."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from recorded_trials import CLEAR, PASSWORD, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios import SCENARIOS
from pytest_mailauth.judge.verdict import judge
from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import Answer, Cut, Greet
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.terms import HandshakeOutcome, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Earlier, Outcome

SMTP, POP3, IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP
PASS, NOTE, VIOLATION, INCONCLUSIVE = Verdict.PASS, Verdict.NOTE, Verdict.VIOLATION, Verdict.INCONCLUSIVE
NOT_APPLICABLE = Verdict.NOT_APPLICABLE
OPENED = (CLEAR, e.Opened("127.0.0.1:1"))
SECURED = [
    (CLEAR, e.HelloSeen(ClientHello("1.2"))),
    (CLEAR, e.HandshakeEnded(HandshakeOutcome.COMPLETED, "1.3")),
]
GREETINGS = {SMTP: b"220 localhost\r\n", POP3: b"+OK ready\r\n", IMAP: b"* OK ready\r\n"}
ASK = {SMTP: "EHLO", POP3: "CAPA", IMAP: "CAPABILITY"}
LOGIN = {SMTP: "AUTH", POP3: "USER", IMAP: "LOGIN"}
MUTE = {"deviations": (Greet(data=b""),)}
GAVE_UP = Outcome(error="ProtocolError: not a greeting", seconds=0.1)


def said(verb, layer=CLEAR, argument=b"", reveals=b""):
    line = f"{verb} {argument.decode()}".rstrip()
    return [(layer, e.Received(line.encode() + reveals + b"\r\n")), (layer, e.Command(verb, argument, line))]


def sent(data, layer=CLEAR):
    return (layer, e.Sent(data))


# mode-mismatch-diagnosed


def diagnosed(*session, **told):
    return RULES["mode-mismatch-diagnosed"].check(recorded([OPENED, *session], **{"outcome": GAVE_UP} | told))


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize(
    "foreign", [b"HTTP/1.1 400 Bad Request\r\n", b"SSH-2.0-x\r\n", b"\x80\x00", *GREETINGS.values()]
)
@pytest.mark.parametrize("verb", ["ASK", "LOGIN"])
def test_whatever_is_said_after_a_foreign_greeting_is_too_much(protocol, foreign, verb):
    if GREETINGS[protocol] == foreign:
        return
    verb = {"ASK": ASK, "LOGIN": LOGIN}[verb][protocol]
    finding = diagnosed(sent(foreign), *said(verb), protocol=protocol)
    assert finding.verdict is VIOLATION
    assert f'and the client went on with "{verb}"' in finding.evidence
    assert diagnosed(sent(foreign), *said("QUIT"), protocol=protocol).verdict is PASS
    assert diagnosed(sent(foreign), protocol=protocol).verdict is PASS


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize(
    ("session", "verdict"),
    [
        ([], PASS),
        ([ASK], NOTE),
        ([ASK, LOGIN], VIOLATION),
        ([LOGIN], VIOLATION),
    ],
)
def test_without_a_greeting_looking_is_a_note_and_acting_a_violation(protocol, session, verdict):
    spoken = [fact for verbs in session for fact in said(verbs[protocol], TLS)]
    finding = diagnosed(*SECURED, *spoken, protocol=protocol, security=Security.IMPLICIT, **MUTE)
    assert finding.verdict is verdict
    assert finding.evidence.startswith("the server never greeted")


def test_a_password_that_went_to_a_stranger_is_named():
    secret = base64.b64encode(f"\0alice\0{PASSWORD}".encode())
    finding = diagnosed(*SECURED, sent(b"HTTP/1.1 400\r\n", TLS), *said("AUTH", TLS, reveals=secret))
    assert finding.verdict is VIOLATION
    assert finding.evidence.endswith("the password crossed inside TLS outside any login command (found as base64)")
    assert PASSWORD not in finding.evidence


def test_a_greeting_that_came_late_was_not_waited_for():
    finding = diagnosed(*said("EHLO"), sent(GREETINGS[SMTP]), *said("AUTH"), **MUTE)
    assert finding.verdict is VIOLATION


def test_who_left_before_the_greeting_met_nothing_strange():
    assert diagnosed().verdict is INCONCLUSIVE
    assert diagnosed(*said("EHLO")).verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("verbs", "verdict"),
    [
        (["EHLO", "HELO", "QUIT"], PASS),
        (["EHLO", "LHLO"], PASS),
        (["EHLO", "STARTTLS"], PASS),
        (["EHLO", "MAIL"], VIOLATION),
        (["HELO", "AUTH"], VIOLATION),
    ],
)
def test_who_is_refused_an_introduction_does_nothing_more(verbs, verdict):
    first, *rest = verbs
    refused = (CLEAR, e.Deviated("answer", first, b"500 no\r\n"))
    spoken = [fact for verb in rest for fact in said(verb)]
    assert diagnosed(sent(GREETINGS[SMTP]), *said(first), refused, *spoken).verdict is verdict


@pytest.mark.parametrize("protocol", Protocol)
def test_what_is_said_in_clear_to_a_server_that_greets_in_clear_is_another_rules(protocol):
    session = [OPENED, sent(GREETINGS[protocol]), *said(LOGIN[protocol])]
    trial = recorded(session, protocol=protocol, security=Security.IMPLICIT, outcome=GAVE_UP)
    trial = replace(trial, sessions=tuple(replace(s, security=Security.STARTTLS) for s in trial.sessions))
    assert RULES["mode-mismatch-diagnosed"].check(trial).verdict is PASS


def test_how_it_ended_counts():
    greeted = sent(b"SSH-2.0-x\r\n")
    assert diagnosed(greeted, outcome=Outcome(hung=True, seconds=9.0)).verdict is VIOLATION
    assert diagnosed(greeted, outcome=Outcome(error="LoginFailed: wrong password")).verdict is VIOLATION
    assert diagnosed(greeted, outcome=Outcome()).verdict is NOT_APPLICABLE
    assert diagnosed(sent(GREETINGS[SMTP])).verdict is INCONCLUSIVE
    assert RULES["mode-mismatch-diagnosed"].check(recorded()).verdict is INCONCLUSIVE


def test_before_its_handshake_an_implicit_server_owes_no_greeting():
    hello = (CLEAR, e.HelloSeen(ClientHello("1.2")))
    assert diagnosed(hello, security=Security.IMPLICIT, **MUTE).verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    "outcome", [Outcome(hung=True, seconds=9.0), Outcome(error="LoginFailed: authentication failed: wrong password")]
)
def test_waiting_for_ever_and_blame_on_a_silent_server_are_told_once(outcome):
    trial = recorded([OPENED], outcome=outcome, protocol=IMAP, **MUTE)
    flagged = [j.rule for j in judge(trial, SCENARIOS["implicit-no-greeting"].rules) if j.finding.verdict is VIOLATION]
    assert flagged == ["blocked-port-diagnosed"]


def test_a_refusal_that_is_passed_on_is_no_blame():
    refused = (CLEAR, e.Deviated("answer", "EHLO", b"500 no\r\n"))
    outcome = Outcome(error="exit status 9: Remote access denied: 500")
    assert diagnosed(sent(GREETINGS[SMTP]), *said("EHLO"), refused, outcome=outcome).verdict is PASS


# no-tls-inside-tls


@pytest.mark.parametrize(
    ("session", "verdict"),
    [
        ([sent(b"250-STARTTLS\r\n", TLS), *said("STARTTLS", TLS)], VIOLATION),
        ([*said("STLS", TLS)], VIOLATION),
        ([sent(b"+OK\r\nSTLS\r\n.\r\n", TLS)], PASS),
        ([*said("STARTTLS"), sent(b"* CAPABILITY STARTTLS\r\n", TLS)], PASS),
        ([(TLS, e.Authentication("PLAIN", "alice", PASSWORD, accepted=True))], NOT_APPLICABLE),
        ([], INCONCLUSIVE),
    ],
)
def test_starttls_inside_tls(session, verdict):
    assert RULES["no-tls-inside-tls"].check(recorded([OPENED, *SECURED, *session])).verdict is verdict


# reuse-matches-security

TRANSFER = [*said("AUTH"), *said("MAIL"), *said("RCPT"), *said("DATA")]
AGAIN = [*said("MAIL"), *said("RCPT"), *said("DATA")]
ONE = recorded([OPENED, *TRANSFER])
IN_CLEAR, UNVERIFIED, OTHER = Earlier(security=Security.NONE), Earlier(verify="none"), Earlier(other_account=True)


@pytest.mark.parametrize(
    ("earlier", "terms"),
    [(IN_CLEAR, "in clear"), (UNVERIFIED, "without certificate checks"), (OTHER, "of another account")],
)
@pytest.mark.parametrize(
    ("sessions", "verdict"),
    [
        ([[*TRANSFER, *AGAIN]], VIOLATION),
        ([[*TRANSFER, *AGAIN[:2]]], VIOLATION),
        ([TRANSFER, TRANSFER], PASS),
        ([TRANSFER, []], PASS),
        # Somebody who needs more than usual for the first transfer, and a connection of its own for the second.
        ([[*TRANSFER, *said("VRFY")], TRANSFER], PASS),
        ([TRANSFER], INCONCLUSIVE),
        ([[*TRANSFER, *said("NOOP"), *said("EHLO")]], INCONCLUSIVE),
        ([[]], INCONCLUSIVE),
        ([], INCONCLUSIVE),
    ],
)
def test_two_transfers_on_one_connection(earlier, terms, sessions, verdict):
    trial = replace(recorded(*([OPENED, *session] for session in sessions), control=ONE), earlier=earlier)
    finding = RULES["reuse-matches-security"].check(trial)
    assert finding.verdict is verdict
    assert verdict is INCONCLUSIVE or f"the transfer {terms}" in finding.evidence


def test_without_knowing_one_transfer_two_cannot_be_told():
    trial = replace(recorded([OPENED, *TRANSFER, *AGAIN]), earlier=IN_CLEAR)
    assert RULES["reuse-matches-security"].check(trial).verdict is INCONCLUSIVE
    looked = replace(trial, control=recorded([OPENED, *said("EHLO")]))
    assert RULES["reuse-matches-security"].check(looked).verdict is INCONCLUSIVE


def test_a_client_of_one_transfer_is_told_what_to_do():
    finding = RULES["reuse-matches-security"].check(recorded([OPENED, *TRANSFER, *AGAIN], control=ONE))
    assert finding.verdict is NOT_APPLICABLE
    assert "case.earlier" in finding.evidence


def test_a_transfer_that_was_to_be_in_clear_is_no_leak_and_any_other_is():
    leaks = recorded([OPENED, (CLEAR, e.Received(PASSWORD.encode())), *said("MAIL")], control=ONE)
    rules = ("reuse-matches-security",)
    assert [j.rule for j in judge(replace(leaks, earlier=IN_CLEAR), rules)] == ["reuse-matches-security"]
    for earlier in (OTHER, UNVERIFIED, None):
        assert [j.rule for j in judge(replace(leaks, earlier=earlier), rules)][1:] == ["no-cleartext-credentials"]


# secrets-not-logged

ECHO = [OPENED, *SECURED, sent(b"-ERR not understood: PASS %b\r\n" % PASSWORD.encode(), TLS)]


@pytest.mark.parametrize(
    ("found", "error", "verdict"),
    [
        ({}, "LoginFailed: refused", PASS),
        ({"passed_on": ("raised",)}, "LoginFailed: refused", NOTE),
        ({"passed_on": ("printed", "reported")}, None, NOTE),
        ({"disclosed": ("printed",), "passed_on": ("raised",)}, "LoginFailed: refused", VIOLATION),
        ({"disclosed": ("raised",)}, "LoginFailed: refused", VIOLATION),
        ({"disclosed": ("reported",)}, None, VIOLATION),
        ({}, None, NOT_APPLICABLE),
    ],
)
def test_what_a_client_makes_of_its_own_secret(found, error, verdict):
    finding = RULES["secrets-not-logged"].check(recorded(ECHO, outcome=Outcome(error=error, **found)))
    assert finding.verdict is verdict
    assert PASSWORD not in finding.evidence


def test_a_secret_that_was_not_repeated_says_nothing_and_one_in_own_words_everything():
    rule = RULES["secrets-not-logged"]
    echo = (Answer(verb="PASS", reply=b"-ERR {line}\r\n", over_tls=True),)
    told = Outcome(error="x", passed_on=("raised",))
    assert rule.check(recorded([OPENED], outcome=told, deviations=echo)).verdict is NOT_APPLICABLE
    assert rule.check(recorded([OPENED], outcome=Outcome(disclosed=("printed",)))).verdict is VIOLATION
    assert rule.check(recorded(outcome=Outcome(disclosed=("printed",)))).verdict is INCONCLUSIVE


# What became of rules that were there before.

CUT = {"deviations": (Cut(verbs=("MAIL",)),)}
AT_WORK = [OPENED, *said("EHLO"), *SECURED, *said("MAIL", TLS), (TLS, e.Deviated("cut", "MAIL", b""))]


def later(*session):
    """Return a session whose facts are after everything in the one before."""
    return [(CLEAR, e.Opened("127.0.0.1:2"))] * 10 + list(session)


@pytest.mark.parametrize(
    ("sessions", "verdict"),
    [
        ([AT_WORK, later(sent(b"220 x\r\n"), *said("EHLO"), *said("QUIT"))], PASS),
        ([AT_WORK, later(sent(b"220 x\r\n"), *said("EHLO"), *said("AUTH"))], VIOLATION),
        ([AT_WORK], NOT_APPLICABLE),
        ([[OPENED, sent(b"220 x\r\n"), *said("EHLO")]], INCONCLUSIVE),
    ],
)
def test_what_was_required_before_the_cut_is_required_after_it(sessions, verdict):
    trial = recorded(*sessions, **CUT)
    moved = tuple(
        replace(session, entries=tuple(x._replace(at=x.at + 100 * n) for x in session.entries))
        for n, session in enumerate(trial.sessions)
    )
    assert RULES["starttls-required-is-required"].check(replace(trial, sessions=moved)).verdict is verdict


@pytest.mark.parametrize(
    ("sessions", "verdict"),
    [
        ([[OPENED, *SECURED[:1]]], PASS),
        ([[OPENED, sent(GREETINGS[SMTP]), *said("AUTH")]], VIOLATION),
        ([[OPENED, *SECURED[:1]], [OPENED, *said("MAIL")]], VIOLATION),
        ([[OPENED, sent(GREETINGS[SMTP]), *said("QUIT")]], INCONCLUSIVE),
        ([], INCONCLUSIVE),
    ],
)
def test_implicit_tls_begins_at_once_on_a_connection_that_was_given(sessions, verdict):
    trial = recorded(*sessions, security=Security.IMPLICIT)
    rule = RULES["tls-really-started"]
    assert rule.check(replace(trial, supplied=True)).verdict is verdict
    assert rule.check(trial).verdict is NOT_APPLICABLE
    assert "case.connection" in rule.check(trial).evidence


def test_an_alert_in_place_of_tls_is_called_one():
    alert = (CLEAR, e.Deviated("stays in clear", "STARTTLS", b"\x15\x03\x03\x00\x02\x02\x28"))
    rule = RULES["tls-really-started"]
    assert rule.check(recorded([OPENED, alert])).evidence.startswith("the ClientHello was answered with a fatal alert")
    assert rule.check(recorded([OPENED, alert], [OPENED, *said("EHLO"), *said("AUTH")])).verdict is VIOLATION
