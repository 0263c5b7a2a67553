"""Classes B and N: servers of another TLS mode, protocol or dialect than the client was told, and echoes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.scenarios.scenario import BOTH, Scenario
from pytest_mailauth.model.config import AuthPolicy
from pytest_mailauth.model.deviations import Announce, Answer, Deviation, Greet
from pytest_mailauth.model.terms import Protocol, Security

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mailauth.judge.scenarios.scenario import Deviations

_SMTP, _POP3, _IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP
_DIAGNOSED: Final = ("mode-mismatch-diagnosed",)
_SILENT: Final = (*_DIAGNOSED, "blocked-port-diagnosed")
"""To a client that waits for a greeting, a server that sends none is a blocked port: who hangs there is told so."""

_HTTP: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
_SSH: Final = b"SSH-2.0-OpenSSH_9.6\r\n"
_SMTP_GREETING: Final = b"220 localhost ESMTP ready\r\n"
_POP3_GREETING: Final = b"+OK POP3 server ready\r\n"
_IMAP_GREETING: Final = b"* OK IMAP4rev1 server ready\r\n"


def _greets(greetings: Mapping[Protocol, bytes]) -> Deviations:
    return lambda protocol, _timeout: (Greet(data=greetings[protocol]),)


def _foreign(name: str, mode: Security, greetings: Mapping[Protocol, bytes], summary: str) -> Scenario:
    # Behind the greeting every command works, so that a client which takes it for one gives itself away.
    in_clear = mode is Security.STARTTLS
    return Scenario(
        name=name,
        family="C" if in_clear else "N",
        summary=summary,
        rules=_DIAGNOSED,
        severity="high" if in_clear else "medium",
        sources=("S1", "S4") if in_clear else ("S1", "ALPACA (USENIX Security 2021)"),
        modes=(mode,),
        deviations=_greets(greetings),
        variant_of="wrong-service-on-port" if in_clear else "",
    )


def _lmtp(_protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    refusal = b"500 5.5.1 This is LMTP: say LHLO\r\n"
    refused = (
        Answer(verb=verb, reply=refusal, over_tls=over_tls) for verb in ("EHLO", "HELO") for over_tls in (False, True)
    )
    return (Greet(data=b"220 localhost LMTP ready\r\n"), *refused)


_ECHOES: Final = {
    _SMTP: (("AUTH", b"535 5.7.8 Not understood: {line}\r\n"),),
    _POP3: (("PASS", b"-ERR Not understood: {line}\r\n"), ("AUTH", b"-ERR Not understood: {line}\r\n")),
    _IMAP: (
        ("LOGIN", b"{tag} NO Not understood: {line}\r\n"),
        ("AUTHENTICATE", b"{tag} NO Not understood: {line}\r\n"),
    ),
}
"""Login commands, which may hold a secret, and refusals that repeat them."""


def repeats(protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    """Refuse the login inside TLS, and repeat the client's own line."""
    return tuple(Answer(verb=verb, reply=reply, over_tls=True) for verb, reply in _ECHOES[protocol])


ROWS: Final = (
    Scenario(
        name="explicit-client-on-implicit-server",
        family="B",
        summary="The server waits for a ClientHello and never greets; the client was told STARTTLS.",
        rules=_SILENT,
        severity="high",
        sources=("S1", "S10"),
        modes=(Security.STARTTLS,),
        server_security=Security.IMPLICIT,
        waits=True,
    ),
    Scenario(
        name="implicit-no-greeting",
        family="B",
        summary="The TLS handshake succeeds, and no greeting follows; every command works all the same.",
        rules=_SILENT,
        severity="medium",
        sources=("S10", "RFC 5321 section 4.3.1"),
        modes=(Security.IMPLICIT,),
        deviations=_greets(dict.fromkeys(Protocol, b"")),
        waits=True,
    ),
    Scenario(
        name="implicit-server-offers-starttls",
        family="B",
        summary="Inside TLS the server lists STARTTLS among its capabilities.",
        rules=("no-tls-inside-tls",),
        severity="low",
        sources=("RFC 3207 section 4.2",),
        modes=(Security.IMPLICIT,),
        deviations=lambda protocol, _timeout: (
            Announce(lines=("STLS" if protocol is _POP3 else "STARTTLS",), over_tls=True),
        ),
    ),
    _foreign(
        "wrong-service-on-port-http",
        Security.STARTTLS,
        dict.fromkeys(Protocol, _HTTP),
        "A web server greets, with HTTP/1.1 400.",
    ),
    _foreign(
        "wrong-service-on-port-ssh",
        Security.STARTTLS,
        dict.fromkeys(Protocol, _SSH),
        "An SSH server greets.",
    ),
    _foreign(
        "wrong-service-on-port-mail",
        Security.STARTTLS,
        {_SMTP: _IMAP_GREETING, _POP3: _SMTP_GREETING, _IMAP: _POP3_GREETING},
        "Another mail protocol greets: IMAP on the SMTP port, SMTP on the POP3 port, POP3 on the IMAP port.",
    ),
    _foreign(
        "cross-protocol-http-on-tls",
        Security.IMPLICIT,
        dict.fromkeys(Protocol, _HTTP),
        "A web server with a certificate for the host answers inside TLS, with HTTP/1.1 400.",
    ),
    _foreign(
        "cross-protocol-mail-mix",
        Security.IMPLICIT,
        {_SMTP: _POP3_GREETING, _POP3: _IMAP_GREETING, _IMAP: _SMTP_GREETING},
        "Another mail protocol greets inside TLS, with a certificate for the host.",
    ),
    Scenario(
        name="wrong-dialect-lmtp",
        family="N",
        summary="The server speaks LMTP: it greets like SMTP and refuses EHLO and HELO.",
        rules=_DIAGNOSED,
        severity="info",
        sources=("RFC 2033 section 4.1",),
        protocols=(_SMTP,),
        deviations=_lmtp,
    ),
    Scenario(
        name="cross-protocol-reflect",
        family="N",
        summary="Inside TLS the server refuses the login and repeats the client's own line in the refusal.",
        rules=("secrets-not-logged",),
        severity="low",
        sources=("CWE-209", "CWE-532"),
        modes=BOTH,
        settings={"auth": AuthPolicy(mechanisms=("PLAIN",))},
        deviations=repeats,
    ),
)
