"""Functions that choose how to connect: one that is right, and wrong ones as they are found in the wild.

Each wrong one has one mistake, and the law that has to catch it.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Final

from pytest_mailauth.selection import Choice, Failure

MODES: Final = {
    **dict.fromkeys((465, 993, 995), "implicit"),
    **dict.fromkeys((25, 587, 110, 143), "starttls"),
}
BEST: Final = {"smtp": (465, "implicit"), "pop3": (995, "implicit"), "imap": (993, "implicit")}
SUBMISSION: Final = "port 25 may be blocked by the provider; use port 587 or 465"


def select(protocol, port, stated):
    """The right one in the plain form."""
    if stated == "none":
        raise ValueError("a password must not cross in clear")
    if stated is None and port not in MODES:
        raise ValueError(f"port {port} does not tell its mode: state implicit or starttls")
    return stated or MODES[port]


class Selector:
    """The right one; each of the wrong ones replaces one method."""

    min_tls = "1.2"

    def __call__(self, asked):
        if asked.failed is not None:
            return self.after(asked)
        return self.first(asked)

    def first(self, asked):
        port, mode = self.port(asked), self.mode(asked)
        return self.choice(asked, port, mode)

    def choice(self, asked, port, mode):
        return Choice(mode=mode, port=port, host=self.host(asked), auth=self.auth(asked), min_tls=self.min_tls)

    def port(self, asked):
        return BEST[asked.protocol][0] if asked.port is None else asked.port

    def mode(self, asked):
        if asked.stated == "none" and asked.credentials:
            raise ValueError("a password must not cross in clear")
        return asked.stated or self.habit(self.port(asked))

    def habit(self, port):
        if port not in MODES:
            raise ValueError(f"port {port} does not tell its mode: state implicit or starttls")
        return MODES[port]

    def host(self, asked):
        return asked.service and asked.service.host_for(asked.protocol)

    def auth(self, asked):
        return "oauth" if asked.service and asked.service.requires_oauth else "password"

    def after(self, asked):
        if asked.failed.port == 25 and asked.failed.failure in (Failure.TIMEOUT, Failure.REFUSED):
            raise ValueError(SUBMISSION)
        raise ValueError(f"{asked.failed.mode} on port {asked.failed.port} failed: {asked.failed.failure}")


class ClearOn2525(Selector):
    def habit(self, port):
        return MODES.get(port, "none")


class StarttlsOn2525(Selector):
    def habit(self, port):
        return MODES.get(port, "starttls")


class ImplicitByTheLastDigits(Selector):
    """2465 looks like 465."""

    def habit(self, port):
        return "implicit" if str(port).endswith(("465", "993", "995")) else super().habit(port)


class ImplicitOn587(Selector):
    def habit(self, port):
        return "implicit" if port == 587 else super().habit(port)


class StarttlsEverywhere(Selector):
    def habit(self, port):
        return "starttls" if super().habit(port) else None


class ModeFromTheHostName(Selector):
    """What is called smtps must be implicit TLS, whatever the port is."""

    def mode(self, asked):
        sounds = "ssl" in (self.host(asked) or "") or (self.host(asked) or "").split(".")[0].endswith("s")
        is_standard = asked.port in MODES and asked.stated is None
        return "implicit" if sounds and is_standard else super().mode(asked)


class GuessesByTheHostName(Selector):
    """The same on a port that tells nothing."""

    def mode(self, asked):
        sounds = (self.host(asked) or "").split(".")[0].endswith("s")
        return (
            "implicit"
            if sounds and asked.port and asked.stated is None and asked.port not in MODES
            else super().mode(asked)
        )


class OldTLSAfterAFailedHandshake(Selector):
    def after(self, asked):
        if asked.failed.failure is Failure.HANDSHAKE:
            return Choice(mode=asked.failed.mode, port=asked.failed.port, min_tls="1.0")
        return super().after(asked)


class PortWins(Selector):
    def mode(self, asked):
        super().mode(asked)
        return MODES.get(self.port(asked)) or super().mode(asked)


class StatedOnOtherPortsOnly(Selector):
    """Implicit TLS that is stated for 587 is taken for a mistake of the user."""

    def mode(self, asked):
        return "starttls" if asked.port == 587 and asked.stated == "implicit" else super().mode(asked)


class OpportunisticByDefault(Selector):
    def habit(self, port):
        return "opportunistic" if super().habit(port) == "starttls" else "implicit"


class NoneIfStated(Selector):
    def mode(self, asked):
        return "none" if asked.stated == "none" else super().mode(asked)


class ClearOn25(Selector):
    def habit(self, port):
        return "none" if port == 25 else super().habit(port)


class DowngradesOnTimeout(Selector):
    def after(self, asked):
        if asked.failed.failure is Failure.TIMEOUT and asked.failed.port != 25:
            return self.choice(asked, asked.failed.port, "none")
        return super().after(asked)


class GoesOnWithoutStarttls(Selector):
    def after(self, asked):
        if asked.failed.failure is Failure.STRIPPED:
            return self.choice(asked, asked.failed.port, "none")
        return super().after(asked)


class OpportunisticAfterABadCertificate(Selector):
    def after(self, asked):
        if asked.failed.failure is Failure.CERTIFICATE:
            return self.choice(asked, asked.failed.port, "opportunistic")
        return super().after(asked)


class LooksAwayAfterABadCertificate(Selector):
    def after(self, asked):
        if asked.failed.failure is Failure.CERTIFICATE:
            return replace(self.choice(asked, asked.failed.port, asked.failed.mode), verify=False)
        return super().after(asked)


class SaysOnlyFailed(Selector):
    def after(self, asked):
        raise ValueError(f"could not speak {asked.protocol}; check user name and password")


class First25(Selector):
    def port(self, asked):
        return 25 if asked.port is None and asked.protocol == "smtp" else super().port(asked)


class OneHostForBoth(Selector):
    def host(self, asked):
        return asked.service and asked.service.retrieving.get("imap")


class PasswordAlways(Selector):
    def auth(self, asked):
        return "password" if asked.credentials else None


class OldTLS(Selector):
    min_tls = "1.0"


class Undecided(Selector):
    """Every other answer is another one, as from a set whose order nobody fixed."""

    def __init__(self):
        self._turn = itertools.cycle((465, 587))

    def port(self, asked):
        return next(self._turn) if asked.port is None and asked.protocol == "smtp" else super().port(asked)

    def mode(self, asked):
        return asked.stated or "implicit" if asked.port is None else super().mode(asked)


WRONG: Final = {
    ClearOn2525: "custom-port-needs-mode",
    StarttlsOn2525: "custom-port-needs-mode",
    ImplicitByTheLastDigits: "custom-port-needs-mode",
    ImplicitOn587: "standard-ports",
    StarttlsEverywhere: "standard-ports",
    ModeFromTheHostName: "standard-ports",
    GuessesByTheHostName: "custom-port-needs-mode",
    PortWins: "stated-mode-wins",
    StatedOnOtherPortsOnly: "stated-mode-wins",
    OpportunisticByDefault: "never-cleartext-credentials",
    NoneIfStated: "never-cleartext-credentials",
    ClearOn25: "never-cleartext-credentials",
    DowngradesOnTimeout: "never-weaker-after-failure",
    GoesOnWithoutStarttls: "never-weaker-after-failure",
    OpportunisticAfterABadCertificate: "never-weaker-after-failure",
    LooksAwayAfterABadCertificate: "never-weaker-after-failure",
    OldTLSAfterAFailedHandshake: "never-weaker-after-failure",
    SaysOnlyFailed: "blocked-25-names-587",
    First25: "submission-not-25",
    OneHostForBoth: "right-name-for-right-job",
    PasswordAlways: "oauth-when-required",
    OldTLS: "tls-floor",
    Undecided: "deterministic",
}
"""Each wrong selector with its law."""
