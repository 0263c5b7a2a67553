"""All rules, one family a module. Importing this package fills the register."""

from __future__ import annotations

from pytest_mailauth.judge.rules import (
    certificates,
    credentials,
    discovery,
    modes,
    portnumbers,
    ports,
    reuse,
    secrecy,
    starttls,
    tls,
)
from pytest_mailauth.judge.rules.registry import RULES, Rule

__all__ = [
    "RULES",
    "Rule",
    "certificates",
    "credentials",
    "discovery",
    "modes",
    "portnumbers",
    "ports",
    "reuse",
    "secrecy",
    "starttls",
    "tls",
]
