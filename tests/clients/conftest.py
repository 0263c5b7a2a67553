"""Certificates with one fault each, a closed port, and the visit of one client to one situation."""

from __future__ import annotations

import dataclasses
import datetime as dt
import socket
import ssl
from contextlib import nullcontext
from typing import NamedTuple

import pytest
import trustme
from clients import ClientError, Habits, make_client
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from scripted_peer import Peer
from situations import NONE, STRIPPED, Situation
from visits import PASSWORD, USERNAME, Seen

from pytest_mailauth.judge.clients.case import Case
from pytest_mailauth.model.canary import Secret


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


def spoilt(leaf: trustme.LeafCert) -> bytes:
    """Return the certificate with the last bit of its signature changed."""
    whole = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    return ssl.DER_cert_to_PEM_cert(whole[:-1] + bytes((whole[-1] ^ 1,))).encode()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    ca, stranger = trustme.CA(), trustme.CA()
    long_ago = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    leaves = {
        "valid": ca.issue_cert("localhost", "127.0.0.1"),
        "chained": ca.create_child_ca().issue_cert("localhost", "127.0.0.1"),
        "untrusted": stranger.issue_cert("localhost", "127.0.0.1"),
        "wrong-host": ca.issue_cert("other.test"),
        "lookalike": ca.issue_cert("localhost.evil.test", "evil-localhost"),
        "common-name": ca.issue_cert("other.test", common_name="localhost"),
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
    contexts["bad-signature"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (folder / "bad.pem").write_bytes(leaves["valid"].private_key_pem.bytes() + spoilt(leaves["valid"]))
    contexts["bad-signature"].load_cert_chain(folder / "bad.pem")
    contexts["none"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    contexts["none"].maximum_version = ssl.TLSVersion.TLSv1_2
    contexts["none"].set_ciphers("aNULL:!eNULL:@SECLEVEL=0")
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
        habits = habits or Habits(aborts_on_early_bytes=situation.aborts, has_credentials=situation.credentials)
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
                token=Secret("no token in these dialogues"),
                cafile=authority.cafile,
                timeout=situation.timeout,
                other_port=second and second.port,
                work=situation.work,
                supply=(lambda: socket.create_connection(("127.0.0.1", peer.port))) if situation.given else None,
            )
            if situation.earlier:
                case = dataclasses.replace(
                    case, before=dataclasses.replace(case, username="carol@example.test", facts={})
                )
            try:
                make_client(protocol, faults, habits)(case)
            except ClientError as raised:
                error = raised
        return Seen(tuple(peer.log), tuple(second.log) if second else (), error, case.facts.get("error"))

    return run
