"""The certificate authority of a run, and the certificates it issues, good and faulty.

What is wrong with a faulty one stands in ``pki_faults``; here are files, caches and ``ssl``. Keys live in memory,
and in a file for the moment that ``ssl`` needs to read one.
"""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
import threading
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pytest_mailauth.model.config import choose
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.portstates import RELAY_HOST
from pytest_mailauth.model.terms import Certificate
from pytest_mailauth.servers.pki_faults import TABLE, for_client
from pytest_mailauth.servers.pki_signing import Leaf, Pair, read, sign_again

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

KeyType = Literal["ec", "rsa"]

ALWAYS_NAMED: Final = ("localhost", "127.0.0.1", "::1")
"""The names that every valid certificate carries besides the configured host, but for that of another server."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Issued:
    """A certificate ready to be shown.

    Attributes:
        name: What it is and for whom, for people.
        chain_pem: What is sent: the leaf first, then the certificates that go with it.
        key_pem: The leaf's private key. Never part of ``repr``.
        weak: True when a context must be at OpenSSL's security level 0 before it takes this certificate.
    """

    name: str
    chain_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)
    weak: bool = False

    def configure(self, context: ssl.SSLContext) -> None:
        """Let *context* show this certificate.

        Raises:
            ssl.SSLError: The certificate is weak and the context's security level is above 0.
        """
        # mkstemp makes the file readable by its owner alone. It has to be closed before Windows lets it be read.
        descriptor, path = tempfile.mkstemp(prefix="mailauth-", suffix=".pem")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.key_pem + self.chain_pem)
            context.load_cert_chain(path)
        finally:
            Path(path).unlink()


class CertificateAuthority:
    """A root made for one run, and every certificate that hangs from it or fails to.

    Safe to be used from several threads. Everything made is kept, so that asking again costs microseconds.

    Examples:
        >>> with CertificateAuthority() as ca:
        ...     ca.issue("expired")
        Issued(name='expired for localhost', weak=False)
    """

    def __init__(self) -> None:
        self._root = trustme.CA()
        self.cert_pem: bytes = self._root.cert_pem.bytes()
        """The root's certificate: all that a client has to trust."""
        self._lock = threading.RLock()
        self._made: dict[Hashable, Any] = {}
        self._closed = False
        self._remove: Callable[[], object] = lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file behind :attr:`cafile`. Harmless when called twice."""
        with self._lock:
            self._closed = True
            self._remove()

    def once(self, key: Hashable, build: Callable[[], _T]) -> _T:
        """Return what *build* returned when *key* was first asked for. Builds run one at a time and may nest."""
        with self._lock:
            try:
                made: _T = self._made[key]
            except KeyError:
                made = self._made[key] = build()
            return made

    @property
    def cafile(self) -> str:
        """The path of a PEM file that holds the root and nothing else, written when first asked for.

        Raises:
            ConfigError: The authority was closed, which removed the file.
        """
        if self._closed:
            raise ConfigError("the certificate authority is closed, and its cafile removed")
        return self.once("cafile", self._write_cafile)

    def _write_cafile(self) -> str:
        folder = tempfile.mkdtemp(prefix="mailauth-")
        # A finalizer also cleans up after a user who forgot close(), silently: the file holds nothing secret.
        self._remove = weakref.finalize(self, _remove_folder, folder, os.getpid())
        path = Path(folder, "ca.pem")
        path.write_bytes(self.cert_pem)
        return str(path)

    def configure_trust(self, context: ssl.SSLContext) -> None:
        """Let *context* trust this authority, besides what it trusts already."""
        context.load_verify_locations(cadata=self.cert_pem.decode("ascii"))

    def ssl_context(self) -> ssl.SSLContext:
        """Return a new client context: trusts this authority alone, checks the host name, TLS 1.2 or newer."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.configure_trust(context)
        return context

    def issue(
        self,
        certificate: Certificate | str = Certificate.VALID,
        *,
        host: str = "localhost",
        key_type: KeyType = "ec",
    ) -> Issued:
        """Return the certificate of a server, the same one for the same arguments.

        The valid one names *host*, ``localhost``, ``127.0.0.1`` and ``::1``, but for that of the server that answers
        on an intercepted port, which names ``relay.isp.test`` alone; a faulty one is the valid one with
        one property changed, see :data:`pytest_mailauth.servers.pki_faults.TABLE`.

        Args:
            certificate: ``"valid"`` or the name of a fault.
            host: The name that clients connect to; an IP address is fine.
            key_type: ``"ec"`` (P-256) or ``"rsa"`` (2048 bits; the first costs tens of milliseconds).
                A ``weak-key`` certificate is RSA either way.

        Raises:
            ConfigError: The fault or the key type is unknown, or *host* can't stand in such a certificate.
        """
        kind = choose(Certificate, certificate, "certificate")
        if key_type not in ("ec", "rsa"):
            raise ConfigError(f"key_type={key_type!r} is not known; use one of 'ec', 'rsa'")

        def build() -> Issued:
            fault = TABLE[kind]
            made = fault.make(self._leaf(host, key_type), self._signer)
            return _issued(f"{kind} for {host}", made, weak=fault.weak)

        return self.once(("certificate", kind, host, key_type), build)

    def issue_client(self, common_name: str) -> Issued:
        """Return a client's certificate, in the name of *common_name*, for the purpose clientAuth alone."""

        def build() -> Issued:
            key = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
            template = self._leaf("localhost", "ec").certificate
            no_names = {x509.SubjectAlternativeName: None}
            made = for_client(template, self._signer, subject=subject, key=key, extensions=no_names)
            return _issued(f"client certificate of {common_name}", Leaf(made, key))

        return self.once(("client", common_name), build)

    def client_file(self, common_name: str) -> str:
        """Return the path of a PEM file with the certificate of a client and its key, readable by its owner alone.

        It goes when this authority is closed.
        """
        issued = self.issue_client(common_name)

        def write() -> str:
            # Beside the authority's own file: mkstemp lets nobody else read it.
            descriptor, path = tempfile.mkstemp(prefix="client-", suffix=".pem", dir=Path(self.cafile).parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(issued.key_pem + issued.chain_pem)
            return path

        return self.once(("client file", common_name), write)

    @property
    def _signer(self) -> Pair:
        return self.once("signer", lambda: read(self._root.cert_pem, self._root.private_key_pem))

    def _leaf(self, host: str, key_type: KeyType) -> Leaf:
        """Return the valid leaf, from which every other certificate of *host* is derived."""

        def build_ec() -> Leaf:
            try:
                also = () if host == RELAY_HOST else ALWAYS_NAMED
                leaf = self._root.issue_cert(*dict.fromkeys((host, *also)))
            except ValueError as error:
                raise ConfigError(f"host={host!r} can't stand in a certificate: {error}") from error
            return Leaf(*read(leaf.cert_chain_pems[0], leaf.private_key_pem))

        def build_rsa() -> Leaf:
            # One RSA key serves all hosts: making one costs more than all other certificates of a run together.
            key = self.once("rsa key", lambda: rsa.generate_private_key(65537, 2048))
            return Leaf(sign_again(self._leaf(host, "ec").certificate, self._signer, key=key), key)

        return self.once(("leaf", host, key_type), build_ec if key_type == "ec" else build_rsa)


def _issued(name: str, leaf: Leaf, *, weak: bool = False) -> Issued:
    chain = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in (leaf.certificate, *leaf.above))
    key = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Issued(name, chain, key, weak)


def _remove_folder(folder: str, owner: int) -> None:
    # A forked child inherits the finalizer, but not the folder.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
