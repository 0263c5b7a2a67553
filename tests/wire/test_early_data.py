"""Tickets that allow early data, seen by a client that knows what to do with them: the program of OpenSSL."""

import shutil
import subprocess

import pytest

from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.deviations import AllowEarlyData
from pytest_mailauth.model.terms import HandshakeOutcome

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="the program openssl is not installed")
SUITES = ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256")
EARLY_DATA = 42


def run(*arguments, said=b""):
    return subprocess.run([OPENSSL, *arguments], input=said, capture_output=True, timeout=30, check=True).stdout


def visit(server, suite, *further):
    """Say QUIT to a server and return what was read."""
    where = ("-connect", f"127.0.0.1:{server.port}", "-CAfile", server.cafile, "-verify_return_error")
    return run("s_client", *where, "-ciphersuites", suite, "-quiet", *further, said=b"QUIT\r\n")


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("allows", [True, False])
def test_a_ticket_allows_early_data_where_the_server_is_told_so(mailauth, tmp_path, suite, allows):
    server = mailauth.smtp(
        security="implicit", tls=TLSPolicy(resumption=True), deviations=(AllowEarlyData(),) if allows else ()
    )
    assert b"221" in visit(server, suite, "-sess_out", tmp_path / "session")  # the rest of the session can be read
    shown = run("sess_id", "-in", tmp_path / "session", "-noout", "-text").decode()
    assert f"Max Early Data: {16_384 if allows else 0}" in shown
    assert server.sessions[0].tls.cipher == suite


def test_early_data_is_seen_and_passed_over(mailauth, tmp_path):
    server = mailauth.smtp(security="implicit", tls=TLSPolicy(resumption=True), deviations=(AllowEarlyData(),))
    session, early = tmp_path / "session", tmp_path / "early"
    early.write_bytes(b"EHLO early.example.test\r\n")
    visit(server, SUITES[0], "-sess_out", session)
    assert b"221" in visit(server, SUITES[0], "-sess_in", session, "-early_data", early)
    server.drain(5)
    first, second = server.sessions
    assert EARLY_DATA not in first.tls.client_hello.extensions
    assert EARLY_DATA in second.tls.client_hello.extensions
    assert second.tls.outcome is HandshakeOutcome.COMPLETED
    assert second.verbs() == ("QUIT",)
