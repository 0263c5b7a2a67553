"""All rules, one family a module. Importing this package fills the register."""

from __future__ import annotations

from pytest_mailauth.judge.rules import (
    closing,
    credentials,
    discovery,
    identity,
    logins,
    mechanisms,
    modes,
    outgoing,
    parameters,
    portnumbers,
    ports,
    referrals,
    resumption,
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
    "closing",
    "credentials",
    "discovery",
    "identity",
    "logins",
    "mechanisms",
    "modes",
    "outgoing",
    "parameters",
    "portnumbers",
    "ports",
    "referrals",
    "resumption",
    "reuse",
    "secrecy",
    "spoofing",
    "starttls",
    "stripping",
    "tampering",
    "tls",
    "tokens",
]
