"""What a selector is asked, and what it may answer. A selector decides how to connect, and connects to nobody."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pytest_mailauth.model.terms import Protocol, Security


class Failure(StrEnum):
    """How an attempt to connect came to its end."""

    TIMEOUT = "timeout"
    """Nothing answered (S11)."""
    REFUSED = "refused"
    """The port is closed."""
    STRIPPED = "stripped"
    """STARTTLS was not offered."""
    HANDSHAKE = "handshake"
    """The TLS handshake failed."""
    CERTIFICATE = "certificate"
    """The certificate is not to be trusted."""


@dataclass(frozen=True, kw_only=True)
class Attempted:
    """An attempt that came before.

    Attributes:
        port: Where.
        mode: ``"implicit"``, ``"starttls"``, ``"none"`` or ``"opportunistic"``.
        failure: How it ended.
        host: The host, where whoever tried it said one.
        min_tls: The oldest TLS version, such as ``"1.2"``, where it was said.
        verify: Whether the certificate was to be verified, where it was said.
    """

    port: int
    mode: str
    failure: Failure
    host: str | None = None
    min_tls: str | None = None
    verify: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Service:
    """A provider whose servers have names of their own for sending and for retrieving (S8).

    Attributes:
        name: What it is called.
        sending: Host for SMTP.
        retrieving: Hosts for POP3 and IMAP.
        requires_oauth: Whether it takes bearer tokens and no password (S16).
    """

    name: str
    sending: str
    retrieving: dict[Protocol, str]
    requires_oauth: bool = False

    def __hash__(self) -> int:
        # A question is hashable as a whole, so that a selector may keep its answers in a cache.
        return hash((self.name, self.sending, self.requires_oauth))

    def host_for(self, protocol: Protocol) -> str:
        """Return the host for a protocol, which may be the plain word."""
        return self.sending if protocol == Protocol.SMTP else self.retrieving[Protocol(protocol)]


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What a client knows when it has to choose.

    Attributes:
        protocol: What it wants to speak.
        port: The port that its user stated; None to choose one.
        stated: The mode that its user stated; None for none.
        credentials: Whether it will log in.
        service: The provider; None where none is known.
        before: The attempts before this one, the last one last.
    """

    protocol: Protocol
    port: int | None = None
    stated: Security | None = None
    credentials: bool = True
    service: Service | None = None
    before: tuple[Attempted, ...] = ()

    @property
    def failed(self) -> Attempted | None:
        """The last attempt before this one."""
        return self.before[-1] if self.before else None

    def __str__(self) -> str:
        told = [f"protocol={str(self.protocol)!r}"]
        told += [f"port={self.port}"] if self.port is not None else []
        told += [f"stated={self.stated and str(self.stated)!r}"]
        told += ["without credentials"] if not self.credentials else []
        if self.service:
            demand = " (requires OAuth 2.0)" if self.service.requires_oauth else ""
            told += [f"provider={self.service.name!r}{demand}"]
        told += [f"after {one.mode} on port {one.port} failed ({one.failure})" for one in self.before]
        return ", ".join(told)


OPPORTUNISTIC: Final = "opportunistic"
"""A mode in which TLS is used where it is offered: an attacker decides that it is not (RFC 8314 section 5.2)."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a selector answered.

    Attributes:
        mode: ``"implicit"``, ``"starttls"``, ``"none"`` or ``"opportunistic"``; None where it does not say.
        port: The port; None where it does not say.
        host: The host; None where it does not say.
        auth: ``"password"`` or ``"oauth"``; None where it does not say.
        min_tls: The oldest TLS version, such as ``"1.2"``; None where it does not say.
        verify: Whether chain and name of the certificate are verified; None where it does not say.
        refusal: Why it connects to nobody, in its own words; None when it does.
    """

    mode: str | None = None
    port: int | None = None
    host: str | None = None
    auth: str | None = None
    min_tls: str | None = None
    verify: bool | None = None
    refusal: str | None = None

    @property
    def is_refused(self) -> bool:
        """Whether it chose not to connect."""
        return self.refusal is not None

    @property
    def is_secure(self) -> bool:
        """Whether nobody on the way can take TLS away."""
        return self.mode in (Security.IMPLICIT, Security.STARTTLS)

    def __str__(self) -> str:
        if self.refusal is not None:
            return f"refused: {self.refusal}" if self.refusal else "refused"
        said = {name: value for name, value in vars(self).items() if value is not None}
        words = [f"{name}={value}" if name == "port" else f"{name}={value!r}" for name, value in said.items()]
        return ", ".join(words) or "nothing"
