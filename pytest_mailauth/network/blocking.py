"""Blocked ports as netlink messages for the kernel of a namespace: bytes only, nothing here opens a socket.

nftables drops or answers the first segment of a connection on its way out; on loopback nothing else sees it. An ICMP
message from there would reach a client that waits in connect() only at its next try, a second later. So what a router
says by ICMP is said by a routing rule, as the error it becomes for a client, and at once.

The numbers are those of ``linux/netlink.h``, ``linux/netfilter/nfnetlink.h``, ``linux/netfilter/nf_tables.h``,
``linux/rtnetlink.h`` and ``linux/fib_rules.h``.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_TCP = 6
_FAMILIES: Final = {4: 2, 6: 10}
"""By IP version, the number of its address family (``AF_INET``, ``AF_INET6``)."""


@dataclass(frozen=True)
class Block:
    """A port that is blocked.

    Attributes:
        address: The address, or None for every address. One with an address counts before one without.
        port: The TCP port.
        how: A key of :data:`HOW`.
    """

    address: str | None
    port: int
    how: str


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _nested(kind: int, *inner: bytes) -> bytes:
    return _attribute(kind | _NESTED, b"".join(inner))


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack(">I", value))


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, 0, 0) + body


def attribute(kind: int, data: bytes) -> bytes:
    """Return one attribute of a message."""
    return _attribute(kind, data)


def message(kind: int, body: bytes) -> bytes:
    """Return a message that is to be answered."""
    return _message(kind, _ACK, body)


def expression(name: bytes, *attributes: tuple[int, bytes]) -> bytes:
    """Return an expression of a rule of nftables."""
    return _expression(name, *(_attribute(*one) for one in attributes))


def errors(answers: bytes) -> Iterator[int]:
    """Yield the error numbers in the kernel's answers to messages."""
    while answers:
        length, kind = struct.unpack_from("=IH", answers)
        number = struct.unpack_from("=i", answers, 16)[0]
        if kind == _ERROR and number:
            yield -number
        answers = answers[(length + 3) & ~3 :]


# nftables.

_TABLE: Final = b"mailauth\0"
_CHAIN: Final = b"out\0"
_ERROR = 2
_BATCH_BEGIN, _BATCH_END, _SUBSYSTEM = 0x10, 0x11, 10
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE = 0, 2, 3, 6
_NESTED = 0x8000
_INET = 1
_LOCAL_OUT = 3
_REGISTER = 1
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_NFPROTO, _L4PROTO = 15, 16
_REJECT_WITH_RST = 1
_SYN, _ACKNOWLEDGES = 0x02, 0x10
_TCP_DESTINATION, _TCP_FLAGS = 2, 13
_DESTINATION: Final = {4: 16, 6: 24}
"""By IP version, where the destination stands in its header."""


def _command(kind: int, flags: int, *attributes: bytes) -> bytes:
    return _message(_SUBSYSTEM << 8 | kind, flags, struct.pack(">BBH", _INET, 0, 0) + b"".join(attributes))


def _bracket(kind: int) -> bytes:
    return _message(kind, 0, struct.pack(">BBH", 0, 0, _SUBSYSTEM))


def _expression(name: bytes, *attributes: bytes) -> bytes:
    return _nested(1, _attribute(1, name + b"\0"), _nested(2, *attributes))


def _equals(value: bytes) -> bytes:
    return _expression(b"cmp", _number(1, _REGISTER), _number(2, 0), _nested(3, _attribute(1, value)))


def _meta(key: int, value: int) -> bytes:
    return _expression(b"meta", _number(1, _REGISTER), _number(2, key)) + _equals(bytes((value,)))


def _field(header: int, offset: int, length: int) -> bytes:
    parts = (_REGISTER, header, offset, length)
    return _expression(b"payload", *(_number(kind, value) for kind, value in enumerate(parts, 1)))


def _masked(mask: int) -> bytes:
    and_, xor = (_attribute(1, bytes((value,))) for value in (mask, 0))
    numbers = (_number(1, _REGISTER), _number(2, _REGISTER), _number(3, 1))
    return _expression(b"bitwise", *numbers, _nested(4, and_), _nested(5, xor))


_DROP: Final = _expression(b"immediate", _number(1, 0), _nested(2, _nested(2, _number(1, 0))))
_RESET: Final = _expression(b"reject", _number(1, _REJECT_WITH_RST), _attribute(2, bytes(1)))

_FILTERED: Final[Mapping[str, tuple[int, bytes]]] = {
    "timeout": (_SYN, _DROP),
    "refused": (_SYN, _RESET),
    "reset": (_ACKNOWLEDGES, _RESET),
}
"""What is done to which segments of a client: to the first of a connection (SYN alone), or to all others."""


def _filter(block: Block) -> bytes:
    flags, verdict = _FILTERED[block.how]
    tests = [_meta(_L4PROTO, _TCP)]
    if block.address is not None:
        ip = ipaddress.ip_address(block.address)
        field = _field(_NETWORK_HEADER, _DESTINATION[ip.version], len(ip.packed))
        tests += (_meta(_NFPROTO, _FAMILIES[ip.version]), field, _equals(ip.packed))
    tests += (_field(_TRANSPORT_HEADER, _TCP_DESTINATION, 2), _equals(struct.pack(">H", block.port)))
    tests += (_field(_TRANSPORT_HEADER, _TCP_FLAGS, 1), _masked(_SYN | _ACKNOWLEDGES), _equals(bytes((flags,))))
    names = (_attribute(1, _TABLE), _attribute(2, _CHAIN))
    return _command(_NEW_RULE, _CREATE | _APPEND, *names, _nested(4, *tests, verdict))


_FIRST: Final = (
    _meta(_L4PROTO, _TCP),
    _field(_TRANSPORT_HEADER, _TCP_FLAGS, 1),
    _masked(_SYN | _ACKNOWLEDGES),
    _equals(bytes((_SYN,))),
)
"""What finds the first segment of a connection."""


def filters(blocks: Iterable[Block], noting: bytes = b"") -> bytes:
    """Return the batch that replaces every rule of nftables at once, so that there is no moment without them.

    Args:
        blocks: The ports.
        noting: What is done to every first segment before all else; nothing if empty.
    """
    table = _attribute(1, _TABLE)
    hook = _nested(4, _number(1, _LOCAL_OUT), _number(2, 0))
    chain = (table, _attribute(3, _CHAIN), hook, _attribute(7, b"filter\0"))
    parts = (
        _bracket(_BATCH_BEGIN),
        # A table that may not exist cannot be deleted; one that is made first can.
        _command(_NEW_TABLE, _CREATE, table),
        _command(_DELETE_TABLE, 0, table),
        _command(_NEW_TABLE, _CREATE, table),
        _command(_NEW_CHAIN, _CREATE, *chain),
        *(
            [_command(_NEW_RULE, _CREATE | _APPEND, table, _attribute(2, _CHAIN), _nested(4, *_FIRST, noting))]
            if noting
            else []
        ),
        *(_filter(block) for block in _specific_first(blocks) if block.how in _FILTERED),
        _bracket(_BATCH_END),
    )
    return b"".join(parts)


def _specific_first(blocks: Iterable[Block]) -> list[Block]:
    return sorted(blocks, key=lambda block: block.address is None)


# Routing rules.

_NEW_ROUTE, _NEW_POLICY, _DELETE_POLICY = 24, 32, 33
_LOCAL_TABLE, _OUR_TABLE = 255, 66
_UNREACHABLE_ROUTE = 7
_TO_TABLE, _PROHIBIT = 1, 8
_AFTER_OURS = 32000
"""The rule for local addresses is the first of all; it has to come after ours."""

_ROUTED: Final[Mapping[str, Mapping[int, tuple[int, int]]]] = {
    "unreachable": {4: (_TO_TABLE, _OUR_TABLE), 6: (_TO_TABLE, _OUR_TABLE)},
    "prohibited": {4: (_TO_TABLE, _OUR_TABLE), 6: (_PROHIBIT, 0)},
}
"""By IP version, what gives the error that Linux makes of the ICMP message: EHOSTUNREACH, and for "administratively
prohibited" EACCES with IPv6 (net/ipv6/icmp.c)."""

HOW: Final = (*_FILTERED, *_ROUTED)
"""The ways in which a port can be blocked."""


def _policy(priority: int, version: int, action: int, table: int, *attributes: bytes, length: int = 0) -> bytes:
    header = struct.pack("=BBBBBBBBI", _FAMILIES[version], length, 0, 0, table, 0, 0, action, 0)
    return header + _attribute(6, struct.pack("=I", priority)) + b"".join(attributes)


def foundation(versions: Iterable[int]) -> bytes:
    """Return the messages, to be sent once, that make room for routing rules of ours."""
    messages: list[bytes] = []
    for version in versions:
        unreachable = struct.pack("=BBBBBBBBI", _FAMILIES[version], 0, 0, 0, _OUR_TABLE, 3, 0, _UNREACHABLE_ROUTE, 0)
        messages += (
            _message(_NEW_ROUTE, _CREATE, unreachable),
            _message(_NEW_POLICY, _CREATE, _policy(_AFTER_OURS, version, _TO_TABLE, _LOCAL_TABLE)),
            _message(_DELETE_POLICY, 0, _policy(0, version, _TO_TABLE, _LOCAL_TABLE)),
        )
    return b"".join(messages)


def policies(blocks: Iterable[Block], versions: Iterable[int]) -> frozenset[bytes]:
    """Return the routing rules for these blocks, for :func:`changes`."""
    blocks = tuple(blocks)
    wide = {block.port for block in blocks if block.address is None and block.how in _ROUTED}
    found = set()
    for block in blocks:
        ip = None if block.address is None else ipaddress.ip_address(block.address)
        port = _attribute(24, struct.pack("=HH", block.port, block.port))
        tests = (_attribute(22, bytes((_TCP,))), port)
        for version in versions if ip is None else (ip.version,):
            where = (1, version) if ip else (2, version)
            to = () if ip is None else (_attribute(1, ip.packed),)
            length = 0 if ip is None else ip.max_prefixlen
            if block.how in _ROUTED:
                found.add(_policy(*where, *_ROUTED[block.how][version], *to, *tests, length=length))
            elif ip is not None and block.port in wide:
                # It is blocked otherwise than every address is, so it has to get past that rule.
                found.add(_policy(*where, _TO_TABLE, _LOCAL_TABLE, *to, *tests, length=length))
    return frozenset(found)


def changes(before: frozenset[bytes], after: frozenset[bytes]) -> bytes:
    """Return the messages that make the routing rules *after* of those *before*."""
    new = (_message(_NEW_POLICY, _CREATE, rule) for rule in sorted(after - before))
    old = (_message(_DELETE_POLICY, 0, rule) for rule in sorted(before - after))
    return b"".join((*new, *old))
