"""What a test reads off a message, and that no message breaks the reading of it."""

from __future__ import annotations

from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mailauth import Attachment, ConfigError, Message
from pytest_mailauth.servers import gleaning
from pytest_mailauth.servers.mailfiles import Letter, mailbox_name, read

PIXEL = b"\x89PNG\r\n\x1a\n\x00"


def crlf(*lines):
    return Message("\r\n".join([*lines, ""]).encode())


@pytest.fixture
def welcome():
    mail = EmailMessage()
    mail["Subject"] = "Grüße aus Zürich"
    mail["From"] = "App <app@example.test>"
    mail["To"] = '"Bob, the builder" <Bob@example.test>, carol@example.test'
    mail["Cc"] = "dave@example.test"
    mail.set_content("Hallo Zoë,\n\nhttps://example.test/t?a=1&b=2\n")
    mail.add_alternative('<p>Hallo Zoë <img src="cid:p"><a href="https://example.test/h?a=1&amp;b=2">hier</a>', "html")
    mail.get_payload()[1].add_related(PIXEL, "image", "png", cid="<p>")
    mail.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="Rechnung für Zoë.pdf")
    mail.add_attachment("a;b\n", subtype="csv", filename="list.csv")
    recipients = ("bob@EXAMPLE.test", "carol@example.test", "dave@example.test", "eve@example.test")
    return Message(mail.as_bytes().replace(b"\n", b"\r\n"), "app@example.test", recipients)


def test_the_bodies_are_decoded(welcome):
    assert welcome.text == "Hallo Zoë,\n\nhttps://example.test/t?a=1&b=2\n"
    assert welcome.html.startswith("<p>Hallo Zoë <img")


def test_the_links_of_html_come_first(welcome):
    assert welcome.links == ("https://example.test/h?a=1&b=2", "https://example.test/t?a=1&b=2")


def test_attachments_are_what_is_no_body(welcome):
    assert welcome.attachments == (
        Attachment("", "image/png", PIXEL),
        Attachment("Rechnung für Zoë.pdf", "application/pdf", b"%PDF-"),
        Attachment("list.csv", "text/csv", b"a;b\r\n"),
    )


def test_headers_are_decoded_and_found_in_any_case(welcome):
    assert welcome.subject == welcome.headers["SUBJECT"] == "Grüße aus Zürich"
    assert "cc" in welcome.headers
    assert welcome.headers.get("X-Missing") is None
    assert list(welcome.headers)[:4] == ["Subject", "From", "To", "Cc"]
    assert len(welcome.headers) == len(list(welcome.headers))
    with pytest.raises(KeyError):
        welcome.headers["X-Missing"]


def test_a_field_that_stands_twice():
    message = crlf("Received: from a", "X: 1", "received: from b", "  folded", "")
    assert message.headers["Received"] == "from a"
    assert message.headers.get_all("RECEIVED") == ("from a", "from b   folded")
    assert list(message.headers) == ["Received", "X"]
    assert repr(message.headers) == "Headers({'Received': 'from a', 'X': '1'})"


def test_who_is_only_in_the_envelope_was_bcc(welcome):
    assert welcome.bcc == ("eve@example.test",)


def test_without_to_and_cc_everybody_is_bcc():
    message = Message(b"Subject: x\r\n\r\n", rcpt_tos=("a@example.test", "b@example.test"))
    assert message.bcc == message.rcpt_tos


def test_a_group_names_nobody():
    message = Message(b"To: undisclosed-recipients:;\r\n\r\n", rcpt_tos=("a@example.test",))
    assert message.bcc == ("a@example.test",)


def test_unencoded_utf_8_is_read_in_headers():
    message = Message("To: zoë@exämple.test\r\nSubject: Grüße\r\n\r\nHé\r\n".encode(), rcpt_tos=("zoë@exämple.test",))
    assert (message.subject, message.bcc, message.text) == ("Grüße", (), "Hé\n")


def test_a_message_without_anything():
    message = Message(b"")
    assert (message.subject, message.html, message.links, message.codes, message.bcc) == ("", "", (), (), ())
    assert (message.text, message.attachments, dict(message.headers)) == ("", (), {})


def test_a_message_of_html_alone_has_no_text():
    message = crlf(
        "Content-Type: text/html", "", "<title>4321</title><style>x{y:#123456}</style>Code <b>271</b>828<br>"
    )
    assert message.text == ""
    assert message.codes == ("271828",)


def test_a_forwarded_message_is_an_attachment_and_not_looked_into():
    inner = EmailMessage()
    inner.set_content("inner code 111111")
    outer = EmailMessage()
    outer.set_content("outer code 222222")
    outer.add_attachment(inner)
    message = Message(outer.as_bytes())
    assert message.codes == ("222222",)
    assert [attachment.content_type for attachment in message.attachments] == ["message/rfc822"]
    assert b"inner code 111111" in message.attachments[0].content


@pytest.mark.parametrize("charset", ["nonsense", "hex", "utf-8\x00", "utf-7", "idna"])
def test_a_charset_that_is_none_still_shows_ascii(charset):
    message = Message(f"Content-Type: text/plain; charset={charset}\r\n\r\nhello\r\n".encode())
    assert "hello" in message.text


def test_parts_nested_beyond_reason_are_one_text():
    depth = 1500
    content = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(depth))
    message = Message((content + "\r\nhttps://example.test/deep\r\n").encode())
    assert message.links == ("https://example.test/deep",)


@pytest.mark.parametrize(
    "field",
    [
        "Content-Type: text/plain; charset*NUMBER=x",
        "Content-Type: text/plain; name*NUMBER=x",
        "Content-Type: multipart/mixed; boundary*NUMBER=x",
        "Content-Disposition: attachment; filename*NUMBER=x",
        "Subject: =?NUMBER?q?x?=",
    ],
)
def test_parameters_beyond_reason_do_no_harm(field):
    message = Message(field.replace("NUMBER", "1" * 5000).encode() + b"\r\n\r\nhello\r\n")
    read_everything(message)
    assert "hello" in message.text + "".join(one.content.decode() for one in message.attachments)


def test_the_email_packages_own_view_is_there_too(welcome):
    assert welcome.parsed["Subject"] == "Grüße aus Zürich"
    assert welcome.parsed.get_body(("plain",)).get_content_type() == "text/plain"


def test_an_eml_is_saved_as_it_came(welcome, tmp_path):
    path = welcome.save(tmp_path / "welcome.eml")
    assert path == tmp_path / "welcome.eml"
    assert path.read_bytes() == welcome.content
    assert [letter.content for letter in read(path)] == [welcome.content]


# Links.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see https://a.test/x.", ["https://a.test/x"]),
        ("(https://a.test/x_(y))", ["https://a.test/x_(y)"]),
        ("<https://a.test/>, [http://b.test]!", ["https://a.test/", "http://b.test"]),
        ('"https://a.test/?q=1;r=2#top"', ["https://a.test/?q=1;r=2#top"]),
        ("myapp://confirm?token=1 HTTPS://A.TEST", ["myapp://confirm?token=1", "HTTPS://A.TEST"]),
        ("**https://a.test/x**", ["https://a.test/x"]),
        ("mailto:a@b.test www.a.test a://. http:// ://x //a.test", []),
        (
            "\u201chttps://a.test/1\u201d \u201ehttps://a.test/2\u201c, \u00abhttps://a.test/3\u00bb. \u2018https://a.test/4\u2019",
            [f"https://a.test/{n}" for n in range(1, 5)],
        ),
        ("https://a.test/L\u2019Équipe\u2019s\u2026", ["https://a.test/L\u2019Équipe\u2019s"]),
        ("请访问 https://a.test/c\u3002谢谢\uff08https://a.test/d\uff09", ["https://a.test/c", "https://a.test/d"]),
        ("https://\u201c https://\u201dx", []),
    ],
)
def test_urls_in_text(text, found):
    assert list(gleaning.urls(text)) == found


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ("<a href='https://a.test/?x=1&amp;y=2'>https://shown.test</a>", ["https://a.test/?x=1&y=2"]),
        ("<A HREF=https://a.test>x</A> https://b.test", ["https://a.test", "https://b.test"]),
        ('<map><area href=" https://a.test "></map><link href="https://no.test"><img src="https://no.test">', ["https://a.test"]),
        ('<a href="#top"></a><a href="/x"></a><a href="mailto:a@b.test"></a><a href="javascript:x"></a><a></a><a href>', []),
        ("<script>'https://no.test'</script><!-- https://no.test --><p>https://a.test</p>", ["https://a.test"]),
        ("<head><title>https://no.test</title><body>https://a.test", ["https://a.test"]),
        ("</a></a>https://a.test<![if x]>", ["https://a.test"]),
    ],
)  # fmt: skip
def test_links_of_html(html, found):
    assert list(gleaning.page(html).links) == found


def test_a_link_stands_once():
    html = crlf("Content-Type: text/html", "", "<a href=https://a.test>1</a><a href=https://a.test>2</a>https://a.test")
    assert html.links == ("https://a.test",)


def flowed(text, parameters="; delsp=yes"):
    head = f"Content-Type: text/plain; charset=utf-8; Format=Flowed{parameters}\r\n\r\n"
    return Message((head + text.replace("\n", "\r\n")).encode())


def test_a_link_goes_on_where_its_line_does():
    message = flowed("see https://a.test/aaaa \nbbbb \ncccc now, \nplease\n")
    assert message.links == ("https://a.test/aaaabbbbcccc",)
    assert message.text == "see https://a.test/aaaa \nbbbb \ncccc now, \nplease\n"
    assert flowed("https://a.test/aaaa \nbbbb", "").links == ("https://a.test/aaaa",)
    assert flowed("Your code: 12 \n3456", "; delsp=YES").codes == ("123456",)


@pytest.mark.parametrize(
    ("text", "delsp", "shown"),
    [
        ("a \nb\nc", False, "a b\nc"),
        ("a \nb\nc", True, "ab\nc"),
        ("a  \nb", True, "a b"),
        ("a \n\nb", False, "a \nb"),
        ("> a \n> b \n>> c \nd", False, "> a b \n>> c \nd"),
        (" >a \n >b", False, ">a >b"),
        ("a \n-- \nb", False, "a \n-- \nb"),
        ("> a \n> -- \n> b", True, "> a\n> -- \n> b"),
        ("a ", True, "a"),
        ("", False, ""),
    ],
)
def test_lines_that_flow(text, delsp, shown):
    assert gleaning.unflowed(text, delsp=delsp) == shown


@given(st.text(alphabet="> -a\n"), st.booleans())
def test_only_spaces_quote_marks_and_line_ends_are_lost(text, delsp):
    shown = gleaning.unflowed(text, delsp=delsp)
    assert [char for char in shown if char in "-a"] == [char for char in text if char in "-a"]
    assert shown.count("\n") <= text.count("\n")


# Codes.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Your code is 1234", ["1234"]),
        ("Code:271828.", ["271828"]),
        ("*12345678*, '4321' (9876) [5555]", ["12345678", "4321", "9876", "5555"]),
        ("Use 123 456 or 1234-5678 now", ["123456", "12345678"]),
        ("G-123456 is your code", ["123456"]),
        ("Enter A1B2C3 or 7XKQ2M9PLT", ["A1B2C3", "7XKQ2M9PLT"]),
        ("WDJB-4JHT and AB1-2CD and 1ABCD-EFGHI", ["WDJB-4JHT", "AB1-2CD", "1ABCD-EFGHI"]),
        ("123 and 123456789 and 1a2b3c and ABCDEF", []),
        ("2026-11-24, 24.11.2026, 24/11/2026, 20261124T1200", []),
        ("$1234 1234€ £1234.50 1,234.00 12:34 #12345 1234%", []),
        ("+1 555 123 4567, (555) 123-4567, 1234 5678 9012 3456, 555-123-456", []),
        ("https://a.test/123456?code=654321 a123456@b.test 123456@b.test", []),
        ("© 2026 (c) 2019-2026 Copyright 2024", []),
        ("ISO-8601 SMTP-587 x_1234 1234_x v1234", []),
        ("code=123456 OTP=4321, pin='1111' tan=A1B2C3", ["123456", "4321", "1111", "A1B2C3"]),
        ("zipcode=12345 width=1024 x=1234 code=1234=5 code=1.234 error_code=5001", []),
        (
            "1234 EUR, EUR 1234, 1234 €, € 1234, 1234EUR, USD1234, 123 456 CHF, 1234\u00a0EUR, 1234\u202f€, 1234 Euro",
            [],
        ),
        ("1234 euros 1234 dollars, 1234-5678 EUR", []),
        ("1234 Europe, EURO 1234, 123\u00a0456 now", ["1234", "123456"]),
    ],
)
def test_codes_in_text(text, found):
    assert list(gleaning.codes(text)) == found


def test_codes_come_from_subject_text_and_html_once_each():
    mail = EmailMessage()
    mail["Subject"] = "1111 is your code"
    mail.set_content("1111, 2222")
    mail.add_alternative("<td>2222<td>3333", "html")
    assert Message(mail.as_bytes()).codes == ("1111", "2222", "3333")


@pytest.mark.parametrize("charset", ["utf-7", "raw_unicode_escape", "unicode_escape"])
def test_a_charset_that_encodes_lone_surrogates_gives_text_that_can_be_printed(charset):
    encoded = {"utf-7": "+2AA-"}.get(charset, "=5Cud800")
    message = crlf(
        f"Content-Type: text/plain; charset={charset}",
        "Content-Transfer-Encoding: quoted-printable",
        f"Subject: =?{charset}?q?{encoded}?=",
        "",
        encoded,
    )
    assert (message.subject, message.text) == ("\ufffd", "\ufffd\n")


# No message breaks it.

PIECES = [
    *("Content-Type: ", "Subject: ", "To: ", "Content-Disposition: ", "Content-Transfer-Encoding: ", "MIME-Version: 1.0"),
    *("text/html", "text/plain", "multipart/mixed", "message/rfc822", "message/delivery-status", "attachment", "inline"),
    *("; boundary=b", "; charset=", "; filename*0*=utf-8''%41", "; filename*99999999999999999999=x", "; name=", "--b", "--b--"),
    *("base64", "quoted-printable", "x-uuencode", "8bit", "begin 644 x\r\n", "=?utf-8?b?YQ=?=", "=?x?q?=ZZ?=", "=?utf-8?q?=e9?="),
    *("<a href=", "<![", "<!", "</", "&#x", "<script>", "https://", "123456", "AB12-", "© ", "(", ":;,", '"', "<", ">", "@", "%"),
    *("\r\n", "\r\n\r\n", "\n", "\r", "\t", " ", "\x00", "é", "\ud83d".encode("utf-8", "surrogatepass").decode("latin-1")),
]  # fmt: skip
contents = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from(PIECES), max_size=40).map(lambda pieces: "".join(pieces).encode()),
    st.lists(st.sampled_from(PIECES), max_size=40).map(lambda pieces: "".join(pieces).encode("latin-1", "replace")),
)


def read_everything(message):
    for name, value in message.headers.items():
        assert isinstance(value, str), name
    assert all(isinstance(text, str) for text in (message.subject, message.text, message.html, *message.links))
    assert all(isinstance(text, str) and text.isascii() for text in message.codes)
    assert all(isinstance(one.content, bytes) and isinstance(one.filename, str) for one in message.attachments)
    assert set(message.bcc) <= set(message.rcpt_tos)
    assert "\r" not in message.text + message.html
    names = [one.filename + one.content_type for one in message.attachments]
    seen = "".join([message.subject, message.text, message.html, *message.headers.values(), *message.links, *names])
    assert not any("\ud800" <= char <= "\udfff" for char in seen)


@settings(deadline=None)
@given(content=contents)
def test_no_message_breaks_its_view(content):
    read_everything(Message(content, rcpt_tos=("a@example.test", "")))


@settings(deadline=None)
@given(text=st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
def test_no_text_breaks_the_gleaning(text):
    page = gleaning.page(text)
    for link in (*page.links, *gleaning.urls(text)):
        assert "://" in link
        assert link == link.strip()
    for code in (*gleaning.codes(text), *gleaning.codes(page.text)):
        assert 4 <= len(code) <= 11
        assert any(char.isdigit() for char in code)


@given(
    code=st.from_regex(r"\A[0-9]{4,8}\Z|\A(?=[A-Z]{0,7}[0-9])(?=[0-9]{0,7}[A-Z])[A-Z0-9]{6,8}\Z"),
    before=st.sampled_from(["Your code: ", "", "(", "\n", "\t", "Code\n\n", '"']),
    after=st.sampled_from(["", ".", " is your code", ")", "\n", "!", ", valid for 5 minutes", '"']),
)
def test_what_stands_alone_is_found(code, before, after):
    assert gleaning.codes(before + code + after) == (code,)


@pytest.mark.parametrize(
    "piece",
    ["a", "1", "1 ", "A1", "A-", "(", ")", "a.", "x://", "<a ", "<b>", "&#", "a@", "copyright ", "<template>", "c)"],
)
def test_the_time_is_bounded(piece):
    # Would take minutes, if it grew with the square of the length.
    text = piece * (200_000 // len(piece))
    gleaning.urls(text)
    gleaning.codes(text)
    gleaning.page(text)


# Files.

BODY = b"Subject: x\n\nFrom here\n"


def test_line_ends_become_crlf(tmp_path):
    (tmp_path / "x.eml").write_bytes(b"\xef\xbb\xbfSubject: a\nTo: b\r\n\rbody\n\nend")
    assert read(tmp_path / "x.eml") == [Letter(b"Subject: a\r\nTo: b\r\n\r\nbody\r\n\r\nend\r\n")]


def test_an_mbox_is_unquoted_and_keeps_its_flags(tmp_path):
    box = b"From a Thu Jan  1 00:00:00 1970\nStatus: RO\nX-Status: AF\n" + BODY.replace(b"\nFrom", b"\n>From")
    box += b"\nFrom b Thu Jan  1 00:00:00 1970\n" + BODY.replace(b"\nFrom", b"\n>>From") + b"\n"
    (tmp_path / "box").write_bytes(box)
    first, second = read(tmp_path / "box")
    assert first.content.endswith(b"\r\n\r\nFrom here\r\n")
    assert first.flags == {"\\Seen", "\\Answered", "\\Flagged"}
    assert second == Letter(b"Subject: x\r\n\r\n>From here\r\n")


def test_a_maildir_is_read_by_name_and_keeps_its_flags(tmp_path):
    for name in ("cur", "new", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "new" / "300.a").write_bytes(b"Subject: third\n\n")
    (tmp_path / "cur" / "100.b:2,DFRST").write_bytes(b"Subject: first\n\n")
    (tmp_path / "cur" / "200.c:2,").write_bytes(b"Subject: second\n\n")
    letters = read(tmp_path)
    assert [letter.content for letter in letters] == [
        b"Subject: %b\r\n\r\n" % x for x in (b"first", b"second", b"third")
    ]
    assert [len(letter.flags) for letter in letters] == [5, 0, 0]


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("Tue, 24 Nov 2026 07:54:32 +0100", "2026-11-24T07:54:32+01:00"),
        ("Tue, 24 Nov 2026 07:54:32 -0000", "2026-11-24T07:54:32+00:00"),
        ("soon", None),
        ("Tue, 99 Nov 2026 07:54:32 +0100", None),
        ("Tue, 24 Nov 2026 07:54:32 +99999999", None),
    ],
)
def test_the_internal_date_is_that_of_the_date_header(date, moment):
    found = Letter(f"Date: {date}\r\n\r\n".encode()).internal_date
    assert (found.isoformat() if found else None) == moment


def test_without_a_date_header_there_is_no_date():
    assert Letter(b"Subject: x\r\n\r\n").internal_date is None


@given(content=st.binary(max_size=100))
def test_no_header_breaks_the_date(content):
    found = Letter(b"Date: " + content).internal_date
    assert found is None or found.tzinfo


@pytest.mark.parametrize(
    ("lay", "said"),
    [
        (lambda _path: None, "cannot read messages from PATH: No such file or directory"),
        (lambda path: path.mkdir(), "PATH is a folder but no Maildir; an .eml file, an mbox file and a Maildir"),
        (lambda path: path.write_bytes(b""), "PATH holds no message"),
        (lambda path: path.write_bytes(b"\r\n \r\n"), "PATH holds no message"),
        (lambda path: path.write_bytes(PIXEL), "PATH does not begin with a header field, so it is no message; an .eml"),
        (lambda path: [(path / name).mkdir(parents=True) for name in ("cur", "new")], "PATH holds no message"),
    ],
    ids=["missing", "folder", "empty", "blank", "picture", "empty maildir"],
)
def test_an_unfit_file_is_named(tmp_path, lay, said):
    path = tmp_path / "mail"
    lay(path)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(caught.value).startswith(said.replace("PATH", str(path)))


@pytest.mark.parametrize("name", ["", "/", "a//b", "a*", "50%", "x\n", None])
def test_an_unfit_mailbox_name_is_named(name):
    with pytest.raises(ConfigError, match="is no name of a mailbox; give one such as"):
        mailbox_name(name)


def test_inbox_is_named_in_any_case():
    assert [mailbox_name(name) for name in ("inbox", "Archive/2026")] == ["INBOX", "Archive/2026"]
