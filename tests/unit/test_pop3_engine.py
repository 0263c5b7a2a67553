"""The POP3 engine against known transcripts, against poplib, and against garbage, always cut in every way."""

import base64
import poplib
import re
import socket
import threading
from contextlib import contextmanager
from itertools import pairwise

import pytest
from engine_talk import deliver
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mailauth.model import canary
from pytest_mailauth.model.canary import Account, Secret
from pytest_mailauth.model.config import IN_CLEAR, AuthPolicy, ServerConfig
from pytest_mailauth.model.deviations import Announce, Answer, Greet, Hide
from pytest_mailauth.model.events import Authentication, Command, Deviated, Malformed, Response
from pytest_mailauth.servers.engines.contract import Close, Send, StartTLS
from pytest_mailauth.servers.engines.pop3 import BAD_COMMANDS, Pop3Engine
from pytest_mailauth.servers.engines.pop3_syntax import LINE_LIMIT
from pytest_mailauth.servers.letters import Message
from pytest_mailauth.servers.mailstore import INBOX, MailStore
from pytest_mailauth.servers.policy import Policy

steady = settings(max_examples=25, deadline=None, derandomize=True)
PASSWORD = "Pw1f0e2d3c4b5a69788796a5b4"
ALICE = Account("alice-1a2b3c4d@example.test", Secret(PASSWORD), "alice@example.test")
MAIL = (
    b"Subject: one\r\n\r\n.first\r\n..\r\nlast\r\n",
    b"Subject: two\r\n\r\nno line end",
    b"Subject: three\r\nX: bare\n\n.\nline feeds\n",
)


def b64(text):
    return base64.b64encode(text.encode()).decode()


WORDS = {
    "user": ALICE.username,
    "password": PASSWORD,
    "plain": b64(f"\0{ALICE.username}\0{PASSWORD}"),
    "wrong": b64(f"\0{ALICE.username}\0nonsense"),
    "b64user": b64(ALICE.username),
    "b64password": b64(PASSWORD),
    "ask_user": b64("Username:"),
    "ask_password": b64("Password:"),
    "always": "TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING",
}


def server(mail=MAIL, *, over_tls=True, **settings):
    store = MailStore((ALICE,))
    for content in mail:
        store.deliver(Message(content, rcpt_tos=(ALICE.address,)))
    policy = Policy(ServerConfig(protocol="pop3", **settings), store.accounts)
    return Pop3Engine(policy, store, over_tls=over_tls), store


def inbox(store):
    return [message.content for message in store.mailbox(ALICE, INBOX).messages]


def bytewise(data):
    return [data[i : i + 1] for i in range(len(data))]


def cut_at(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def sent(outputs):
    return b"".join(
        output.reply if isinstance(output, StartTLS) else output.data
        for output in outputs
        if isinstance(output, Send | StartTLS)
    )


def of(outputs, kind):
    return [output for output in outputs if isinstance(output, kind)]


# Transcripts. "~~" is a TLS handshake; "S!" closes. Every one runs whole, byte by byte and in chosen pieces.

TRANSCRIPTS = {
    "discovery before TLS": (
        {"over_tls": False},
        """
        S: +OK POP3 server ready
        C: CAPA
        S: +OK capabilities:
        S: {always}
        S: STLS
        S: .
        C: AUTH
        S: +OK mechanisms:
        S: .
        C: quit
        S: +OK goodbye
        S!
        """,
    ),
    "STLS, then login": (
        {"over_tls": False},
        """
        S: +OK POP3 server ready
        C: USER someone@example.test
        S: -ERR [AUTH] TLS is needed before you log in
        C: STLS
        S: +OK begin TLS negotiation
        ~~
        C: PASS {password}
        S: -ERR USER comes first
        C: CAPA
        S: +OK capabilities:
        S: {always}
        S: USER
        S: SASL PLAIN LOGIN
        S: .
        C: STLS
        S: -ERR TLS is active already
        C: USER {user}
        S: +OK send PASS
        C: PASS {password}
        S: +OK maildrop has 3 messages (105 octets)
        C: CAPA
        S: +OK capabilities:
        S: {always}
        S: USER
        S: SASL PLAIN LOGIN
        S: .
        C: STLS
        S: -ERR STLS is not possible after login
        C: QUIT
        S: +OK goodbye
        S!
        """,
    ),
    "reading": (
        {},
        """
        S: +OK POP3 server ready
        C: AUTH PLAIN {plain}
        S: +OK maildrop has 3 messages (105 octets)
        C: STAT
        S: +OK 3 105
        C: LIST
        S: +OK listing:
        S: 1 34
        S: 2 29
        S: 3 42
        S: .
        C: LIST 2
        S: +OK 2 29
        C: UIDL
        S: +OK listing:
        S: 1 1-1
        S: 2 1-2
        S: 3 1-3
        S: .
        C: UIDL 3
        S: +OK 3 1-3
        C: RETR 1
        S: +OK 34 octets
        S: Subject: one
        S:
        S: ..first
        S: ...
        S: last
        S: .
        C: RETR 2
        S: +OK 29 octets
        S: Subject: two
        S:
        S: no line end
        S: .
        C: RETR 3
        S: +OK 42 octets
        S: Subject: three
        S: X: bare
        S:
        S: ..
        S: line feeds
        S: .
        C: TOP 1 0
        S: +OK top of the message:
        S: Subject: one
        S:
        S: .
        C: TOP 1 2
        S: +OK top of the message:
        S: Subject: one
        S:
        S: ..first
        S: ...
        S: .
        C: TOP 1 99
        S: +OK top of the message:
        S: Subject: one
        S:
        S: ..first
        S: ...
        S: last
        S: .
        C: NOOP
        S: +OK nothing done
        """,
    ),
    "deleting": (
        {},
        """
        S: +OK POP3 server ready
        C: AUTH PLAIN {plain}
        S: +OK maildrop has 3 messages (105 octets)
        C: DELE 2
        S: +OK message 2 deleted
        C: DELE 2
        S: -ERR message 2 is deleted
        C: RETR 2
        S: -ERR message 2 is deleted
        C: LIST
        S: +OK listing:
        S: 1 34
        S: 3 42
        S: .
        C: STAT
        S: +OK 2 76
        C: RSET
        S: +OK maildrop has 3 messages (105 octets)
        C: LIST 2
        S: +OK 2 29
        C: RETR 4
        S: -ERR no such message, only 3 in the maildrop
        C: DELE 0
        S: -ERR no such message, only 3 in the maildrop
        """,
    ),
    "SASL with continuations": (
        {},
        """
        S: +OK POP3 server ready
        C: AUTH
        S: +OK mechanisms:
        S: PLAIN
        S: LOGIN
        S: .
        C: AUTH PLAIN
        S: +\x20
        C: {wrong}
        S: -ERR [AUTH] wrong user name or password
        C: auth login
        S: + {ask_user}
        C: {b64user}
        S: + {ask_password}
        C: *
        S: -ERR authentication cancelled
        C: AUTH LOGIN {b64user}
        S: + {ask_password}
        C: {b64password}
        S: +OK maildrop has 3 messages (105 octets)
        C: AUTH PLAIN {plain}
        S: -ERR AUTH is not possible after login
        """,
    ),
    "SASL gone wrong": (
        {},
        """
        S: +OK POP3 server ready
        C: AUTH PLAIN =
        S: -ERR a PLAIN message is [authzid] NUL authcid NUL passwd (RFC 4616 section 2)
        C: AUTH PLAIN !!!
        S: -ERR the response is not base64
        C: AUTH LOGIN
        S: + {ask_user}
        C: not base64
        S: -ERR the response is not base64
        C: AUTH CRAM-MD5
        S: -ERR this mechanism is not offered here
        C: AUTH PLAIN a b
        S: -ERR AUTH is used like this: AUTH mechanism [initial-response]
        C: NOOP
        S: -ERR NOOP is not possible before login
        """,
    ),
    "credentials refused in clear": (
        {"over_tls": False},
        """
        S: +OK POP3 server ready
        C: USER {user}
        S: -ERR [AUTH] TLS is needed before you log in
        C: PASS {password}
        S: -ERR [AUTH] TLS is needed before you log in
        C: AUTH PLAIN {plain}
        S: -ERR [AUTH] TLS is needed before you log in
        C: AUTH LOGIN
        S: -ERR [AUTH] TLS is needed before you log in
        """,
    ),
    "credentials welcome in clear": (
        {"over_tls": False, "security": "none", "auth": IN_CLEAR},
        """
        S: +OK POP3 server ready
        C: CAPA
        S: +OK capabilities:
        S: {always}
        S: USER
        S: SASL PLAIN LOGIN
        S: .
        C: STLS
        S: -ERR STLS is not offered here
        C: USER {user}
        S: +OK send PASS
        C: PASS wrong
        S: -ERR [AUTH] wrong user name or password
        C: PASS {password}
        S: -ERR USER comes first
        C: USER {user}
        S: +OK send PASS
        C: PASS {password}
        S: +OK maildrop has 3 messages (105 octets)
        """,
    ),
    "passwords never, mechanisms unannounced": (
        {"auth": AuthPolicy(password_commands="never", advertised=False)},
        """
        S: +OK POP3 server ready
        C: CAPA
        S: +OK capabilities:
        S: {always}
        S: .
        C: USER {user}
        S: -ERR USER and PASS are not offered here
        C: AUTH PLAIN {plain}
        S: +OK maildrop has 3 messages (105 octets)
        """,
    ),
    "syntax": (
        {},
        """
        S: +OK POP3 server ready
        C:
        S: -ERR a line that begins with no command
        C: CAPABILITY
        S: -ERR a line that begins with no command
        C: XYZ 1
        S: -ERR unknown command
        C: USER
        S: -ERR USER is used like this: USER name
        C: QUIT now
        S: -ERR QUIT is used like this: QUIT
        C: STAT
        S: -ERR STAT is not possible before login
        C: AUTH PLAIN {plain}
        S: +OK maildrop has 3 messages (105 octets)
        C: RETR
        S: -ERR RETR is used like this: RETR msg
        C: TOP 1
        S: -ERR TOP is used like this: TOP msg n
        C: LIST -1
        S: -ERR LIST is used like this: LIST [msg]
        C: stat\x20
        S: +OK 3 105
        """,
    ),
    "an empty maildrop": (
        {"mail": ()},
        """
        S: +OK POP3 server ready
        C: AUTH PLAIN {plain}
        S: +OK maildrop has 0 messages (0 octets)
        C: LIST
        S: +OK listing:
        S: .
        C: RETR 1
        S: -ERR no such message, only 0 in the maildrop
        """,
    ),
    "deviations": (
        {
            "over_tls": False,
            "deviations": (
                Greet(data=b"-ERR go away\r\n"),
                Hide(names=("STLS",)),
                Announce(lines=("SASL PLAIN", ".dot")),
                Answer(verb="STLS", reply=b"-ERR no {tag}\r\n"),
                Answer(verb="USER", reply=b"+OK yes, yes\r\n"),
                Answer(verb="XTND", reply=b"+OK\r\n"),
            ),
        },
        """
        S: -ERR go away
        C: CAPA
        S: +OK capabilities:
        S: {always}
        S: SASL PLAIN
        S: ..dot
        S: .
        C: STLS
        S: -ERR no *
        C: USER {user}
        S: +OK yes, yes
        C: XTND
        S: +OK
        C: PASS {password}
        S: -ERR [AUTH] TLS is needed before you log in
        """,
    ),
}


def phases(transcript):
    """Split a transcript into (client bytes, server bytes, closes) for each layer."""
    client, answer, closes = b"", b"", False
    for line in transcript.strip().splitlines():
        mark, text = line.strip(" ")[:2], line.lstrip(" ")[3:].format(**WORDS).encode() + b"\r\n"
        if mark == "~~":
            yield client, answer, closes
            client, answer, closes = b"", b"", False
        elif mark == "S!":
            closes = True
        elif mark == "C:":
            client += text
        else:
            assert mark == "S:", line
            answer += text
    yield client, answer, closes


def play(name, cut):
    arrangement, transcript = TRANSCRIPTS[name]
    engine, _ = server(**arrangement)
    everything = []
    for number, (client, answer, closes) in enumerate(phases(transcript)):
        outputs = engine.tls_started() if number else engine.greet()
        outputs += deliver(engine, cut(client))
        assert sent(outputs).decode() == answer.decode()
        assert isinstance(outputs[-1], Close) is closes
        everything += outputs
    return everything


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_transcript_whole_and_byte_by_byte(name):
    whole = play(name, lambda data: [data])
    assert play(name, bytewise) == whole
    assert play(name, lambda data: data.splitlines(keepends=True)) == whole


@pytest.mark.parametrize("name", TRANSCRIPTS)
@steady
@given(cuts=st.lists(st.integers(0, 2000), max_size=8))
def test_transcript_in_any_pieces(name, cuts):
    assert play(name, lambda data: cut_at(data, cuts)) == play(name, lambda data: [data])


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_every_command_is_a_fact_before_its_one_reply(name):
    outputs = play(name, lambda data: [data])
    replies = [i for i, output in enumerate(outputs) if isinstance(output, Send | StartTLS)]
    for before, reply in pairwise(replies):
        said = of(outputs[before + 1 : reply], Command) + of(outputs[before + 1 : reply], Response)
        assert len(said) == 1
        assert isinstance(outputs[before + 1], Command | Response)


# Facts.


def test_a_password_after_a_refused_user_is_recorded_with_that_name():
    engine, _ = server(over_tls=False)
    outputs = engine.receive(b"USER bob\r\nPASS hunter2\r\n")
    assert of(outputs, Command) == [
        Command("USER", b"bob", "USER <unknown name of 3 bytes>"),
        Command("PASS", b"hunter2", "PASS <password>"),
    ]
    assert of(outputs, Authentication) == [Authentication("USER", "bob", Secret("hunter2"), accepted=False)]


def test_a_password_without_a_user_is_recorded_without_a_name():
    engine, _ = server()
    assert of(engine.receive(b"PASS hunter2\r\n"), Authentication) == [
        Authentication("USER", "", Secret("hunter2"), accepted=False)
    ]


@pytest.mark.parametrize(
    ("over_tls", "auth", "authorization", "accepted"),
    [
        (True, AuthPolicy(), ALICE.address, True),
        (True, AuthPolicy(), "admin", False),  # nobody acts for somebody else
        (False, AuthPolicy(), "", False),
        (False, IN_CLEAR, "", True),
    ],
)
def test_credentials_of_a_mechanism_are_recorded_whether_accepted_or_not(over_tls, auth, authorization, accepted):
    engine, _ = server(over_tls=over_tls, auth=auth)
    initial = b64(f"{authorization}\0{ALICE.username}\0{PASSWORD}").encode()
    outputs = engine.receive(b"auth plain " + initial + b"\r\n")
    shown = f"AUTH <unknown mechanism> <initial response of {len(initial)} bytes>"
    assert outputs[:2] == [
        Command("AUTH", b"plain " + initial, shown),
        Authentication("PLAIN", ALICE.username, ALICE.password, accepted, authorization),
    ]


@pytest.mark.parametrize(
    ("security", "mechanisms", "before_tls", "announced"),
    [
        ("implicit", ("APOP",), (), True),
        ("none", (), ("APOP",), True),
        ("none", ("APOP",), (), False),  # taken inside TLS, which there never is
        ("starttls", (), ("APOP",), True),
        ("starttls", ("APOP",), (), True),  # after STLS no greeting follows that could carry it
        ("starttls", ("PLAIN",), ("PLAIN",), False),
    ],
)
def test_the_timestamp_is_there_where_apop_is_taken(security, mechanisms, before_tls, announced):
    auth = AuthPolicy(mechanisms=mechanisms, before_tls=before_tls)
    greeting = sent(server(security=security, over_tls=security == "implicit", auth=auth)[0].greet())
    assert (re.search(rb" <[0-9a-f]+@localhost>\r\n", greeting) is not None) is announced


def test_what_is_shown_of_an_exchange():
    engine, _ = server()
    outputs = engine.receive("AUTH LOGIN\r\n{b64user}\r\n{b64password}\r\nRETR 1\r\n".format(**WORDS).encode())
    assert [output.shown for output in outputs if isinstance(output, Command | Response)] == [
        "AUTH LOGIN",
        f"<response of {len(WORDS['b64user'])} bytes>",
        f"<response of {len(WORDS['b64password'])} bytes>",
        "RETR 1",
    ]
    assert of(outputs, Authentication) == [Authentication("LOGIN", ALICE.username, ALICE.password, accepted=True)]


def test_a_known_name_is_shown():
    engine, _ = server()
    (command,) = of(engine.receive(f"USER {ALICE.address}\r\n".encode()), Command)
    assert command.shown == "USER alice@example.test"


def test_an_answer_instead_is_said_and_nothing_is_done():
    engine, _ = server(deviations=(Answer(verb="PASS", reply=b"+OK sure\r\n", over_tls=True),))
    outputs = engine.receive(f"USER {ALICE.username}\r\nPASS {PASSWORD}\r\nSTAT\r\n".encode())
    assert outputs[2:] == [
        Command("PASS", PASSWORD.encode(), "PASS <password>"),
        Authentication("USER", ALICE.username, ALICE.password, accepted=False),
        Deviated("answer", "PASS", b"+OK sure\r\n"),
        Send(b"+OK sure\r\n"),
        Command("STAT", b"", "STAT"),
        Send(b"-ERR STAT is not possible before login\r\n"),
    ]


@pytest.mark.parametrize("line", [b"AUTH PLAIN not-base64", b"AUTH LOGIN YWxpY2U=", b"AUTH XOAUTH2 YWxpY2U="])
def test_an_incomplete_exchange_that_is_refused_is_no_authentication(line):
    engine, _ = server(over_tls=False)
    outputs = engine.receive(line + b"\r\n")
    assert of(outputs, Authentication) == []
    assert sent(outputs).startswith(b"-ERR")


@pytest.mark.parametrize(
    ("line", "verb"),
    [(b"NO\0OP", ""), (b"USER al\0ice", "USER"), (b"PASS a\tb", "PASS"), (b"\x16\x03\x01\x00", ""), (b"LIST\x7f", "")],
)
def test_control_characters_are_malformed_and_the_session_goes_on(line, verb):
    engine, _ = server()
    outputs = engine.receive(line + b"\r\nCAPA\r\n")
    assert [command.verb for command in of(outputs, Command)] == [verb, "CAPA"]
    assert len(of(outputs, Malformed)) == 1
    assert sent(outputs).startswith(b"-ERR ")


@pytest.mark.parametrize("before", [b"", b"AUTH PLAIN\r\n"], ids=["command", "response"])
def test_a_line_that_never_ends_is_swallowed(before):
    whole, cut = server()[0], server()[0]
    data = before + b"x" * (3 * LINE_LIMIT) + b"\r\nCAPA\r\n"
    outputs = whole.receive(data)
    assert deliver(cut, cut_at(data, range(0, len(data), 1000))) == outputs
    assert of(outputs, Command)[-1].verb == "CAPA"
    assert len(of(outputs, Malformed)) == 1
    assert len(of(outputs, Send)) == 2 + bool(before)


@pytest.mark.parametrize("line", [b"XYZ", b"NOOP", b"RETR", b"", b"AUTH PLAIN ?", b"x" * (LINE_LIMIT + 1)])
def test_too_many_bad_commands_in_a_row_end_the_session(line):
    engine, _ = server()
    outputs = engine.receive((line + b"\r\n") * (BAD_COMMANDS + 1) + b"CAPA\r\n")
    assert outputs[-2:] == [Send(b"-ERR too many bad commands\r\n"), Close()]
    assert len(of(outputs, Send)) == BAD_COMMANDS + 1
    assert engine.receive(b"CAPA\r\n") == []


def test_a_good_command_forgives_the_bad_ones_before():
    engine, _ = server()
    outputs = engine.receive((b"XYZ\r\n" * BAD_COMMANDS + b"CAPA\r\n") * 2)
    assert of(outputs, Close) == []
    assert len(of(outputs, Send)) == 2 * (BAD_COMMANDS + 1)


def test_wrong_passwords_are_not_bad_commands():
    engine, _ = server()
    outputs = engine.receive(b"USER bob\r\nPASS wrong\r\n" * (BAD_COMMANDS * 2))
    assert of(outputs, Close) == []


def test_what_came_behind_stls_is_dropped_and_the_session_begins_again():
    engine, _ = server(over_tls=False)
    outputs = engine.receive(b"USER bob\r\nSTLS\r\nUSER eve\r\nPASS injected\r\nPART")
    assert outputs[-1] == StartTLS(b"+OK begin TLS negotiation\r\n")
    assert engine.tls_started() == []
    outputs = engine.receive(b"PASS hunter2\r\n")
    assert of(outputs, Authentication) == [Authentication("USER", "", Secret("hunter2"), accepted=False)]


def test_after_stls_the_session_goes_on_in_clear_when_the_wire_stays_clear():
    engine, _ = server(over_tls=False)
    engine.receive(b"STLS\r\nQUIT\r\n")
    outputs = engine.receive(f"AUTH PLAIN {WORDS['plain']}\r\n".encode())
    assert of(outputs, Authentication) == [Authentication("PLAIN", ALICE.username, ALICE.password, accepted=False)]


def test_the_end_is_noted_when_it_cuts_a_line():
    engine, _ = server()
    engine.receive(b"CAPA\r\nPASS hunt")
    assert engine.eof() == [Malformed("the client left in the middle of a line")]
    assert engine.eof() == []


def test_the_end_between_two_lines_is_no_fault():
    engine, _ = server()
    engine.receive(b"CAPA\r\n")
    assert engine.eof() == []


# The maildrop.


def test_quit_deletes_what_was_marked_and_nothing_else():
    engine, store = server()
    engine.receive(f"AUTH PLAIN {WORDS['plain']}\r\nDELE 1\r\nDELE 3\r\n".encode())
    assert inbox(store) == list(MAIL)
    engine.receive(b"QUIT\r\n")
    assert inbox(store) == [MAIL[1]]


def test_without_quit_nothing_is_deleted():
    engine, store = server()
    engine.receive(f"AUTH PLAIN {WORDS['plain']}\r\nDELE 1\r\n".encode())
    engine.eof()
    assert inbox(store) == list(MAIL)


def test_the_maildrop_is_a_snapshot():
    engine, store = server()
    engine.receive(f"AUTH PLAIN {WORDS['plain']}\r\nDELE 2\r\n".encode())
    store.deliver(Message(b"Subject: late\r\n\r\n", rcpt_tos=(ALICE.address,)))
    del store.mailbox(ALICE, INBOX).messages[0]
    outputs = engine.receive(b"STAT\r\nRETR 1\r\nRETR 4\r\nQUIT\r\n")
    assert [send.data[:4] for send in of(outputs, Send)] == [b"+OK ", b"+OK ", b"-ERR", b"+OK "]
    assert inbox(store) == [MAIL[2], b"Subject: late\r\n\r\n"]


@steady
@given(
    content=st.lists(st.sampled_from([b".", b"\r\n", b"\n", b"\r", b"a", b"\r\n.\r\n"])).map(b"".join),
    count=st.integers(0, 9),
)
def test_a_message_comes_out_as_its_own_lines(content, count):
    engine, _ = server(mail=(content,))
    outputs = engine.receive(f"AUTH PLAIN {WORDS['plain']}\r\nLIST 1\r\nRETR 1\r\nTOP 1 {count}\r\n".encode())
    _, listed, retrieved, top = (send.data for send in of(outputs, Send))
    lines = content.replace(b"\r\n", b"\n").split(b"\n")
    if not lines[-1]:
        lines.pop()

    def received(response):
        _, *body = response.split(b"\r\n")
        assert body[-2:] == [b".", b""]
        assert b"." not in body[:-2]
        return [line.removeprefix(b".") for line in body[:-2]]

    assert received(retrieved) == lines
    assert int(listed.split()[2]) == sum(len(line) + 2 for line in lines)
    header = lines.index(b"") + 1 if b"" in lines else len(lines)
    assert received(top) == lines[: header + count]


# Garbage and secrets.

fragments = st.sampled_from(
    [
        b"USER ",
        b"PASS ",
        b"AUTH ",
        b"AUTH PLAIN ",
        b"AUTH LOGIN\r\n",
        b"STLS",
        b"QUIT ",
        b"RETR ",
        b"TOP 1 ",
        b"APOP ",
        b"NOOP",
        b"*",
        b"=",
        b" ",
        b"\r\n",
        b"\n",
        b"\0",
        b"\xff",
        b"{next}",
        ALICE.username.encode(),
        WORDS["plain"].encode(),
        WORDS["b64password"].encode(),
        PASSWORD.encode(),
        PASSWORD.upper().encode(),
        *(form for _, form in canary.encodings(PASSWORD)),
    ]
)
speech = st.lists(st.one_of(fragments, st.binary(max_size=8)), max_size=25).map(b"".join)
arrangements = st.fixed_dictionaries(
    {
        "over_tls": st.booleans(),
        "auth": st.sampled_from([AuthPolicy(), IN_CLEAR]),
        "deviations": st.sampled_from(
            [(), (Answer(verb="PASS", reply=b"+OK\r\n"), Answer(verb="AUTH", reply=b"+ \r\n"))]
        ),
    }
)


@settings(steady, max_examples=300)
@given(arrangement=arrangements, data=speech, cuts=st.lists(st.integers(0, 500), max_size=6))
def test_no_input_raises_and_no_cut_and_no_secret_shows(arrangement, data, cuts):
    outputs = deliver(server(**arrangement)[0], [data])
    assert deliver(server(**arrangement)[0], bytewise(data)) == outputs
    assert deliver(server(**arrangement)[0], cut_at(data, cuts)) == outputs
    displayed = [output.shown for output in outputs if isinstance(output, Command | Response)]
    displayed += [command.verb for command in of(outputs, Command)]
    displayed += [malformed.reason for malformed in of(outputs, Malformed)]
    for text in (*displayed, sent(outputs).decode()):
        assert canary.find(PASSWORD, text.encode()) is None
    for send in of(outputs, Send):
        assert send.data.startswith((b"+OK", b"-ERR", b"+ "))
        assert send.data.endswith(b"\r\n")


@settings(steady, max_examples=100)
@given(data=st.binary(max_size=200))
def test_noise_never_raises(data):
    engine, _ = server()
    engine.greet()
    engine.receive(f"AUTH PLAIN {WORDS['plain']}\r\n".encode())
    engine.receive(data + b"\r\n")
    engine.eof()


# The oracle: poplib.


@contextmanager
def poplib_client(engine):
    ours, theirs = socket.socketpair()
    facts = []

    def serve():
        with ours:
            ours.settimeout(5)
            pending = engine.greet()
            while True:
                facts.extend(pending)
                ours.sendall(sent(pending))
                if of(pending, Close) or not (data := ours.recv(4096)):
                    return
                pending = engine.receive(data)

    class Client(poplib.POP3):
        def _create_socket(self, timeout):
            theirs.settimeout(timeout)
            return theirs

    thread = threading.Thread(target=serve)
    thread.start()
    client = Client("in-memory", timeout=5)
    try:
        yield client, facts
    finally:
        client.close()
        thread.join(5)
    assert not thread.is_alive()


def test_poplib_agrees():
    engine, store = server(over_tls=False, auth=IN_CLEAR)
    with poplib_client(engine) as (client, facts):
        assert client.getwelcome() == b"+OK POP3 server ready"
        assert client.capa() == {
            "TOP": [],
            "UIDL": [],
            "RESP-CODES": [],
            "AUTH-RESP-CODE": [],
            "PIPELINING": [],
            "USER": [],
            "SASL": ["PLAIN", "LOGIN"],
            "STLS": [],
        }
        client.user(ALICE.username)
        with pytest.raises(poplib.error_proto, match="AUTH"):
            client.pass_("wrong")
        client.user(ALICE.username)
        client.pass_(PASSWORD)
        assert client.stat() == (3, 105)
        assert client.list()[1] == [b"1 34", b"2 29", b"3 42"]
        assert client.list(2) == b"+OK 2 29"
        assert client.uidl()[1] == [b"1 1-1", b"2 1-2", b"3 1-3"]
        assert client.uidl(1) == b"+OK 1 1-1"
        assert client.retr(1)[1:] == ([b"Subject: one", b"", b".first", b"..", b"last"], 34)
        assert client.retr(3)[1:] == ([b"Subject: three", b"X: bare", b"", b".", b"line feeds"], 42)
        assert client.top(1, 1)[1] == [b"Subject: one", b"", b".first"]
        client.dele(1)
        client.rset()
        client.dele(2)
        client.noop()
        assert client.stat() == (2, 76)
        assert client.quit() == b"+OK goodbye"
    assert inbox(store) == [MAIL[0], MAIL[2]]
    assert [fact.accepted for fact in of(facts, Authentication)] == [False, True]
