"""The decoy of a trial: a server that the server under test names, so that whoever goes there was sent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.model.deviations import pointed
from pytest_mailauth.model.terms import RELAY_PORT, STANDARD_PORTS, Protocol, Security

if TYPE_CHECKING:
    from pytest_mailauth.judge.scenarios.scenario import Setting
    from pytest_mailauth.model.canary import Account
    from pytest_mailauth.servers.environment import MailServers
    from pytest_mailauth.servers.server import MailServer

LISTENER = "decoy"
"""What its sessions are called in the record."""


def decoy_server(environment: MailServers, setting: Setting, *, host: str = "localhost") -> MailServer | None:
    """Start the decoy of a scenario under this name, or return None when it has none."""
    decoy = setting.scenario.decoy
    if decoy is None:
        return None
    made = ServerConfig(protocol=setting.protocol, security=decoy.security, host=host, **decoy.settings)
    return environment.serve(made, LISTENER)


def decoy_ports(setting: Setting) -> tuple[int, ...]:
    """Return the real ports at which a decoy answers; the first is the one that is named."""
    decoy = setting.scenario.decoy
    mode = Security.IMPLICIT if decoy is not None and decoy.security is Security.IMPLICIT else Security.STARTTLS
    usual = STANDARD_PORTS[setting.protocol, mode]
    return (usual, RELAY_PORT) if setting.protocol is Protocol.SMTP else (usual,)


def naming(config: ServerConfig, setting: Setting, host: str, port: int) -> ServerConfig:
    """Return the settings of the server under test with the address of the decoy in what it says."""
    config = replace(config, deviations=pointed(config.deviations, host, port))
    if setting.scenario.decoy is not None and setting.scenario.decoy.in_error_challenge:
        refuses = _Refuses(discovery_url=f"http://{host}:{port}/.well-known/openid-configuration")
        config = replace(config, auth=replace(config.auth, accept_token=refuses))
    return config


@dataclass(frozen=True)
class _Refuses:
    """Refuses every token. The error challenge tells its attributes."""

    discovery_url: str
    scope: str = "mail"

    def __call__(self, _token: str, _account: Account) -> str:
        return "invalid_token"
