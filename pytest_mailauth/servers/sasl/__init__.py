"""SASL mechanisms as data: one row a mechanism, the same for SMTP, POP3 and IMAP (RFC 4422)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.terms import Refusal
from pytest_mailauth.servers.sasl.exchange import (
    Attempt,
    Claim,
    Decision,
    ErrorChallenge,
    Exchange,
    Kind,
    OddChallenge,
    Peer,
    SaslError,
    Server,
    TokenHelp,
    decode_initial,
    decode_response,
    encode_challenge,
    noted,
    presented,
)
from pytest_mailauth.servers.sasl.oauth import oauthbearer, xoauth2
from pytest_mailauth.servers.sasl.others import anonymous, external
from pytest_mailauth.servers.sasl.password import apop_claim, cram_md5, login, plain
from pytest_mailauth.servers.sasl.staged import staged

if TYPE_CHECKING:
    from collections.abc import Callable


def _scram(mechanism: str) -> Callable[[Server, bytes | None], Exchange]:
    """Return a SCRAM mechanism that imports scramp when it is first used: most tests never do."""

    def exchange(server: Server, initial: bytes | None) -> Exchange:
        from pytest_mailauth.servers.sasl.scram import scram

        return (yield from scram(mechanism)(server, initial))

    return exchange


MECHANISMS: Final[dict[str, Callable[[Server, bytes | None], Exchange]]] = {
    "PLAIN": plain,
    "LOGIN": login,
    "CRAM-MD5": cram_md5,
    "SCRAM-SHA-1": _scram("SCRAM-SHA-1"),
    "SCRAM-SHA-256": _scram("SCRAM-SHA-256"),
    "SCRAM-SHA-256-PLUS": _scram("SCRAM-SHA-256-PLUS"),
    "XOAUTH2": xoauth2,
    "OAUTHBEARER": oauthbearer,
    "EXTERNAL": external,
    "ANONYMOUS": anonymous,
}
"""Mechanism name to its server side. The second argument is the initial response, or None when there was none."""


class _Reader:
    """A server that only listens: it lets a mechanism read a message, and keeps the claim in it."""

    host = ""
    channel_bindings: Final[dict[str, bytes]] = {}
    peer_identities: tuple[str, ...] = ()
    token_help = TokenHelp("")
    somebody = None

    def __init__(self) -> None:
        self.claim: Claim | None = None

    def deviation(self, _kind: object) -> None:
        return None

    def accepts(self, _mechanism: str) -> bool:
        return False

    def nonce(self) -> str:
        return "unused"

    def password_of(self, _identity: str) -> None:
        return None

    def decide(self, claim: Claim) -> Decision:
        self.claim = claim
        return Decision(None, Refusal.INVALID)


def read(mechanism: str, initial: bytes) -> Claim | None:
    """Return the claim in an initial response that nobody is going to judge, or None when it holds none yet.

    Raises:
        SaslError: The message breaks the mechanism's syntax.
    """
    reader = _Reader()
    exchange = begin(mechanism, reader, initial)
    with contextlib.suppress(StopIteration):
        next(exchange)
    exchange.close()
    return reader.claim


def begin(mechanism: str, server: Server, initial: bytes | None) -> Exchange:
    """Return the exchange of *mechanism* (any case); *initial* is the decoded initial response or None."""
    name = mechanism.upper()
    return staged(name, MECHANISMS[name](server, initial), server)


__all__ = [
    "MECHANISMS",
    "Attempt",
    "Claim",
    "Decision",
    "ErrorChallenge",
    "Exchange",
    "Kind",
    "OddChallenge",
    "Peer",
    "SaslError",
    "Server",
    "TokenHelp",
    "apop_claim",
    "begin",
    "decode_initial",
    "decode_response",
    "encode_challenge",
    "noted",
    "presented",
    "read",
]
