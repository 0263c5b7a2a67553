"""The certificate faults as a table: one row a member of ``Certificate``, each one property away from the valid one.

A row takes the valid leaf, whoever signed it, and returns the leaf to be shown. Faults are made by signing the
valid certificate again with one thing changed, so nothing else can differ. No file, no ``ssl``, no cache here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import OTHER_NAMES, Certificate
from pytest_mailauth.servers.pki_names import NAMES, NameForm
from pytest_mailauth.servers.pki_signing import Leaf, Pair, intermediate, read, sign_again

if TYPE_CHECKING:
    from collections.abc import Callable

# The valid certificate is good from 2000 to 2999, so every clock that is off by years sees the same fault.
LONG_AGO: Final = datetime(2010, 1, 1, tzinfo=UTC)
FAR_AHEAD: Final = datetime(2200, 1, 1, tzinfo=UTC)
WEAK_BITS: Final = 1024


class Fault(NamedTuple):
    """One row of the table.

    Attributes:
        description: What is wrong, as a person would say it.
        differs: The one property in which the certificate differs from the valid one.
        source: What a client breaks by accepting it.
        make: Takes the valid leaf and the authority that signed it, and returns the faulty leaf.
        weak: True when OpenSSL shows it at security level 0 only.
    """

    description: str
    differs: str
    source: str
    make: Callable[[Leaf, Pair], Leaf]
    weak: bool = False


def host_names(certificate: x509.Certificate) -> list[str]:
    """Return the names in the certificate's subjectAltName, the configured host first."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def _valid(leaf: Leaf, root: Pair) -> Leaf:  # noqa: ARG001  # the table calls every row alike
    return leaf


def _expired(leaf: Leaf, root: Pair) -> Leaf:
    return leaf._replace(certificate=sign_again(leaf.certificate, root, not_after=LONG_AGO))


def _not_yet_valid(leaf: Leaf, root: Pair) -> Leaf:
    return leaf._replace(certificate=sign_again(leaf.certificate, root, not_before=FAR_AHEAD))


def _for_others(kind: Certificate) -> Callable[[Leaf, Pair], Leaf]:
    """Return the row that puts other names in the place of the host's."""

    def make(leaf: Leaf, root: Pair) -> Leaf:
        mine = host_names(leaf.certificate)
        others = [name.format(host=mine[0]) for name in OTHER_NAMES[kind]]
        for name in set(mine) & set(others):
            raise ConfigError(f"host={name!r} is the name that a {kind} certificate carries; use another one")
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in others])
        return leaf._replace(certificate=sign_again(leaf.certificate, root, extensions={type(names): names}))

    return make


def _cn_match_san_mismatch(leaf: Leaf, root: Pair) -> Leaf:
    other = _for_others(Certificate.CN_MATCH_SAN_MISMATCH)(leaf, root)
    return other._replace(certificate=sign_again(other.certificate, root, subject=_with_common_name(leaf)))


def _bad_signature(leaf: Leaf, root: Pair) -> Leaf:  # noqa: ARG001  # the root's signature is spoilt, and no other made
    whole = leaf.certificate.public_bytes(serialization.Encoding.DER)
    # The last byte of the signature, which is also the last one of the certificate (RFC 5280 section 4.1).
    return leaf._replace(certificate=x509.load_der_x509_certificate(whole[:-1] + bytes((whole[-1] ^ 1,))))


def _self_signed(leaf: Leaf, root: Pair) -> Leaf:  # noqa: ARG001  # signed by nobody else: that is the fault
    return leaf._replace(certificate=sign_again(leaf.certificate, Pair(leaf.certificate, leaf.key)))


def _untrusted_root(leaf: Leaf, root: Pair) -> Leaf:  # noqa: ARG001  # another root signs: that is the fault
    stranger = trustme.CA()
    other = read(stranger.cert_pem, stranger.private_key_pem)
    # The root is sent as well: without it a client can't tell this from an incomplete chain.
    return leaf._replace(certificate=sign_again(leaf.certificate, other), above=(other.certificate,))


def _incomplete_chain(leaf: Leaf, root: Pair) -> Leaf:
    return leaf._replace(certificate=sign_again(leaf.certificate, intermediate(root)))


def _expired_intermediate(leaf: Leaf, root: Pair) -> Leaf:
    middle = intermediate(root, not_after=LONG_AGO)
    return leaf._replace(certificate=sign_again(leaf.certificate, middle), above=(middle.certificate,))


def _leaf_as_ca(leaf: Leaf, root: Pair) -> Leaf:
    # The certificate of some other server, as good as any other: its owner signs in its own name.
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Testing certificate of another server")])
    issuer = Pair(sign_again(leaf.certificate, root, subject=subject, key=key), key)
    return leaf._replace(certificate=sign_again(leaf.certificate, issuer), above=(issuer.certificate,))


def _path_too_long(leaf: Leaf, root: Pair) -> Leaf:
    last = {x509.BasicConstraints: x509.BasicConstraints(ca=True, path_length=0)}
    upper = intermediate(root, extensions=last)
    lower = intermediate(upper, "Testing authority too deep", extensions=last)
    above = (lower.certificate, upper.certificate)
    return leaf._replace(certificate=sign_again(leaf.certificate, lower), above=above)


def _name_constraint(leaf: Leaf, root: Pair) -> Leaf:
    elsewhere = x509.NameConstraints(permitted_subtrees=[x509.DNSName("other.test")], excluded_subtrees=None)
    middle = intermediate(root, extensions={x509.NameConstraints: elsewhere})
    return leaf._replace(certificate=sign_again(leaf.certificate, middle), above=(middle.certificate,))


_UNKNOWN: Final = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.1"), b"\x05\0")
"""An extension of a private enterprise number that is set aside for examples; it holds an ASN.1 NULL."""


def _unknown_critical(leaf: Leaf, root: Pair) -> Leaf:
    return leaf._replace(certificate=sign_again(leaf.certificate, root, extensions={type(_UNKNOWN): _UNKNOWN}))


def _named(form: NameForm) -> Callable[[Leaf, Pair], Leaf]:
    """Return the row that puts names of another form in the place of the host's."""

    def make(leaf: Leaf, root: Pair) -> Leaf:
        names = x509.SubjectAlternativeName(form.names(host_names(leaf.certificate)[0]))
        return leaf._replace(certificate=sign_again(leaf.certificate, root, extensions={type(names): names}))

    return make


def _weak_key(leaf: Leaf, root: Pair) -> Leaf:
    key = rsa.generate_private_key(65537, WEAK_BITS)
    return Leaf(sign_again(leaf.certificate, root, key=key), key)


def _with_common_name(leaf: Leaf) -> x509.Name:
    """Return the subject of *leaf* with the host as its common name."""
    host = host_names(leaf.certificate)[0]
    try:
        return x509.Name([*leaf.certificate.subject, x509.NameAttribute(NameOID.COMMON_NAME, host)])
    except ValueError:
        raise ConfigError(f"host={host!r} does not fit a common name, which this certificate needs") from None


def _no_san(leaf: Leaf, root: Pair) -> Leaf:
    without = sign_again(
        leaf.certificate, root, subject=_with_common_name(leaf), extensions={x509.SubjectAlternativeName: None}
    )
    return leaf._replace(certificate=without)


def _client_auth_only(leaf: Leaf, root: Pair) -> Leaf:
    return leaf._replace(certificate=for_client(leaf.certificate, root))


def for_client(certificate: x509.Certificate, root: Pair, **changes: Any) -> x509.Certificate:
    """Return *certificate* for the purpose clientAuth alone; *changes* as in :func:`sign_again`."""
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    extensions = {x509.ExtendedKeyUsage: usage, **changes.pop("extensions", {})}
    return sign_again(certificate, root, extensions=extensions, **changes)


# AlgorithmIdentifiers (RFC 5758 section 3.2, RFC 3279 section 2.2.3): ecdsa-with-SHA256 and ecdsa-with-SHA1.
_ECDSA_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
_ECDSA_SHA1: Final = bytes.fromhex("300906072a8648ce3d0401")


def _der(tag: int, content: bytes) -> bytes:
    """Return one DER element (X.690 section 8.1)."""
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _der_content(element: bytes) -> bytes:
    return element[2 + (element[1] & 0x7F if element[1] & 0x80 else 0) :]


def _sha1(leaf: Leaf, root: Pair) -> Leaf:
    # cryptography refuses to sign a certificate with SHA-1, though not to sign bytes with it. So the algorithm's
    # name is changed inside a certificate that it did sign, and the signature is put on again.
    signed = _der_content(sign_again(leaf.certificate, root).tbs_certificate_bytes)
    body = _der(0x30, signed.replace(_ECDSA_SHA256, _ECDSA_SHA1, 1))
    key = cast("ec.EllipticCurvePrivateKey", root.key)
    signature = key.sign(body, ec.ECDSA(hashes.SHA1()))  # noqa: S303  # the weak digest is what the row is for
    whole = _der(0x30, body + _ECDSA_SHA1 + _der(0x03, b"\0" + signature))
    return leaf._replace(certificate=x509.load_der_x509_certificate(whole))


TABLE: Final[dict[Certificate, Fault]] = {
    Certificate.VALID: Fault("nothing is wrong", "nothing", "RFC 5280 section 6", _valid),
    Certificate.EXPIRED: Fault("it ran out in 2010", "notAfter", "RFC 5280 section 4.1.2.5", _expired),
    Certificate.NOT_YET_VALID: Fault(
        "it is not valid before 2200", "notBefore", "RFC 5280 section 4.1.2.5", _not_yet_valid
    ),
    Certificate.WRONG_HOST: Fault(
        f"it is for {OTHER_NAMES[Certificate.WRONG_HOST][0]}",
        "subjectAltName",
        "RFC 9525 section 6",
        _for_others(Certificate.WRONG_HOST),
    ),
    Certificate.SELF_SIGNED: Fault("it is signed with its own key", "issuer", "RFC 5280 section 6", _self_signed),
    Certificate.UNTRUSTED_ROOT: Fault(
        "its root, sent along, is one the client was not given", "issuer", "RFC 5280 section 6", _untrusted_root
    ),
    Certificate.INCOMPLETE_CHAIN: Fault(
        "its intermediate is not sent", "chain", "RFC 8446 section 4.4.2", _incomplete_chain
    ),
    Certificate.WEAK_KEY: Fault(
        f"its RSA key has {WEAK_BITS} bits", "key", "RFC 9325 section 4.5", _weak_key, weak=True
    ),
    Certificate.SHA1: Fault(
        "its signature is made with SHA-1", "signature algorithm", "RFC 9325 section 4.5", _sha1, weak=True
    ),
    Certificate.NO_SAN: Fault(
        "the host name is its common name, and there is no subjectAltName",
        "subjectAltName",
        "RFC 9525 section 2",
        _no_san,
    ),
    Certificate.CLIENT_AUTH_ONLY: Fault(
        "its only purpose is clientAuth", "extendedKeyUsage", "RFC 5280 section 4.2.1.12", _client_auth_only
    ),
    Certificate.EXPIRED_INTERMEDIATE: Fault(
        "its intermediate ran out in 2010", "chain", "RFC 5280 section 4.1.2.5", _expired_intermediate
    ),
    Certificate.LOOKALIKE_HOST: Fault(
        "its names begin and end with the host's, and are others",
        "subjectAltName",
        "RFC 9525 section 6.3",
        _for_others(Certificate.LOOKALIKE_HOST),
    ),
    Certificate.CN_MATCH_SAN_MISMATCH: Fault(
        "the host name is its common name, and its subjectAltName has another",
        "subjectAltName",
        "RFC 9525 section 2",
        _cn_match_san_mismatch,
    ),
    Certificate.BAD_SIGNATURE: Fault(
        "its authority's signature does not fit it", "signature", "RFC 5280 section 6", _bad_signature
    ),
    Certificate.LEAF_AS_CA: Fault(
        "the certificate of another server, which is no authority, signed it",
        "chain",
        "RFC 5280 section 4.2.1.9",
        _leaf_as_ca,
    ),
    Certificate.PATH_TOO_LONG: Fault(
        "an authority below which there must be no other one has one",
        "chain",
        "RFC 5280 section 4.2.1.9",
        _path_too_long,
    ),
    Certificate.NAME_CONSTRAINT: Fault(
        "its authority is one for names below other.test alone",
        "chain",
        "RFC 5280 section 4.2.1.10",
        _name_constraint,
    ),
    Certificate.UNKNOWN_CRITICAL: Fault(
        "a critical extension is one that nobody knows", "extension", "RFC 5280 section 4.2", _unknown_critical
    ),
    **{kind: Fault(form.description, "subjectAltName", form.source, _named(form)) for kind, form in NAMES.items()},
}
"""Every certificate that a server can show."""
