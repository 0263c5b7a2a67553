"""How a certificate is signed: from one that exists, with what is named changed. Why, stands elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import trustme

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Pair(NamedTuple):
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: PrivateKey


class Leaf(NamedTuple):
    """A server's certificate and key, and what is sent after the certificate (RFC 8446 section 4.4.2)."""

    certificate: x509.Certificate
    key: PrivateKey
    above: tuple[x509.Certificate, ...] = ()


def read(certificate: trustme.Blob, key: trustme.Blob) -> Pair:
    """Return what trustme made as objects. Its keys are EC keys on P-256."""
    loaded = serialization.load_pem_private_key(key.bytes(), None)
    return Pair(x509.load_pem_x509_certificate(certificate.bytes()), cast("ec.EllipticCurvePrivateKey", loaded))


def sign_again(
    template: x509.Certificate,
    signer: Pair,
    *,
    subject: x509.Name | None = None,
    key: PrivateKey | None = None,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    extensions: Mapping[type[x509.ExtensionType], x509.ExtensionType | None] | None = None,
) -> x509.Certificate:
    """Return *template* signed by *signer*, with what is named changed and everything else as it was.

    Args:
        template: The certificate to copy. Only the serial number is always new.
        signer: Who signs; its subject becomes the issuer. The key identifiers follow.
        subject: Another subject.
        key: Another key to certify.
        not_before: Another start of validity.
        not_after: Another end of validity.
        extensions: Extensions to replace, and None for those to leave out; one that is new is critical.
    """
    public = key.public_key() if key else template.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or template.subject)
        .issuer_name(signer.certificate.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or template.not_valid_before_utc)
        .not_valid_after(not_after or template.not_valid_after_utc)
    )
    above = signer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    wanted: dict[Any, tuple[x509.ExtensionType | None, bool]] = {
        type(extension.value): (extension.value, extension.critical) for extension in template.extensions
    }
    wanted[x509.AuthorityKeyIdentifier] = (
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above),
        False,
    )
    if key:
        wanted[x509.SubjectKeyIdentifier] = (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    for kind, value in (extensions or {}).items():
        wanted[kind] = (value, wanted[kind][1] if kind in wanted else True)
    for value, critical in wanted.values():
        if value is not None:
            builder = builder.add_extension(value, critical)
    return builder.sign(signer.key, hashes.SHA256())


def intermediate(signer: Pair, name: str = "Testing intermediate CA", **changes: Any) -> Pair:
    """Return an authority below *signer*; *changes* as in :func:`sign_again`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, name)])
    return Pair(sign_again(signer.certificate, signer, subject=subject, key=key, **changes), key)
