"""Settings of a server: frozen, keyword-only, validated when built.

There is no setter and no reset. Another setting is another server.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import (
    TLS_VERSIONS,
    Certificate,
    ClientCertificate,
    PortState,
    Protocol,
    Security,
)

if TYPE_CHECKING:
    from pytest_mailauth.model.deviations import Deviation

_E = TypeVar("_E", bound=StrEnum)

PASSWORD_MECHANISMS: Final = ("PLAIN", "LOGIN")
"""SASL mechanisms that take a password."""
TOKEN_MECHANISMS: Final = ("XOAUTH2", "OAUTHBEARER")
"""SASL mechanisms that take an OAuth 2.0 bearer token instead of a password (S15; RFC 7628)."""
MECHANISMS: Final = (*PASSWORD_MECHANISMS, *TOKEN_MECHANISMS)
"""The SASL mechanisms that the servers know."""

PASSWORD_COMMANDS: Final = ("never", "tls", "always")


def choose(kind: type[_E], value: str, argument: str) -> _E:
    """Return the member of *kind* named *value*, or raise ConfigError listing what is allowed."""
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(repr(member.value) for member in kind)
        raise ConfigError(f"{argument}={value!r} is not known; use one of {allowed}") from None


def _among(value: str, allowed: tuple[str, ...], argument: str) -> None:
    if value not in allowed:
        raise ConfigError(f"{argument}={value!r} is not known; use one of {', '.join(map(repr, allowed))}")


@dataclass(frozen=True, kw_only=True)
class TLSPolicy:
    """Which TLS a server speaks.

    Attributes:
        min_version: Oldest version accepted, ``"1.0"`` to ``"1.3"``. Default ``"1.2"`` (S2, S5, S12; RFC 8997).
        max_version: Newest version accepted; None for the newest that OpenSSL has.
        ciphers: An OpenSSL cipher list for TLS 1.2 and older; None for the default of the version.
        client_certificate: ``"none"``, ``"optional"`` or ``"required"``.

    Raises:
        ConfigError: A version is unknown, or the minimum is newer than the maximum.

    Examples:
        >>> TLSPolicy(max_version="1.2").max_version
        '1.2'
    """

    min_version: str = "1.2"
    max_version: str | None = None
    ciphers: str | None = None
    client_certificate: ClientCertificate | str = ClientCertificate.NONE

    def __post_init__(self) -> None:
        # A lone old maximum means "only old": the default floor of 1.2 would make the policy empty.
        if self.max_version is not None:
            _among(self.max_version, TLS_VERSIONS, "max_version")
            if self.min_version == "1.2" and self.max_version < "1.2":
                object.__setattr__(self, "min_version", self.max_version)
        _among(self.min_version, TLS_VERSIONS, "min_version")
        if self.max_version is not None and self.min_version > self.max_version:
            raise ConfigError(f"min_version={self.min_version!r} is newer than max_version={self.max_version!r}")
        kind = choose(ClientCertificate, self.client_certificate, "client_certificate")
        object.__setattr__(self, "client_certificate", kind)

    @property
    def is_legacy(self) -> bool:
        """True when versions older than TLS 1.2 are served."""
        return self.min_version < "1.2"


@dataclass(frozen=True, kw_only=True)
class AuthPolicy:
    """Who may log in, how, and on which layer. The default is the source document's: only inside TLS.

    Attributes:
        mechanisms: SASL mechanisms offered and accepted inside TLS.
        before_tls: SASL mechanisms offered and accepted in clear. Default none (S2, S9, S12).
        password_commands: Where IMAP ``LOGIN`` and POP3 ``USER``/``PASS`` are accepted:
            ``"never"``, ``"tls"`` (default) or ``"always"``.
        required: Whether an SMTP client must log in before it sends to foreign domains. Default True (S3).
        preauthenticated: Whether the session starts logged in (IMAP ``PREAUTH``, RFC 9051 section 7.1.4).
        advertised: Whether the mechanisms are announced as well as accepted. Default True.

    Raises:
        ConfigError: A mechanism is unknown, or *password_commands* is.

    Examples:
        >>> AuthPolicy(mechanisms=("PLAIN",), before_tls=("PLAIN",)).before_tls
        ('PLAIN',)
    """

    mechanisms: tuple[str, ...] = PASSWORD_MECHANISMS
    before_tls: tuple[str, ...] = ()
    password_commands: str = "tls"
    required: bool = True
    preauthenticated: bool = False
    advertised: bool = True

    def __post_init__(self) -> None:
        for name in ("mechanisms", "before_tls"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise ConfigError(f"{name}={value!r} must be a list of mechanism names, not one string")
            upper = tuple(mechanism.upper() for mechanism in value)
            for mechanism in upper:
                _among(mechanism, MECHANISMS, name)
            object.__setattr__(self, name, upper)
        _among(self.password_commands, PASSWORD_COMMANDS, "password_commands")

    def for_tokens(self) -> AuthPolicy:
        """Return the same policy for a provider that requires OAuth 2.0: tokens wherever there were passwords."""
        return replace(
            self,
            mechanisms=TOKEN_MECHANISMS if self.mechanisms else (),
            before_tls=TOKEN_MECHANISMS if self.before_tls else (),
            password_commands="never",
        )


IN_CLEAR: Final = AuthPolicy(before_tls=PASSWORD_MECHANISMS, password_commands="always")
"""Credentials accepted everywhere: what an insecure server, or an attacker, would take."""


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Everything that makes one server.

    Attributes:
        protocol: ``"smtp"``, ``"pop3"`` or ``"imap"``.
        security: ``"starttls"`` (default), ``"implicit"`` or ``"none"``.
        tls: See :class:`TLSPolicy`.
        certificate: ``"valid"`` or the name of one fault, see :class:`~pytest_mailauth.model.terms.Certificate`.
        auth: See :class:`AuthPolicy`.
        port_state: ``"open"``, ``"refused"``, ``"timeout"``, ``"silent"`` or ``"reset"``.
        host: The name that clients are given and that the valid certificate carries. Default ``"localhost"``.
        local_domains: Domains whose recipients are taken without authentication (S3).
        deviations: Ways in which this server misbehaves; for scenarios.

    Raises:
        ConfigError: A value is unknown, or two of them contradict each other.
    """

    protocol: Protocol | str
    security: Security | str = Security.STARTTLS
    tls: TLSPolicy = field(default_factory=TLSPolicy)
    certificate: Certificate | str = Certificate.VALID
    auth: AuthPolicy = field(default_factory=AuthPolicy)
    port_state: PortState | str = PortState.OPEN
    host: str = "localhost"
    local_domains: tuple[str, ...] = ("example.test",)
    deviations: tuple[Deviation, ...] = ()

    def __post_init__(self) -> None:
        for name, kind in (
            ("protocol", Protocol),
            ("security", Security),
            ("certificate", Certificate),
            ("port_state", PortState),
        ):
            object.__setattr__(self, name, choose(kind, getattr(self, name), name))
        if not isinstance(self.tls, TLSPolicy):
            raise ConfigError(f"tls={self.tls!r} must be a TLSPolicy")
        if not isinstance(self.auth, AuthPolicy):
            raise ConfigError(f"auth={self.auth!r} must be an AuthPolicy")
        if self.security is Security.NONE and self.certificate is not Certificate.VALID:
            raise ConfigError(f"certificate={str(self.certificate)!r} needs TLS, but security is 'none'")
        if self.auth.preauthenticated and self.protocol is not Protocol.IMAP:
            raise ConfigError("preauthenticated=True exists in IMAP only (RFC 9051 section 7.1.4)")
