"""From settings to an ``ssl.SSLContext``, and the proof that it can do what the settings say.

Contexts are shared by all servers of a run that want the same one. No socket here: a proof runs in memory. What
OpenSSL can't do on this host is :class:`CannotServe`, never a quieter server.
"""

from __future__ import annotations

import contextlib
import ssl
from types import FunctionType
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.config import TLSPolicy, choose
from pytest_mailauth.model.errors import CannotServe, ConfigError
from pytest_mailauth.model.terms import TLS_VERSIONS, Certificate, ClientCertificate

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.hello import ClientHello
    from pytest_mailauth.servers.pki import CertificateAuthority

VERSIONS: Final[dict[str, ssl.TLSVersion]] = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
NEWEST: Final = TLS_VERSIONS[-1]

NEGOTIATED: Final = {"TLSv1": "1.0", "TLSv1.1": "1.1", "TLSv1.2": "1.2", "TLSv1.3": "1.3"}
"""What ``SSLObject.version()`` says, in the words of the settings."""

# With ECDHE first, OpenSSL clients break off TLS 1.0 over the SHA-1 signature in the key exchange and seem to refuse
# the old version, which in truth they accept. Static RSA needs no such signature; ECDHE is there for the others.
LEGACY_CIPHERS: Final = "AES128-SHA:AES256-SHA:HIGH:!aNULL"

_CLIENT_CERTIFICATE: Final[dict[ClientCertificate | str, ssl.VerifyMode]] = {
    ClientCertificate.NONE: ssl.CERT_NONE,
    ClientCertificate.OPTIONAL: ssl.CERT_OPTIONAL,
    ClientCertificate.REQUIRED: ssl.CERT_REQUIRED,
}

# Parts of cipher names that are right but that OpenSSL is usually built without.
_LEFT_OUT: Final = ("RC4", "RC2", "DES", "EXP", "IDEA", "SEED", "PSK", "SRP", "DSS", "MD5")


class ServerContext(ssl.SSLContext):
    """A server's context. Made by :func:`server_context`.

    Attributes:
        authority: Who issued the certificate.
        again: Builds an equal context.
        leaf: The certificate that is shown, in DER.
        proofs: What :func:`probe` found, by policy: why it can't be served, or nothing.
    """

    authority: CertificateAuthority
    again: Callable[[], ServerContext]
    leaf: bytes
    proofs: dict[TLSPolicy, str]

    def facing(self, hello: ClientHello) -> ServerContext:
        """Return the context for the client that sent *hello*: this one, or an equal one that remembers nobody.

        A client that resumes a session never looks at the certificate. There are no tickets, but OpenSSL remembers
        the sessions of TLS 1.2 and older by their id, and Python has no switch for it.
        """
        serves_tls_1_3 = self.maximum_version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.MAXIMUM_SUPPORTED)
        # In TLS 1.3 the session id is filled for show (RFC 8446 appendix D.4).
        if serves_tls_1_3 and "1.3" in hello.versions:
            return self
        # The handshake header has 4 bytes, the version 2 and the random 32; then comes the length of the session id.
        return self.again() if hello.raw[38:39] > b"\0" else self


def _assign_versions(context: ssl.SSLContext, minimum: ssl.TLSVersion, maximum: ssl.TLSVersion) -> None:
    context.minimum_version = minimum
    context.maximum_version = maximum


# Assigning TLS 1.0 or 1.1 emits a DeprecationWarning, an error in many projects, and no setter is free of it.
# warnings.catch_warnings would swap the filters of the whole process, and two threads that leave it in the wrong
# order would leave the wrong filters behind. CPython drops a warning whose place has the module name None, so the
# assignment runs in a namespace of its own that has it: nothing outside this function is touched.
_set_versions = FunctionType(_assign_versions.__code__, {"__name__": None})


_END: Final = "-----END CERTIFICATE-----\n"


def server_context(
    policy: TLSPolicy, certificate: Certificate | str, ca: CertificateAuthority, host: str
) -> ServerContext:
    """Return the context of a server, the same one for the same arguments.

    Args:
        policy: Versions, ciphers, and whether a client certificate is asked for.
        certificate: What to show.
        ca: Issues the certificate, and is who client certificates are verified against.
        host: The name that the certificate is for.

    Raises:
        ConfigError: The ciphers mean nothing to OpenSSL, or the certificate can't be made for *host*.
        CannotServe: OpenSSL on this host lacks the ciphers or the versions, or refuses the certificate.
    """
    kind = choose(Certificate, certificate, "certificate")
    return ca.once(("context", policy, kind, host), lambda: _build(policy, kind, ca, host))


def _build(policy: TLSPolicy, certificate: Certificate, ca: CertificateAuthority, host: str) -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.authority, context.proofs = ca, {}
    context.again = lambda: _build(policy, certificate, ca, host)
    newest = VERSIONS[policy.max_version] if policy.max_version else ssl.TLSVersion.MAXIMUM_SUPPORTED
    try:
        _set_versions(context, VERSIONS[policy.min_version], newest)
    except ValueError as error:  # pragma: no cover  # an OpenSSL built without the version
        raise CannotServe(f"{ssl.OPENSSL_VERSION} has no such TLS version: {error}") from error
    ciphers = LEGACY_CIPHERS if policy.ciphers is None and policy.is_legacy else policy.ciphers
    if ciphers is not None:
        _set_ciphers(context, ciphers)
    # Named ciphers say which key they need. Where both would do, RSA is what every client can use.
    use_rsa = ciphers is not None and any("rsa" in cipher["auth"] for cipher in context.get_ciphers())
    issued = ca.issue(certificate, host=host, key_type="rsa" if use_rsa else "ec")
    if issued.weak and ciphers is None:
        # The same ciphers as beside a strong certificate; only the level differs.
        _set_ciphers(context, ":".join(c["name"] for c in context.get_ciphers() if c["protocol"] != "TLSv1.3"))
    try:
        issued.configure(context)
    except ssl.SSLError as error:
        raise CannotServe(f"{ssl.OPENSSL_VERSION} does not take the certificate {issued.name}: {error}") from error
    context.leaf = ssl.PEM_cert_to_DER_cert(issued.chain_pem.decode().partition("-----END CERTIFICATE-----")[0] + _END)
    # With tickets, a client that leaves right after the handshake also looks like one that broke off (RST).
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    context.verify_mode = _CLIENT_CERTIFICATE[policy.client_certificate]
    if context.verify_mode is not ssl.CERT_NONE:
        ca.configure_trust(context)
    return context


def _set_ciphers(context: ssl.SSLContext, ciphers: str) -> None:
    # What is asked for by name is served, however weak: level 0 switches OpenSSL's own opinion off.
    listed = ciphers if "@SECLEVEL" in ciphers else f"{ciphers}:@SECLEVEL=0"
    try:
        context.set_ciphers(listed)
    except (ssl.SSLError, ValueError) as error:
        if any(part in ciphers.upper() for part in _LEFT_OUT):
            raise CannotServe(f"{ssl.OPENSSL_VERSION} has none of the ciphers {ciphers!r}") from error
        raise ConfigError(
            f"ciphers={ciphers!r} selects no cipher in {ssl.OPENSSL_VERSION}; use an OpenSSL cipher list for TLS 1.2 "
            "or older, for example 'ECDHE+AESGCM' or 'AES128-SHA' (the suites of TLS 1.3 can't be chosen)"
        ) from error


def probe(context: ServerContext, policy: TLSPolicy) -> None:
    """Prove in memory that *context*, built from *policy*, serves the oldest and the newest version it claims.

    The client of the proof verifies nothing and accepts every cipher. Each handshake must end in exactly that
    version and carry a byte. Costs about a millisecond a version, the first time.

    Raises:
        CannotServe: With the reason that OpenSSL gave.
    """
    if policy not in context.proofs:
        claims = dict.fromkeys((policy.min_version, policy.max_version or NEWEST))
        context.proofs[policy] = "; ".join(filter(None, (_failure(context, policy, claim) for claim in claims)))
    if context.proofs[policy]:
        raise CannotServe(context.proofs[policy])


def servable_versions(ca: CertificateAuthority) -> tuple[str, ...]:
    """Return the TLS versions that this host can serve, oldest first. Proved, once for each *ca*."""
    return ca.once("servable versions", lambda: tuple(version for version in TLS_VERSIONS if _can_serve(version, ca)))


def _can_serve(version: str, ca: CertificateAuthority) -> bool:
    policy = TLSPolicy(min_version=version, max_version=version)
    try:
        probe(server_context(policy, Certificate.VALID, ca, "localhost"), policy)
    except CannotServe:
        return False
    return True


def _failure(context: ServerContext, policy: TLSPolicy, version: str) -> str:
    """Return why *context* can't serve *version*, or nothing."""
    try:
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _set_versions(client, VERSIONS[version], VERSIONS[version])
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        client.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
        if policy.client_certificate is not ClientCertificate.NONE:
            context.authority.issue_client("probe").configure(client)
        negotiated = NEGOTIATED.get(shake_hands(client, context) or "")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        return f"{ssl.OPENSSL_VERSION} can't serve TLS {version} as asked: {reason}"
    if negotiated != version:
        return f"{ssl.OPENSSL_VERSION} was to serve TLS {version} and negotiated {negotiated}"
    return ""


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str | None = None) -> str | None:
    """Let two contexts complete a handshake and pass a byte, in memory; return the version they agreed on.

    Args:
        client: The client's context.
        server: The server's context.
        host: The name that the client asks for and verifies.

    Raises:
        ssl.SSLError: Either side refused.
    """
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = client.wrap_bio(to_client, to_server, server_hostname=host)
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    # Each side speaks at most four times: TLS 1.3 takes two turns each, TLS 1.2 three, a HelloRetryRequest one more.
    for side in (theirs, ours) * 4:
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    theirs.write(b"\n")
    ours.read(1)
    return ours.version()
