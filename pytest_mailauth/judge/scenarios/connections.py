"""Class S: several connections. What was required of the first one is required of those after it."""

from __future__ import annotations

from typing import Final

from pytest_mailauth.judge.scenarios.scenario import BOTH, Scenario
from pytest_mailauth.judge.scenarios.starttls import stripped
from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.model.deviations import Announce, Answer, Cut, Deviation, Hide, StayClear
from pytest_mailauth.model.terms import Certificate, Protocol, Security
from pytest_mailauth.model.trial import Earlier

_HANDSHAKE_FAILURE: Final = b"\x15\x03\x03\x00\x02\x02\x28"
"""The fatal alert handshake_failure(40) as a record (RFC 8446 sections 5.1 and 6.2)."""

AT_WORK: Final = {
    Protocol.SMTP: ("MAIL",),
    Protocol.POP3: ("STAT", "LIST", "UIDL", "RETR"),
    Protocol.IMAP: ("SELECT", "EXAMINE", "LIST", "LSUB", "STATUS", "APPEND"),
}
"""What a client may do first once it is logged in."""
UNKNOWN: Final = {
    Protocol.SMTP: b"502 5.5.1 Command not implemented\r\n",
    Protocol.POP3: b"-ERR unknown command\r\n",
    Protocol.IMAP: b"{tag} BAD unknown command\r\n",
}


def _cut(protocol: Protocol, timeout: float) -> tuple[Deviation, ...]:
    return (Cut(verbs=AT_WORK[protocol], then=stripped(UNKNOWN[protocol])(protocol, timeout)),)


def _mangled(_protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    return (
        Hide(names=("STARTTLS",)),
        Announce(lines=("XXXXXXXA",)),
        Answer(verb="STARTTLS", reply=b'500 5.5.1 Command unrecognized: "XXXXXXXX"\r\n'),
    )


ROWS: Final = (
    Scenario(
        name="port-starttls-mangled",
        family="C",
        summary="A box on the way writes XXXXXXXA over STARTTLS, in the EHLO reply and in the command.",
        rules=("starttls-required-is-required",),
        severity="critical",
        sources=("S11", "RFC 3207 section 6"),
        protocols=(Protocol.SMTP,),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=_mangled,
    ),
    Scenario(
        name="retry-after-tls-failure",
        family="S",
        summary="Every ClientHello is answered with a fatal alert; everything works in clear on the same port.",
        rules=("tls-really-started",),
        severity="critical",
        sources=("RFC 8314 section 5.2", "RFC 3207 section 4.1"),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=lambda _protocol, _timeout: (StayClear(data=_HANDSHAKE_FAILURE),),
    ),
    Scenario(
        name="reconnect-after-drop",
        family="S",
        summary="The connection is cut at work inside TLS; from then on STARTTLS is not offered.",
        rules=("starttls-required-is-required",),
        severity="critical",
        sources=("RFC 8314 section 5.2", "RFC 3207 section 6"),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=_cut,
    ),
    Scenario(
        name="pool-clear-then-tls",
        family="S",
        summary="An honest server; the client is told to make a transfer in clear first, and then one with TLS.",
        rules=("reuse-matches-security",),
        severity="high",
        sources=("CVE-2026-4873",),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        earlier=Earlier(security=Security.NONE),
    ),
    Scenario(
        name="pool-tls-config-mismatch",
        family="S",
        summary="The certificate is not trusted; the client is told to make a transfer that does not check it first.",
        rules=("reuse-matches-security",),
        severity="high",
        sources=("CVE-2026-8286",),
        modes=BOTH,
        settings={"certificate": Certificate.UNTRUSTED_ROOT},
        earlier=Earlier(verify="none"),
    ),
    Scenario(
        name="pool-other-user",
        family="S",
        summary="An honest server; the client is told to make a transfer for another account first.",
        rules=("reuse-matches-security",),
        severity="high",
        sources=("CVE-2022-22576",),
        modes=BOTH,
        earlier=Earlier(other_account=True),
    ),
)
