"""What is wrong with a cipher suite: names and numbers say the same, and every suite of OpenSSL is known."""

import ssl

import pytest

from pytest_mailauth.model import suites


def known_to_openssl():
    """Every suite of TLS 1.2 and older that this OpenSSL has, as number and name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return {suite["id"] & 0xFFFF: suite for suite in context.get_ciphers()}


def test_number_and_name_of_a_suite_say_the_same():
    differ = {
        suite["name"]: (by_number, by_name)
        for code, suite in known_to_openssl().items()
        for by_number in [suites.offered_weakness(code)]
        for by_name in [suites.weakness(suite["name"], encrypts_then_macs=True)]
        if by_number != by_name
    }
    # Whether to offer the exchange over a finite field is left to the client: only its use is judged.
    assert {by_name for _, by_name in differ.values()} <= {suites.FINITE_FIELD}
    assert all(by_number is None for by_number, _ in differ.values())


def test_what_openssl_says_of_a_suite_agrees():
    for code, suite in known_to_openssl().items():
        what = suites.offered_weakness(code)
        assert (what is suites.NULL) == (suite["strength_bits"] == 0), suite["name"]
        if what is not suites.NULL:
            assert (what is suites.ANONYMOUS) == (suite["auth"] == "auth-null"), suite["name"]
            assert (what is suites.STATIC_RSA) == (suite["kea"] == "kx-rsa"), suite["name"]
        is_cbc = not suite["aead"] and what is None and suite["kea"] in ("kx-ecdhe", "kx-psk", "kx-ecdhe-psk")
        assert (suites.weakness(suite["name"]) is suites.CBC) >= is_cbc, suite["name"]


@pytest.mark.parametrize(
    ("code", "name", "what"),
    [
        (0x0003, "EXP-RC4-MD5", suites.EXPORT),
        (0x0006, "EXP-RC2-CBC-MD5", suites.EXPORT),
        (0x0005, "RC4-SHA", suites.RC4),
        (0xC011, "ECDHE-RSA-RC4-SHA", suites.RC4),
        (0x0018, "ADH-RC4-MD5", suites.ANONYMOUS),
        (0x0009, "DES-CBC-SHA", suites.DES),
        (0x0015, "EDH-RSA-DES-CBC-SHA", suites.DES),
        (0x000A, "DES-CBC3-SHA", suites.TRIPLE_DES),
        (0xC012, "ECDHE-RSA-DES-CBC3-SHA", suites.TRIPLE_DES),
        (0xC015, "AECDH-NULL-SHA", suites.NULL),
        (0x1301, "TLS_AES_128_GCM_SHA256", None),
        (0x1303, "TLS_CHACHA20_POLY1305_SHA256", None),
    ],
)
def test_suites_that_openssl_left_behind(code, name, what):
    assert suites.offered_weakness(code) is what
    assert suites.weakness(name, encrypts_then_macs=True) is what


def test_cbc_is_weak_where_the_mac_is_under_the_encryption():
    assert suites.weakness("ECDHE-RSA-AES128-SHA256") is suites.CBC
    assert suites.weakness("ECDHE-RSA-AES128-SHA256", encrypts_then_macs=True) is None


def test_the_pseudo_suites_are_no_suites():
    # TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746) and TLS_FALLBACK_SCSV (RFC 7507).
    assert suites.offered_weakness(0x00FF) is suites.offered_weakness(0x5600) is None
