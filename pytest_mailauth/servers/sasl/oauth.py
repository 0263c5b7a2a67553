"""Mechanisms that carry a bearer token: XOAUTH2 (vendors) and OAUTHBEARER (RFC 7628)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.canary import Secret
from pytest_mailauth.servers.sasl.exchange import Attempt, Claim, ErrorChallenge, Kind, SaslError, text

if TYPE_CHECKING:
    from pytest_mailauth.servers.sasl.exchange import Exchange, Server

INVALID_TOKEN = "invalid_token"
"""The usual error code of OAUTHBEARER (RFC 6750 section 3.1); XOAUTH2's status is a number of HTTP."""
_GS2_HEADER: Final = re.compile(r"[ny],(?:a=([^,\0]+))?,")
"""Without channel binding, and with or without an authorization identity (RFC 5801 section 4)."""


def _fields(message: bytes) -> dict[str, str]:
    """Return the ``key=value`` pairs of an OAuth message, which end in Control-A (RFC 7628 section 3.1)."""
    if not message.endswith(b"\x01\x01"):
        raise SaslError("an OAuth message ends in two Control-A (RFC 7628 section 3.1)")
    pairs = (text(pair).partition("=") for pair in message[:-2].split(b"\x01"))
    return {key: value for key, _, value in pairs}


def _bearer(fields: dict[str, str]) -> Secret:
    """Return the bearer token; empty where there is another scheme or none."""
    scheme, _, token = fields["auth"].partition(" ")
    return Secret(token if scheme.lower() == "bearer" else "")


def _judged(server: Server, claim: Claim, error: dict[str, str]) -> Exchange:
    """Judge a claim; a refusal is told in *error* first, with the scope, whatever the client makes of it."""
    decision = server.decide(claim)
    if decision.account is not None:
        # Who gave no name is whoever the token is for.
        return Attempt(claim if claim.identity else claim._replace(identity=decision.account.username), decision)
    told = server.token_help
    if not told.challenged:
        return Attempt(claim, decision)
    error = {**error, "scope": told.scope}
    if error["status"] == INVALID_TOKEN:
        error["status"] = decision.status or INVALID_TOKEN
        if told.discovery_url:
            error["openid-configuration"] = told.discovery_url
    yield ErrorChallenge(json.dumps(error).encode(), claim)
    return Attempt(claim, decision, told=True)


def xoauth2(server: Server, initial: bytes | None) -> Exchange:
    """XOAUTH2: ``user=NAME ^A auth=Bearer TOKEN ^A ^A``. An error challenge is answered with an empty response."""
    fields = _fields(initial if initial is not None else (yield b""))
    token = _bearer({"auth": "", **fields})
    if not token:
        raise SaslError("an OAuth message holds auth=Bearer and the token (RFC 6750 section 2.1)")
    claim = Claim(fields.get("user", ""), token, kind=Kind.TOKEN)
    return (yield from _judged(server, claim, {"status": "400", "schemes": "bearer"}))


def oauthbearer(server: Server, initial: bytes | None) -> Exchange:
    """OAUTHBEARER: ``n,a=NAME, ^A`` and key-value pairs with ``auth=Bearer TOKEN`` (RFC 7628 section 3.1).

    The name may be missing (``n,,``): the token says who comes. An error challenge is JSON, and is answered with one
    Control-A (RFC 7628 sections 3.2.2 and 3.2.3). A client asks for one with an empty ``auth=`` (section 4.3).
    """
    message = initial if initial is not None else (yield b"")
    header, _, pairs = message.partition(b"\x01")
    told = _GS2_HEADER.fullmatch(text(header))
    if told is None:
        raise SaslError("an OAUTHBEARER message begins with n,a=NAME, or n,, (RFC 7628 section 3.1)")
    fields = _fields(pairs)
    if "auth" not in fields:
        raise SaslError("an OAUTHBEARER message holds auth= (RFC 7628 section 3.1)")
    name = (told[1] or "").replace("=2C", ",").replace("=3D", "=")
    claim = Claim(name, _bearer(fields), kind=Kind.TOKEN)
    return (yield from _judged(server, claim, {"status": INVALID_TOKEN}))
