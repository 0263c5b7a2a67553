"""The files of /etc that say where names of hosts come from, as a namespace covers them. Text only."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOSTS, SWITCH, RESOLVER = "/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf"
_OWN_ADDRESS: Final = "127.0.1.1"
"""What this machine's name leads to. 127.0.0.1 is called localhost."""
_NAME: Final = re.compile(r"[\w-]+(?:\.[\w-]+)*\.?", re.ASCII)


def hosts(names: Mapping[str, str | Sequence[str]], aliases: Mapping[str, str]) -> str:
    """Return /etc/hosts with these names, ``localhost`` and this machine's own.

    Of names that are aliases, the name that they stand for comes first: that is what a look-up calls canonical.

    Raises:
        ConfigError: An address is not in 127.0.0.0/8 or ::1, or a name is none.
    """
    lines = ["127.0.0.1 localhost", "::1 localhost"]
    own = os.uname().nodename
    if _NAME.fullmatch(own) and own not in ("localhost", *names):
        lines.append(f"{_OWN_ADDRESS} {own}")  # many programs look themselves up
    for name, addresses in names.items():
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} is no name of a host")
        several = (addresses,) if isinstance(addresses, str) else addresses
        called = f"{aliases[name]} {name}" if name in aliases else name
        lines += (f"{loopback(address)} {called}" for address in several)
    return "".join(f"{line}\n" for line in lines)


def loopback(address: str) -> str:
    """Return an address as it is written in a namespace.

    Raises:
        ConfigError: It is not in 127.0.0.0/8 or ::1.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        ip = None
    if ip is None or not ip.is_loopback:
        raise ConfigError(f"{address!r} is no address in a namespace; use one in 127.0.0.0/8, or ::1")
    return str(ip)


def asking(address: str) -> str:
    """Return resolv.conf with one DNS server."""
    return f"nameserver {address}\nsearch .\n"  # else this machine's own domain is tried behind a name


def looked_up_in(order: str) -> str:
    """Return this system's nsswitch.conf with another order in which names of hosts are looked up."""
    try:
        lines = Path(SWITCH).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        lines = []
    kept = [line for line in lines if not re.match(r"\s*hosts\s*:", line)]
    return "".join(f"{line}\n" for line in (*kept, f"hosts: {order}"))
