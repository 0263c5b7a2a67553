"""Answers every look-up of a name from the open networks, so that nobody else is ever asked.

A look-up gives a loopback address that stands for the name and keeps the port: connecting to that address is then led
to the server behind the port. A library that throws away the port which a look-up returned (anyio does) is covered by
that. The name that is checked against a certificate stays the client's own.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.attempts import AttemptOutcome
from pytest_mailauth.network import scope
from pytest_mailauth.network.journal import Note
from pytest_mailauth.network.names import canonical, is_here, is_local_name, literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.network.directory import Entry, Place

    Real = Callable[..., Any]

FAMILIES: Final = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}
_NO_SUCH_NAME: Final = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
_NO_SUCH_FAMILY: Final = socket.gaierror(
    getattr(socket, "EAI_NODATA", socket.EAI_NONAME), "No address associated with hostname"
)
_HERE: Final = "127.0.0.1"


def found(host: Any, port: Any = 0) -> Entry | None:
    """Return the entry that answers for *host*; None where the real function may answer, which asks nobody.

    Raises:
        socket.gaierror: No network knows the name.
    """
    __tracebackhide__ = True
    if (
        host is None
        or not isinstance(host, str | bytes | bytearray)
        or literal(bytes(host) if isinstance(host, bytearray) else host)
    ):
        return None
    try:
        name = canonical(bytes(host) if isinstance(host, bytearray) else host)
    except UnicodeError:
        if isinstance(host, str):
            return None  # the real function says what is wrong with it
        raise socket.gaierror(*_NO_SUCH_NAME.args) from None
    networks = scope.concerned()
    entry = next((entry for one in networks if (entry := one.hosts.get(name)) and name not in one.unknown), None)
    if entry is not None or is_local_name(name):
        return entry
    if name == canonical(socket.gethostname()):
        return None
    entry = next((entry for one in networks if (entry := one.resolve(name))), None)
    if entry is None:
        if networks:
            networks[0].journal.add(Note(name, "", _number(port), AttemptOutcome.UNRESOLVABLE))
        raise socket.gaierror(*_NO_SUCH_NAME.args)
    return entry


def _number(port: Any) -> int:
    with contextlib.suppress(ValueError, TypeError):
        return int(port)
    with contextlib.suppress(OSError, TypeError, UnicodeError):
        return socket.getservbyname(port.decode("ascii") if isinstance(port, bytes) else port)
    return 0


def stand_in(host: Any) -> Any:
    """Return what the real function is asked for in place of a name that every machine has for itself."""
    __tracebackhide__ = True
    if not isinstance(host, str | bytes | bytearray) or literal(host):
        return host
    # Who has no files to look into would ask a server for it.
    name = canonical(host)
    return name if name in ("", "localhost") else _HERE


def places_for(entry: Entry, family: int) -> tuple[Place, ...]:
    """Return the addresses of a host in a family, which is 0 for both.

    Raises:
        socket.gaierror: It has none.
    """
    of_family = tuple(place for place in entry.places if family == 0 or FAMILIES.get(family) == place.family)  # type: ignore[call-overload]
    if not of_family:
        raise socket.gaierror(*_NO_SUCH_FAMILY.args)
    return of_family


def getaddrinfo(  # noqa: PLR0917 - the arguments of socket.getaddrinfo
    real: Real,
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,  # noqa: A002
    proto: int = 0,
    flags: int = 0,
) -> Any:
    """In place of ``socket.getaddrinfo``."""
    __tracebackhide__ = True
    if flags & socket.AI_NUMERICHOST:
        return real(host, port, family, type, proto, flags)
    entry = found(host, port)
    if entry is None:
        return real(stand_in(host), port, family, type, proto, flags)
    mapped = family == socket.AF_INET6 and flags & socket.AI_V4MAPPED and "ipv6" not in {x.family for x in entry.places}
    places = places_for(entry, 0 if mapped else family)
    numeric = flags & ~(socket.AI_CANONNAME | socket.AI_ADDRCONFIG) | socket.AI_NUMERICHOST
    answers = [answer for place in places for answer in real(place.address, port, family, type, proto, numeric)]
    if flags & socket.AI_CANONNAME and answers:
        answers[0] = (*answers[0][:3], entry.alias_of or entry.name, answers[0][4])
    return answers


def gethostbyname(real: Real, host: Any) -> Any:
    """In place of ``socket.gethostbyname``."""
    __tracebackhide__ = True
    entry = found(host)
    return real(stand_in(host)) if entry is None else places_for(entry, socket.AF_INET)[0].address


def gethostbyname_ex(real: Real, host: Any) -> Any:
    """In place of ``socket.gethostbyname_ex``."""
    __tracebackhide__ = True
    entry = found(host)
    if entry is None:
        return real(stand_in(host))
    aliases = [entry.name] if entry.alias_of else []
    return entry.alias_of or entry.name, aliases, [place.address for place in places_for(entry, socket.AF_INET)]


def _name_of(host: Any) -> str | None:
    """Return the name of an address without asking anybody; None for one that has none."""
    address = literal(host)
    if address is None:
        return None
    at = scope.place_at(address)
    if at is not None:
        return at[1].name
    return "localhost" if is_here(address) else None


def gethostbyaddr(real: Real, host: Any) -> Any:  # noqa: ARG001 - the real one asks others
    """In place of ``socket.gethostbyaddr``, which clients use to find out what to call themselves in EHLO."""
    if literal(host) is None:
        entry = found(host)
        if entry is None:
            return host, [], [_HERE]
        return entry.alias_of or host, [], [place.address for place in entry.places]
    name = _name_of(host)
    if name is None:
        raise socket.herror(1, "Unknown host")
    return name, [], [host]


def getnameinfo(real: Real, sockaddr: Any, flags: int) -> Any:
    """In place of ``socket.getnameinfo``."""
    host, port = real(sockaddr, flags | socket.NI_NUMERICHOST)
    if flags & socket.NI_NUMERICHOST:
        return host, port
    name = _name_of(host)
    if name is None and flags & socket.NI_NAMEREQD:
        raise socket.gaierror(*_NO_SUCH_NAME.args)
    return name or host, port
