"""Mechanisms that carry a bearer token: XOAUTH2 (vendors) and OAUTHBEARER (RFC 7628)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_mailauth.model.canary import Secret
from pytest_mailauth.servers.sasl.exchange import Attempt, Claim, ErrorChallenge, Kind, SaslError, text

if TYPE_CHECKING:
    from pytest_mailauth.servers.sasl.exchange import Exchange, Server

SCOPE = "https://mail.example.test/"
INVALID_TOKEN = "invalid_token"
"""The usual error code of OAUTHBEARER (RFC 6750 section 3.1); XOAUTH2's status is a number of HTTP."""


def _fields(message: bytes) -> dict[str, str]:
    """Return the ``key=value`` pairs of an OAuth message, which end in Control-A (RFC 7628 section 3.1)."""
    if not message.endswith(b"\x01\x01"):
        raise SaslError("an OAuth message ends in two Control-A (RFC 7628 section 3.1)")
    pairs = (text(pair).partition("=") for pair in message[:-2].split(b"\x01"))
    return {key: value for key, _, value in pairs}


def _bearer(fields: dict[str, str]) -> Secret:
    scheme, _, token = fields.get("auth", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise SaslError("an OAuth message holds auth=Bearer and the token (RFC 6750 section 2.1)")
    return Secret(token)


def _judged(server: Server, claim: Claim, error: dict[str, str]) -> Exchange:
    """Judge a claim; a refusal is told in an error challenge first, whatever the client makes of it."""
    decision = server.decide(claim)
    if decision.account is not None:
        return Attempt(claim, decision)
    if decision.status and error["status"] == INVALID_TOKEN:
        error = {**error, "status": decision.status}
    yield ErrorChallenge(json.dumps(error).encode(), claim)
    return Attempt(claim, decision, told=True)


def xoauth2(server: Server, initial: bytes | None) -> Exchange:
    """XOAUTH2: ``user=NAME ^A auth=Bearer TOKEN ^A ^A``. An error challenge is answered with an empty response."""
    fields = _fields(initial if initial is not None else (yield b""))
    claim = Claim(fields.get("user", ""), _bearer(fields), kind=Kind.TOKEN)
    return (yield from _judged(server, claim, {"status": "400", "schemes": "bearer", "scope": SCOPE}))


def oauthbearer(server: Server, initial: bytes | None) -> Exchange:
    """OAUTHBEARER: ``n,a=NAME, ^A`` and key-value pairs with ``auth=Bearer TOKEN`` (RFC 7628 section 3.1).

    An error challenge is JSON, and is answered with one Control-A (RFC 7628 sections 3.2.2 and 3.2.3).
    """
    message = initial if initial is not None else (yield b"")
    header, _, pairs = message.partition(b"\x01")
    flag, _, rest = text(header).partition(",")
    identity, _, surplus = rest.partition(",")
    if flag not in ("n", "y") or surplus or not identity.startswith("a="):
        raise SaslError("an OAUTHBEARER message begins with n,a=NAME, (RFC 7628 section 3.1)")
    name = identity[2:].replace("=2C", ",").replace("=3D", "=")
    claim = Claim(name, _bearer(_fields(pairs)), kind=Kind.TOKEN)
    return (yield from _judged(server, claim, {"status": INVALID_TOKEN, "scope": SCOPE}))
