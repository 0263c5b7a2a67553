"""One client in one scenario, as a rule sees it: what was declared, served, observed, and returned."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.events import Authentication
from pytest_mailauth.model.terms import TLS_VERSIONS, Layer, Protocol, Security, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_mailauth.model.attempts import Attempt
    from pytest_mailauth.model.canary import Account
    from pytest_mailauth.model.config import ServerConfig
    from pytest_mailauth.model.events import Entry
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.terms import Certificate
    from pytest_mailauth.model.webrequests import WebRequest

_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "starttls": ("required", "opportunistic"),
    "verify": ("full", "none"),
    "min_tls": TLS_VERSIONS,
    "auth": ("password", "oauth", "none"),
    "fallback": ("none", "other-port"),
    "mode": ("stated", "from-port"),
    "port": ("given", "chosen"),
    "discovers": ("no", "srv", "guess", "autoconfig"),
    "mechanism_downgrade": ("yes", "no"),
    "channel_binding": ("no", "yes"),
    "role": ("mua", "mta"),
    "mta_policy": ("no", "mta-sts", "dane", "requiretls"),
}


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a client is declared to do. It decides what counts as a violation.

    Attributes:
        starttls: Whether STARTTLS is ``"required"`` (default) or ``"opportunistic"``.
        verify: ``"full"`` (default: chain and host name, RFC 8314 section 5.3) or ``"none"``.
        min_tls: Oldest TLS version the client means to accept. Default ``"1.2"`` (S5, S9).
        auth: Whether it logs in with a ``"password"`` (default) or with a bearer token, ``"oauth"`` (S15). A server
            meets an ``"oauth"`` client with the token mechanisms wherever it would take a password. ``"none"`` is a
            client that submits mail without credentials, as to a server of its own network.
        allow_insecure_auth: Whether the user allowed passwords in clear where TLS is not required. Default False.
        fallback: Whether the client knows another port of its account: ``"none"`` (default) or ``"other-port"``.
        timeout: Seconds after which the client gives up waiting. Default 2.
        mode: Whether the user states the TLS mode, ``"stated"`` (default), or the client derives it from the port
            number, ``"from-port"`` (S9, S13, S14, RFC 8314 section 3). Then it is not told the mode.
        port: Whether the client is ``"given"`` the port (default), or has ``"chosen"`` it by itself (S6): then it is
            told the host alone.
        discovers: How the client finds its server when it is told a mail domain alone: ``"no"`` (default), ``"srv"``
            (SRV records, RFC 6186, RFC 8314 section 5.1), ``"guess"`` (usual host names and ports) or
            ``"autoconfig"`` (the file ``config-v1.1.xml`` of the domain's web server).
        mechanism_downgrade: Whether the client may turn to a weaker mechanism inside TLS when a stronger one was
            refused: ``"yes"`` (default; RFC 4954 section 4) or ``"no"``. In clear it never may.
        channel_binding: Whether the client binds SCRAM to its TLS connection (RFC 5802 section 6): ``"no"`` (default)
            or ``"yes"``.
        auth_retries: How often the client may present a secret once more with the mechanism with which it was refused.
            Default 1: a caller that connects again, and no more, since providers lock accounts after a handful.
        role: Whether it is a mail user agent, ``"mua"`` (default), or a mail transfer agent, ``"mta"``: one that
            delivers without credentials to the server that it is told, with STARTTLS where that is to be had.
        mta_policy: What such an agent honours of the domain it delivers to: ``"no"`` (default), ``"mta-sts"``
            (RFC 8461), ``"dane"`` (RFC 7672), or of the message, ``"requiretls"`` (RFC 8689).

    Raises:
        ConfigError: A value is not known, a client that finds its server by itself is given a port or a mode, or one
            that is no mail transfer agent honours its policies, or one that is logs in.
    """

    starttls: str = "required"
    verify: str = "full"
    min_tls: str = "1.2"
    auth: str = "password"
    allow_insecure_auth: bool = False
    fallback: str = "none"
    timeout: float = 2.0
    mode: str = "stated"
    port: str = "given"
    discovers: str = "no"
    mechanism_downgrade: str = "yes"
    channel_binding: str = "no"
    auth_retries: int = 1
    role: str = "mua"
    mta_policy: str = "no"

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"declaration {name}={getattr(self, name)!r} is not known; "
                    f"use one of {', '.join(map(repr, allowed))}"
                )
        if not 0 < self.timeout <= 600:
            raise ConfigError(f"declaration timeout={self.timeout!r} must be seconds between 0 and 600")
        if isinstance(self.auth_retries, bool) or not isinstance(self.auth_retries, int) or self.auth_retries < 0:
            raise ConfigError(f"declaration auth_retries={self.auth_retries!r} must be a whole number, 0 or more")
        if self.discovers != "no" and (self.mode, self.port) != ("from-port", "chosen"):
            raise ConfigError(
                f"declaration discovers={self.discovers!r} is for a client that is told neither port nor mode; "
                "declare mode='from-port' and port='chosen' too"
            )
        if self.role == "mta" and self.auth != "none":
            raise ConfigError(
                "declaration role='mta' is for a client that delivers without a login; declare auth='none' too"
            )
        if self.mta_policy != "no" and self.role != "mta":
            raise ConfigError(f"declaration mta_policy={self.mta_policy!r} is for an MTA; declare role='mta' too")

    @property
    def untold(self) -> tuple[str, ...]:
        """What the client has to find out by itself: ``"security"``, ``"port"``, ``"host"``."""
        kept_back = {
            "security": self.mode != "stated",
            "port": self.port != "given",
            "host": self.discovers != "no",
        }
        return tuple(name for name, is_kept in kept_back.items() if is_kept)

    @classmethod
    def parse(cls, pairs: Mapping[str, str]) -> Declaration:
        """Return the declaration behind text such as ``{"verify": "none", "timeout": "5"}``.

        Raises:
            ConfigError: A name or a value is not known.
        """
        known = {item.name for item in fields(cls)}
        values: dict[str, Any] = {}
        for name, text in pairs.items():
            key = name.replace("-", "_")
            if key not in known:
                raise ConfigError(f"declaration {name!r} is not known; use one of {', '.join(sorted(known))}")
            values[key] = _parsed(key, text)
        return cls(**values)


def _parsed(key: str, text: str) -> Any:
    if key == "timeout":
        try:
            return float(text)
        except ValueError:
            raise ConfigError(f"declaration timeout={text!r} must be a number of seconds") from None
    if key == "auth_retries":
        try:
            return int(text)
        except ValueError:
            raise ConfigError(f"declaration auth_retries={text!r} must be a whole number, 0 or more") from None
    if key == "allow_insecure_auth":
        if text not in ("yes", "no"):
            raise ConfigError(f"declaration allow_insecure_auth={text!r} must be 'yes' or 'no'")
        return text == "yes"
    return text


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A transfer on other terms, which a client makes before the one under test, with the same client object.

    Attributes:
        security: Its security, or None for the one under test.
        verify: Whether the server's certificate is checked in it: ``"full"`` or ``"none"``.
        other_account: Whether it is another account's.
        other_token: Whether it is made with another bearer token of the same account.
        records_change: Whether the records of the domain name another server once it has logged in.
        other_host: Whether the one under test goes to another name, behind which is the same server, with a certificate
            for the first name alone.
        pinned: The certificate that its user has accepted, though it does not verify; None for none.
    """

    security: Security | None = None
    verify: str = "full"
    other_account: bool = False
    other_token: bool = False
    records_change: bool = False
    other_host: bool = False
    pinned: Certificate | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the client's run ended, as far as it can be seen from outside.

    Attributes:
        error: What it raised or printed on failure, secrets hidden; None when it ended as though all was well.
        hung: True when it had not ended at the limit and had to be stopped.
        seconds: How long it ran.
        facts: What the client reported by itself.
        disclosed: How a secret of the trial was in the client's own words, before it was hidden here: ``"raised"``,
            ``"printed"``, ``"logged"``, ``"reported"``.
        passed_on: How one was in words of the server that the client passed on, in the same terms.
    """

    error: str | None = None
    hung: bool = False
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    disclosed: tuple[str, ...] = ()
    passed_on: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Everything a rule may look at.

    Attributes:
        protocol: The protocol that was spoken.
        security: What the client was told to use.
        declared: What the client was declared to do.
        served: The settings of the main server.
        account: The credentials made for this trial alone.
        sessions: Every connection on every listener, in order of their opening.
        outcome: How the client's run ended.
        control: The same client on the same server without the deviation under test, or None.
        may_switch: Whether the client was told of another port.
        ports: The TCP ports of the account, the one that the client was told to use first; empty when unknown.
        attempts: What the client tried by name and port, in order; empty where the trial has no network.
        in_network: Whether the trial has a network, so that what is not among the attempts was not tried.
        domain: The mail domain of the account there; None where the trial has no network.
        supplied: Whether the client took a connection that somebody else had opened.
        earlier: The transfer that the client was told to make first; None when there is none, or it did not ask.
        requests: What the client asked the web servers of its domain, in order; empty where it has none.
        moved_to: The host that the records of the domain name after the first login; None when they do not change.
        tells: Fields of the client's case that were set for this trial.
        unheard: Those of them that the client never read.
        wants: What the client has to report to be judged.
        marker: A text that only the hostile part of the server says; empty when there is none.
        decoy: The address of a further server that only the server under test names, ``host:port``; empty when there is
            none.
    """

    protocol: Protocol
    security: Security
    declared: Declaration
    served: ServerConfig
    account: Account
    sessions: tuple[SessionRecord, ...]
    outcome: Outcome
    control: Trial | None = None
    may_switch: bool = False
    ports: tuple[int, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    in_network: bool = False
    domain: str | None = None
    supplied: bool = False
    earlier: Earlier | None = None
    requests: tuple[WebRequest, ...] = ()
    moved_to: str | None = None
    tells: Mapping[str, Any] = field(default_factory=dict)
    unheard: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    marker: str = ""
    decoy: str = ""

    @property
    def requires_tls(self) -> bool:
        """True when the client was told to use TLS and was not declared opportunistic.

        An MTA always is: no public server may require TLS (RFC 3207 section 4). What binds it are policies.
        """
        if self.security is Security.STARTTLS and self.declared.role == "mta":
            return False
        if self.security is Security.STARTTLS:
            return self.declared.starttls == "required"
        return self.security is Security.IMPLICIT

    def entries(self) -> Iterator[tuple[SessionRecord, Entry]]:
        """Yield every fact of every session, in order of time."""
        pairs = [(session, entry) for session in self.sessions for entry in session.entries]
        return iter(sorted(pairs, key=lambda pair: pair[1].at))

    def logged_in(self, layer: Layer) -> bool:
        """Return whether the client logged in with this trial's password on *layer*."""
        return any(fact.accepted for session in self.sessions for fact in session.of(Authentication, layer))


@dataclass(frozen=True)
class Finding:
    """What a rule found.

    Attributes:
        verdict: The verdict.
        evidence: One or two sentences that say what was seen.
        should: Whether a SHOULD of a standard was not followed: a NOTE, and a violation under the profile ``strict``.
    """

    verdict: Verdict
    evidence: str
    should: bool = False
