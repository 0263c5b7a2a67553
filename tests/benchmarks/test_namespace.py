"""What a network namespace costs: its start, a program in it, and unshare of util-linux for comparison."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from in_turn import medians

from pytest_mailauth import Network
from pytest_mailauth.network.namespace import Namespace

ROUNDS = 30
TRUE = "true"


@pytest.mark.skipif(Namespace.probe("timeout") is not None, reason=str(Namespace.probe("timeout")))
def test_namespace(note):
    def start() -> None:
        Namespace().close()

    with Namespace() as inside:
        actions = {
            "start and end of a namespace": start,
            "a program inside": lambda: inside.run([TRUE]),
            "the same outside": lambda: subprocess.run([TRUE], check=True),
            "a listening socket": lambda: inside.listen("127.42.0.7", 587).close(),
            "1,000 names": lambda: inside.names({f"{number}.example.test": "127.42.0.7" for number in range(1000)}),
            "a port blocked and lifted": lambda: (inside.block("127.42.0.7", 25), inside.lift()),
        }
        unshare = shutil.which("unshare")
        if unshare:
            actions["unshare -Urnm true"] = lambda: subprocess.run([unshare, "-Urnm", TRUE], check=True)
        for name, taken in medians(actions, ROUNDS, warm_up=3).items():
            note(f"{name:34}median {taken:6.2f} ms")


@pytest.mark.skipif(Namespace.probe("timeout") is not None, reason=str(Namespace.probe("timeout")))
def test_programs_of_a_network(note, mailauth):
    def first() -> None:
        with Network(mailauth) as network:
            network.host("smtp.example.test").leads_to(server, 587)
            network.run([TRUE])

    server = mailauth.smtp()
    with Network(mailauth) as kept:
        kept.host("smtp.example.test").leads_to(server, 587)
        actions = {
            "a network with its first program": first,
            "Network.run": lambda: kept.run([TRUE]),
            "a port blocked and lifted in it": lambda: (kept.block(25), kept.lift()),
        }
        for name, taken in medians(actions, ROUNDS, warm_up=3).items():
            note(f"{name:34}median {taken:6.2f} ms")
