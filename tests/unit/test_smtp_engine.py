"""The SMTP engine: login, messages, relaying and STARTTLS, each talk once whole and once byte by byte."""

import pytest
from smtp_session import (
    ALICE,
    ASK_PASS,
    ASK_USER,
    ENVELOPE,
    PASS,
    PASSWORD,
    PLAIN,
    USER,
    WRONG,
    b64,
    codes,
    deliver,
    facts,
    lines,
    replies,
    server,
    submit,
    talk,
)

from pytest_mailauth.model.config import IN_CLEAR, AuthPolicy
from pytest_mailauth.model.deviations import Announce, Answer, Greet, Hide
from pytest_mailauth.model.events import Authentication, Command, Deviated, Malformed, Response, Stored
from pytest_mailauth.servers.engines.contract import Send, StartTLS
from pytest_mailauth.servers.mailstore import INBOX

# Login.


@pytest.mark.parametrize(
    ("dialogue", "code"),
    [
        ((f"AUTH PLAIN {PLAIN}",), "235"),
        ((f"auth plain {PLAIN}",), "235"),
        ((f"AUTH PLAIN   {PLAIN}  ",), "235"),
        (("AUTH PLAIN", PLAIN), "235"),
        ((f"AUTH LOGIN {USER}", PASS), "235"),
        (("AUTH login", USER, PASS), "235"),
        ((f"AUTH PLAIN {WRONG}",), "535"),
        (("AUTH LOGIN", USER, b64("nonsense")), "535"),
        (("AUTH LOGIN =", PASS), "535"),  # an empty user name (RFC 4954 section 4)
        (("AUTH PLAIN", "*"), "501"),
        (("AUTH LOGIN", USER, "*"), "501"),
        (("AUTH PLAIN =",), "501"),
        (("AUTH PLAIN", ""), "501"),
        (("AUTH PLAIN", "not base64!"), "501"),
        (("AUTH PLAIN not base64",), "501"),
        ((f"AUTH PLAIN {b64('no NUL in it')}",), "501"),
        (("AUTH",), "501"),
        (("AUTH CRAM-MD5",), "504"),
        (("AUTH *",), "504"),
    ],
)
def test_login(dialogue, code):
    outputs, _ = talk(lines("EHLO client.test", *dialogue, "NOOP"))
    said = codes(outputs)
    assert said == ["250", *["334"] * (len(dialogue) - 1), code, "250"]
    presented = facts(outputs, Authentication)
    assert [fact.accepted for fact in presented] == ([code == "235"] if code in ("235", "535") else [])
    if code == "235":
        assert presented[0][:4] == (dialogue[0].split()[1].upper(), ALICE.username, PASSWORD, True)


def test_challenges_say_what_they_ask_for():
    outputs, _ = talk(lines("EHLO client.test", "AUTH LOGIN", USER, PASS, "NOOP"))
    assert [line for line in replies(outputs) if line.startswith("334")] == [f"334 {ASK_USER}", f"334 {ASK_PASS}"]
    outputs, _ = talk(lines("EHLO client.test", "AUTH PLAIN", "*"))
    assert "334 " in replies(outputs)  # the space is mandatory (RFC 4954 section 4)


def test_an_authorization_identity_is_noted():
    message = b64(f"boss\0{ALICE.username}\0{PASSWORD}")
    outputs, _ = talk(lines("EHLO client.test", f"AUTH PLAIN {message}"))
    assert facts(outputs, Authentication)[0].authorization == "boss"


def test_a_long_initial_response_is_read():
    password = "p" * 9000
    outputs, _ = talk(lines("EHLO client.test", f"AUTH PLAIN {b64(f'{chr(0)}alice{chr(0)}{password}')}"))
    assert codes(outputs) == ["250", "535"]
    assert facts(outputs, Authentication)[0].secret == password


@pytest.mark.parametrize(
    "dialogue", [("AUTH PLAIN " + "A" * 12_290,), ("AUTH PLAIN", "A" * 13_000), ("AUTH PLAIN", "A" * 40_000)]
)
def test_a_response_longer_than_the_limit_is_refused(dialogue):
    outputs, _ = talk(lines("EHLO client.test", *dialogue, "NOOP"))
    assert codes(outputs)[-2:] == ["500", "250"]
    assert facts(outputs, Malformed)


@pytest.mark.parametrize(
    ("before", "code"),
    [
        ((), "503"),  # no EHLO
        (("HELO client.test",), "503"),
        (("EHLO client.test", f"AUTH PLAIN {PLAIN}"), "503"),  # RFC 4954 section 4: once a session
        (("EHLO client.test", "MAIL FROM:<a@example.test>"), "503"),  # and not during a mail transaction
    ],
)
def test_login_out_of_turn_is_refused_and_its_credentials_are_noted(before, code):
    outputs, _ = talk(lines(*before, f"AUTH PLAIN {PLAIN}"))
    assert codes(outputs)[-1] == code
    last = facts(outputs, Authentication)[-1]
    assert (last.secret, last.accepted) == (PASSWORD, False)


@pytest.mark.parametrize(
    ("dialogue", "code", "noted"),
    [
        ((f"AUTH PLAIN {PLAIN}",), "538", True),
        (("AUTH PLAIN",), "538", False),
        ((f"AUTH LOGIN {USER}",), "538", False),
        (("AUTH PLAIN nonsense!",), "538", False),
        (("AUTH PLAIN \udcff\udcfe",), "538", False),
        (("AUTH CRAM-MD5",), "504", False),
    ],
)
def test_login_in_clear_is_refused_and_what_crossed_the_wire_is_noted(dialogue, code, noted):
    data = b"EHLO client.test\r\n" + "\r\n".join(dialogue).encode("utf-8", "surrogateescape") + b"\r\n"
    outputs, _ = talk(data, over_tls=False)
    assert codes(outputs) == ["250", code]
    assert [(fact.secret, fact.accepted) for fact in facts(outputs, Authentication)] == (
        [(PASSWORD, False)] if noted else []
    )


def test_login_in_clear_is_taken_where_the_policy_takes_it():
    outputs, _ = talk(lines("EHLO client.test", f"AUTH PLAIN {PLAIN}"), over_tls=False, auth=IN_CLEAR)
    assert codes(outputs)[-1] == "235"


def test_no_mechanism_at_all():
    none = AuthPolicy(mechanisms=())
    outputs, _ = talk(lines("EHLO client.test", f"AUTH PLAIN {PLAIN}"), auth=none)
    assert codes(outputs)[-1] == "504"
    assert not any("AUTH" in line for line in replies(outputs)[:-1])


# What EHLO lists.


@pytest.mark.parametrize(
    ("over_tls", "config", "there", "not_there"),
    [
        (
            True,
            {},
            ["AUTH PLAIN LOGIN", "SIZE 33554432", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES"],
            ["STARTTLS"],
        ),
        (False, {}, ["STARTTLS"], ["AUTH PLAIN LOGIN"]),
        (False, {"auth": IN_CLEAR}, ["STARTTLS", "AUTH PLAIN LOGIN"], []),
        (False, {"security": "none"}, [], ["STARTTLS"]),
        (True, {"auth": AuthPolicy(advertised=False)}, [], ["AUTH PLAIN LOGIN"]),
        (True, {"auth": AuthPolicy(mechanisms=("LOGIN",))}, ["AUTH LOGIN"], []),
        (
            False,
            {"deviations": (Hide(names=("STARTTLS",)), Announce(lines=("AUTH PLAIN",)))},
            ["AUTH PLAIN"],
            ["STARTTLS"],
        ),
    ],
)
def test_ehlo(over_tls, config, there, not_there):
    outputs, _ = talk(b"EHLO client.test\r\n", over_tls=over_tls, **config)
    listed = replies(outputs)
    assert listed[0] == "250-localhost"
    assert all(line.startswith("250-") for line in listed[:-1])
    assert listed[-1].startswith("250 ")
    keywords = [line[4:] for line in listed[1:]]
    assert set(there) <= set(keywords)
    assert not set(not_there) & set(keywords)


def test_greeting():
    outputs, _ = talk(b"")
    assert outputs == [Send(b"220 localhost ESMTP pytest-mailauth\r\n")]
    outputs, _ = talk(b"", deviations=(Greet(data=b"220 {tag}\r\n"),))
    assert outputs == [Send(b"220 *\r\n")]


def test_answer_instead():
    deviation = Answer(verb="MAIL", reply=b"451 later\r\n", over_tls=True)
    outputs, store = submit(b"x\r\n", deviations=(deviation,))
    assert codes(outputs)[2:5] == ["451", "503", "503"]
    assert facts(outputs, Deviated) == [Deviated("answer", "MAIL", b"451 later\r\n")]
    assert store.submitted == []


# The message.


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b"Subject: x\r\n\r\nbody\r\n", b"Subject: x\r\n\r\nbody\r\n"),
        (b"..\r\n..two\r\n.x\r\n", b".\r\n.two\r\nx\r\n"),
        (b"a\r\n.\n.\r\n", b"a\r\n\n.\r\n"),  # only CRLF . CRLF ends a message (RFC 5321 section 4.1.1.4)
        (b"a\n.\nMAIL FROM:<evil@example.test>\r\n", b"a\n.\nMAIL FROM:<evil@example.test>\r\n"),
        (b"8-bit \xe4\xff\x00\r\n", b"8-bit \xe4\xff\x00\r\n"),
        (b"x" * 998 + b"\r\n", b"x" * 998 + b"\r\n"),
        (b"", b""),
    ],
)
def test_what_was_sent_is_stored(sent, stored):
    outputs, store = submit(sent)
    assert codes(outputs) == ["250", "235", "250", "250", "354", "250", "221"]
    (message,) = store.submitted
    assert message.content == stored
    assert (message.mail_from, message.rcpt_tos) == ("bob@example.test", ("alice@example.test",))
    assert (message.authenticated_as, message.over_tls) == (ALICE.username, True)
    assert [kept.content for kept in store.mailbox(ALICE, INBOX).messages] == [stored]
    assert facts(outputs, Stored) == [Stored(len(stored), ("alice@example.test",))]
    assert facts(outputs, Response) == [Response(f"<message data of {len(stored)} bytes>")]


@pytest.mark.parametrize("length", [1003, 1010, 5000])
@pytest.mark.parametrize("behind", [b"", b"\r\nmore"])
def test_a_line_that_is_too_long_costs_the_message_and_not_the_session(length, behind):
    outputs, store = submit(b"a\r\n" + b"x" * length + b"." + behind + b"\r\n")
    assert codes(outputs)[4:] == ["354", "500", "221"]
    assert replies(outputs)[-2].startswith("500 5.5.2 ")
    assert "1000 bytes" in facts(outputs, Malformed)[0].reason
    assert store.submitted == []


def test_a_message_that_is_too_big_is_refused():
    outputs, store = submit(b"", envelope=(*ENVELOPE[:2], "MAIL FROM:<bob@example.test> SIZE=33554433"))
    assert codes(outputs)[2] == "552"
    engine, store = server()
    engine._core.data_size_limit = 100
    outputs = [*engine.greet(), *engine.receive(lines(*ENVELOPE, *["0123456789"] * 20, ".", "NOOP"))]
    assert codes(outputs)[4:] == ["354", "552", "250"]
    assert replies(outputs)[-2] == "552 5.3.4 Error: Too much mail data"
    assert store.submitted == []


def test_addresses_beyond_ascii():
    envelope = (
        *ENVELOPE[:2],
        "MAIL FROM:<bøb@exämple.test> SMTPUTF8 BODY=8BITMIME",
        "RCPT TO:<älice@example.test>",
        "DATA",
    )
    _, store = submit(b"x\r\n", envelope=envelope)
    assert (store.submitted[0].mail_from, store.submitted[0].rcpt_tos) == ("bøb@exämple.test", ("älice@example.test",))


# STARTTLS.


def test_starttls_forgets_everything_and_executes_nothing_behind_it():
    engine, _ = server(over_tls=False)
    engine.greet()
    outputs = deliver(engine, [lines("EHLO client.test", "MAIL FROM:<a@example.test>", "STARTTLS", "NOOP", "RSE")])
    assert outputs[-1] == StartTLS(b"220 2.0.0 Ready to start TLS\r\n")
    assert [fact.verb for fact in facts(outputs, Command)] == ["EHLO", "MAIL", "STARTTLS"]
    assert engine.tls_started() == []
    outputs = engine.receive(
        lines("T", "MAIL FROM:<b@example.test>", "EHLO client.test", f"AUTH PLAIN {PLAIN}", "STARTTLS")
    )
    assert codes([Send(b"\r\n"), *outputs]) == ["500", "503", "250", "235", "502"]
    assert engine.eof() == []


@pytest.mark.parametrize(
    ("line", "over_tls", "config", "code"),
    [
        ("STARTTLS now", False, {}, "501"),
        ("STARTTLS", True, {}, "502"),
        ("STARTTLS", False, {"security": "none"}, "502"),
    ],
)
def test_starttls_refused(line, over_tls, config, code):
    outputs, _ = talk(lines("EHLO client.test", line, "NOOP"), over_tls=over_tls, **config)
    assert codes(outputs)[1:] == [code, "250"]


def test_nothing_is_kept_of_what_comes_after_the_end():
    engine, _ = server()
    engine.greet()
    engine.receive(b"QUIT\r\nNOOP\r\n" + b"x" * 20_000)
    assert engine.receive(b"y" * 20_000) == []
    assert len(engine._core._reader.buffer) == 0
    assert engine.eof() == []
