"""All rules, one family a module. Importing this package fills the register."""

from __future__ import annotations

from pytest_mailauth.judge.rules import (
    certificates,
    closing,
    credentials,
    discovery,
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
    tampering,
    tls,
)
from pytest_mailauth.judge.rules.registry import RULES, Rule

__all__ = [
    "RULES",
    "Rule",
    "certificates",
    "closing",
    "credentials",
    "discovery",
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
    "tampering",
    "tls",
]
