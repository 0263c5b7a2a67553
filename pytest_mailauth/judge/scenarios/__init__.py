"""All scenarios, one family a module, and their expansion over protocols and modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.scenarios import (
    baselines,
    certificates,
    closing,
    connections,
    discovery,
    greetings,
    handshakes,
    injection,
    legacy,
    mta,
    names,
    outgoing,
    parameters,
    passwords,
    portnumbers,
    ports,
    pretls,
    referrals,
    relay,
    robustness,
    scram,
    secrecy,
    spoofing,
    starttls,
    strangers,
    stripping,
    tampering,
    tokens,
    versions,
)
from pytest_mailauth.judge.scenarios.scenario import Scenario, Setting
from pytest_mailauth.model.terms import Protocol, Security

if TYPE_CHECKING:
    from pytest_mailauth.model.trial import Declaration

SCENARIOS: Final[dict[str, Scenario]] = {
    row.name: row
    for table in (
        baselines,
        portnumbers,
        ports,
        discovery,
        strangers,
        starttls,
        versions,
        certificates,
        names,
        connections,
        outgoing,
        tokens,
        relay,
        secrecy,
        robustness,
        stripping,
        greetings,
        passwords,
        scram,
        parameters,
        closing,
        tampering,
        referrals,
        spoofing,
        legacy,
        handshakes,
        pretls,
        injection,
        mta,
    )
    for row in table.ROWS
}
"""Every scenario by name."""


def settings_for(protocol: Protocol, security: Security, declared: Declaration) -> tuple[Setting, ...]:
    """Return every scenario that exists for this protocol and mode, and for a client so declared."""
    if declared.mode != "stated" and security is Security.NONE:
        return ()  # no port number stands for that
    if declared.auth == "none" and protocol is not Protocol.SMTP:
        return ()  # nobody reads mail without saying who they are
    if declared.role == "mta" and security is not Security.STARTTLS:
        return ()  # MX hosts have one port, and STARTTLS there where they have TLS (RFC 3207 section 4)
    return tuple(
        Setting(row, protocol, security) for row in SCENARIOS.values() if row.is_for(protocol, security, declared)
    )


def baseline(protocol: Protocol, security: Security) -> Setting:
    """Return the scenario whose success every other verdict of this protocol and mode stands on."""
    return Setting(SCENARIOS[baselines.CONTROLS[security]], protocol, security)


__all__ = ["SCENARIOS", "Scenario", "Setting", "baseline", "settings_for"]
