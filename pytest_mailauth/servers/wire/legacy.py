"""Servers of what nobody may accept any more: who serves which parameter, and the proof that it is really served.

What OpenSSL still has comes from OpenSSL, what it has forgotten from tlslite-ng (the extra ``legacy``), and what no
engine serves is forged. A proof runs in memory, once for each authority.
"""

from __future__ import annotations

import ssl
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.errors import CannotServe
from pytest_mailauth.model.obsolete import FORGED, Obsolete
from pytest_mailauth.model.terms import Certificate
from pytest_mailauth.servers.wire.contexts import server_context
from pytest_mailauth.servers.wire.legacy_flight import ForgedChannel
from pytest_mailauth.servers.wire.legacy_proof import prove_engine, prove_flight, prove_short_group
from pytest_mailauth.servers.wire.tls import TLSChannel

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.hello import ClientHello
    from pytest_mailauth.servers.pki import CertificateAuthority, Issued, KeyType
    from pytest_mailauth.servers.wire.channel import Channel, Terms
    from pytest_mailauth.servers.wire.contexts import ServerContext
    from pytest_mailauth.servers.wire.legacy_engine import Identity

MISSING: Final = 'tlslite-ng serves this, and is not installed: pip install "pytest-mailauth[legacy]"'

DHE_SUITES: Final = ":".join(
    f"DHE-RSA-{cipher}"
    for cipher in (
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "CHACHA20-POLY1305",
        "AES128-SHA256",
        "AES256-SHA256",
        "AES128-SHA",
        "AES256-SHA",
    )
)
GROUP_2: Final = """\
-----BEGIN DH PARAMETERS-----
MIGHAoGBAP//////////yQ/aoiFowjTExmKLgNwc0SkCTgiKZ8x0Agu+pjsTmyJR
Sgh5jjQE3e+VGbPNOkMbMCsKbfJfFDdP4TVtbVHCReSFtXZiXn7G9ExC6aY37WsL
/1y29Aa37e44a/taiZ+lrp8kEXxLH+ZJKGZR7OZTgf//////////AgEC
-----END DH PARAMETERS-----
"""
"""The group of 1024 bits that old servers had built in (RFC 2409 section 6.2), as OpenSSL reads it."""


def legacy_terms(what: Obsolete, ca: CertificateAuthority, host: str) -> Terms:
    """Return what negotiates *what* with every client, with the valid certificate of *host*, proved.

    Raises:
        CannotServe: This host cannot.
    """
    if what in FORGED:
        ca.once(("legacy proof", what), lambda: prove_flight(what, ca))
        return _Forger(what, ca, host)
    if what is Obsolete.DHE_1024:
        ca.once(("legacy proof", what), lambda: prove_short_group(_with_short_group(ca, host)))
        return _ShortGroup(ca, host)
    # Not by trying: an import that fails in one thread is half done in the others.
    if find_spec("tlslite") is None:
        raise CannotServe(MISSING)
    from pytest_mailauth.servers.wire import legacy_engine  # noqa: PLC0415 - 150 ms, and an extra

    def read() -> Identity:
        return legacy_engine.Identity(ca.issue(Certificate.VALID, host=host, key_type="rsa"))

    identity = ca.once(("legacy identity", host), read)
    ca.once(("legacy proof", what), lambda: prove_engine(what, identity))
    return _Engine(what, identity, legacy_engine.LegacyChannel)


class _Engine:
    """Serves with tlslite-ng."""

    def __init__(
        self, what: Obsolete, identity: Identity, make: Callable[[Obsolete, Identity, ClientHello], Channel]
    ) -> None:
        self._what, self._identity, self._make = what, identity, make

    def channel(self, hello: ClientHello, *, may_export: bool = False, early_data: bool = False) -> Channel:  # noqa: ARG002 - nothing older exports
        return self._make(self._what, self._identity, hello)


class _Forger:
    """Answers a ClientHello with a flight made by hand."""

    def __init__(self, what: Obsolete, ca: CertificateAuthority, host: str) -> None:
        self._what, self._ca, self._host = what, ca, host

    def channel(self, hello: ClientHello, *, may_export: bool = False, early_data: bool = False) -> Channel:  # noqa: ARG002 - nothing is exported
        return ForgedChannel(self._what, hello, self._issued)

    def _issued(self, key_type: KeyType) -> Issued:
        return self._ca.issue(Certificate.VALID, host=self._host, key_type=key_type)


class _ShortGroup:
    """Serves with OpenSSL, each client with a context of its own, since one that resumes a session meets no group."""

    def __init__(self, ca: CertificateAuthority, host: str) -> None:
        self._ca, self._host = ca, host

    def channel(self, hello: ClientHello, *, may_export: bool = False, early_data: bool = False) -> Channel:  # noqa: ARG002 - TLS 1.2 exports nothing
        return TLSChannel(_with_short_group(self._ca, self._host))


def _with_short_group(ca: CertificateAuthority, host: str) -> ServerContext:
    context = server_context(TLSPolicy(max_version="1.2", ciphers=DHE_SUITES), Certificate.VALID, ca, host).again()
    with tempfile.TemporaryDirectory(prefix="mailauth-") as folder:
        path = Path(folder, "group.pem")
        path.write_text(GROUP_2)
        try:
            context.load_dh_params(str(path))
        except ssl.SSLError as error:
            raise CannotServe(f"{ssl.OPENSSL_VERSION} takes no group of 1024 bits: {error.reason}") from error
    return context
