"""The SCRAM family (RFC 5802, RFC 7677) on scramp's arithmetic, with channel bindings (RFC 5929)."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from scramp import ScramException, ScramMechanism

from pytest_mailauth.model.canary import Secret
from pytest_mailauth.servers.sasl.exchange import Attempt, Claim, Kind, SaslError, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.servers.sasl.exchange import Exchange, Server

ITERATIONS = 4096
"""The least that RFC 7677 section 4 allows: the fakes protect nobody, and tests should not wait."""


@functools.lru_cache(maxsize=64)
def _stored(hash_name: str, password: str) -> Any:
    return ScramMechanism(hash_name).make_auth_info(password, iteration_count=ITERATIONS, salt=os.urandom(16))


def scram(mechanism: str) -> Callable[[Server, bytes | None], Exchange]:
    """Return the server side of one mechanism of the family, for example ``"SCRAM-SHA-256-PLUS"``."""

    def exchange(server: Server, initial: bytes | None) -> Exchange:
        first = initial if initial is not None else (yield b"")
        identities: list[str] = []

        def stored(identity: str) -> Any:
            identities.append(identity)
            # An unknown name gets a password that nobody has, so that names cannot be found out.
            return _stored(mechanism, server.password_of(identity) or os.urandom(16).hex())

        machine = ScramMechanism(mechanism).make_server(
            stored, channel_binding=_binding(mechanism, server, first), s_nonce=server.nonce()
        )
        try:
            machine.set_client_first(text(first))
            final = yield machine.get_server_first().encode()
            machine.set_client_final(text(final))
        except ScramException as error:
            if not identities:
                raise SaslError(f"{error} (RFC 5802 section 5)") from None
            claim = Claim(identities[0], Secret(""), kind=Kind.PROOF, proved=False)
            return Attempt(claim, server.decide(claim))
        claim = Claim(identities[0], Secret(""), kind=Kind.PROOF, proved=True)
        attempt = Attempt(claim, server.decide(claim))
        if attempt.decision.account is not None:
            # The server's signature; the client answers with an empty response (RFC 5802 section 5).
            yield machine.get_server_final().encode()
        return attempt

    return exchange


def _binding(mechanism: str, server: Server, first: bytes) -> tuple[str, bytes] | None:
    if not mechanism.endswith("-PLUS"):
        return None
    flag = first.partition(b",")[0]
    name = text(flag.removeprefix(b"p=")) if flag.startswith(b"p=") else ""
    if name not in server.channel_bindings:
        known = ", ".join(server.channel_bindings) or "none"
        raise SaslError(
            f"channel binding {name or 'none'} is not to be had here; there is {known} (RFC 5802 section 6)"
        )
    return name, server.channel_bindings[name]
