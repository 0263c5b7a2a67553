"""Where honest clients differ: each habit that a naive judge would take for a fault, and the tests that stay green.

The honest clients of the matrix meet every scenario; here each habit meets the scenarios in which it could be mistaken.
"""

from __future__ import annotations

import ast
import contextlib
import smtplib
import socket
import ssl
from functools import cache, partial
from pathlib import Path

import pytest
from clients import FAULTY, HONEST, ClientError, Faults, Habits, make_client
from clients.failures import ProtocolError, TLSUnavailable
from clients.wire import Wire
from trying import encoded, plain, tried, verdicts_of

from pytest_mailauth.judge.scenarios import SCENARIOS
from pytest_mailauth.model.terms import Protocol, Security, Verdict

PASS, NOTE, VIOLATION, NOT_APPLICABLE = Verdict.PASS, Verdict.NOTE, Verdict.VIOLATION, Verdict.NOT_APPLICABLE
SMTP, POP3, IMAP = Protocol
STARTTLS, IMPLICIT = Security.STARTTLS, Security.IMPLICIT

TRAPS = {
    "opportunistic TLS": (
        "test_opportunistic.py::test_who_gives_up_without_tls_obeys",
        "test_opportunistic.py::test_who_goes_on_without_tls_is_only_noted_where_that_was_allowed",
        "test_other_clients.py::test_opportunistic_by_declaration_may_go_on_in_clear_without_a_password",
    ),
    "an MTA delivers in clear, again in clear, and to any certificate": (
        "test_mta.py::test_an_agent_without_policies_is_accused_of_nothing",
        "test_traps.py::test_an_agent_may_deliver_in_clear_when_tls_has_failed",
    ),
    "STARTTLS that was not seen in a list": ("test_traps.py::test_starttls_may_be_sent_blindly",),
    "injected bytes are discarded, or the session ends": (
        "test_traps.py::test_injected_bytes_may_be_discarded_or_end_the_session",
        "test_injection.py::test_a_client_that_discards_the_bytes_may_say_so_in_its_own_way",
        "test_injection.py::test_who_gives_what_it_had_read_to_tls_is_safe",
        "test_traps.py::test_who_waits_in_vain_may_give_up",
    ),
    "the certificate is checked when the handshake is over": (
        "test_traps.py::test_the_certificate_may_be_checked_after_the_handshake",
    ),
    "polite ends, and a name in EHLO": ("test_traps.py::test_who_leaves_politely_has_given_nothing_away",),
    "POP3 AUTH without an argument": ("test_traps.py::test_auth_without_an_argument_asks_for_the_list",),
    "IMAP ID and NOOP in clear": ("test_traps.py::test_id_in_clear_is_noted_and_noop_is_nothing",),
    "certificates for the mail domain, and with a common name alone": (
        "test_traps.py::test_what_standards_leave_open_is_noted",
    ),
    "another mechanism inside TLS": ("test_traps.py::test_another_mechanism_may_be_tried_inside_tls",),
    "TLS 1.2 or 1.3 alone": ("test_other_clients.py::test_one_modern_version_alone_is_a_note",),
    "weak suites": ("test_traps.py::test_what_standards_leave_open_is_noted",),
    "old versions that are offered and not negotiated": (
        "test_traps.py::test_an_old_version_may_be_offered_where_a_new_one_is_taken",
        "test_traps.py::test_a_hello_of_the_old_kind_does_not_show_the_oldest_version",
        "test_tls_versions.py::test_who_offers_a_maximum_and_refuses_the_old_version_obeys",
    ),
    "PREAUTH and ALERT inside TLS": ("test_traps.py::test_preauth_and_alerts_are_taken_inside_tls",),
    "extra connections": (
        "test_traps.py::test_extra_connections_without_a_secret_are_nothing",
        "test_other_clients.py::test_turning_from_a_starttls_port_to_a_weaker_one",
        "test_referrals.py::test_who_asks_a_decoy_for_tls_first_gives_nothing_away",
    ),
    "the end of a refused token, and a token in a line of its own": (
        "test_traps.py::test_a_refused_token_is_answered_or_cancelled",
        "test_traps.py::test_a_token_may_have_a_line_of_its_own",
    ),
    "time-outs": ("test_traps.py::test_who_waits_in_vain_may_give_up",),
    "submission without credentials": (
        "test_traps.py::test_mail_may_be_sent_without_credentials",
        "test_opportunistic.py::test_mail_without_a_password_may_go_without_tls",
    ),
    "starttls() inside TLS": ("test_traps.py::test_who_has_tls_needs_no_starttls",),
    "a client that cannot log in": ("test_other_clients.py::test_a_client_that_cannot_log_in_earns_no_pass",),
    "free ports": (
        "test_networks_of_trials.py::test_there_is_nothing_to_judge_in_clear_where_the_port_tells_the_mode",
        "test_networks_of_trials.py::test_what_is_for_clients_that_are_told_less_is_for_nobody_else",
    ),
    "the server's words in an exception": ("test_spoofing.py::test_what_a_library_raises_is_not_shown",),
}
"""What honest clients do, and where it is shown that nobody is accused of it."""


@cache
def functions_of(name):
    tree = ast.parse(Path(__file__).with_name(name).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("trap", TRAPS)
def test_each_trap_has_tests_that_are_there(trap):
    for place in TRAPS[trap]:
        file, _, name = place.partition("::")
        assert name in functions_of(file)


def verdicts(run, protocol, select, security=STARTTLS, **declared):
    """Return the verdicts on a client, by the names of the scenarios."""
    return verdicts_of(tried(run, select, protocol=protocol, securities=(security,), **declared))


def named(*families, beside=(), security=STARTTLS):
    """Return the scenarios of these families that a client meets which knows all it needs to."""
    rows = [n for n, row in SCENARIOS.items() if row.family in families and security in row.modes and not row.needs]
    return [name for name in rows if SCENARIOS[name].auth is None and name not in beside]


ASK = {SMTP: "EHLO client.example.test", POP3: "CAPA", IMAP: "a1 CAPABILITY"}
TLS = {SMTP: "STARTTLS", POP3: "STLS", IMAP: "a2 STARTTLS"}
GO = {SMTP: "220", POP3: "+OK", IMAP: "a2 OK"}
LEAVE = {SMTP: "QUIT", POP3: "QUIT", IMAP: "a9 LOGOUT"}


class Talk:
    """One connection of a client that is honest and knows little."""

    def __init__(self, case):
        self.case = case
        self.protocol = case.protocol
        self.wire = Wire(case.host, case.port, timeout=case.timeout)

    def __enter__(self):
        if not self.hear().startswith(("220", "+OK", "* OK")):
            self.wire.close()
            raise ProtocolError("no greeting")
        return self

    def __exit__(self, *_):
        self.wire.close()

    def hear(self):
        """Return the last line of a reply."""
        line = self.wire.read_line()
        while (self.protocol is SMTP and line[3:4] == "-") or (self.protocol is IMAP and line.startswith("* ")):
            if line.startswith("* OK"):
                break
            line = self.wire.read_line()
        return line

    def ask(self, line):
        """Return the last line of the reply."""
        self.wire.send_line(line)
        reply = self.wire.read_line()
        if self.protocol is POP3:
            while line in ("CAPA", "AUTH") and not reply.startswith("-ERR") and reply != ".":
                reply = self.wire.read_line()
            return reply
        mark = f"{line.split()[0]} "
        while reply[3:4] == "-" if self.protocol is SMTP else not reply.startswith((mark, "+")):
            reply = self.wire.read_line()
        return reply

    def start_tls(self):
        if not self.ask(TLS[self.protocol]).startswith(GO[self.protocol]):
            raise TLSUnavailable("the server has no TLS")
        self.wire.forget_unread()
        self.wire.start_tls(self.case.ssl_context())
        self.ask(ASK[self.protocol])

    def log_in(self):
        if self.protocol is IMAP:
            reply = self.ask(f"a3 LOGIN {self.case.username} {self.case.password}")
        else:
            reply = self.ask(f"AUTH PLAIN {plain(self.case)}")
        if not reply.startswith(("235", "+OK", "a3 OK")):
            raise ProtocolError("not logged in")


def honest(case, *, before=(), after=(), farewell=()):
    """Log in with STARTTLS, and say this and that: before TLS, behind the login, and when there is no TLS."""
    with Talk(case) as talk:
        try:
            for line in before:
                talk.ask(line)
            talk.start_tls()
        except (TLSUnavailable, ProtocolError):
            with contextlib.suppress(ClientError):
                for line in farewell:
                    talk.ask(line)
            raise
        talk.log_in()
        for line in after:
            talk.ask(line)


# One after the other.


def delivers(case):
    """Deliver with STARTTLS to anybody, and in clear where that fails."""
    context = ssl._create_unverified_context()
    for starts_tls in (True, False):
        try:
            with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
                client.ehlo()
                if starts_tls and client.has_extn("starttls"):
                    client.starttls(context=context)
                return client.sendmail(case.sender, [case.recipient], "Subject: x\r\n\r\nx\r\n")
        except (OSError, smtplib.SMTPException):
            if not starts_tls:
                raise
    raise AssertionError


def test_an_agent_may_deliver_in_clear_when_tls_has_failed():
    # Where TLS fails, or is refused, nobody asks it; where it is stripped or the certificate is bad, it obeys.
    found = verdicts(delivers, SMTP, SCENARIOS, auth="none", role="mta")
    assert found.pop("local-recipient-without-auth") is NOT_APPLICABLE  # it does not say whom it reached
    assert set(found) >= {"base-starttls-ok", "mta-opportunistic-strip", "mta-opportunistic-untrusted-cert"}
    assert set(found.values()) == {PASS}


REFUSED = (
    "starttls-not-offered",
    "starttls-offered",
    "starttls-unknown",
    "starttls-ok-then",
    "base-starttls",
    "capa",
    "ehlo",
)


@pytest.mark.parametrize("protocol", Protocol)
def test_starttls_may_be_sent_blindly(protocol):
    select = [name for name in named("A", "D", "E") if name.startswith(REFUSED)]
    found = verdicts(honest, protocol, select)
    assert set(found.values()) == {PASS}
    assert len(found) >= 4


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("habit", ["aborts-on-early-bytes", "discards-early-bytes"])
def test_injected_bytes_may_be_discarded_or_end_the_session(protocol, habit):
    select = [name for name in named("F") if "discard-pretls-bytes" in SCENARIOS[name].rules]
    found = verdicts(make_client(protocol, habits=HONEST[habit]), protocol, select)
    assert set(found.values()) == {PASS}
    assert len(found) >= 6


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("security", [STARTTLS, IMPLICIT])
def test_the_certificate_may_be_checked_after_the_handshake(protocol, security):
    select = ["cert-self-signed", "cert-wrong-host", "cert-expired", "cert-unknown-ca", "tls12-only", "tls13-only"]
    run = make_client(protocol, habits=HONEST["verifies-after-handshake"])
    found = verdicts(run, protocol, select, security)
    assert found == dict.fromkeys(select, PASS)


FAREWELLS = {
    SMTP: ("RSET", "NOOP", "QUIT"),
    POP3: ("QUIT",),
    IMAP: ("a7 NOOP", "a9 LOGOUT"),
}


@pytest.mark.parametrize("protocol", Protocol)
def test_who_leaves_politely_has_given_nothing_away(protocol):
    run = partial(honest, before=[ASK[protocol]], farewell=FAREWELLS[protocol], after=[LEAVE[protocol]])
    select = [name for name in named("A", "D") if name.startswith(REFUSED)]
    found = verdicts(run, protocol, select)
    assert set(found.values()) == {PASS}
    assert len(found) >= 4


def test_auth_without_an_argument_asks_for_the_list():
    select = ["base-starttls-ok", "starttls-not-offered-pop3", "capa-rejected", "capa-empty", "pass-refused-until-tls"]
    found = verdicts(partial(honest, before=["AUTH"]), POP3, [*select, "auth-offered-with-starttls"])
    assert found == dict.fromkeys([*select, "auth-offered-with-starttls"], PASS)


@pytest.mark.parametrize(("line", "verdict"), [('a6 ID ("name" "x")', NOTE), ("a6 ID NIL", PASS), ("a6 NOOP", PASS)])
def test_id_in_clear_is_noted_and_noop_is_nothing(line, verdict):
    others = ["base-starttls-ok", "starttls-not-offered-imap", "auth-offered-with-starttls", "starttls-offered-no-imap"]
    found = verdicts(partial(honest, before=[line]), IMAP, ["imap-id-before-tls", *others])
    assert found == {"imap-id-before-tls": verdict, **dict.fromkeys(others, PASS)}


@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        ("name-of-mail-domain", "cert-mail-domain-name"),
        ("accepts-static-rsa", "cipher-static-rsa"),
        ("common-name-beside-others", "cert-cn-only"),
    ],
)
def test_what_standards_leave_open_is_noted(name, scenario):
    assert verdicts(make_client(SMTP, FAULTY[name].faults), SMTP, [scenario], IMPLICIT) == {scenario: NOTE}


def tries_one_after_the_other(case):
    """Try each mechanism that is offered, the strongest first."""
    with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
        client.starttls(context=case.ssl_context())
        client.login(case.username, case.password)


@pytest.mark.parametrize(("allowed", "verdict"), [("yes", NOTE), ("no", VIOLATION)])
def test_another_mechanism_may_be_tried_inside_tls(allowed, verdict):
    name = "auth-reject-strong-in-tls"
    found = verdicts(tries_one_after_the_other, SMTP, [name], mechanism_downgrade=allowed)
    assert found == {name: verdict}


def with_versions(case, **versions):
    context = case.ssl_context()
    for name, version in versions.items():
        setattr(context, name, version)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
        client.starttls(context=context)
        client.login(case.username, case.password)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated")
def test_an_old_version_may_be_offered_where_a_new_one_is_taken():
    select = ["base-starttls-ok", "tls12-only", "tls13-only"]
    run = partial(with_versions, minimum_version=ssl.TLSVersion.TLSv1)
    assert verdicts(run, SMTP, select) == dict.fromkeys(select, PASS)


def test_a_hello_of_the_old_kind_does_not_show_the_oldest_version():
    name, only = "tls-version-offered", ssl.TLSVersion.TLSv1_2
    run = partial(with_versions, minimum_version=only, maximum_version=only)
    assert verdicts(run, SMTP, [name]) == {name: NOTE}


def test_preauth_and_alerts_are_taken_inside_tls():
    run = make_client(IMAP)
    assert verdicts(run, IMAP, ["preauth-implicit-tls"], IMPLICIT) == {"preauth-implicit-tls": PASS}
    assert verdicts(run, IMAP, ["alert-inside-tls-control"]) == {"alert-inside-tls-control": PASS}


def with_extra_connections(case):
    """Look whether somebody is there, ask what is offered, and work on two connections at a time."""
    socket.create_connection((case.host, case.port), timeout=case.timeout).close()
    with contextlib.suppress(ClientError), Talk(case) as talk:
        talk.ask(ASK[case.protocol])
        talk.ask(LEAVE[case.protocol])
    with Talk(case) as first, Talk(case) as second:
        for talk in (first, second):
            talk.start_tls()
        for talk in (first, second):
            talk.log_in()


@pytest.mark.parametrize("protocol", Protocol)
def test_extra_connections_without_a_secret_are_nothing(protocol):
    select = [name for name in named("A", "D") if name.startswith(REFUSED)]
    found = verdicts(with_extra_connections, protocol, [*select, "cert-self-signed", "cert-expired", "tls10-only"])
    assert set(found.values()) == {PASS}
    assert len(found) >= 7


TOKENS = {
    "XOAUTH2": lambda case: f"user={case.username}\x01auth=Bearer {case.token}\x01\x01",
    "OAUTHBEARER": lambda case: (
        f"n,a={case.username},\x01host={case.host}\x01port={case.port}\x01auth=Bearer {case.token}\x01\x01"
    ),
}
AUTH = {SMTP: "AUTH", POP3: "AUTH", IMAP: "a3 AUTHENTICATE"}


def with_token(case, *, mechanism, end="", waits=False):
    with Talk(case) as talk:
        talk.start_tls()
        token, command = encoded(TOKENS[mechanism](case)), f"{AUTH[case.protocol]} {mechanism}"
        if waits:
            talk.ask(command)
            talk.wire.send_line(token)
        else:
            talk.wire.send_line(f"{command} {token}")
        reply = talk.hear()
        if reply.startswith(("334", "+ ")):
            talk.wire.send_line(end)
            reply = talk.hear()
        if not reply.startswith(("235", "+OK", "a3 OK")):
            raise ProtocolError("the token was refused")


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize(
    ("mechanism", "end"), [("XOAUTH2", ""), ("XOAUTH2", "*"), ("OAUTHBEARER", "AQ=="), ("OAUTHBEARER", "*")]
)
def test_a_refused_token_is_answered_or_cancelled(protocol, mechanism, end):
    run = partial(with_token, mechanism=mechanism, end=end, waits=True)
    select = ["base-oauth-ok", "oauth-error-challenge"]
    assert verdicts(run, protocol, select, auth="oauth") == dict.fromkeys(select, PASS)


@pytest.mark.parametrize("protocol", [POP3, IMAP])
def test_a_token_may_have_a_line_of_its_own(protocol):
    run = partial(with_token, mechanism="XOAUTH2", waits=True)
    select = ["oauth-no-initial-response", "oauth-wire-xoauth2"]
    assert verdicts(run, protocol, select, auth="oauth") == dict.fromkeys(select, PASS)


@pytest.mark.parametrize("protocol", Protocol)
def test_who_waits_in_vain_may_give_up(protocol):
    select = ["starttls-ok-then-silence", "starttls-reply-withheld", "port-drop", "port-tarpit", "base-slow-but-honest"]
    found = verdicts(make_client(protocol), protocol, select)
    assert found == dict.fromkeys(select, PASS)


def test_mail_may_be_sent_without_credentials():
    run = make_client(SMTP, habits=Habits(has_credentials=False))
    found = verdicts(run, SMTP, named("A", "D"), auth="none")
    assert set(found) >= {"base-starttls-ok", "base-opportunistic-setup"}
    assert set(found.values()) == {PASS}


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize(
    ("security", "scenario"), [(STARTTLS, "starttls-twice"), (IMPLICIT, "implicit-server-offers-starttls")]
)
def test_who_has_tls_needs_no_starttls(protocol, security, scenario):
    assert verdicts(make_client(protocol), protocol, [scenario], security) == {scenario: PASS}
    faults = Faults(starttls_inside_tls=True)
    assert verdicts(make_client(protocol, faults), protocol, [scenario], security)[scenario] is not PASS
