"""A reference client as a program of its own: which one is an argument, and what it is told is in the environment."""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "fixtures"))

from clients import FAULTY, make_client

from pytest_mailauth.judge.clients.case import Case
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.terms import Protocol, Security

TOLD = {
    name.removeprefix("MAILAUTH_").lower(): value for name, value in os.environ.items() if name.startswith("MAILAUTH_")
}


def main(name, protocol, *nameservers):
    case = Case(
        protocol=Protocol(protocol),
        security=Security(TOLD["security"]) if "security" in TOLD else None,
        host=TOLD.get("host"),
        port=int(TOLD["port"]) if "port" in TOLD else None,
        username=TOLD["username"],
        password=Secret(TOLD["password"]),
        token=Secret(TOLD["token"]),
        cafile=TOLD["cafile"],
        sender=TOLD["sender"],
        recipient=TOLD["recipient"],
        timeout=float(TOLD["timeout"]),
        other_port=int(TOLD.get("fallback_port", "0")) or None,
        domain=TOLD.get("domain"),
        nameserver=(nameservers[0], 53) if nameservers else None,
    )
    try:
        make_client(protocol, FAULTY[name].faults if name in FAULTY else None)(case)
    except Exception as error:  # noqa: BLE001 - whatever it is, the judge hears of it
        raise SystemExit(f"{type(error).__name__}: {error}") from None


main(*sys.argv[1:])
