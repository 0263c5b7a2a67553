"""The 40 ms that a client's first command inside TLS may wait for our acknowledgement, gone and brought back.

Without session tickets a TLS 1.3 server has nothing to say after the client's Finished. A client that has not set
TCP_NODELAY then keeps its next command back until Finished is acknowledged, and Linux acknowledges 40 ms later.
"""

from __future__ import annotations

import statistics

import pytest
from contenders import OURS, SESSIONS
from in_turn import once

from pytest_mailauth.servers.wire import transport

COUNT = 50
STALLED = 20.0
"""Milliseconds: far above a session, and half of the delay."""


@pytest.mark.parametrize("quick_ack", [True, False], ids=["as it is", "without quick acknowledgement"])
@pytest.mark.parametrize("name", [name for name, (_, _, security) in SESSIONS.items() if security == "starttls"])
def test_stall(contenders, note, monkeypatch, name, quick_ack):
    session = contenders.sessions[name][OURS]
    if not quick_ack:
        monkeypatch.setattr(transport, "_QUICKACK", None)
    taken = [once(session) for _ in range(COUNT)]
    note(
        f"{name:34}{'quick ack' if quick_ack else 'no quick ack':14}median {statistics.median(taken):6.2f} ms, "
        f"slowest {max(taken):6.2f} ms, over {STALLED:.0f} ms: {sum(t > STALLED for t in taken)} of {COUNT}"
    )
