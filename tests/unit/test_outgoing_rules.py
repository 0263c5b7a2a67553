"""What the rules about a client's own output make of a record: verdicts about octets, not about what a parser saw."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_trials import CLEAR, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios import SCENARIOS
from pytest_mailauth.judge.scenarios.outgoing import ROWS
from pytest_mailauth.model import events as e
from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.model.relay import CHUNKING, KEYWORDS, RelayPolicy
from pytest_mailauth.model.terms import Protocol, Verdict
from pytest_mailauth.model.trial import Declaration, Outcome

SMTP, POP3, IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP
PASS, VIOLATION, INCONCLUSIVE = Verdict.PASS, Verdict.VIOLATION, Verdict.INCONCLUSIVE
NOT_APPLICABLE = Verdict.NOT_APPLICABLE
OPENED = (CLEAR, e.Opened("127.0.0.1:1"))
REFUSED = Outcome(error="ValueError: a line break in an argument")
LOST = Outcome(error="ConnectionResetError: connection reset by peer")


def judged(rule, protocol, tells, *octets, outcome=None, **changes):
    session = [OPENED, *((TLS, e.Received(data) if isinstance(data, bytes) else data) for data in octets)]
    trial = recorded(session, protocol=protocol, outcome=outcome)
    return RULES[rule].check(replace(trial, tells=tells, **changes)).verdict


def injected(protocol, tells, *octets, **more):
    return judged("no-command-injection", protocol, tells, *octets, **more)


ADDRESS = {"sender": "a@b>\r\nRCPT TO:<evil@x"}
MAILBOX = {"mailbox": "INBOX\r\nx1 NOOP"}
QUOTE = {"mailbox": 'INBOX" (CONDSTORE) "more'}
LITERAL = {"mailbox": "INBOX {12}"}
DRAFT = {"draft": b"a NUL: \0 and more"}


@pytest.mark.parametrize(
    ("protocol", "tells", "octets"),
    [
        (SMTP, ADDRESS, b"MAIL FROM:<a@b>\r\nRCPT TO:<evil@x>\r\n"),
        (SMTP, ADDRESS, b"MAIL FROM:<a@b>\nRCPT TO:<evil@x>\r\n"),  # another line break than the caller's
        (SMTP, {"sender": "a@b>\nRCPT TO:<x"}, b"MAIL FROM:<a@b>\r\nRCPT TO:<x>\r\n"),
        (SMTP, {"subject": "Hello\r\nX-Injected: yes"}, b"Subject: Hello\r\nX-Injected: yes\r\n"),
        (POP3, {"message_number": "1\r\nDELE 2"}, b"RETR 1\r\nDELE 2\r\n"),
        (POP3, {"password": "secret\0more"}, b"PASS secret\0more\r\n"),
        (IMAP, MAILBOX, b'A1 SELECT "INBOX\r\nx1 NOOP"\r\n'),
        (IMAP, QUOTE, b'A1 SELECT "INBOX" (CONDSTORE) "more"\r\n'),
        (IMAP, LITERAL, b"A1 SELECT INBOX {12}\r\n"),
        (IMAP, DRAFT, b"A1 APPEND Drafts {17}\r\na NUL: \0 and more\r\n"),
    ],
)
def test_what_breaks_out_of_its_value_is_a_violation(protocol, tells, octets):
    assert injected(protocol, tells, octets, outcome=REFUSED) is VIOLATION


@pytest.mark.parametrize(
    ("protocol", "tells", "octets"),
    [
        (SMTP, {"subject": "Hello\r\nX-Injected: yes"}, b"Subject: Hello\r\n X-Injected: yes\r\n"),
        (SMTP, ADDRESS, b"MAIL FROM:<a@b>RCPT TO:<evil@x>\r\n"),
        (POP3, {"password": "secret\nx1 NOOP"}, b"AUTH PLAIN AGEAc2VjcmV0CngxIE5PT1A=\r\n"),
        (IMAP, MAILBOX, b"A1 SELECT {14}\r\nINBOX\r\nx1 NOOP\r\n"),
        (IMAP, MAILBOX, b'A1 SELECT "INBOX&AA0ACg-x1 NOOP"\r\n'),
        (IMAP, QUOTE, b'A1 SELECT "INBOX\\" (CONDSTORE) \\"more"\r\n'),
        (IMAP, LITERAL, b'A1 SELECT "INBOX {12}"\r\n'),
        (IMAP, DRAFT, b"A1 APPEND Drafts ~{17}\r\na NUL: \0 and more\r\n"),
    ],
)
def test_a_form_in_which_nothing_breaks_out_passes(protocol, tells, octets):
    assert injected(protocol, tells, octets) is PASS


def test_refusing_a_value_passes_and_failing_for_another_reason_does_not():
    assert injected(SMTP, ADDRESS, b"EHLO here\r\n", outcome=REFUSED) is PASS
    assert injected(SMTP, ADDRESS, b"EHLO here\r\n", outcome=LOST) is INCONCLUSIVE
    assert injected(SMTP, ADDRESS, b"EHLO here\r\n") is INCONCLUSIVE


def test_a_client_that_cannot_have_used_the_value_is_not_judged():
    token = Declaration(auth="oauth")
    assert injected(POP3, {"password": "a\nb"}, b"QUIT\r\n", outcome=REFUSED, declared=token) is NOT_APPLICABLE
    assert injected(SMTP, {"sender": "plain@example.test"}, b"QUIT\r\n", outcome=REFUSED) is NOT_APPLICABLE
    control = recorded([OPENED, (TLS, e.Command("MAIL", b"FROM:<me@home.test>", "MAIL FROM:<me@home.test>"))])
    assert injected(SMTP, ADDRESS, b"QUIT\r\n", outcome=REFUSED, control=control) is NOT_APPLICABLE


GO = e.Sent(b"354 go\r\n")
DATA = e.Command("DATA", b"", "DATA")
TEXT = b"Subject: a\r\n\r\n.\r\n.x\r\nlast\r\n"
STUFFED = b"Subject: a\r\n\r\n..\r\n..x\r\nlast\r\n.\r\n"


def smuggled(*facts, message=TEXT, **more):
    tells = {"message": message} if message else {}
    return judged("no-smuggling-output", SMTP, tells, *facts, **more)


@pytest.mark.parametrize(
    "octets",
    [
        (b"Subject: a\r\n\r\n.\r\n.x\r\nlast\r\n.\r\n",),
        (b"Subject: a\r\n\r\n.\r\n", e.Sent(b"250 taken\r\n"), b"last\r\n"),  # in pieces
        (STUFFED.replace(b"..x", b".x"),),
        (STUFFED.replace(b"last\r\n", b"last\n"),),
        (STUFFED.replace(b"last", b"la\rst"),),
    ],
)
def test_a_message_with_two_ends_is_a_violation(octets):
    assert smuggled(DATA, GO, *octets) is VIOLATION


def test_a_message_with_one_end_passes():
    assert smuggled(DATA, GO, STUFFED, e.Sent(b"250 taken\r\n"), b"QUIT\r\n") is PASS
    assert smuggled(DATA, GO, STUFFED[:9], STUFFED[9:]) is PASS
    assert smuggled(b"EHLO here\r\n", outcome=REFUSED) is PASS
    assert smuggled(b"EHLO here\r\n", outcome=LOST) is INCONCLUSIVE
    assert smuggled(b"EHLO here\r\n") is INCONCLUSIVE


def test_content_behind_a_refusal_is_a_violation_and_commands_are_not():
    refusal = DATA, e.Sent(b"554 no\r\n")
    assert smuggled(*refusal, b"Subject: a\r\n", message=None) is VIOLATION
    assert smuggled(*refusal, b"RSET\r\nQUIT\r\n", message=None) is PASS
    assert smuggled(*refusal, message=None, outcome=REFUSED) is PASS


def test_eight_bit_addresses_need_an_offer():
    mail = e.Command("MAIL", b"FROM:<\xc3\xa4@example.test>", "MAIL FROM:<...>")
    assert smuggled(e.Sent(b"250-here\r\n250 SMTPUTF8\r\n"), mail, message=None, outcome=REFUSED) is PASS
    assert smuggled(e.Sent(b"250 here\r\n"), mail, message=None, outcome=REFUSED) is VIOLATION
    # The refusal names the extension, and is no offer.
    assert smuggled(e.Sent(b"250 here\r\n"), mail, e.Sent(b"550 needs SMTPUTF8\r\n"), message=None) is VIOLATION


def test_only_smtp_is_asked_for_messages_and_only_who_came():
    assert judged("no-smuggling-output", IMAP, {}) is NOT_APPLICABLE
    assert RULES["no-smuggling-output"].check(recorded()).verdict is INCONCLUSIVE


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_is_registered(row):
    assert SCENARIOS[row.name] is row


BDAT = e.Command("BDAT", b"27 LAST", "BDAT 27 LAST")
MENDED = b"Subject: a\r\n\r\n.x\r\nlast\r\n"


@pytest.mark.parametrize(
    ("stream", "verdict"),
    [
        (b"BDAT %d LAST\r\n" % len(MENDED) + MENDED + b"QUIT\r\n", PASS),
        (b"BDAT 9\r\n" + MENDED[:9] + b"BDAT %d LAST\r\n" % (len(MENDED) - 9) + MENDED[9:], PASS),
        (b"BDAT %d LAST\r\n" % (len(MENDED) - 4) + MENDED + b"QUIT\r\n", VIOLATION),
        (b"BDAT %d LAST\r\n" % (len(MENDED) - 2) + MENDED + b"QUIT\r\n", VIOLATION),
        # The first letter of QUIT is taken for content, and the rest is no command.
        (b"BDAT %d LAST\r\n" % (len(MENDED) + 1) + MENDED + b"QUIT\r\n", VIOLATION),
        (b"BDAT %d LAST\r\n" % (len(MENDED) + 99) + MENDED + b"QUIT\r\n", VIOLATION),
        (b"BDAT %d LAST\r\n" % len(MENDED) + MENDED.replace(b".x\r\n", b".xx\n") + b"QUIT\r\n", VIOLATION),
        (b"BDAT %d LAST\r\n" % len(MENDED) + MENDED[:9], INCONCLUSIVE),
    ],
)
def test_bdat_announces_as_many_octets_as_follow(stream, verdict):
    assert smuggled(BDAT, stream, message=TEXT) is verdict


def test_who_sends_with_data_where_chunks_are_offered_has_no_counts_to_judge():
    offered = {"served": ServerConfig(protocol="smtp", relay=RelayPolicy(keywords=(*KEYWORDS, CHUNKING)))}
    assert smuggled(DATA, GO, STUFFED, e.Sent(b"250 taken\r\n"), **offered) is NOT_APPLICABLE
