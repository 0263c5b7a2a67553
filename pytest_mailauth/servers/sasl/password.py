"""Mechanisms that rest on a password: PLAIN, LOGIN, CRAM-MD5, and POP3's APOP digest."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.deviations import SwapPrompts
from pytest_mailauth.servers.sasl.exchange import Attempt, Claim, Kind, OddChallenge, SaslError, text

if TYPE_CHECKING:
    from pytest_mailauth.servers.sasl.exchange import Exchange, Server


def plain(server: Server, initial: bytes | None) -> Exchange:
    """PLAIN: one message, ``[authzid] NUL authcid NUL passwd`` (RFC 4616 section 2)."""
    message = initial if initial is not None else (yield b"")
    parts = message.split(b"\0")
    if len(parts) != 3 or not parts[1]:
        raise SaslError("a PLAIN message is [authzid] NUL authcid NUL passwd (RFC 4616 section 2)")
    claim = Claim(text(parts[1]), Secret(text(parts[2])), text(parts[0]))
    return Attempt(claim, server.decide(claim))


def login(server: Server, initial: bytes | None) -> Exchange:
    """LOGIN: user name, then password. Never standardised (draft-murchison-sasl-login)."""
    if server.deviation(SwapPrompts) is None:
        username = initial if initial is not None else (yield b"Username:")
        password = yield b"Password:"
    else:
        password = initial if initial is not None else (yield OddChallenge(b"Password:", "prompts"))
        username = yield OddChallenge(b"Username:", "prompts")
    claim = Claim(text(username), Secret(text(password)))
    return Attempt(claim, server.decide(claim))


def cram_md5(server: Server, initial: bytes | None) -> Exchange:
    """CRAM-MD5: an HMAC over the server's challenge, in hexadecimal (RFC 2195 section 2). The server speaks first."""
    if initial is not None:
        raise SaslError("CRAM-MD5 has no initial response (RFC 2195 section 2)")
    challenge = f"<{server.nonce()}@{server.host}>".encode()
    response = yield challenge
    identity, space, answer = response.rpartition(b" ")
    if not space or not identity:
        raise SaslError("a CRAM-MD5 response is the user name, a space and the digest (RFC 2195 section 2)")
    password = server.password_of(text(identity))
    proved = password is not None and hmac.compare_digest(
        hmac.digest(password.encode(), challenge, "md5").hex().encode(), answer
    )
    claim = Claim(text(identity), Secret(""), kind=Kind.PROOF, proved=proved)
    return Attempt(claim, server.decide(claim))


def apop_claim(server: Server, timestamp: bytes, identity: bytes, digest: bytes) -> Claim:
    """Return the claim of an APOP command: MD5 of the greeting's timestamp and the password (RFC 1939 section 7)."""
    password = server.password_of(text(identity))
    proved = password is not None and hmac.compare_digest(
        hashlib.md5(timestamp + password.encode(), usedforsecurity=False).hexdigest().encode(), digest
    )
    return Claim(text(identity), Secret(""), kind=Kind.PROOF, proved=proved)
