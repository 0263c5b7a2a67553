"""What attempts are asked: each assertion passes a good client, fails a bad one, and says why; none passes on nothing."""

from __future__ import annotations

import contextlib
import imaplib
import smtplib
import socket
from dataclasses import replace

import pytest

from pytest_mailauth import (
    Attempt,
    AuthPolicy,
    ClientViolation,
    ConfigError,
    Strength,
    assert_attempts,
    assert_bounded,
    assert_never_weaker,
)
from pytest_mailauth.model.attempts import AttemptOutcome, FirstBytes
from pytest_mailauth.model.canary import find
from pytest_mailauth.model.deviations import Hide
from pytest_mailauth.model.events import Command, Entry, HelloSeen
from pytest_mailauth.model.terms import Layer

IN_CLEAR = AuthPolicy(before_tls=("PLAIN", "LOGIN"), password_commands="always")
HIDDEN = {"auth": IN_CLEAR, "deviations": (Hide(names=("STARTTLS",)),)}
SMTP, IMAP = "smtp.example.test", "imap.example.test"


@pytest.fixture
def net(mailauth_network):
    return mailauth_network


@pytest.fixture
def reason():
    """Call an assertion that has to fail, and return its text on one line."""

    def call(claim, *arguments, **named):
        with pytest.raises(ClientViolation) as caught:
            claim(*arguments, **named)
        assert [entry.name for entry in caught.traceback.filter(caught)] == ["call"]
        return " ".join(str(caught.value).split())

    return call


def connect(port, *, name=SMTP, timeout=5.0):
    with contextlib.suppress(OSError):
        smtplib.SMTP(name, port, timeout=timeout).close()


def submit(net, port, *, tls=True, login=True, name=SMTP):
    """Send by STARTTLS or in clear."""
    with (
        contextlib.suppress(OSError, smtplib.SMTPException),
        smtplib.SMTP(name, port, local_hostname="client.test", timeout=5) as client,
    ):
        if tls:
            client.starttls(context=net.ssl_context())
        if login:
            client.login(net.account.username, net.account.password)
        else:
            client.ehlo()


def submits(net, port, *, name=SMTP, context=None):
    """Send over implicit TLS."""
    with (
        contextlib.suppress(OSError, smtplib.SMTPException),
        smtplib.SMTP_SSL(
            name, port, local_hostname="client.test", timeout=5, context=context or net.ssl_context()
        ) as client,
    ):
        client.login(net.account.username, net.account.password)


# assert_attempts


def test_assert_attempts_takes_ports_names_and_outcomes(net):
    net.host(SMTP).smtp(587)
    net.block(25, how="timeout")
    for port in (25, 465, 587):
        connect(port)
    assert_attempts(net, [25, 465, 587])
    assert_attempts(net, [(SMTP, 25), ("SMTP.example.test.", 465), ("*.example.test", 587)])
    assert_attempts(net, [(SMTP, 25, "timeout"), (SMTP, 465, AttemptOutcome.REFUSED), (SMTP, 587, "connected")])
    assert_attempts(net.attempts[1:], [465, ("127.77.*", 587)])
    assert_attempts(iter(net.attempts), [25, 465, 587])


GOLDEN = """\
assert_attempts: not so
  Expected:    The clients try smtp.example.test:465, smtp.example.test:587 connected, and nothing
               else.
  Actual:      Attempt 2 is smtp.example.test:25 connected, nothing first, said nothing, not
               smtp.example.test:587 connected.
  Compared:
      smtp.example.test:465 refused
    - smtp.example.test:587 connected
    + smtp.example.test:25 connected, nothing first, said nothing
  Transcript:
    S: 220 smtp.example.test ESMTP pytest-mailauth
    -- [client ended the connection: close]
  Next step:   Compare the lines with + and -: the first is where the client tried something else
               than was expected.
  Diagnosis:   Nothing listens on this port of the host. Attempt 1, smtp.example.test:465 refused.
               Verify name and port: 465 or 587 to send, 995 or 110 for POP3, 993 or 143 for IMAP.
               (source document S4, S6, S13, S14)"""


def test_the_text_of_a_difference_to_the_letter(net):
    net.host(SMTP).smtp(25)
    connect(465)
    connect(25)
    net.host(SMTP)[25].drain(5)
    with pytest.raises(ClientViolation) as caught:
        assert_attempts(net, [(SMTP, 465), (SMTP, 587, "connected")])
    assert str(caught.value) == GOLDEN


def test_what_is_missing_and_what_is_too_much(net, reason):
    net.host(SMTP)
    for port in (465, 587):
        connect(port)
    assert "Actual: *:25 never came." in reason(assert_attempts, net, [465, 587, 25])
    text = reason(assert_attempts, net, [465])
    assert "Actual: The list ends before attempt 2, smtp.example.test:587 refused." in text
    assert "Attempt 1 is smtp.example.test:465 refused, not smtp.example.test:465 timeout." in reason(
        assert_attempts, net, [(SMTP, 465, "timeout"), 587]
    )
    assert "not imap.example.test:465" in reason(assert_attempts, net, [(IMAP, 465), 587])


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ([], "assert not network.attempts"),
        ("25", "is no list of attempts"),
        (25, "is no list of attempts"),
        (["25"], "has no port"),
        ([("a.test", "25")], "has no port"),
        ([True], "has no port"),
        ([70000], "has no port"),
        ([("", 25)], "names no host"),
        ([("a.test", 25, "lost")], "outcome='lost' is not known"),
    ],
)
def test_what_is_no_attempt(net, expected, told):
    with pytest.raises(ConfigError, match=told):
        assert_attempts(net, expected)


@pytest.mark.parametrize("claim", [assert_attempts, assert_never_weaker, assert_bounded])
def test_no_claim_holds_about_a_client_that_tried_nothing(net, reason, claim):
    net.host(SMTP).smtp(587)
    arguments = ([587],) if claim is assert_attempts else ()
    assert "Actual: No client tried to connect." in reason(claim, net, *arguments)
    assert "No client tried to connect." in reason(claim, (), *arguments)


def test_a_server_is_no_network(mailauth):
    with pytest.raises(ConfigError, match="assert_bounded needs a network, or a list of its attempts"):
        assert_bounded([mailauth.smtp()])


# assert_never_weaker


def test_one_mode_and_upward_is_never_weaker(net):
    net.host(SMTP).smtp(25).smtp(587).smtps(465)
    submit(net, 25)
    submit(net, 587)
    submit(net, 587)
    submits(net, 465)
    assert [one.strength for one in net.attempts] == [
        Strength.RELAY, Strength.EXPLICIT, Strength.EXPLICIT, Strength.IMPLICIT,
    ]  # fmt: skip
    assert_never_weaker(net)


def test_explicit_tls_after_implicit_is_a_fallback_unless_it_is_allowed(net, reason):
    net.host(SMTP).smtp(587)
    submits(net, 465)
    submit(net, 587)
    text = reason(assert_never_weaker, net)
    assert (
        "Actual: Attempt 2 (smtp.example.test:587) was explicit TLS, after attempt 1 (smtp.example.test:465) was "
        "implicit TLS." in text
    )
    assert "1. smtp.example.test:465 refused 2. smtp.example.test:587 connected, text first, spoke inside TLS" in text
    assert "RFC 8314 section 5.2" in text
    assert "======== TLS 1.3" in text
    assert "allow_explicit=True" in text
    assert find(net.account.password, text.encode()) is None
    assert_never_weaker(net, allow_explicit=True)


def test_leaving_when_starttls_is_not_offered_is_no_use_of_the_weaker_port(net, reason):
    net.host(SMTP).smtp(587, **HIDDEN)
    submits(net, 465)
    submit(net, 587)  # finds no STARTTLS
    assert net.attempts[1].layer is not None
    assert net.attempts[1].credentials is None
    assert_never_weaker(net, allow_explicit=True)
    assert "was explicit TLS" in reason(assert_never_weaker, net)


@pytest.mark.parametrize("allow_explicit", [True, False])
def test_clear_after_tls_is_always_weaker(net, reason, allow_explicit):
    net.host(SMTP).smtp(587, **HIDDEN)
    submits(net, 465)
    submit(net, 587, tls=False)
    text = reason(assert_never_weaker, net, allow_explicit=allow_explicit)
    assert "Attempt 2 (smtp.example.test:587) was in clear, after attempt 1" in text
    assert "Diagnosis: The server was reached, but the client offered its password before TLS." in text


def test_a_second_try_in_clear_on_the_same_port(net, reason):
    net.host(SMTP).smtp(587, auth=IN_CLEAR, certificate="self-signed")
    submit(net, 587)
    submit(net, 587, tls=False)
    text = reason(assert_never_weaker, net, allow_explicit=True)
    assert (
        "Attempt 2 (smtp.example.test:587) was in clear, after attempt 1 (smtp.example.test:587) was explicit" in text
    )


def test_going_on_in_clear_on_the_same_connection(net, reason):
    server = net.host(SMTP).smtp(587, auth=IN_CLEAR)[587]
    server.on("STARTTLS").reply(454, "4.7.0 TLS not available")
    with smtplib.SMTP(SMTP, 587, timeout=5) as client:
        with pytest.raises(smtplib.SMTPResponseException):
            client.starttls(context=net.ssl_context())
        client.login(net.account.username, net.account.password)
    text = reason(assert_never_weaker, net)
    assert "Attempt 1 (smtp.example.test:587) asked for TLS and went on in clear with AUTH PLAIN <initial" in text


def test_a_refusal_of_starttls_alone_is_no_use(net):
    server = net.host(SMTP).smtp(587)[587]
    server.on("STARTTLS").reply(454, "4.7.0 TLS not available")
    submit(net, 587)
    assert_never_weaker(net)


@pytest.mark.parametrize("allow_explicit", [True, False])
@pytest.mark.parametrize("reached", [True, False])
def test_port_25_stands_for_less_than_587(net, reason, reached, allow_explicit):
    host = net.host(SMTP)
    if reached:
        host.smtp(25)
    connect(587)
    submit(net, 25)
    text = reason(assert_never_weaker, net, allow_explicit=allow_explicit)
    assert "Attempt 2 (smtp.example.test:25) was explicit TLS on port 25, which is for relaying, after" in text


def test_993_to_143_is_seen_even_if_the_port_is_closed(net, reason):
    net.host(IMAP)
    for client, port in ((imaplib.IMAP4_SSL, 993), (imaplib.IMAP4, 143)):
        with contextlib.suppress(OSError):
            client(IMAP, port, timeout=5)
    assert "Attempt 2 (imap.example.test:143) was explicit TLS, after" in reason(assert_never_weaker, net)
    assert_never_weaker(net, allow_explicit=True)


def test_another_name_is_no_way_out_and_another_protocol_is_none(net, reason):
    net.host(IMAP).imap(143)
    net.host(SMTP).smtps(465)
    net.host("mail.example.test").smtp(587)
    submits(net, 465)
    client = imaplib.IMAP4(IMAP, 143, timeout=5)
    client.starttls(net.ssl_context())
    client.logout()
    assert_never_weaker(net)
    submit(net, 587, name="mail.example.test")
    assert "Attempt 3 (mail.example.test:587) was explicit TLS" in reason(assert_never_weaker, net)
    assert_never_weaker([one for one in net.attempts if one.name == "mail.example.test"])


def test_a_port_of_its_own_is_judged_by_what_was_done_there(net, reason):
    net.host(SMTP).smtps(2465).smtp(2525, security="none", auth=IN_CLEAR)
    submits(net, 2465)
    submit(net, 2525, tls=False)
    assert "Attempt 2 (smtp.example.test:2525) was in clear, after" in reason(assert_never_weaker, net)


def test_an_attempt_that_tells_nothing_proves_nothing(net, reason):
    net.host(SMTP)
    connect(2525)
    assert net.attempts[0].strength is None
    text = reason(assert_never_weaker, net)
    assert "Actual: No attempt shows how strong it was meant to be." in text


def test_a_password_in_any_words_counts_as_clear(net):
    net.host(SMTP).smtp(587)
    with socket.create_connection((SMTP, 587), timeout=5) as sock:
        sock.recv(999)
        sock.sendall(f"NOOP {net.account.password}\r\n".encode())
        sock.recv(999)
    assert net.attempts[0].strength is Strength.CLEAR


def test_mail_without_a_login_counts_as_clear(net, reason):
    net.host(SMTP).smtp(587)
    submits(net, 465)
    with smtplib.SMTP(SMTP, 587, timeout=5) as client:
        client.ehlo()
        client.docmd("MAIL", "FROM:<app@example.test>")
    assert "Attempt 2 (smtp.example.test:587) was in clear" in reason(assert_never_weaker, net, allow_explicit=True)


def test_going_on_in_clear_after_a_handshake_that_no_command_announced(net, reason):
    net.host(SMTP).smtp(587)
    submit(net, 587)
    (attempt,) = net.attempts
    hello = next(x for x in attempt.session.entries if isinstance(x.fact, HelloSeen))
    mail = Entry(hello.at, Layer.CLEAR, Command("MAIL", b"FROM:<>", "MAIL FROM:<>"))
    turned = replace(attempt, session=replace(attempt.session, entries=(hello, mail)))
    assert "asked for TLS and went on in clear with MAIL FROM:<>" in reason(assert_never_weaker, [turned])


def test_a_client_hello_where_a_command_belongs_is_tls_first(net):
    net.host(SMTP).smtp(587)
    submits(net, 587)
    (attempt,) = net.attempts
    assert attempt.first is FirstBytes.TLS
    assert attempt.strength is Strength.IMPLICIT


def test_a_failed_handshake_is_still_implicit_tls(net, reason):
    net.host(SMTP).smtps(465, certificate="expired").smtp(587)
    submits(net, 465)
    submit(net, 587)
    assert "after attempt 1 (smtp.example.test:465) was implicit TLS" in reason(assert_never_weaker, net)


# assert_bounded


def test_assert_bounded(net, reason):
    net.host(SMTP).smtp(587)
    connect(587, timeout=30)
    net.block(25)
    connect(25, timeout=30)
    assert_bounded(net)
    assert_bounded(net, 30)
    assert_bounded(net, limit=60.0)
    text = reason(assert_bounded, net, 10)
    assert "Expected: Every client that connects has a time-out of at most 10 s." in text
    assert "Actual: Attempt 1 (smtp.example.test:587) had one of 30 s." in text
    assert "RFC 5321 section 4.5.3.2" in text


def test_a_client_without_a_time_out_is_unbounded(net, reason):
    net.block(SMTP, 25)
    connect(25, timeout=5)
    connect(25, timeout=socket.getdefaulttimeout())
    text = reason(assert_bounded, net)
    assert "Attempt 2 (smtp.example.test:25) had none, and would have waited as long as the system does." in text
    assert "Diagnosis: Nothing answered on port 25: your provider may block it." in text
    assert "Also: The client set no time-out" in text


def test_a_port_that_answers_does_not_show_whether_a_client_would_have_waited(net, reason):
    net.host(SMTP).smtp(587)
    connect(587, timeout=socket.getdefaulttimeout())
    assert "Actual: No attempt shows a time-out; let the client meet" in reason(assert_bounded, net)


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_is_a_time(net, limit):
    with pytest.raises(ConfigError, match="limit="):
        assert_bounded(net, limit)


def test_a_port_decides_about_the_protocol_of_an_attempt_that_nobody_answered():
    one = Attempt(number=1, name=SMTP, address="", port=995, outcome=AttemptOutcome.REFUSED, at=0.0)
    assert (one.service, one.strength) == ("pop3", Strength.IMPLICIT)
    assert (replace(one, port=2525).service, replace(one, port=2525).strength) == (None, None)
