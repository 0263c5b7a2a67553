"""Classes D, E and G: STARTTLS taken away, refused, feigned, or made impossible."""

from __future__ import annotations

from typing import Final

from pytest_mailauth.judge.scenarios.scenario import Deviations, Scenario
from pytest_mailauth.model.config import IN_CLEAR, AuthPolicy
from pytest_mailauth.model.deviations import Answer, Hide, StayClear
from pytest_mailauth.model.terms import Protocol, Security

_SMTP, _POP3, _IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP
STARTTLS_VERB: Final = {_SMTP: "STARTTLS", _POP3: "STLS", _IMAP: "STARTTLS"}


def _refused(reply: bytes) -> Deviations:
    """STARTTLS is offered and answered with *reply*."""
    return lambda protocol, _timeout: (Answer(verb=STARTTLS_VERB[protocol], reply=reply),)


def stripped(reply: bytes) -> Deviations:
    """STARTTLS is not offered, and answered with *reply* when a client asks for it all the same."""
    return lambda protocol, timeout: (Hide(names=(STARTTLS_VERB[protocol],)), *_refused(reply)(protocol, timeout))


def _not_offered(name: str, protocol: Protocol, reply: bytes) -> Scenario:
    return Scenario(
        name=name,
        family="D",
        summary="STARTTLS is not offered; authentication in clear is.",
        rules=("starttls-required-is-required",),
        severity="critical",
        sources=("S9", "RFC 3207 section 6"),
        protocols=(protocol,),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=stripped(reply),
    )


def _refuses(name: str, protocol: Protocol, reply: bytes, *, waits: bool = False) -> Scenario:
    return Scenario(
        name=name,
        family="D",
        summary=f"STARTTLS is offered and answered with {reply.decode().strip()!r}; so is authentication in clear.",
        # The catalogue gives some of these rows to starttls-required-is-required. On the wire the two causes look
        # alike once STARTTLS was asked for, so the whole family asks one question: was the reply heeded?
        rules=("check-starttls-reply",),
        severity="critical",
        sources=("RFC 3207 section 4", "CVE-2016-0772"),
        protocols=(protocol,),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=_refused(reply),
        waits=waits,
    )


_FEIGNED: Final = {_SMTP: b"250 AUTH PLAIN LOGIN\r\n", _POP3: b"+OK\r\n", _IMAP: b"* CAPABILITY IMAP4rev1\r\n"}
"""What a server says in clear instead of a ServerHello."""

ROWS: Final = (
    _not_offered("starttls-not-offered", _SMTP, b"502 5.5.1 Command not implemented\r\n"),
    _not_offered("starttls-not-offered-pop3", _POP3, b"-ERR unknown command\r\n"),
    _not_offered("starttls-not-offered-imap", _IMAP, b"{tag} BAD unknown command\r\n"),
    _refuses("starttls-offered-502", _SMTP, b"502 5.5.1 Command not implemented\r\n"),
    _refuses("starttls-offered-454", _SMTP, b"454 4.7.0 TLS not available due to temporary reason\r\n"),
    _refuses("starttls-offered-354", _SMTP, b"354 go ahead\r\n"),
    _refuses("starttls-offered-err-pop3", _POP3, b"-ERR TLS is not available\r\n"),
    _refuses("starttls-offered-no-imap", _IMAP, b"{tag} NO TLS is not available\r\n"),
    _refuses("starttls-offered-bad-imap", _IMAP, b"{tag} BAD TLS is not available\r\n"),
    _refuses("starttls-continuation-imap", _IMAP, b"+ go on\r\n", waits=True),
    _refuses("starttls-unknown-response-imap", _IMAP, b"{tag} XYZZY hello\r\n", waits=True),
    Scenario(
        name="auth-offered-with-starttls",
        family="D",
        summary="Authentication, mail and mailbox commands are possible in clear beside STARTTLS.",
        rules=("no-operation-before-required-tls",),
        severity="high",
        sources=("RFC 8314 section 5.2",),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
    ),
    Scenario(
        name="logindisabled-ignored",
        family="D",
        summary="LOGINDISABLED is announced, no SASL mechanism is, and STARTTLS is refused.",
        rules=("respect-logindisabled",),
        severity="critical",
        sources=("RFC 9051 section 6.2.3", "RFC 2595 section 3.2"),
        protocols=(_IMAP,),
        modes=(Security.STARTTLS, Security.NONE),
        server_security=Security.STARTTLS,
        settings={"auth": AuthPolicy(password_commands="never")},
        deviations=_refused(b"{tag} NO TLS is not available\r\n"),
    ),
    Scenario(
        name="starttls-ok-then-plaintext",
        family="E",
        summary="STARTTLS is answered with success, and the ClientHello with a cleartext reply.",
        rules=("tls-really-started",),
        severity="critical",
        sources=("RFC 3207 section 4", "RFC 9051 section 11.1"),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=lambda protocol, _timeout: (StayClear(data=_FEIGNED[protocol]),),
        waits=True,
    ),
    Scenario(
        name="preauth-no-caps",
        family="G",
        summary="The greeting is PREAUTH in clear; every command works, and STARTTLS is refused.",
        rules=("preauth-ends-required-starttls",),
        severity="high",
        sources=("RFC 9051 section 7.1.4", "CVE-2020-12398"),
        protocols=(_IMAP,),
        modes=(Security.STARTTLS,),
        settings={"auth": AuthPolicy(preauthenticated=True)},
        deviations=stripped(b"{tag} NO not allowed\r\n"),
    ),
)
