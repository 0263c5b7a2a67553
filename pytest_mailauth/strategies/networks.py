"""What is in the way of connections: ports that are blocked, or on which somebody else answers. No servers here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from pytest_mailauth.model.terms import RELAY_PORT, PortState
from pytest_mailauth.strategies.cases import mix, one
from pytest_mailauth.strategies.connections import WELL_KNOWN

if TYPE_CHECKING:
    from collections.abc import Collection

BLOCKS: Final = (
    PortState.TIMEOUT,
    PortState.REFUSED,
    PortState.PROHIBITED,
    PortState.RESET,
    PortState.BANNER,
    PortState.HANDSHAKE_RESET,
    PortState.HANDSHAKE_CLOSE,
    PortState.INTERCEPTED,
    PortState.INTERCEPTED_NO_TLS,
)
"""What a client may meet in the place of its server. None of them takes its time: a silent or slow port would."""


def networks() -> st.SearchStrategy[dict[int, PortState]]:
    """Return networks: the state of each well-known port that is blocked. The ports that are not named are open.

    ``for port, how in blocks.items(): network.block(port, how=how)`` brings one about.

    Distribution:
        2/8 open: nothing is blocked.
        2/8 blocks 25: port 25 never answers, or a relay of the provider answers there (S7, S11).
        2/8 blocks one: one other port is in some state.
        1/8 blocks several: two to four ports are, each in a state of its own.
        1/8 leaves one: every port but one never answers.

    Shrinks to: ``{}``, a network that blocks nothing.

    Examples:
        >>> from hypothesis import find
        >>> find(networks(), lambda blocks: len(blocks) == 1)
        {25: <PortState.TIMEOUT: 'timeout'>}
    """
    states, ports = one(BLOCKS), one(WELL_KNOWN)
    relay = one((PortState.TIMEOUT, PortState.INTERCEPTED, PortState.INTERCEPTED_NO_TLS))
    return mix(
        "networks",
        (2, "open", st.just({})),
        (2, "blocks 25", st.fixed_dictionaries({RELAY_PORT: relay})),
        (2, "blocks one", st.dictionaries(one(WELL_KNOWN[:-1]), states, min_size=1, max_size=1)),
        (1, "blocks several", st.dictionaries(ports, states, min_size=2, max_size=4)),
        (1, "leaves one", ports.map(lambda port: _all_but((port,)))),
    )


def _all_but(ports: Collection[int]) -> dict[int, PortState]:
    return {port: PortState.TIMEOUT for port in WELL_KNOWN if port not in ports}
