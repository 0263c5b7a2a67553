"""What an SMTP server takes from whom, and which service extensions it announces: settings, validated when built."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.settings import check_mapping, check_number, check_switches, known_by_name, names_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEYWORDS: Final = ("SIZE", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES", "HELP")
"""EHLO keywords that can be switched; STARTTLS and AUTH follow from the security and authentication settings."""
REQUIRETLS: Final = "REQUIRETLS"
"""A keyword that is announced inside TLS alone, and only where somebody asks for it (RFC 8689 section 2)."""
CHUNKING: Final = "CHUNKING"
"""A keyword that is there only where somebody asks for it: once they see it, clients send with BDAT (RFC 3030)."""
RELAY: Final = ("authenticated", "local", "open")
POSTMASTER: Final = "postmaster"
"""The mailbox that every server has; it needs no domain, and no case (RFC 5321 sections 4.1.1.3 and 4.5.1)."""
NULL_PATH: Final = "<>"
"""The sender of a message that nobody is to answer (RFC 5321 section 4.5.5)."""
_DOMAIN_RULE: Final = r"[^\s@<>.*]+(?:\.[^\s@<>.*]+)*"
_DOMAIN: Final = re.compile(_DOMAIN_RULE)
_ADDRESS: Final = re.compile(rf'(?:"(?:[^"\\]|\\.)*"|[^\s@<>"]+)(?:@{_DOMAIN_RULE})?')
"""A local part, quoted if need be, and a domain, which a client may have left out."""
_REPLY: Final = re.compile(r"[245][0-5][0-9](?: .*)?")
"""A reply that ends a command (RFC 5321 section 4.2)."""


def comparable(address: str) -> str:
    """Return *address* in the form in which addresses are compared: domains have no case (RFC 5321 section 2.4)."""
    local, at, domain = address.rpartition("@")
    if not at:
        local, domain = domain, ""
    return f"{POSTMASTER if local.lower() == POSTMASTER else local}{at}{domain.lower()}"


@known_by_name()
@dataclass(frozen=True, kw_only=True)
class RelayPolicy:
    """What an SMTP server takes from whom (S3).

    Attributes:
        relay: ``"authenticated"`` (default): local recipients from everybody, others from clients that logged in;
            ``"local"``: local recipients only, as a mail transfer agent on port 25; ``"open"``: everything from
            everybody, as no server should.
        domains: The local domains, in any case. Default ``("example.test",)``. ``RCPT TO:<postmaster>`` is local, too.
        login_first: Whether MAIL is refused before a login (530 5.7.0, RFC 6409 section 4.3). Default False.
        recipients: Replies to single recipients: ``{"bob@example.test": "550 5.1.1 no such user"}``. They are sent as
            they stand; one that begins with 2 takes the recipient. Local parts are compared with their case, domains
            without it.
        known_recipients: The only local recipients; None (default) for any.
        senders: Replies to single senders; the null reverse-path is ``"<>"``.
        own_sender: Whether a client that logged in has to send as itself (553 5.7.1). Default False.
        greylist: Refuse this many first attempts for each pair of sender and recipient (451 4.7.1). Default 0.
            The latest 10,000 pairs are remembered.
        max_recipients: Most recipients of one message (452 4.5.3). None for no limit.
        max_messages: Most messages of one session (452 4.3.1). None for no limit.
        max_size: Most bytes of one message (552 5.3.4). Default 32 MiB.
        keywords: EHLO keywords that are announced and meant: without one, its parameters are refused (555 5.5.4), and
            without HELP that command (502 5.5.1). Default all of :data:`KEYWORDS`; :data:`REQUIRETLS` may be added, and
            :data:`CHUNKING`, with which there is BDAT beside DATA (RFC 3030 section 2).

    Raises:
        ConfigError: A value is not known, an address or a domain is none, or a reply is none that ends a command.
    """

    relay: str = "authenticated"
    domains: tuple[str, ...] = ("example.test",)
    login_first: bool = False
    recipients: Mapping[str, str] = field(default_factory=dict, hash=False)
    known_recipients: tuple[str, ...] | None = None
    senders: Mapping[str, str] = field(default_factory=dict, hash=False)
    own_sender: bool = False
    greylist: int = 0
    max_recipients: int | None = None
    max_messages: int | None = None
    max_size: int = 33_554_432
    keywords: tuple[str, ...] = KEYWORDS

    def __post_init__(self) -> None:
        if self.relay not in RELAY:
            raise ConfigError(f"relay={self.relay!r} is not known; use one of {', '.join(map(repr, RELAY))}")
        check_switches(self, "login_first", "own_sender")
        object.__setattr__(self, "domains", _domains(self.domains))
        if self.known_recipients is not None:
            known = names_of(self.known_recipients, "known_recipients", "addresses")
            object.__setattr__(self, "known_recipients", _addresses(known, "known_recipients"))
        keywords = tuple(keyword.upper() for keyword in names_of(self.keywords, "keywords", "EHLO keywords"))
        known_ones = (*KEYWORDS, REQUIRETLS, CHUNKING)
        unknown = [keyword for keyword in keywords if keyword not in known_ones]
        if unknown:
            raise ConfigError(f"keywords: {unknown[0]!r} is not known; use some of {', '.join(known_ones)}")
        object.__setattr__(self, "keywords", keywords)
        for name in ("recipients", "senders"):
            object.__setattr__(self, name, _replies(getattr(self, name), name))
        for name, least in (("greylist", 0), ("max_recipients", 1), ("max_messages", 1), ("max_size", 1)):
            value = getattr(self, name)
            if value is not None or name in ("greylist", "max_size"):
                check_number(value, name, least)


def _domains(value: object) -> tuple[str, ...]:
    domains = names_of(value, "domains", "domains")
    for domain in domains:
        if not _DOMAIN.fullmatch(domain):
            raise ConfigError(f"domains: {domain!r} is no domain; give each one in full, such as 'example.test'")
    return tuple(domain.lower() for domain in domains)


def _addresses(addresses: Iterable[str], setting: str) -> tuple[str, ...]:
    for address in addresses:
        if not _ADDRESS.fullmatch(address) and (setting, address) != ("senders", NULL_PATH):
            raise ConfigError(
                f"{setting}: {address!r} is no mail address; give it without brackets, such as 'bob@example.test'"
            )
    return tuple(comparable(address) for address in addresses)


def _replies(value: Mapping[str, str], setting: str) -> dict[str, str]:
    check_mapping(value, setting, "{'bob@example.test': '550 5.1.1 no such user'}")
    replies = dict(zip(_addresses(value, setting), value.values(), strict=True))
    if len(replies) < len(value):
        raise ConfigError(f"{setting}: one address has two replies, since domains have no case; give one of them")
    for address, reply in value.items():
        if not (_REPLY.fullmatch(reply) and reply.isprintable()):
            raise ConfigError(
                f"{setting}[{address!r}]={reply!r} is no SMTP reply such as '550 5.1.1 no such user'; "
                "give one line without control characters that begins with 2, 4 or 5"
            )
    return replies
