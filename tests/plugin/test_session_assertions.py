"""What sessions are asked: each assertion passes a good client, fails a bad one, and says why; none passes on nothing."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import smtplib
import socket
import ssl

import pytest

from pytest_mailauth import (
    AuthPolicy,
    ClientViolation,
    ConfigError,
    Layer,
    Secret,
    assert_capabilities_refetched,
    assert_commands,
    assert_handshake_rejected,
    assert_mechanism,
    assert_message_count,
    assert_no_connection,
    assert_quit_sent,
    assert_recipients,
    assert_starttls_before_auth,
)
from pytest_mailauth.command_patterns import Pattern
from pytest_mailauth.model.canary import find
from pytest_mailauth.model.events import Authentication, Command, Received, Sent
from pytest_mailauth.report.claims import CLAIMS

IN_CLEAR = AuthPolicy(before_tls=("PLAIN", "LOGIN"), password_commands="always")
HELLO = "To: bob@example.test\r\n\r\nHello"


@contextlib.contextmanager
def smtp(server, *, tls=True, login=True):
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        if tls:
            client.starttls(context=server.ssl_context())
        if login:
            client.login(server.account.username, server.account.password)
        yield client


@contextlib.contextmanager
def imap(server):
    client = imaplib.IMAP4(server.host, server.port, timeout=5)
    client.starttls(server.ssl_context())
    yield client
    client.logout()


@contextlib.contextmanager
def pop3(server):
    client = poplib.POP3(server.host, server.port, timeout=5)
    client.stls(server.ssl_context())
    yield client
    client.quit()


@contextlib.contextmanager
def raw(server):
    """A connection that says what it is told to, and is over for the server too when the block ends."""
    with socket.create_connection((server.host, server.port), timeout=5) as connection, connection.makefile("rwb") as f:

        def say(line):
            f.write(f"{line}\r\n".encode())
            f.flush()
            while True:
                reply = f.readline()
                if reply[3:4] != b"-":
                    return reply

        f.readline()
        yield say


@pytest.fixture
def reason():
    """Run a claim that fails, and return the flat text of the failure; no secret is in it."""

    def run(claim, server, *args, **options):
        with pytest.raises(ClientViolation) as caught:
            claim(server, *args, **options)
        text = str(caught.value)
        for secret in server.account.secrets.values():
            assert find(secret, text.encode()) is None
        lines = text.splitlines()
        assert lines[0] == f"{claim.__name__}: not so"
        marks = [text.index(f"\n  {label}:") for label in ("Expected", "Actual", "Transcript", "Next step")]
        assert marks == sorted(marks)
        return " ".join(text.split())

    return run


GOLDEN = """\
assert_starttls_before_auth: not so
  Requirement: A client begins to log in only after STARTTLS (POP3: STLS) and the TLS handshake.
               (RFC 8314 section 5.2, RFC 4954 section 4, RFC 2595 section 2.3)
  Expected:    STARTTLS comes first, then the TLS handshake, then the login.
  Actual:      Session 1 began to log in before TLS: AUTH PLAIN <initial response of 76 bytes>.
  Transcript:
    session 1
    S: 220 localhost ESMTP pytest-mailauth
    C: EHLO client.test
    S: 250-localhost
    S: 250-SIZE 33554432
    S: 250-8BITMIME
    S: 250-SMTPUTF8
    S: 250-PIPELINING
    S: 250-ENHANCEDSTATUSCODES
    S: 250-STARTTLS
    S: 250-AUTH PLAIN LOGIN
    S: 250 HELP
    C: AUTH PLAIN <initial response of 76 bytes>
    S: 235 2.7.0 Authentication successful
    C: QUIT
    S: 221 2.0.0 Bye
    -- [server ended the connection: close]
  Next step:   Start TLS before logging in, and refuse to log in without it.
  Diagnosis:   The server was reached, but the client offered its password before TLS. Session 1:
               AUTH PLAIN <initial response of 76 bytes> in clear. Start TLS first, and give the
               password only inside it. (source document S2, S9, S12; RFC 8314 section 5.2)"""


def test_the_text_to_the_letter(mailauth):
    server = mailauth.smtp(auth=IN_CLEAR)
    with smtp(server, tls=False):
        pass
    with pytest.raises(ClientViolation) as caught:
        assert_starttls_before_auth(server)
    assert str(caught.value) == GOLDEN
    assert [entry.name for entry in caught.traceback][-1] == "fail"
    assert [entry.name for entry in caught.traceback.filter(caught)] == ["test_the_text_to_the_letter"]


CLAIMED = {
    "assert_mechanism": (assert_mechanism, ("PLAIN",)),
    "assert_starttls_before_auth": (assert_starttls_before_auth, ()),
    "assert_capabilities_refetched": (assert_capabilities_refetched, ()),
    "assert_commands": (assert_commands, ([...],)),
    "assert_recipients": (assert_recipients, (["bob@example.test"],)),
    "assert_message_count": (assert_message_count, (0,)),
    "assert_quit_sent": (assert_quit_sent, ()),
    "assert_handshake_rejected": (assert_handshake_rejected, ()),
}


def test_every_claim_has_its_advice():
    elsewhere = {"assert_attempts", "assert_never_weaker", "assert_bounded"}  # tests/network/test_attempt_assertions.py
    assert set(CLAIMS) == {*CLAIMED, *elsewhere, "assert_no_connection"}


@pytest.mark.parametrize("name", CLAIMED)
def test_no_claim_holds_about_a_server_that_nobody_met(mailauth, reason, name):
    claim, arguments = CLAIMED[name]
    text = reason(claim, mailauth.smtp(), *arguments)
    assert "Actual: No client connected." in text
    assert "(no connection)" in text


# assert_mechanism


def test_assert_mechanism(mailauth, reason):
    server = mailauth.smtp(auth=IN_CLEAR)
    with smtp(server):
        pass
    assert_mechanism(server, "plain")
    assert_mechanism(server, "PLAIN", tls=None)
    assert "Actual: Session 1 used PLAIN inside TLS." in reason(assert_mechanism, server, "LOGIN")
    text = reason(assert_mechanism, server, "PLAIN", tls=False)
    assert "Expected: Every client logs in with PLAIN in clear, and in no other way." in text
    with smtp(server, tls=False):
        pass
    assert "Actual: Session 2 used PLAIN in clear." in reason(assert_mechanism, server, "PLAIN")
    assert_mechanism(server, "PLAIN", tls=None)


def test_assert_mechanism_counts_refused_attempts(mailauth, reason):
    server = mailauth.smtp()
    with smtp(server, login=False) as client:
        assert "Actual: Nobody presented credentials." in reason(assert_mechanism, server, "PLAIN")
        client.ehlo()
        client.docmd("AUTH", "PLAIN AGEAYg==")
    assert_mechanism(server, "PLAIN")


def test_assert_mechanism_names_the_commands_of_imap_and_pop3(mailauth):
    account = mailauth.account
    over_imap, over_pop3 = mailauth.imap(), mailauth.pop3()
    with imap(over_imap) as client:
        client.login(account.username, account.password)
    assert_mechanism(over_imap, "LOGIN-COMMAND")
    with pop3(over_pop3) as client:
        client.user(account.username)
        client.pass_(account.password)
    assert_mechanism(over_pop3, "USER")


# assert_starttls_before_auth


def test_assert_starttls_before_auth(mailauth, reason):
    server = mailauth.smtp()
    with smtp(server, login=False):
        pass
    assert "Actual: Nobody began to log in." in reason(assert_starttls_before_auth, server)
    with smtp(server):
        pass
    assert_starttls_before_auth(server)


def test_a_login_that_was_only_begun_counts(mailauth, reason):
    server = mailauth.smtp(auth=IN_CLEAR)
    with raw(server) as say:
        say("EHLO client.test")
        assert say("AUTH LOGIN").startswith(b"334")
    assert "before TLS: AUTH LOGIN." in reason(assert_starttls_before_auth, server)


def test_asking_pop3_for_its_mechanisms_is_no_login(mailauth, reason):
    server = mailauth.pop3()
    client = poplib.POP3(server.host, server.port, timeout=5)
    client._longcmd("AUTH")
    client.stls(server.ssl_context())
    client.user(server.account.username)
    client.pass_(server.account.password)
    client.quit()
    assert_starttls_before_auth(server)
    client = poplib.POP3(server.host, server.port, timeout=5)
    with pytest.raises(poplib.error_proto):
        client.user(server.account.username)
    client.quit()
    assert "Session 2 began to log in before TLS: USER alice-" in reason(assert_starttls_before_auth, server)


# assert_capabilities_refetched


def test_assert_capabilities_refetched_in_smtp(mailauth, reason):
    server = mailauth.smtp()
    with smtp(server, login=False):
        pass
    text = reason(assert_capabilities_refetched, server)
    assert "Actual: Nobody did anything inside TLS." in text
    assert "RFC 3207 section 4.2, RFC 2595 section 4, RFC 9051 section 6.2.1" in text
    with smtp(server):
        pass
    assert_capabilities_refetched(server)
    with smtp(server, login=False) as client:
        client.docmd("AUTH", "PLAIN AGEAYg==")
    text = reason(assert_capabilities_refetched, server)
    assert "Expected: EHLO is the first command inside TLS." in text
    assert "Actual: Session 3 went on with AUTH PLAIN <initial response of 8 bytes>." in text


def test_assert_capabilities_refetched_in_imap_and_pop3(mailauth, reason):
    over_imap, over_pop3 = mailauth.imap(), mailauth.pop3()
    with imap(over_imap) as client:  # imaplib asks by itself
        client.login(mailauth.account.username, mailauth.account.password)
    assert_capabilities_refetched(over_imap)
    with pop3(over_pop3) as client:
        client.capa()
    assert_capabilities_refetched(over_pop3)
    with pop3(over_pop3) as client:
        client.user(mailauth.account.username)
    assert "Actual: Session 2 went on with USER alice-" in reason(assert_capabilities_refetched, over_pop3)


@pytest.mark.parametrize("claim", [assert_starttls_before_auth, assert_capabilities_refetched])
def test_questions_about_starttls_need_starttls(mailauth, claim):
    with pytest.raises(ConfigError, match=f"{claim.__name__} needs a server with security='starttls', not 'implicit'"):
        claim(mailauth.smtp(security="implicit"))


# assert_commands


def test_assert_commands(mailauth, reason):
    server = mailauth.smtp()
    with smtp(server) as client:
        client.sendmail("app@example.test", ["bob@example.test", "carol@example.test"], HELLO)
    assert_commands(
        server, ["EHLO", "starttls", "EHLO client.*", "AUTH PLAIN *", "MAIL", ..., "RCPT TO:<carol@*", ..., "QUIT"]
    )
    assert_commands(server, ["EHLO", ...], session=1)
    text = reason(assert_commands, server, ["EHLO", "STARTTLS", "AUTH", ..., "QUIT"])
    assert "Expected: The client sends: EHLO, STARTTLS, AUTH, ..., QUIT" in text
    assert "Actual: Session 1: command 3 is EHLO client.test, not AUTH." in text
    assert (
        "Compared: EHLO client.test STARTTLS - AUTH - ... - QUIT + EHLO client.test + AUTH PLAIN <initial response of"
        in text
    )


def test_assert_commands_leaves_the_tag_of_imap_out(mailauth):
    server = mailauth.imap()
    with imap(server) as client:
        client.login(mailauth.account.username, mailauth.account.password)
        client.select()
        client.uid("FETCH", "1:*", "(BODY[HEADER])")
    assert_commands(
        server, [..., "LOGIN * <password>", "SELECT INBOX", "UID FETCH 1:* (BODY[HEADER])", "LOGOUT"], session=1
    )
    assert_commands(server, [..., "UID FETCH", "LOGOUT"])


def test_assert_commands_asks_which_session_is_meant(mailauth, reason):
    server = mailauth.smtp(security="none")
    for greeting in ("EHLO one.test", "EHLO two.test"):
        with raw(server) as say:
            say(greeting)
    assert "there are 2 sessions; say which one is meant" in reason(assert_commands, server, ["EHLO"]).lower()
    assert_commands(server, ["EHLO two.test"], session=2)
    assert "No session is number 3; the last is 2." in reason(assert_commands, server, ["EHLO"], session=3)
    with pytest.raises(ConfigError, match="session=0 cannot be"):
        assert_commands(server, ["EHLO"], session=0)


def commands(*lines):
    return [Command(line.split()[0], b"", line) for line in lines]


@pytest.mark.parametrize(
    "pattern",
    [
        ["EHLO", "NOOP", "NOOP", "QUIT"],
        [...],
        [..., ...],
        ["EHLO", ..., "NOOP", ..., "QUIT"],
        [..., "NOOP", "QUIT"],
        ["EHLO", ..., ..., "QUIT", ...],
        ["ehlo m?", "*", "n*", "QUIT"],
    ],
)
def test_patterns_that_match(pattern):
    assert Pattern(pattern).compare(commands("EHLO me", "NOOP", "NOOP", "QUIT")) is None


@pytest.mark.parametrize(
    ("pattern", "sent", "said"),
    [
        (["EHLO", "QUIT"], ["EHLO me", "NOOP", "QUIT"], "command 2 is NOOP, not QUIT"),
        (["EHLO", "QUIT"], ["EHLO me", "QUIT", "NOOP"], "the list ends before command 3, NOOP"),
        (["EHLO", "QUIT"], ["EHLO me"], "QUIT never came after command 1, EHLO me"),
        (["EHLO", ..., "DATA", ..., "QUIT"], ["EHLO me", "NOOP", "QUIT"], "DATA never came after command 1, EHLO me"),
        (["EHLO"], [], "EHLO never came"),
        ([..., "DATA"], ["EHLO me"], "DATA never came"),
        ([..., "QUIT"], ["QUIT", "NOOP"], "the list ends before command 2, NOOP"),
        (["EHLO", "N.OP"], ["EHLO me", "NOOP"], "command 2 is NOOP, not N.OP"),
        (["HELO"], ["EHLO me"], "command 1 is EHLO me, not HELO"),
    ],
)
def test_where_commands_leave_a_pattern(pattern, sent, said):
    assert Pattern(pattern).compare(commands(*sent)).reason == said


@pytest.mark.parametrize("pattern", ["EHLO", [], [""], [b"EHLO"], [None]])
def test_what_is_no_pattern(pattern):
    with pytest.raises(ConfigError):
        Pattern(pattern)


def test_a_hostile_pattern_takes_no_time():
    pattern = Pattern([*(..., "NOOP") * 40, "QUIT"])
    assert pattern.compare(commands(*["NOOP"] * 200)).reason.startswith("command 41 is NOOP, not QUIT")


# assert_recipients, assert_message_count


def test_messages_and_their_recipients(mailauth, reason):
    server, other = mailauth.smtp(), mailauth.smtp()
    with smtp(server) as client:
        text = reason(assert_recipients, server, ["bob@example.test"])
        assert "Actual: Nobody submitted a message." in text
        assert_message_count(server, 0)
        client.sendmail("app@example.test", ["bob@example.test", "bcc@example.test"], HELLO)
        client.sendmail("app@example.test", ["bob@example.test"], HELLO)
    with smtp(other):
        pass
    assert_message_count(server, 2)
    assert_message_count(other, 0)
    assert_recipients(server, ["bob@example.test", "bcc@EXAMPLE.test", "bob@example.test"])
    text = reason(assert_recipients, server, ["bob@example.test", "Bcc@example.test"])
    assert "Expected: Messages are submitted to Bcc@example.test, bob@example.test." in text
    assert "Actual: Bcc@example.test got none; bcc@example.test, bob@example.test got one too." in text
    text = reason(assert_message_count, server, 1)
    assert "Expected: The server takes over 1 message." in text
    assert "Actual: It took over 2 messages." in text


def test_appended_messages_are_counted(mailauth):
    server = mailauth.imap()
    with imap(server) as client:
        client.login(mailauth.account.username, mailauth.account.password)
        client.append("INBOX", None, None, b"Subject: Draft\r\n\r\nHello\r\n")
    assert_message_count(server, 1)


def test_questions_about_messages_that_make_no_sense(mailauth):
    server = mailauth.smtp()
    with pytest.raises(ConfigError, match="must be a list of addresses, not one string"):
        assert_recipients(server, "bob@example.test")
    with pytest.raises(ConfigError, match=r"use assert_message_count\(server, 0\)"):
        assert_recipients(server, [])
    with pytest.raises(ConfigError, match="count=-1 cannot be"):
        assert_message_count(server, -1)
    with pytest.raises(ConfigError, match="assert_recipients needs a server for SMTP, not for IMAP"):
        assert_recipients(mailauth.imap(), ["bob@example.test"])
    with pytest.raises(ConfigError, match="assert_message_count needs a server for SMTP or IMAP, not for POP3"):
        assert_message_count(mailauth.pop3(), 1)


# assert_quit_sent


def test_assert_quit_sent(mailauth, reason):
    server = mailauth.smtp()
    with smtp(server):
        pass
    assert_quit_sent(server)
    with raw(server) as say:
        say("EHLO client.test")
        text = reason(assert_quit_sent, server)
        assert "Actual: The client of session 2 is still connected after EHLO client.test." in text
    text = reason(assert_quit_sent, server)
    assert "Expected: The last command of every session is QUIT." in text
    assert "Actual: The client of session 2 left after EHLO client.test." in text


def test_assert_quit_sent_in_imap_and_pop3(mailauth, reason):
    over_imap, over_pop3 = mailauth.imap(), mailauth.pop3()
    with imap(over_imap):
        pass
    assert_quit_sent(over_imap)
    with pop3(over_pop3):
        pass
    assert_quit_sent(over_pop3)
    imaplib.IMAP4(over_imap.host, over_imap.port, timeout=5).shutdown()
    text = reason(assert_quit_sent, over_imap)
    assert "is LOGOUT." in text
    assert "Actual: The client of session 2 left after CAPABILITY." in text


def test_who_could_not_take_its_leave_decides_nothing(mailauth, reason):
    server = mailauth.smtp(certificate="expired")
    with pytest.raises(ssl.SSLError), smtp(server):
        pass
    assert "Actual: Nobody could have sent QUIT." in reason(assert_quit_sent, server)


# assert_no_connection


def test_assert_no_connection(mailauth, reason):
    server = mailauth.smtp()
    assert_no_connection(server)
    with socket.create_connection((server.host, server.port), timeout=5):
        pass
    text = reason(assert_no_connection, server)
    assert "Expected: Nobody connects to this server. Actual: 1 client connected." in text
    with pytest.raises(ConfigError, match="proves nothing with port_state='refused'"):
        assert_no_connection(mailauth.smtp(port_state="refused"))


# assert_handshake_rejected


def test_assert_handshake_rejected(mailauth, reason):
    server = mailauth.imap(security="implicit", certificate="expired")
    with pytest.raises(ssl.SSLError):
        imaplib.IMAP4_SSL(server.host, server.port, ssl_context=server.ssl_context(), timeout=5)
    assert_handshake_rejected(server)
    assert_handshake_rejected(server, "certificate_expired")
    assert_handshake_rejected(server, "certificate-expired")
    text = reason(assert_handshake_rejected, server, "unknown_ca")
    assert "Expected: Every client refuses the TLS handshake with the alert unknown_ca." in text
    assert "Actual: Session 1 ended the handshake as 'client-alert' (certificate_expired)." in text


def test_a_client_that_leaves_after_the_handshake_has_rejected_it(mailauth):
    server = mailauth.smtp(security="implicit", certificate="self-signed")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((server.host, server.port), timeout=5) as plain, context.wrap_socket(plain) as tls:
        assert tls.recv(3) == b"220"
    assert_handshake_rejected(server)


def test_a_client_that_goes_on_has_not_rejected_the_handshake(mailauth, reason):
    server = mailauth.smtp()
    with smtp(server, login=False):
        pass
    assert "Session 1 ended the handshake as 'completed'." in reason(assert_handshake_rejected, server)
    clear = mailauth.smtp()
    with smtp(clear, tls=False, login=False):
        pass
    assert "Actual: Session 1 began no handshake." in reason(assert_handshake_rejected, clear)
    with pytest.raises(ConfigError, match="needs a server with TLS"):
        assert_handshake_rejected(mailauth.smtp(security="none"))


# The record itself.


def test_a_session_can_be_read(mailauth):
    server = mailauth.smtp()
    with smtp(server) as client:
        client.sendmail("app@example.test", ["bob@example.test"], HELLO)
    session = server.sessions[0]
    assert [str(command) for command in session.commands[:3]] == ["EHLO client.test", "STARTTLS", "EHLO client.test"]
    assert session.verbs(Layer.CLEAR) == ("EHLO", "STARTTLS")
    assert session.verbs()[-1] == "QUIT"
    assert session.quit_sent
    assert [fact.recipients for fact in session.stored] == [("bob@example.test",)]
    assert session.auth[0].mechanism == "PLAIN"
    assert session.tls.cipher
    assert not session.tls.client_refused
    assert session.tls.client_hello.server_name == "localhost"


def test_facts_do_not_show_what_may_hold_credentials():
    facts = [
        Command("LOGIN", b"alice hunter2", "A1 LOGIN alice <password>", b"A1"),
        Received(b"A1 LOGIN alice hunter2\r\n"),
        Sent(b"hunter2"),
        Authentication("PLAIN", "alice", Secret("hunter2"), accepted=True),
    ]
    assert [repr(fact) for fact in facts] == [
        "Command(LOGIN alice <password>)",
        "Received(<24 bytes>)",
        "Sent(<7 bytes>)",
        "Authentication(PLAIN, accepted)",
    ]
