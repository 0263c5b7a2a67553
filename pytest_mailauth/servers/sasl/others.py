"""Mechanisms without a secret of their own: EXTERNAL (RFC 4422 appendix A) and ANONYMOUS (RFC 4505)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.model.canary import Secret
from pytest_mailauth.servers.sasl.exchange import Attempt, Claim, Kind, text

if TYPE_CHECKING:
    from pytest_mailauth.servers.sasl.exchange import Exchange, Server


def external(server: Server, initial: bytes | None) -> Exchange:
    """EXTERNAL: the client's certificate says who it is; the message is the authorization identity or empty."""
    authorization = text(initial if initial is not None else (yield b""))
    names = server.peer_identities
    identity = authorization if authorization in names else (names[0] if names else authorization)
    claim = Claim(identity, Secret(""), authorization, Kind.CERTIFICATE, proved=identity in names)
    return Attempt(claim, server.decide(claim))


def anonymous(server: Server, initial: bytes | None) -> Exchange:
    """ANONYMOUS: the message is trace information that identifies nobody."""
    trace = text(initial if initial is not None else (yield b""))
    claim = Claim(trace, Secret(""), kind=Kind.NOTHING, proved=True)
    return Attempt(claim, server.decide(claim))
