"""What is known of the port states before any server exists: which contradict other settings, which leave no trace.

How each is carried out stands in ``servers/behind.py``.
"""

from __future__ import annotations

from typing import Final

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import PortState, Security

UNSEEN: Final = frozenset({PortState.REFUSED, PortState.TIMEOUT, PortState.PROHIBITED})
"""The states in which no connection comes about, so that an attempt leaves no trace on the server."""
OTHERS: Final = frozenset({PortState.INTERCEPTED, PortState.INTERCEPTED_NO_TLS})
"""The states in which another server answers."""

RELAY_HOST: Final = "relay.isp.test"
"""The name of the server that answers on an intercepted port. Its certificate names it and nothing else."""

_WITHOUT_TLS: Final = {
    PortState.HANDSHAKE_RESET: PortState.RESET,
    PortState.HANDSHAKE_CLOSE: PortState.RESET,
    PortState.INTERCEPTED: PortState.INTERCEPTED_NO_TLS,
}
"""The states that are about TLS, each with the one that comes next to it without."""


def port_fact(state: PortState) -> str:
    """Return the ``kind`` of the ``Deviated`` fact that shows that a client met this state.

    A connection has it as soon as it is made; for a state of the handshake, once the ClientHello was read.

    Examples:
        >>> port_fact(PortState.BANNER)
        'port state banner'
    """
    return f"port state {state.value}"


def check_port_state(state: PortState, security: Security, host: str) -> None:
    """Check that a server with this *security* and *host* can be in this *state*.

    Raises:
        ConfigError: It cannot. The message says what would do.
    """
    if security is Security.NONE and state in _WITHOUT_TLS:
        raise ConfigError(
            f"port_state={state.value!r} needs TLS, but security is 'none'; use security='starttls' or 'implicit', "
            f"or port_state={_WITHOUT_TLS[state].value!r}"
        )
    if host == RELAY_HOST and state in OTHERS:
        raise ConfigError(
            f"host={host!r} is the name of the server that answers with port_state={state.value!r}; use another host"
        )
