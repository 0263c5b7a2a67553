"""Access providers that are in the way of mail, as data (S7, S11): what becomes of which port."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.relay import RelayPolicy
from pytest_mailauth.model.terms import PortState

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class ISP:
    """What an access provider does to the mail of its customers.

    Attributes:
        blocks: Ports, each with what a client meets there.
        forces: Ports whose connections all lead to the provider's own relay, whoever was asked.
    """

    blocks: Mapping[int, PortState] = field(default_factory=dict)
    forces: tuple[int, ...] = ()


ISPS: Final[dict[str, ISP]] = {
    "blocks-25": ISP(blocks={25: PortState.TIMEOUT}),
    "forces-relay": ISP(forces=(25,)),
}
"""Every access provider by name."""

RELAY_SETTINGS: Final[dict[str, Any]] = {"relay": RelayPolicy(relay="open")}
"""A relay knows its customers by their address: it takes mail from them without a login."""


def isp(name: str) -> ISP:
    """Return an access provider.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in ISPS:
        raise ConfigError(f"isp {name!r} is not known; use one of {', '.join(map(repr, ISPS))}")
    return ISPS[name]
