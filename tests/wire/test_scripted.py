"""Servers that were told what to do, met by the clients of the standard library."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import smtplib
import time

import pytest
from wire_client import Wire, before_tls, only, secure

from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.model.errors import ConfigError, UnmetExpectations
from pytest_mailauth.model.events import Closed, Deviated, Malformed, Sent
from pytest_mailauth.model.terms import HandshakeOutcome

SOON = 0.02
"""Seconds of a delay: long enough to be seen, short enough not to be waited for."""
BREATH = 0.0005
"""Seconds between two bytes."""
MAIL = b"Subject: Welcome\r\n\r\nHello\r\n"
STARTTLS = {"smtp": "STARTTLS", "pop3": "STLS", "imap": "STARTTLS"}
REFUSAL = {"smtp": (451, "4.3.0 later"), "pop3": ("-ERR later",), "imap": ("NO later",)}


def deviated(session):
    return [(fact.kind, fact.verb) for fact in session.of(Deviated)]


@pytest.fixture
def smtp(mailauth_smtp):
    with smtplib.SMTP(mailauth_smtp.host, mailauth_smtp.port, timeout=5) as client:
        client.starttls(context=mailauth_smtp.ssl_context())
        client.login(mailauth_smtp.account.username, mailauth_smtp.account.password)
        yield client


@pytest.fixture
def pop3(mailauth_pop3):
    client = poplib.POP3(mailauth_pop3.host, mailauth_pop3.port, timeout=5)
    client.stls(context=mailauth_pop3.ssl_context())
    yield client
    client.close()


@pytest.fixture
def imap(mailauth_imap):
    client = imaplib.IMAP4(mailauth_imap.host, mailauth_imap.port, timeout=5)
    client.starttls(mailauth_imap.ssl_context())
    yield client
    client.shutdown()


def test_smtplib_hears_of_one_bad_recipient(smtp, mailauth_smtp):
    mailauth_smtp.on("RCPT", arg="bad@example.test").reply(550, "5.1.1 no such user")
    refused = smtp.sendmail("a@example.test", ["bad@example.test", "bob@example.test"], MAIL)
    assert refused == {"bad@example.test": (550, b"5.1.1 no such user")}
    assert mailauth_smtp.messages[0].rcpt_tos == ("bob@example.test",)
    assert deviated(mailauth_smtp.sessions[0]) == [("scripted reply", "RCPT")]


def test_smtplib_is_told_that_its_message_was_not_taken_and_tries_again(smtp, mailauth_smtp):
    mailauth_smtp.on("message", arg="subject: welcome").reply(452, "4.3.1 full\ncome back").once()
    with pytest.raises(smtplib.SMTPDataError, match="come back"):
        smtp.sendmail("a@example.test", ["bob@example.test"], MAIL)
    assert mailauth_smtp.messages == ()
    assert smtp.sendmail("a@example.test", ["bob@example.test"], MAIL) == {}
    assert len(mailauth_smtp.messages) == 1


def test_smtplib_is_refused_before_the_message(smtp, mailauth_smtp):
    mailauth_smtp.on("DATA").reply(451, "4.3.0 later")
    with pytest.raises(smtplib.SMTPDataError, match="later"):
        smtp.sendmail("a@example.test", ["bob@example.test"], MAIL)


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "message"])
@pytest.mark.parametrize("way", ["drop", "reset"])
def test_smtplib_loses_its_server(smtp, mailauth_smtp, verb, way):
    getattr(mailauth_smtp.on(verb), way)()
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionResetError)):
        smtp.sendmail("a@example.test", ["bob@example.test"], MAIL)
    session = only(mailauth_smtp)
    assert session.closed == Closed("server", "close" if way == "drop" else "reset")
    assert mailauth_smtp.messages == ()


def test_smtplib_is_told_421_and_let_go(smtp, mailauth_smtp):
    mailauth_smtp.on("NOOP").reply(421, "4.3.2 shutting down").drop()
    assert smtp.noop() == (421, b"4.3.2 shutting down")
    with pytest.raises(smtplib.SMTPServerDisconnected):
        smtp.noop()


def test_smtplib_reads_a_reply_that_drips_and_comes_late(smtp, mailauth_smtp):
    mailauth_smtp.on("EHLO").delay(SOON).drip(BREATH)
    started = time.monotonic()
    assert smtp.ehlo()[0] == 250
    assert time.monotonic() - started >= SOON / 2
    assert smtp.has_extn("AUTH")
    (session,) = mailauth_smtp.sessions
    drops = [fact.data for fact in session.of(Sent) if len(fact.data) == 1]
    assert b"".join(drops).endswith(b"250 HELP\r\n")
    assert "\nS: 250 HELP\n" in session.transcript()


def test_smtplib_cannot_read_garbage(smtp, mailauth_smtp):
    mailauth_smtp.on("NOOP").garble().once()
    code, text = smtp.noop()
    assert code == -1
    assert text
    assert smtp.noop()[0] == 250


def test_smtplib_waits_for_a_message_to_be_taken(smtp, mailauth_smtp):
    mailauth_smtp.on("message").delay(SOON).drip(BREATH)
    assert smtp.sendmail("a@example.test", ["bob@example.test"], MAIL) == {}
    assert len(mailauth_smtp.messages) == 1


def test_poplib_is_answered_otherwise(pop3, mailauth_pop3):
    account = mailauth_pop3.account
    mailauth_pop3.on("PASS").reply("-ERR [IN-USE] somebody else is here").once()
    mailauth_pop3.on("LIST").reply("+OK two\n1 10\n2 20")
    mailauth_pop3.on("STAT").garble("a seed").delay(SOON)
    mailauth_pop3.on("NOOP").drip(BREATH)
    mailauth_pop3.on("QUIT").drop()
    pop3.user(account.username)
    with pytest.raises(poplib.error_proto, match="IN-USE"):
        pop3.pass_(account.password)
    pop3.user(account.username)
    pop3.pass_(account.password)
    assert pop3.list()[1] == [b"1 10", b"2 20"]
    with pytest.raises(poplib.error_proto):
        pop3.stat()
    assert pop3.noop().startswith(b"+OK")
    with pytest.raises(poplib.error_proto):
        pop3.quit()
    session = only(mailauth_pop3)
    assert [login.accepted for login in session.auth] == [False, True]
    assert [verb for _, verb in deviated(session)] == ["PASS", "LIST", "STAT", "NOOP", "QUIT"]


def test_imaplib_is_answered_otherwise(imap, mailauth_imap):
    account = mailauth_imap.account
    mailauth_imap.on("LOGIN").reply("NO [UNAVAILABLE] later").once()
    mailauth_imap.on("APPEND", arg="INBOX").reply("NO [OVERQUOTA] full").once()
    mailauth_imap.on("SELECT", arg="INBOX").reply("* 3 EXISTS\nOK [READ-WRITE] done").delay(SOON)
    mailauth_imap.on("NOOP").drip(BREATH)
    mailauth_imap.on("LOGOUT").reset()
    with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        imap.login(account.username, account.password)
    imap.login(account.username, account.password)
    assert imap.append("INBOX", None, None, MAIL) == ("NO", [b"[OVERQUOTA] full"])
    assert imap.append("INBOX", None, None, MAIL)[0] == "OK"
    assert imap.select() == ("OK", [b"3"])
    assert imap.noop()[0] == "OK"
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        imap.logout()
    session = only(mailauth_imap)
    assert [verb for _, verb in deviated(session)] == ["LOGIN", "APPEND", "SELECT", "NOOP", "LOGOUT"]
    assert session.closed == Closed("server", "reset")


def test_imaplib_cannot_read_garbage(imap, mailauth_imap):
    mailauth_imap.on("CAPABILITY").garble().drop()
    with pytest.raises((imaplib.IMAP4.abort, UnicodeDecodeError)):
        imap.capability()


@pytest.mark.parametrize("way", ["delay", "drip"])
def test_tls_starts_behind_a_late_reply(serve, way):
    server = serve()
    expectation = server.on(STARTTLS[server.protocol])
    expectation.delay(SOON) if way == "delay" else expectation.drip(BREATH)
    with secure(server) as wire:
        wire.send(wire.speech.quit)
        assert wire.rest().startswith(wire.speech.bye)
    assert only(server).tls.outcome is HandshakeOutcome.COMPLETED


def test_starttls_that_is_refused_or_dropped(serve, protocol):
    server = serve()
    server.on(STARTTLS[protocol]).reply(*REFUSAL[protocol]).once()
    server.on(STARTTLS[protocol]).drop()
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls)
        assert b"later\r\n" in wire.line()
        wire.send(wire.speech.starttls)
        assert wire.rest() == b""
    assert only(server).tls is None


def test_what_comes_meanwhile_waits_in_order(serve):
    server = serve(auth=IN_CLEAR)
    with Wire(server).greet() as wire:
        server.on("NOOP").delay(SOON).once() if server.protocol != "pop3" else server.on("CAPA").delay(SOON).once()
        wire.send(wire.speech.ask if server.protocol == "pop3" else wire.speech.noop)
        assert server.sessions[0].of(Deviated)
        wire.send(wire.speech.unknown)
        assert len(server.sessions[0].commands) == 1  # it has come, and nobody has read it
        wire.send(wire.speech.quit)
        said = wire.rest()
    session = only(server)
    assert len(session.commands) == 3
    assert said.count(b"\r\n") >= 3
    assert said == session.clear_out[-len(said) :]
    lines = [line[:1] for line in session.transcript().splitlines() if line[:2] in ("C:", "S:")]
    assert "".join(lines).endswith("CSCSCS" if server.protocol == "smtp" else "S")


def test_pipelined_commands_wait_in_order(mailauth):
    server = mailauth.smtp(security="none", auth=IN_CLEAR)
    server.on("RSET").delay(SOON)
    with Wire(server).greet() as wire:
        wire.send(b"RSET\r\nNOOP\r\nQUIT\r\n")
        wire.rest()
    session = only(server)
    assert session.verbs() == ("RSET", "NOOP", "QUIT")
    assert session.closed == Closed("server", "close")
    said = [line for line in session.transcript().splitlines() if line.startswith(("C:", "S:"))]
    assert [line[0] for line in said] == list("SCSCSCS")


def test_a_client_that_does_not_wait_is_recorded_in_full(mailauth, security):
    server = mailauth.smtp(security=security)
    server.on("NOOP").delay(60)
    with secure(server) as wire:
        wire.send(b"NOOP\r\nRSET\r\n")
        assert len(server.sessions[0].of(Deviated)) == 1
        wire.send(b"HELP\r\nnonsen")
    session = only(server)
    assert session.verbs()[-3:] == ("NOOP", "RSET", "HELP")
    assert [fact.reason for fact in session.of(Malformed)] == ["the client left in the middle of a command"]
    assert b"250 2.0.0 OK" not in session.tls_out


def test_a_server_that_closes_does_not_wait(mailauth):
    server = mailauth.smtp()
    server.on("EHLO").delay(60)
    with Wire(server).greet() as wire:
        wire.send(b"EHLO a\r\nNOOP\r\n")
        assert server.sessions[0].of(Deviated)
        server.close()
        wire.rest()
    session = only(server)
    assert session.closed == Closed("server", "abort")
    assert session.verbs() == ("EHLO", "NOOP")


def test_a_hello_before_a_late_reply_is_refused(mailauth):
    server = mailauth.smtp()
    server.on("STARTTLS").delay(SOON)
    with Wire(server).greet() as wire:
        wire.send(wire.speech.starttls)
        assert server.sessions[0].of(Deviated)
        wire.send(b"\x16\x03\x01\x00\x05hello")
        wire.rest()
    assert only(server).tls.outcome is HandshakeOutcome.SERVER_REFUSED


def test_the_same_seed_meets_the_same_faults(mailauth, protocol):
    def talk():
        server = getattr(mailauth, protocol)(auth=IN_CLEAR)
        server.faults(seed=7, rate=0.4, delay=BREATH)
        for _ in range(6):
            with Wire(server).greet() as wire, contextlib.suppress(OSError):
                for _ in range(5):
                    wire.send(wire.speech.noop)
                    if not wire.segment():
                        break
        return [deviated(session) for session in server.sessions]

    faults = talk()
    assert {kind.split()[1] for session in faults for kind, _ in session} == {"drop", "reset", "delay", "garble"}
    assert talk() == faults


def test_a_server_that_is_left_tells_what_did_not_come(serve):
    with pytest.raises(UnmetExpectations, match="no client connected"), serve() as server:
        server.on("NOOP").drop()


def test_a_server_that_is_left_with_an_error_says_nothing_of_it(serve):
    def fail():
        with serve() as server:
            server.on("NOOP").drop()
            raise TimeoutError

    with pytest.raises(TimeoutError):
        fail()


GREETINGS = {"smtp": (554, "5.3.2 no mail here"), "pop3": ("-ERR [SYS/TEMP] later",), "imap": ("* BYE too busy",)}
WORDS = {"smtp": b"554 5.3.2 no mail here\r\n", "pop3": b"-ERR [SYS/TEMP] later\r\n", "imap": b"* BYE too busy\r\n"}


def test_a_greeting_that_turns_clients_away(serve, security):
    server = serve(security=security)
    server.on("greeting").reply(*GREETINGS[server.protocol]).drop().once()
    with before_tls(server) if security == "implicit" else Wire(server) as wire:
        if security == "implicit":
            wire.wrap(server.ssl_context())
        assert wire.rest() == WORDS[server.protocol]
    session = only(server)
    assert deviated(session) == [("scripted reply, drop", "GREETING")]
    assert session.closed == Closed("server", "close")
    with secure(server):
        pass  # the next client is welcome


@pytest.mark.parametrize("way", ["reset", "drop"])
def test_a_connection_that_ends_before_the_greeting(serve, way):
    server = serve()
    getattr(server.on("greeting"), way)()
    # A reset may overtake the end of the client's own connecting.
    with contextlib.suppress(ConnectionResetError), Wire(server) as wire:
        assert wire.rest() == b""
    assert only(server).closed == Closed("server", "reset" if way == "reset" else "close")


def test_a_greeting_that_comes_late_and_drips(serve):
    server = serve()
    server.on("GREETING").delay(SOON).drip(BREATH)
    begin = time.monotonic()
    with Wire(server).greet() as wire:
        assert time.monotonic() - begin >= SOON
        wire.send(wire.speech.quit)
        wire.rest()
    (greeting, *_) = only(server).of(Sent)
    assert len(greeting.data) == 1


def test_a_greeting_that_nobody_heard_or_asked_for_wrongly(serve):
    server = serve()
    with pytest.raises(ConfigError, match="a greeting answers no command"):
        server.on("greeting", arg="x")
    server.on("greeting").drop()
    with pytest.raises(UnmetExpectations, match=r"on\('greeting'\) was never used; no client connected"):
        server.raise_unmet()


def test_chance_greets_everybody(serve):
    server = serve()
    server.faults(seed=1, rate=1, kinds=("drop",))
    with Wire(server).greet():
        pass
