"""FETCH: sections, structures and envelopes, against known answers and against the standard library's parser."""

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imap_session import PLAIN_MAIL, inbox, logged_in, run, untagged

from pytest_mailauth.servers.engines.imap import envelope, mime
from pytest_mailauth.servers.engines.imap.envelope import Address

steady = settings(max_examples=100, deadline=None, derandomize=True)

INNER = b"From: a@example.test\r\nSubject: inner\r\n\r\ninner text\r\n"
NESTED = (
    b'Subject: outer\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b 1"\r\n\r\npreamble\r\n'
    b"--b 1\r\n\r\nfirst\r\nlines\r\n"
    b'--b 1  \r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment; filename="x\\"y.eml"\r\n\r\n'
    + INNER
    + b"\r\n--b 1\r\nContent-Type: multipart/alternative; boundary=b2\r\n\r\n"
    b"--b2\r\nContent-Type: text/plain; charset=utf-8\r\nContent-ID: <1@x>\r\nContent-Language: de\r\n\r\np\r\n"
    b"--b2\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>=\r\n</p>\r\n--b2--\r\n"
    b"\r\n--b 1--\r\nepilogue\r\n"
)  # fmt: skip
IMAGE = (
    b'Content-Type: image/png; name="a b"\r\nContent-ID: <i>\r\nContent-Description: d\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n"
)


def fetched(content, item):
    """Return what FETCH says about one item of a message."""
    engine, _ = logged_in(mail=((content, ("\\Seen",), None),))
    data = untagged(engine, f"a FETCH 1 {item}")
    assert data.startswith(b"* 1 FETCH (")
    return data.removeprefix(b"* 1 FETCH (").removesuffix(b")")


def section(content, wanted):
    """Return the octets of BODY[wanted], or None for NIL."""
    data = fetched(content, f"BODY.PEEK[{wanted}]")
    _, _, value = data.partition(b"] ")
    if value == b"NIL":
        return None
    size, _, octets = value.partition(b"}\r\n")
    assert int(size[1:]) == len(octets)
    return octets


@pytest.mark.parametrize(
    ("wanted", "octets"),
    [
        ("", NESTED),
        ("HEADER", NESTED[: NESTED.index(b"preamble")]),
        ("TEXT", NESTED[NESTED.index(b"preamble") :]),
        ("1", b"first\r\nlines"),
        ("1.MIME", b"\r\n"),
        ("1.HEADER", None),
        ("1.1", None),
        ("2", INNER),
        ("2.MIME", b'Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename="x\\"y.eml"\r\n\r\n'),
        ("2.HEADER", INNER[: -len(b"inner text\r\n")]),
        ("2.TEXT", b"inner text\r\n"),
        ("2.1", b"inner text\r\n"),
        ("2.1.1", None),
        ("2.2", None),
        ("2.HEADER.FIELDS (subject date)", b"Subject: inner\r\n\r\n"),
        ("2.HEADER.FIELDS.NOT (Subject)", b"From: a@example.test\r\n\r\n"),
        ("3.1", b"p"),
        ("3.2", b"<p>=\r\n</p>"),
        ("3.2.MIME", b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"),
        ("3.3", None),
        ("4", None),
        ("99999.99999", None),
    ],
)  # fmt: skip
def test_sections_of_a_nested_message(wanted, octets):
    assert section(NESTED, wanted) == octets


@pytest.mark.parametrize(
    ("content", "wanted", "octets"),
    [
        (PLAIN_MAIL, "1", PLAIN_MAIL[PLAIN_MAIL.index(b"Hello") :]),
        (PLAIN_MAIL, "1.MIME", PLAIN_MAIL[: PLAIN_MAIL.index(b"Hello")]),
        (PLAIN_MAIL, "2", None),
        (PLAIN_MAIL, "1.1", None),
        (b"Content-Type: message/rfc822\r\n\r\n" + NESTED, "1", NESTED),
        (b"Content-Type: message/rfc822\r\n\r\n" + NESTED, "1.2.TEXT", b"inner text\r\n"),
        (b"no header, no empty line", "HEADER", b"no header, no empty line"),
        (b"no header, no empty line", "TEXT", b""),
        (b"\r\nbody only", "HEADER", b"\r\n"),
        (b"\r\nbody only", "TEXT", b"body only"),
        (b"A: b\n\nbare\n", "TEXT", b"bare\n"),
        (b"", "", b""),
        (b"A: 1\r\nB: 2\r\n folded\r\nA: 3\r\nbroken\r\n\r\n", "HEADER.FIELDS (b)", b"B: 2\r\n folded\r\n\r\n"),
        (b"A: 1\r\nB: 2\r\n folded\r\nA: 3\r\nbroken\r\n\r\n", "HEADER.FIELDS.NOT (b)", b"A: 1\r\nA: 3\r\n\r\n"),
        (b"A: 1\r\n\r\n", 'HEADER.FIELDS ("a" X)', b"A: 1\r\n\r\n"),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary", "1", b""),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\nnot --b\r\n--bb\r\n", "1", b""),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nA: 1\r\n\r\nno end", "1", b"no end"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\nx\r\n--bb\r\n--b--", "2", b"x\r\n--bb"),
        (b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: s\r\n\r\nd\r\n--b--", "1.TEXT", b"d"),
    ],
)
def test_sections_of_odd_messages(content, wanted, octets):
    assert section(content, wanted) == octets


@pytest.mark.parametrize(
    ("piece", "octets"),
    [("<0.5>", b"Date:"), ("<6.3>", b"Mon"), ("<0.99999>", PLAIN_MAIL), ("<99999.1>", b""), ("<4294967295.1>", b"")],
)
def test_partial_sections(piece, octets):
    origin = piece[1:].partition(".")[0].encode()
    data = fetched(PLAIN_MAIL, f"BODY.PEEK[]{piece}")
    assert data == b"BODY[]<%b> {%d}\r\n%b" % (origin, len(octets), octets)


@pytest.mark.parametrize(
    ("asked", "label"),
    [
        ("body[]", b"BODY[]"),
        ("BODY.PEEK[header]", b"BODY[HEADER]"),
        ("BODY[1.mime]", b"BODY[1.MIME]"),
        ('BODY[HEADER.FIELDS (From "x y")]', b'BODY[HEADER.FIELDS (From "x y")]'),
        ("RFC822", b"RFC822"),
        ("rfc822.header", b"RFC822.HEADER"),
        ("RFC822.TEXT", b"RFC822.TEXT"),
    ],
)
def test_items_keep_their_names(asked, label):
    assert fetched(PLAIN_MAIL, asked).startswith(label + b" {")


@pytest.mark.parametrize(
    "wanted",
    [
        *["", "X", "(", "()", "(FLAGS", "(FLAGS  UID)", "FLAGS UID", "(ALL)", "(FLAGS ALL)", "BODY.PEEK", "RFC822.PEEK"],
        *["BODY[", "BODY[X]", "BODY[MIME]", "BODY[.TEXT]", "BODY[1.]", "BODY[0]", "BODY[01]", "BODY[1TEXT]", "BODY[]<1>"],
        *["BODY[]<0.0>", "BODY[]<1.2", "BODY[HEADER.FIELDS]", "BODY[HEADER.FIELDS ()]", "BODY[HEADER.FIELDS (A]", "UID[]"],
    ],
)  # fmt: skip
def test_items_that_do_not_exist(wanted):
    engine, _ = logged_in()
    assert run(engine, f"a FETCH 1 {wanted}").startswith(b"a BAD ")


def test_reading_marks_a_message_as_seen_and_peeking_does_not():
    engine, store = logged_in()
    assert b"Seen" not in run(engine, "a FETCH 2 (BODY.PEEK[] RFC822.HEADER BODY.PEEK[TEXT]<0.1> BODY)")
    assert untagged(engine, "a FETCH 2 BODY[TEXT]") == b"* 2 FETCH (BODY[TEXT] {13}\r\nsecond body\r\n FLAGS (\\Seen))"
    assert untagged(engine, "a FETCH 2 RFC822.TEXT") == b"* 2 FETCH (RFC822.TEXT {13}\r\nsecond body\r\n)"
    assert [sorted(message.flags) for message in inbox(store).messages] == [
        ["\\Seen"],
        ["\\Seen"],
        ["$Work", "\\Flagged"],
    ]
    assert b"FLAGS" in untagged(engine, "a FETCH 3 (BODY.PEEK[] BODY[])")


def test_examining_marks_nothing():
    engine, store = logged_in(select="")
    run(engine, "a EXAMINE INBOX")
    assert b"FLAGS" not in untagged(engine, "a FETCH 1:* BODY[]")
    assert "\\Seen" not in inbox(store).messages[1].flags


def test_a_uid_is_told_once_and_first():
    engine, _ = logged_in()
    assert untagged(engine, "a UID FETCH 2 (FLAGS UID)") == b"* 2 FETCH (UID 2 FLAGS ())"
    assert untagged(engine, "a UID FETCH 2 FAST") == (
        b'* 2 FETCH (UID 2 FLAGS () INTERNALDATE " 1-Feb-2024 09:30:05 +0000" RFC822.SIZE 53)'
    )


# Structures.


@pytest.mark.parametrize(
    ("content", "structure"),
    [
        (PLAIN_MAIL, b'("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 55 1)'),
        (b"Content-Type: text/html\r\n\r\nx", b'("TEXT" "HTML" NIL NIL NIL "7BIT" 1 1)'),
        (b"Content-Type: nonsense\r\n\r\n", b'("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 0 0)'),
        (IMAGE, b'("IMAGE" "PNG" ("NAME" "a b") "<i>" "d" "BASE64" 6)'),
        (
            b"Content-Type: multipart/mixed\r\n\r\n",
            b'(("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 0 0) "MIXED")',
        ),
    ],
)  # fmt: skip
def test_body(content, structure):
    assert fetched(content, "BODY") == b"BODY " + structure


def test_the_structure_of_a_nested_message():
    inner = b'(NIL "inner" ((NIL NIL "a" "example.test")) ((NIL NIL "a" "example.test")) ((NIL NIL "a" "example.test"))'
    assert fetched(NESTED, "BODYSTRUCTURE") == (
        b'BODYSTRUCTURE (("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 12 2 NIL NIL NIL NIL)'
        b'("MESSAGE" "RFC822" NIL NIL NIL "7BIT" %d %b NIL NIL NIL NIL NIL)'
        b' ("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 12 1 NIL NIL NIL NIL)'
        b' 4 NIL ("ATTACHMENT" ("FILENAME" "x\\"y.eml")) NIL NIL)'
        b'(("TEXT" "PLAIN" ("CHARSET" "utf-8") "<1@x>" NIL "7BIT" 1 1 NIL NIL "de" NIL)'
        b'("TEXT" "HTML" NIL NIL NIL "QUOTED-PRINTABLE" 10 2 NIL NIL NIL NIL)'
        b' "ALTERNATIVE" ("BOUNDARY" "b2") NIL NIL NIL) "MIXED" ("BOUNDARY" "b 1") NIL NIL NIL)'
        % (len(INNER), inner)
    )  # fmt: skip


def test_parts_nested_too_deep_are_not_opened():
    content = b"the core"
    for depth in range(2000):
        content = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n%b\r\n--b%d--" % (
            depth,
            depth,
            content,
            depth,
        )
    assert fetched(content, "BODYSTRUCTURE").count(b'"MIXED"') == mime.DEEPEST + 1
    assert section(content, ".".join(["1"] * (mime.DEEPEST + 1))) is None


@pytest.mark.parametrize("build", ["text", "attachment", "alternative", "message"])
def test_sections_agree_with_the_standard_library(build):
    message = EmailMessage()
    message["Subject"] = "Grüße"
    message["From"] = "A B <a@example.test>"
    message.set_content("Liebe Grüße\n" * 30)
    if build == "attachment":
        message.add_attachment(b"\0\1\2" * 100, maintype="application", subtype="octet-stream", filename="x.bin")
    if build == "alternative":
        message.add_alternative("<p>Grüße</p>", subtype="html")
        message.add_attachment("text", filename="y.txt")
    if build == "message":
        other = EmailMessage()
        other.set_content("inside")
        other.add_alternative("<p>inside</p>", subtype="html")
        message.add_attachment(other)
    content = message.as_bytes(policy=email.policy.SMTP)

    def compare(part, numbers):
        if part.get_content_type() == "message/rfc822":
            inside = part.get_payload(0)
            assert (
                section(content, f"{numbers}.HEADER.FIELDS (Content-Type)")
                .strip()
                .endswith(str(inside["Content-Type"]).rpartition('"')[0].encode() + b'"')
            )
            compare_all(inside, f"{numbers}.")
            return
        if part.is_multipart():
            compare_all(part, f"{numbers}.")
            return
        octets = part.get_payload(decode=False).replace("\r\n", "\n").replace("\n", "\r\n")
        assert section(content, numbers).decode().rstrip("\r\n") == octets.rstrip("\r\n")

    def compare_all(part, prefix):
        parts = part.get_payload() if part.is_multipart() else [part]
        for number, child in enumerate(parts, 1):
            compare(child, f"{prefix}{number}")

    compare_all(email.message_from_bytes(content), "")


# Envelopes.


def test_an_envelope():
    author = b'(("Fred Foobar" NIL "foobar" "Blurdybloop.test"))'
    assert fetched(PLAIN_MAIL, "ENVELOPE") == (
        b'ENVELOPE ("Mon, 7 Feb 1994 21:52:25 -0800" "afternoon meeting" %b %b %b'
        b' ((NIL NIL "mooch" "owatagu.test")) NIL NIL NIL "<B27397@Blurdybloop.test>")' % (author, author, author)
    )


def test_an_envelope_of_nothing_and_of_8_bit():
    assert fetched(b"\r\n", "ENVELOPE") == b"ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    assert fetched(b"Subject: \xfc\r\nSender: \r\n\r\n", "ENVELOPE") == (
        b"ENVELOPE (NIL {1}\r\n\xfc NIL NIL NIL NIL NIL NIL NIL NIL)"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@x", [(None, b"a", b"x")]),
        (b"A B <a@x>, b@y", [(b"A B", b"a", b"x"), (None, b"b", b"y")]),
        (b'"B, A" <a.b@x.test>', [(b"B, A", b"a.b", b"x.test")]),
        (b'"q \\" x"@y', [(None, b'q " x', b"y")]),
        (b"a@x (A (really) B)", [(b"A (really) B", b"a", b"x")]),
        (b"=?utf-8?q?Gr=C3=BC?= <g@x>", [(b"=?utf-8?q?Gr=C3=BC?=", b"g", b"x")]),
        (b"team: a@x, B <b@y>;, c@z", [(None, b"team", None), (None, b"a", b"x"), (b"B", b"b", b"y"), (None, None, None), (None, b"c", b"z")]),
        (b"undisclosed-recipients:;", [(None, b"undisclosed-recipients", None), (None, None, None)]),
        (b"<@r1,@r2:a@x>", [(None, b"a", b"x")]),
        (b"a@[127.0.0.1]", [(None, b"a", b"[127.0.0.1]")]),
        (b"local", [(None, b"local", b"")]),
        (b"a@b@c", [(None, b"a@b", b"c")]),
        (b"<>", []),
        (b", ,", []),
        (b'((((, "', []),
        (b"a@x (unclosed", [(b"unclosed", b"a", b"x")]),
    ],
)  # fmt: skip
def test_addresses(value, expected):
    assert envelope.addresses(value) == [Address(*address) for address in expected]


@steady
@given(
    st.lists(
        st.tuples(st.text('ab ,"\\<>@():;.', max_size=8), st.from_regex(r"[a-z]+(\.[a-z]+)?", fullmatch=True)),
        max_size=4,
    )
)
def test_addresses_agree_with_the_standard_library(pairs):
    value = ", ".join(email.utils.formataddr((name, f"{local}@example.test")) for name, local in pairs)
    wanted = [(" ".join(name.split()), f"{local}@example.test") for name, local in pairs]
    found = [
        (b" ".join((name or b"").split()).decode(), b"%b@%b" % (box, host))
        for name, box, host in envelope.addresses(value.encode())
    ]
    assert found == [(name, address.encode()) for name, address in wanted]


@pytest.mark.parametrize("mark", [b'"\\', b"[", b"(", b"<@", b'"'])
def test_marks_that_are_never_closed_take_no_time(mark):
    assert len(envelope.addresses(b"a@x " + mark * 50_000)) <= 1


MAIL_PIECES = st.sampled_from(
    [
        *[
            b"\r\n",
            b"\n",
            b"\r",
            b":",
            b" ",
            b";",
            b'"',
            b"(",
            b")",
            b"<",
            b"@",
            b",",
            b"\xff",
            b"--b",
            b"--b--",
            b"\\",
        ],
        *[
            b"Content-Type: ",
            b"multipart/mixed; boundary=b",
            b"message/rfc822",
            b"text/plain; charset=",
            b"From: ",
            b"Date: ",
        ],
        *[
            b"base64",
            b"quoted-printable",
            b"Content-Transfer-Encoding: ",
            b"=?utf-8?b?",
            b"?=",
            b"Content-Disposition: ",
        ],
    ]
)


@steady
@given(st.one_of(st.binary(max_size=100), st.lists(MAIL_PIECES, max_size=40).map(b"".join)))
def test_any_message_can_be_fetched_and_searched(content):
    engine, _ = logged_in(mail=((content, (), None),))
    assert run(
        engine, "a FETCH 1 (ENVELOPE BODYSTRUCTURE BODY BODY[] BODY[1] BODY[1.1.HEADER] BODY[HEADER.FIELDS (From)])"
    ).endswith(b"a OK FETCH completed\r\n")
    assert run(engine, "a SEARCH OR TEXT zzz OR FROM zzz SENTBEFORE 1-Jan-2020").endswith(b"a OK SEARCH completed\r\n")
