"""What an SMTP server takes from whom, and which service extensions it announces: settings, validated when built."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.settings import check_mapping, check_number, check_switches, known_by_name, names_of

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYWORDS: Final = ("SIZE", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES", "HELP")
"""EHLO keywords that can be switched; STARTTLS and AUTH follow from the security and authentication settings."""
RELAY: Final = ("authenticated", "local", "open")


@known_by_name()
@dataclass(frozen=True, kw_only=True)
class RelayPolicy:
    """What an SMTP server takes from whom (S3).

    Attributes:
        relay: ``"authenticated"`` (default): local recipients from everybody, others from clients that logged in;
            ``"local"``: local recipients only, as a mail transfer agent on port 25; ``"open"``: everything from
            everybody, as no server should.
        domains: The local domains. Default ``("example.test",)``.
        login_first: Whether MAIL is refused before a login (530 5.7.0, RFC 6409 section 4.3). Default False.
        recipients: Replies to single recipients: ``{"bob@example.test": "550 5.1.1 no such user"}``.
        known_recipients: The only local recipients; None (default) for any.
        senders: Replies to single senders.
        own_sender: Whether a client that logged in has to send as itself (553 5.7.1). Default False.
        greylist: Refuse this many first attempts for each pair of sender and recipient (451 4.7.1). Default 0.
        max_recipients: Most recipients of one message (452 4.5.3). None for no limit.
        max_messages: Most messages of one session (452 4.3.1). None for no limit.
        max_size: Most bytes of one message (552 5.3.4). Default 32 MiB.
        keywords: EHLO keywords that are announced and meant. Default all of them.

    Raises:
        ConfigError: A value is not known, or a reply is none.
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
        object.__setattr__(self, "domains", names_of(self.domains, "domains", "domains"))
        if self.known_recipients is not None:
            known = names_of(self.known_recipients, "known_recipients", "addresses")
            object.__setattr__(self, "known_recipients", known)
        keywords = tuple(keyword.upper() for keyword in names_of(self.keywords, "keywords", "EHLO keywords"))
        unknown = [keyword for keyword in keywords if keyword not in KEYWORDS]
        if unknown:
            raise ConfigError(f"keywords: {unknown[0]!r} is not known; use some of {', '.join(KEYWORDS)}")
        object.__setattr__(self, "keywords", keywords)
        for name in ("recipients", "senders"):
            check_mapping(getattr(self, name), name, "{'bob@example.test': '550 5.1.1 no such user'}")
            for address, reply in getattr(self, name).items():
                if not (reply[:3].isdigit() and reply[:1] in "2345" and reply[3:4] in ("", " ")):
                    raise ConfigError(
                        f"{name}[{address!r}]={reply!r} is no SMTP reply such as '550 5.1.1 no such user'"
                    )
        for name, least in (("greylist", 0), ("max_recipients", 1), ("max_messages", 1), ("max_size", 1)):
            value = getattr(self, name)
            if value is not None or name in ("greylist", "max_size"):
                check_number(value, name, least)
