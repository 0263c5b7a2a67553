"""How much of what was sent to a client still lies in its system's buffer, where the client is on this machine.

What a program reads cannot be seen from the other end of a connection: its system acknowledges what arrives, whether or
not anybody takes it. But for a connection within one Linux machine the kernel tells anybody how many bytes wait at
either end (``NETLINK_SOCK_DIAG``, the numbers are those of ``linux/inet_diag.h``). Elsewhere the answer is None.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import Any

_AF_NETLINK: Final = getattr(socket, "AF_NETLINK", None)
_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_REQUEST: Final = 1
_ANY_STATE: Final = 0xFFFFFFFF
_TCP: Final = socket.IPPROTO_TCP
_HEADER: Final = struct.Struct("=IHHII")
_ASKED: Final = struct.Struct("=BBBxI2s2s16s16sI8s")
_TOLD: Final = struct.Struct("=4x48x4xI")
"""The end of a socket as it is described, up to the bytes that nobody has read (``idiag_rqueue``)."""
_PATIENCE: Final = 0.1
"""Seconds to wait for the kernel, which answers at once or not at all."""


def unread_by(connected: socket.socket) -> int | None:
    """Return how many bytes the other end of *connected* has received and not read, or None where nobody tells."""
    if _AF_NETLINK is None:
        return None
    try:
        theirs, ours = connected.getpeername(), connected.getsockname()
        with socket.socket(_AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
            kernel.settimeout(_PATIENCE)
            kernel.send(_question(connected.family, theirs, ours))
            answer = kernel.recv(4096)
    except OSError:
        return None
    _, kind, *_ = _HEADER.unpack_from(answer)
    if kind != _BY_FAMILY or len(answer) < _HEADER.size + _TOLD.size:
        return None  # there is no such socket here: the client is elsewhere, or gone
    return int(_TOLD.unpack_from(answer, _HEADER.size)[0])


def _question(family: int, source: Any, destination: Any) -> bytes:
    asked = _ASKED.pack(
        family,
        _TCP,
        0,
        _ANY_STATE,
        struct.pack(">H", source[1]),
        struct.pack(">H", destination[1]),
        ipaddress.ip_address(source[0]).packed.ljust(16, b"\0"),
        ipaddress.ip_address(destination[0]).packed.ljust(16, b"\0"),
        0,
        b"\xff" * 8,
    )
    return _HEADER.pack(_HEADER.size + len(asked), _BY_FAMILY, _REQUEST, 0, 0) + asked
