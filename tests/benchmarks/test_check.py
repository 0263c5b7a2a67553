"""A whole check of one client, with every scenario: most of it is the client waiting for its own time-outs."""

from __future__ import annotations

import gc
import time

import pytest
from clients import make_client

from pytest_mailauth.judge.clients.client import Client
from pytest_mailauth.judge.clients.stdlib import NAMES, clients
from pytest_mailauth.judge.ruleset import RuleSet
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.judge.scenarios import SCENARIOS
from pytest_mailauth.model.terms import Protocol
from pytest_mailauth.model.trial import Declaration


# The clients of the standard library leave sockets unclosed when they fail.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", NAMES)
def test_check(benchmark, note, name):
    verifying = [client for client in clients(name) if client.name.endswith(":verifying")]
    benchmark.group = "check of one client, all scenarios"
    begin = time.perf_counter(), time.process_time()
    results = benchmark.pedantic(lambda: Runner(verifying).run(), rounds=1)
    seconds, busy = time.perf_counter() - begin[0], time.process_time() - begin[1]
    gc.collect()
    note(f"check of {verifying[0].name}: {len(results)} scenarios in {seconds:.1f} s, processor {busy:.1f} s")


@pytest.mark.parametrize("many", [50, 150, None], ids=["50", "150", "all"])
def test_scenarios_per_second(benchmark, note, many):
    """The cost of a case stays the same as there are more of them: the honest client, which waits as little as it may."""
    protocols = tuple(Protocol)
    everything = [
        name
        for name, row in SCENARIOS.items()
        if any(row.is_for(protocol, mode, Declaration()) for protocol in protocols for mode in row.modes)
    ]
    chosen = everything[:many]
    honest = [
        Client(name="honest", run=make_client(protocol), protocols=(protocol,), declared=Declaration(timeout=1.0))
        for protocol in protocols
    ]
    benchmark.group = "scenarios per second"
    begin = time.perf_counter(), time.process_time()
    results = benchmark.pedantic(lambda: Runner(honest, select=chosen).run(), rounds=1)
    seconds, busy = time.perf_counter() - begin[0], time.process_time() - begin[1]
    note(
        f"{len(chosen)} scenarios, {len(results)} cases: {len(results) / seconds:.0f} cases/s, "
        f"processor {busy / len(results) * 1e3:.1f} ms a case"
    )


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_standard_library(benchmark, note):
    everybody = [client for name in NAMES for client in clients(name)]
    benchmark.group = "smtplib, poplib and imaplib, the profile core"
    begin = time.perf_counter(), time.process_time()
    results = benchmark.pedantic(lambda: Runner(everybody, ruleset=RuleSet("core")).run(), rounds=1)
    seconds, busy = time.perf_counter() - begin[0], time.process_time() - begin[1]
    gc.collect()
    note(f"profile core of {len(everybody)} clients: {len(results)} cases in {seconds:.1f} s, processor {busy:.1f} s")
