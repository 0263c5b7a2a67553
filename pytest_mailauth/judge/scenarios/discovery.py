"""Classes S and T: what a client finds out by itself: from a name with two addresses, from records, files, or guesses.

What it finds may be an attacker's: DNS answers are not signed here, and nobody vouches for a file that came over http.
"""

from __future__ import annotations

from typing import Any, Final

from pytest_mailauth.judge.scenarios.plan import Beside, NetworkPlan
from pytest_mailauth.judge.scenarios.scenario import BOTH, Scenario, without_starttls
from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.model.terms import STANDARD_PORTS, Certificate, Protocol, Security
from pytest_mailauth.model.trial import Earlier
from pytest_mailauth.servers.configfile import ConfigFile

_STARTTLS, _IMPLICIT = Security.STARTTLS, Security.IMPLICIT


def _addresses(name: str, first: str, other: str) -> Scenario:
    usual = {protocol: STANDARD_PORTS[protocol, _STARTTLS] for protocol in Protocol}
    beside = {protocol: (Beside(port=port, security=_STARTTLS, at=other),) for protocol, port in usual.items()}
    return Scenario(
        name=name,
        family="S",
        summary=f"The host has two addresses: the first, of {_FAMILIES[first]}, leads to a server without STARTTLS "
        f"that takes passwords in clear, the second, of {_FAMILIES[other]}, to an honest one.",
        rules=("starttls-required-is-required",),
        severity="high",
        sources=("RFC 8314 section 5.2",),
        modes=(_STARTTLS,),
        needs={"port": "given"},
        settings={"auth": IN_CLEAR},
        deviations=without_starttls,
        network=NetworkPlan(addresses=(first, other), beside=beside),
        variant_of="address-family-fallback" if first == "ipv6" else "",
    )


_FAMILIES: Final = {"ipv4": "IPv4", "ipv6": "IPv6"}


def _discovery(name: str, summary: str, how: str, **row: Any) -> Scenario:
    return Scenario(
        name=name,
        family="T",
        summary=summary,
        rules=("discovery-keeps-floor",),
        needs={"discovers": how},
        **{"sources": ("RFC 8314 section 5.1",)} | row,
    )


ROWS: Final = (
    _addresses("address-family-fallback", "ipv4", "ipv6"),
    _addresses("address-family-fallback-ipv6", "ipv6", "ipv4"),
    _discovery(
        "srv-insecure-only",
        "The domain says that it has no service with implicit TLS; the one that it names offers no STARTTLS and takes "
        "passwords in clear.",
        "srv",
        severity="high",
        modes=(_STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=without_starttls,
        network=NetworkPlan(denies_implicit=True),
    ),
    _discovery(
        "srv-target-other-domain",
        "The domain names a server of another domain, with a valid certificate for its own name.",
        "srv",
        severity="critical",
        network=NetworkPlan(host="mail.{stranger}"),
    ),
    _discovery(
        "srv-every-connection",
        "The client is told to make two transfers; after the login of the first, the domain names another server.",
        "srv",
        severity="high",
        earlier=Earlier(records_change=True),
        network=NetworkPlan(moves_to="moved.{domain}"),
    ),
    _discovery(
        "autoconfig-over-http",
        "The configuration file of the domain is there over http alone, where anybody may have written it; it names an "
        "honest server, by a name that nobody guesses.",
        "autoconfig",
        severity="high",
        sources=("RFC 8314 section 5.1", "CVE-2024-50624"),
        network=NetworkPlan(host="node-7.{domain}", config_file=ConfigFile(statuses={"https": 404, "http": 200})),
    ),
    _discovery(
        "autoconfig-plain-sockettype",
        "The configuration file of the domain says plain where the mode of the server stands; the server offers no "
        "STARTTLS and takes passwords in clear.",
        "autoconfig",
        severity="high",
        modes=(_STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=without_starttls,
        network=NetworkPlan(config_file=ConfigFile(mode=Security.NONE)),
    ),
    _discovery(
        "autoconfig-host-of-other-domain",
        "The configuration file names a server of another domain, with a valid certificate for its own name.",
        "autoconfig",
        severity="high",
        network=NetworkPlan(host="mail.{stranger}"),
    ),
    _discovery(
        "autoconfig-http-auth-prompt",
        "Who asks for the configuration file is asked for a password, over http and by a server over https whose "
        "certificate nobody trusts.",
        "autoconfig",
        severity="critical",
        network=NetworkPlan(
            config_file=ConfigFile(statuses={"https": 401, "http": 401}, certificate=Certificate.UNTRUSTED_ROOT)
        ),
    ),
    _discovery(
        "guess-hosts",
        "The name that a client guesses first has no address; the next, mail and the domain, leads to a server whose "
        "certificate nobody trusts.",
        "guess",
        severity="critical",
        network=NetworkPlan(
            resolves=False,
            beside={
                protocol: tuple(
                    Beside(
                        host="mail.{domain}",
                        port=STANDARD_PORTS[protocol, mode],
                        security=mode,
                        listener="decoy",
                        settings={"certificate": Certificate.UNTRUSTED_ROOT},
                    )
                    for mode in BOTH
                )
                for protocol in Protocol
            },
        ),
    ),
)
