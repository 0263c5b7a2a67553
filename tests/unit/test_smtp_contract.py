"""The SMTP engine keeps its contract whatever comes, and hides what is secret."""

import gc
import re
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from smtp_session import (
    ENVELOPE,
    PASSWORD,
    PLAIN,
    USER,
    b64,
    codes,
    cut_at,
    deliver,
    facts,
    lines,
    replies,
    server,
    settled,
    submit,
    talk,
)

from pytest_mailauth.model import canary
from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.model.events import Authentication, Command, Malformed, Response
from pytest_mailauth.servers.engines.contract import Close, Send

CODED = re.compile(r"3\d\d.*|([245])\d\d[ -]\1\.\d{1,3}\.\d{1,3} .*")


def without_code(outputs):
    """Return the reply lines that lack the enhanced status code they need, all but those to HELO and EHLO."""
    verb, found = "EHLO", []
    for output in outputs:
        verb = output.verb if isinstance(output, Command) else verb
        said = output.data.decode("utf-8", "surrogateescape") if isinstance(output, Send) else ""
        if verb not in ("EHLO", "HELO"):
            found += [line for line in said.split("\r\n")[:-1] if not CODED.fullmatch(line)]
    return found


steady = settings(max_examples=60, deadline=None, derandomize=True)

# Commands that are none, and commands out of turn.


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("XYZZY", "500"),
        ("", "500"),
        ("  NOOP", "500"),
        ("NO\0OP", "500"),
        ("NOOP \x7f", "250"),
        ("NOOP\ta", "500"),
        ("NOOP a\tb", "250"),
        ("NÖÖP", "500"),
        ("noop", "250"),
        ("NOOP " + "x" * 505, "250"),
        ("NOOP " + "x" * 506, "500"),
        ("MAIL FROM:<a@example.test>" + " " * 996, "250"),
        ("MAIL FROM:<a@example.test>" + " " * 997, "500"),
        ("NOOP " + "x" * 70_000, "500"),
        ("EHLO", "501"),
        ("EHLO  ", "501"),
        ("HELO", "501"),
        ("HELO client.test", "250"),
        ("QUIT now", "501"),
        ("RSET", "250"),
        ("RSET now", "501"),
        ("VRFY", "501"),
        ("VRFY alice", "252"),
        ("VRFY <@@>", "502"),
        ("EXPN list", "502"),
        ("HELP", "250"),
        ("HELP MAIL", "250"),
        ("HELP XYZZY", "501"),
        ("RCPT TO:<alice@example.test>", "503"),
        ("DATA", "503"),
        ("MAIL", "501"),
        ("MAIL TO:<a@example.test>", "501"),
        ("MAIL FROM:", "501"),
        ("MAIL FROM:<>", "250"),
        ("MAIL FROM:a@example.test", "250"),
        ("MAIL FROM:<a@example.test> (a comment)", "250"),
        ("MAIL FROM:<a@example.test> SIZE=10 BODY=8BITMIME SMTPUTF8", "250"),
        ("MAIL FROM:<a@example.test> SIZE=ten", "501"),
        ("MAIL FROM:<a@example.test> SIZE=\u00b2", "501"),
        ("MAIL FROM:<a@example.test> BODY=9BIT", "501"),
        ("MAIL FROM:<a@example.test> XYZZY=1", "555"),
        ("MAIL FROM:<a@example.test> X-FOO=1", "555"),
        ("MAIL FROM:<a@example.test> x-foo", "555"),
        ("MAIL FROM:<a@example.test> 8-X=<a+b>;/", "555"),
        ("MAIL FROM:<a@example.test> SIZE=1 X-FOO=1", "555"),
        ("MAIL FROM:<a@example.test> -FOO=1", "501"),
        ("MAIL FROM:<a@example.test> X_FOO=1", "501"),
        ("MAIL FROM:<a@example.test> X-FOO=", "501"),
        ("MAIL FROM:<a@example.test> X-FOO=a=b", "501"),
        ("MAIL FROM:<a@example.test> AUTH=<>", "250"),
        ("MAIL FROM:<e=mc2@example.test> AUTH=e+3Dmc2@example.test", "250"),
        ("MAIL FROM:<a@example.test> AUTH=e+3", "501"),
        ("MAIL FROM:<a@example.test> AUTH=a=b", "501"),
        ("MAIL FROM:<a@example.test> AUTH=", "501"),
        ("MAIL FROM:<a@example.test> AUTH", "501"),
        ("MAIL FROM:<a@example.test> SMTPUTF8=1", "501"),
        ("MAIL FROM:<ä@example.test>", "550"),
        ("MAIL FROM:<a@exämple.test> SIZE=1", "550"),
        ("MAIL FROM:<@", "553"),
        ("MAIL FROM:<", "553"),
        ('MAIL FROM:"', "553"),
    ],
)
def test_one_command(command, code):
    outputs, _ = talk(lines("EHLO client.test", command, "NOOP"))
    assert codes(outputs) == ["250", code, "250"]
    assert (len(facts(outputs, Malformed)) == 1) is (code == "500")
    assert without_code(outputs) == []


def test_a_transaction_is_forgotten_on_rset_and_ehlo():
    for forget in ("RSET", "EHLO again.test"):
        outputs, store = talk(lines(*ENVELOPE[:4], forget, "DATA", "RCPT TO:<alice@example.test>", "QUIT"))
        assert codes(outputs)[-3:] == ["503", "503", "221"]
        assert store.submitted == []


def test_a_sender_twice_and_data_with_an_argument():
    outputs, _ = talk(lines(*ENVELOPE[:4], ENVELOPE[2], "DATA now", "RCPT TO:<alice@example.test> X-FOO=1", "QUIT"))
    assert codes(outputs)[4:] == ["503", "501", "555", "221"]
    assert without_code(outputs) == []


def test_the_submitter_is_named_where_authentication_is_announced_and_with_mail_alone():
    outputs, _ = talk(lines("EHLO x", "MAIL FROM:<a@example.test> AUTH=<>"), over_tls=False)
    assert replies(outputs)[-1] == "555 5.5.4 MAIL FROM parameters not recognized or not implemented"
    outputs, _ = talk(lines("EHLO x", "MAIL FROM:<a@example.test> AUTH=<>", "RCPT TO:<b@example.test> AUTH=<>"))
    assert codes(outputs) == ["250", "250", "555"]


def test_ten_errors_end_the_session():
    outputs, _ = talk(lines(*["XYZZY"] * 12, "NOOP"))
    assert codes(outputs) == ["500"] * 10 + ["421"]
    assert outputs[-1] == Close()
    assert len(facts(outputs, Command)) == 10
    outputs, _ = talk(lines("EHLO x", *[*["XYZZY"] * 9, "NOOP"] * 3))
    assert not facts(outputs, Close)  # an understood command shows good will


def test_pipelined_commands_are_answered_in_one_piece():
    engine, _ = server()
    engine.greet()
    engine.receive(lines("EHLO client.test"))
    outputs = engine.receive(lines("NOOP", "RSET", "NOOP"))
    assert [output.data for output in settled(facts(outputs, Send))] == [b"250 2.0.0 OK\r\n" * 3]


def test_nothing_is_carried_out_behind_quit():
    outputs, _ = talk(lines("EHLO client.test", "QUIT", "NOOP"))
    assert codes(outputs) == ["250", "221"]
    assert outputs[-1] == Close()
    engine, _ = server()
    engine.greet()
    engine.receive(lines("QUIT"))
    assert engine.receive(lines("NOOP")) == []
    assert engine.eof() == []


# The end.


@pytest.mark.parametrize(
    ("data", "unfinished"),
    [
        (b"", False),
        (b"EHLO client.test\r\n", False),
        (b"NOO", True),
        (b"N" * 70_000, True),
        (lines("EHLO client.test", "AUTH LOGIN"), True),
        (lines("EHLO client.test", "AUTH LOGIN", USER), True),
        (lines(*ENVELOPE), True),
        (lines(*ENVELOPE, "Subject: x"), True),
        (lines(*ENVELOPE, "."), False),
        (lines("QUIT") + b"NOO", False),
    ],
)
def test_the_end_of_the_stream(data, unfinished):
    outputs, store = talk(data)
    said = [Malformed("the client left in the middle of a command")]
    assert outputs[-1:] == said if unfinished else said[0] not in outputs
    assert len(store.submitted) == (data.endswith(b"\r\n.\r\n"))


def test_the_end_is_told_once():
    engine, _ = server()
    assert engine.eof() == []  # before the greeting: TLS never came about
    engine.greet()
    engine.receive(b"NOO")
    assert engine.eof() == [Malformed("the client left in the middle of a command")]
    assert engine.eof() == []
    assert engine.receive(b"P\r\n") == []


@pytest.mark.parametrize("data", [None, b"", lines(*ENVELOPE), lines("EHLO x", "AUTH LOGIN"), b"N" * 70_000])
def test_a_dropped_session_gives_no_warning(data):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        engine, _ = server()
        if data is not None:
            engine.greet()
            engine.receive(data)
        del engine
        gc.collect()
    assert caught == []


# Everything.

COMMANDS = st.sampled_from(
    f"EHLO x|HELO x|NOOP|RSET|QUIT|VRFY |EXPN|HELP |STARTTLS|DATA|MAIL FROM:|RCPT TO:|MAIL FROM:<a@example.test>|"
    f"RCPT TO:<alice@example.test>|AUTH PLAIN|AUTH LOGIN |AUTH PLAIN {PLAIN}|*|=|.".split("|")
)
PATHS = st.text('<>@"\\()[],;:. \t=ax1²é\udcff\x00', max_size=12)
LINES = st.one_of(
    st.tuples(COMMANDS, PATHS).map("".join), st.builds("MAIL FROM:<a@b> {}={}".format, PATHS, PATHS), PATHS
)


@pytest.mark.parametrize("over_tls", [True, False])
@steady
@example(said=["MAIL FROM:<a@b> SIZE=²"], end="\r\n", cuts=[])
@example(said=["AUTH PLAIN \udcff"], end="\r\n", cuts=[])
@example(said=['MAIL FROM:<"\\'], end="\r\n", cuts=[])
@given(
    said=st.lists(LINES, max_size=8),
    end=st.sampled_from(["\r\n", "\n", "\r\r\n"]),
    cuts=st.lists(st.integers(0, 500), max_size=6),
)
def test_no_input_raises_and_no_cut_matters(over_tls, said, end, cuts):
    data = end.join(["EHLO x", *said, ""]).encode("utf-8", "surrogateescape")
    outputs, store = talk(data, over_tls=over_tls, auth=IN_CLEAR)
    engine, other = server(over_tls=over_tls, auth=IN_CLEAR)
    assert settled([*engine.greet(), *deliver(engine, cut_at(data, cuts)), *engine.eof()]) == outputs
    assert [kept.content for kept in store.submitted] == [kept.content for kept in other.submitted]
    assert all(code.isdigit() for code in codes(outputs))
    assert without_code(outputs) == []


@steady
@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=4))
def test_no_bytes_raise_in_a_message(data, cuts):
    outputs, store = submit(data, end=b"\r\n.\r\n")
    engine, other = server()
    engine.greet()
    deliver(engine, cut_at(lines(*ENVELOPE) + data + b"\r\n.\r\n", cuts))
    assert [kept.content for kept in store.submitted][:1] == [kept.content for kept in other.submitted][:1]
    assert all(code.isdigit() for code in codes(outputs))
    assert without_code(outputs) == []


# Secrets.


@pytest.mark.parametrize(
    "said",
    [
        ENVELOPE[:2],
        ("EHLO client.test", "AUTH LOGIN", USER, b64(PASSWORD)),
        ("EHLO client.test", f"AUTH LOGIN {USER}", b64(PASSWORD)),
        ("EHLO client.test", f"auth plain {PLAIN}"),
        ("EHLO client.test", f"AUTH {PLAIN}"),
        ("EHLO client.test", f"AUTH XYZZY {PLAIN}"),
        (PLAIN, b64(PASSWORD), PASSWORD, f"PASS {PASSWORD}"),
    ],
)
@pytest.mark.parametrize("over_tls", [True, False])
def test_no_secret_is_shown(said, over_tls):
    outputs, _ = talk(lines(*said), over_tls=over_tls)
    shown = "\n".join(
        [fact.shown for fact in facts(outputs, Command | Response)]
        + [fact.reason for fact in facts(outputs, Malformed)]
    )
    assert canary.find(PASSWORD, shown.encode()) is None
    assert canary.find(PASSWORD, "\n".join(replies(outputs)).encode()) is None
    assert PASSWORD not in repr(facts(outputs, Authentication))
