"""Which ways to its account a reference client takes, in order, that is not told all of it: the honest and the faulty."""

from __future__ import annotations

from typing import Final

from pytest_mailauth.model.terms import Security

IMPLICIT, STARTTLS, NONE = Security

BY_PORT: Final = {
    587: {
        None: [STARTTLS],
        "takes-every-port-for-starttls": [STARTTLS],
        "takes-every-port-for-implicit": [IMPLICIT],
        "tries-starttls-first": [STARTTLS],
    },
    993: {
        None: [IMPLICIT],
        "takes-every-port-for-starttls": [STARTTLS],
        "takes-every-port-for-implicit": [IMPLICIT],
        "tries-starttls-first": [STARTTLS, IMPLICIT],
    },
}
"""The modes that are tried on a port, by faulty client; None is the honest one."""

BY_CHOICE: Final = {
    None: [(465, IMPLICIT), (587, STARTTLS)],
    "prefers-starttls": [(587, STARTTLS), (465, IMPLICIT)],
    "submits-on-25": [(25, STARTTLS)],
}
"""The ports and modes of SMTP that are tried when the host alone is told."""

CUSTOM: Final = {
    "takes-custom-port-for-starttls": (IMPLICIT, STARTTLS),
    "takes-custom-port-for-implicit": (STARTTLS, IMPLICIT),
    None: (STARTTLS, STARTTLS),
}
"""The mode that is stated for port 2525, and the one that is tried there."""

IN_A_NETWORK: Final = (
    "takes-unknown-port-for-clear",
    "speaks-first-on-unknown-port",
    "clear-after-time-out",
    "knows-weaker-ports",
    "guesses-host",
    "clear-when-srv-denies-tls",
    "follows-srv-anywhere",
    "asks-for-records-again",
    "believes-http",
    "takes-plain-from-file",
    "follows-file-anywhere",
    "answers-web-prompt",
    "trusts-second-guess",
)
"""What these do wrong takes names or several ports; ``tests/calibration`` shows it."""

ABOUT_CERTIFICATES: Final = (
    "anybody-is-an-authority",
    "ignores-critical-extensions",
    "verifies-when-told",
    "wildcard-spans-labels",
    "wildcard-for-no-label",
    "wildcard-in-label",
    "address-as-name",
    "host-of-uri",
    "name-of-service",
    "name-until-nul",
    "names-to-the-letter",
    "name-of-sibling",
    "name-of-alias",
    "name-of-mail-domain",
    "exception-for-host",
    "exception-for-every-account",
    "trusts-known-host",
)
"""What these overlook takes names, certificates of many kinds, or an exception that a user has made."""

_FOUND: Final = (*(one for modes in BY_PORT.values() for one in modes), *BY_CHOICE, *CUSTOM)
ELSEWHERE: Final = frozenset(name for name in (*_FOUND, *IN_A_NETWORK, *ABOUT_CERTIFICATES) if name)
"""Faulty clients that have no situation of one server here: ``tests/calibration`` shows them."""
