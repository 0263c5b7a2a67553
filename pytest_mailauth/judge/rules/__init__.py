"""All rules, one family a module. Importing this package fills the register."""

from __future__ import annotations

from pytest_mailauth.judge.rules import (
    certificates,
    closing,
    credentials,
    discovery,
    logins,
    mechanisms,
    modes,
    outgoing,
    parameters,
    portnumbers,
    ports,
    referrals,
    reuse,
    secrecy,
    spoofing,
    starttls,
    stripping,
    tampering,
    tls,
    tokens,
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
    "mechanisms",
    "modes",
    "outgoing",
    "parameters",
    "portnumbers",
    "ports",
    "referrals",
    "reuse",
    "secrecy",
    "spoofing",
    "starttls",
    "stripping",
    "tampering",
    "tls",
    "tokens",
]
