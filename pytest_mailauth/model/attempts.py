"""What a client tried, connection by connection: under which name, on which port, and how far it came."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import CANARY, find
from pytest_mailauth.model.exchanges import operations_in_clear
from pytest_mailauth.model.terms import RELAY_PORT, STANDARD_PORTS, Layer, Protocol, Security

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord


class AttemptOutcome(StrEnum):
    """How an attempt to connect ended."""

    CONNECTED = "connected"
    """Somebody accepted the connection."""
    REFUSED = "refused"
    """Nothing listens there."""
    TIMEOUT = "timeout"
    """Nothing answered within the client's own time-out."""
    UNBOUNDED = "unbounded"
    """Nothing answered, and the client had set no time-out: it would have waited for the system's."""
    UNRESOLVABLE = "unresolvable"
    """The name has no address."""
    UNREACHABLE = "unreachable"
    """The network said that there is no way, or that it is prohibited."""
    LEFT_LOOPBACK = "left-loopback"
    """The client tried to reach another machine. It was kept from it, and the test fails."""


class FirstBytes(StrEnum):
    """What a client sent first on a connection."""

    TLS = "tls"
    """The beginning of a TLS handshake: the client took the port for one with implicit TLS."""
    TEXT = "text"
    """A command in clear."""
    NOTHING = "nothing"
    """Nothing at all."""


class Strength(IntEnum):
    """How well an attempt protects what it carries, weakest first: by what was done, else by what its port stands for.

    Explicit TLS can be as strong as implicit TLS (RFC 8314 section 5.2: in clear nothing but discovery and STARTTLS).
    It is ranked lower because whoever can block one port can also take STARTTLS away on the other.
    """

    CLEAR = 1
    """Something beyond discovery was said in clear, or a password or token crossed there."""
    RELAY = 2
    """Explicit TLS on port 25, which is for relaying: a login is not to be expected there (S6)."""
    EXPLICIT = 3
    """Explicit TLS: nothing but discovery and STARTTLS in clear."""
    IMPLICIT = 4
    """Implicit TLS: the client's first byte was TLS."""


_STANDS_FOR: Final = {port: service for service, port in STANDARD_PORTS.items()} | {
    RELAY_PORT: (Protocol.SMTP, Security.STARTTLS)
}
"""What a port number says about protocol and mode (S9, S13, S14; RFC 8314 section 3)."""
_BY_MODE: Final = {Security.IMPLICIT: Strength.IMPLICIT, Security.STARTTLS: Strength.EXPLICIT}
_HANDSHAKE: Final = b"\x16"
"""The content type that a ClientHello begins with (RFC 8446 section 5.1)."""
_TEXT: Final = (e.Command, e.Response, e.Malformed, e.Authentication)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt to reach a mail server.

    Attributes:
        number: Counts the attempts of one network from 1, in order.
        name: The name that the client asked for; None when it gave an address.
        address: The loopback address that stands for the name; empty when it has none.
        port: The TCP port that the client asked for, such as 587; 0 where a program asked for a name without address.
        outcome: How the attempt to connect ended.
        at: When it began, in seconds on the monotonic clock.
        timeout: The client's own limit for connecting in seconds; None when it has none, or it is not known.
        waited: Seconds that an attempt without an answer took, or would have taken; None for other outcomes.
        protocol: The protocol of the server that answers there; None when none does.
        security: How that server wants the connection to become secure; None when there is no server.
        session: What was observed on the connection, up to now; None when there was none.
    """

    number: int
    name: str | None
    address: str
    port: int
    outcome: AttemptOutcome
    at: float
    timeout: float | None = None
    waited: float | None = None
    protocol: Protocol | None = None
    security: Security | None = None
    session: SessionRecord | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """Return a line for people: ``"smtp.example.test:587 connected, text first, spoke inside TLS"``."""
        port = f":{self.port}" if self.port else ""
        said = f"{self.name or self.address}{port} {self.outcome}"
        if self.waited is not None:
            said += f" after {self.waited:g} s"
        if self.outcome is AttemptOutcome.CONNECTED:
            spoke = {None: "said nothing", Layer.CLEAR: "spoke in clear", Layer.TLS: "spoke inside TLS"}
            said += f", {self.first} first, {spoke[self.layer]}"
        if self.credentials is not None:
            said += ", credentials " + ("in clear" if self.credentials is Layer.CLEAR else "inside TLS")
        return said

    @property
    def family(self) -> str:
        """``"ipv4"`` or ``"ipv6"``."""
        return "ipv6" if ":" in self.address else "ipv4"

    @property
    def first(self) -> FirstBytes:
        """What the client sent first."""
        for entry in self.session.entries if self.session is not None else ():
            if isinstance(entry.fact, e.HelloSeen | e.HandshakeEnded):
                return FirstBytes.TLS
            if isinstance(entry.fact, e.Received):
                return FirstBytes.TLS if entry.fact.data.startswith(_HANDSHAKE) else FirstBytes.TEXT
            if isinstance(entry.fact, _TEXT):
                return FirstBytes.TEXT
        return FirstBytes.NOTHING

    @property
    def layer(self) -> Layer | None:
        """The strongest layer on which the client spoke; None when it said nothing."""
        layers = {x.layer for x in self.session.entries if isinstance(x.fact, _TEXT)} if self.session else set()
        return next((layer for layer in (Layer.TLS, Layer.CLEAR) if layer in layers), None)

    @property
    def credentials(self) -> Layer | None:
        """The weakest layer on which a password or a token crossed; None when none did."""
        found = {x.layer for x in self.session.entries if isinstance(x.fact, e.Authentication)} if self.session else ()
        return next((layer for layer in (Layer.CLEAR, Layer.TLS) if layer in found), None)

    @property
    def service(self) -> Protocol | None:
        """The protocol of the server that answers there, else the one that the port stands for; None when unknown."""
        return self.protocol or (_STANDS_FOR[self.port][0] if self.port in _STANDS_FOR else None)

    @property
    def strength(self) -> Strength | None:
        """How strong it was, or was meant to be; None when neither the client nor the port says so."""
        if self.session is not None and _was_in_clear(self.session):
            return Strength.CLEAR
        if self.first is FirstBytes.TLS:
            return Strength.IMPLICIT
        mode = _STANDS_FOR[self.port][1] if self.port in _STANDS_FOR else self.security
        if self.first is FirstBytes.TEXT:
            mode = Security.STARTTLS
        if mode is Security.STARTTLS and self.port == RELAY_PORT:
            return Strength.RELAY
        return None if mode is None else _BY_MODE.get(mode)


def _was_in_clear(session: SessionRecord) -> bool:
    """Return whether a client did more than discover in clear, or showed a secret there, in whatever command."""
    shown = bool(session.of(e.Authentication, Layer.CLEAR))
    if shown or operations_in_clear(session):
        return True
    secrets = [secret for account in session.accounts for secret in account.secrets.values()]
    return any(len(secret) >= CANARY and find(secret, session.clear_in) for secret in secrets)
