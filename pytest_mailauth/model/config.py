"""Settings of a server: frozen, keyword-only, validated when built.

There is no setter and no reset. Another setting is another server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pytest_mailauth.model.contradictions import check_together
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.portstates import check_port_state
from pytest_mailauth.model.relay import RelayPolicy
from pytest_mailauth.model.settings import (
    check_callable,
    check_mapping,
    check_number,
    check_rate,
    check_switches,
    known_by_name,
    names_of,
)
from pytest_mailauth.model.terms import (
    OTHER_NAMES,
    TLS_VERSIONS,
    Certificate,
    ClientCertificate,
    PortState,
    Protocol,
    Refusal,
    Security,
)
from pytest_mailauth.model.wordings import check_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_mailauth.model.canary import Account
    from pytest_mailauth.model.deviations import Deviation

_E = TypeVar("_E", bound=StrEnum)

PASSWORD_MECHANISMS: Final = ("PLAIN", "LOGIN")
"""SASL mechanisms that carry a password: the default."""
PROOF_MECHANISMS: Final = ("CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
"""SASL mechanisms that prove knowledge of a password without sending it (RFC 2195, RFC 5802, RFC 7677)."""
TOKEN_MECHANISMS: Final = ("XOAUTH2", "OAUTHBEARER")
"""SASL mechanisms that take an OAuth 2.0 bearer token instead of a password (S15; RFC 7628)."""
OTHER_MECHANISMS: Final = ("EXTERNAL", "ANONYMOUS", "APOP")
"""A client's certificate, nobody (RFC 4505), and POP3's own command APOP (RFC 1939 section 7)."""
MECHANISMS: Final = (*PASSWORD_MECHANISMS, *PROOF_MECHANISMS, *TOKEN_MECHANISMS, *OTHER_MECHANISMS)
"""The mechanisms that the servers know. All are SASL mechanisms but APOP."""

PASSWORD_COMMANDS: Final = ("never", "tls", "always")
LINE_LIMITS: Final = ("strict", "lenient")
_HOST: Final = re.compile(r"[^\s\x00-\x20\x7f:/@<>()\[\]]+")


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


@known_by_name()
@dataclass(frozen=True, kw_only=True)
class TLSPolicy:
    """Which TLS a server speaks.

    Attributes:
        min_version: Oldest version accepted, ``"1.0"`` to ``"1.3"``. Default ``"1.2"`` (S2, S5, S12; RFC 8997).
        max_version: Newest version accepted; None for the newest that OpenSSL has.
        ciphers: An OpenSSL cipher list for TLS 1.2 and older; None for the default of the version. Every suite that
            is named has to be one that can be served, and no keyword may be misspelt. The suites of TLS 1.3 can't be
            chosen and are served besides: ``max_version="1.2"`` leaves them out.
        client_certificate: ``"none"``, ``"optional"`` or ``"required"``.
        acknowledges_name: Whether a client that names its server (SNI) is told that it was understood (RFC 6066
            section 3). Default False: nothing depends on it here, since a server has one certificate.
        resumption: Whether a client may resume a session, with a ticket. Default False: who resumes never looks at the
            certificate.

    Raises:
        ConfigError: A version is unknown, the minimum is newer than the maximum, or the ciphers are for none of them.

    Examples:
        >>> TLSPolicy(max_version="1.2").max_version
        '1.2'
    """

    min_version: str = "1.2"
    max_version: str | None = None
    ciphers: str | None = None
    client_certificate: ClientCertificate | str = ClientCertificate.NONE
    acknowledges_name: bool = False
    resumption: bool = False

    def __post_init__(self) -> None:
        # A lone old maximum means "only old": the default floor of 1.2 would make the policy empty.
        if self.max_version is not None:
            _among(self.max_version, TLS_VERSIONS, "max_version")
            if self.min_version == "1.2" and self.max_version < "1.2":
                object.__setattr__(self, "min_version", self.max_version)
        _among(self.min_version, TLS_VERSIONS, "min_version")
        if self.max_version is not None and self.min_version > self.max_version:
            raise ConfigError(f"min_version={self.min_version!r} is newer than max_version={self.max_version!r}")
        if self.ciphers is not None and not isinstance(self.ciphers, str):
            raise ConfigError(f"ciphers={self.ciphers!r} must be an OpenSSL cipher list such as 'ECDHE+AESGCM'")
        if self.ciphers is not None and self.min_version > "1.2":
            raise ConfigError(
                f"ciphers={self.ciphers!r} is for TLS 1.2 and older, and min_version is {self.min_version!r}; "
                "leave one of them out"
            )
        check_switches(self, "acknowledges_name", "resumption")
        kind = choose(ClientCertificate, self.client_certificate, "client_certificate")
        object.__setattr__(self, "client_certificate", kind)

    @property
    def is_anonymous(self) -> bool:
        """True when only suites are served in which nobody shows a certificate (RFC 5246 appendix A.5)."""
        if self.ciphers is None or self.max_version is None or self.max_version > "1.2":
            return False
        chosen = [part for part in self.ciphers.split(":") if part and part[0] not in "!-@"]
        return bool(chosen) and all(part.startswith(("aNULL", "ADH", "AECDH")) for part in chosen)

    @property
    def is_legacy(self) -> bool:
        """True when versions older than TLS 1.2 are served."""
        return self.min_version < "1.2"


@known_by_name()
@dataclass(frozen=True, kw_only=True)
class AuthPolicy:
    """Who may log in, how, and on which layer. The default is the source document's: only inside TLS.

    Attributes:
        mechanisms: SASL mechanisms offered and accepted inside TLS.
        before_tls: SASL mechanisms offered and accepted in clear. Default none (S2, S9, S12). None with
            ``security="implicit"``, which has no clear phase.
        password_commands: Where IMAP ``LOGIN`` and POP3 ``USER``/``PASS`` are accepted:
            ``"never"``, ``"tls"`` (default) or ``"always"``.
        preauthenticated: Whether the session starts logged in (IMAP ``PREAUTH``, RFC 9051 section 7.1.4).
        advertised: Whether the mechanisms are announced as well as accepted. Default True. APOP can't be hidden: the
            timestamp in the greeting announces it, and a client needs it (RFC 1939 section 7).
        reject: Refuse every login, right or wrong, with this reason: ``"invalid"``, ``"temporary"``, ``"too-weak"``,
            ``"transition"`` and so on, see :class:`~pytest_mailauth.model.terms.Refusal`. Default None.
        too_weak: Mechanisms that are announced and then refused as too weak (SMTP 534 5.7.9).
        less_secure_apps: Whether passwords are taken at all. False is the source document's switch (S16): a right
            password is refused because OAuth 2.0 is required.
        lockout: After this many wrong passwords or tokens in a row an account is locked, even for the right one.
            Default None.
        rate_limit: At most this many attempts in this many seconds, for example ``(5, 60.0)``. Default None.
        decide: Called with each claim (``identity``, ``secret``, ``authorization``, ``kind``, ``proved``); returns
            True, False, a refusal's name, or None for the usual decision.
        accept_token: Called with a bearer token and the account it is for; returns True, False, or the error code for
            the error challenge (RFC 6750 section 3.1). None (default) for the account's own token.
            ``mailauth_oauth.admits`` fits here. If it has the attributes ``scope`` and ``discovery_url`` the error
            challenge tells them.
        token_scope: The scope that the error challenge tells a client whose token is refused (RFC 7628 section 3.2.2).
            None (default) for the one of ``accept_token``.
        error_challenge: Whether a refused token is answered with an error challenge first. Default True; False refuses
            at once, as some providers do.
        address_logs_in: Whether the mail address of an account logs in as well as its login name. Default True; False
            shows whether an application uses the one for the other.
        texts: Replies in another wording, by refusal: ``{"invalid": "535 5.7.8 Username and Password not accepted"}``.

    Raises:
        ConfigError: A setting, a mechanism or another value is unknown, or too_weak names what is not offered.

    Examples:
        >>> AuthPolicy(mechanisms=("PLAIN",), before_tls=("PLAIN",)).before_tls
        ('PLAIN',)
    """

    mechanisms: tuple[str, ...] = PASSWORD_MECHANISMS
    before_tls: tuple[str, ...] = ()
    password_commands: str = "tls"
    preauthenticated: bool = False
    advertised: bool = True
    reject: Refusal | str | None = None
    too_weak: tuple[str, ...] = ()
    less_secure_apps: bool = True
    lockout: int | None = None
    rate_limit: tuple[int, float] | None = None
    decide: Callable[[Any], bool | str | None] | None = None
    accept_token: Callable[[str, Account], bool | str] | None = None
    token_scope: str | None = None
    error_challenge: bool = True
    address_logs_in: bool = True
    texts: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in ("mechanisms", "before_tls", "too_weak"):
            upper = tuple(mechanism.upper() for mechanism in names_of(getattr(self, name), name, "mechanism names"))
            for mechanism in upper:
                _among(mechanism, MECHANISMS, name)
            object.__setattr__(self, name, tuple(dict.fromkeys(upper)))
        _among(self.password_commands, PASSWORD_COMMANDS, "password_commands")
        if "SCRAM-SHA-256-PLUS" in self.before_tls:
            raise ConfigError("before_tls: SCRAM-SHA-256-PLUS binds to TLS, so it cannot be used before it (RFC 5802)")
        if "EXTERNAL" in self.before_tls:
            raise ConfigError("before_tls: EXTERNAL rests on the client's TLS certificate, so there is none before TLS")
        if self.reject is not None and self.decide is not None:
            raise ConfigError("reject refuses every login, so decide would never be asked; give one of the two")
        if self.reject is not None:
            object.__setattr__(self, "reject", choose(Refusal, self.reject, "reject"))
        check_mapping(self.texts, "texts", "{'invalid': '535 5.7.8 wrong'}")
        for refusal in self.texts:
            choose(Refusal, refusal, "texts")
        check_switches(self, "preauthenticated", "advertised", "less_secure_apps", "error_challenge", "address_logs_in")
        if self.token_scope is not None and (not isinstance(self.token_scope, str) or not self.token_scope):
            raise ConfigError(f"token_scope={self.token_scope!r} must be a scope such as 'https://mail.google.com/'")
        check_callable(self.decide, "decide")
        check_callable(self.accept_token, "accept_token")
        if self.lockout is not None:
            check_number(self.lockout, "lockout", 1)
        if self.rate_limit is not None:
            check_rate(self.rate_limit, "rate_limit")
        unused = [name for name in self.too_weak if name not in (*self.mechanisms, *self.before_tls)]
        if unused:
            raise ConfigError(
                f"too_weak={unused[0]!r} is not offered, so nobody meets it; add it to mechanisms or before_tls"
            )

    def for_tokens(self) -> AuthPolicy:
        """Return the same policy for a provider that requires OAuth 2.0: tokens wherever there were passwords."""
        mechanisms = TOKEN_MECHANISMS if self.mechanisms else ()
        before_tls = TOKEN_MECHANISMS if self.before_tls else ()
        return replace(
            self,
            mechanisms=mechanisms,
            before_tls=before_tls,
            too_weak=tuple(name for name in self.too_weak if name in (*mechanisms, *before_tls)),
            password_commands="never",
        )


IN_CLEAR: Final = AuthPolicy(before_tls=PASSWORD_MECHANISMS, password_commands="always")
"""Credentials accepted everywhere: what an insecure server, or an attacker, would take."""


@known_by_name(tls=TLSPolicy, auth=AuthPolicy, relay=RelayPolicy)
@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Everything that makes one server.

    Attributes:
        protocol: ``"smtp"``, ``"pop3"`` or ``"imap"``.
        security: ``"starttls"`` (default), ``"implicit"`` or ``"none"``.
        tls: See :class:`TLSPolicy`.
        certificate: ``"valid"`` or the name of one fault, see :class:`~pytest_mailauth.model.terms.Certificate`.
        auth: See :class:`AuthPolicy`.
        port_state: What a client meets on the port: ``"open"`` (default), ``"refused"``, ``"timeout"``, ``"silent"``,
            ``"reset"``, ``"handshake-reset"``, ``"handshake-close"``, ``"banner"``, ``"intercepted"``,
            ``"intercepted-no-tls"``, ``"prohibited"`` or ``"slow"``, see
            :class:`~pytest_mailauth.model.terms.PortState`.
        host: The name that clients are given and that the valid certificate carries. Default ``"localhost"``.
        relay: What an SMTP server takes from whom, see :class:`~pytest_mailauth.model.relay.RelayPolicy`.
        line_limits: ``"strict"`` (default) refuses a line that is longer than the protocol allows (RFC 5321 section
            4.5.3.1, RFC 4954 section 4, RFC 2449 section 4, RFC 7162 section 4); ``"lenient"`` takes up to 65,536
            bytes, as many servers in the field do, and only notes it.
        deviations: Ways in which this server misbehaves; for scenarios.

    Raises:
        ConfigError: A setting or a value is unknown, or two of them contradict each other.
    """

    protocol: Protocol | str
    security: Security | str = Security.STARTTLS
    tls: TLSPolicy = field(default_factory=TLSPolicy)
    certificate: Certificate | str = Certificate.VALID
    auth: AuthPolicy = field(default_factory=AuthPolicy)
    port_state: PortState | str = PortState.OPEN
    host: str = "localhost"
    relay: RelayPolicy = field(default_factory=RelayPolicy)
    line_limits: str = "strict"
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
        if not isinstance(self.relay, RelayPolicy):
            raise ConfigError(f"relay={self.relay!r} must be a RelayPolicy")
        if not isinstance(self.auth, AuthPolicy):
            raise ConfigError(f"auth={self.auth!r} must be an AuthPolicy")
        _among(self.line_limits, LINE_LIMITS, "line_limits")
        if not isinstance(self.host, str) or not _HOST.fullmatch(self.host):
            raise ConfigError(
                f"host={self.host!r} must be a name such as 'localhost', or 127.0.0.1, where servers listen"
            )
        check_port_state(PortState(self.port_state), Security(self.security), self.host)
        check_together(self)
        check_texts(Protocol(self.protocol), self.auth.texts)

    @property
    def reachable_mechanisms(self) -> tuple[str, ...]:
        """The mechanisms that are accepted on some layer that this server has."""
        return (
            *(self.auth.mechanisms if self.security is not Security.NONE else ()),
            *(self.auth.before_tls if self.security is not Security.IMPLICIT else ()),
        )

    @property
    def takes_tokens(self) -> bool:
        """Whether a bearer token logs in on some layer that this server has."""
        return not set(TOKEN_MECHANISMS).isdisjoint(self.reachable_mechanisms)

    @property
    def shown_certificate(self) -> Certificate:
        """The certificate that a client is shown: on an intercepted port one for another host."""
        intercepted = self.port_state is PortState.INTERCEPTED
        return Certificate.WRONG_HOST if intercepted else Certificate(self.certificate)

    @property
    def greets_as(self) -> str:
        """The name that the server gives itself: that of its certificate, as whoever owns that would."""
        return OTHER_NAMES.get(Certificate(self.certificate), ("{host}",))[0].format(host=self.host)


def config_for(protocol: Protocol, settings: dict[str, Any], defaults: dict[str, Any]) -> ServerConfig:
    """Return the settings of a server that a call asks for, completed by defaults that were given elsewhere.

    Raises:
        ConfigError: A setting or a value is unknown, or two contradict each other; then the defaults are named, too.
    """
    if "protocol" in settings:
        raise ConfigError(f"{protocol}(...) takes no protocol, it is one; for another there is smtp, pop3 and imap")
    if "relay" in settings and protocol is not Protocol.SMTP:  # settings for all servers of a test may have it
        raise ConfigError(f"{protocol}(...) takes no relay, since no mail is sent there; give it to smtp(...)")
    others = ", ".join(name for name in defaults if name not in settings)
    try:
        return ServerConfig(protocol=protocol, **defaults | settings)
    except ConfigError as error:
        told = f"{error} (@pytest.mark.mailauth, or environment(), has set: {others})"
        raise (type(error)(told) if others else error) from None
