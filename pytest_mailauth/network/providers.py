"""Provider profiles by name: the settings of a server that answers as Gmail, Microsoft 365 or a strict server does.

The rows are in the tables beside this module. Nothing here contacts a provider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.network.profiles_app_password import FASTMAIL, ICLOUD, YAHOO
from pytest_mailauth.network.profiles_generic import ISP_BLOCKS_25, LEGACY, STRICT_SUBMISSION
from pytest_mailauth.network.profiles_oauth import GMAIL, MICROSOFT_365, OUTLOOK

if TYPE_CHECKING:
    from pytest_mailauth.model.terms import Protocol, Security
    from pytest_mailauth.network.profile import Provider
    from pytest_mailauth.servers.environment import MailServers
    from pytest_mailauth.servers.server import MailServer

PROVIDERS: Final[dict[str, Provider]] = {
    one.name: one
    for one in (
        GMAIL,
        MICROSOFT_365,
        OUTLOOK,
        YAHOO,
        ICLOUD,
        FASTMAIL,
        ISP_BLOCKS_25,
        STRICT_SUBMISSION,
        LEGACY,
    )
}
"""Every profile by name."""


def provider(name: str) -> Provider:
    """Return a provider profile.

    Args:
        name: ``"gmail"``, ``"microsoft-365"``, ``"outlook.com"``, ``"yahoo"``, ``"icloud"``, ``"fastmail"``,
            ``"isp-blocks-25"``, ``"strict-submission"`` or ``"legacy"``.

    Raises:
        ConfigError: There is no such profile; the message lists those that there are.

    Examples:
        >>> service = provider("gmail").service("imap")
        >>> service.host, service.port, str(service.security)
        ('imap.gmail.com', 993, 'implicit')
        >>> provider("gmail").config("imap").host
        'localhost'
    """
    if name not in PROVIDERS:
        raise ConfigError(f"provider {name!r} is not known; use one of {', '.join(map(repr, PROVIDERS))}")
    return PROVIDERS[name]


def start(
    servers: MailServers,
    name: str,
    protocol: Protocol | str,
    security: Security | str | None = None,
    *,
    less_secure_apps: bool | None = None,
    **auth: Any,
) -> MailServer:
    """Start a server among *servers* that behaves like a service of a provider.

    Args:
        servers: Who makes it; the fixture ``mailauth`` for example.
        name: The profile, see :func:`provider`.
        protocol: ``"smtp"``, ``"pop3"`` or ``"imap"``.
        security: ``"implicit"``, ``"starttls"`` or ``"none"``; None for the recommended one.
        less_secure_apps: As in :meth:`~pytest_mailauth.network.profile.Provider.config`.
        auth: The same.

    Raises:
        ConfigError: There is no such profile or service.
        CannotServe: This host cannot serve it: TLS 1.0 for ``"legacy"``.
        RuntimeError: *servers* are closed.
    """
    return servers.serve(provider(name).config(protocol, security, less_secure_apps=less_secure_apps, **auth))
