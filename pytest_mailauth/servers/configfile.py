"""The configuration file that a mail domain publishes for clients: its addresses, its text, and what is wrong with it.

The format is Thunderbird's, ``config-v1.1.xml`` (draft-ietf-mailmaint-autoconfig). No socket here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from pytest_mailauth.model.terms import Certificate, Protocol, Security
from pytest_mailauth.model.webrequests import FOUND

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACES: Final = {
    "autoconfig.{domain}": "/mail/config-v1.1.xml",
    "{domain}": "/.well-known/autoconfig/mail/config-v1.1.xml",
}
"""The hosts that a client asks, each with the path of the file."""
SOCKET_TYPES: Final = {Security.IMPLICIT: "SSL", Security.STARTTLS: "STARTTLS", Security.NONE: "plain"}
"""What the file calls a mode."""
_ELEMENTS: Final = {
    Protocol.SMTP: "outgoingServer",
    Protocol.POP3: "incomingServer",
    Protocol.IMAP: "incomingServer",
}
_AUTHENTICATION: Final = {"password": "password-cleartext", "oauth": "OAuth2"}


@dataclass(frozen=True, kw_only=True)
class ConfigFile:
    """How a domain serves its file.

    Attributes:
        statuses: The HTTP status of the answer, by scheme: 200, 401 (which asks for a password), 404.
        certificate: What https shows.
        mode: The mode that the file names; None for that of the server.
    """

    statuses: Mapping[str, int] = field(default_factory=lambda: {"https": FOUND, "http": FOUND})
    certificate: Certificate = Certificate.VALID
    mode: Security | None = None


def config_text(
    domain: str, protocol: Protocol, *, host: str, port: int, mode: Security, username: str, auth: str = "password"
) -> str:
    """Return the file of a domain with one server."""
    element = _ELEMENTS[protocol]
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="{escape(domain)}">
    <domain>{escape(domain)}</domain>
    <{element} type="{protocol}">
      <hostname>{escape(host)}</hostname>
      <port>{port}</port>
      <socketType>{SOCKET_TYPES[mode]}</socketType>
      <authentication>{_AUTHENTICATION[auth]}</authentication>
      <username>{escape(username)}</username>
    </{element}>
  </emailProvider>
</clientConfig>
"""
