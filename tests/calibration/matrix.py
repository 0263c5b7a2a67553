"""Every reference client against every scenario, run once for the whole matrix: everything that waits, side by side."""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from clients import FAULTY, HONEST, Habits, make_client

from pytest_mailauth.judge.clients.client import Client
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.judge.scenarios import SCENARIOS
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clients import Row

    from pytest_mailauth.judge.verdict import Result

WHOLE = False
"""Whether every client meets every scenario that exists for it; set by the option ``--whole-matrix``."""

TIMEOUT: Final = 1.0
IN_CLEAR: Final = Declaration(timeout=TIMEOUT, allow_insecure_auth=True)
WITH_TOKEN: Final = Declaration(timeout=TIMEOUT, auth="oauth")
TLS: Final = Declaration(timeout=TIMEOUT)
BINDING: Final = Declaration(timeout=TIMEOUT, channel_binding="yes")
BINDS: Final = Habits(binds_channels=True)
WITHOUT_CREDENTIALS: Final = Habits(has_credentials=False)
HAS_DNS: Final = find_spec("dnslib") is not None
"""The package behind the DNS server is of the group ``test``; without it, what takes one is left out."""
MTAS: Final = {
    f"MTA with {policy}": {"auth": "none", "role": "mta", "mta_policy": policy}
    for policy in ("no", "mta-sts", "dane", "requiretls")
}
"""Honest mail transfer agents, each with what it is declared. All of them are the same: it knows every policy."""
RELAYS: Final = Habits(has_credentials=False, relays=True)
UNTOLD: Final = {
    "from the port": {"mode": "from-port"},
    "choosing the port": {"port": "chosen"},
    "choosing port and mode": {"mode": "from-port", "port": "chosen"},
    "reading a file": {"mode": "from-port", "port": "chosen", "discovers": "autoconfig"},
    "guessing names": {"mode": "from-port", "port": "chosen", "discovers": "guess"},
    **({"asking for records": {"mode": "from-port", "port": "chosen", "discovers": "srv"}} if HAS_DNS else {}),
}
"""Honest clients that find out by themselves what others are told, each with what it is declared."""


_ABOUT_FINDING_OUT: Final = [
    name for name, row in SCENARIOS.items() if row.network is not None or row.family in ("A", "C") or row.stands_alone
] + ["starttls-not-offered", "starttls-not-offered-pop3", "starttls-not-offered-imap", "cert-self-signed"]
"""What a client meets whose fault is in finding out. It differs from an honest one in the way that it takes, and not in
what it does there: one scenario of each other kind shows that it is left alone."""


_ABOUT_BINDING: Final = [name for name, row in SCENARIOS.items() if "channel_binding" in row.needs]
"""What a client meets that binds to its TLS connection, and elsewhere is like every other."""


_OLD_TLS: Final = frozenset(name for name, row in SCENARIOS.items() if row.profile == "extended" and row.family in "KL")
_ABOUT_OLD_TLS: Final = frozenset(rule for name in _OLD_TLS for rule in SCENARIOS[name].rules)
_WITH_OPENSSL: Final = [name for name in SCENARIOS if name not in _OLD_TLS]
"""What faulty clients meet whose rule has nothing to do with old TLS. A handshake in Python takes as long as twenty
others, and what is negotiated there concerns those that take it; they are as slow, and meet what concerns them."""


_ONE_OF_EACH: Final = sorted(
    {
        row.rules[0]: name for name, row in SCENARIOS.items() if row.needs.get("role") != "mta" and name not in _OLD_TLS
    }.values()
)
"""One scenario of each rule: what shows, where the matrix is not whole, that a client is left alone by rules that are not
its own. Those that only an MTA meets would stand for nothing with all others, and old TLS concerns those
that take it."""


_PARTS: Final = 3
"""How many parts they are dealt into: a faulty client meets one of them."""


_OF_HABIT: Final = [f"honest {name}" for name, habits in HONEST.items() if habits != Habits()]
"""Honest clients that differ from the first in one habit."""


_TOKEN: Final = Habits(holds_token=True)
_HABITS: Final = {"none": WITHOUT_CREDENTIALS, "oauth": _TOKEN}
"""The habits that go with what a client is declared to log in with."""


def can_be_run(row: Row) -> bool:
    """Return whether everything is installed that a faulty client takes."""
    return HAS_DNS or row.declares.get("discovers") != "srv"


def clients_of(protocol: Protocol) -> list[Client]:
    """Return every reference client of *protocol*."""
    clients = [
        Client(name=f"honest {name}", run=make_client(protocol, habits=habits), protocols=(protocol,), declared=TLS)
        for name, habits in HONEST.items()
    ]
    clients.append(
        Client(
            name="honest in clear",
            run=make_client(protocol),
            protocols=(protocol,),
            securities=(Security.NONE,),
            declared=IN_CLEAR,
        )
    )
    clients.append(
        Client(
            name="honest with a token",
            run=make_client(protocol, habits=_TOKEN),
            protocols=(protocol,),
            declared=WITH_TOKEN,
        )
    )
    clients.append(
        Client(
            name="honest without credentials",
            run=make_client(protocol, habits=WITHOUT_CREDENTIALS),
            protocols=(protocol,),
            declared=replace(TLS, auth="none"),
        )
    )
    clients.append(
        Client(
            name="honest binding channels",
            run=make_client(protocol, habits=BINDS),
            protocols=(protocol,),
            declared=BINDING,
        )
    )
    clients += [
        Client(
            name=f"honest {name}",
            run=make_client(protocol, habits=RELAYS),
            protocols=(protocol,),
            securities=(Security.STARTTLS,),
            declared=Declaration(timeout=TIMEOUT, **declares),
        )
        for name, declares in MTAS.items()
    ]
    clients += [
        Client(
            name=f"honest {name}",
            run=make_client(protocol),
            protocols=(protocol,),
            declared=Declaration(timeout=TIMEOUT, **declares),
        )
        for name, declares in UNTOLD.items()
    ]
    clients += [
        Client(
            name=name,
            run=make_client(protocol, row.faults, _habits(row)),
            protocols=(protocol,),
            securities=row.security,
            declared=replace(IN_CLEAR if row.allow_insecure_auth else TLS, **row.declares),
        )
        for name, row in FAULTY.items()
        if protocol in row.protocols and can_be_run(row)
    ]
    return clients


def _habits(row: Row) -> Habits | None:
    """Return the habits that go with what a faulty client is declared."""
    if row.declares.get("role") == "mta":
        return RELAYS
    return BINDS if row.declares.get("channel_binding") == "yes" else _HABITS.get(row.declares.get("auth", ""))


@functools.cache
def matrix(protocol: Protocol) -> dict[str, list[Result]]:
    """Return the rows of every reference client of *protocol*, by the client's name."""
    rows: dict[str, list[Result]] = defaultdict(list)
    for select, clients in _shares(protocol):
        for result in Runner(clients, select=select).run():
            rows[result.client].append(result)
    return rows


def _shares(protocol: Protocol) -> Iterator[tuple[Iterable[str] | None, list[Client]]]:
    """Yield which clients meet which scenarios; None for all of them."""
    by_rule: dict[str, list[Client]] = defaultdict(list)
    everywhere, of_habit, finding_out, binding = [], [], [], []
    for client in clients_of(protocol):
        if client.name in _OF_HABIT:
            of_habit.append(client)
        elif client.declared.channel_binding == "yes" and client.name not in FAULTY:
            binding.append(client)
        elif client.declared.untold and (client.name in FAULTY or not WHOLE):
            finding_out.append(client)
        elif client.name not in FAULTY:
            everywhere.append(client)
        else:
            by_rule[FAULTY[client.name].rule].append(client)
    yield _ABOUT_FINDING_OUT, finding_out
    if binding:
        yield _ABOUT_BINDING, binding
    yield None, everywhere
    if WHOLE:
        yield None, of_habit
        for rule, clients in by_rule.items():
            slow = [client for client in clients if FAULTY[client.name].faults.takes is not None]
            yield [name for name, row in SCENARIOS.items() if rule in row.rules or name in _OLD_TLS], slow
            yield (
                None if rule in _ABOUT_OLD_TLS else _WITH_OPENSSL,
                [client for client in clients if client not in slow],
            )
        return
    yield _ONE_OF_EACH, of_habit
    for rule, clients in by_rule.items():
        yield [name for name, row in SCENARIOS.items() if rule in row.rules], clients
    faulty = [client for clients in by_rule.values() for client in clients]
    for part in range(_PARTS):
        yield _ONE_OF_EACH[part::_PARTS], faulty[part::_PARTS]


def run_again(protocol: Protocol, name: str, select: Iterable[str]) -> tuple[Result, ...]:
    """Run one client once more through some scenarios."""
    mine = [client for client in clients_of(protocol) if client.name == name]
    return Runner(mine, select=[*select]).run()


def broken(results: list[Result], verdict: Verdict = Verdict.VIOLATION) -> dict[str, list[str]]:
    """Return the rules that flagged a client, or said *verdict*, each with the scenarios in which it did."""
    found: dict[str, list[str]] = defaultdict(list)
    for result in results:
        for judgement in result.judgements:
            if judgement.finding.verdict is verdict:
                found[judgement.rule].append(result.setting.id)
    return found
