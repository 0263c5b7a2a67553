"""A whole check of one client, with every scenario: most of it is the client waiting for its own time-outs."""

from __future__ import annotations

import gc
import time

import pytest

from pytest_mailauth.judge.clients.stdlib import NAMES, clients
from pytest_mailauth.judge.runner import Runner


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
