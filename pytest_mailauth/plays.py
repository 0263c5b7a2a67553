"""How a client gets on in a world: the servers and names for one play, and the judgement of what crossed the wire.

The client's own words decide nothing. What it raised is kept, and shown.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_mailauth.assertions import broken_rule
from pytest_mailauth.attempt_assertions import assert_never_weaker
from pytest_mailauth.judge.clients.case import Case
from pytest_mailauth.judge.trialrun import DRAIN, let_go
from pytest_mailauth.model.canary import redact
from pytest_mailauth.model.errors import ClientUnusable, ClientViolation, ConfigError
from pytest_mailauth.model.events import Authentication
from pytest_mailauth.model.terms import Protocol
from pytest_mailauth.model.transcript import encodable, hidden_values
from pytest_mailauth.network.network import Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.attempts import Attempt
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Declaration
    from pytest_mailauth.servers.environment import MailServers
    from pytest_mailauth.worlds import World


def play(world: World, client: Callable[[Case], object], servers: MailServers, declared: Declaration) -> Played:
    """Let a client log in to a world; :meth:`World.play` is the way to call it.

    Raises:
        WorldBroken: The client broke a rule, or an attempt was weaker than one before.
        ClientUnusable: The client tried nothing, or it did not log in to an honest server.
        CannotServe: This host cannot serve what a port asks for.
    """
    __tracebackhide__ = True
    with servers.environment() as environment, Network(environment) as network:
        host = network.host(world.host)
        for one in world.ports:
            host.serve(one.config(Protocol(world.protocol), world.host), one.number)
        port, security = world.stated
        account = environment.account
        case = Case(
            protocol=Protocol(world.protocol),
            security=security,
            host=world.host,
            port=port,
            username=account.username,
            password=account.password,
            token=account.token,
            cafile=environment.ca.cafile,
            timeout=declared.timeout,
        )
        raised = _run(client, case)
        for server in environment.servers:
            server.drain(DRAIN)
    error = None if raised is None else encodable(redact(raised, hidden_values(environment.store.accounts)))
    sessions = tuple(session for server in environment.servers for session in server.sessions)
    played = Played(world=world, error=error, attempts=network.attempts, sessions=sessions)
    broken = _broken(environment, network, declared)
    if broken is not None:
        raise WorldBroken(played, broken)
    if not played.attempts:
        raise ClientUnusable(f"the client tried to connect to nobody\n{played}")
    if world.is_honest and not played.logged_in:
        raise ClientUnusable(f"the client did not log in, and nothing was in its way\n{played}")
    return played


@dataclass(frozen=True, kw_only=True)
class Played:
    """How a client got on in a world.

    Attributes:
        world: The world.
        error: What the client raised, without secrets; None when it ended as though all was well.
        attempts: What it tried, in order.
        sessions: What was observed on each connection.
    """

    world: World
    error: str | None
    attempts: tuple[Attempt, ...]
    sessions: tuple[SessionRecord, ...]

    @property
    def logged_in(self) -> bool:
        """Whether any server let the client in."""
        return any(fact.accepted for session in self.sessions for fact in session.of(Authentication))

    def __str__(self) -> str:
        tried = "\n".join(f"    {one.number}. {one}" for one in self.attempts) or "    none"
        story = str(self.world).replace("\n", "\n    ")
        return f"  World:\n    {story}\n  Attempts:\n{tried}\n  The client: {self.error or 'raised nothing'}"


class WorldBroken(ClientViolation):
    """A client did in a world what no world may lead it to.

    Attributes:
        world: The world.
        played: How it got on.
    """

    __module__ = "pytest_mailauth.worlds"  # where a user imports it from

    def __init__(self, played: Played, text: str) -> None:
        self.world = played.world
        self.played = played
        super().__init__(f"{text}\n{played}")


def _broken(environment: MailServers, network: Network, declared: Declaration) -> str | None:
    """Return the text of the first rule that was broken, or None."""
    for server in environment.servers:
        text = broken_rule(server, declared)
        if text is not None:
            return text
    if all(one.strength is None for one in network.attempts):
        return None
    try:
        assert_never_weaker(network, allow_explicit=True)
    except ClientViolation as violation:
        return str(violation)
    return None


def _run(client: Callable[[Case], object], case: Case) -> str | None:
    """Run the client and return what it raised, or None."""
    # Whoever fails inside a constructor is left nothing to close, as with poplib: that is no leak of the test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            ended = client(case)
            if inspect.iscoroutine(ended):
                asyncio.run(ended)
        except (AssertionError, ConfigError):
            raise  # the test's own, or a mistake of whoever wrote it
        except Exception as error:  # noqa: BLE001 - how a client gives up is its own affair
            let_go(error)
            return f"{type(error).__name__}: {error}"
        finally:
            # An exception that was kept holds its connection in a cycle, and the next play is another one's.
            gc.collect(1)
    return None
