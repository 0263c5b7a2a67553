"""Clients that send more than STARTTLS in one write, each in its own way; what is no secret and what is one."""

from __future__ import annotations

import pytest
from clients.failures import ConnectionFailed
from clients.wire import Wire
from trying import broken, encoded, plain, tried

from pytest_mailauth.model.terms import Protocol, Security, Verdict

ROWS = ("starttls-reply-withheld", "client-pipelines-after-starttls", "auth-pipelined-with-starttls")
RULE = "nothing-between-starttls-and-tls"
STARTTLS = {Protocol.SMTP: "STARTTLS", Protocol.POP3: "STLS", Protocol.IMAP: "a2 STARTTLS"}
ASK = {Protocol.SMTP: "EHLO x", Protocol.POP3: "CAPA", Protocol.IMAP: "a1 CAPABILITY"}
LAST = {Protocol.SMTP: "250 ", Protocol.POP3: ".", Protocol.IMAP: "a1 OK"}
BEGUN = {Protocol.SMTP: "AUTH LOGIN", Protocol.POP3: "USER somebody", Protocol.IMAP: "a3 AUTHENTICATE LOGIN"}


def judged(protocol, rider, *, lag=False, before=False):
    """Return the rows of a client that takes *rider* along with STARTTLS, or sends it while it waits, and logs in then."""

    def run(case):
        with Wire(case.host, case.port, timeout=case.timeout) as wire:
            wire.read_line()
            if before:
                wire.rider = STARTTLS[protocol]
            wire.send_line(ASK[protocol])
            while not wire.read_line().startswith(LAST[protocol]):
                pass
            if not before:
                wire.rider = "" if lag else rider(case)
                wire.send_line(STARTTLS[protocol])
            if not (lag and _waits_in_vain(wire, case)):
                wire.read_line()
            else:
                wire.send_line(rider(case))
                wire.read_line()
            wire.forget_unread()
            wire.start_tls(case.ssl_context())
            log_in(wire, case)

    def log_in(wire, case):
        secret = plain(case)
        wire.send_line(ASK[protocol])
        while not wire.read_line().startswith(LAST[protocol]):
            pass
        wire.send_line(
            f"a9 LOGIN {case.username} {case.password}" if protocol is Protocol.IMAP else f"AUTH PLAIN {secret}"
        )
        wire.read_line()

    return tried(run, ROWS, protocol=protocol)


def _waits_in_vain(wire, case):
    """Wait for a line, but less than a client is told to; return whether none came."""
    wire._socket.settimeout(0.15 * case.timeout)
    try:
        wire._buffer += wire._read_socket()
    except ConnectionFailed:
        return True
    finally:
        wire._socket.settimeout(case.timeout)
    return False


@pytest.mark.parametrize("protocol", Protocol)
def test_the_beginning_of_a_login_in_the_same_write_is_a_violation(protocol):
    rows = judged(protocol, lambda _case: BEGUN[protocol])
    assert broken(rows) == {name: [RULE] for name in ROWS}


@pytest.mark.parametrize("protocol", Protocol)
def test_a_command_while_the_reply_waits_is_a_violation_where_it_waits(protocol):
    rows = judged(protocol, lambda _case: BEGUN[protocol], lag=True)
    assert broken(rows) == {name: [RULE] if name == "starttls-reply-withheld" else [] for name in ROWS}


@pytest.mark.parametrize("protocol", Protocol)
def test_starttls_may_be_the_last_of_a_group(protocol):
    rows = judged(protocol, lambda _case: "", before=True)
    assert {name: row.verdict for name, row in rows.items()} == dict.fromkeys(ROWS, Verdict.PASS)


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("waits", [True, False])
def test_a_login_that_travels_with_the_question_was_not_offered(protocol, waits):
    def run(case):
        with Wire(case.host, case.port, timeout=case.timeout) as wire:
            wire.start_tls(case.ssl_context())
            wire.read_line()
            secret = plain(case)
            login = f"a3 AUTHENTICATE PLAIN {secret}" if protocol is Protocol.IMAP else f"AUTH PLAIN {secret}"
            wire.rider = "" if waits else login
            wire.send_line(ASK[protocol])
            while not wire.read_line().startswith(LAST[protocol]):
                pass
            if waits:
                wire.send_line(login)
            wire.read_line()

    name = "auth-ir-sent-before-capability"
    row = tried(run, [name], protocol=protocol, securities=(Security.IMPLICIT,))[name]
    assert row.verdict is (Verdict.PASS if waits else Verdict.VIOLATION)
    assert row.judgements[0].rule == "offered-mechanisms-only"


def test_a_secret_in_the_same_write_is_in_no_evidence():
    def rider(case):
        return f"AUTH PLAIN {encoded(f'0{case.username}0{case.password}')}"

    rows = judged(Protocol.SMTP, rider)
    assert broken(rows) == {name: [RULE] for name in ROWS}
    assert all("bytes of text: AUTH" in j.finding.evidence for row in rows.values() for j in row.judgements)
