"""The reference clients on trial: each fault shows in its own situation, and makes no difference in any other."""

from __future__ import annotations

import dataclasses
import datetime as dt
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import NamedTuple

import pytest
import trustme
from clients import (
    FAULTY,
    HONEST,
    ClientError,
    ConnectionFailed,
    Faults,
    Habits,
    LoginFailed,
    OperationFailed,
    make_client,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from scripted_peer import Peer, verb_of
from situations import IMAP, IMPLICIT, NONE, POP3, SITUATIONS, SMTP, STARTTLS, STRIPPED, Situation

from pytest_mailauth.judge.clients.case import Case
from pytest_mailauth.model.canary import Secret, find
from pytest_mailauth.model.terms import Protocol

USERNAME = "alice-0a1b2c3d@example.test"
PASSWORD = Secret("PwfedcbaAt9876543210")
OPERATIONS = ("MAIL", "STAT", "SELECT")
CASES = [
    pytest.param(protocol, name, id=f"{protocol}-{name}")
    for name, situation in SITUATIONS.items()
    for protocol in situation.protocols
]


class Seen(NamedTuple):
    """What one visit came to: the lines the peers wrote down, and what the client raised."""

    log: tuple[str, ...]
    fallback: tuple[str, ...]
    error: Exception | None

    @property
    def key(self):
        return self.log, self.fallback, type(self.error), "timed out" in str(self.error)


class Authority(NamedTuple):
    cafile: str
    contexts: dict[str, ssl.SSLContext]


def weak_leaf(ca: trustme.CA) -> tuple[bytes, bytes]:
    """Return a 1024-bit RSA key and its certificate, which is otherwise in order."""
    issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    signer = serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    ca, stranger = trustme.CA(), trustme.CA()
    long_ago = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    leaves = {
        "valid": ca.issue_cert("localhost", "127.0.0.1"),
        "chained": ca.create_child_ca().issue_cert("localhost", "127.0.0.1"),
        "untrusted": stranger.issue_cert("localhost", "127.0.0.1"),
        "wrong-host": ca.issue_cert("other.test"),
        "expired": ca.issue_cert("localhost", not_before=long_ago, not_after=long_ago + dt.timedelta(days=1)),
    }
    leaves["old"] = leaves["valid"]
    leaves["weak-suite"] = ca.issue_cert("localhost", key_type=trustme.KeyType.RSA)
    contexts = {}
    for name, leaf in leaves.items():
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(contexts[name])
    with pytest.deprecated_call():
        contexts["old"].minimum_version = ssl.TLSVersion.TLSv1
        contexts["old"].maximum_version = ssl.TLSVersion.TLSv1_1
    contexts["old"].set_ciphers("ALL:@SECLEVEL=0")
    contexts["weak-suite"].maximum_version = ssl.TLSVersion.TLSv1_2
    contexts["weak-suite"].set_ciphers("AES128-SHA:@SECLEVEL=0")
    contexts["weak-key"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    contexts["weak-key"].set_ciphers("DEFAULT:@SECLEVEL=0")
    folder = tmp_path_factory.mktemp("authority")
    (folder / "weak.pem").write_bytes(b"".join(weak_leaf(ca)))
    contexts["weak-key"].load_cert_chain(folder / "weak.pem")
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    return Authority(str(folder / "ca.pem"), contexts)


@pytest.fixture(scope="session")
def closed_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and never listens
        yield bound.getsockname()[1]


@pytest.fixture
def visit(authority, closed_port):
    """Return a function: one client meets one situation."""

    def run(protocol, situation: Situation, faults=None, habits=None, host="localhost", **changes) -> Seen:
        habits = habits or Habits(aborts_on_early_bytes=situation.aborts)
        script = dataclasses.replace(
            situation.script(protocol), context=authority.contexts[situation.certificate], **changes
        )
        other = Situation(shows={}, security=NONE, clear=STRIPPED).script(protocol)
        error = None
        with Peer(script) as peer, Peer(other) if situation.fallback else nullcontext() as second:
            case = Case(
                protocol=protocol,
                security=situation.security,
                host=host,
                port=closed_port if situation.port == "refused" else peer.port,
                username=USERNAME,
                password=PASSWORD,
                cafile=authority.cafile,
                timeout=situation.timeout,
                other_port=second and second.port,
            )
            try:
                make_client(protocol, faults, habits)(case)
            except ClientError as raised:
                error = raised
        return Seen(tuple(peer.log), tuple(second.log) if second else (), error)

    return run


def leaks(log, layer):
    return any(find(PASSWORD, line.encode()) for line in log if line.startswith(layer))


def verbs(log, layer=""):
    return [verb_of(line.partition(" ")[2])[0] for line in log if line.startswith(layer)]


EVIDENCE = {
    "credential-clear": lambda seen: leaks(seen.log, "clear"),
    "credential-tls": lambda seen: leaks(seen.log, "tls"),
    "operation-clear": lambda seen: any(verb in OPERATIONS for verb in verbs(seen.log, "clear")),
    "login-command": lambda seen: "LOGIN" in verbs(seen.log, "clear"),
    "login-tls": lambda seen: verbs(seen.log, "tls")[1:2] in (["AUTH LOGIN"], ["AUTHENTICATE LOGIN"]),
    "plain-tls": lambda seen: {"AUTH PLAIN", "AUTHENTICATE PLAIN"} & set(verbs(seen.log, "tls")),
    "fallback": lambda seen: leaks(seen.fallback, "clear"),
    "blame": lambda seen: isinstance(seen.error, LoginFailed) and "check user name and password" in str(seen.error),
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
            if protocol in row.protocols
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


@pytest.mark.parametrize("habit", HONEST)
@pytest.mark.parametrize(("protocol", "name"), CASES)
def test_no_honest_way_leaks_in_clear_when_tls_is_required(visit, protocol, name, habit):
    situation = SITUATIONS[name]
    if situation.security is NONE:
        pytest.skip("nothing is required")
    if situation.timeout < 1:
        pytest.skip("a wait, tried above")
    seen = visit(protocol, situation, habits=HONEST[habit])
    assert not EVIDENCE["credential-clear"](seen)
    assert not EVIDENCE["operation-clear"](seen)
    assert not seen.fallback


@pytest.mark.parametrize("protocol", list(Protocol))
def test_verification_after_the_handshake_knows_addresses_too(visit, protocol):
    situation = Situation(shows={}, security=IMPLICIT)
    habits = HONEST["verifies-after-handshake"]
    assert visit(protocol, situation, habits=habits, host="127.0.0.1").error is None


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
    assert len({row.faults for row in FAULTY.values()}) == len(FAULTY)


def test_every_faulty_client_has_a_situation_and_every_situation_names_known_faults():
    assert {fault for situation in SITUATIONS.values() for fault in situation.shows} == set(FAULTY)
