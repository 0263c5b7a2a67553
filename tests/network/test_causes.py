"""Every cause is named for a client that has it, met for real where that is possible, and for no near miss.

Each row is one situation with the causes that it has, all of them and in order: so it is a near miss of all others.
"""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import smtplib
import socket
import ssl
from dataclasses import replace

import pytest

from pytest_mailauth import AuthPolicy, RelayPolicy, TLSPolicy, diagnose, explain
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Account, find
from pytest_mailauth.model.causes.network import OBSTACLES
from pytest_mailauth.model.deviations import Greet, Hide
from pytest_mailauth.model.diagnosis import CAUSES, NOBODY, NOTHING_KNOWN
from pytest_mailauth.model.diagnosis import diagnose as diagnose_records
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.record import SessionRecord
from pytest_mailauth.model.terms import Layer, Protocol, Security

IN_CLEAR = AuthPolicy(before_tls=("PLAIN", "LOGIN"), password_commands="always")
FAILURES = (OSError, smtplib.SMTPException, imaplib.IMAP4.error, poplib.error_proto)
BOB = "bob@example.test"
WRONG = "Not-The-Password-1"


def submit(server, *, tls=True, login=True, user=None, password=None, to=(), context=None, body="Hello"):
    """Log in with smtplib and send a message, as far as it gets."""
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        if tls:
            client.starttls(context=context or server.ssl_context())
        if login:
            client.login(user or server.account.username, password or server.account.password)
        if to:
            client.sendmail("app@example.test", to, f"To: {BOB}\r\n\r\n{body}")


def smtp(**how):
    return lambda server: submit(server, **how)


def smtps(server):
    smtplib.SMTP_SSL(server.host, server.port, timeout=5, context=server.ssl_context()).quit()


def imap(server, *, tls=True, login=True, mailbox="INBOX"):
    with imaplib.IMAP4(server.host, server.port, timeout=5) as client:
        if tls:
            client.starttls(server.ssl_context())
        if login:
            client.login(server.account.username, server.account.password)
            client.select(mailbox)


def pop3(server, *, password=None):
    client = poplib.POP3(server.host, server.port, timeout=5)
    client.stls(server.ssl_context())
    with contextlib.closing(client):
        client.user(server.account.username)
        client.pass_(password or server.account.password)
        client.quit()


def token(server):
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        client.starttls(context=server.ssl_context())
        client.ehlo()
        client.auth("XOAUTH2", lambda _challenge=None: f"user={server.account.username}\1auth=Bearer stale\1\1")


def unverified(server):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    submit(server, context=context)


def limited(**limits):
    def run(server):
        context = server.ssl_context()
        for name, value in limits.items():
            if name == "set_ciphers":
                context.set_ciphers(value)
            else:
                setattr(context, name, value)
        submit(server, context=context)

    return run


def raw(*lines, greeted=True):
    """Say lines one after another, each after something was answered; the last one is answered, or the end."""

    def run(server):
        with socket.create_connection((server.host, server.port), timeout=5) as sock:
            if greeted:
                sock.recv(999)
            for line in lines:
                sock.sendall(line)
                sock.recv(999)

    return run


def second_try(server):
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        client.starttls(context=server.ssl_context())
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(server.account.username, WRONG)
        client.login(server.account.username, server.account.password)


def waits(server):
    with socket.create_connection((server.host, server.port), timeout=0.1) as sock, pytest.raises(TimeoutError):
        sock.recv(1)


def leaves_after_the_hello(server):
    context = server.ssl_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=server.host)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    with socket.create_connection((server.host, server.port), timeout=5) as sock:
        sock.sendall(outgoing.read())
        assert sock.recv(9999)


def leaves_after_the_handshake(server):
    context = server.ssl_context()
    with (
        socket.create_connection((server.host, server.port), timeout=5) as sock,
        context.wrap_socket(sock, server_hostname=server.host) as tls,
    ):
        assert tls.recv(999)


def twice(run):
    def both(server):
        for _ in range(2):
            with contextlib.suppress(*FAILURES):
                run(server)

    return both


SITUATIONS = {
    "password before TLS": (
        ("password-before-tls",), {"auth": IN_CLEAR}, smtp(tls=False)),
    "password before TLS, refused": (
        ("password-before-tls",), {"protocol": "imap"}, lambda server: imap(server, tls=False)),
    "password where TLS belongs": (
        ("password-before-tls", "text-where-tls-belongs"), {"security": "implicit"},
        raw(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n", greeted=False)),
    "login begun before TLS": (
        ("login-before-tls",), {"auth": IN_CLEAR}, raw(b"EHLO client.test\r\n", b"AUTH LOGIN\r\n", b"*\r\n", b"QUIT\r\n")),
    "mail before TLS": (
        ("work-before-tls",), {}, smtp(tls=False, login=False, to=[BOB])),
    "TLS where STARTTLS belongs": (
        ("tls-where-starttls-belongs",), {}, smtps),
    "TLS where there is none": (
        ("tls-where-starttls-belongs",), {"security": "none"}, smtps),
    "text where TLS belongs": (
        ("text-where-tls-belongs",), {"security": "implicit"}, raw(b"EHLO client.test\r\n", greeted=False)),
    "waits where TLS belongs": (
        ("waited-where-tls-belongs",), {"protocol": "imap", "security": "implicit"}, waits),
    "554 instead of a greeting": (
        ("turned-away",), {"deviations": (Greet(data=b"554 5.7.1 no service\r\n"),)}, smtp()),
    "BYE instead of a greeting": (
        ("turned-away",), {"protocol": "imap", "deviations": (Greet(data=b"* BYE no service\r\n"),)}, imap),
    "a box that answers in the place of the server": (
        ("turned-away",), {"port_state": "banner"}, smtp()),
    "a box that answers in clear where TLS belongs": (
        ("turned-away",), {"port_state": "banner", "security": "implicit"}, smtps),
    "a forced relay": (
        ("intercepted", "certificate-refused"), {"port_state": "intercepted"}, smtp()),
    "a forced relay without TLS": (
        ("intercepted", "starttls-not-offered"), {"port_state": "intercepted-no-tls"}, smtp()),
    "a handshake that is reset": (
        ("handshake-broken-off",), {"port_state": "handshake-reset"}, smtp()),
    "a handshake that is cut": (
        ("handshake-broken-off",), {"port_state": "handshake-close", "security": "implicit"}, smtps),
    "a slow server": (
        (NOTHING_KNOWN,), {"port_state": "slow"}, smtp(login=False)),
    "a port that accepts and is silent": (
        ("no-greeting",), {"port_state": "silent"}, waits),
    "a port that resets": (
        ("no-greeting",), {"port_state": "reset"}, smtp()),
    "a port for TLS that resets": (
        ("no-greeting",), {"port_state": "reset", "security": "implicit"}, smtps),
    "an unknown issuer": (
        ("certificate-untrusted",), {"certificate": "self-signed"}, smtp()),
    "an expired certificate": (
        ("certificate-expired",), {"certificate": "expired"}, smtp()),
    "a certificate for another name": (
        ("certificate-for-another-name",), {"certificate": "wrong-host"}, smtp()),
    "a certificate with another fault": (
        ("certificate-refused",), {"certificate": "not-yet-valid"}, smtp()),
    "a certificate that was not verified": (
        ("certificate-not-verified",), {"certificate": "wrong-host"}, unverified),
    "TLS 1.1": (
        ("old-tls",), {"tls": TLSPolicy(max_version="1.1")}, unverified),
    "no common version": (
        ("tls-version",), {"tls": TLSPolicy(min_version="1.3")},
        limited(maximum_version=ssl.TLSVersion.TLSv1_2)),
    "a version that the client refuses": (
        ("tls-version",), {"tls": TLSPolicy(max_version="1.1")}, limited(minimum_version=ssl.TLSVersion.TLSv1_2)),
    "no common cipher suite": (
        ("cipher-suite",), {"tls": TLSPolicy(max_version="1.2", ciphers="ECDHE+CHACHA20")},
        limited(set_ciphers="ECDHE+AESGCM", maximum_version=ssl.TLSVersion.TLSv1_2)),
    "no client certificate": (
        ("handshake-refused",), {"tls": TLSPolicy(max_version="1.2", client_certificate="required")}, smtp()),
    "no TLS after STARTTLS": (
        ("no-tls-after-starttls",), {}, raw(b"EHLO client.test\r\n", b"STARTTLS\r\n", b"NOOP\r\n")),
    "left during the handshake": (
        ("left-during-handshake",), {"security": "implicit"}, leaves_after_the_hello),
    "left after the handshake": (
        ("left-after-handshake",), {"security": "implicit"}, leaves_after_the_handshake),
    "STARTTLS refused": (
        ("starttls-refused",), {"on": ("STARTTLS", 454, "4.7.0 TLS not available")}, smtp()),
    "STARTTLS not offered": (
        ("starttls-not-offered",), {"deviations": (Hide(names=("STARTTLS",)),)}, smtp()),
    "STARTTLS not used": (
        ("starttls-not-used",), {}, smtp(tls=False)),
    "only tokens are offered": (
        ("oauth-required",), {"auth": AuthPolicy(mechanisms=("XOAUTH2",))}, smtp()),
    "less secure apps are off": (
        ("oauth-required",), {"auth": AuthPolicy(less_secure_apps=False)}, smtp()),
    "an account that is locked": (
        ("account-locked", "wrong-password"), {"auth": AuthPolicy(lockout=1, mechanisms=("PLAIN",))},
        twice(smtp(password=WRONG))),
    "too many tries": (
        ("too-many-tries", "wrong-password"), {"auth": AuthPolicy(rate_limit=(1, 60.0), mechanisms=("PLAIN",))},
        twice(smtp(password=WRONG))),
    "TLS wanted for a login": (
        ("tls-needed", "password-without-tls"), {"protocol": "imap", "security": "none"},
        lambda server: imap(server, tls=False)),
    "a new password is wanted": (
        ("password-transition",), {"auth": AuthPolicy(reject="transition", mechanisms=("PLAIN",))}, smtp()),
    "the server cannot check": (
        ("cannot-check-now",), {"auth": AuthPolicy(reject="temporary", mechanisms=("PLAIN",))}, smtp()),
    "a mechanism that is too weak": (
        ("mechanism-refused",), {"auth": AuthPolicy(mechanisms=("PLAIN",), too_weak=("PLAIN",))}, smtp()),
    "a mechanism that is not offered": (
        ("mechanism-refused",), {"security": "none"}, raw(b"EHLO client.test\r\n", b"AUTH GSSAPI\r\n", b"QUIT\r\n")),
    "a stale token": (
        ("token-refused",), {"auth": AuthPolicy(mechanisms=("XOAUTH2",), error_challenge=False)}, token),
    "the right password is refused": (
        ("right-and-refused",), {"auth": AuthPolicy(reject="invalid", mechanisms=("PLAIN",))}, smtp()),
    "a wrong password": (
        ("wrong-password",), {}, smtp(password=WRONG)),
    "a wrong password that was mended": (
        ("command-refused",), {}, second_try),
    "a wrong user name": (
        ("wrong-password",), {}, smtp(user="nobody", password=WRONG)),
    "a wrong password over POP3": (
        ("wrong-password",), {"protocol": "pop3"}, lambda server: pop3(server, password=WRONG)),
    "greylisting": (
        ("greylisted",), {"relay": RelayPolicy(greylist=1)}, smtp(to=[BOB])),
    "relaying without a login": (
        ("relaying-denied",), {}, smtp(login=False, to=["bob@example.org"])),
    "mail without a login": (
        ("relaying-denied",), {"relay": RelayPolicy(login_first=True)}, smtp(login=False, to=[BOB])),
    "no recipient is known": (
        ("no-valid-recipients",), {"relay": RelayPolicy(known_recipients=())}, smtp(to=[BOB, "eve@example.test"])),
    "one recipient is not known": (
        ("recipient-refused",), {"relay": RelayPolicy(known_recipients=(BOB,))}, smtp(to=[BOB, "eve@example.test"])),
    "more recipients than it takes": (
        ("too-many-recipients",), {"relay": RelayPolicy(max_recipients=1)}, smtp(to=[BOB, "eve@example.test"])),
    "a message that is too large": (
        ("message-too-large",), {"relay": RelayPolicy(max_size=100)}, smtp(to=[BOB], body="x" * 200)),
    "a line that is no command": (
        ("not-understood",), {"security": "none"}, raw(b"\x00\x01\x02 what\r\n", b"QUIT\r\n")),
    "a mailbox that does not exist": (
        ("command-refused",), {"protocol": "imap"}, lambda server: imap(server, mailbox="Nowhere")),
    "a password without TLS, as the server wants it": (
        ("password-without-tls",), {"security": "none", "auth": IN_CLEAR}, smtp(tls=False, to=[BOB])),
    "an honest SMTP client": (
        (NOTHING_KNOWN,), {}, smtp(to=["bob@example.org"])),
    "an honest IMAP client": (
        (NOTHING_KNOWN,), {"protocol": "imap"}, imap),
    "an honest POP3 client": (
        (NOTHING_KNOWN,), {"protocol": "pop3"}, pop3),
    "a client with implicit TLS": (
        (NOTHING_KNOWN,), {"security": "implicit"}, smtps),
    "a client without secrets and without TLS": (
        (NOTHING_KNOWN,), {"security": "none"}, smtp(tls=False, login=False, to=[BOB])),
    "nobody": (
        (NOBODY,), {}, lambda _server: None),
    "a port that refuses": (
        ("port-refused",), {"port_state": "refused"}, smtp()),
    "a port that never answers": (
        ("port-blocked",), {"port_state": "timeout"}, lambda _server: None),
}  # fmt: skip
"""What happens: the causes it has, the settings of the server, and the client."""


def met(mailauth, settings, client):
    settings = dict(settings)
    make = getattr(mailauth, settings.pop("protocol", "smtp"))
    on = settings.pop("on", None)
    server = make(**settings)
    if on is not None:
        server.on(on[0]).reply(*on[1:])
    with contextlib.suppress(*FAILURES):
        client(server)
    server.drain(5)
    return server


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", SITUATIONS)
def test_a_client_gets_its_causes_and_no_other(mailauth, name):
    causes, settings, client = SITUATIONS[name]
    server = met(mailauth, settings, client)
    assert tuple(one.name for one in diagnose(server)) == causes, server.transcript()
    assert find(server.account.password, explain(server).encode()) is None
    assert WRONG not in explain(server)


CLEAR, ACCOUNT = Layer.CLEAR, Account.fresh()
HELLO = ClientHello.__new__(ClientHello)
CUT = e.Closed("server", "reset")


def recorded(*facts, security=Security.STARTTLS):
    entries = tuple(e.Entry(float(at), CLEAR, fact) for at, fact in enumerate(facts))
    return SessionRecord(1, Protocol.SMTP, security, "main", entries, (ACCOUNT,))


RECORDED = {
    "server-failed": (
        recorded(e.Failed("Traceback\nValueError: oops")), recorded(e.Sent(b"220 ready\r\n"), e.Closed("client", "close"))),
    "handshake-broken-off": (
        recorded(e.Sent(b"220 ready\r\n"), e.Command("STARTTLS", b"", "STARTTLS"), e.HelloSeen(HELLO), CUT),
        recorded(e.Sent(b"220 ready\r\n"), e.Command("STARTTLS", b"", "STARTTLS"), e.HelloSeen(HELLO),
                 e.Closed("client", "reset"))),
    "client-hung": (
        recorded(e.Sent(b"220 ready\r\n"), e.Overdue(), CUT),
        recorded(e.Sent(b"220 ready\r\n"), CUT)),
}  # fmt: skip
"""Causes that no client can bring about by itself: a record that has each, and a near miss."""


@pytest.mark.parametrize("name", RECORDED)
def test_a_record_gets_its_cause_and_a_near_miss_does_not(name):
    has, misses = RECORDED[name]
    assert [one.name for one in diagnose_records([has])] == [name]
    assert name not in [one.name for one in diagnose_records([misses])]


def connect(network, port, *, name="smtp.example.test", timeout=5.0):
    with contextlib.suppress(OSError):
        smtplib.SMTP(name, port, timeout=timeout).close()


ATTEMPTED = {
    "a blocked port 25": (("port-25-blocked",), lambda net: (net.block(25), connect(net, 25))),
    "a blocked port 587": (("port-blocked",), lambda net: (net.block(587), connect(net, 587))),
    "no time-out": (
        ("port-25-blocked", "no-time-out"),
        lambda net: (net.block(25), connect(net, 25, timeout=socket.getdefaulttimeout())),
    ),
    "a refused port 25": (("port-25-refused",), lambda net: (net.host("smtp.example.test"), connect(net, 25))),
    "a refused port": (("port-refused",), lambda net: (net.host("smtp.example.test"), connect(net, 2525))),
    "an unknown name": (("unknown-name",), lambda net: connect(net, 587, name="gone.example.test")),
}


@pytest.mark.parametrize("name", ATTEMPTED)
def test_an_attempt_gets_its_causes_and_no_other(mailauth_network, name):
    causes, client = ATTEMPTED[name]
    mailauth_network.host("smtp.example.test")
    client(mailauth_network)
    assert tuple(one.name for one in diagnose(mailauth_network)) == causes


@pytest.mark.parametrize("outcome", ["left-loopback", "unreachable"])
def test_what_a_network_of_a_test_keeps_a_client_from(mailauth_network, outcome):
    mailauth_network.host("smtp.example.test")
    connect(mailauth_network, 2525)
    (attempt,) = mailauth_network.attempts
    found = {"left-loopback": "left-loopback", "unreachable": "no-way-there"}[outcome]
    assert [one.name for one in diagnose(replace(attempt, outcome=type(attempt.outcome)(outcome)))] == [found]


def test_every_cause_has_a_client():
    shown = {cause for causes, *_ in (*SITUATIONS.values(), *ATTEMPTED.values()) for cause in causes}
    shown |= {*RECORDED, "left-loopback", "no-way-there"}
    assert shown - {NOTHING_KNOWN, NOBODY} == {row.name for row in (*CAUSES, *OBSTACLES)}


def test_names_are_used_once():
    names = [row.name for row in (*CAUSES, *OBSTACLES)]
    assert len(names) == len(set(names))


def test_the_most_telling_comes_first_and_the_way_there_last(mailauth_network):
    mailauth_network.host("smtp.example.test").smtp(587)
    mailauth_network.block(25)
    connect(mailauth_network, 25)
    with smtplib.SMTP("smtp.example.test", 587, timeout=5) as client:
        client.starttls(context=mailauth_network.ssl_context())
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("nobody", WRONG)
    first, second = diagnose(mailauth_network)
    assert (first.name, second.name) == ("wrong-password", "port-25-blocked")
    assert first.evidence.startswith("attempt 2 (smtp.example.test:587): AUTH PLAIN <initial response of")
    assert second.evidence == "attempt 1, smtp.example.test:25 timeout after 5 s"


def test_the_same_cause_in_many_sessions_is_told_once(mailauth):
    server = mailauth.smtp(security="implicit")
    for _ in range(6):
        raw(b"EHLO client.test\r\n", greeted=False)(server)
    (one,) = diagnose(server)
    assert one.evidence == (
        "session 1: EHLO client.test came in clear; the same in session 2, session 3, session 4 and 2 more"
    )


@pytest.mark.parametrize("before", [*range(60, 110, 3)])
def test_a_reply_with_a_password_is_cleaned_before_it_is_cut(mailauth, before):
    server = mailauth.smtp()
    server.on("NOOP").reply(550, f"5.7.1 {'x' * before}{server.account.password} is too simple")
    with smtplib.SMTP(server.host, server.port, timeout=5) as client:
        client.starttls(context=server.ssl_context())
        client.noop()
    text = explain(server, width=10_000)
    assert "NOOP was answered with 550 5.7.1 xxx" in text
    assert server.account.password[:4] not in text


def test_what_one_session_presented_is_hidden_in_another(mailauth):
    server = mailauth.smtp()
    with contextlib.suppress(smtplib.SMTPAuthenticationError):
        submit(server, password=WRONG)
    server.on("NOOP").reply(550, f"5.7.1 {WRONG} is no password")
    with smtplib.SMTP(server.host, server.port, timeout=5) as client:
        client.starttls(context=server.ssl_context())
        client.noop()
    assert "5.7.1 <secret> is no password" in explain(server, width=10_000)
    assert WRONG not in explain(server.sessions, width=10_000)
