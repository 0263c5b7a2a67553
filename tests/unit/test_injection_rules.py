"""What the rule about injected bytes makes of a record: how they left, what was read of them, how they showed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_trials import CLEAR, PASSWORD, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.config import AuthPolicy
from pytest_mailauth.model.deviations import Preface, Trail, Withhold
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.terms import HandshakeOutcome, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Outcome

PASS, VIOLATION, INCONCLUSIVE = Verdict.PASS, Verdict.VIOLATION, Verdict.INCONCLUSIVE
SMALL, LARGE = b"250 AUTH PLAIN\r\n", b"250 x\r\n" * 1000
HELLO = (CLEAR, e.HelloSeen(ClientHello("1.2")))
FAILED = (CLEAR, e.HandshakeEnded(HandshakeOutcome.CLIENT_ALERT, alert="unexpected_message"))
ENDED = (CLEAR, e.HandshakeEnded(HandshakeOutcome.COMPLETED, "1.3", "a suite"))
LOGIN = (TLS, e.Authentication("PLAIN", "alice", Secret(PASSWORD), accepted=True))
ASKED = ((TLS, e.Received(b"CAPABILITY\r\n")), (TLS, e.Command("CAPABILITY", b"", "CAPABILITY")))


def injection(data=SMALL, *, pieces=None, kind="injected", verb="STARTTLS"):
    sent = [b"220 go\r\n" + data] if pieces is None else pieces
    return [*((CLEAR, e.Sent(piece)) for piece in sent), (CLEAR, e.Deviated(kind, verb, data))]


def asked(*facts, data=SMALL, control=(), security=Security.STARTTLS, deviations=None, marker="", error=None):
    trial = recorded(
        list(facts),
        protocol=Protocol.IMAP,
        security=security,
        control=recorded(list(control), protocol=Protocol.IMAP, security=security),
        deviations=deviations or (Trail(data=data),),
        outcome=Outcome(error=error),
    )
    return RULES["discard-pretls-bytes"].check(replace(trial, marker=marker))


@pytest.mark.parametrize(
    "pieces",
    [
        [b"220 go\r\n", SMALL],
        [b"220 go\r\n" + SMALL[:3], SMALL[3:]],
        [SMALL],
        [],
    ],
)
def test_bytes_that_did_not_leave_in_one_piece_prove_nothing(pieces):
    finding = asked(*injection(pieces=pieces), HELLO, ENDED, *ASKED, control=[ENDED, *ASKED])
    assert finding.verdict is INCONCLUSIVE
    assert "one piece" in finding.evidence


def left_unread(octets):
    return (CLEAR, e.LeftUnread(octets))


@pytest.mark.parametrize(
    ("facts", "data", "verdict", "words"),
    [
        ([HELLO, FAILED], SMALL, INCONCLUSIVE, "cannot be seen on this system"),
        ([left_unread(0), HELLO, FAILED], SMALL, PASS, "nothing of the injected bytes was left unread"),
        ([left_unread(16), HELLO, FAILED], SMALL, INCONCLUSIVE, "16 of 16 injected bytes lay unread"),
        ([left_unread(11), HELLO, FAILED], SMALL, INCONCLUSIVE, "does not read ahead"),
        ([HELLO], SMALL, INCONCLUSIVE, "cannot be seen"),
        ([], SMALL, PASS, "the client left"),
        ([left_unread(7000), HELLO, FAILED], LARGE, PASS, "came to the client's TLS"),
        ([HELLO, FAILED], LARGE, PASS, "came to the client's TLS"),
    ],
)
def test_a_handshake_that_fails_on_the_bytes_counts_for_who_had_read_them(facts, data, verdict, words):
    finding = asked(*injection(data), *facts, data=data)
    assert finding.verdict is verdict
    assert words in finding.evidence


def test_what_was_read_does_not_matter_when_the_handshake_succeeds():
    withheld = (Trail(data=SMALL), Withhold(patience=1.0))
    said = (TLS, e.Command("LOGIN", b"a b", "LOGIN <user> <password>"))
    finding = asked(
        *injection(), left_unread(16), HELLO, ENDED, *ASKED, said, control=[ENDED, *ASKED], deviations=withheld
    )
    assert finding.verdict is VIOLATION


def test_bytes_in_a_segment_of_their_own_need_no_reply_in_front():
    late = injection(pieces=[b"220 go\r\n", SMALL], kind="injected late")
    finding = asked(*late, HELLO, FAILED)
    assert (finding.verdict, "came to the client's TLS" in finding.evidence) == (PASS, True)


BYE = b"* BYE close the connection\r\n"


@pytest.mark.parametrize(
    ("facts", "control", "verdict"),
    [
        ([ENDED, *ASKED, LOGIN], [ENDED, *ASKED, LOGIN], PASS),
        ([ENDED, *ASKED], [ENDED, *ASKED, LOGIN], VIOLATION),
        ([ENDED], [ENDED, *ASKED, LOGIN], VIOLATION),
        ([ENDED], [ENDED], PASS),
        ([left_unread(0), HELLO, FAILED], [ENDED, LOGIN], PASS),
    ],
)
def test_a_farewell_is_heeded_by_who_stays_for_any_other_line(facts, control, verdict):
    assert asked(*injection(BYE), *facts, data=BYE, control=control).verdict is verdict


ALERT = b"* OK [ALERT] Call 718\r\n"
MARKED = b"\xff zq7 \xfe\r\n"


@pytest.mark.parametrize(
    ("facts", "error", "verdict"),
    [
        ([ENDED, *ASKED, LOGIN], None, PASS),
        ([ENDED, *ASKED], "not a reply: '\\xff zq7 \\xfe'", VIOLATION),
        ([ENDED, *ASKED, LOGIN], "odd: zq7", VIOLATION),
        ([ENDED, *ASKED], "connection lost", INCONCLUSIVE),
        ([ENDED, *ASKED], None, INCONCLUSIVE),
        ([], "bytes in clear: '\\xff zq7 \\xfe'", PASS),
        ([left_unread(0), HELLO, FAILED], "zq7", PASS),
    ],
)
def test_garbage_is_known_by_its_mark(facts, error, verdict):
    control = [ENDED, *ASKED, LOGIN]
    assert asked(*injection(MARKED), *facts, data=MARKED, control=control, marker="zq7", error=error).verdict is verdict


@pytest.mark.parametrize(
    ("shown", "shown_inside", "verdict"),
    [
        ("Done.", "Done.\nCall 718", PASS),
        ("Done.\nCall 718", "Done.\nCall 718", VIOLATION),
        ("Done.", "Done.", INCONCLUSIVE),
        ("Done.\nCall 718", "Done.", VIOLATION),
    ],
)
def test_an_alert_is_missed_only_by_who_shows_one_inside_tls(shown, shown_inside, verdict):
    def told(facts, words, control=None):
        trial = recorded(
            facts,
            protocol=Protocol.IMAP,
            control=control,
            deviations=(Trail(data=ALERT),),
            outcome=Outcome(facts={"shown": words}),
        )
        return replace(trial, marker="718", wants=("shown",))

    control = told([HELLO, ENDED, LOGIN], shown_inside)
    trial = told([*injection(ALERT), HELLO, ENDED, *ASKED, LOGIN], shown, control)
    assert RULES["discard-pretls-bytes"].check(trial).verdict is verdict


@pytest.mark.parametrize(("shown", "verdict"), [("Call 718", PASS), ("Done.", Verdict.NOTE)])
def test_an_alert_inside_tls_has_to_be_shown(shown, verdict):
    facts = [HELLO, ENDED, (TLS, e.Sent(ALERT))]
    trial = replace(recorded(facts, protocol=Protocol.IMAP, outcome=Outcome(facts={"shown": shown})), marker="718")
    assert RULES["untrusted-text-not-shown"].check(trial).verdict is verdict


def test_garbage_says_nothing_of_a_client_that_fails_without_it():
    finding = asked(*injection(MARKED), ENDED, *ASKED, data=MARKED, control=[ENDED], marker="zq7")
    assert (finding.verdict, "did not log in either" in finding.evidence) == (INCONCLUSIVE, True)


@pytest.mark.parametrize(
    ("facts", "control", "verdict"),
    [
        ([HELLO, FAILED], [ENDED], PASS),
        ([HELLO, ENDED], [ENDED], PASS),
        ([HELLO, ENDED, *ASKED], [ENDED], VIOLATION),
        ([HELLO, ENDED, *ASKED], [ENDED, *ASKED], PASS),
        ([HELLO, ENDED], [], INCONCLUSIVE),
    ],
)
def test_where_tls_begins_at_once_silence_is_waiting_for_the_greeting(facts, control, verdict):
    prefaced = [(CLEAR, e.Sent(b"* OK hi\r\n")), (CLEAR, e.Deviated("injected", "", b"* OK hi\r\n"))]
    deviations = (Preface(data=b"* OK hi\r\n"), Withhold(patience=1.0))
    finding = asked(*prefaced, *facts, control=control, security=Security.IMPLICIT, deviations=deviations)
    assert finding.verdict is verdict


@pytest.mark.parametrize(
    ("seen", "usual", "verdict"),
    [
        (b"SCRAM-SHA-256", b"SCRAM-SHA-256", PASS),
        (b"PLAIN", b"SCRAM-SHA-256", VIOLATION),
        (b"PLAIN", b"PLAIN", Verdict.NOT_APPLICABLE),
        (b"CRAM-MD5", b"CRAM-MD5", Verdict.NOT_APPLICABLE),
    ],
)
def test_the_weaker_mechanism_is_chosen_by_who_was_told_of_no_other(seen, usual, verdict):
    def talk(mechanism):
        return [HELLO, ENDED, (TLS, e.Command("AUTHENTICATE", mechanism, "AUTHENTICATE"))]

    trial = recorded(
        [*injection(), *talk(seen)],
        protocol=Protocol.IMAP,
        control=recorded(talk(usual), protocol=Protocol.IMAP),
        deviations=(Trail(data=SMALL),),
        auth=AuthPolicy(mechanisms=("SCRAM-SHA-256", "PLAIN")),
    )
    finding = RULES["discard-pretls-bytes"].check(trial)
    assert finding.verdict is verdict
    assert verdict is not VIOLATION or "beside something better" in finding.evidence


def test_without_a_control_only_who_crossed_cannot_be_judged():
    trial = recorded([*injection(), HELLO, ENDED], deviations=(Trail(data=SMALL),))
    assert RULES["discard-pretls-bytes"].check(trial).verdict is Verdict.ERROR
    trial = recorded(injection(), deviations=(Trail(data=SMALL),))
    assert RULES["discard-pretls-bytes"].check(trial).verdict is PASS
