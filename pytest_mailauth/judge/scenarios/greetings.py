"""Classes E and G: what a greeting alone can do: refuse, be none, or say that somebody is logged in already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.scenarios.connections import UNKNOWN
from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.judge.scenarios.starttls import stripped
from pytest_mailauth.model.config import IN_CLEAR, PASSWORD_MECHANISMS, AuthPolicy
from pytest_mailauth.model.deviations import Announce, Deviation, Greet
from pytest_mailauth.model.terms import Protocol, Security

if TYPE_CHECKING:
    from pytest_mailauth.judge.scenarios.scenario import Deviations

_SMTP, _POP3, _IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP

_LOGGED_IN: Final = AuthPolicy(preauthenticated=True)


def _greets(greetings: dict[Protocol, bytes], *further: Deviation) -> Deviations:
    """The greeting is another one, and STARTTLS is taken away."""
    return lambda protocol, timeout: (
        Greet(data=greetings[protocol]),
        *further,
        *stripped(UNKNOWN[protocol])(protocol, timeout),
    )


def _refused(name: str, greetings: dict[Protocol, bytes]) -> Scenario:
    said = " or ".join(repr(text.decode().strip()) for text in greetings.values())
    return Scenario(
        name=name,
        family="E",
        summary=f"The greeting refuses the service, with {said}; everything works all the same, in clear alone.",
        rules=("starttls-required-is-required",),
        severity="high",
        sources=("RFC 5321 section 3.1", "RFC 9051 section 7.1.5", "RFC 3207 section 6"),
        protocols=tuple(greetings),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=_greets(greetings),
        variant_of="" if name == "greeting-error-then-service" else "greeting-error-then-service",
    )


def _invalid(name: str, greeting: bytes, summary: str) -> Scenario:
    return Scenario(
        name=name,
        family="E",
        summary=f"{summary} STARTTLS is not offered, and authentication in clear is.",
        # The catalogue has starttls-required-is-required here. What is no greeting comes from a stranger, to whom
        # nothing is said, STARTTLS or not: on the wire it is the question of the rows about other services.
        rules=("mode-mismatch-diagnosed",),
        severity="critical",
        sources=("RFC 9051 section 7.1", "CVE-2020-28896"),
        protocols=(_IMAP,),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=_greets({_IMAP: greeting}),
        variant_of="" if name == "greeting-invalid-imap" else "greeting-invalid-imap",
    )


def _odd(name: str, greeting: bytes, summary: str) -> Scenario:
    # The catalogue has discard-pretls-state here. No line of the greeting comes so far: who takes one for an answer
    # to CAPA finds no STLS in it, and what it does then is seen in clear.
    return Scenario(
        name=name,
        family="E",
        summary=f"{summary} STLS is not offered, and authentication in clear is.",
        rules=("starttls-required-is-required",),
        severity="medium",
        sources=("RFC 1939 section 4", "RFC 2595 section 2.5"),
        protocols=(_POP3,),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=_greets({_POP3: greeting}),
        variant_of="" if name == "greeting-odd-pop3" else "greeting-odd-pop3",
    )


def _preauth(name: str, greeting: bytes, summary: str, *further: Deviation, **other: Any) -> Scenario:
    told: dict[str, Any] = {"settings": {"auth": _LOGGED_IN}} | other
    return Scenario(
        name=name,
        family="G",
        summary=summary,
        rules=("preauth-ends-required-starttls",),
        severity="high",
        sources=("RFC 9051 section 7.1.4", "CVE-2020-12398"),
        protocols=(_IMAP,),
        modes=(Security.STARTTLS,),
        deviations=_greets({_IMAP: greeting}, *further),
        **told,
    )


def _preauth_inside(name: str, severity: str, summary: str, **other: Any) -> Scenario:
    # The catalogue has no rule for these two. PREAUTH is its matter, and all that it finds here is a NOTE.
    return Scenario(
        name=name,
        family="G",
        summary=summary,
        rules=("preauth-ends-required-starttls",),
        severity=severity,
        sources=("RFC 9051 section 7.1.4",),
        protocols=(_IMAP,),
        modes=(Security.IMPLICIT,),
        settings={"auth": _LOGGED_IN},
        **other,
    )


_DRAFT: Final = b"From: <alice@example.test>\r\nSubject: A draft\r\n\r\nNot finished.\r\n"
_AUTH_LINES: Final = tuple(f"AUTH={name}" for name in PASSWORD_MECHANISMS)

ROWS: Final = (
    _refused(
        "greeting-error-then-service",
        {
            _SMTP: b"554 5.7.1 No SMTP service here\r\n",
            _POP3: b"-ERR no service here\r\n",
            _IMAP: b"* BYE no service here\r\n",
        },
    ),
    _refused("greeting-error-then-service-421", {_SMTP: b"421 4.3.2 Service not available\r\n"}),
    _invalid("greeting-invalid-imap", b"1Gdo00V4 wFaIW2WP\r\n", "The greeting is a line that means nothing."),
    _invalid(
        "greeting-invalid-imap-junk-first",
        b"wFaIW2WP\r\n1Gdo00V4\r\n* OK ready\r\n",
        "Two lines that mean nothing come before the greeting.",
    ),
    _invalid("greeting-invalid-imap-tagged", b"XYZ OK ready\r\n", "The greeting has a tag, like the end of a command."),
    _odd(
        "greeting-odd-pop3",
        b"+OK 2 messages (320 octets)\r\n1 120\r\n2 200\r\n.\r\n",
        "The greeting has further lines, like the answer to LIST.",
    ),
    _odd(
        "greeting-odd-pop3-code",
        b"+OK [SYS/PERM] ready\r\n",
        "The greeting is +OK with the response code of an error.",
    ),
    _preauth(
        "preauth-auth-advertised",
        b"* PREAUTH [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=LOGIN] ready\r\n",
        "The greeting is PREAUTH in clear and lists mechanisms, as CAPABILITY does; every command works.",
        Announce(lines=_AUTH_LINES),
    ),
    _preauth(
        "preauth-starttls-advertised",
        b"* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\n",
        "The greeting is PREAUTH in clear and lists STARTTLS, which is refused; every command works.",
    ),
    _preauth(
        "preauth-caps-differ",
        b"* PREAUTH [CAPABILITY IMAP4rev1] ready\r\n",
        "The greeting is PREAUTH in clear; CAPABILITY lists mechanisms that it does not.",
        Announce(lines=_AUTH_LINES),
    ),
    _preauth(
        "preauth-plain-greeting",
        b"* PREAUTH X0n0fCj9\r\n",
        "The greeting is PREAUTH in clear and lists nothing, and in truth nobody is logged in.",
        settings={"auth": IN_CLEAR},
    ),
    _preauth_inside("preauth-implicit-tls", "info", "The greeting inside TLS is PREAUTH; every command works."),
    _preauth_inside(
        "preauth-wrong-identity",
        "low",
        "The greeting inside TLS is PREAUTH, for nobody knows whom; the client has a draft to append.",
        tells={"draft": _DRAFT},
        profile="full",
    ),
)
