"""Worlds to play in: an account, its servers, and what is in the way. Every one can be played on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from pytest_mailauth.model.config import IN_CLEAR, AuthPolicy, TLSPolicy
from pytest_mailauth.model.terms import RELAY_PORT, STANDARD_PORTS, Certificate, Protocol, Refusal, Security
from pytest_mailauth.strategies.cases import mix, one
from pytest_mailauth.strategies.connections import protocols
from pytest_mailauth.strategies.networks import BLOCKS
from pytest_mailauth.worlds import Port, World

if TYPE_CHECKING:
    from collections.abc import Mapping

_TLS: Final = (Security.IMPLICIT, Security.STARTTLS)
_STARTTLS: Final = (Security.STARTTLS, Security.STARTTLS)
"""Twice, so that something is drawn: else Hypothesis would take what has less to draw for the simplest."""
_CUSTOM: Final = (2525, 2465, 2587, 10025)
_HOSTS: Final = ("{protocol}.example.test", "mail.example.test")
_STRIPPED: Final[dict[str, Any]] = {"strips": True, "auth": IN_CLEAR}
"""Whoever takes STARTTLS away takes the password, too: else few clients would be tempted."""
_LAX: Final[dict[str, Any]] = {"auth": IN_CLEAR}
_FAULTS: Final = (
    Certificate.EXPIRED,
    Certificate.WRONG_HOST,
    Certificate.SELF_SIGNED,
    Certificate.UNTRUSTED_ROOT,
    Certificate.NOT_YET_VALID,
)
"""Faults that nobody who verifies overlooks."""
_OLD: Final = (TLSPolicy(max_version="1.1"), TLSPolicy(max_version="1.0"))
_AUTH: Final = (
    AuthPolicy(reject=Refusal.INVALID),
    AuthPolicy(reject=Refusal.TEMPORARY),
    IN_CLEAR,
)
_AS_GOOD: Final = (Certificate.VALID, Certificate.WILDCARD, Certificate.UPPER_CASE)


def worlds(protocol: Protocol | str | None = None) -> st.SearchStrategy[World]:
    """Return worlds: ``world.play(client, mailauth_factory)`` lets a client log in to one for real.

    The settings of the account always say the truth about port and mode; what differs is what a client meets there. In
    three of four worlds there is something on another standard port of the protocol, too: an honest server, one
    that takes passwords in clear, one without STARTTLS, a bad certificate, old TLS, or a block.

    Args:
        protocol: The protocol; None (default) for any.

    Distribution:
        3/12 honest: the stated port has an honest server.
        3/12 blocked: the stated port is blocked, or somebody else answers there; nobody is silent, so nothing waits.
        2/12 stripped: STARTTLS is not offered; in half of them, passwords are taken in clear.
        2/12 certificate: it is expired, for another host, self-signed, of an unknown authority or not yet valid.
        1/12 old TLS: nothing newer than TLS 1.0 or 1.1 is served.
        1/12 login: every login is refused, or passwords are taken in clear as well.

    Shrinks to: ``World()``, an honest SMTP server with implicit TLS on port 465.

    Examples:
        >>> from hypothesis import find
        >>> print(find(worlds(), lambda world: not world.is_honest))
        smtp.example.test over SMTP, stated: port 465, implicit TLS
          port 465, implicit TLS: nothing answers
          any other port is closed
    """
    kinds = protocols() if protocol is None else st.just(Protocol(protocol))
    return mix(
        "worlds",
        (3, "honest", _worlds(kinds, _each("certificate", _AS_GOOD))),
        (3, "blocked", _worlds(kinds, _each("state", BLOCKS))),
        (2, "stripped", _worlds(kinds, (_STRIPPED, {"strips": True}), _STARTTLS)),
        (2, "certificate", _worlds(kinds, _each("certificate", _FAULTS))),
        (1, "old TLS", _worlds(kinds, _each("tls", _OLD))),
        (1, "login", _worlds(kinds, _each("auth", _AUTH), _STARTTLS)),
    )


def _each(name: str, values: tuple[Any, ...]) -> tuple[Mapping[str, Any], ...]:
    return tuple({name: value} for value in values)


@st.composite
def _worlds(
    draw: st.DrawFn,
    /,
    kinds: st.SearchStrategy[Protocol],
    there: tuple[Mapping[str, Any], ...],
    securities: tuple[Security, ...] = _TLS,
) -> World:
    """Draw a world whose stated port is one of *there*."""
    protocol, security = draw(kinds), draw(one(securities))
    standard = STANDARD_PORTS[protocol, security]
    number = draw(one((*[standard] * 8, *_CUSTOM)))
    settings = draw(one(there))
    beside = draw(_beside(protocol, security))
    host = draw(one(_HOSTS)).format(protocol="pop" if protocol is Protocol.POP3 else protocol.value)
    return World(
        protocol=protocol,
        host=host,
        ports=(Port(number=number, security=security, **settings), *beside),
    )


@st.composite
def _beside(draw: st.DrawFn, /, protocol: Protocol, security: Security) -> tuple[Port, ...]:
    """Draw what is on other ports of the account."""
    other = next(mode for mode in _TLS if mode is not security)
    places = [(STANDARD_PORTS[protocol, other], other)]
    if protocol is Protocol.SMTP:
        places.append((RELAY_PORT, Security.STARTTLS))
    chosen = draw(one(((), places[:1], places, places[-1:])))
    return tuple(Port(number=number, security=mode, **draw(_conditions(mode))) for number, mode in chosen)


def _conditions(security: Security) -> st.SearchStrategy[dict[str, Any]]:
    """Return what a port that nobody stated may be like."""
    tempting: list[dict[str, Any]] = [_STRIPPED, _LAX] if security is Security.STARTTLS else []
    return one(
        (
            {},
            *tempting,
            *({"state": state} for state in BLOCKS[:2]),
            *({"certificate": fault} for fault in _FAULTS[:2]),
            {"tls": _OLD[0]},
        )
    )
