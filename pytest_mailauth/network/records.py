"""Records of the domain name system, as data: what a client that discovers its servers may be told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.network.names import canonical

NOWHERE: Final = "."
"""The target that says: this is not offered here (RFC 2782, RFC 7505)."""
_SERVICE: Final = re.compile(r"_[^.]+\._(?:tcp|udp)\..+", re.IGNORECASE)


@dataclass(frozen=True)
class MX:
    """Who takes the mail of a domain (RFC 5321)."""

    preference: int
    exchange: str


@dataclass(frozen=True)
class SRV:
    """Where a service of a domain is (RFC 2782; for mail RFC 6186 and RFC 8314)."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True)
class TXT:
    """Text."""

    text: str


Record = MX | SRV | TXT


def host_name(value: str, argument: str) -> str:
    """Return a name as it is compared; :data:`NOWHERE` stays what it is.

    Raises:
        ConfigError: It is no host name.
    """
    try:
        return NOWHERE if value == NOWHERE else canonical(value)
    except (UnicodeError, AttributeError):
        raise ConfigError(f"{argument}={value!r} is no host name such as 'mx.example.test'") from None


def number(value: int, argument: str) -> int:
    """Return a number of 16 bits.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0xFFFF:
        raise ConfigError(f"{argument}={value!r} must be a number from 0 to 65535")
    return value


def service_name(value: str) -> str:
    """Return the name of a service.

    Raises:
        ConfigError: It is none.
    """
    name = host_name(value, "service")
    if not _SERVICE.fullmatch(name):
        raise ConfigError(
            f"service={value!r} must be service, protocol and domain with underscores, such as "
            "'_submissions._tcp.example.test' (RFC 2782)"
        )
    return name
