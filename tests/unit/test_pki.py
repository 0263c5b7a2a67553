import gc
import os
import ssl
import stat
import tempfile
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import ALMOST_FOR_THE_HOST, FOR_ANOTHER_HOST, OTHER_NAMES, SOUND, Certificate
from pytest_mailauth.servers import pki
from pytest_mailauth.servers.pki import ALWAYS_NAMED, CertificateAuthority
from pytest_mailauth.servers.pki_faults import TABLE
from pytest_mailauth.servers.pki_names import NAMES
from pytest_mailauth.servers.wire.contexts import shake_hands

HOST = "mail.example.test"
(WRONG_HOST,) = OTHER_NAMES[Certificate.WRONG_HOST]
FAULTS = [kind for kind in Certificate if kind not in SOUND]
WITH_ADDRESS = (Certificate.IP_ONLY, Certificate.IP_IN_DNS_NAME)


def host_for(kind):
    return "127.0.0.1" if kind in WITH_ADDRESS else HOST


# X509_V_ERR_* of OpenSSL, the same in 3.0 and 3.5.
VERIFY_CODES = {
    Certificate.EXPIRED: 10,
    Certificate.NOT_YET_VALID: 9,
    Certificate.WRONG_HOST: 62,
    Certificate.SELF_SIGNED: 18,
    Certificate.UNTRUSTED_ROOT: 19,
    Certificate.INCOMPLETE_CHAIN: 20,
    Certificate.WEAK_KEY: 66,
    Certificate.SHA1: 68,
    Certificate.NO_SAN: 62,
    Certificate.CLIENT_AUTH_ONLY: 26,
    Certificate.EXPIRED_INTERMEDIATE: 10,
    Certificate.LOOKALIKE_HOST: 62,
    Certificate.CN_MATCH_SAN_MISMATCH: 62,
    Certificate.BAD_SIGNATURE: 7,
    Certificate.LEAF_AS_CA: 79,
    Certificate.PATH_TOO_LONG: 25,
    Certificate.NAME_CONSTRAINT: 47,
    Certificate.UNKNOWN_CRITICAL: 34,
    Certificate.IP_IN_DNS_NAME: 64,
    **dict.fromkeys((ALMOST_FOR_THE_HOST | FOR_ANOTHER_HOST) - {Certificate.IP_IN_DNS_NAME}, 62),
}

# What a person would see in the certificate and in what is sent with it.
DIFFERENCES = {
    Certificate.VALID: set(),
    Certificate.EXPIRED: {"notAfter"},
    Certificate.NOT_YET_VALID: {"notBefore"},
    Certificate.WRONG_HOST: {"subjectAltName"},
    Certificate.SELF_SIGNED: {"issuer"},
    Certificate.UNTRUSTED_ROOT: {"issuer", "sent"},
    Certificate.INCOMPLETE_CHAIN: {"issuer"},
    Certificate.WEAK_KEY: {"key"},
    Certificate.SHA1: {"digest"},
    Certificate.NO_SAN: {"subjectAltName", "subject"},
    Certificate.CLIENT_AUTH_ONLY: {"extendedKeyUsage"},
    Certificate.EXPIRED_INTERMEDIATE: {"issuer", "sent"},
    Certificate.LOOKALIKE_HOST: {"subjectAltName"},
    Certificate.CN_MATCH_SAN_MISMATCH: {"subjectAltName", "subject"},
    Certificate.BAD_SIGNATURE: set(),  # which no person sees
    Certificate.LEAF_AS_CA: {"issuer", "sent"},
    Certificate.PATH_TOO_LONG: {"issuer", "sent"},
    Certificate.NAME_CONSTRAINT: {"issuer", "sent"},
    Certificate.UNKNOWN_CRITICAL: {"critical"},
    **{kind: {"subjectAltName"} for kind in NAMES},
}


@pytest.fixture(scope="module")
def ca():
    with CertificateAuthority() as authority:
        yield authority


def showing(issued):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if issued.weak:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    issued.configure(context)
    return context


def verifying(ca, *, flags=0):
    """A client that checks all it can."""
    context = ca.ssl_context()
    context.hostname_checks_common_name = False
    context.verify_flags |= flags
    return context


def careless():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def leaf_of(issued):
    return x509.load_pem_x509_certificates(issued.chain_pem)[0]


def extension(certificate, oid):
    try:
        return certificate.extensions.get_extension_for_oid(oid).value
    except x509.ExtensionNotFound:
        return None


def names_of(certificate):
    return extension(certificate, ExtensionOID.SUBJECT_ALTERNATIVE_NAME).get_values_for_type(x509.DNSName)


def properties(issued):
    leaf, *above = x509.load_pem_x509_certificates(issued.chain_pem)
    return {
        "subject": leaf.subject,
        "issuer": leaf.issuer,
        "notBefore": leaf.not_valid_before_utc,
        "notAfter": leaf.not_valid_after_utc,
        "key": leaf.public_key(),
        "digest": leaf.signature_hash_algorithm.name,
        "subjectAltName": extension(leaf, ExtensionOID.SUBJECT_ALTERNATIVE_NAME),
        "basicConstraints": extension(leaf, ExtensionOID.BASIC_CONSTRAINTS),
        "keyUsage": extension(leaf, ExtensionOID.KEY_USAGE),
        "extendedKeyUsage": extension(leaf, ExtensionOID.EXTENDED_KEY_USAGE),
        "critical": {e.oid for e in leaf.extensions if e.critical} | {ExtensionOID.SUBJECT_ALTERNATIVE_NAME},
        "sent": len(above),
    }


def test_the_table_has_a_row_for_every_certificate():
    assert set(TABLE) == set(Certificate)
    assert len({row.description for row in TABLE.values()}) == len(TABLE)
    assert all(row.differs and row.source.startswith("RFC ") for row in TABLE.values())


@pytest.mark.parametrize("key_type", ["ec", "rsa"])
@pytest.mark.parametrize("kind", Certificate)
def test_a_faulty_certificate_is_one_property_away_from_the_valid_one(ca, kind, key_type):
    valid = properties(ca.issue(host=host_for(kind), key_type=key_type))
    faulty = properties(ca.issue(kind, host=host_for(kind), key_type=key_type))
    assert {name for name in valid if valid[name] != faulty[name]} == DIFFERENCES[kind]


@pytest.mark.parametrize("flags", [0, ssl.VERIFY_X509_STRICT], ids=["default", "strict"])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_verifying_client_refuses_each_fault_for_its_own_reason(ca, kind, flags):
    with pytest.raises(ssl.SSLCertVerificationError) as refusal:
        shake_hands(verifying(ca, flags=flags), showing(ca.issue(kind, host=host_for(kind))), host_for(kind))
    assert refusal.value.verify_code == VERIFY_CODES[kind]


@pytest.mark.parametrize("flags", [0, ssl.VERIFY_X509_STRICT], ids=["default", "strict"])
@pytest.mark.parametrize("kind", sorted(SOUND))
def test_a_verifying_client_takes_each_that_is_sound(ca, kind, flags):
    host = host_for(kind)
    assert shake_hands(verifying(ca, flags=flags), showing(ca.issue(kind, host=host)), host)


@pytest.mark.parametrize("kind", Certificate)
def test_a_client_that_verifies_nothing_connects_to_each(ca, kind):
    assert shake_hands(careless(), showing(ca.issue(kind, host=host_for(kind))))


NAMED = {
    Certificate.OTHER_SERVICE: ["smtp.example.test", "imap.example.test"],
    Certificate.CNAME_TARGET: ["mail.attacker.test"],
    Certificate.MAIL_DOMAIN: ["example.test"],
    Certificate.WILDCARD: ["*.example.test"],
    Certificate.WILDCARD_ABOVE: ["*.test"],
    Certificate.WILDCARD_BELOW: ["*.mail.example.test"],
    Certificate.WILDCARD_PARTIAL: ["m*l.example.test", "*ail.example.test", "m*.example.test"],
    Certificate.WILDCARD_BARE: ["*"],
    Certificate.IP_ONLY: ["127.0.0.1"],
    Certificate.IP_IN_DNS_NAME: ["127.0.0.1"],
    Certificate.URI_ONLY: ["smtp://mail.example.test/", "imap://mail.example.test/", "pop://mail.example.test/"],
    Certificate.NUL_IN_NAME: ["mail.example.test\0.attacker.test"],
    Certificate.UPPER_CASE: ["MAIL.EXAMPLE.TEST"],
}


@pytest.mark.parametrize("kind", sorted(NAMED))
def test_the_names_that_are_not_simply_the_hosts(ca, kind):
    names = extension(leaf_of(ca.issue(kind, host=host_for(kind))), ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    assert [str(name.value) for name in names] == NAMED[kind]
    forms = {Certificate.IP_ONLY: x509.IPAddress, Certificate.URI_ONLY: x509.UniformResourceIdentifier}
    assert {type(name) for name in names} == {forms.get(kind, x509.DNSName)}


def test_the_names_of_services_are_srv_names(ca):
    names = extension(leaf_of(ca.issue("srv-only", host=HOST)), ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    assert {name.type_id.dotted_string for name in names} == {"1.3.6.1.5.5.7.8.7"}
    assert b"\x16\x13_imaps.example.test" in [name.value for name in names]


def test_a_server_of_several_does_not_carry_its_own_name(ca):
    assert names_of(leaf_of(ca.issue("other-service", host="imap.example.test"))) == ["smtp.example.test"]


@pytest.mark.parametrize("name", [HOST, *ALWAYS_NAMED])
@pytest.mark.parametrize("key_type", ["ec", "rsa"])
def test_the_valid_certificate_passes_strict_verification(ca, name, key_type):
    server = showing(ca.issue(host=HOST, key_type=key_type))
    assert shake_hands(verifying(ca, flags=ssl.VERIFY_X509_STRICT), server, name)


@pytest.mark.parametrize("name", [HOST, *ALWAYS_NAMED])
def test_the_wrong_host_is_wrong_under_every_name_of_the_server(ca, name):
    server = showing(ca.issue("wrong-host", host=HOST))
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(verifying(ca), server, name)
    assert shake_hands(verifying(ca), server, WRONG_HOST)


@pytest.mark.parametrize("host", [HOST, "localhost", "bücher.example"])
def test_the_lookalike_is_caught_by_no_careless_comparison(ca, host):
    here, *_ = names_of(leaf_of(ca.issue(host=host)))
    begins, ends = names_of(leaf_of(ca.issue("lookalike-host", host=host)))
    assert begins.startswith(f"{here}.")
    assert ends.endswith(here)
    for name in (begins, ends):
        assert shake_hands(verifying(ca), showing(ca.issue("lookalike-host", host=host)), name)


def test_a_common_name_does_not_count_beside_other_names(ca):
    issued = ca.issue("cn-match-san-mismatch", host=HOST)
    (common,) = leaf_of(issued).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert (common.value, names_of(leaf_of(issued))) == (HOST, [WRONG_HOST])
    # Python's default looks at the common name of a certificate without any DNS name, and only there.
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(ca.ssl_context(), showing(issued), HOST)


@pytest.mark.parametrize("key_type", ["ec", "rsa"])
def test_a_bad_signature_is_bad_in_one_bit(ca, key_type):
    good, bad = (leaf_of(ca.issue(kind, host=HOST, key_type=key_type)) for kind in ("valid", "bad-signature"))
    signer = x509.load_pem_x509_certificate(ca.cert_pem)
    assert good.tbs_certificate_bytes == bad.tbs_certificate_bytes
    good.verify_directly_issued_by(signer)
    with pytest.raises(InvalidSignature):
        bad.verify_directly_issued_by(signer)


@pytest.mark.parametrize("kind", ["weak-key", "sha1"])
def test_a_weak_certificate_is_good_in_every_way_but_its_strength(ca, kind):
    client = verifying(ca, flags=ssl.VERIFY_X509_STRICT)
    client.set_ciphers("DEFAULT:@SECLEVEL=0")
    assert shake_hands(client, showing(ca.issue(kind, host=HOST)), HOST)


def test_a_weak_certificate_says_that_it_needs_security_level_0(ca):
    assert {kind for kind in Certificate if ca.issue(kind, host=host_for(kind)).weak} == {
        Certificate.WEAK_KEY,
        Certificate.SHA1,
    }
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=2")
    with pytest.raises(ssl.SSLError, match="TOO_SMALL"):
        ca.issue("weak-key").configure(context)


def test_without_a_san_there_is_no_such_extension_and_the_name_is_the_common_name(ca):
    issued = ca.issue("no-san", host=HOST)
    assert extension(leaf_of(issued), ExtensionOID.SUBJECT_ALTERNATIVE_NAME) is None
    # Python's default falls back on the common name: RFC 7817 section 3 let it, RFC 9525 does not.
    assert shake_hands(ca.ssl_context(), showing(issued), HOST)


def test_the_certified_key_is_the_one_that_is_shown(ca):
    assert isinstance(leaf_of(ca.issue()).public_key(), ec.EllipticCurvePublicKey)
    strong, weak = (leaf_of(ca.issue(kind, key_type="rsa")).public_key() for kind in ("valid", "weak-key"))
    assert isinstance(strong, rsa.RSAPublicKey)
    assert isinstance(weak, rsa.RSAPublicKey)
    assert (strong.key_size, weak.key_size) == (2048, 1024)


def test_one_rsa_key_serves_all_hosts(ca):
    first, second = (ca.issue(host=host, key_type="rsa") for host in ("a.example.test", "b.example.test"))
    assert first.key_pem == second.key_pem
    assert first.chain_pem != second.chain_pem


def test_serial_numbers_are_never_used_twice(ca):
    # A bad signature is the valid certificate with one bit changed.
    kinds = set(Certificate) - {Certificate.BAD_SIGNATURE}
    serials = {leaf_of(ca.issue(kind, host=host_for(kind))).serial_number for kind in kinds}
    assert len(serials) == len(kinds)


@pytest.mark.parametrize(
    ("host", "name"),
    [("127.0.0.2", "127.0.0.2"), ("bücher.example", "xn--bcher-kva.example"), ("MAIL.example.test", HOST)],
)
def test_a_host_may_be_an_address_or_an_international_name(ca, host, name):
    assert shake_hands(verifying(ca), showing(ca.issue(host=host)), name)


def test_the_same_question_gets_the_same_certificate(ca):
    assert ca.issue("expired", host=HOST) is ca.issue(Certificate.EXPIRED, host=HOST)
    assert ca.issue("expired", host=HOST) is not ca.issue("expired")
    assert ca.issue("expired") is not ca.issue("expired", key_type="rsa")
    assert ca.issue_client("alice") is ca.issue_client("alice")


def test_threads_that_ask_at_once_get_the_same_certificate():
    ca = CertificateAuthority()
    start = threading.Barrier(8)
    got = []

    def ask():
        start.wait(5)
        got.append(ca.issue("sha1"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(got) == 8
    assert len(set(map(id, got))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"certificate": "stale"}, "'expired'"),
        ({"key_type": "dsa"}, "'ec', 'rsa'"),
        ({"host": ""}, "can't stand in a certificate"),
        ({"host": "two words"}, "can't stand in a certificate"),
        ({"certificate": "wrong-host", "host": WRONG_HOST}, "use another one"),
        ({"certificate": "wildcard", "host": "localhost"}, "no domain above it"),
        ({"certificate": "wildcard-above", "host": "127.0.0.1"}, "no domain above it"),
        ({"certificate": "wildcard-partial", "host": "m.example.test"}, "too short for a wildcard"),
        ({"certificate": "ip-only", "host": "localhost"}, "is no address"),
        ({"certificate": "mail-domain", "host": "example.test"}, "is the name that this certificate carries"),
        ({"certificate": "no-san", "host": ".".join(["a" * 40] * 2)}, "common name"),
    ],
)
def test_what_makes_no_sense_is_the_users_mistake(ca, arguments, message):
    with pytest.raises(ConfigError, match=message):
        ca.issue(**arguments)


def test_a_client_certificate_is_for_clients_and_in_the_asked_name(ca):
    leaf = leaf_of(ca.issue_client("alice"))
    assert leaf.subject.rfc4514_string() == "CN=alice"
    assert list(extension(leaf, ExtensionOID.EXTENDED_KEY_USAGE)) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_server_can_require_a_client_certificate_of_the_same_authority(ca):
    server = showing(ca.issue(host=HOST))
    server.verify_mode = ssl.CERT_REQUIRED
    server.verify_flags |= ssl.VERIFY_X509_STRICT
    ca.configure_trust(server)
    client = verifying(ca)
    ca.issue_client("alice").configure(client)
    assert shake_hands(client, server, HOST)
    stranger = verifying(ca)
    CertificateAuthority().issue_client("alice").configure(stranger)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        shake_hands(stranger, server, HOST)


def test_the_client_context_verifies_and_trusts_this_authority_alone(ca):
    context = ca.ssl_context()
    assert context is not ca.ssl_context()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.get_ca_certs(binary_form=True) == [ssl.PEM_cert_to_DER_cert(ca.cert_pem.decode())]
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, showing(CertificateAuthority().issue()), "localhost")


def test_the_cafile_holds_the_root_and_nothing_else_and_goes_with_the_authority():
    with CertificateAuthority() as ca:
        path = Path(ca.cafile)
        assert path.read_bytes() == ca.cert_pem
        assert ca.cafile == str(path)
        assert [p.name for p in path.parent.iterdir()] == [path.name]
        if os.name == "posix":
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.parent.exists()
    ca.close()
    with pytest.raises(ConfigError, match="closed"):
        _ = ca.cafile


def test_an_authority_that_was_never_asked_for_its_cafile_writes_none(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with CertificateAuthority() as ca:
        ca.issue()
        assert list(tmp_path.iterdir()) == []


def test_a_forgotten_authority_leaves_nothing_behind():
    ca = CertificateAuthority()
    path = Path(ca.cafile)
    del ca
    gc.collect()
    assert not path.parent.exists()


def test_a_forked_child_does_not_remove_the_folder_of_its_parent(tmp_path):
    pki._remove_folder(str(tmp_path), os.getpid() + 1)
    assert tmp_path.exists()


class Recorder:
    """Stands in for a context; looks at the file that it is told to load."""

    def load_cert_chain(self, path):
        self.content = Path(path).read_bytes()
        self.mode = stat.S_IMODE(Path(path).stat().st_mode)


def test_a_key_is_on_disk_only_while_it_is_loaded_and_for_its_owner_alone(ca, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    recorder = Recorder()
    issued = ca.issue()
    issued.configure(recorder)
    assert recorder.content == issued.key_pem + issued.chain_pem
    if os.name == "posix":
        assert recorder.mode == 0o600
    with pytest.raises(AttributeError):
        issued.configure(None)
    assert list(tmp_path.iterdir()) == []


def test_no_key_is_ever_shown(ca):
    issued = ca.issue("valid", host=HOST)
    assert repr(issued) == "Issued(name='valid for mail.example.test', weak=False)"
    secret = b"".join(issued.key_pem.splitlines()[1:-1]).decode()
    for shown in (repr(ca), str(issued), f"{ca!r} {issued!r}", issued.chain_pem.decode().replace("\n", "")):
        assert "PRIVATE" not in shown
        assert secret[40:80] not in shown


def test_the_file_of_a_client_goes_with_the_authority():
    with CertificateAuthority() as authority:
        path = Path(authority.client_file("carol"))
        assert authority.client_file("carol") == str(path)
        assert b"PRIVATE KEY" in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0 or os.name != "posix"
    assert not path.exists()
