"""Functions that say what to try next: right ones, and wrong ones as they are found in the wild.

Each wrong one has one mistake, and the law that has to catch it.
"""

from __future__ import annotations

import itertools
from typing import Final

from pytest_mailauth.selection import Choice, Failure

PORTS: Final = {
    "smtp": ((465, "implicit"), (587, "starttls")),
    "pop3": ((995, "implicit"), (110, "starttls")),
    "imap": ((993, "implicit"), (143, "starttls")),
}
NEVER_HEARD: Final = "no answer; port 25 may be blocked: use 587 or 465"


class Planner:
    """The right one, which tries each port once; each of the wrong ones replaces one method."""

    min_tls = "1.2"

    def __call__(self, asked):
        tried = {one.port for one in asked.before}
        for port, mode in PORTS[asked.protocol]:
            if port not in tried:
                return self.choice(asked, port, mode)
        return self.at_the_end(asked)

    def choice(self, asked, port, mode, **other):
        host = asked.service.host_for(asked.protocol)
        return Choice(**{"port": port, "mode": mode, "host": host, "min_tls": self.min_tls, "verify": True} | other)

    def at_the_end(self, asked):
        raise ValueError(f"{asked.protocol}: {NEVER_HEARD}")


class After(Planner):
    """Does something of its own after one kind of failure."""

    failure: Failure

    def __call__(self, asked):
        last = asked.failed
        if last is not None and last.failure is self.failure and last.port != 25:
            return self.instead(asked, last)
        return super().__call__(asked)


class GivesUpAtOnce(Planner):
    """Right: one attempt, and no other."""

    def __call__(self, asked):
        return self.at_the_end(asked) if asked.before else super().__call__(asked)


class TriesOnceMore(After):
    """Right: a time-out may be chance, so it is tried once more."""

    failure = Failure.TIMEOUT

    def instead(self, asked, last):
        again = sum(one.port == last.port for one in asked.before) < 2
        return self.choice(asked, last.port, last.mode) if again else super(After, self).__call__(asked)


class ClearAfterTimeout(After):
    failure = Failure.TIMEOUT

    def instead(self, asked, last):
        return self.choice(asked, last.port, "none") if last.mode != "none" else self.at_the_end(asked)


class ClearAfterRefusedPort(After):
    failure = Failure.REFUSED

    def instead(self, asked, last):
        return self.choice(asked, 2525, "none") if last.port != 2525 else self.at_the_end(asked)


class OpportunisticWhenStripped(After):
    failure = Failure.STRIPPED

    def instead(self, asked, last):
        return self.choice(asked, last.port, "opportunistic")


class WithoutVerification(After):
    failure = Failure.CERTIFICATE

    def instead(self, asked, last):
        return self.choice(asked, last.port, last.mode, verify=False)


class OlderTLS(After):
    """From 1.3 to 1.2, which is new enough, and yet what an attacker wants."""

    failure = Failure.HANDSHAKE
    min_tls = "1.3"

    def instead(self, asked, last):
        return (
            self.choice(asked, last.port, last.mode, min_tls="1.2") if last.min_tls == "1.3" else self.at_the_end(asked)
        )


class EndsInClear(Planner):
    """465, 587, and 25 in clear."""

    def at_the_end(self, asked):
        if asked.protocol == "smtp" and 25 not in {one.port for one in asked.before}:
            return self.choice(asked, 25, "none")
        return super().at_the_end(asked)


class EndsWithTheRelay(Planner):
    """465, 587, and 25 with STARTTLS."""

    def at_the_end(self, asked):
        if asked.protocol == "smtp" and 25 not in {one.port for one in asked.before}:
            return self.choice(asked, 25, "starttls")
        return super().at_the_end(asked)


class TriesForEver(Planner):
    def __call__(self, asked):
        port, mode = PORTS[asked.protocol][0]
        return self.choice(asked, port, mode)


class PingPong(Planner):
    def __call__(self, asked):
        port, mode = PORTS[asked.protocol][len(asked.before) % 2]
        return self.choice(asked, port, mode)


class ScansEveryPort(Planner):
    def __call__(self, asked):
        port, mode = PORTS[asked.protocol][0]
        return self.choice(asked, port + 1000 * sum(one.port != 25 for one in asked.before), mode)


class AnotherHost(After):
    """The password to whoever answers."""

    failure = Failure.REFUSED

    def instead(self, asked, last):
        if last.host == "mail.example.test":
            return self.at_the_end(asked)
        return self.choice(asked, last.port, last.mode, host="mail.example.test")


class BeginsInClear(Planner):
    def choice(self, asked, port, mode, **other):
        return super().choice(asked, port, mode if asked.before else "opportunistic", **other)


class OldFromTheStart(Planner):
    min_tls = "1.0"


class SaysOnlyFailed(Planner):
    def __call__(self, asked):
        if asked.failed is not None and asked.failed.port == 25:
            raise ValueError("cannot connect; check user name and password")
        return super().__call__(asked)


class Remembers(Planner):
    """Counts its own attempts, so that nobody else can ask it again."""

    def __init__(self):
        self._turn = itertools.count()

    def __call__(self, asked):
        ports = PORTS[asked.protocol]
        return self.choice(asked, *ports[next(self._turn) % 2]) if len(asked.before) < 2 else self.at_the_end(asked)


RIGHT: Final = (Planner, GivesUpAtOnce, TriesOnceMore)
WRONG: Final = {
    ClearAfterTimeout: "never-weaker-after-failure",
    ClearAfterRefusedPort: "never-weaker-after-failure",
    OpportunisticWhenStripped: "never-weaker-after-failure",
    EndsInClear: "never-weaker-after-failure",
    WithoutVerification: "always-verifies",
    OlderTLS: "never-older-tls-after-failure",
    EndsWithTheRelay: "submission-not-25",
    TriesForEver: "plan-ends",
    PingPong: "plan-ends",
    ScansEveryPort: "plan-ends",
    AnotherHost: "same-host-after-failure",
    BeginsInClear: "never-cleartext-credentials",
    OldFromTheStart: "tls-floor",
    SaysOnlyFailed: "blocked-25-names-587",
    Remembers: "deterministic",
}
"""Each wrong planner with its law."""
