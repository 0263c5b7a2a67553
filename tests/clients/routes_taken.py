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

ELSEWHERE: Final = frozenset(name for modes in BY_PORT.values() for name in modes if name)
"""Faulty clients that only show where a network is: they have no situation of one server."""
