"""The decoy of a trial: a server that the server under test names, so that whoever goes there was sent."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.model.deviations import pointed
from pytest_mailauth.model.terms import RELAY_PORT, STANDARD_PORTS, Protocol, Security
from pytest_mailauth.model.webrequests import FOUND
from pytest_mailauth.servers.oauth_paths import DISCOVERY_PATH
from pytest_mailauth.servers.webserver import WEB_PORTS, WebServer

if TYPE_CHECKING:
    from contextlib import ExitStack

    from pytest_mailauth.judge.scenarios.scenario import Setting
    from pytest_mailauth.model.canary import Account
    from pytest_mailauth.network.network import Network
    from pytest_mailauth.servers.environment import MailServers
    from pytest_mailauth.servers.server import MailServer

LISTENER: Final = "decoy"
"""What the sessions of one that speaks a mail protocol are called in the record."""


@dataclass(frozen=True)
class StandingDecoy:
    """A decoy that answers.

    Attributes:
        host: Its name.
        port: The port at which it is named.
        mail: The server behind it, where it speaks a mail protocol.
        web: The server behind it, where it speaks HTTP.
    """

    host: str
    port: int
    mail: MailServer | None = None
    web: WebServer | None = None

    @property
    def address(self) -> str:
        """The text by which it is named."""
        return f"{self.host}:{self.port}"

    @property
    def web_servers(self) -> tuple[WebServer, ...]:
        """Its web server, if it is one."""
        return () if self.web is None else (self.web,)

    def told_by(self, config: ServerConfig) -> ServerConfig:
        """Return the settings of the server under test with this address in what it says."""
        config = replace(config, deviations=pointed(config.deviations, self.host, self.port))
        if self.web is None:
            return config
        refuses = _Refuses(f"http://{self.address}{DISCOVERY_PATH}")
        return replace(config, auth=replace(config.auth, accept_token=refuses))


def stand_decoy(
    environment: MailServers, setting: Setting, opened: ExitStack, *, host: str, network: Network | None = None
) -> StandingDecoy | None:
    """Start the decoy of a scenario, or return None when it has none.

    Args:
        environment: Whose account it knows.
        setting: The scenario.
        opened: Closes what the environment does not.
        host: Its name.
        network: Where the name leads to it, at its real ports; None for a free port.
    """
    decoy = setting.scenario.decoy
    if decoy is None:
        return None
    if decoy.in_error_challenge:
        port = WEB_PORTS["http"]
        secrets = environment.account.secrets
        web = WebServer(host, DISCOVERY_PATH, status=FOUND, text=_configuration(host), secrets=secrets)
        opened.callback(web.close)
        if network is None:
            return StandingDecoy(host, web.port, web=web)
        network.host(host).leads_elsewhere(port, web.port)
        return StandingDecoy(host, port, web=web)
    made = ServerConfig(protocol=setting.protocol, security=decoy.security, host=host, **decoy.settings)
    server = environment.serve(made, LISTENER)
    if network is None:
        return StandingDecoy(host, server.port, mail=server)
    ports = _real_ports(setting.protocol, decoy.security)
    for port in ports:
        network.host(host).leads_to(server, port)
    return StandingDecoy(host, ports[0], mail=server)


def _real_ports(protocol: Protocol, security: Security) -> tuple[int, ...]:
    mode = Security.IMPLICIT if security is Security.IMPLICIT else Security.STARTTLS
    usual = STANDARD_PORTS[protocol, mode]
    return (usual, RELAY_PORT) if protocol is Protocol.SMTP else (usual,)


def _configuration(host: str) -> str:
    """Return what a provider says of itself, for whoever asks."""
    issuer = f"http://{host}"
    return json.dumps({"issuer": issuer, "token_endpoint": f"{issuer}/token", "scopes_supported": ["mail"]})


@dataclass(frozen=True)
class _Refuses:
    """Refuses every token. The error challenge tells its attributes."""

    discovery_url: str
    scope: str = "mail"

    def __call__(self, _token: str, _account: Account) -> str:
        return "invalid_token"
