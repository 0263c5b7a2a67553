"""Settings of whole servers. Every one can be started on this machine: what contradicts itself is never drawn."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.model.relay import CHUNKING, KEYWORDS, RelayPolicy
from pytest_mailauth.model.terms import SOUND, Certificate, PortState, Protocol, Security
from pytest_mailauth.strategies.cases import mix, one
from pytest_mailauth.strategies.connections import protocols
from pytest_mailauth.strategies.logins import auth_policies, policies_in_clear
from pytest_mailauth.strategies.tls import tls_policies

HOST_IN_A_DOMAIN: Final = "mail.example.test"
ADDRESS: Final = "127.0.0.1"
_NEEDS: Final = {
    **dict.fromkeys(
        (
            Certificate.OTHER_SERVICE,
            Certificate.WILDCARD,
            Certificate.WILDCARD_ABOVE,
            Certificate.WILDCARD_PARTIAL,
            Certificate.SRV_ONLY,
        ),
        HOST_IN_A_DOMAIN,
    ),
    **dict.fromkeys((Certificate.IP_ONLY, Certificate.IP_IN_DNS_NAME), ADDRESS),
}
"""The host that a certificate can be made for, where ``localhost`` will not do."""
_FAULTS: Final = tuple(kind for kind in Certificate if kind not in SOUND)
_AS_GOOD: Final = tuple(kind for kind in Certificate if kind in SOUND and kind is not Certificate.VALID)
_STATES: Final = tuple(state for state in PortState if state not in (PortState.OPEN, PortState.PROHIBITED))
"""What a port on loopback can be; ``prohibited`` is an answer of the network."""
_STATES_WITHOUT_TLS: Final = tuple(
    state
    for state in _STATES
    if state not in (PortState.HANDSHAKE_RESET, PortState.HANDSHAKE_CLOSE, PortState.INTERCEPTED)
)
_TLS: Final = (Security.IMPLICIT, Security.STARTTLS)
_RELAYS: Final = (
    RelayPolicy(),
    RelayPolicy(login_first=True),
    RelayPolicy(own_sender=True),
    RelayPolicy(keywords=(*KEYWORDS, CHUNKING)),
    RelayPolicy(keywords=()),
)


@st.composite
def _config(
    draw: st.DrawFn,
    /,
    kinds: st.SearchStrategy[Protocol],
    securities: tuple[Security, ...] = _TLS,
    *,
    logins: bool = True,
    **given: st.SearchStrategy[Any],
) -> ServerConfig:
    """Draw settings that go together; *given* are drawn instead of the usual ones.

    What a protocol or security has no use for is drawn all the same: else Hypothesis would take the one with less to
    draw for the simplest.
    """
    protocol, security = draw(kinds), draw(one(securities))
    usual = {
        "tls": tls_policies(sound=True),
        "auth": auth_policies(protocol, security, sound=logins),
        "line_limits": one(("strict", "lenient")),
        "relay": one(_RELAYS),
    }
    drawn = {name: draw(strategy) for name, strategy in (usual | given).items()}
    if security is Security.NONE:
        del drawn["tls"]
    offered = drawn["auth"].before_tls if security is Security.NONE else drawn["auth"].mechanisms
    # Mail is sent over SMTP alone, and a server that wants a login first needs something to log in with.
    if protocol is not Protocol.SMTP or (drawn["relay"].login_first and not offered):
        del drawn["relay"]
    host = _NEEDS.get(drawn.get("certificate", Certificate.VALID), "localhost")
    return ServerConfig(protocol=protocol, security=security, host=host, **drawn)


def server_configs(
    protocol: Protocol | str | None = None, *, sound: bool | None = None
) -> st.SearchStrategy[ServerConfig]:
    """Return settings of servers, each of which can be started: ``mailauth_factory.serve(config)``.

    The host is ``localhost``, but where a certificate needs a name in a domain or an address.

    Args:
        protocol: The protocol; None (default) for any.
        sound: True draws the first case alone: servers to which an honest client connects with TLS and logs in with
            the password. False draws the others alone. None (default) draws both.

    Distribution:
        5/12 sound: implicit TLS or STARTTLS, a valid certificate, and PLAIN with the right password is taken.
        2/12 certificate: one with a fault; in one of five times another that is as good as the valid one.
        1/12 old or odd TLS: old versions, weak ciphers, a certificate required; see :func:`tls_policies`.
        1/12 login: passwords refused, or taken in clear; see :func:`auth_policies`.
        1/12 no TLS: security ``"none"``.
        2/12 port: a port that is blocked, silent, reset, intercepted and so on.

    Shrinks to: an SMTP server with implicit TLS and the default settings.

    Examples:
        >>> from hypothesis import find
        >>> config = find(server_configs(), lambda config: config.certificate == "expired")
        >>> config.protocol.value, config.security.value
        ('smtp', 'implicit')
    """
    kinds = protocols() if protocol is None else st.just(Protocol(protocol))
    without_tls = _config(kinds, (Security.NONE,), port_state=one(_STATES_WITHOUT_TLS))
    good, bad = sound is not False, sound is not True
    return mix(
        "server_configs",
        (5 * good, "sound", _config(kinds)),
        (2 * bad, "certificate", _config(kinds, certificate=st.one_of(*[one(_FAULTS)] * 4, one(_AS_GOOD)))),
        (bad, "old or odd TLS", _config(kinds, tls=tls_policies(sound=False))),
        (bad, "login", _config(kinds, logins=False)),
        (bad, "no TLS", _config(kinds, (Security.NONE,), auth=st.one_of(policies_in_clear(), auth_policies()))),
        (2 * bad, "port", st.one_of(*[_config(kinds, port_state=one(_STATES))] * 3, without_tls)),
    )
