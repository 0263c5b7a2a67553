"""From settings to an ``ssl.SSLContext``, and the proof that it can do what the settings say.

Contexts are shared by all servers of a run that want the same one. No socket here: a proof runs in memory. What
OpenSSL can't do on this host is :class:`CannotServe`, never a quieter server.
"""

from __future__ import annotations

import contextlib
import ssl
from functools import cached_property
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.config import TLSPolicy, choose
from pytest_mailauth.model.errors import CannotServe
from pytest_mailauth.model.hello import rank
from pytest_mailauth.model.terms import TLS_VERSIONS, Certificate, ClientCertificate
from pytest_mailauth.servers.wire.ciphers import named_suites, set_ciphers
from pytest_mailauth.servers.wire.tls import TLSChannel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_mailauth.model.hello import ClientHello
    from pytest_mailauth.servers.pki import CertificateAuthority, KeyType

VERSIONS: Final[dict[str, ssl.TLSVersion]] = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
NEWEST: Final = TLS_VERSIONS[-1]
OLD: Final = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)

NEGOTIATED: Final = {"TLSv1": "1.0", "TLSv1.1": "1.1", "TLSv1.2": "1.2", "TLSv1.3": "1.3"}
"""What ``SSLObject.version()`` says, in the words of the settings."""

# With ECDHE first, OpenSSL clients break off TLS 1.0 over the SHA-1 signature in the key exchange and seem to refuse
# the old version, which in truth they accept. Static RSA needs no such signature; ECDHE is there for the others, and
# ECDSA, last, for those that have nothing else.
LEGACY_CIPHERS: Final = "AES128-SHA:AES256-SHA:HIGH:!aNULL:+aECDSA"

_CLIENT_CERTIFICATE: Final[dict[ClientCertificate | str, ssl.VerifyMode]] = {
    ClientCertificate.NONE: ssl.CERT_NONE,
    ClientCertificate.OPTIONAL: ssl.CERT_OPTIONAL,
    ClientCertificate.REQUIRED: ssl.CERT_REQUIRED,
}

_KEY_FOR: Final[dict[str, KeyType]] = {"auth-rsa": "rsa", "auth-ecdsa": "ec"}
"""The key that a suite needs, by how it authenticates the server; others take any key or none."""


class ServerContext(ssl.SSLContext):
    """A server's context. Made by :func:`server_context`.

    Attributes:
        authority: Who issued the certificate.
        again: Builds an equal context.
        leaf: The certificate that is shown, in DER.
        key_type: Of the certificate that is shown.
        resumes: Whether a session may be resumed.
        with_key: Returns the context that differs in the type of key; this one where there is no other.
        proofs: What :func:`probe` found, by policy: why it can't be served, or nothing.
    """

    authority: CertificateAuthority
    again: Callable[[], ServerContext]
    leaf: bytes
    key_type: KeyType
    resumes: bool
    with_key: Callable[[KeyType], ServerContext]
    proofs: dict[TLSPolicy, str]

    def channel(self, hello: ClientHello, *, may_export: bool = False, early_data: bool = False) -> TLSChannel:
        """Return the server's end for the client that sent *hello*. See :class:`TLSChannel` for the rest."""
        return TLSChannel(self.facing(hello), may_export=may_export, early_data=early_data)

    def facing(self, hello: ClientHello) -> ServerContext:
        """Return the context for the client that sent *hello*: with the key it needs, and with no memory of it.

        A client that resumes a session never looks at the certificate. There are no tickets, but OpenSSL remembers
        the sessions of TLS 1.2 and older by their id, and Python has no switch for it.
        """
        serves_tls_1_3 = self.maximum_version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.MAXIMUM_SUPPORTED)
        # In TLS 1.3 suites name no key, and the session id is filled for show (RFC 8446 appendix D.4).
        if serves_tls_1_3 and "1.3" in hello.versions:
            return self
        context = self
        # A host's policy may take no such key: then OpenSSL refuses the client in its own words.
        with contextlib.suppress(CannotServe):
            context = self.with_key(self._key_for(hello))
        # The handshake header has 4 bytes, the version 2 and the random 32; then comes the length of the session id.
        return context.again() if hello.raw[38:39] > b"\0" and not self.resumes else context

    def _key_for(self, hello: ClientHello) -> KeyType:
        """Return the type of key that the suite needs which OpenSSL will choose: our first that the client has."""
        offered = frozenset(hello.ciphers)
        # Suites of newer versions stand in every list; the client passes them over as this server does.
        is_old = self.maximum_version in OLD or rank(hello.offered) < rank("1.2")
        passed_over = {"TLSv1.3", "TLSv1.2"} if is_old else {"TLSv1.3"}
        for suite in self.suites:
            # There are no parameters for DHE, and no DSS keys.
            usable = suite["kea"] != "kx-dhe" and suite["auth"] != "auth-dss" and suite["protocol"] not in passed_over
            if usable and suite["id"] & 0xFFFF in offered:
                return _KEY_FOR.get(suite["auth"], self.key_type)
        return self.key_type

    @cached_property
    def suites(self) -> list[Any]:
        """The cipher suites that are served, the preferred ones first, as ``get_ciphers`` describes them."""
        return self.get_ciphers()


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


def _build(
    policy: TLSPolicy, certificate: Certificate, ca: CertificateAuthority, host: str, key_type: KeyType | None = None
) -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.authority, context.proofs = ca, {}
    newest = VERSIONS[policy.max_version] if policy.max_version else ssl.TLSVersion.MAXIMUM_SUPPORTED
    try:
        _set_versions(context, VERSIONS[policy.min_version], newest)
    except ValueError as error:  # pragma: no cover  # an OpenSSL built without the version
        raise CannotServe(f"{ssl.OPENSSL_VERSION} has no such TLS version: {error}") from error
    ciphers = LEGACY_CIPHERS if policy.ciphers is None and policy.is_legacy else policy.ciphers
    if ciphers is not None:
        set_ciphers(context, ciphers)
    if key_type is None:
        # Named ciphers say which key they need. Where both would do, RSA is what every client can use.
        use_rsa = ciphers is not None and any("rsa" in cipher["auth"] for cipher in context.get_ciphers())
        key_type = "rsa" if use_rsa else "ec"
    context.key_type = key_type
    context.again = lambda: _build(policy, certificate, ca, host, key_type)

    def with_key(other: KeyType) -> ServerContext:
        # A weak key is RSA, whatever is asked for.
        if other == key_type or certificate is Certificate.WEAK_KEY:
            return context
        return ca.once(
            ("context", policy, certificate, host, other), lambda: _build(policy, certificate, ca, host, other)
        )

    context.with_key = with_key
    issued = ca.issue(certificate, host=host, key_type=key_type)
    if issued.weak and ciphers is None:
        # The same ciphers as beside a strong certificate; only the level differs.
        set_ciphers(context, ":".join(c["name"] for c in context.get_ciphers() if c["protocol"] != "TLSv1.3"))
    try:
        issued.configure(context)
    except ssl.SSLError as error:
        raise CannotServe(f"{ssl.OPENSSL_VERSION} does not take the certificate {issued.name}: {error}") from error
    context.leaf = ssl.PEM_cert_to_DER_cert(issued.chain_pem.decode().partition("-----END CERTIFICATE-----")[0] + _END)
    # With tickets, a client that leaves right after the handshake also looks like one that broke off (RST).
    context.num_tickets = int(policy.resumption)
    context.resumes = policy.resumption
    if not policy.resumption:
        context.options |= ssl.OP_NO_TICKET
    if policy.acknowledges_name:
        context.sni_callback = _understood
    context.verify_mode = _CLIENT_CERTIFICATE[policy.client_certificate]
    if context.verify_mode is not ssl.CERT_NONE:
        ca.configure_trust(context)
    return context


def _understood(*_: object) -> None:
    """Let OpenSSL go on: that the name was looked at at all is what makes it tell the client so."""


def probe(context: ServerContext, policy: TLSPolicy) -> None:
    """Prove in memory that *context*, built from *policy*, serves what it claims.

    That is the oldest and the newest version, and every cipher suite that is named. The client of the proof verifies
    nothing and accepts every cipher, or the named one alone. Each handshake must end in exactly that version and
    carry a byte. Costs about a millisecond a handshake, the first time.

    Raises:
        CannotServe: With the reason that OpenSSL gave.
    """
    if policy not in context.proofs:
        versions = dict.fromkeys((policy.min_version, policy.max_version or NEWEST))
        failures = list(filter(None, (_failure(context, policy, version, version) for version in versions)))
        context.proofs[policy] = "; ".join(failures or _suites_that_fail(context, policy))
    if context.proofs[policy]:
        raise CannotServe(context.proofs[policy])


def _suites_that_fail(context: ServerContext, policy: TLSPolicy) -> Iterator[str]:
    names = named_suites(policy.ciphers or "")
    newest = min(policy.max_version or "1.2", "1.2")
    for suite in context.suites:  # without those that the list itself takes out again
        if suite["name"] in names:
            shown = context.with_key(_KEY_FOR.get(suite["auth"], context.key_type))
            failure = _failure(shown, policy, policy.min_version, newest, suite["name"])
            if failure:
                yield failure


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


def _failure(context: ServerContext, policy: TLSPolicy, oldest: str, newest: str, suite: str | None = None) -> str:
    """Return why *context* can't serve one version, or *suite* in one of several; or nothing."""
    what = suite or f"TLS {newest}"
    try:
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _set_versions(client, VERSIONS[oldest], VERSIONS[newest])
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        client.set_ciphers(f"{suite or 'ALL:COMPLEMENTOFALL'}:@SECLEVEL=0")
        if policy.client_certificate is not ClientCertificate.NONE:
            context.authority.issue_client("probe").configure(client)
        negotiated = NEGOTIATED.get(shake_hands(client, context) or "")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        return f"{ssl.OPENSSL_VERSION} can't serve {what} as asked: {reason}"
    if suite is None and negotiated != newest:
        return f"{ssl.OPENSSL_VERSION} was to serve {what} and negotiated {negotiated}"
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
