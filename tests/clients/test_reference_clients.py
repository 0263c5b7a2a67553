"""The reference clients on trial: each fault shows in its own situation, and makes no difference in any other."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import trustme
from clients import (
    FAULTY,
    HONEST,
    ConnectionFailed,
    Faults,
    LoginFailed,
    OperationFailed,
    ProtocolError,
    ServiceRefused,
    TLSFailed,
)
from clients.certificates import check_name, check_path
from clients.faulty import foundations
from clients.proofs import apop
from cryptography import x509
from routes_taken import ELSEWHERE
from situations import IMAP, IMPLICIT, NONE, POP3, SITUATIONS, SMTP, STARTTLS, STRIPPED, Offer, Situation
from visits import leaks, verbs

from pytest_mailauth.model.terms import SOUND, Certificate, Protocol
from pytest_mailauth.servers.pki import CertificateAuthority

OPERATIONS = ("MAIL", "STAT", "SELECT")
CASES = [
    pytest.param(protocol, name, id=f"{protocol}-{name}")
    for name, situation in SITUATIONS.items()
    for protocol in situation.protocols
]

REQUIRING_TLS = [
    case
    for case in CASES
    # A situation in which everybody waits is tried with one protocol: the waiting is the same in all.
    if SITUATIONS[case.values[1]].security is not NONE
    and (SITUATIONS[case.values[1]].timeout > 1 or case.values[0] is IMAP)
]


EVIDENCE = {
    "credential-clear": lambda seen: leaks(seen.log, "clear"),
    "credential-tls": lambda seen: leaks(seen.log, "tls"),
    "operation-clear": lambda seen: any(verb in OPERATIONS for verb in verbs(seen.log, "clear")),
    "login-command": lambda seen: "LOGIN" in verbs(seen.log, "clear"),
    "login-tls": lambda seen: verbs(seen.log, "tls")[1:2] in (["AUTH LOGIN"], ["AUTHENTICATE LOGIN"]),
    "plain-tls": lambda seen: {"AUTH PLAIN", "AUTHENTICATE PLAIN"} & set(verbs(seen.log, "tls")),
    "fallback": lambda seen: leaks(seen.fallback, "clear"),
    "blame": lambda seen: isinstance(seen.error, LoginFailed) and "check user name and password" in str(seen.error),
    "told": lambda seen: seen.told is not None,
    "outcome": bool,
}
"""How a fault may show. *outcome*: in nothing but being different."""


@pytest.mark.parametrize(("protocol", "name"), CASES)
def test_a_fault_shows_in_its_own_situation_and_nowhere_else(visit, protocol, name):
    situation = SITUATIONS[name]
    with ThreadPoolExecutor(30) as pool:
        honest = pool.submit(visit, protocol, situation)
        tried = {
            fault: pool.submit(visit, protocol, situation, row.faults)
            for fault, row in FAULTY.items()
            # What the clients of the other areas do wrong takes a whole server: tests/calibration has them.
            if protocol in row.protocols and (fault in foundations.ROWS or fault in situation.shows)
        }
    different = {fault for fault, seen in tried.items() if seen.result().key != honest.result().key}
    assert different == situation.shows.keys() & tried.keys()
    for fault in different:
        evidence = EVIDENCE[situation.shows[fault]]
        assert evidence(tried[fault].result()), (fault, tried[fault].result())
        assert situation.shows[fault] == "outcome" or not evidence(honest.result()), (fault, honest.result())


@pytest.mark.parametrize("habit", HONEST)
@pytest.mark.parametrize("certificate", ["valid", "chained", "untrusted", "wrong-host", "expired", "weak-key"])
@pytest.mark.parametrize("security", [STARTTLS, IMPLICIT])
def test_every_honest_way_gives_credentials_to_a_verified_server_only(visit, habit, certificate, security):
    situation = Situation(shows={}, security=security, certificate=certificate)
    seen = visit(IMAP, situation, habits=HONEST[habit])
    assert (seen.error is None) is (certificate in ("valid", "chained"))
    assert leaks(seen.log, "tls") is (seen.error is None)
    assert not leaks(seen.log, "clear")


@pytest.mark.parametrize(("protocol", "name"), REQUIRING_TLS)
def test_no_honest_way_leaks_in_clear_when_tls_is_required(visit, protocol, name):
    with ThreadPoolExecutor(len(HONEST)) as pool:
        tried = {habit: pool.submit(visit, protocol, SITUATIONS[name], habits=HONEST[habit]) for habit in HONEST}
    for habit, future in tried.items():
        seen = future.result()
        assert not EVIDENCE["credential-clear"](seen), habit
        assert not EVIDENCE["operation-clear"](seen), habit
        assert not seen.fallback, habit


@pytest.mark.parametrize("protocol", list(Protocol))
def test_verification_after_the_handshake_knows_addresses_too(visit, protocol):
    situation = Situation(shows={}, security=IMPLICIT)
    habits = HONEST["verifies-after-handshake"]
    assert visit(protocol, situation, habits=habits, host="127.0.0.1").error is None


@pytest.mark.parametrize("fault", list(Certificate))
def test_verification_by_hand_refuses_every_fault_and_nothing_else(fault):
    host = "127.0.0.1" if fault in (Certificate.IP_ONLY, Certificate.IP_IN_DNS_NAME) else "mail.b.example.test"
    with CertificateAuthority() as authority:
        leaf, *others = x509.load_pem_x509_certificates(authority.issue(fault, host=host).chain_pem)
        anchors = x509.load_pem_x509_certificates(authority.cert_pem)

    def verify():
        check_path(leaf, others, anchors)
        check_name(leaf, host)

    if fault in SOUND:
        verify()
    else:
        with pytest.raises(TLSFailed):
            verify()


@pytest.mark.parametrize(
    ("name", "host", "good"),
    [
        ("*.example.test", "mail.example.test", True),
        ("Mail.Example.Test", "mail.example.test", True),
        ("*.example.test", "a.b.example.test", False),
        ("*.example.test", "example.test", False),
        ("*.test", "example.test", False),
    ],
)
def test_a_wildcard_stands_for_one_whole_label(name, host, good):
    certificate = x509.load_pem_x509_certificate(trustme.CA().issue_cert(name).cert_chain_pems[0].bytes())
    if good:
        check_name(certificate, host)
    else:
        with pytest.raises(TLSFailed):
            check_name(certificate, host)


ORDER = {
    (SMTP, STARTTLS): ["EHLO", "STARTTLS", "EHLO", "AUTH PLAIN", "MAIL", "RCPT", "DATA", ".", "QUIT"],
    (SMTP, IMPLICIT): ["EHLO", "AUTH PLAIN", "MAIL", "RCPT", "DATA", ".", "QUIT"],
    (POP3, STARTTLS): ["CAPA", "STLS", "CAPA", "AUTH PLAIN", "STAT", "RETR", "QUIT"],
    (POP3, IMPLICIT): ["CAPA", "AUTH PLAIN", "STAT", "RETR", "QUIT"],
    (IMAP, STARTTLS): [
        "CAPABILITY",
        "STARTTLS",
        "CAPABILITY",
        "AUTHENTICATE PLAIN",
        "<response>",
        "SELECT",
        "SEARCH",
        "LOGOUT",
    ],
    (IMAP, IMPLICIT): ["CAPABILITY", "AUTHENTICATE PLAIN", "<response>", "SELECT", "SEARCH", "LOGOUT"],
}


def spoken(seen):
    """Return the verbs of a session; a base64 line of its own is a response."""
    known = {verb for order in ORDER.values() for verb in order} | {"USER", "PASS", "LOGIN", "AUTH LOGIN", "STLS"}
    return [verb if verb in known else "<response>" for verb in verbs(seen.log[1:])]


@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize("security", [STARTTLS, IMPLICIT, NONE])
def test_the_honest_order_of_commands(visit, protocol, security):
    seen = visit(protocol, SITUATIONS[security.value])
    assert seen.error is None
    assert spoken(seen) == ORDER[protocol, STARTTLS if security is STARTTLS else IMPLICIT]
    clear = {STARTTLS: 2, IMPLICIT: 0, NONE: len(seen.log) - 1}[security]
    assert [line.partition(" ")[0] for line in seen.log[1:]] == ["clear"] * clear + ["tls"] * (
        len(seen.log) - 1 - clear
    )


def test_password_commands_where_no_mechanism_is_offered(visit):
    situation = SITUATIONS["password-command-only"]
    assert spoken(visit(POP3, situation))[:3] == ["CAPA", "USER", "PASS"]
    assert spoken(visit(IMAP, situation))[:2] == ["CAPABILITY", "LOGIN"]


@pytest.mark.parametrize("protocol", list(Protocol))
def test_login_mechanism_answers_each_challenge(visit, protocol):
    stripped = dataclasses.replace(STRIPPED, mechanisms=("LOGIN",))
    seen = visit(protocol, Situation(shows={}, security=NONE, clear=stripped))
    assert seen.error is None
    assert spoken(seen)[2:4] == ["<response>"] * 2


@pytest.mark.parametrize("protocol", list(Protocol))
def test_starttls_unasked_needs_no_list(visit, protocol):
    seen = visit(protocol, SITUATIONS["starttls"], habits=HONEST["starttls-unasked"])
    assert seen.error is None
    assert spoken(seen) == ORDER[protocol, STARTTLS][0 if protocol is SMTP else 1 :]


@pytest.mark.parametrize("protocol", list(Protocol))
def test_leaving_in_good_order_or_without_a_word(visit, protocol):
    polite = visit(protocol, SITUATIONS["starttls-refused"])
    curt = visit(protocol, SITUATIONS["starttls-refused"], habits=HONEST["closes-without-goodbye"])
    assert type(polite.error) is type(curt.error)
    assert polite.log[:-1] == curt.log
    assert verbs(polite.log)[-1] in ("QUIT", "LOGOUT")


@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize("name", ["reset", "silent", "refused"])
def test_a_blocked_port_is_named_and_no_credential_is_blamed(visit, protocol, name):
    error = visit(protocol, SITUATIONS[name]).error
    assert isinstance(error, ConnectionFailed)
    assert str(error).startswith("cannot reach localhost:")
    assert not {"password", "credential", "authentication", "login"} & set(str(error).lower().split())


@pytest.mark.parametrize("protocol", list(Protocol))
def test_a_refused_login_is_a_failed_login(visit, protocol):
    assert isinstance(visit(protocol, SITUATIONS["login-refused"]).error, LoginFailed)


@pytest.mark.parametrize("protocol", list(Protocol))
def test_a_refused_operation_is_no_failed_login(visit, protocol):
    situation = SITUATIONS["none"]
    script = situation.script(protocol)
    clear = {verb: replies for verb, replies in script.clear.items() if verb not in OPERATIONS}
    assert isinstance(visit(protocol, situation, clear=clear).error, OperationFailed)


@pytest.mark.parametrize(
    ("protocol", "greeting", "error"),
    [
        (SMTP, b"554 5.7.1 this port is blocked\r\n", ServiceRefused),
        (POP3, b"-ERR no service\r\n", ServiceRefused),
        (IMAP, b"* BYE no service\r\n", ServiceRefused),
        (SMTP, b"+OK ready\r\n", ProtocolError),
        (POP3, b"* OK ready\r\n", ProtocolError),
        (IMAP, b"220 ready\r\n", ProtocolError),
        (IMAP, b"HTTP/1.1 400 Bad Request\r\n", ProtocolError),
        (SMTP, b"220-" * 20000, ProtocolError),
    ],
)
def test_nothing_is_said_after_a_greeting_that_is_none(visit, protocol, greeting, error):
    seen = visit(protocol, SITUATIONS["starttls"], greeting=greeting)
    assert type(seen.error) is error
    assert seen.log == ("connected",)


@pytest.mark.parametrize("reply", [b"220 hello\r\n", b"354 go\r\n", b"250-a\r\n251 b\r\n", b"what\r\n"])
def test_an_introduction_is_answered_with_250(visit, reply):
    seen = visit(SMTP, SITUATIONS["starttls"], clear={"EHLO": (reply,)})
    assert isinstance(seen.error, ProtocolError)
    assert verbs(seen.log[1:]) == ["EHLO"]


def test_refused_password_command(visit):
    situation = SITUATIONS["password-command-only"]
    clear = situation.script(POP3).clear | {"PASS": (b"-ERR no\r\n",)}
    assert isinstance(visit(POP3, situation, clear=clear).error, LoginFailed)


def test_the_clear_retry_goes_to_the_same_port(visit):
    seen = visit(SMTP, SITUATIONS["reset"], FAULTY["retries-in-clear"].faults)
    assert seen.log == ("connected", "connected")
    assert not seen.fallback


def test_every_faulty_client_is_the_honest_one_with_one_switch_changed():
    for name, row in FAULTY.items():
        changed = [f.name for f in dataclasses.fields(Faults) if getattr(row.faults, f.name) != f.default]
        assert len(changed) == 1, name
        assert row.security
        assert row.protocols
    assert len({(row.faults, row.protocols, *sorted(row.declares.items())) for row in FAULTY.values()}) == len(FAULTY)


def test_every_faulty_client_has_a_situation_and_every_situation_names_known_faults():
    shown = {fault for situation in SITUATIONS.values() for fault in situation.shows}
    # What the clients of the other areas do wrong takes a whole server, which tests/calibration has.
    assert shown | set(ELSEWHERE) | (set(FAULTY) - set(foundations.ROWS)) == set(FAULTY)
    assert not shown & set(ELSEWHERE)


@pytest.mark.parametrize(("stamp", "sent"), [("<1896.697170952@dbc.mtview.ca.us>", "APOP"), ("<a@b@c>", "USER")])
def test_apop_is_sent_for_a_timestamp_where_no_mechanism_is_offered(visit, stamp, sent):
    situation = Situation(
        shows={},
        security=NONE,
        protocols=(POP3,),
        clear=Offer(password_command=True),
        greeting=f"+OK ready {stamp}\r\n".encode(),
    )
    assert verbs(visit(POP3, situation).log)[2] == sent


def test_the_digest_of_apop_is_that_of_the_standard():
    case = SimpleNamespace(username="mrose", password="tanstaaf")
    # RFC 1939 section 7 has this example.
    digest = "c4c9334bac560ecc979e58001b3e22fb"
    assert apop(case, "<1896.697170952@dbc.mtview.ca.us>") == f"APOP mrose {digest}"


def test_nothing_is_written_where_nobody_logged_in(visit):
    situation = SITUATIONS["preauth-inside-tls-and-a-draft"]
    honest = visit(IMAP, situation)
    assert isinstance(honest.error, OperationFailed)
    assert "APPEND" not in verbs(honest.log)
    assert "APPEND" in verbs(visit(IMAP, situation, FAULTY["writes-to-anybody"].faults).log)
