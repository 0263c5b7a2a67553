"""The IMAP engine as a machine: what policy and deviations make of it, its facts, its limits, and garbage."""

import dataclasses
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from imap_session import (
    ALICE,
    CAPABLE,
    PASSWORD,
    WORDS,
    bytewise,
    cut_at,
    deliver,
    fill_in,
    inbox,
    logged_in,
    merged,
    of,
    run,
    sent,
    server,
    whole,
)

from pytest_mailauth.model import canary
from pytest_mailauth.model.config import IN_CLEAR, AuthPolicy
from pytest_mailauth.model.deviations import Announce, Answer, Greet, Hide
from pytest_mailauth.model.events import Authentication, Command, Deviated, Malformed, Response, Stored
from pytest_mailauth.servers.engines.contract import Close, Engine, Send, StartTLS
from pytest_mailauth.servers.engines.imap import engine as limits
from pytest_mailauth.servers.engines.imap.commands import COMMANDS
from pytest_mailauth.servers.engines.imap.session import State

steady = settings(max_examples=150, deadline=None, derandomize=True)
LOGIN = f"A1 LOGIN {ALICE.username} {PASSWORD}\r\n".encode()
SIZE = len(PASSWORD)


def facts(data, **config):
    """Return what an engine makes of *data*, without the bytes it sends."""
    engine, _ = server(**config)
    engine.greet()
    return [output for output in deliver(engine, [data]) if not isinstance(output, Send)]


def shown(outputs):
    return [fact.shown for fact in outputs if isinstance(fact, Command | Response)]


def test_it_is_an_engine():
    engine: Engine = server()[0]
    assert engine.receive(b"") == []


# Policy and deviations.


@pytest.mark.parametrize("security", ["starttls", "implicit", "none"])
@pytest.mark.parametrize("over_tls", [False, True])
@pytest.mark.parametrize("auth", [AuthPolicy(), IN_CLEAR, AuthPolicy(mechanisms=(), password_commands="never")])
def test_what_is_announced_is_what_is_accepted(security, over_tls, auth):
    if security == "implicit":  # which has no clear phase
        auth = dataclasses.replace(auth, before_tls=())

    def fresh():
        engine, _ = server(security=security, over_tls=over_tls, auth=auth)
        assert sent(engine.greet()).startswith(b"* OK [CAPABILITY IMAP4rev1 ")
        return engine

    listed = run(fresh(), "x CAPABILITY").decode().split()
    assert (b"x OK" in run(fresh(), "x STARTTLS")) == ("STARTTLS" in listed)
    assert (b"x OK" in run(fresh(), LOGIN.decode().replace("A1", "x").strip())) == ("LOGINDISABLED" not in listed)
    assert (b"x OK" in run(fresh(), f"x AUTHENTICATE PLAIN {WORDS['plain']}")) == ("AUTH=PLAIN" in listed)
    steps = ("x AUTHENTICATE LOGIN", WORDS["b64user"], WORDS["b64password"])
    assert (b"x OK" in run(fresh(), *steps)) == ("AUTH=LOGIN" in listed)


def test_capabilities_can_be_hidden_and_added():
    engine, _ = server(over_tls=False, deviations=(Hide(names=("STARTTLS", "LITERAL+")), Announce(lines=("AUTH=X",))))
    listed = CAPABLE.replace(" LITERAL+", "") + " LOGINDISABLED AUTH=X"
    assert sent(engine.greet()) == f"* OK [CAPABILITY {listed}] IMAP4rev1 server ready\r\n".encode()
    assert run(engine, "x CAPABILITY") == f"* CAPABILITY {listed}\r\nx OK CAPABILITY completed\r\n".encode()
    # What is only hidden can still be used.
    assert [type(output) for output in engine.receive(b"x STARTTLS\r\n")] == [Command, StartTLS]


def test_the_greeting_can_be_replaced():
    engine, _ = server(deviations=(Greet(data=b"{tag} BYE come back later\r\n"),))
    assert engine.greet() == [Send(b"* BYE come back later\r\n")]
    assert run(engine, "a NOOP") == b"a OK completed\r\n"


def test_a_false_preauth_greeting_lets_nobody_in():
    engine, _ = server(deviations=(Greet(data=b"* PREAUTH hello\r\n"),))
    engine.greet()
    assert run(engine, "a SELECT INBOX") == b"a BAD log in first\r\n"


def test_preauth_survives_another_greeting():
    engine, _ = server(deviations=(Greet(data=b"* PREAUTH hello\r\n"),), auth=AuthPolicy(preauthenticated=True))
    engine.greet()
    assert b"READ-WRITE" in run(engine, "a SELECT INBOX")


def test_an_answer_comes_instead_of_the_command():
    reply = b"{tag} OK go\r\n* CAPABILITY IMAP4rev1 AUTH=LOGIN\r\n{next} OK done\r\n"
    engine, _ = server(over_tls=False, deviations=(Answer(verb="STARTTLS", reply=reply),))
    filled = b"A09 OK go\r\n* CAPABILITY IMAP4rev1 AUTH=LOGIN\r\nA10 OK done\r\n"
    assert engine.receive(b"A09 STARTTLS\r\n") == [
        Command("STARTTLS", b"", "A09 STARTTLS", b"A09"),
        Deviated("answer", "STARTTLS", filled),
        Send(filled),
    ]
    engine.tls_started()
    assert run(engine, "A11 STARTTLS") == b"A11 BAD STARTTLS is not available\r\n"


def test_an_empty_answer_is_silence():
    engine, _ = server(deviations=(Answer(verb="XYZZY", reply=b"", over_tls=True),))
    outputs = engine.receive(b"a XYZZY\r\n")
    assert [type(output) for output in outputs] == [Command, Malformed, Deviated]


@pytest.mark.parametrize(
    ("data", "mechanism"),
    [
        (LOGIN, "LOGIN-COMMAND"),
        (LOGIN.replace(PASSWORD.encode(), b"{%d+}\r\n%b" % (SIZE, PASSWORD.encode())), "LOGIN-COMMAND"),
        (f"A1 AUTHENTICATE PLAIN {WORDS['plain']}\r\n".encode(), "PLAIN"),
    ],
)
def test_credentials_are_stated_though_a_deviation_answers(data, mechanism):
    verb = data.split()[1].decode()
    outputs = facts(data, deviations=(Answer(verb=verb, reply=b"{tag} OK fine\r\n", over_tls=True),))
    assert of(outputs, Authentication) == [Authentication(mechanism, ALICE.username, ALICE.password, accepted=False)]
    assert of(outputs, Malformed) == []


def test_a_deviation_answers_before_a_literal_is_sent():
    engine, _ = server(deviations=(Answer(verb="LOGIN", reply=b"{tag} BAD no\r\n", over_tls=True),))
    outputs = engine.receive(b"a LOGIN {5}\r\n")
    assert outputs == [
        Command("LOGIN", b"{5}", "a LOGIN {5}", b"a"),
        Deviated("answer", "LOGIN", b"a BAD no\r\n"),
        Send(b"a BAD no\r\n"),
    ]


def test_literals_that_do_not_wait_are_refused_unless_announced():
    engine, _ = server(deviations=(Hide(names=("LITERAL+",)),))
    data = b"a LOGIN %b {%d+}\r\n%b\r\n" % (ALICE.username.encode(), SIZE, PASSWORD.encode())
    outputs = engine.receive(data)
    assert sent(outputs) == b"a BAD non-synchronizing literals are not available\r\n"
    assert [auth.secret for auth in of(outputs, Authentication)] == [PASSWORD]


# Facts.


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (LOGIN, f"A1 LOGIN {ALICE.username} <password>"),
        (f'a login "{ALICE.address}" "{PASSWORD}"\r\n'.encode(), f"a LOGIN {ALICE.address} <password>"),
        (f"a LOGIN {PASSWORD} {ALICE.username}\r\n".encode(), f"a LOGIN <unknown name of {SIZE} bytes> <password>"),
        (f"a LOGIN {PASSWORD}\r\n".encode(), f"a LOGIN <argument of {SIZE + 1} bytes>"),
        (f"a LOGIN x {PASSWORD} y\r\n".encode(), f"a LOGIN <argument of {SIZE + 5} bytes>"),
        (b"a LOGIN\r\n", "a LOGIN <argument of 0 bytes>"),
        (f"a LOGIN {ALICE.username} {{26}}\r\n".encode(), f"a LOGIN {ALICE.username} {{26}}"),
        (f"a AUTHENTICATE PLAIN {WORDS['plain']}\r\n".encode(), "a AUTHENTICATE PLAIN <initial response of 76 bytes>"),
        (b"a AUTHENTICATE plain\r\n", "a AUTHENTICATE plain"),
        (f"a AUTHENTICATE {PASSWORD}\r\n".encode(), f"a AUTHENTICATE <argument of {SIZE + 1} bytes>"),
        (f"a SELECT {PASSWORD}\r\n".encode(), "a SELECT <password>"),
        ("a SELECT Entwürfe\r\n".encode(), "a SELECT Entwürfe"),
        (b"a SELECT \xff\r\n", "a SELECT \\xff"),
        (b"a IDLE\r\n", "a IDLE"),
        (f"{PASSWORD} {PASSWORD}\r\n".encode(), f"<unknown command: {2 * SIZE + 1} bytes>"),
        (f"{PASSWORD}\r\n".encode(), f"<not a command: {SIZE} bytes>"),
    ],
)
def test_what_is_shown_of_a_command(data, expected):
    assert shown(facts(data)) == [expected]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["a LOGIN {user_literal}", "{user} {password_literal}", "{password}"],
         ["a LOGIN {user_literal}", "<literal of 27 bytes>", " {26}", "<literal of 26 bytes>"]),
        (["a LOGIN {user_literal+}", "{user} {password}"], ["a LOGIN {user_literal+}", "<literal of 27 bytes>", "<27 bytes>"]),
        (["a LOGNI {user_literal+}", "{user} {password}"], ["<unknown command: 13 bytes>", "<literal of 27 bytes>", "<27 bytes>"]),
        (["a SEARCH SUBJECT {3+}", "abc SEEN"], ["a SEARCH SUBJECT {3+}", "<literal of 3 bytes>", " SEEN"]),
        (["a AUTHENTICATE PLAIN", "{plain}"], ["a AUTHENTICATE PLAIN", "<response of 76 bytes>"]),
        (["a AUTHENTICATE LOGIN", "*"], ["a AUTHENTICATE LOGIN", "*"]),
        (["a LOGIN x {20000+}", "{many}"], ["a LOGIN <unknown name of 1 bytes> {20000+}", "<literal of 20000 bytes>"]),
    ],
)  # fmt: skip
def test_what_is_shown_of_further_lines(lines, expected):
    data = "".join(fill_in(line) + "\r\n" for line in lines).encode()
    assert shown(facts(data)) == [fill_in(line) for line in expected]


def test_a_command_is_a_fact_before_its_reply():
    engine, _ = server()
    outputs = engine.receive(LOGIN + b"A2 UID FETCH 1\r\n")
    assert outputs[:2] == [
        Command("LOGIN", LOGIN[9:-2], f"A1 LOGIN {ALICE.username} <password>", b"A1"),
        Authentication("LOGIN-COMMAND", ALICE.username, ALICE.password, accepted=True),
    ]
    assert outputs[3:] == [
        Command("UID FETCH", b"1", "A2 UID FETCH 1", b"A2"),
        Send(b"A2 BAD select a mailbox first\r\n"),
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (LOGIN, ("LOGIN-COMMAND", ALICE.username, PASSWORD, True, "")),
        (LOGIN.replace(b"Pw", b"xx"), ("LOGIN-COMMAND", ALICE.username, PASSWORD.replace("Pw", "xx"), False, "")),
        (b'a LOGIN "" ""\r\n', ("LOGIN-COMMAND", "", "", False, "")),
        (b'a LOGIN x "p\xc3\xa4ss \\"word\\\\"\r\n', ("LOGIN-COMMAND", "x", 'päss "word\\', False, "")),
        (b"a LOGIN x {2+}\r\n\xff\xfe\r\n", ("LOGIN-COMMAND", "x", "\udcff\udcfe", False, "")),
        (b"a AUTHENTICATE PLAIN Ym9zcwB4AHk=\r\n", ("PLAIN", "x", "y", False, "boss")),
        (b"a AUTHENTICATE PLAIN\r\nYm9zcwB4AHk=\r\n", ("PLAIN", "x", "y", False, "boss")),
        (b"a authenticate login eA==\r\neQ==\r\n", ("LOGIN", "x", "y", False, "")),
        (b"a AUTHENTICATE LOGIN =\r\n\r\n", ("LOGIN", "", "", False, "")),
    ],
)
def test_credentials_are_stated(data, expected):
    assert [tuple(auth) for auth in of(facts(data), Authentication)] == [expected]


@pytest.mark.parametrize(
    "data", [LOGIN, f"a AUTHENTICATE PLAIN {WORDS['plain']}\r\n".encode(), LOGIN.replace(b" Pw", b" {26+}\r\nPw")]
)
@pytest.mark.parametrize("logged_in_first", [False, True])
def test_credentials_that_nobody_wanted_are_stated_too(data, logged_in_first):
    engine, _ = logged_in() if logged_in_first else server(over_tls=False)
    seen = of(engine.receive(data), Authentication)
    assert [(auth.identity, auth.secret, auth.accepted) for auth in seen] == [(ALICE.username, PASSWORD, False)]


@pytest.mark.parametrize(
    "data",
    [
        *[b"\r\n", b"\0\r\n", b"a\r\n", b"a \r\n", b" NOOP\r\n", b"a  NOOP\r\n", b"+ NOOP\r\n", b"\xff NOOP\r\n"],
        *[b"GET / HTTP/1.1\r\n", b"EHLO client.example.test\r\n", b"a NOOP\0\r\n", b"a NO\rOP\r\n", b"a NOOP\r\r\n"],
        *[b"a NOOP x\r\n", b"a SELECT\r\n", b"x" * limits.MAX_LINE + b"\r\n", b"a LOGIN x y\rz\r\n", b"a NOOP {5}x\r\n"],
        *[b"a AUTHENTICATE PLAIN !\r\n", b"a AUTHENTICATE PLAIN eA==\r\n", b"a AUTHENTICATE PLAIN\r\n\0\r\n"],
        *[b"a AUTHENTICATE PLAIN\r\n" + b"x" * limits.MAX_LINE + b"\r\n", b"a AUTHENTICATE PLAIN =\r\n"],
        *[b"a LOGIN {3+}\r\n\0ab x\r\n", b"a LOGIN x {99999999999}\r\n", b"a AUTHENTICATE\r\n", b"a LOGIN x\r\n"],
    ],
)  # fmt: skip
def test_what_is_malformed(data):
    engine, _ = logged_in() if b"SELECT" in data else server()
    outputs = engine.receive(data)
    found = of(outputs, Malformed)
    assert len(found) == 1
    assert re.search(rb"^(?:\*|a|GET|EHLO|\+ \r\na) BAD ", sent(outputs))
    assert run(engine, "z NOOP") == b"z OK completed\r\n"


def test_malformed_credentials_are_malformed_even_where_they_are_forbidden():
    outputs = facts(b"a AUTHENTICATE PLAIN eA==\r\n", over_tls=False)
    assert [type(output) for output in outputs] == [Command, Malformed]


def test_a_row_that_allows_the_wrong_state_is_found_out():
    engine, _ = server()
    with pytest.raises(LookupError, match="nobody is logged in"):
        assert engine._session.mailboxes
    with pytest.raises(LookupError, match="no mailbox is selected"):
        assert engine._session.view


@pytest.mark.parametrize("data", [b"a IDLE\r\n", b"a FETCH 1 FLAGS\r\n", b"a LOGIN {9}\r\n", b"a APPEND x {9}\r\n"])
def test_what_is_refused_but_not_malformed(data):
    assert of(facts(data), Malformed) == []


def test_a_stored_message_is_a_fact():
    engine, store = logged_in(mail=(), select="")
    outputs = engine.receive(b"a APPEND INBOX {5+}\r\nhello\r\n")
    assert of(outputs, Stored) == [Stored(5, ())]
    assert [message.content for message in inbox(store).messages] == [b"hello"]


@pytest.mark.parametrize(
    ("data", "complete"),
    [
        (b"", True),
        (b"a NOOP\r\n", True),
        (b"a NOOP\r", False),
        (b"a LOGIN {5}\r\n", False),
        (b"a LOGIN {5}\r\nabcde", False),
        (b"x" * 2 * limits.MAX_LINE, False),
        (b"a AUTHENTICATE PLAIN\r\n", True),
        (b"a LOGOUT\r\na NO", True),
    ],
)
@pytest.mark.parametrize("cut", [whole, bytewise])
def test_the_end_of_the_stream(data, complete, cut):
    engine, _ = server()
    deliver(engine, cut(data))
    assert [type(output) for output in engine.eof()] == [Malformed] * (not complete)


# Limits.


def test_a_line_of_the_greatest_length():
    assert b"a BAD" in run(server()[0], "a NOOP " + "x" * (limits.MAX_LINE - 9))
    assert b"* BAD the line is too long" in run(server()[0], "a NOOP " + "x" * (limits.MAX_LINE - 8))


def test_a_literal_of_the_greatest_size():
    engine, _ = logged_in(select="")
    head = len(" INBOX {33554432}\r\n")
    assert run(engine, f"a APPEND INBOX {{{limits.MAX_COMMAND}}}").startswith(b"a BAD [TOOBIG]")
    assert run(engine, f"a APPEND INBOX {{{limits.MAX_COMMAND - head + 2}}}") == b"+ OK\r\n"


def test_many_literals_count_together():
    engine, _ = server()
    assert run(engine, *["a LOGIN {6000+}", "y" * 6000 + " {6000+}", "y" * 6000 + " {6000}"]).startswith(
        b"a BAD [TOOBIG]"
    )


def test_a_long_line_in_the_middle_of_a_command_ends_it():
    engine, _ = server()
    long = "y" * (limits.MAX_LINE + 3)
    assert run(engine, "a LOGIN {1+}", "x" + long, "b NOOP") == b"a BAD the line is too long\r\nb OK completed\r\n"


def test_too_many_bad_commands_end_the_connection():
    engine, _ = server()
    outputs = engine.receive(b"a XYZZY\r\n" * limits.MAX_BAD + b"b NOOP\r\n" + b"c XYZZY\r\n" * (limits.MAX_BAD + 2))
    replies = [output.data for output in of(outputs, Send)]
    assert replies[-1] == b"c BAD unknown command\r\n* BYE too many bad commands\r\n"
    assert replies.count(b"c BAD unknown command\r\n") == limits.MAX_BAD
    assert outputs[-1] == Close()
    assert engine.receive(b"d NOOP\r\n") == []


# Any bytes at all.

OUTPUTS = (Send, StartTLS, Close, Command, Response, Authentication, Stored, Malformed, Deviated)
PIECES = st.sampled_from(
    [
        *[b"\r\n", b"\n", b"\r", b"\0", b" ", b"a ", b"{3}\r\n", b"{3+}\r\nxyz", b"{0+}\r\n", b"{99999+}\r\n", b'"', b"(", b")"],
        *[b"1:*", b"1", b"NIL", b"*", b"INBOX", b"\\Seen", b"BODY[1.MIME]<0.5>", b"BODYSTRUCTURE", b"ENVELOPE", b"\xff"],
        *[b"ALL", b"NOT ", b"OR ", b"TEXT x", b"HEADER From bob", b"SINCE 1-Jan-2020", b"UID 1:3", b"&AOQ-", b"PLAIN", b"="],
        *[f"a {verb} ".encode() for verb in COMMANDS],
        *[f"\r\na {verb}\r\n".encode() for verb in COMMANDS if verb != "LOGOUT"],
        *[LOGIN, b"a SELECT INBOX\r\n", b"a FETCH 1:* (FLAGS BODY[])\r\n", WORDS["plain"].encode(), b"a STORE 2 +FLAGS x\r\n"],
    ]
)  # fmt: skip


def check(data, cut, *, begin):
    """Feed *data* whole and cut, and return the outputs, which must be the same."""
    at_once, in_pieces = begin(), begin()
    outputs = deliver(at_once, [data])
    assert merged(deliver(in_pieces, cut(data))) == merged(outputs)
    assert in_pieces.eof() == at_once.eof()
    assert all(isinstance(output, OUTPUTS) for output in outputs)
    return outputs


@pytest.mark.parametrize("state", list(State)[:3])
@steady
@given(
    data=st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=20).map(b"".join)),
    cuts=st.lists(st.integers(0, 300), max_size=6),
)
def test_garbage_ends_in_declared_outputs(state, data, cuts):
    begin = {
        State.NOT_AUTHENTICATED: lambda: server()[0],
        State.AUTHENTICATED: lambda: logged_in(select="")[0],
        State.SELECTED: lambda: logged_in()[0],
    }[state]
    check(data, cut_at(cuts), begin=begin)
    check(data, bytewise, begin=begin)


@steady
@given(
    lines=st.lists(
        st.sampled_from(
            [
                *["a LOGIN {user} {password}", 'a LOGIN "{user}" "{password}"', "a LOGIN {user_literal}", "{user} {password}"],
                *["{user} {password_literal}", "{password}", "{password} {password}", "a LOGIN {password} {user}", "{plain}"],
                *["a AUTHENTICATE PLAIN {plain}", "a AUTHENTICATE LOGIN", "{b64user}", "{b64password}", "a XYZZY {password}"],
                *["a AUTHENTICATE {password}", "a SELECT {password}", 'a ID ("p" "{password}")', "{password} NOOP"],
                *["a LOGIN {user_literal+}", "a XYZZY {user_literal+}", "a SEARCH TEXT {user_literal+}", "{plain} {plain}"],
                *["a NOOP", "a AUTHENTICATE PLAIN", "a LOGIN {password}", "a APPEND {password} {password_literal}"],
            ]
        ),
        max_size=8,
    ),
    over_tls=st.booleans(),
)  # fmt: skip
@example(lines=["a LOGIN {user_literal}", "{user} {password}"], over_tls=False)
def test_secrets_are_never_shown(lines, over_tls):
    engine, _ = server(over_tls=over_tls)
    engine.greet()
    data = "".join(fill_in(line) + "\r\n" for line in lines)
    outputs = deliver(engine, [data.encode()])
    visible = "\n".join([*shown(outputs), *(fact.reason for fact in of(outputs, Malformed))])
    assert canary.find(PASSWORD, visible.encode()) is None
    assert canary.find(WORDS["plain"], visible.encode()) is None


def test_nothing_is_kept_of_what_comes_after_the_end():
    engine, _ = server()
    engine.greet()
    engine.receive(b"A1 LOGOUT\r\nA2 NOOP\r\n" + b"x" * 20_000)
    assert engine.receive(b"y" * 20_000) == []
    assert len(engine._lines) == 0
    assert engine.eof() == []
