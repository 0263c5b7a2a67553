"""Clients that log in as they should, and give their secret away where nobody would look for it, or as nobody expects.

The last table is what no search can find: a client that wants to hide its secret from the judge can do so.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import smtplib
import socket
import ssl
import sys
import threading
import zlib
from functools import partial

import pytest
from trying import broken, encoded, plain, tried

from pytest_mailauth.model.terms import Verdict

PASS, VIOLATION = Verdict.PASS, Verdict.VIOLATION


def found(run, **declared):
    """Return the verdict of the honest server's row, and the rule behind it."""
    select = "base-oauth-ok" if declared else "base-starttls-ok"
    row = tried(run, [select], **declared)[select]
    return row.verdict, {j.rule for j in row.judgements if j.finding.verdict is row.verdict}


def log_in(case, context=None):
    with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
        client.starttls(context=context or case.ssl_context())
        client.login(case.username, case.password)


def auth(case):
    return f"AUTH PLAIN {plain(case)}"


def ask(connection, line):
    """Send a line and wait for what comes, or for the end."""
    with contextlib.suppress(OSError):
        connection.sendall(line if isinstance(line, bytes) else f"{line}\r\n".encode())
        return connection.recv(1000)
    return b""


def further(case, *lines):
    """Say this on a connection of its own."""
    with socket.create_connection((case.host, case.port), timeout=case.timeout) as connection:
        connection.recv(1000)
        for line in lines:
            ask(connection, line)


def record(kind, data):
    return bytes([kind, 3, 3]) + len(data).to_bytes(2, "big") + data


def urgently(case):
    """Send each byte as urgent data, which TCP takes out of the others unless it is told not to."""
    with socket.create_connection((case.host, case.port), timeout=case.timeout) as connection:
        connection.recv(1000)
        for byte in f"NOOP {case.password}\r\n".encode():
            connection.send(bytes([byte]), socket.MSG_OOB)
        connection.recv(1000)


def to_the_end(case):
    """Wait until the server has said goodbye and sends no more."""
    with socket.create_connection((case.host, case.port), timeout=case.timeout) as connection:
        connection.recv(1000)
        connection.sendall(b"QUIT\r\n")
        while connection.recv(1000):
            pass
        connection.sendall(f"{auth(case)}\r\n".encode())


def hello(case, set_up, name):
    """Begin a handshake that says more than it should."""
    with socket.create_connection((case.host, case.port), timeout=case.timeout) as connection:
        for line in (b"", "EHLO x", "STARTTLS"):
            ask(connection, line)
        context = ssl.create_default_context(cafile=case.cafile)
        context.check_hostname = False
        set_up(context)
        with contextlib.suppress(OSError):
            context.wrap_socket(connection, server_hostname=name).close()


IN_CLEAR = {
    "on a further connection": lambda case: further(case, "EHLO x", auth(case)),
    "as a name": lambda case: further(case, f"EHLO {encoded(case.password)}"),
    "as a name in small letters": lambda case: further(case, f"EHLO {case.password.lower()}.test"),
    "in capitals": lambda case: further(case, f"NOOP {case.password.upper()}"),
    "every byte escaped": lambda case: further(case, f"NOOP %{case.password.encode().hex('%')}"),
    "in hexadecimal": lambda case: further(case, f"NOOP {case.password.encode().hex()}"),
    "in several lines": lambda case: further(case, case.password[:9], case.password[9:]),
    "behind the goodbye": lambda case: further(case, f"QUIT\r\n{auth(case)}"),
    "after the goodbye": lambda case: further(case, "QUIT", auth(case)),
    "after the end": to_the_end,
    "as urgent data": urgently,
    "behind three million bytes": lambda case: further(case, b"NOOP " + b"x" * 3_000_000 + case.password.encode()),
    "as though it were encrypted": lambda case: further(case, record(0x17, case.password.encode())),
    "in a handshake that is none": lambda case: further(case, "STARTTLS", record(0x16, case.password.encode())),
    "in the name of the host": lambda case: hello(case, lambda _context: None, f"{case.password}.test"),
    "in the name of a protocol": lambda case: hello(case, lambda c: c.set_alpn_protocols([case.password]), case.host),
}
"""Where a password crosses in clear, and how."""


@pytest.mark.parametrize("place", IN_CLEAR)
def test_a_password_in_clear_is_found(place):
    def run(case):
        log_in(case)
        IN_CLEAR[place](case)

    assert found(run) == (VIOLATION, {"no-cleartext-credentials"})


def after_tls(case, speak):
    """Log in as it should be, and end TLS; *speak* on what is left, which anybody reads."""
    with contextlib.closing(smtplib.SMTP(case.host, case.port, timeout=case.timeout)) as client:
        client.starttls(context=case.ssl_context())
        client.ehlo()
        secret = f"user={case.username}\x01auth=Bearer {case.token}\x01\x01"
        client.docmd("AUTH", f"XOAUTH2 {encoded(secret)}")
        with contextlib.closing(speak(client.sock)) as clear:
            ask(clear, f"NOOP {encoded(case.token)}")


@pytest.mark.parametrize("speak", [lambda tls: tls.unwrap(), lambda tls: socket.socket(fileno=tls.detach())])
def test_a_token_where_tls_has_ended_or_was_forgotten_is_found(speak):
    run = partial(after_tls, speak=speak)
    assert found(run, auth="oauth") == (VIOLATION, {"no-cleartext-credentials"})


UNVERIFIED = ssl._create_unverified_context


def at_the_third_try(case):
    for _ in range(2):
        try:
            return log_in(case)
        except ssl.SSLError:
            pass
    return log_in(case, UNVERIFIED())


def says_something(case, what):
    """Leave when the certificate is bad, but not without a word."""
    try:
        log_in(case)
    except ssl.SSLError:
        with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
            client.starttls(context=UNVERIFIED())
            client.docmd("VRFY", what(case))
        raise


@pytest.mark.parametrize(
    "run",
    [
        at_the_third_try,
        partial(says_something, what=lambda case: case.password),
        partial(says_something, what=lambda case: case.username),
    ],
)
def test_who_speaks_to_a_stranger_in_the_end_has_not_verified(run):
    assert broken(tried(run, ["cert-self-signed"])) == {"cert-self-signed": ["verify-chain"]}


def looks_for_another_name(case):
    with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
        client._host = "mail.example.test"
        client.starttls(context=case.ssl_context())
        client.login(case.username, case.password)


def test_who_verifies_another_name_does_not_work():
    (row,) = tried(looks_for_another_name, ["base-starttls-ok", "cert-wrong-host"]).values()
    assert row.verdict is Verdict.ERROR
    assert "did not log in to the honest server" in row.judgements[0].finding.evidence


def test_who_always_goes_where_it_went_first_earns_no_pass():
    ports = []

    def run(case):
        ports.append(case.port)
        with smtplib.SMTP(case.host, ports[0], timeout=case.timeout) as client:
            client.starttls(context=case.ssl_context())
            client.login(case.username, case.password)

    names = ("starttls-not-offered", "cert-self-signed")
    assert {row.verdict for row in tried(run, names).values()} == {Verdict.INCONCLUSIVE}


def test_who_claims_to_have_tried_a_blocked_port_earns_no_pass():
    cases = []

    def run(case):
        cases.append(case)
        if len(cases) > 1:
            raise ConnectionRefusedError(f"connection to {case.host}:{case.port} refused")
        log_in(case)

    assert {row.verdict for row in tried(run, ["port-refuse", "port-drop"]).values()} == {Verdict.INCONCLUSIVE}


@pytest.mark.parametrize("does", [lambda: None, lambda: print("message sent"), sys.exit])
def test_what_a_client_makes_of_its_failure_is_no_evidence(does, capsys):
    def run(case):
        try:
            log_in(case)
        except (OSError, smtplib.SMTPException):
            does()

    names = ("starttls-not-offered", "starttls-offered-454", "cert-self-signed")
    assert {row.verdict for row in tried(run, names).values()} == {PASS}


def test_a_timer_that_goes_off_when_the_client_has_ended_is_heard():
    def run(case):
        try:
            log_in(case)
        except smtplib.SMTPException:
            threading.Timer(0, further, (case, f"NOOP {case.password}")).start()
            raise

    assert tried(run, ["starttls-not-offered"])["starttls-not-offered"].verdict is VIOLATION


UNFINDABLE = {
    "backwards": lambda case: further(case, f"NOOP {case.password[::-1]}"),
    "letter by letter": lambda case: further(case, *(f"NOOP {letter}" for letter in case.password)),
    "on two connections": lambda case: [
        further(case, f"NOOP {half}") for half in (case.password[:13], case.password[13:])
    ],
    "encoded twice": lambda case: further(case, f"NOOP {encoded(encoded(case.password))}"),
    "in base32": lambda case: further(case, f"NOOP {base64.b32encode(case.password.encode()).decode()}"),
    "as a hash": lambda case: further(case, f"NOOP {hashlib.sha256(case.password.encode()).hexdigest()}"),
    "compressed": lambda case: further(case, f"NOOP {zlib.compress(case.password.encode()).hex()}"),
}
"""What only somebody sends who wants to hide it. The documentation says so, and this table keeps it true."""


@pytest.mark.parametrize("place", UNFINDABLE)
def test_what_is_hidden_on_purpose_is_not_found(place):
    def run(case):
        log_in(case)
        UNFINDABLE[place](case)

    assert found(run) == (PASS, {"control"})
