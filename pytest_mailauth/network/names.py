"""Names and addresses as text: how they are compared, and which of them are of this machine. Nothing is looked up."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

Text = str | bytes | bytearray
"""What Python takes for a host."""
LOCAL_NAMES: Final = ("", "localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback")
"""Names that every machine has for itself. The real functions answer them out of the machine's own files."""

FIRST: Final = 127 << 24 | 77 << 16
"""127.77.0.0: loopback addresses that stand for hosts. Nothing is ever bound to them."""
MANY: Final = 1 << 16


def canonical(name: Text) -> str:
    """Return a host name as it is compared: lower case, ASCII (RFC 5890), without the final dot.

    Raises:
        UnicodeError: It is no host name.
    """
    text = bytes(name).decode("ascii") if isinstance(name, bytes | bytearray) else name
    ascii_text = text if text.isascii() else text.encode("idna").decode("ascii")
    return ascii_text.lower().removesuffix(".")


def literal(host: Text) -> str | None:
    """Return an address as it is compared: ``"127.77.0.1"`` for ``"::ffff:127.77.0.1"``, too. None for a name.

    The short and the numeric forms that the C library takes (``"127.1"``, ``"2130706433"``) are addresses, too.
    """
    text = host if isinstance(host, str) else bytes(host).decode("ascii", "replace")
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        try:
            # It takes anything behind a blank.
            return socket.inet_ntoa(socket.inet_aton(text)) if text.split() == [text] else None
        except (OSError, ValueError):
            return None
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def is_here(address: str) -> bool:
    """Return whether an address, as :func:`literal` returns it, is of this machine whatever network it is in."""
    ip = ipaddress.ip_address(address)
    # Connecting to the unspecified address reaches this machine; servers print it as where they listen.
    return ip.is_loopback or ip.is_unspecified


def stands_for_a_host(address: str) -> bool:
    """Return whether an address, as :func:`literal` returns it, is one of those that stand for hosts."""
    return address.startswith("127.77.")


def is_local_name(name: str) -> bool:
    """Return whether a canonical name is one that a machine has for itself (RFC 6761)."""
    return name in LOCAL_NAMES or name.endswith(".localhost")
