"""What one visit of a client to a scripted peer came to, and the questions the tests ask of it."""

from __future__ import annotations

from typing import NamedTuple

from scripted_peer import verb_of

from pytest_mailauth.model.canary import Secret, find

USERNAME = "alice-0a1b2c3d@example.test"
PASSWORD = Secret("PwfedcbaAt9876543210")


class Seen(NamedTuple):
    """What one visit came to: the lines the peers wrote down, and what the client raised and told its user."""

    log: tuple[str, ...]
    fallback: tuple[str, ...]
    error: Exception | None
    told: str | None = None

    @property
    def key(self):
        return self.log, self.fallback, type(self.error), "timed out" in str(self.error), self.told


def leaks(log, layer):
    return any(find(PASSWORD, line.encode()) for line in log if line.startswith(layer))


def verbs(log, layer=""):
    return [verb_of(line.partition(" ")[2])[0] for line in log if line.startswith(layer)]
