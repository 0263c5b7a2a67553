"""The proof that a server of what nobody may accept any more serves just that: a handshake in memory."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING

from pytest_mailauth.model.errors import CannotServe
from pytest_mailauth.model.obsolete import WENT_ON, Obsolete
from pytest_mailauth.model.terms import Certificate, HandshakeOutcome
from pytest_mailauth.servers.wire.contexts import shake_hands
from pytest_mailauth.servers.wire.hello import WholeHello
from pytest_mailauth.servers.wire.legacy_flight import ForgedChannel, client_key_exchange

if TYPE_CHECKING:
    from pytest_mailauth.model.hello import ClientHello
    from pytest_mailauth.servers.pki import CertificateAuthority
    from pytest_mailauth.servers.wire.contexts import ServerContext
    from pytest_mailauth.servers.wire.legacy_engine import Identity

_TURNS = 8
"""Times that either side speaks, at most: more than a handshake has."""


def prove_engine(what: Obsolete, identity: Identity) -> None:
    """Let tlslite-ng shake hands with itself, the client having nothing but *what*, and pass a byte.

    Raises:
        CannotServe: It does not come to that.
    """
    from pytest_mailauth.servers.wire.legacy_engine import LegacyChannel, Pipe, settings_for  # noqa: PLC0415 - an extra
    from pytest_mailauth.servers.wire.legacy_package import TLSConnection, TLSError  # noqa: PLC0415

    pipe, channel, passed = Pipe(), None, b""
    client = TLSConnection(pipe)
    steps = client.handshakeClientCert(settings=settings_for(what), async_=True)
    failure: str | None = None
    for _ in range(_TURNS):
        try:
            if all(wants for wants in steps):  # to write: it does so at once
                client.write(b"\n")
        except TLSError as error:
            failure = str(error)
        said = pipe.outgoing.read()
        channel = channel or LegacyChannel(what, identity, _read(said))
        passed += channel.feed(said)
        pipe.incoming += channel.take()
        if passed or failure:
            break
    ended = channel.ended if channel else None
    if passed != b"\n" or ended is None or ended.outcome is not HandshakeOutcome.COMPLETED:
        raise CannotServe(f"tlslite-ng can't serve {what} as asked: {failure or ended}")
    if what is Obsolete.SSL3 and ended.version != "SSL 3.0":
        raise CannotServe(f"tlslite-ng was to serve SSL 3.0 and negotiated {ended.version}")


def prove_short_group(context: ServerContext) -> None:
    """Let a client that takes everything shake hands, and one that wants 112 bits refuse the group.

    Raises:
        CannotServe: One of them does otherwise.
    """
    try:
        shake_hands(_client(0), context)
    except ssl.SSLError as error:
        raise CannotServe(f"{ssl.OPENSSL_VERSION} can't serve a group of 1024 bits: {error.reason}") from error
    try:
        shake_hands(_client(2), context)
    except ssl.SSLError as error:
        if error.reason == "DH_KEY_TOO_SMALL":
            return
        raise CannotServe(f"{ssl.OPENSSL_VERSION} was to serve a group of 1024 bits: {error.reason}") from error
    raise CannotServe(f"{ssl.OPENSSL_VERSION} was to serve a group of 1024 bits, and serves a longer one")


def prove_flight(what: Obsolete, ca: CertificateAuthority) -> None:
    """Let a verifying client go on with an honest flight, and let the forger understand who goes on with *what*.

    So the one thing is all that an honest client can dislike.

    Raises:
        CannotServe: One of the two does not come about.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ca.ssl_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    said = outgoing.read()
    hello = _read(said)

    def forger(forged: Obsolete | None) -> ForgedChannel:
        channel = ForgedChannel(forged, hello, lambda kind: ca.issue(Certificate.VALID, key_type=kind))
        channel.feed(said)
        return channel

    honest, forged = forger(None), forger(what)
    incoming.write(honest.take())
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        honest.feed(outgoing.read())
    except ssl.SSLError as error:
        raise CannotServe(f"{ssl.OPENSSL_VERSION} does not go on with an honest flight: {error.reason}") from error
    forged.feed(client_key_exchange(forged.version, b""))
    for channel in (honest, forged):
        if channel.ended is None or channel.ended.reason != WENT_ON:
            raise CannotServe(f"the answer to a forged flight was not understood: {channel.ended}")


def _read(said: bytes) -> ClientHello:
    parser = WholeHello()
    parser.feed(said)
    if parser.hello is None:
        raise CannotServe(f"our own ClientHello was not understood: {parser.error}")
    return parser.hello


def _client(level: int) -> ssl.SSLContext:
    """Return a client that verifies nothing and takes what is as strong as a security level of OpenSSL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(f"ALL:@SECLEVEL={level}")
    return context
