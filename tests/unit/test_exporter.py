"""The channel binding of TLS 1.3, against what OpenSSL's own exporter says about the same handshakes."""

import os
import ssl

import pytest

from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.servers.wire.contexts import server_context, shake_hands
from pytest_mailauth.servers.wire.exporter import KeyLog, exported

# Of "openssl s_client -keymatexport EXPORTER-Channel-Binding -keymatexportlen 32 -keylogfile ..."
KNOWN = {
    "TLS_AES_128_GCM_SHA256": (
        "sha256",
        "3eaf5ba5e32e131047f7e33d2901719c71def121c45f003c08f4fe62d85229d8",
        "db0301592fce04502ce8c92620256bf580d82f6c4ef3fa19e39e7c546613038c",
    ),
    "TLS_AES_256_GCM_SHA384": (
        "sha384",
        "009b700e111b6a6d0f05ef756a47f78dcae54cea1a9992869614a8ee0266fac48270c4950c00c5f34d39a863638f0318",
        "82256f69b2a3157f0e7ab6edcc8b1f25d830b9b271e51470cb6835a681fd7184",
    ),
}


@pytest.mark.parametrize("suite", KNOWN)
def test_known_answers(suite):
    digest, secret, material = KNOWN[suite]
    assert exported(bytes.fromhex(secret), digest).hex() == material


@pytest.fixture
def logged(mailauth_ca):
    """Complete a handshake of one version with a context whose keys are logged; return the log."""

    def log(version):
        policy = TLSPolicy(min_version=version, max_version=version)
        context = server_context(policy, "valid", mailauth_ca, "localhost").again()
        made = KeyLog(context)
        shake_hands(mailauth_ca.ssl_context(), context, "localhost")
        return made, context

    return log


def test_a_handshake_has_its_own(logged):
    bindings = []
    for _ in range(2):
        log, _ = logged("1.3")
        bindings.append(log.channel_binding("sha384"))
    assert [len(binding) for binding in bindings] == [32, 32]
    assert bindings[0] != bindings[1]


def test_there_is_none_before_tls_1_3(logged):
    log, _ = logged("1.2")
    assert log.channel_binding("sha384") is None


def test_nothing_stays_open(logged):
    log, context = logged("1.3")
    file = log._file
    os.fstat(file)
    log.close()
    log.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)
    assert context.keylog_filename is None


def test_nothing_stays_open_of_a_handshake_that_was_never_finished():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    log = KeyLog(context)
    file = log._file
    del log
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)
    assert context.keylog_filename is None
