"""SEARCH: every key, text as a person reads it, and the limits."""

import pytest
from imap_session import MAIL, inbox, logged_in, run, untagged

from pytest_mailauth.servers.engines.imap import mime, search, text

ENCODED = (
    b"Subject: =?iso-8859-1?q?Gr=FC=DFe?= =?utf-8?b?IGF1cyBLw7Zsbg==?=\r\nFrom: c@example.test\r\nBcc: d@example.test\r\n"
    b"Date: Thu, 29 Feb 2024 00:00:00 +0000\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nsch=F6n=\r\ner Tag\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nw6RwZmVs\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nkernel\r\n"
    b"--b\r\nContent-Type: image/png\r\n\r\nnottext\r\n--b--\r\n"
)


def found(query, *more, mail=MAIL):
    engine, _ = logged_in(mail=mail)
    line = untagged(engine, f"a SEARCH {query}", *more).rpartition(b"* SEARCH")[2]
    return [int(number) for number in line.split()]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("ALL", [1, 2, 3]),
        ("all", [1, 2, 3]),
        ("1", [1]),
        ("*", [3]),
        ("2:*", [2, 3]),
        ("*:2", [2, 3]),
        ("1,3", [1, 3]),
        ("UID 2:99", [2, 3]),
        ("UID 77", []),
        ("UID 77:*", [3]),
        ("SEEN", [1]),
        ("UNSEEN", [2, 3]),
        ("FLAGGED", [3]),
        ("UNFLAGGED", [1, 2]),
        ("DELETED", []),
        ("UNDELETED UNANSWERED UNDRAFT", [1, 2, 3]),
        ("ANSWERED", []),
        ("DRAFT", []),
        ("KEYWORD $work", [3]),
        ("UNKEYWORD $WORK", [1, 2]),
        ("NEW", []),
        ("RECENT", []),
        ("OLD", [1, 2, 3]),
        ("FROM bob", [2, 3]),
        ("FROM BOB@EXAMPLE", [2, 3]),
        ('FROM ""', [1, 2, 3]),
        ("TO owatagu", [1]),
        ("CC x", []),
        ("BCC x", []),
        ("SUBJECT MEETING", [1]),
        ("HEADER X-Tag deep", [3]),
        ('HEADER x-tag ""', [3]),
        ("HEADER X-Tag shallow", []),
        ("BODY tomorrow", [1]),
        ("BODY afternoon", []),
        ("TEXT afternoon", [1]),
        ("TEXT tomorrow", [1]),
        ("LARGER 84", [1]),
        ("LARGER 83", [1, 3]),
        ("SMALLER 84", [2]),
        ("BEFORE 1-Jan-2000", [1]),
        ("ON 1-Feb-2024", [2]),
        ("SINCE 1-Feb-2024", [2, 3]),
        ('SINCE "31-Dec-2024"', [3]),
        ("SENTBEFORE 8-Feb-1994", [1]),
        ("SENTON 7-Feb-1994", [1]),
        ("SENTSINCE 8-Feb-1994", []),
        ("NOT SEEN", [2, 3]),
        ("NOT NOT SEEN", [1]),
        ("OR SEEN FLAGGED", [1, 3]),
        ("OR SEEN OR FLAGGED 2", [1, 2, 3]),
        ("FROM bob FLAGGED", [3]),
        ("NOT (FROM bob FLAGGED)", [1, 2]),
        ("((SEEN))", [1]),
        ("OR (SEEN 1) (FLAGGED 3)", [1, 3]),
        ("CHARSET UTF-8 SEEN", [1]),
        ("charset us-ascii TEXT meeting", [1]),
    ],
)
def test_keys(query, numbers):
    assert found(query) == numbers


@pytest.mark.parametrize(
    ("key", "words", "fits"),
    [
        ("SUBJECT", "grüße aus Köln", True),
        ("SUBJECT", "GRÜSSE AUS KÖLN", True),
        ("SUBJECT", "Gruße", False),
        ("HEADER Subject", "Grüße", True),
        ("BODY", "Schöner TAG", True),
        ("BODY", "sch=F6n", False),
        ("BODY", "Äpfel", True),
        ("BODY", "w6RwZmVs", False),
        ("TEXT", "kernel", True),
        ("TEXT", "inner", True),
        ("TEXT", "nottext", False),
        ("BCC", "d@example", True),
        ("SENTON", "29-Feb-2024", True),
        ("SENTBEFORE", "29-Feb-2024", False),
    ],
)
def test_text_is_searched_as_a_person_reads_it(key, words, fits):
    mail = ((ENCODED, (), None),)
    assert found(f'{key} "{words}"', mail=mail) == [1] * fits
    if not key.startswith("SENT"):
        assert found(f"CHARSET UTF-8 {key} {{{len(words.encode())}+}}", words, mail=mail) == [1] * fits


@pytest.mark.parametrize(
    ("query", "reply"),
    [
        ("", b"a BAD an atom expected"),
        ("XYZZY", b"a BAD no such search key"),
        ("SEEN ", b"a BAD an atom expected"),
        ("(SEEN", b"a BAD a space expected"),
        ("SEEN)", b"a BAD a space expected"),
        ("NOT", b"a BAD a space expected"),
        ("OR SEEN", b"a BAD a space expected"),
        ("FROM", b"a BAD a space expected"),
        ("HEADER From", b"a BAD a space expected"),
        ("LARGER many", b"a BAD a number expected"),
        ("SINCE yesterday", b"a BAD a date expected"),
        ("UID x", b"a BAD a sequence set expected"),
        ("4", b"a BAD no message has this number"),
        ("CHARSET KOI8-R SEEN", b"a NO [BADCHARSET (US-ASCII UTF-8)] no such character set"),
        ("NOT " * (search.DEEPEST + 1) + "SEEN", b"a BAD search keys are nested too deep"),
        ("(" * 4000, b"a BAD search keys are nested too deep"),
        ("OR " * 2000, b"a BAD search keys are nested too deep"),
    ],
)
def test_what_is_refused(query, reply):
    assert run(logged_in()[0], f"a SEARCH {query}") == reply + b"\r\n"


def test_a_message_without_a_real_date_was_never_sent():
    mail = ((b"Date: 31 Feb 1994\r\n\r\n", (), None), (b"Date: today\r\n\r\n", (), None))
    assert found("SENTSINCE 1-Jan-1990", mail=mail) == []


def test_nesting_up_to_the_limit():
    assert found("NOT " * search.DEEPEST + "SEEN") == [1]


def test_an_empty_mailbox_has_no_messages_but_any_query():
    assert found("1:*", mail=()) == []
    assert found("UID 1:*", mail=()) == []
    assert run(logged_in(mail=())[0], "a SEARCH 1") == b"a BAD no message has this number\r\n"


def test_a_removed_message_is_found_until_its_removal_is_told():
    engine, store = logged_in()
    del inbox(store).messages[0]
    assert untagged(engine, "a SEARCH FROM bob") == b"* SEARCH 2 3"
    assert untagged(engine, "a UID SEARCH FROM bob") == b"* SEARCH 2 3\r\n* 1 EXPUNGE"
    assert untagged(engine, "a SEARCH FROM bob") == b"* SEARCH 1 2"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"plain", "plain"),
        (b"\xc3\xbc", "ü"),
        (b"\xfc", "ü"),
        (b"=?utf-8?q?a_b?= c", "a b c"),
        (b"=?utf-8?q?a?=  =?utf-8?q?b?=", "ab"),
        (b"=?utf-8*de?B?w7w=?=", "ü"),
        (b"=?utf-8?B?w7w?=", "ü"),
        (b"=?utf-8?B?x?=", "x"),
        (b"=?unknown?q?=FC?=", "ü"),
        (b"=?unicode_escape?q?=5Cq?=", "\\q"),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        (b"=?utf-8?q?a b?=", "=?utf-8?q?a b?="),
        (b"=?", "=?"),
    ],
)
def test_encoded_words(value, words):
    assert text.words(value) == words


def test_text_that_cannot_be_decoded_is_latin_1():
    part = mime.Part(b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nx")
    assert text.body(part) == "x"
    assert text.body(mime.Part(b"Content-Type: text/plain; charset=iso-8859-99\r\n\r\n\xfc")) == "ü"
