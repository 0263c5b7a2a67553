"""What the rules about the time before TLS make of a record: text behind STARTTLS, old lists, no new list."""

from __future__ import annotations

import pytest
from recorded_trials import CLEAR, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.config import AuthPolicy
from pytest_mailauth.model.deviations import Agree, Announce, GreetAgain, Withhold
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.terms import HandshakeOutcome, Protocol, Security, Verdict

SMTP, POP3, IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP
PASS, VIOLATION, NOTE = Verdict.PASS, Verdict.VIOLATION, Verdict.NOTE
INCONCLUSIVE, NOT_APPLICABLE = Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE
HELLO = (CLEAR, e.HelloSeen(ClientHello("1.2")))
ENDED = (CLEAR, e.HandshakeEnded(HandshakeOutcome.COMPLETED, "1.3", "a suite"))
NOT_TLS = (CLEAR, e.HandshakeEnded(HandshakeOutcome.NOT_TLS))
RECORD = b"\x16\x03\x01\x00\x05\x01\n\nA\n"


def got(data):
    return (CLEAR, e.Received(data))


def sent(data):
    return (CLEAR, e.Sent(data))


def starttls(verb="STARTTLS", tag=b""):
    return (CLEAR, e.Command(verb, b"", verb, tag))


def behind(*facts, protocol=SMTP):
    return RULES["nothing-between-starttls-and-tls"].check(recorded(list(facts), protocol=protocol))


@pytest.mark.parametrize(
    ("protocol", "line", "command", "reply"),
    [
        (SMTP, b"STARTTLS\r\n", starttls(), b"220 go\r\n"),
        (SMTP, b"EHLO x\r\nstarttls \n", starttls(), b"220 go\r\n"),
        (POP3, b"STLS\r\n", starttls("STLS"), b"+OK go\r\n"),
        (IMAP, b"a1 STARTTLS\r\n", starttls(tag=b"a1"), b"a1 OK go\r\n"),
        (IMAP, b"a1 STARTTLS\r\n", starttls(tag=b"a1"), b"* OK hi\r\na1 OK go\r\n"),
    ],
)
class TestBehindStarttls:
    def test_nothing_is_right(self, protocol, line, command, reply):
        finding = behind(got(line), command, sent(reply), HELLO, ENDED, protocol=protocol)
        assert finding.verdict is PASS

    def test_text_in_the_same_write_is_a_violation(self, protocol, line, command, reply):
        finding = behind(got(line + b"a2 NOOP\r\n"), command, sent(reply), HELLO, ENDED, protocol=protocol)
        assert finding.verdict is VIOLATION
        assert "NOOP" in finding.evidence

    def test_text_before_a_late_reply_is_a_violation(self, protocol, line, command, reply):
        late = (CLEAR, e.Deviated("delay", command[1].verb, b""))
        finding = behind(got(line), command, late, got(b"a2 NOOP\r\n"), sent(reply), HELLO, protocol=protocol)
        assert finding.verdict is VIOLATION

    def test_text_in_place_of_a_hello_is_a_violation(self, protocol, line, command, reply):
        finding = behind(got(line), command, sent(reply), got(b"EHLO x\r\n"), NOT_TLS, protocol=protocol)
        assert finding.verdict is VIOLATION

    def test_who_waits_in_vain_may_take_leave_and_do_no_more(self, protocol, line, command, reply):
        closed, leave = (CLEAR, e.Closed("client", "close")), b"a2 LOGOUT\r\n" if protocol is IMAP else b"QUIT\r\n"
        assert behind(got(line), command, got(leave), closed, protocol=protocol).verdict is PASS
        said = [got(leave), got(b"a3 NOOP\r\n")]
        assert behind(got(line), command, *said, closed, protocol=protocol).verdict is VIOLATION
        assert behind(got(line), command, *said, sent(reply), HELLO, protocol=protocol).verdict is VIOLATION

    def test_tls_before_the_reply_is_noted(self, protocol, line, command, reply):
        for facts in ((got(line + RECORD), command), (got(line), command, got(RECORD))):
            finding = behind(*facts, sent(reply), HELLO, protocol=protocol)
            assert finding.verdict is NOTE

    def test_what_follows_the_handshake_or_a_refusal_is_not_between(self, protocol, line, command, reply):
        refused = (CLEAR, e.Deviated("answer", command[1].verb, b"no\r\n"))
        for answer in ([refused], [sent(b"454 no\r\n")], [sent(b"-ERR no\r\n")], [sent(b"a1 NO no\r\n")]):
            assert behind(got(line), command, *answer, got(b"QUIT\r\n"), protocol=protocol).verdict is PASS
        done = [sent(reply), HELLO, ENDED, got(b"QUIT\r\n")]
        assert behind(got(line), command, *done, protocol=protocol).verdict is PASS


def test_a_secret_behind_starttls_is_not_in_the_evidence():
    finding = behind(got(b"STARTTLS\r\nAUTH PLAIN aHVudGVyMg==\r\nhunter2\r\n"), starttls(), sent(b"220 go\r\n"))
    assert finding.verdict is VIOLATION
    assert finding.evidence.endswith("34 bytes of text: AUTH")


def test_text_that_is_no_command_is_counted_all_the_same():
    finding = behind(got(b"STARTTLS\r\nhunter2\r\n"), starttls(), sent(b"220 go\r\n"))
    assert finding.evidence.endswith("9 bytes of text: no command that is known")


def test_who_never_asks_for_tls_says_nothing_behind_it():
    assert behind(got(b"EHLO x\r\n")).verdict is INCONCLUSIVE


def inside(*lines):
    said = [(TLS, e.Command(line.partition(" ")[0], line.partition(" ")[2].encode(), line)) for line in lines]
    return [HELLO, ENDED, *said]


IN_CLEAR = (Announce(lines=("AUTH LOGIN",)),)


def kept(seen, usual, *, deviations=IN_CLEAR, protocol=SMTP, mechanisms=("PLAIN",)):
    control = recorded(inside(*usual), protocol=protocol)
    trial = recorded(
        inside(*seen),
        protocol=protocol,
        control=control,
        deviations=deviations,
        auth=AuthPolicy(mechanisms=mechanisms),
    )
    return RULES["discard-pretls-state"].check(trial)


@pytest.mark.parametrize(
    ("seen", "usual", "verdict"),
    [
        (["EHLO", "AUTH PLAIN"], ["EHLO", "AUTH PLAIN"], PASS),
        (["EHLO", "AUTH LOGIN"], ["EHLO", "AUTH PLAIN"], VIOLATION),
        (["EHLO", "AUTH PLAIN", "AUTH LOGIN"], ["EHLO", "AUTH PLAIN"], VIOLATION),
        (["AUTH login"], ["EHLO"], VIOLATION),
        (["EHLO"], ["EHLO"], PASS),
        (["EHLO"], ["EHLO", "AUTH PLAIN"], PASS),
        (["EHLO", "AUTH LOGIN"], ["EHLO", "AUTH LOGIN"], NOT_APPLICABLE),
        ([], ["EHLO", "AUTH PLAIN"], INCONCLUSIVE),
        (["USER", "PASS"], ["USER", "PASS"], PASS),
        (["AUTH"], ["AUTH"], PASS),
    ],
)
def test_a_method_that_the_list_in_clear_alone_offers(seen, usual, verdict):
    assert kept(seen, usual).verdict is verdict


@pytest.mark.parametrize(
    ("seen", "usual", "verdict"),
    [
        (["CAPABILITY"], ["CAPABILITY"], PASS),
        (["CAPABILITY", "AUTHENTICATE PLAIN"], ["CAPABILITY"], VIOLATION),
        (["AUTHENTICATE PLAIN"], ["CAPABILITY"], VIOLATION),
        (["LOGIN a b"], ["LOGIN a b"], PASS),
        (["CAPABILITY", "ID"], ["CAPABILITY"], PASS),
        ([], ["CAPABILITY"], PASS),
        (["CAPABILITY"], [], INCONCLUSIVE),
    ],
)
def test_while_no_reply_comes_only_what_was_told_in_clear_can_be_used(seen, usual, verdict):
    deviations = (Agree(reply=b"{tag} OK [CAPABILITY AUTH=PLAIN]\r\n"), Withhold(patience=1.0))
    assert kept(seen, usual, deviations=deviations, protocol=IMAP).verdict is verdict


def test_state_needs_tls_and_something_to_compare_with():
    check = RULES["discard-pretls-state"].check
    assert check(recorded([HELLO])).verdict is INCONCLUSIVE
    assert check(recorded(inside("EHLO"))).verdict is Verdict.ERROR


def relearnt(*lines, protocol=SMTP, security=Security.STARTTLS, before=()):
    asked = [(CLEAR, e.Command(verb, b"", verb)) for verb in before]
    return RULES["relearn-capabilities-after-tls"].check(
        recorded([*asked, *inside(*lines)], protocol=protocol, security=security)
    )


@pytest.mark.parametrize(
    ("lines", "protocol", "verdict"),
    [
        (["EHLO x", "AUTH PLAIN"], SMTP, PASS),
        (["NOOP", "EHLO x"], SMTP, PASS),
        (["HELO x", "MAIL FROM:<a@b>"], SMTP, NOTE),
        (["AUTH PLAIN", "EHLO x"], SMTP, NOTE),
        (["MAIL FROM:<a@b>"], SMTP, NOTE),
        (["CAPA", "USER a"], POP3, PASS),
        (["USER a"], POP3, NOTE),
        (["LOGIN a b"], IMAP, NOTE),
        (["CAPABILITY", "LOGIN a b"], IMAP, PASS),
        (["LOGOUT"], IMAP, INCONCLUSIVE),
        ([], SMTP, INCONCLUSIVE),
    ],
)
def test_the_first_command_inside_tls_asks_what_is_offered(lines, protocol, verdict):
    asks = {SMTP: "EHLO", POP3: "CAPA", IMAP: "CAPABILITY"}[protocol]
    finding = relearnt(*lines, protocol=protocol, before=(asks,))
    assert finding.verdict is verdict
    assert finding.should is (verdict is NOTE)


def test_who_never_asks_has_learnt_nothing_that_could_be_old():
    assert relearnt("USER a", protocol=POP3).verdict is NOT_APPLICABLE
    assert relearnt("EHLO x", security=Security.IMPLICIT).verdict is NOT_APPLICABLE


def greeted_again(seen, usual):
    again = (TLS, e.Deviated("greeted again", "", b"220 hi\r\n"))
    facts = [*inside()[:2], again, *inside(*seen)[2:]]
    control = recorded(inside(*usual))
    deviations = (GreetAgain(data=b"220 hi\r\n"), Withhold(patience=1.0))
    return RULES["check-starttls-reply"].check(recorded(facts, control=control, deviations=deviations))


@pytest.mark.parametrize(
    ("seen", "usual", "verdict"),
    [
        (["EHLO x"], ["EHLO x"], PASS),
        (["EHLO x", "HELO x", "QUIT"], ["EHLO x"], PASS),
        (["EHLO x", "AUTH PLAIN"], ["EHLO x"], VIOLATION),
        (["EHLO x", "MAIL FROM:<a@b>"], ["EHLO x"], VIOLATION),
        (["EHLO x", "AUTH PLAIN"], ["EHLO x", "AUTH PLAIN"], NOT_APPLICABLE),
    ],
)
def test_a_second_greeting_is_no_reply(seen, usual, verdict):
    assert greeted_again(seen, usual).verdict is verdict


def test_who_is_not_greeted_again_is_not_judged_by_it():
    trial = recorded(inside("EHLO x"), deviations=(GreetAgain(data=b"220 hi\r\n"),))
    assert RULES["check-starttls-reply"].check(trial).verdict is INCONCLUSIVE
    again = recorded([*inside(), (TLS, e.Deviated("greeted again", "", b""))], deviations=trial.served.deviations)
    assert RULES["check-starttls-reply"].check(again).verdict is Verdict.ERROR
