"""The field's words as enumerations, spelled as the standards spell them.

Every enumeration is a ``StrEnum``: users may write the plain string wherever a member is expected.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Protocol(StrEnum):
    """A mail protocol: submission (SMTP, RFC 6409) or access (POP3, RFC 1939; IMAP, RFC 9051)."""

    SMTP = "smtp"
    POP3 = "pop3"
    IMAP = "imap"


class Security(StrEnum):
    """How a connection becomes secure (RFC 8314 section 3; S10)."""

    IMPLICIT = "implicit"
    """TLS is negotiated immediately, before the greeting."""
    STARTTLS = "starttls"
    """TLS is negotiated on the open connection, by STARTTLS (POP3: STLS)."""
    NONE = "none"
    """No TLS at all."""


class Layer(StrEnum):
    """The layer on which bytes travelled."""

    CLEAR = "clear"
    TLS = "tls"


class Verdict(StrEnum):
    """What a rule, a scenario or a client earned. There is no default to PASS."""

    PASS = "PASS"
    """The trigger fired, the client could have broken the rule, and did not."""
    VIOLATION = "VIOLATION"
    """The rule was broken; the evidence says where."""
    NOTE = "NOTE"
    """Worth knowing, and allowed by what the client declared."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """Silence that proves nothing: the trigger did not fire, or the control failed."""
    NOT_APPLICABLE = "NOT-APPLICABLE"
    """The rule does not speak to this client as it was declared."""
    ERROR = "ERROR"
    """The harness contradicted itself or failed; never the client's fault."""


SEVERITY: Final = (
    Verdict.ERROR,
    Verdict.VIOLATION,
    Verdict.INCONCLUSIVE,
    Verdict.NOTE,
    Verdict.PASS,
    Verdict.NOT_APPLICABLE,
)
"""Worst first: a row of several rules is as good as its worst one."""


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict that speaks for all of *verdicts*; NOT-APPLICABLE when there are none."""
    return min(verdicts, key=SEVERITY.index, default=Verdict.NOT_APPLICABLE)


class HandshakeOutcome(StrEnum):
    """How a TLS handshake ended, as the server saw it."""

    COMPLETED = "completed"
    """Finished, and the client went on to send data inside TLS, or is still connected."""
    CLIENT_ALERT = "client-alert"
    """The client sent a fatal alert; ``TLSFacts.alert`` names it (RFC 8446 section 6.2)."""
    CLIENT_LEFT_DURING = "client-left-during"
    """The client closed before the handshake was over, without an alert."""
    CLIENT_LEFT_AFTER = "client-left-after"
    """The handshake finished and the client left without sending one byte of mail protocol."""
    SERVER_REFUSED = "server-refused"
    """This server refused what the client offered; ``TLSFacts.reason`` says why."""
    NOT_TLS = "not-tls"
    """The client sent something that is not TLS where a ClientHello belongs."""


NO_COMMON_VERSION: Final = "the client offers no TLS version that this server accepts"
NO_COMMON_SUITE: Final = "the client offers no cipher suite that this server accepts"
UNTRUSTED_CLIENT: Final = "the client's certificate is not trusted"
"""Why a server refuses a handshake, in ``TLSFacts.reason``: the reasons that tell about the client."""


class PortState(StrEnum):
    """What a connecting client meets on the port."""

    OPEN = "open"
    """A server answers."""
    REFUSED = "refused"
    """Nothing listens: the connection attempt is refused at once."""
    TIMEOUT = "timeout"
    """The connection attempt is never answered, as behind a port-blocking provider (S7, S11)."""
    SILENT = "silent"
    """The connection is accepted and not one byte is ever sent."""
    RESET = "reset"
    """The connection is accepted and then reset before the greeting."""
    HANDSHAKE_RESET = "handshake-reset"
    """The connection is reset in the middle of the TLS handshake: once the ClientHello was read."""
    HANDSHAKE_CLOSE = "handshake-close"
    """The connection is closed in the middle of the TLS handshake: once the ClientHello was read."""
    BANNER = "banner"
    """A box on the path refuses in clear and closes, on an implicit TLS port too, since it has no certificate: SMTP
    554 5.7.1 (RFC 5321 section 3.1, which has a server wait for QUIT; such a box does not), POP3 ``-ERR``, IMAP
    ``* BYE`` (S7, S11)."""
    INTERCEPTED = "intercepted"
    """Another server answers, relay.isp.test, with a valid certificate in its own name; it offers AUTH and takes it."""
    INTERCEPTED_NO_TLS = "intercepted-no-tls"
    """Another server answers, relay.isp.test, in clear on whatever port; it takes passwords and relays anything."""
    PROHIBITED = "prohibited"
    """The network says that the port is administratively prohibited (RFC 1812 section 5.2.7.1). Loopback says nothing
    of the kind: it can be had in the in-process network and in a namespace."""
    SLOW = "slow"
    """A server answers, and every byte of its replies drips."""


class ClientCertificate(StrEnum):
    """Whether the server asks the client for a certificate during the handshake."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


class Certificate(StrEnum):
    """The certificate a server shows: a valid one, or one with exactly one fault (badssl's names)."""

    VALID = "valid"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    WRONG_HOST = "wrong-host"
    SELF_SIGNED = "self-signed"
    UNTRUSTED_ROOT = "untrusted-root"
    INCOMPLETE_CHAIN = "incomplete-chain"
    WEAK_KEY = "weak-key"
    SHA1 = "sha1"
    NO_SAN = "no-san"
    CLIENT_AUTH_ONLY = "client-auth-only"
    EXPIRED_INTERMEDIATE = "expired-intermediate"
    LOOKALIKE_HOST = "lookalike-host"
    CN_MATCH_SAN_MISMATCH = "cn-match-san-mismatch"
    BAD_SIGNATURE = "bad-signature"
    LEAF_AS_CA = "leaf-as-ca"
    PATH_TOO_LONG = "path-too-long"
    NAME_CONSTRAINT = "name-constraint"
    UNKNOWN_CRITICAL = "unknown-critical-extension"
    OTHER_SERVICE = "other-service"
    CNAME_TARGET = "cname-target"
    MAIL_DOMAIN = "mail-domain"
    WILDCARD = "wildcard"
    WILDCARD_ABOVE = "wildcard-above"
    WILDCARD_BELOW = "wildcard-below"
    WILDCARD_PARTIAL = "wildcard-partial"
    WILDCARD_BARE = "wildcard-bare"
    IP_ONLY = "ip-only"
    IP_IN_DNS_NAME = "ip-in-dns-name"
    URI_ONLY = "uri-only"
    SRV_ONLY = "srv-only"
    NUL_IN_NAME = "nul-in-name"
    UPPER_CASE = "upper-case"


SOUND: Final = frozenset(
    {Certificate.VALID, Certificate.WILDCARD, Certificate.IP_ONLY, Certificate.UPPER_CASE},
)
"""Certificates without a fault: the valid one, and those that name the host in another way that is as good."""

FOR_ANOTHER_HOST: Final = frozenset(
    {Certificate.WRONG_HOST, Certificate.OTHER_SERVICE, Certificate.CNAME_TARGET, Certificate.MAIL_DOMAIN}
)
"""Certificates of somebody else, which only a client takes that looks for another name or for none."""

ALMOST_FOR_THE_HOST: Final = frozenset(
    {
        Certificate.LOOKALIKE_HOST,
        Certificate.CN_MATCH_SAN_MISMATCH,
        Certificate.NO_SAN,
        Certificate.WILDCARD_ABOVE,
        Certificate.WILDCARD_BELOW,
        Certificate.WILDCARD_PARTIAL,
        Certificate.WILDCARD_BARE,
        Certificate.IP_IN_DNS_NAME,
        Certificate.URI_ONLY,
        Certificate.SRV_ONLY,
        Certificate.NUL_IN_NAME,
    }
)
"""Certificates that name the host in a way that does not count; all others with a fault fail in their chain."""

CNAME_TARGET: Final = "mail.attacker.test"
"""Where the alias of a server leads by a DNS record that nobody signs."""

MAIL_DOMAIN: Final = "example.test"
"""The domain of the mail addresses that every account here has."""


OTHER_NAMES: Final[dict[Certificate, tuple[str, ...]]] = {
    Certificate.WRONG_HOST: ("wrong.host.test",),
    Certificate.LOOKALIKE_HOST: ("{host}.evil.test", "evil-{host}"),
    Certificate.CN_MATCH_SAN_MISMATCH: ("wrong.host.test",),
}
"""The names in certificates that are for somebody else; ``{host}`` is the name of the server."""


class Refusal(StrEnum):
    """Why a server does not let somebody in. Each protocol has its own reply for each."""

    INVALID = "invalid"
    """Wrong user name or secret (SMTP 535 5.7.8; RFC 5530 AUTHENTICATIONFAILED; RFC 3206 AUTH)."""
    TOO_WEAK = "too-weak"
    """The mechanism is too weak for this account (SMTP 534 5.7.9)."""
    ENCRYPTION_NEEDED = "encryption-needed"
    """Only inside TLS (SMTP 538 5.7.11; RFC 5530 PRIVACYREQUIRED)."""
    TEMPORARY = "temporary"
    """The server cannot check it now (SMTP 454 4.7.0; RFC 5530 UNAVAILABLE; RFC 3206 SYS/TEMP)."""
    TRANSITION = "transition"
    """The account needs a password change first (SMTP 432 4.7.12; RFC 5530 EXPIRED)."""
    LOCKED = "locked"
    """Too many failures; the account is locked."""
    RATE_LIMITED = "rate-limited"
    """Too many attempts in a short time; later again."""
    BAD_TOKEN = "bad-token"
    """The bearer token is unknown, expired, revoked, or for something else (RFC 6750 section 3.1)."""
    OAUTH_REQUIRED = "oauth-required"
    """A password was right, and passwords are not taken: OAuth 2.0 is required (S15, S16)."""


TLS_VERSIONS: Final = ("1.0", "1.1", "1.2", "1.3")
"""The TLS versions this package can ask OpenSSL for, oldest first."""

STANDARD_PORTS: Final[dict[tuple[Protocol, Security], int]] = {
    (Protocol.SMTP, Security.STARTTLS): 587,
    (Protocol.SMTP, Security.IMPLICIT): 465,
    (Protocol.POP3, Security.STARTTLS): 110,
    (Protocol.POP3, Security.IMPLICIT): 995,
    (Protocol.IMAP, Security.STARTTLS): 143,
    (Protocol.IMAP, Security.IMPLICIT): 993,
}
"""The port that stands for each protocol and mode (S6, S9, S13, S14; RFC 8314 section 3)."""

RELAY_PORT: Final = 25
"""SMTP between servers, with STARTTLS (S6, S9); submission has port 587 (RFC 6409 section 3.1)."""

URL_SCHEMES: Final[dict[tuple[Protocol, Security], str]] = {
    (protocol, security): protocol.value + ("s" if security is Security.IMPLICIT else "")
    for protocol in Protocol
    for security in Security
}
"""The URL scheme of each protocol and mode: ``smtp``, ``smtps``, ``imap``, ``imaps`` and so on."""
