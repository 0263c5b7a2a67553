"""All rules, one family a module. Importing this package fills the register."""

from __future__ import annotations

from pytest_mailauth.judge.rules import (
    credentials,
    discovery,
    logins,
    modes,
    outgoing,
    parameters,
    portnumbers,
    ports,
    relay,
    reuse,
    secrecy,
    starttls,
    tls,
    tokens,
)
from pytest_mailauth.judge.rules.registry import RULES, Rule

__all__ = [
    "RULES",
    "Rule",
    "credentials",
    "discovery",
    "logins",
    "modes",
    "outgoing",
    "parameters",
    "portnumbers",
    "ports",
    "relay",
    "reuse",
    "secrecy",
    "starttls",
    "tls",
    "tokens",
]
