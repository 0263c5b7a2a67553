"""Attempts to connect as the kernel of a namespace tells of them: netlink messages, bytes only.

nftables copies the first segment of a connection (SYN) to a socket, before anything else is done about it. So an
attempt is seen that nobody answers. One that a routing rule refuses is not: nothing is sent then.

The numbers are those of ``linux/netfilter/nfnetlink_log.h`` and ``linux/netfilter/nf_tables.h``.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.network import blocking

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP: Final = 1
"""Under which number rule and socket meet; it is the namespace's own."""
_SNAPLEN: Final = 96
"""Bytes of a segment that are copied: two headers with options."""
_SUBSYSTEM, _PACKET, _CONFIGURE = 4, 0, 1
_COMMAND, _MODE, _AT_ONCE = 1, 2, 5
_BIND, _COPY_PACKETS = 1, 2
_PAYLOAD: Final = 9
_TCP: Final = 6


class Sighting(NamedTuple):
    """One first segment.

    Attributes:
        address: Where it goes, an address of IPv4.
        port: The same, the TCP port.
        source: The client's own port.
        sequence: The number that the connection begins with; a repetition has the same.
    """

    address: str
    port: int
    source: int
    sequence: int


def rule() -> bytes:
    """Return the expression that copies a segment. It belongs behind those that find the first of a connection."""
    group, at_once = (struct.pack(">H", value) for value in (GROUP, 1))
    snaplen = struct.pack(">I", _SNAPLEN)
    return blocking.expression(b"log", (1, group), (3, snaplen), (4, at_once))


def subscription() -> tuple[bytes, ...]:
    """Return the messages that subscribe a socket; the kernel answers each."""
    mode = struct.pack(">IBB", _SNAPLEN, _COPY_PACKETS, 0)
    attributes = ((_COMMAND, bytes((_BIND,))), (_MODE, mode), (_AT_ONCE, struct.pack(">I", 1)))
    header = struct.pack(">BBH", 0, 0, GROUP)
    kind = _SUBSYSTEM << 8 | _CONFIGURE
    return tuple(blocking.message(kind, header + blocking.attribute(*one)) for one in attributes)


def read(messages: bytes) -> Iterator[Sighting]:
    """Yield what one datagram of a subscribed socket tells of."""
    while messages:
        length, kind = struct.unpack_from("=IH", messages)
        if kind == _SUBSYSTEM << 8 | _PACKET:
            yield from _segment(messages[20:length])
        messages = messages[(length + 3) & ~3 :]


def _segment(attributes: bytes) -> Iterator[Sighting]:
    while len(attributes) >= 4:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind == _PAYLOAD:
            packet = attributes[4:length]
            header = (packet[0] & 0xF) * 4
            if packet[0] >> 4 == 4 and packet[9] == _TCP and len(packet) >= header + 8:
                source, port, sequence = struct.unpack_from(">HHI", packet, header)
                yield Sighting(".".join(map(str, packet[16:20])), port, source, sequence)
        attributes = attributes[(length + 3) & ~3 :]
