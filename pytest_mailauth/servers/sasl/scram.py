"""The SCRAM family (RFC 5802, RFC 7677) with channel bindings (RFC 5929) and authorization identities.

The messages are read and proofs are checked here; what is kept of a password is scramp's to make, SASLprep included.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from scramp import ScramException, ScramMechanism

from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.deviations import MisplaySCRAM
from pytest_mailauth.servers.sasl.exchange import Attempt, Claim, Kind, OddChallenge, SaslError, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.servers.sasl.exchange import Exchange, Server

ITERATIONS: Final = 4096
"""The least that RFC 7677 section 3 allows: the fakes protect nobody, and tests should not wait."""

ODD: Final = "misplayed"
"""What the record calls a message that is wrong on purpose."""
UNBOUND: Final = "the channel binding is not that of this connection (RFC 5802 section 6)"
_HONEST: Final = MisplaySCRAM()

_NONCE: Final = rb"[\x21-\x2b\x2d-\x7e]+"
_EXTENSIONS: Final = rb"(?:,[A-Za-z]=[^\0,]+)*"
_BASE64: Final = rb"[A-Za-z0-9+/]+={0,2}"
_FIRST: Final = re.compile(
    rb"(?P<header>(?P<flag>n|y|p=[A-Za-z0-9.-]+),(?:a=(?P<authorization>[^\0,]+))?,)"
    rb"(?P<bare>n=(?P<identity>[^\0,]+),r=(?P<nonce>" + _NONCE + rb")" + _EXTENSIONS + rb")"
)
"""client-first-message of RFC 5802 section 7; ``m=`` is an extension that no server may overlook."""
_FINAL: Final = re.compile(
    rb"(?P<bare>c=(?P<binding>" + _BASE64 + rb"),r=(?P<nonce>" + _NONCE + rb")" + _EXTENSIONS + rb")"
    rb",p=(?P<proof>" + _BASE64 + rb")"
)
"""client-final-message of RFC 5802 section 7."""


class _Stored(NamedTuple):
    """What a server keeps of a password (RFC 5802 section 3)."""

    salt: bytes
    stored_key: bytes
    server_key: bytes
    iterations: int


@functools.lru_cache(maxsize=64)
def _stored(mechanism: str, password: str) -> _Stored:
    scheme, salt = ScramMechanism(mechanism), os.urandom(16)
    try:
        return _Stored(*scheme.make_auth_info(password, iteration_count=ITERATIONS, salt=salt))
    except ScramException:  # SASLprep forbids the password, so there is nobody who can prove it
        return _Stored(*scheme.make_auth_info(os.urandom(16).hex(), iteration_count=ITERATIONS, salt=salt))


def scram(mechanism: str) -> Callable[[Server, bytes | None], Exchange]:
    """Return the server side of one mechanism of the family, for example ``"SCRAM-SHA-256-PLUS"``."""
    name = "sha1" if mechanism.startswith("SCRAM-SHA-1") else "sha256"

    def exchange(server: Server, initial: bytes | None) -> Exchange:
        message = initial if initial is not None else (yield b"")
        first = _matched(_FIRST, message, "first")
        bound = first["header"] + _binding(mechanism, server, first["flag"])
        identity, authorization = _name(first["identity"]), _name(first["authorization"] or b"")
        play = server.deviation(MisplaySCRAM) or _HONEST
        # An unknown name gets a password that nobody has, so that names cannot be found out.
        kept = _stored(mechanism, server.password_of(identity) or os.urandom(16).hex())
        nonce = _nonce(play.nonce, first["nonce"], server.nonce().encode())
        challenge = b"%br=%b,s=%b,i=%d" % (
            play.extension.encode(),
            nonce,
            base64.b64encode(kept.salt),
            play.iterations or kept.iterations,
        )
        if play.spoils_first_message:
            challenge = OddChallenge(challenge, ODD)

        final = _matched(_FINAL, (yield challenge), "final")
        said = b",".join((first["bare"], challenge, final["bare"]))
        is_bound = _decoded(final["binding"]) == bound
        proved = is_bound and final["nonce"] == nonce and _proves(_decoded(final["proof"]), said, kept.stored_key, name)
        claim = Claim(identity, Secret(""), authorization, Kind.PROOF, proved)
        attempt = Attempt(claim, server.decide(claim), flaw="" if is_bound else UNBOUND)
        if attempt.decision.account is None:
            return attempt
        if play.signature == "missing":
            return attempt._replace(deviated=ODD)
        # The server's signature (RFC 5802 section 5). SMTP and POP3 have no room for it beside the success (RFC 4954
        # and 5034, section 4), so that the client answers with an empty response.
        signature = hmac.digest(kept.server_key, said, name)
        if play.signature == "right":
            yield b"v=" + base64.b64encode(signature)
        else:
            yield OddChallenge(b"v=" + base64.b64encode(bytes([signature[0] ^ 1]) + signature[1:]), ODD)
        return attempt

    return exchange


def _nonce(how: str, client: bytes, server: bytes) -> bytes:
    """Return what the server makes of the client's nonce (RFC 5802 section 5.1)."""
    return {"extended": client + server, "replaced": server, "repeated": client}[how]


def _matched(pattern: re.Pattern[bytes], message: bytes, which: str) -> dict[str, bytes]:
    match = pattern.fullmatch(message)
    if match is None:
        raise SaslError(f"the client's {which} message breaks its syntax (RFC 5802 section 7)")
    return match.groupdict()


def _name(escaped: bytes) -> str:
    """Return a name as it was meant: a comma travels as ``=2C`` and an equals sign as ``=3D``."""
    if re.search(rb"=(?!2C|3D)", escaped):
        raise SaslError("in a name = stands only in =2C and =3D (RFC 5802 section 5.1)")
    return text(escaped.replace(b"=2C", b",").replace(b"=3D", b"="))


def _decoded(encoded: bytes) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise SaslError("the client's final message holds what is not base64 (RFC 5802 section 7)") from None


def _proves(proof: bytes, said: bytes, stored_key: bytes, name: str) -> bool:
    """Return whether whoever made *proof* knows the password (RFC 5802 section 3)."""
    signature = hmac.digest(stored_key, said, name)
    if len(proof) != len(signature):
        return False
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    return hmac.compare_digest(hashlib.new(name, client_key).digest(), stored_key)


def _binding(mechanism: str, server: Server, flag: bytes) -> bytes:
    """Return the data that the client has to have bound to (RFC 5802 section 6), none without a channel binding."""
    if not mechanism.endswith("-PLUS"):
        if flag == b"y" and server.accepts(f"{mechanism}-PLUS"):
            raise SaslError("the client was told that there is no channel binding, but there is (RFC 5802 section 6)")
        if flag in (b"n", b"y"):
            return b""
        raise SaslError(f"channel binding belongs to {mechanism}-PLUS (RFC 5802 section 6)")
    wanted = text(flag.removeprefix(b"p=")) if flag.startswith(b"p=") else ""
    if wanted not in server.channel_bindings:
        known = ", ".join(server.channel_bindings) or "none"
        raise SaslError(
            f"channel binding {wanted or 'none'} is not to be had here; there is {known} (RFC 5802 section 6)"
        )
    return server.channel_bindings[wanted]
