"""What the rules about STARTTLS make of a record: which text counts, and which command proves what."""

from __future__ import annotations

import pytest
from recorded_trials import CLEAR, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import Greet, Trail, Withhold, fill
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.terms import HandshakeOutcome, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Outcome

SMTP, POP3, IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP
PASS, VIOLATION, INCONCLUSIVE = Verdict.PASS, Verdict.VIOLATION, Verdict.INCONCLUSIVE
NOT_APPLICABLE = Verdict.NOT_APPLICABLE
STAYED = (CLEAR, e.Deviated("stays in clear", "STARTTLS", b"250 ok\r\n"))
ALERTS = [bytes((0x15, 3, minor, 0, 2, 2, code)) for minor in (1, 3) for code in (10, 22, 50, 70, 80)]
HELLO = b"\x16\x03\x01\x00\x05\x01\n\nA\n"


def after_the_false_reply(protocol, *pieces):
    received = [(CLEAR, e.Received(piece)) for piece in pieces]
    said = [STAYED, *received, (CLEAR, e.Malformed("not a command"))]
    return RULES["tls-really-started"].check(recorded(said, protocol=protocol))


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize(
    "pieces",
    [
        *[(alert,) for alert in ALERTS],
        (HELLO[:1], HELLO[1:]),
        (HELLO, ALERTS[0]),
        (HELLO[:2],),
        (HELLO[:1],),
        (ALERTS[0][:4],),
        (b"\r\n",),
        (b"\r\n", ALERTS[0]),
        (b"*\r\n",),
        (b"",),
    ],
)
def test_tls_and_empty_lines_are_no_text(protocol, pieces):
    assert after_the_false_reply(protocol, *pieces).verdict is PASS


@pytest.mark.parametrize(
    ("protocol", "data"),
    [
        (SMTP, b"QUI"),
        (SMTP, b"quit"),
        (SMTP, b"EHLO x\r\nQ"),
        (SMTP, b"QUIT now\r\n"),
        (POP3, b"QU"),
        (POP3, b"STLS"),
        (IMAP, b"a2 LOGO"),
        (IMAP, b"a2"),
        (IMAP, b"a2 LOGOUT"),
        (IMAP, b"*\r\na2 LOGOUT\r\n"),
    ],
)
def test_half_a_farewell_is_no_text(protocol, data):
    assert after_the_false_reply(protocol, data).verdict is PASS


@pytest.mark.parametrize(
    ("protocol", "data"),
    [
        (SMTP, b"Subject: hello\r\n"),
        (SMTP, b"\r\nSubject: hello\r\n"),
        (SMTP, b"MAIL FROM:<alice@exam"),
        (SMTP, ALERTS[0] + b"Subject: hello\r\n"),
        (SMTP, HELLO + b"QUIT\r\nSubject: hello"),
        (SMTP, b"QUITE\r\n"),
        (POP3, b"hello\r\n"),
        (IMAP, b"hello\r\n"),
        (IMAP, b"a2 LOGIN alice"),
        (IMAP, b"QUIT now\r\n"),
    ],
)
def test_other_text_in_clear_is_going_on_in_clear(protocol, data):
    finding = after_the_false_reply(protocol, data)
    assert finding.verdict is VIOLATION
    assert "text that is no command (not a command)" in finding.evidence


@pytest.mark.parametrize("protocol", Protocol)
def test_what_is_offered_is_told_to_those_who_ask_or_in_the_greeting_of_imap(protocol):
    trial = recorded(
        [(CLEAR, e.Opened("x")), (CLEAR, e.Sent(b"hello\r\n")), (CLEAR, e.Closed("client", "close"))],
        protocol=protocol,
        outcome=Outcome(error="no TLS"),
    )
    verdict = RULES["starttls-required-is-required"].check(trial).verdict
    assert verdict is (PASS if protocol is IMAP else INCONCLUSIVE)


LINES = b"250 AUTH PLAIN\r\n"
REPLIED = (CLEAR, e.Sent(b"220 go\r\n" + LINES))
INJECTED = (CLEAR, e.Deviated("injected", "STARTTLS", LINES))
SEEN = (CLEAR, e.HelloSeen(ClientHello("1.2")))
FAILED = (CLEAR, e.HandshakeEnded(HandshakeOutcome.CLIENT_ALERT, alert="unexpected_message"))
ENDED = (CLEAR, e.HandshakeEnded(HandshakeOutcome.COMPLETED, "1.3", "a suite"))


def session(*lines, injected=True):
    """Return a session with these command lines inside TLS."""
    said = [(TLS, e.Received(line.encode())) for line in lines]
    said += [(TLS, e.Command(*_parts(line), line)) for line in lines]
    return [*([REPLIED, INJECTED] if injected else []), SEEN, ENDED, *said]


def _parts(line):
    verb, _, argument = line.partition(" ")
    return verb, argument.encode()


def compared(usual, *seen, protocol=SMTP, withheld=True):
    """Return what is said of sessions whose control said *usual*, one list of lines a session."""
    deviations = (Trail(data=b"x"), *((Withhold(patience=1.0),) if withheld else ()))
    control = recorded(*(session(*lines, injected=False) for lines in usual), protocol=protocol)
    return RULES["discard-pretls-bytes"].check(
        recorded(
            *(lines if isinstance(lines, tuple) else session(*lines) for lines in seen),
            protocol=protocol,
            control=control,
            deviations=deviations,
        )
    )


@pytest.mark.parametrize(
    ("usual", "seen", "verdict"),
    [
        (["EHLO"], ["EHLO"], PASS),
        (["EHLO"], [], PASS),
        (["EHLO", "AUTH PLAIN"], ["EHLO"], PASS),
        (["EHLO"], ["EHLO", "QUIT"], PASS),
        (["EHLO"], ["EHLO", "NOOP", "RSET", "QUIT"], PASS),
        (["EHLO"], ["EHLO", "EHLO"], PASS),
        (["EHLO"], ["EHLO", ""], PASS),
        (["EHLO", "QUIT"], ["EHLO", "AUTH PLAIN"], VIOLATION),
        (["EHLO"], ["EHLO", "AUTH PLAIN"], VIOLATION),
        (["EHLO"], ["EHLO", "RSET", "AUTH PLAIN"], VIOLATION),
        (["EHLO"], ["AUTH PLAIN"], VIOLATION),
        (["EHLO"], ["MAIL FROM:<a@b>"], VIOLATION),
        (["EHLO", "AUTH LOGIN"], ["EHLO", "AUTH PLAIN"], VIOLATION),
        (["EHLO", "AUTH PLAIN a"], ["EHLO", "AUTH plain b"], PASS),
        (["EHLO"], ["EHLO", "HELP"], VIOLATION),
        (["EHLO"], ["HELO"], INCONCLUSIVE),
        ([], ["AUTH PLAIN"], VIOLATION),
        ([], [], INCONCLUSIVE),
        (["AUTH   "], ["AUTH  "], PASS),
    ],
)
def test_while_no_reply_comes_a_client_says_what_its_control_said(usual, seen, verdict):
    lines = seen or (REPLIED, INJECTED, SEEN, ENDED, (TLS, e.Received(b"x")))
    assert compared([usual], lines).verdict is verdict


def test_the_evidence_names_both_talks_and_no_argument():
    finding = compared([["EHLO x"], []], ["EHLO x", "AUTH PLAIN c2VjcmV0"])
    assert finding.evidence == (
        "no reply was sent inside TLS, yet the client said EHLO, AUTH; without the injected lines it said EHLO or "
        "nothing: it used them as replies"
    )


def test_a_verb_that_may_not_be_shown_is_not_named():
    hidden = (TLS, e.Command("HUNTER2", b"", "<unknown command of 7 bytes>"))
    finding = compared([["EHLO"]], (*session("EHLO"), (TLS, e.Received(b"x")), hidden))
    assert finding.verdict is VIOLATION
    assert "the client said EHLO, <unknown command of 7 bytes>; without" in finding.evidence


def test_any_talk_of_the_control_will_do():
    assert compared([["CAPABILITY"], ["LOGIN a b"]], ["LOGIN a b"], protocol=IMAP).verdict is PASS


ABORTED = (REPLIED, INJECTED, (CLEAR, e.LeftUnread(0)), SEEN, FAILED)


@pytest.mark.parametrize(
    ("sessions", "verdict"),
    [
        ((ABORTED,), PASS),
        ((ABORTED, ["EHLO"]), PASS),
        ((ABORTED, ["EHLO", "AUTH PLAIN"]), VIOLATION),
        ((["EHLO"], ["AUTH PLAIN"], ["EHLO"]), VIOLATION),
        ((["EHLO", "AUTH PLAIN"], ["EHLO"]), VIOLATION),
    ],
)
def test_every_session_that_met_injected_bytes_is_judged(sessions, verdict):
    assert compared([["EHLO"]], *sessions).verdict is verdict


def test_without_tls_in_the_control_there_is_nothing_to_compare_with():
    assert compared([], ["AUTH PLAIN"]).verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("usual", "seen", "verdict"),
    [
        (["AUTHENTICATE LOGIN"], ["AUTHENTICATE LOGIN"], PASS),
        (["AUTHENTICATE LOGIN"], ["AUTHENTICATE plain"], VIOLATION),
        (["AUTHENTICATE LOGIN"], ["AUTHENTICATE  "], PASS),
        (["AUTHENTICATE   "], ["AUTHENTICATE   "], NOT_APPLICABLE),
        (["LOGIN a b"], ["AUTHENTICATE PLAIN"], VIOLATION),
        (["LOGIN a b"], ["LOGIN a b"], NOT_APPLICABLE),
        (["CAPABILITY"], ["CAPABILITY", "AUTHENTICATE PLAIN"], VIOLATION),
        (["AUTHENTICATE PLAIN"], ["AUTHENTICATE PLAIN"], NOT_APPLICABLE),
        (["AUTHENTICATE SCRAM-SHA-256"], ["AUTHENTICATE SCRAM-SHA-256"], NOT_APPLICABLE),
        ([], ["AUTHENTICATE PLAIN"], NOT_APPLICABLE),
    ],
)
def test_a_mechanism_that_was_named_in_the_injected_bytes_alone(usual, seen, verdict):
    assert compared([usual], seen, protocol=IMAP, withheld=False).verdict is verdict


@pytest.mark.parametrize(
    ("tag", "following"),
    [
        (b"A001", b"A002"),
        (b"A009", b"A010"),
        (b"A199", b"A200"),
        (b"99", b"100"),
        (b"0", b"1"),
        (b"A", b"A"),
        (b"1A", b"1A"),
        (b"9" * 5000, b"1" + b"0" * 5000),
        (b"1" * 5000, b"1" * 4999 + b"2"),
    ],
)
def test_the_next_tag_counts_up_numbers_of_any_length(tag, following):
    assert fill(b"{tag} OK {next} {next", tag) == tag + b" OK " + following + b" {next"


def test_further_tags_count_on():
    assert fill(b"{next4} {next2} {next3} {next}", b"A8") == b"A12 A10 A11 A9"


def test_implicit_tls_is_not_asked_about_starttls():
    trial = recorded(security=Security.IMPLICIT)
    assert RULES["starttls-required-is-required"].check(trial).verdict is NOT_APPLICABLE


REFUSED = {SMTP: b"554 no service here\r\n", POP3: b"-ERR no service here\r\n", IMAP: b"* BYE no service here\r\n"}
ASKING = {SMTP: "EHLO", POP3: "CAPA", IMAP: "CAPABILITY"}
LEAVING = {SMTP: "QUIT", POP3: "QUIT", IMAP: "LOGOUT"}
WORKING = {SMTP: "MAIL", POP3: "STAT", IMAP: "SELECT"}


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize(
    ("verbs", "verdict"), [((), PASS), ((LEAVING,), PASS), ((ASKING,), Verdict.NOTE), ((ASKING, WORKING), VIOLATION)]
)
def test_a_refused_service_is_left(protocol, verbs, verdict):
    said = [(CLEAR, e.Command(names[protocol], b"", names[protocol])) for names in verbs]
    opened = [(CLEAR, e.Opened("127.0.0.1")), (CLEAR, e.Sent(REFUSED[protocol]))]
    trial = recorded([*opened, *said], protocol=protocol)
    assert RULES["starttls-required-is-required"].check(trial).verdict is verdict


@pytest.mark.parametrize(
    ("greeting", "verdict"), [(b"+OK ready\r\n", INCONCLUSIVE), (b"+OK 2 messages\r\n1 120\r\n.\r\n", PASS)]
)
def test_a_greeting_of_several_lines_is_left(greeting, verdict):
    trial = recorded([(CLEAR, e.Opened("127.0.0.1")), (CLEAR, e.Sent(greeting))], protocol=POP3)
    assert RULES["starttls-required-is-required"].check(trial).verdict is verdict


def replied(kind, verb, data=b"", *further, deviations=(), protocol=SMTP):
    """Return what is said of a session in which STARTTLS, or a question before it, was answered in an odd way."""
    facts = [(CLEAR, e.Sent(b"hello\r\n")), (CLEAR, e.Deviated(kind, verb, data)), *further]
    return RULES["check-starttls-reply"].check(recorded(facts, protocol=protocol, deviations=deviations))


IN_CLEAR = (CLEAR, e.Command("MAIL", b"FROM:<a@b>", "MAIL FROM:<a@b>"))


@pytest.mark.parametrize(
    ("odd", "cause"),
    [
        (("answer", "STARTTLS", b"454 no\r\n"), "STARTTLS was refused"),
        (("answer", "STLS", b"-ERR no\r\n"), "STARTTLS was refused"),
        (("answer", "STARTTLS", b""), "STARTTLS was not answered"),
        (("answer", "EHLO", b"250 x\r\n220 go\r\n"), "a reply to STARTTLS came before it was asked for"),
        (("reworded", "STARTTLS", b"250 fine\r\n"), "STARTTLS was answered with another code than the success reply's"),
    ],
)
@pytest.mark.parametrize(
    ("further", "verdict", "what"),
    [((), PASS, "gave up"), ((SEEN,), Verdict.NOTE, "began a TLS handshake"), ((IN_CLEAR,), VIOLATION, "went on")],
)
def test_each_odd_reply_is_called_by_its_name(odd, cause, further, verdict, what):
    finding = replied(*odd, *further)
    if verdict is VIOLATION and odd[1] == "EHLO":  # who never asked has not taken it for an answer
        assert finding.verdict is Verdict.NOT_APPLICABLE
        return
    assert finding.verdict is verdict
    assert finding.evidence.startswith(cause)
    assert what in finding.evidence


def test_replies_behind_the_greeting_are_early_replies():
    greeted = recorded(
        [(CLEAR, e.Sent(b"* OK hi\r\nA001 OK go\r\n"))],
        protocol=IMAP,
        deviations=(Greet(data=b"* OK hi\r\nA001 OK go\r\n"),),
    )
    assert RULES["check-starttls-reply"].check(greeted).verdict is PASS
    silent = recorded([(CLEAR, e.Opened("x"))], protocol=IMAP, deviations=greeted.served.deviations)
    assert RULES["check-starttls-reply"].check(silent).verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("kind", "data", "cause"),
    [
        ("hung up", b"220 go\r\n", "the connection was lost behind the reply that starts TLS"),
        ("stays in clear", b"", "the ClientHello was not answered"),
        ("stays in clear", b"250 ok\r\n", "the ClientHello was answered in clear"),
        ("stays in clear", ALERTS[0], "the ClientHello was answered with a fatal alert"),
    ],
)
def test_each_way_to_be_left_without_tls_is_called_by_its_name(kind, data, cause):
    deviated = (CLEAR, e.Deviated(kind, "STARTTLS", data))
    check = RULES["tls-really-started"].check
    assert check(recorded([deviated])).evidence == f"{cause}, and the client gave up"
    assert check(recorded([IN_CLEAR, deviated])).verdict is PASS  # what came before is another rule's matter
    later = check(recorded([deviated, IN_CLEAR]))
    assert (later.verdict, later.evidence.startswith(cause)) == (VIOLATION, True)
