"""All rules, one family a module. Importing this package fills the register."""

from __future__ import annotations

from pytest_mailauth.judge.rules import (
    closing,
    credentials,
    discovery,
    legacy,
    logins,
    modes,
    outgoing,
    parameters,
    portnumbers,
    ports,
    reuse,
    secrecy,
    starttls,
    stripping,
    tls,
)
from pytest_mailauth.judge.rules.registry import RULES, Rule

__all__ = [
    "RULES",
    "Rule",
    "closing",
    "credentials",
    "discovery",
    "legacy",
    "logins",
    "modes",
    "outgoing",
    "parameters",
    "portnumbers",
    "ports",
    "reuse",
    "secrecy",
    "starttls",
    "stripping",
    "tls",
]
