"""Where a trial takes place: at a free port of localhost, or at a name and a real port of a network of its own.

A network is opened for the client by whoever knows how to reach it: inside this process, or in a namespace. That is
the client's :attr:`~pytest_mailauth.judge.clients.client.Client.reach`; nothing else here depends on it.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.decoys import stand_decoy
from pytest_mailauth.judge.scenarios.plan import DECOY_HOST, SERVICES, WEAKER_PORTS
from pytest_mailauth.model.config import IN_CLEAR, ServerConfig, TLSPolicy
from pytest_mailauth.model.deviations import Hide
from pytest_mailauth.model.terms import PortState, Protocol, Security
from pytest_mailauth.network.network import Network
from pytest_mailauth.servers.configfile import PLACES, config_text
from pytest_mailauth.servers.webserver import WEB_PORTS, WebServer
from pytest_mailauth.servers.wire.contexts import server_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mailauth.judge.clients.case import Enter
    from pytest_mailauth.judge.clients.client import Reach
    from pytest_mailauth.judge.scenarios.plan import NetworkPlan
    from pytest_mailauth.judge.scenarios.scenario import Setting
    from pytest_mailauth.model.attempts import Attempt
    from pytest_mailauth.model.terms import Certificate
    from pytest_mailauth.model.trial import Declaration
    from pytest_mailauth.model.webrequests import WebRequest
    from pytest_mailauth.servers.configfile import ConfigFile
    from pytest_mailauth.servers.environment import MailServers
    from pytest_mailauth.servers.server import MailServer

_BEFORE_THE_SERVER: Final = (PortState.REFUSED, PortState.TIMEOUT)
"""States in which no server has a say: the network answers for them, a time-out without any waiting."""
_trials = count(1)


@dataclass
class Stage:
    """The servers of one trial, and the way to them.

    Attributes:
        config: The settings of the server under test.
        host: The name that the client is told.
        address: Where the server under test listens, whatever the client is told.
        ports: The TCP ports of the account, the one that the client is told first.
        other_port: The other port of the account, or None.
        network: The names and ports; None at localhost.
        domain: The mail domain of the account in the network.
        nameserver: Address and port of the DNS server that knows the network; None when it has none.
        enter: The way for a program to the names and ports; None when it needs none.
        web_servers: Who gives out the configuration file of the domain; empty where nobody is to read it.
        elsewhere: Another name of the server, for which it has no certificate; None where there is none.
        moved_to: The host that the records name after the first login; None when they do not change.
        decoy: The address of a further server that only the server under test names; empty where there is none.
    """

    config: ServerConfig
    host: str
    address: tuple[str, int]
    ports: tuple[int, ...]
    other_port: int | None = None
    network: Network | None = None
    domain: str | None = None
    nameserver: tuple[str, int] | None = None
    enter: Enter | None = None
    web_servers: tuple[WebServer, ...] = ()
    moved_to: str | None = None
    elsewhere: str | None = None
    decoy: str = ""
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What the client tried in the network. Trials side by side note unknown names together: here are its own."""
        found = self.network.attempts if self.network is not None else ()
        return tuple(one for one in found if (one.name or "").endswith(self.domain or ""))

    @property
    def requests(self) -> tuple[WebRequest, ...]:
        """What the web servers of the domain were asked, in order."""
        found = (request for server in self.web_servers for request in server.requests)
        return tuple(sorted(found, key=lambda request: request.at))

    def close(self) -> None:
        """Lead nobody here any more. Harmless when repeated; the servers are closed by who made them."""
        self._open.close()


def at_localhost(environment: MailServers, config: ServerConfig, setting: Setting) -> Stage:
    """Serve at free ports of localhost.

    Raises:
        CannotServe: This host cannot serve that.
    """
    with contextlib.ExitStack() as opened:
        decoy = stand_decoy(environment, setting, opened, host=config.host)
        if decoy is not None:
            config = decoy.told_by(config)
        server = environment.serve(config)
        other = environment.serve(_weaker(config), "other").port if setting.scenario.other_port else None
        ports = tuple(port for port in (server.port, other) if port is not None)
        stage = Stage(config, server.host, (server.host, server.port), ports, other)
        if decoy is not None:
            stage.decoy, stage.web_servers = decoy.address, decoy.web_servers
        stage._open = opened.pop_all()  # noqa: SLF001 - made here
    return stage


def in_network(
    environment: MailServers,
    config: ServerConfig,
    setting: Setting,
    *,
    declared: Declaration,
    plan: NetworkPlan,
    reach: Reach,
) -> Stage:
    """Serve under names and real port numbers that only this trial's client is told.

    Raises:
        CannotServe: This host cannot serve that.
    """
    with contextlib.ExitStack() as opened:
        stage = _laid_out(environment, config, setting, declared=declared, plan=plan, reach=reach, opened=opened)
        stage._open = opened.pop_all()  # noqa: SLF001 - made here
    return stage


def _laid_out(
    environment: MailServers,
    config: ServerConfig,
    setting: Setting,
    *,
    declared: Declaration,
    plan: NetworkPlan,
    reach: Reach,
    opened: contextlib.ExitStack,
) -> Stage:
    domain = f"trial-{next(_trials)}.example.test"
    names = {"domain": domain, "stranger": f"stranger-{domain}"}
    host = plan.host_of(setting.protocol, declared).format(**names)
    network = Network(environment)
    decoy = stand_decoy(environment, setting, opened, host=DECOY_HOST.format(**names), network=network)
    if decoy is not None:
        config = decoy.told_by(config)
    told = host if plan.spelled is None else plan.spelled.format(**names)
    if plan.by_address:
        told = network.host(host, plan.addresses).addresses[0]
    if plan.alias_of is not None:
        network.alias(host, plan.alias_of)
    config = replace(config, host=told if plan.by_address else host)
    reached = plan.ports_of(setting.protocol, setting.security, declared)
    other_port = WEAKER_PORTS[reached[0]] if setting.scenario.other_port else None
    ports = tuple(port for port in reached if port != other_port)
    state = PortState(config.port_state)
    is_open = state not in _BEFORE_THE_SERVER
    server = environment.serve(config if is_open else replace(config, port_state=PortState.OPEN))
    for port in ports if plan.resolves else ():
        named = network.host(host, plan.addresses)
        (named.at(0) if plan.addresses else named).leads_to(server, port)
        if not is_open:
            network.block(host, port, how=state)
    if other_port is not None:
        network.host(host).leads_to(environment.serve(replace(_weaker(config), host=host), "other"), other_port)
    _stand_beside(network, environment, plan, setting, host=host, names=names)
    for port, how in plan.blocked.items():
        network.block(host, port, how=how)
    if declared.discovers == "srv":
        _publish(network, setting, domain, plan, host=host, port=ports[0])
    account_ports = ports if other_port is None else (*ports, other_port)
    stage = Stage(config, told, ("localhost", server.port), account_ports, other_port, network, domain)
    if decoy is not None:
        stage.decoy, stage.web_servers = decoy.address, decoy.web_servers
    stage.elsewhere = _second_name(network, server, setting, domain, ports[0])
    if declared.discovers == "srv" and plan.moves_to is not None:
        stage.moved_to = plan.moves_to.format(**names)
        _move_after_login(network, server, setting, domain, to=stage.moved_to, port=ports[0])
    if declared.discovers == "autoconfig":
        web = _web_servers(stage, plan.config_file, setting, declared.auth, environment=environment)
        for web_server, port in web:
            opened.callback(web_server.close)
            network.host(web_server.host).leads_elsewhere(port, web_server.port)
            stage.web_servers += (web_server,)
    stage.enter = opened.enter_context(reach(network))
    opened.callback(network.close)  # a DNS server, where it has one
    if declared.discovers == "srv":
        # A program asks the one that its system names.
        stage.nameserver = network.dns() if stage.enter is None else network.dns_inside()
    return stage


def _stand_beside(
    network: Network,
    environment: MailServers,
    plan: NetworkPlan,
    setting: Setting,
    *,
    host: str,
    names: dict[str, str],
) -> None:
    """Serve what stands beside the server under test."""
    for one in plan.beside.get(setting.protocol, ()):
        name = host if one.host is None else one.host.format(**names)
        made = ServerConfig(protocol=setting.protocol, security=one.security, host=name, **one.settings)
        where = network.host(name).at(one.at) if one.at else network.host(name)
        where.leads_to(environment.serve(made, one.listener), one.port)


def _web_servers(
    stage: Stage, file: ConfigFile, setting: Setting, auth: str, *, environment: MailServers
) -> Iterator[tuple[WebServer, int]]:
    """Yield the web servers of the domain, each with the port that clients ask. Close them."""
    domain, account = str(stage.domain), environment.account
    text = config_text(
        domain,
        setting.protocol,
        host=stage.host,
        port=stage.ports[0],
        mode=setting.security if file.mode is None else file.mode,
        username=account.username,
        auth=auth,
    )
    for name, path in PLACES.items():
        host = name.format(domain=domain)
        for scheme, port in WEB_PORTS.items():
            kept = environment.ca, host
            context = server_context(TLSPolicy(), file.certificate, *kept) if scheme == "https" else None
            server = WebServer(
                host,
                path,
                status=file.statuses[scheme],
                text=text,
                secrets=account.secrets,
                context=context,
                certificate=file.certificate,
            )
            yield server, port


def _second_name(network: Network, server: MailServer, setting: Setting, domain: str, port: int) -> str | None:
    """Lead another name to the server, where the second of two transfers goes to one; return it."""
    if setting.scenario.earlier is None or not setting.scenario.earlier.other_host:
        return None
    name = f"elsewhere.{domain}"
    network.host(name).leads_to(server, port)
    return name


def _move_after_login(
    network: Network, server: MailServer, setting: Setting, domain: str, *, to: str, port: int
) -> None:
    """Let the records name another server, as good as the first, from the moment a client has logged in there.

    A client cannot know that it is logged in before the server does, so whatever it asks afterwards is answered anew.
    """
    moved = network.servers.serve(replace(server.config, host=to), "moved")
    network.host(to).leads_to(moved, port)
    name = f"{SERVICES[setting.protocol, setting.security]}.{domain}"

    def follow() -> None:
        if server.has_logged_in():
            network.withdraw(name).srv(name, to, port)

    network.when_asked(follow)


def _publish(network: Network, setting: Setting, domain: str, plan: NetworkPlan, *, host: str, port: int) -> None:
    """Say in the records of the domain where the server is."""
    network.srv(f"{SERVICES[setting.protocol, setting.security]}.{domain}", host, port)
    if plan.denies_implicit:
        network.srv(f"{SERVICES[setting.protocol, Security.IMPLICIT]}.{domain}", ".", 0)


def fingerprint(environment: MailServers, config: ServerConfig, kind: Certificate) -> str:
    """Return the SHA-256 fingerprint of a certificate that a server with these settings would show."""
    return hashlib.sha256(server_context(config.tls, kind, environment.ca, config.host).leaf).hexdigest()


def _weaker(config: ServerConfig) -> ServerConfig:
    """Return the other port of the same account: explicit TLS, STARTTLS stripped, passwords taken in clear."""
    names = ("STARTTLS", "STLS")
    return ServerConfig(
        protocol=Protocol(config.protocol),
        security=Security.STARTTLS,
        auth=IN_CLEAR,
        deviations=(Hide(names=names),),
    )
