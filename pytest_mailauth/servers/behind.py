"""What stands behind each port state, as one table: the attempt, what befalls a connection, and whose server answers.

A state is settings of a server, and one thing that the wire does at one moment. No engine knows of any.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.model.config import (
    IN_CLEAR,
    PASSWORD_MECHANISMS,
    TOKEN_MECHANISMS,
    AuthPolicy,
    TLSPolicy,
)
from pytest_mailauth.model.deviations import Greet, Slow
from pytest_mailauth.model.portstates import RELAY_HOST
from pytest_mailauth.model.relay import RelayPolicy
from pytest_mailauth.model.terms import Certificate, PortState, Protocol, Security

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_mailauth.model.config import ServerConfig

DRIP: Final = 0.002
"""Seconds between two bytes of a slow server: a line of 4 kbit/s. A login takes a second or two."""

BANNERS: Final = {
    Protocol.SMTP: b"554 5.7.1 Connection blocked by this network; use your provider's submission port\r\n",
    Protocol.POP3: b"-ERR Connection blocked by this network\r\n",
    Protocol.IMAP: b"* BYE Connection blocked by this network\r\n",
}
"""What a box on the path says in the place of a greeting.

RFC 5321 section 3.1 wants a text that helps to find the fault, so that whoever reads it knows what to do."""

_GREETINGS: Final = {
    Protocol.POP3: f"+OK {RELAY_HOST} POP3 server ready\r\n".encode(),
    Protocol.IMAP: f"* OK {RELAY_HOST} IMAP4rev1 server ready\r\n".encode(),
}
"""How another server greets where the own one has no name in its greeting. With APOP, the timestamp has it."""


class Attempt(Enum):
    """What becomes of a connection attempt."""

    ANSWERED = auto()
    REFUSED = auto()
    UNANSWERED = auto()
    IMPOSSIBLE = auto()
    """Loopback cannot do it."""


class Moment(Enum):
    """When a port state makes itself felt on a connection."""

    CONNECTED = auto()
    HELLO = auto()
    """The ClientHello was read, and not answered."""


class End(Enum):
    """How the wire ends what it had with a client."""

    SILENCE = auto()
    RESET = auto()
    CLOSE = auto()


class Behind(NamedTuple):
    """One row of the table.

    Attributes:
        attempt: What becomes of a connection attempt.
        moment: When the state makes itself felt, which is noted; None for a port that is as it should be.
        says: What is said then, in clear.
        end: How it ends then; None where a server goes on.
        server: Returns the settings of the server that answers, from those of the server whose port it is.
    """

    attempt: Attempt = Attempt.ANSWERED
    moment: Moment | None = Moment.CONNECTED
    says: Mapping[Protocol, bytes] = {}
    end: End | None = None
    server: Callable[[ServerConfig], ServerConfig] = lambda config: config


def _relay(config: ServerConfig) -> ServerConfig:
    """Return the settings of a server that takes the client for its own: same TLS, its own name, logins as offered."""
    auth = replace(
        _of_no_account(config.auth, AuthPolicy(mechanisms=config.auth.mechanisms or PASSWORD_MECHANISMS)),
        before_tls=config.auth.before_tls,
        password_commands=config.auth.password_commands,
    )
    named = _GREETINGS.get(Protocol(config.protocol))
    greets = (Greet(data=named),) if named and "APOP" not in (*auth.mechanisms, *auth.before_tls) else ()
    return replace(
        config,
        port_state=PortState.OPEN,
        host=RELAY_HOST,
        certificate=Certificate.VALID,
        auth=auth,
        relay=RelayPolicy(relay="open"),
        deviations=(*config.deviations, *greets),
    )


def _relay_in_clear(config: ServerConfig) -> ServerConfig:
    """Return the settings of the same without TLS: whatever the client would log in with is taken in clear."""
    takes_tokens_only = bool(config.auth.mechanisms) and set(config.auth.mechanisms) <= set(TOKEN_MECHANISMS)
    auth = _of_no_account(config.auth, IN_CLEAR.for_tokens() if takes_tokens_only else IN_CLEAR)
    bare = replace(
        config,
        security=Security.NONE,
        tls=TLSPolicy(),
        certificate=Certificate.VALID,
        port_state=PortState.OPEN,
        auth=auth,
    )
    return replace(_relay(bare), auth=auth)


def _of_no_account(own: AuthPolicy, others: AuthPolicy) -> AuthPolicy:
    """Return *others*, with what tells whose a token is: refusals and lock-outs are the own server's."""
    return replace(others, accept_token=own.accept_token, token_scope=own.token_scope)


def _dripping(config: ServerConfig) -> ServerConfig:
    return replace(config, deviations=(*config.deviations, Slow(delay=0.0, between=DRIP)))


BEHIND: Final[dict[PortState, Behind]] = {
    PortState.OPEN: Behind(moment=None),
    PortState.REFUSED: Behind(Attempt.REFUSED),
    PortState.TIMEOUT: Behind(Attempt.UNANSWERED),
    PortState.SILENT: Behind(end=End.SILENCE),
    PortState.RESET: Behind(end=End.RESET),
    PortState.HANDSHAKE_RESET: Behind(moment=Moment.HELLO, end=End.RESET),
    PortState.HANDSHAKE_CLOSE: Behind(moment=Moment.HELLO, end=End.CLOSE),
    PortState.BANNER: Behind(says=BANNERS, end=End.CLOSE),
    PortState.INTERCEPTED: Behind(server=_relay),
    PortState.INTERCEPTED_NO_TLS: Behind(server=_relay_in_clear),
    PortState.PROHIBITED: Behind(Attempt.IMPOSSIBLE),
    PortState.SLOW: Behind(server=_dripping),
}
