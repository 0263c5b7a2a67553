"""The names in a certificate that are not simply the host's, as a table: wildcards, addresses, other forms and names.

Each row takes the host, and gives what stands in subjectAltName. Nothing is signed here.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import CNAME_TARGET, MAIL_DOMAIN, Certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SRV_NAME: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7")
"""id-on-dnsSRV (RFC 4985 section 2)."""
_IA5_STRING: Final = 0x16
_SERVICES: Final = ("submission", "submissions", "imap", "imaps", "pop3", "pop3s")
"""What mail services are called in SRV records and names (RFC 6186 section 3, RFC 8314 section 5.1)."""
_SCHEMES: Final = ("smtp", "imap", "pop")
_SIBLINGS: Final = ("smtp", "imap")
"""How the servers of one domain are called that has several (S8)."""


class NameForm(NamedTuple):
    """One row of the table.

    Attributes:
        description: What the names are, as a person would say it.
        source: What a client breaks that takes them for the host's; for those that are sound, what it breaks that does
            not.
        names: Takes the host, and returns the names.
    """

    description: str
    source: str
    names: Callable[[str], Sequence[x509.GeneralName]]


def _above(host: str, levels: int = 1) -> str:
    """Return the domain that many labels above a host.

    Raises:
        ConfigError: There is none.
    """
    domain = ".".join(host.split(".")[levels:])
    if not domain or _is_address(host):
        raise ConfigError(f"host={host!r} has no domain above it, which this certificate needs; use another one")
    return domain


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _address(host: str) -> list[x509.GeneralName]:
    if not _is_address(host):
        raise ConfigError(f"host={host!r} is no address, which this certificate needs; use one such as 127.0.0.1")
    return [x509.IPAddress(ipaddress.ip_address(host))]


def _dns(*names: str) -> list[x509.GeneralName]:
    return [x509.DNSName(name) for name in names]


def _partial(host: str) -> list[x509.GeneralName]:
    label, domain = host.partition(".")[0], _above(host)
    if len(label) < 2:
        raise ConfigError(f"host={host!r} begins with a label too short for a wildcard in it; use another one")
    return _dns(f"{label[0]}*{label[-1]}.{domain}", f"*{label[1:]}.{domain}", f"{label[0]}*.{domain}")


def _srv(host: str) -> list[x509.GeneralName]:
    names = [f"_{service}.{_above(host)}".encode() for service in _SERVICES]
    return [x509.OtherName(SRV_NAME, bytes((_IA5_STRING, len(name))) + name) for name in names]


def _siblings(host: str) -> list[x509.GeneralName]:
    return _dns(*(name for sibling in _SIBLINGS if (name := f"{sibling}.{_above(host)}") != host))


def _fixed(name: str) -> Callable[[str], Sequence[x509.GeneralName]]:
    def names(host: str) -> Sequence[x509.GeneralName]:
        if host == name:
            raise ConfigError(f"host={host!r} is the name that this certificate carries; use another one")
        return _dns(name)

    return names


NAMES: Final[dict[Certificate, NameForm]] = {
    Certificate.OTHER_SERVICE: NameForm("it is for another server of the same domain", "RFC 7817 section 3", _siblings),
    Certificate.CNAME_TARGET: NameForm(
        f"it is for {CNAME_TARGET}, of which the host is an alias", "RFC 7817 section 3", _fixed(CNAME_TARGET)
    ),
    Certificate.MAIL_DOMAIN: NameForm(
        f"it is for {MAIL_DOMAIN}, the domain of the mail addresses", "RFC 7817 section 3", _fixed(MAIL_DOMAIN)
    ),
    Certificate.WILDCARD: NameForm(
        "nothing is wrong: a wildcard stands for the first label of the host",
        "RFC 9525 section 6.3",
        lambda host: _dns(f"*.{_above(host)}"),
    ),
    Certificate.WILDCARD_ABOVE: NameForm(
        "its wildcard would have to stand for two labels of the host",
        "RFC 9525 section 6.3",
        lambda host: _dns(f"*.{_above(host, 2)}"),
    ),
    Certificate.WILDCARD_BELOW: NameForm(
        "its wildcard is for names below the host",
        "RFC 9525 section 6.3",
        lambda host: _dns(f"*.{host}"),
    ),
    Certificate.WILDCARD_PARTIAL: NameForm("its wildcards are parts of a label", "RFC 9525 section 6.3", _partial),
    Certificate.WILDCARD_BARE: NameForm(
        "a wildcard is its whole name", "RFC 9525 section 6.3", lambda _host: _dns("*")
    ),
    Certificate.IP_ONLY: NameForm(
        "nothing is wrong: the address of the host is an iPAddress, and there is no other name",
        "RFC 9525 section 6.4",
        _address,
    ),
    Certificate.IP_IN_DNS_NAME: NameForm(
        "the address of the host is a dNSName, and no iPAddress",
        "RFC 9525 section 6.4",
        lambda host: [x509.DNSName(str(_address(host)[0].value))],
    ),
    Certificate.URI_ONLY: NameForm(
        "its names are URIs of the host, and nothing else",
        "RFC 7817 section 3",
        lambda host: [x509.UniformResourceIdentifier(f"{scheme}://{host}/") for scheme in _SCHEMES],
    ),
    Certificate.SRV_ONLY: NameForm(
        "its names are services of the domain, and nothing else", "RFC 7817 section 3", _srv
    ),
    Certificate.NUL_IN_NAME: NameForm(
        "a NUL follows the host in its name, and another domain",
        "RFC 9525 section 6.3",
        lambda host: _dns(f"{host}\0.attacker.test"),
    ),
    Certificate.UPPER_CASE: NameForm(
        "nothing is wrong: its name is the host's in capitals",
        "RFC 9525 section 6.3",
        lambda host: _dns(host.upper()),
    ),
}
"""The certificates whose names alone differ from the valid one's."""
