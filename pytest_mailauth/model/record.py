"""What a rule may see: one immutable record a connection, with the questions rules ask of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

from pytest_mailauth.model import events as e
from pytest_mailauth.model.terms import HandshakeOutcome, Layer, Protocol, Security
from pytest_mailauth.model.transcript import hidden_values, presented, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.canary import Account
    from pytest_mailauth.model.hello import ClientHello

_F = TypeVar("_F")

FAREWELLS: Final = {Protocol.SMTP: "QUIT", Protocol.POP3: "QUIT", Protocol.IMAP: "LOGOUT"}
"""How a client takes its leave: RFC 5321 section 4.1.1.10, RFC 1939 section 6, RFC 9051 section 6.1.3."""


@dataclass(frozen=True)
class TLSFacts:
    """What is known about the TLS of one connection.

    Attributes:
        outcome: How the handshake ended.
        version: Negotiated version, for example ``"1.3"``; None when there was none.
        cipher: Negotiated cipher suite in OpenSSL's spelling; None when there was none.
        client_hello: What the client offered; None when no complete ClientHello came.
        alert: The client's fatal alert by its RFC 8446 name, for example ``"unknown_ca"``.
        reason: Why this server refused, when it did.
        shown: The names in the certificate that the client showed; empty when it showed none.
    """

    outcome: HandshakeOutcome
    version: str | None = None
    cipher: str | None = None
    client_hello: ClientHello | None = None
    alert: str | None = None
    reason: str | None = None
    shown: tuple[str, ...] = ()

    @property
    def client_refused(self) -> bool:
        """True when the client ended the handshake, or left after it without a byte of mail protocol."""
        return self.outcome in _REFUSALS


_REFUSALS: Final = (
    HandshakeOutcome.CLIENT_ALERT,
    HandshakeOutcome.CLIENT_LEFT_DURING,
    HandshakeOutcome.CLIENT_LEFT_AFTER,
)


@dataclass(frozen=True)
class SessionRecord:
    """Everything that was observed on one connection.

    Attributes:
        number: Counts the connections of one server from 1.
        protocol: The protocol of the server.
        security: How the server wanted the connection to become secure.
        listener: ``"main"``, or the name of another listener of the same trial.
        entries: The facts in order, each with time and layer.
        accounts: The accounts whose secrets are hidden when the record is shown.
        issued: Returns further secrets to hide, each with the label to show in its place: tokens issued elsewhere.
    """

    number: int
    protocol: Protocol
    security: Security
    listener: str
    entries: tuple[e.Entry, ...]
    accounts: tuple[Account, ...] = field(default=(), repr=False)
    issued: Callable[[], tuple[tuple[str, str], ...]] = field(default=tuple, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<SessionRecord {self.number} {self.protocol} {self.security}: {len(self.entries)} facts>"

    def of(self, kind: type[_F], layer: Layer | None = None) -> tuple[_F, ...]:
        """Return the facts of one kind in order, on one layer or on both."""
        return tuple(x.fact for x in self.entries if isinstance(x.fact, kind) and layer in (None, x.layer))

    def stream(self, kind: type[e.Received | e.Sent], layer: Layer) -> bytes:
        """Return the bytes of one direction on one layer, joined."""
        return b"".join(fact.data for fact in self.of(kind, layer))

    @cached_property
    def clear_in(self) -> bytes:
        """What the client sent outside TLS, without the handshake itself."""
        return self.stream(e.Received, Layer.CLEAR)

    @cached_property
    def clear_out(self) -> bytes:
        """What the server sent outside TLS, without the handshake itself."""
        return self.stream(e.Sent, Layer.CLEAR)

    @cached_property
    def tls_in(self) -> bytes:
        """What the client sent inside TLS, decrypted."""
        return self.stream(e.Received, Layer.TLS)

    @cached_property
    def tls_out(self) -> bytes:
        """What the server sent inside TLS, before encryption."""
        return self.stream(e.Sent, Layer.TLS)

    @cached_property
    def commands(self) -> tuple[e.Command, ...]:
        """The commands on both layers, in order. ``str(command)`` is a line that may be shown."""
        return self.of(e.Command)

    def verbs(self, layer: Layer | None = None) -> tuple[str, ...]:
        """Return the verbs of the commands, on one layer or on both."""
        return tuple(command.verb for command in self.of(e.Command, layer))

    @cached_property
    def auth(self) -> tuple[e.Authentication, ...]:
        """The credentials that were presented, in order."""
        return self.of(e.Authentication)

    @cached_property
    def stored(self) -> tuple[e.Stored, ...]:
        """The messages that were taken over from the client, with size in bytes and envelope recipients."""
        return self.of(e.Stored)

    @property
    def quit_sent(self) -> bool:
        """True when the last thing the client said was QUIT, or LOGOUT in IMAP."""
        last = self.commands[-1] if self.commands else None
        return (
            last is not None and last.verb == FAREWELLS[self.protocol] and not last.argument
        )  # with one it is refused

    @cached_property
    def closed(self) -> e.Closed | None:
        """How the connection ended, or None while it is open."""
        ends = self.of(e.Closed)
        return ends[-1] if ends else None

    @cached_property
    def tls(self) -> TLSFacts | None:
        """What is known about TLS on this connection; None when no handshake was begun."""
        hello = next(iter(self.of(e.HelloSeen)), None)
        ended = next(iter(self.of(e.HandshakeEnded)), None)
        client_hello = hello.hello if hello else None
        if ended is None:
            if hello is None or self.closed is None:
                return None
            return TLSFacts(HandshakeOutcome.CLIENT_LEFT_DURING, client_hello=client_hello)
        outcome, alert = ended.outcome, ended.alert
        if outcome is HandshakeOutcome.COMPLETED and not self.tls_in:
            late = next(iter(self.of(e.AlertReceived)), None)
            if late is not None:
                outcome, alert = HandshakeOutcome.CLIENT_ALERT, late.alert
            elif self.closed is not None:
                outcome = HandshakeOutcome.CLIENT_LEFT_AFTER
        return TLSFacts(outcome, ended.version, ended.cipher, client_hello, alert, ended.reason, ended.shown)

    @property
    def over_tls(self) -> bool:
        """True when a handshake finished on this connection."""
        return any(f.outcome is HandshakeOutcome.COMPLETED for f in self.of(e.HandshakeEnded))

    @property
    def hidden(self) -> tuple[tuple[str, str], ...]:
        """What must not be shown: secrets of the accounts, issued ones, and those presented, each with its label."""
        return (*hidden_values(self.accounts), *self.issued(), *presented(self.entries, self.accounts))

    def transcript(self) -> str:
        """Return the session as lines of ``C:`` and ``S:`` with the TLS boundary drawn and secrets hidden."""
        return render(self.entries, self.hidden)
