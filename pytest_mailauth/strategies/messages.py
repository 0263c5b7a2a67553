"""Messages as they travel: what a client has to stuff, count, encode or refuse on the way."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

from hypothesis import strategies as st

from pytest_mailauth.strategies.cases import mix, one

LONGEST_LINE: Final = 998
"""Characters of a line at most, without its end (RFC 5322 section 2.1.1)."""
_HEAD: Final = b"From: alice@example.test\r\nTo: bob@example.test\r\nSubject: Welcome\r\n"
_DOTS: Final = (b".", b"..", b".a", b"...", b". ", b".\t")
_BARE: Final = (b"a\rb", b"a\nb", b"a\n.\nb", b"a\r.\rb", b"a\n.\r\nb", b"a\r\n.\nb", b"\n", b"\r", b"a\r\r\nb")
_EIGHT_BIT: Final = ("grüße".encode(), b"\xe4\xf6\xfc", "用户 🔑".encode(), b"\xff\xfea")
_SUBJECTS: Final = ("Grüße", "=?utf-8?q?=41?=", "x" * 200, "密码", "a " * 60)


def _message(*lines: bytes) -> bytes:
    return _HEAD + b"\r\n" + b"".join(line + b"\r\n" for line in lines)


def _headed(subject: str) -> bytes:
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"], made["Subject"] = "alice@example.test", "bob@example.test", subject
    made.set_content("Hello\r\n")
    return made.as_bytes()


@st.composite
def _nested(draw: st.DrawFn) -> bytes:
    """Draw a message with parts in parts; the boundary is fixed, since Python's is a random number."""
    depth = draw(st.integers(1, 4))
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"], made["Subject"] = "alice@example.test", "bob@example.test", "Welcome"
    made.set_content(draw(one(("Hello\r\n", ".\r\n", "Grüße\r\n"))))
    for level in range(depth):
        kind = draw(one(("attached", "mixed", "alternative")))
        # Only text has an alternative; what has been attached to stays what it is.
        if kind == "alternative" and not made.is_multipart():
            made.make_alternative()
            made.add_alternative("<p>Hello</p>\r\n", subtype="html")
        elif kind != "attached":
            made.add_attachment(b".\r\n..\r\n\xff", maintype="application", subtype="octet-stream", filename="ä.bin")
        else:
            inner, made = made, EmailMessage(policy=SMTP)
            made["From"], made["To"], made["Subject"] = "alice@example.test", "bob@example.test", "Fwd"
            made.set_content("See below\r\n")
            made.add_attachment(inner)
        made.set_boundary(f"=_level_{level}")
    return made.as_bytes()


def messages(*, valid: bool | None = None) -> st.SearchStrategy[bytes]:
    r"""Return messages (RFC 5322) as bytes, before dot-stuffing (RFC 5321 section 4.5.2).

    Args:
        valid: True leaves out those that may not be sent as they are: with a bare CR or LF, or with a line longer
            than 998 bytes. False draws those alone. None (default) draws both.

    Distribution:
        3/12 simple: a line or two of text.
        2/12 dots: lines that begin with a dot, and lines that are one.
        1/12 headers: a subject that is encoded, folded, or looks encoded.
        1/12 8-bit: a body of UTF-8, Latin-1 or any bytes.
        2/12 nested: one to four levels of MIME, with attachments and attached messages.
        1/12 edge: no body, no last line end, a line of 998 bytes, many empty lines.
        1/12 bare CR or LF: CR or LF alone, also around a dot, where one message could become two.
        1/12 long line: 999 to 5000 bytes without a line end.

    Shrinks to: a short message with From, To and Subject.
    """
    good, bad = valid is not False, valid is not True
    dots = st.lists(one((*_DOTS, b"a")), min_size=1, max_size=4).map(lambda lines: _message(*lines))
    edges = (_HEAD + b"\r\n", _message(b"x" * LONGEST_LINE), _message(*[b""] * 20), _message(b"Hello").rstrip(b"\r\n"))
    return mix(
        "messages",
        (3 * good, "simple", one((b"Hello", b"Hello\r\nthere", b"From here")).map(_message)),
        (2 * good, "dots", st.one_of(one(_DOTS).map(_message), dots)),
        (good, "headers", one(_SUBJECTS).map(_headed)),
        (good, "8-bit", one(_EIGHT_BIT).map(_message)),
        (2 * good, "nested", _nested()),
        (good, "edge", one(edges)),
        (bad, "bare CR or LF", one(_BARE).map(_message)),
        (bad, "long line", one((999, 1000, 1001, 2048, 5000)).map(lambda length: _message(b"x" * length))),
    )
