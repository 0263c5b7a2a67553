"""What servers say, as bytes: capability lists, SMTP replies, IMAP untagged responses. Valid ones first, then broken.

Broken ones are what servers in the field, or somebody on the path, have been seen to send; a client may refuse them,
and it may not hang, crash or go on in clear because of them.
"""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from pytest_mailauth.model.terms import Protocol
from pytest_mailauth.servers.replies import LINE_LIMIT
from pytest_mailauth.strategies.cases import mix, one

_USUAL: Final[dict[Protocol, tuple[tuple[str, ...], ...]]] = {
    Protocol.SMTP: (
        ("AUTH PLAIN LOGIN",),
        ("SIZE 33554432", "8BITMIME", "STARTTLS", "ENHANCEDSTATUSCODES", "PIPELINING", "SMTPUTF8"),
        ("SIZE", "DSN", "CHUNKING", "AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER"),
    ),
    Protocol.IMAP: (
        ("IMAP4rev1", "AUTH=PLAIN", "SASL-IR"),
        ("IMAP4rev1", "IMAP4rev2", "STARTTLS", "LOGINDISABLED", "ID", "IDLE", "LITERAL+"),
        ("IMAP4rev1", "UIDPLUS", "QUOTA", "AUTH=PLAIN", "AUTH=XOAUTH2", "AUTH=SCRAM-SHA-256"),
    ),
    Protocol.POP3: (
        ("USER", "SASL PLAIN"),
        ("STLS", "TOP", "UIDL", "RESP-CODES", "PIPELINING", "EXPIRE NEVER"),
        ("USER", "UIDL", "LOGIN-DELAY 900", "SASL PLAIN LOGIN XOAUTH2", "IMPLEMENTATION mail.example.test"),
    ),
}
_ODD: Final[dict[Protocol, tuple[str, ...]]] = {
    Protocol.SMTP: (
        "AUTH=PLAIN LOGIN",
        "auth plain login",
        "Auth",
        "AUTH PLAIN PLAIN",
        "AUTH X-NEW",
        "X-ANONYMOUSTLS",
    ),
    Protocol.IMAP: ("auth=plain", "AUTH=", "AUTH=X-NEW", "STARTTLS", "starttls", "XSTARTTLS", "LOGINDISABLED", "IMAP4"),
    Protocol.POP3: ("SASL", "sasl plain", "SASL PLAIN PLAIN", "STLS", "X-NEW 1 2", "APOP", "SASL CRAM-MD5 NTLM"),
}


def capability_lists(protocol: Protocol | str = Protocol.SMTP) -> st.SearchStrategy[tuple[str, ...]]:
    """Return capability lists, a line for each, as the deviation ``Announce(lines=...)`` takes them.

    For IMAP a line is one capability.

    Args:
        protocol: The protocol. Default ``"smtp"``: lines of the reply to EHLO (RFC 5321 section 4.1.1.1).

    Distribution:
        4/8 usual: lists as servers have them, with and without STARTTLS and a way to log in.
        1/8 odd: one with a line that is easily misread: other letters, ``AUTH=``, an unknown mechanism.
        1/8 twice: one in which a line comes twice, or in another order.
        1/8 many: 40 lines nobody knows, and then a usual list.
        1/8 none: an empty list.

    Shrinks to: what announces PLAIN and little more.
    """
    kind = Protocol(protocol)
    usual = one(_USUAL[kind])
    return mix(
        "capability_lists",
        (4, "usual", usual),
        (1, "odd", st.builds(lambda lines, odd: (*lines, odd), usual, one(_ODD[kind]))),
        (1, "twice", one((lambda lines: (*lines, lines[0]), lambda lines: lines[::-1])).flatmap(usual.map)),
        (1, "many", usual.map(lambda lines: (*(f"X-UNKNOWN-{number}" for number in range(40)), *lines))),
        (1, "none", st.just(())),
    )


_CODES: Final = (250, 220, 235, 334, 354, 421, 450, 451, 454, 500, 503, 530, 535, 550, 554)
_TEXTS: Final = ("OK", "2.0.0 OK", "mail.example.test at your service", "5.7.8 no", "-", "250 250", ".")


def smtp_replies(*, valid: bool | None = None) -> st.SearchStrategy[bytes]:
    r"""Return SMTP replies as they travel, their line ends among them (RFC 5321 section 4.2).

    Args:
        valid: True leaves out the broken ones, False draws those alone. None (default) draws both.

    Distribution:
        4/12 one line: a code and a text.
        3/12 several lines: two to five lines of the same code.
        1/12 bare code: no text, and no space either.
        1/12 long: a line of 510 to 512 bytes (RFC 5321 section 4.5.3.1.5).
        3/12 broken: codes that differ, a code that is none, no CR, 8 bits, a line beyond any limit, no end, or nothing.

    Shrinks to: ``b"250 OK\r\n"``.
    """
    good, bad = valid is not False, valid is not True
    code = one(_CODES)
    return mix(
        "smtp_replies",
        (4 * good, "one line", st.builds("{} {}\r\n".format, code, one(_TEXTS)).map(str.encode)),
        (3 * good, "several lines", st.builds(_reply, code, st.lists(one(_TEXTS), min_size=2, max_size=5))),
        (good, "bare code", code.map(lambda number: b"%d\r\n" % number)),
        (
            good,
            "long",
            st.integers(LINE_LIMIT - 2, LINE_LIMIT).map(lambda length: b"250 ".ljust(length - 2, b"x") + b"\r\n"),
        ),
        (3 * bad, "broken", one(_BROKEN_REPLIES)),
    )


def _reply(code: int, lines: list[str]) -> bytes:
    *first, last = lines
    return "".join([*(f"{code}-{line}\r\n" for line in first), f"{code} {last}\r\n"]).encode()


_BROKEN_REPLIES: Final = (
    b"250-mail.example.test\r\n550 no\r\n",
    b"999 what\r\n",
    b"25 OK\r\n",
    b"OK\r\n",
    b"\r\n",
    b"250 OK\n",
    b"250 OK\r",
    b"250 \xe4\xff\r\n",
    b"250 a\0b\r\n",
    b"250-mail.example.test\r\n",
    b"250 " + b"x" * 70_000 + b"\r\n",
    b"",
    b"250 OK\r\n250 OK\r\n",
    b"-1 OK\r\n",
)

_UNTAGGED: Final = {
    "status": (b"* OK ready", b"* OK [ALERT] quota", b"* NO over quota", b"* BAD what", b"* OK [UIDNEXT 4392] next"),
    "capability": (b"* CAPABILITY IMAP4rev1 AUTH=PLAIN", b"* CAPABILITY IMAP4rev1 LOGINDISABLED STARTTLS"),
    "size": (b"* 23 EXISTS", b"* 0 RECENT", b"* 4294967295 EXISTS", b"* 1 EXPUNGE"),
    "mailbox": (
        b"* FLAGS (\\Answered \\Seen \\Deleted)",
        b'* LIST (\\HasNoChildren) "/" INBOX',
        b'* LIST (\\Noselect) NIL "a \\"b\\" \\\\c"',
        b'* LIST () "/" &ZeVnLIqe-',
        b'* LIST () "/" {5}\r\na {3}',
        b'* STATUS "a b" (MESSAGES 231 UIDNEXT 44292)',
        b"* SEARCH 2 3 6",
        b"* SEARCH",
    ),
    "fetch": (
        b"* 1 FETCH (FLAGS (\\Seen) UID 7)",
        b"* 1 FETCH (BODY[] {10}\r\na\r\n* OK \r\n)",
        b"* 1 FETCH (BODY[TEXT] {0}\r\n)",
        b'* 1 FETCH (ENVELOPE (NIL "a" NIL NIL NIL NIL NIL NIL NIL "<a@b>"))',
    ),
    "state": (b"* BYE logging out", b"* PREAUTH welcome", b"* BYE"),
    "broken": (
        b"*",
        b"* ",
        b"* 1 FETCH (FLAGS (\\Seen",
        b"* 99999999999999999999 EXISTS",
        b"* 1 FETCH (BODY[] {999999}",
        b"* -1 EXISTS",
        b"* LIST (((((((((((((((((((((((((",
        b"* OK \xff\0",
        b"*OK ready",
        b"* NOSUCHTHING 1 2 3",
    ),
}


def imap_responses(*, valid: bool | None = None) -> st.SearchStrategy[bytes]:
    r"""Return IMAP untagged responses as they travel, their line ends among them (RFC 9051 section 7).

    Args:
        valid: True leaves out the broken ones, False draws those alone. None (default) draws both.

    Distribution:
        3/14 status: OK, NO and BAD, some with a response code.
        1/14 capability: CAPABILITY.
        2/14 size: EXISTS, RECENT and EXPUNGE, up to 32 bits.
        3/14 mailbox: FLAGS, LIST with quotes, a literal and modified UTF-7, STATUS, SEARCH.
        2/14 fetch: FETCH, also with a literal that looks like a response, and with an empty one.
        1/14 state: BYE and PREAUTH.
        2/14 broken: cut off, a number out of range, open parentheses, a literal that never comes, NUL.

    Shrinks to: ``b"* OK ready\r\n"``.
    """
    weights = {"status": 3, "capability": 1, "size": 2, "mailbox": 3, "fetch": 2, "state": 1, "broken": 2}
    wanted = {name: (name == "broken") in ({True, False} if valid is None else {not valid}) for name in weights}
    return mix(
        "imap_responses",
        *(
            (weight * wanted[name], name, one(_UNTAGGED[name]).map(lambda line: line + b"\r\n"))
            for name, weight in weights.items()
        ),
    )
