"""Scripts without a server: matching, use, replies, faults, and what is told when something did not come."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Account
from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.model.errors import ConfigError, UnmetExpectations
from pytest_mailauth.model.record import SessionRecord
from pytest_mailauth.model.terms import Layer, Protocol, Security
from pytest_mailauth.servers.acts import FAULTS, Faults, garbage
from pytest_mailauth.servers.engines.contract import Close, Drip, Reset, Send, Wait
from pytest_mailauth.servers.engines.imap import ImapEngine
from pytest_mailauth.servers.engines.pop3 import Pop3Engine
from pytest_mailauth.servers.engines.smtp import SmtpEngine
from pytest_mailauth.servers.expectations import Scripted
from pytest_mailauth.servers.mailstore import MailStore
from pytest_mailauth.servers.policy import Policy
from pytest_mailauth.servers.script import MESSAGE, Script

SMTP, POP3, IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP


class Server(Scripted):
    def __init__(self, protocol=SMTP, *commands, others=()):
        self._script = Script(protocol)
        facts = [*(e.Command(verb, arg.encode(), f"{verb} {arg}".strip()) for verb, arg in commands), *others]
        entries = tuple(e.Entry(0.0, Layer.CLEAR, fact) for fact in facts)
        self.record = (SessionRecord(1, protocol, Security.NONE, "main", entries),) if facts else ()
        self.dialogue = self._script.dialogue()
        for verb, arg in commands:
            self.dialogue.act(verb, arg.encode())

    def __repr__(self):
        return "<server>"

    @property
    def sessions(self):
        return self.record

    def ask(self, verb, argument=""):
        return self.dialogue.act(verb, argument.encode())

    def said(self, verb, argument="", tag=b"a1"):
        act = self.ask(verb, argument)
        return act and act.said and act.said(tag)


@pytest.mark.parametrize(
    ("protocol", "verb", "arg", "argument", "about"),
    [
        (SMTP, "RCPT", None, "TO:<bob@example.test>", True),
        (SMTP, "rcpt", "Bob@Example.test", "TO:<bob@example.test> NOTIFY=NEVER", True),
        (SMTP, "RCPT", "<bob@example.test>", "TO: <bob@example.test>", True),
        (SMTP, "RCPT", "bob", "TO:<bob@example.test>", False),
        (SMTP, "RCPT", "bob@example.test", "TO:bob@example.test", True),
        (SMTP, "RCPT", "bob@example.test", "nonsense", False),
        (SMTP, "MAIL", "", "FROM:<>", True),
        (SMTP, "MAIL", "", "FROM:<a@example.test>", False),
        (SMTP, "RCPT", re.compile(r"@example\.test>"), "TO:<bob@example.test>", True),
        (SMTP, "RCPT", re.compile("^bob"), "TO:<bob@example.test>", False),
        (SMTP, "RCPT", lambda text: text.endswith(">"), "TO:<bob@example.test>", True),
        (SMTP, "RCPT", lambda _text: None, "TO:<bob@example.test>", False),
        (SMTP, "AUTH", "plain", "PLAIN AGEAYg==", True),
        (POP3, "RETR", "1", "1", True),
        (POP3, "RETR", "1", "12", False),
        (IMAP, "SELECT", "INBOX", '"inbox"', True),
        (IMAP, "SELECT", "Sent Items", '"Sent Items"', True),
        (IMAP, "UID  fetch", "BODY.PEEK[]", "1:* (UID BODY.PEEK[])", True),
        (IMAP, "UID FETCH", "BODY", "1:* (UID BODY.PEEK[])", False),
        (IMAP, "LOGIN", "\udcff", "name", False),
    ],
)
def test_what_an_expectation_is_about(protocol, verb, arg, argument, about):
    server = Server(protocol)
    server.on(verb, arg).drop()
    assert (server.ask(" ".join(verb.upper().split()), argument) is not None) is about


def test_a_message_is_found_by_any_part_of_it():
    server = Server()
    server.on("message", "subject: WEL").drop()
    assert server.ask("DATA", "Subject: Welcome") is None
    assert server.ask(MESSAGE, "Subject: Welcome\r\n\r\nHello") is not None


def test_the_first_that_is_not_used_up_is_used():
    server = Server()
    server.on("NOOP").reply(450).once()
    server.on("NOOP").reply(451).times(2)
    server.on("NOOP").reply(452)
    server.on("NOOP").reply(453).optional()
    assert [server.said("NOOP")[:3] for _ in range(5)] == [b"450", b"451", b"451", b"452", b"452"]
    server.raise_unmet()


@pytest.mark.parametrize(
    ("protocol", "words", "data"),
    [
        (SMTP, (550, "5.1.1 no such user"), b"550 5.1.1 no such user\r\n"),
        (SMTP, (421,), b"421 scripted reply\r\n"),
        (SMTP, (250, "one\ntwo\n{tag}"), b"250-one\r\n250-two\r\n250 {tag}\r\n"),
        (POP3, ("-ERR [IN-USE] later",), b"-ERR [IN-USE] later\r\n"),
        (POP3, ("+OK",), b"+OK\r\n"),
        (POP3, ("+OK two\n1 10\n.dot",), b"+OK two\r\n1 10\r\n..dot\r\n.\r\n"),
        (IMAP, ("NO [OVERQUOTA] full",), b"a1 NO [OVERQUOTA] full\r\n"),
        (IMAP, ("* 3 EXISTS\nOK {next}",), b"* 3 EXISTS\r\na1 OK {next}\r\n"),
        (IMAP, ("* BYE going down",), b"* BYE going down\r\n"),
    ],
)
def test_replies(protocol, words, data):
    server = Server(protocol)
    server.on("NOOP").reply(*words)
    assert server.said("NOOP") == data


@pytest.mark.parametrize(
    ("protocol", "words", "problem", "remedy"),
    [
        (SMTP, ("550 no",), "'550 no' is not a code", 'reply(550, "5.1.1 no such user")'),
        (SMTP, (True,), "True is not a code", "reply(550"),
        (SMTP, (199,), "there is no code 199", "reply(550"),
        (SMTP, (560,), "there is no code 560", "reply(550"),
        (SMTP, (266,), "there is no code 266", "reply(550"),
        (SMTP, (354, "go on"), "reads nothing more", "reply(550"),
        (SMTP, (550, "a\r\nb"), "a control character", "reply(550"),
        (SMTP, (550, "x" * 600), "longer than 512", "reply(550"),
        (POP3, ("ERR no",), "does not begin with +OK or -ERR", 'reply("-ERR [SYS/TEMP] try later")'),
        (POP3, (550, "no"), "is not one text", 'reply("-ERR'),
        (POP3, ("+ ",), "does not begin with", 'reply("-ERR'),
        (IMAP, ("a1 NO no",), "is not OK, NO or BAD", 'reply("NO [OVERQUOTA]'),
        (IMAP, ("NO",), "is not OK, NO or BAD", 'reply("NO [OVERQUOTA]'),
        (IMAP, ("3 EXISTS\nOK done",), "does not begin with '* '", 'reply("NO [OVERQUOTA]'),
        (IMAP, ("NO", "full"), "is not one text", 'reply("NO [OVERQUOTA]'),
    ],
)
def test_a_reply_of_another_protocol_is_refused_with_the_right_form(protocol, words, problem, remedy):
    expectation = Server(protocol).on("NOOP")
    with pytest.raises(ConfigError) as refused:
        expectation.reply(*words)
    assert problem in str(refused.value)
    assert remedy in str(refused.value)
    assert not expectation.acts


@pytest.mark.parametrize(
    ("protocol", "verb", "remedy"),
    [
        (POP3, "STARTTLS", "the command is called STLS"),
        (IMAP, "AUTH", "the command is called AUTHENTICATE"),
        (SMTP, "LOGIN", "the command is called AUTH"),
        (SMTP, "RCPT TO", "give its name alone"),
        (POP3, "message", "is no pop3 command"),
        (IMAP, "UID", None),
        (IMAP, "", "is no imap command"),
    ],
)
def test_a_command_of_another_protocol_is_refused(protocol, verb, remedy):
    if remedy is None:
        assert Server(protocol).on(verb)
        return
    with pytest.raises(ConfigError, match=re.escape(remedy)):
        Server(protocol).on(verb)


@pytest.mark.parametrize(
    "chain",
    [
        lambda one: one.reply(550).reply(551),
        lambda one: one.drop().reply(550),
        lambda one: one.garble().reply(550),
        lambda one: one.reply(550).reset(),
        lambda one: one.drop().reset(),
        lambda one: one.drop().drop(),
        lambda one: one.drop().drip(1),
        lambda one: one.drip(1).drop(),
        lambda one: one.drip(1).reset(),
        lambda one: one.delay(0),
        lambda one: one.delay("1"),
        lambda one: one.delay(float("nan")),
        lambda one: one.drip(-1),
        lambda one: one.times(0),
        lambda one: one.times(1.5),
    ],
)
def test_what_contradicts_itself_is_refused(chain):
    with pytest.raises(ConfigError):
        chain(Server().on("NOOP"))


def test_an_argument_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match="neither a text nor a pattern nor a function"):
        Server().on("NOOP", 5)


def test_an_act_says_everything_in_outputs():
    server = Server()
    server.on("NOOP").delay(1).reply(421, "bye").drip(2).drop()
    act = server.ask("NOOP")
    deviated = e.Deviated("scripted delay of 1 s, reply, drip, drop", "NOOP", b"421 bye\r\n")
    assert act.outputs("NOOP") == [deviated, Wait(1), Drip(2), Send(b"421 bye\r\n"), Close()]
    assert (act.ends, act.carries_out) == (True, False)
    server.on("RSET").delay(3)
    act = server.ask("RSET")
    assert act.outputs("RSET") == [e.Deviated("scripted delay of 3 s", "RSET", b""), Wait(3)]
    assert (act.ends, act.carries_out) == (False, True)
    server.on("QUIT").reset()
    assert server.ask("QUIT").outputs("QUIT")[1:] == [Reset()]


@given(st.integers() | st.text())
def test_garbage_is_one_line_that_its_seed_decides(seed):
    line = garbage(seed)(b"*")
    assert line == garbage(seed)(b"other")
    assert line.endswith(b"\r\n")
    assert len(line) >= 10
    assert all(byte >= 0x80 for byte in line[:-2])


COMMANDS = st.lists(st.tuples(st.sampled_from(["MAIL", "RCPT", "DATA", "NOOP"]), st.text(max_size=5)), max_size=30)


@given(st.integers(), st.floats(0, 1), st.sets(st.sampled_from(FAULTS), min_size=1).map(sorted), COMMANDS)
def test_the_same_seed_and_commands_meet_the_same_faults(seed, rate, kinds, commands):
    def talk():
        server = Server()
        server.faults(seed=seed, rate=rate, kinds=kinds)
        server.on("DATA").reply(550).times(2)
        return [act and act.outputs(verb) for verb, arg in commands for act in [server.ask(verb, arg)]]

    assert talk() == talk()


def test_another_session_meets_other_faults_and_the_seed_is_told():
    server = Server()
    server.faults(seed="tuesday", rate=0.5)
    talks = []
    for dialogue in (server.dialogue, server._script.dialogue()):
        acts = [dialogue.act("NOOP", b"") for _ in range(40)]
        talks.append([act and act.kind for act in acts])
    assert talks[0] != talks[1]
    kinds = {kind for talk in talks for kind in talk if kind}
    assert kinds == {f"scripted {kind} (faults, seed='tuesday')" for kind in FAULTS}


def test_an_expectation_comes_before_a_fault_and_moves_none():
    plain, scripted = Server(), Server()
    for server in (plain, scripted):
        server.faults(seed=1, rate=0.5, kinds="drop")
    scripted.on("RSET").reply(250).times(3)
    acts = [[server.ask(verb) for verb in ("NOOP", "RSET") * 3] for server in (plain, scripted)]
    assert acts[0][::2] == acts[1][::2]
    assert [act.kind for act in acts[1][1::2]] == ["scripted reply"] * 3


@pytest.mark.parametrize(
    "settings", [{"rate": 2}, {"rate": -0.1}, {"kinds": ()}, {"kinds": ("flood",)}, {"kinds": "drip"}, {"delay": 0}]
)
def test_faults_that_make_no_sense(settings):
    with pytest.raises(ConfigError):
        Server().faults(seed=1, **settings)
    assert Faults.checked(1, 0, "drop", 1).kinds == ("drop",)


CAME = (("MAIL", "FROM:<a@example.test>"), ("RCPT", "TO:<bob@example.test>"), ("QUIT", ""))


def unmet(server):
    with pytest.raises(UnmetExpectations) as raised:
        server.raise_unmet()
    server.raise_unmet()  # once is enough
    return str(raised.value).splitlines()


def test_a_near_miss_is_the_same_command_with_another_argument():
    server = Server(SMTP, *CAME)
    server.on("RCPT", arg="bad@example.test").reply(550)
    assert unmet(server) == [
        "<server> waited for what did not come:",
        "  on('RCPT', arg='bad@example.test') was never used; RCPT came with another argument:",
        "    RCPT TO:<bob@example.test>",
        "Where that is no failure, say so with .optional().",
    ]


def test_without_one_everything_that_came_is_told():
    server = Server(SMTP, *CAME, CAME[1])
    server.on("VRFY").reply(252)
    server.on("message").drop()
    assert unmet(server)[1:3] == [
        "  on('VRFY') was never used; what came: MAIL, RCPT (2 times), QUIT",
        "  on('message') was never used; what came: MAIL, RCPT (2 times), QUIT",
    ]


def test_nothing_came_at_all():
    server = Server()
    server.on("NOOP").delay(1)
    assert unmet(server)[1] == "  on('NOOP') was never used; no client connected"
    server = Server(others=(e.Opened("peer"),))
    server.on("NOOP").delay(1)
    assert unmet(server)[1] == "  on('NOOP') was never used; no command came"


def test_what_another_expectation_took_is_told():
    server = Server(SMTP, *CAME)
    server.on("RCPT").reply(550).optional()
    server.on("RCPT", "bob@example.test").reply(551)
    assert "an expectation before it, or a fault of the settings, took:" in unmet(server)[1]
    server = Server(SMTP, *CAME, others=(e.Stored(3, ()),))
    server.on("message", "Subject").drop()
    assert unmet(server)[1].endswith("1 message came that it is not about, or that an expectation before it took")


def test_too_few_are_counted_and_many_are_cut():
    server = Server(SMTP, *(("RCPT", f"TO:<{number}@example.test>") for number in range(7)))
    server.on("RCPT").reply(550).times(9)
    server.on("RCPT", "x@example.test").reply(550)
    server.ask("RCPT", "TO:<0@example.test>")
    lines = unmet(server)
    assert lines[1] == "  on('RCPT') was used 1 of 9 times; RCPT came 7 times:"
    assert lines[7] == "    ... and 2 more"


def test_what_was_told_nothing_is_told_so():
    server = Server(SMTP, *CAME)
    server.on("QUIT")
    assert server.ask("QUIT") is None
    assert "was told nothing to do: go on with .reply(...)" in unmet(server)[1]


def test_what_is_optional_or_excused_is_no_failure():
    server = Server()
    server.on("NOOP").reply(250).optional()
    server.raise_unmet()
    server = Server()
    server.on("NOOP").reply(250)
    server.excuse()
    server.raise_unmet()


def test_a_function_that_fails_is_the_users_mistake():
    server = Server(SMTP, *CAME)
    server.on("RCPT", lambda text: text.nonsense).drop()
    assert server.ask("RCPT", "TO:<b@example.test>") is None
    with pytest.raises(ConfigError, match="no attribute 'nonsense'"):
        server.raise_unmet()


def test_a_function_may_add_an_expectation():
    server = Server()
    server.on("NOOP", lambda _text: server.on("RSET").reply(550)).reply(250)
    assert server.said("NOOP")[:3] == b"250"
    assert server.said("RSET")[:3] == b"550"


TALKS = {
    SMTP: (SmtpEngine, b"NOOP\r\nRSET\r\nHELP\r\nNOOP\r\nQUIT\r\n"),
    POP3: (Pop3Engine, b"NOOP\r\nRSET\r\nCAPA\r\nNOOP\r\nQUIT\r\n"),
    IMAP: (ImapEngine, b"a NOOP\r\nb RSET {3}\r\nc CAPABILITY\r\nd NOOP\r\ne LOGOUT\r\n"),
}
WORDS = {SMTP: (250, "yes"), POP3: ("+OK yes",), IMAP: ("OK yes",)}


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_engines_do_what_they_are_told_however_the_bytes_are_cut(protocol, size):
    engine_of, talk = TALKS[protocol]
    store = MailStore((Account.fresh(),))
    script = Script(protocol)
    script.on("NOOP", None).delay(1).drip(2).once()
    script.on("RSET", None).reply(*WORDS[protocol]).delay(3)
    script.on("NOOP", None).reply(*WORDS[protocol]).drop()
    engine = engine_of(Policy(ServerConfig(protocol=protocol), store.accounts, script), store, over_tls=True)
    engine.greet()
    outputs = [out for at in range(0, len(talk), size) for out in engine.receive(talk[at : at + size])]
    told = [output for output in outputs if not isinstance(output, Send | e.Malformed)]
    assert [type(output).__name__ for output in told] == [
        *("Command", "Deviated", "Wait", "Drip"),
        *("Command", "Deviated", "Wait"),
        "Command",
        *("Command", "Deviated", "Close"),
    ]
    said = b"".join(output.data for output in outputs if isinstance(output, Send))
    assert said.count(b" yes\r\n") == 2
    assert said.endswith(b" yes\r\n")
    assert script.unmet() == ()
    assert engine.receive(b"NOOP\r\n") == []
