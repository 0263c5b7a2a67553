"""Class A: honest servers. A client that fails here cannot be judged anywhere else."""

from __future__ import annotations

from typing import Final

from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.model.deviations import Announce, Deviation, Slow
from pytest_mailauth.model.terms import Protocol, Security

CONTROLS: Final = {
    Security.STARTTLS: "base-starttls-ok",
    Security.IMPLICIT: "base-implicit-ok",
    Security.NONE: "base-plain-ok",
}
"""The honest server of each mode."""

_ODD: Final[dict[Protocol, tuple[str, ...]]] = {
    Protocol.SMTP: ("x-Unknown", "XODD one two=3", "DELIVERBY 240", "no-soliciting", "AUTH=PLAIN"),
    Protocol.POP3: ("X-Unknown", "implementation Odd-But-Legal 1.0", "EXPIRE NEVER", "LOGIN-DELAY 0"),
    Protocol.IMAP: ("XODD", "X-UNKNOWN=2", "auth=x-unknown", "I18NLEVEL=1"),
}
"""Capability lines that a client may never have heard of, in odd spellings (RFC 5321 section 4.1.1.1)."""


def _odd(protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    return tuple(Announce(lines=_ODD[protocol], over_tls=over_tls) for over_tls in (False, True))


ROWS: Final = (
    Scenario(
        name="base-starttls-ok",
        family="A",
        summary="Honest server: in clear only STARTTLS is offered, authentication inside TLS.",
        rules=("control",),
        severity="info",
        sources=("S9", "S12"),
        modes=(Security.STARTTLS,),
    ),
    Scenario(
        name="base-implicit-ok",
        family="A",
        summary="Honest server: TLS from the first byte, greeting and authentication inside it.",
        rules=("control",),
        severity="info",
        sources=("S9", "S13", "S14"),
        modes=(Security.IMPLICIT,),
    ),
    Scenario(
        name="base-plain-ok",
        family="A",
        summary="Server without TLS that takes passwords in clear: shows that the client can log in at all.",
        rules=("control",),
        severity="info",
        sources=("S9",),
        modes=(Security.NONE,),
        settings={"auth": IN_CLEAR},
    ),
    Scenario(
        name="base-opportunistic-setup",
        family="A",
        summary="STARTTLS and authentication in clear are both offered.",
        rules=("no-cleartext-credentials", "use-best-when-opportunistic"),
        severity="critical",
        sources=("S9", "RFC 8314 section 5.2"),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
    ),
    Scenario(
        name="base-oauth-ok",
        family="A",
        summary="Honest server that takes bearer tokens only, with XOAUTH2 or OAUTHBEARER inside TLS.",
        rules=("control",),
        severity="info",
        sources=("S15", "S16"),
        auth="oauth",
    ),
    Scenario(
        name="base-slow-but-honest",
        family="A",
        # A session has about a dozen replies: together they stay below a time-out that is meant for the whole of it.
        summary="Honest server whose replies come late and one byte a segment.",
        rules=("control",),
        severity="info",
        sources=("S1",),
        deviations=lambda _protocol, timeout: (Slow(delay=timeout / 20),),
        waits=True,
        patience=10,
    ),
    Scenario(
        name="base-odd-but-legal",
        family="A",
        summary="Honest server that announces capabilities nobody knows, in odd spellings.",
        rules=("control",),
        severity="info",
        sources=("RFC 5321 section 4.1.1.1", "RFC 9051 section 7.2.2"),
        deviations=_odd,
    ),
)
