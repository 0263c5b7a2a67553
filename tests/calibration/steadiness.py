"""Do verdicts survive noise? The honest client through a whole profile, again and again, beside busy processors.

``python tests/calibration/steadiness.py --times 20`` runs the honest client of all three protocols side by side, with
one process for each processor that does nothing but compute, and compares every verdict with the first run's. It ends
with status 1 if one differs, or is not PASS.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parent.parent.parent / "fixtures"))

from clients import make_client

from pytest_mailauth.judge.clients.client import Client
from pytest_mailauth.judge.ruleset import RuleSet
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.model.terms import Protocol, Verdict
from pytest_mailauth.model.trial import Declaration

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def noise(processes: int) -> Iterator[None]:
    """Keep the processors busy."""
    context = multiprocessing.get_context("spawn")
    busy = [context.Process(target=compute, daemon=True) for _ in range(processes)]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.join()


def compute() -> None:
    """Compute for ever, or until nobody is there any more to stop it."""
    parent = os.getppid()
    while os.getppid() == parent:
        sum(range(100_000))


def verdicts(profile: str, timeout: float) -> dict[str, str]:
    """Return the verdict of every case, each with its evidence where it is no PASS; the protocols side by side."""
    found: dict[str, str] = {}

    def judge(protocol: Protocol) -> None:
        client = Client(
            name="honest", run=make_client(protocol), protocols=(protocol,), declared=Declaration(timeout=timeout)
        )
        for row in Runner([client], ruleset=RuleSet(profile)).run():
            told = "; ".join(j.finding.evidence for j in row.judgements if j.finding.verdict is not Verdict.PASS)
            found[row.setting.id] = str(row.verdict) if row.verdict is Verdict.PASS else f"{row.verdict} {told}"

    threads = [threading.Thread(target=judge, args=(protocol,)) for protocol in Protocol]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def main() -> int:
    """Run, print a line for each run and each verdict that is not steady, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--profile", default="full")
    parser.add_argument("--timeout", type=float, default=1.0, help="the client's, in seconds")
    parser.add_argument("--noise", type=int, default=os.cpu_count() or 1, help="processes that compute")
    asked = parser.parse_args()
    first: dict[str, str] = {}
    unsteady = 0
    with noise(asked.noise):
        for number in range(1, asked.times + 1):
            begin = time.perf_counter()
            found = verdicts(asked.profile, asked.timeout)
            first = first or found
            wrong = {case: said for case, said in found.items() if said != "PASS" or first.get(case) != said}
            unsteady += len(wrong) + len(first.keys() ^ found.keys())
            sys.stdout.write(
                f"run {number}: {len(found)} cases, {time.perf_counter() - begin:.1f} s, {len(wrong)} wrong\n"
            )
            sys.stdout.writelines(f"    {case}: {said}\n" for case, said in sorted(wrong.items()))
            sys.stdout.flush()
    return 1 if unsteady else 0


if __name__ == "__main__":
    sys.exit(main())
