"""Class D, and what of O belongs to it: servers that know nothing of STARTTLS, or pretend that they do not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.scenarios.connections import AT_WORK, UNKNOWN
from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.judge.scenarios.starttls import stripped
from pytest_mailauth.model.config import IN_CLEAR, AuthPolicy
from pytest_mailauth.model.deviations import Announce, Answer, Cut, Deviation, Greet, Hide
from pytest_mailauth.model.relay import KEYWORDS
from pytest_mailauth.model.terms import Protocol, Security
from pytest_mailauth.model.trial import Earlier

if TYPE_CHECKING:
    from pytest_mailauth.judge.scenarios.scenario import Deviations

_SMTP, _POP3, _IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP

_DERIVED: Final = "no-derived-credentials-in-clear"
_POP3_TAGS: Final = ("TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "USER", "SASL", "STLS")
"""Everything that a POP3 server lists: hidden, nothing is left."""


def _with(*further: Deviation) -> Deviations:
    """STARTTLS is neither offered nor known, and *further* is done besides."""
    return lambda protocol, timeout: (*further, *stripped(UNKNOWN[protocol])(protocol, timeout))


def _strips(name: str, protocol: Protocol, summary: str, *further: Deviation, **other: Any) -> Scenario:
    """What a client cannot know to be true is said; authentication and work in clear are taken."""
    told: dict[str, Any] = {"severity": "critical", "sources": ("RFC 3207 section 6",)} | other
    return Scenario(
        name=name,
        family="D",
        summary=summary,
        rules=("starttls-required-is-required",),
        protocols=(protocol,),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=_with(*further),
        **told,
    )


def _ehlo_rejected(name: str, reply: bytes) -> Scenario:
    return _strips(
        name,
        _SMTP,
        f"EHLO is answered with {reply.decode().strip()!r}, HELO with 250: a server without extensions.",
        Answer(verb="EHLO", reply=reply),
        sources=("RFC 3207 section 6", "RFC 5321 section 4.1.4"),
        variant_of="" if name == "ehlo-rejected" else "ehlo-rejected",
    )


def _odd_introduction(name: str, of: str, *replies: tuple[str, bytes]) -> Scenario:
    # The catalogue gives the replies to EHLO to check-starttls-reply. No client comes to ask for STARTTLS here, so it
    # is the question of all rows in which it is not offered. HELO refused with 5xx as well is wrong-dialect-lmtp.
    said = " and ".join(f"{verb} with {reply.decode().strip()!r}" for verb, reply in replies)
    return _strips(
        name,
        _SMTP,
        f"The introduction is answered with what is no answer to it: {said}.",
        *(Answer(verb=verb, reply=reply) for verb, reply in replies),
        severity="high",
        sources=("RFC 5321 section 4.3.2", "RFC 3207 section 6"),
        variant_of="" if name == of else of,
    )


def _announced(protocol: Protocol, names: tuple[str, ...]) -> Announce:
    if protocol is _IMAP:
        return Announce(lines=tuple(f"AUTH={name}" for name in names))
    return Announce(lines=(" ".join(("AUTH" if protocol is _SMTP else "SASL", *names)),))


def _lists(*names: str) -> Deviations:
    """Mechanisms are listed in clear, whether or not they are taken, and STARTTLS is taken away."""
    return lambda protocol, timeout: (_announced(protocol, names), *_with()(protocol, timeout))


def _proves(name: str, summary: str, deviations: Deviations, **other: Any) -> Scenario:
    """A proof is asked for in clear. Who sends the password itself, or works without, breaks the other rule."""
    told: dict[str, Any] = {
        "severity": "high",
        "family": "D",
        "rules": (_DERIVED, "starttls-required-is-required"),
    } | other
    return Scenario(
        name=name,
        summary=summary,
        sources=("RFC 8314 section 5.2",),
        modes=(Security.STARTTLS,),
        deviations=deviations,
        **told,
    )


def _without_credentials(name: str, summary: str, deviations: Deviations) -> Scenario:
    return Scenario(
        name=name,
        family="D",
        summary=summary,
        rules=("no-content-in-clear",),
        severity="high",
        sources=("RFC 8314 section 5.2", "CVE-2021-38373"),
        protocols=(_SMTP,),
        modes=(Security.STARTTLS,),
        auth="none",
        deviations=deviations,
        variant_of="" if name == "no-auth-no-tls-configured" else "no-auth-no-tls-configured",
    )


def _bad_timestamp(name: str, mode: Security, auth: AuthPolicy, greeting: bytes, what: str) -> Scenario:
    return Scenario(
        name=name,
        family="O",
        summary=f"The timestamp in the greeting holds {what}; APOP, USER and PASS are taken.",
        rules=("apop-guarded",),
        severity="medium",
        sources=("RFC 1939 section 7", "CVE-2007-1558"),
        protocols=(_POP3,),
        modes=(mode,),
        settings={"auth": auth},
        deviations=lambda _protocol, _timeout: (Greet(data=greeting),),
        control=lambda _protocol, _timeout: (),
        auth="password",
        variant_of="" if name == "apop-bad-timestamp" else "apop-bad-timestamp",
    )


_ALL_MECHANISMS: Final = (
    *("PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "NTLM", "GSSAPI", "GSS-SPNEGO", "SCRAM-SHA-1", "SCRAM-SHA-224"),
    *("SCRAM-SHA-256", "SCRAM-SHA-384", "SCRAM-SHA-512", "SCRAM-SHA3-512", "EXTERNAL", "ANONYMOUS", "OTP", "SKEY"),
    *("SECURID", "KERBEROS_V4", "SRP", "PASSDSS-3DES-1", "ECDSA-NIST256P-CHALLENGE", "9798-M-RSA-SHA1-ENC", "NTLMV2"),
    *("9798-U-RSA-SHA1-ENC", "9798-M-DSA-SHA1", "9798-U-DSA-SHA1", "9798-M-ECDSA-SHA1", "9798-U-ECDSA-SHA1", "EAP"),
    *("SAML20", "OPENID20", "GS2-KRB5", "KERBEROS_V5", "CRAM-SHA1", "CRAM-SHA256", "MSN", "SXOVER", "OAUTH10A"),
    *("XOAUTH", "XOAUTH2", "OAUTHBEARER", "X-TOKEN", "GOOGLE-TOKEN"),
)
"""Mechanisms of the registry and of the field, as many as a line of 512 octets holds (RFC 5321 section 4.5.3.1.5)."""
_PROOFS_IN_CLEAR: Final = AuthPolicy(before_tls=("PLAIN", "LOGIN", "CRAM-MD5"), password_commands="always")
_APOP_IN_CLEAR: Final = AuthPolicy(
    before_tls=("PLAIN", "LOGIN", "APOP"), mechanisms=("PLAIN", "LOGIN"), password_commands="always"
)

_NO_EHLO: Final = ("EHLO", b"500 5.5.1 Command not recognized\r\n")

ROWS: Final = (
    _ehlo_rejected("ehlo-rejected", b"502 5.5.1 Command not recognized\r\n"),
    _ehlo_rejected("ehlo-rejected-530", b"530 5.7.0 Must issue a STARTTLS command first\r\n"),
    _ehlo_rejected("ehlo-rejected-550", b"550 5.7.1 Not from you\r\n"),
    _strips(
        "ehlo-empty",
        _SMTP,
        "EHLO is answered with 250 and the server's name alone: no extension is listed.",
        Hide(names=("AUTH", *KEYWORDS)),
        sources=("RFC 3207 section 6", "RFC 5321 section 4.1.1.1"),
    ),
    _odd_introduction("ehlo-odd-success", "ehlo-odd-success", ("EHLO", b"220 EHLO client!\r\n")),
    _odd_introduction("ehlo-odd-success-354", "ehlo-odd-success", ("EHLO", b"354 start\r\n")),
    _odd_introduction("ehlo-odd-success-421", "ehlo-odd-success", ("EHLO", b"421 4.3.2 shutting down\r\n")),
    _odd_introduction("helo-or-rset-odd", "helo-or-rset-odd", _NO_EHLO, ("HELO", b"220 HELO client!\r\n")),
    _odd_introduction(
        "helo-or-rset-odd-354",
        "helo-or-rset-odd",
        _NO_EHLO,
        ("HELO", b"354 start\r\n"),
        ("RSET", b"354 start\r\n"),
    ),
    _strips(
        "quit-odd",
        _SMTP,
        "STARTTLS is not offered, and QUIT is answered with 354: go on.",
        Answer(verb="QUIT", reply=b"354 please stay\r\n"),
        severity="medium",
        sources=("RFC 3207 section 6", "RFC 5321 section 4.1.1.10"),
    ),
    _strips(
        "quit-odd-pop3",
        _POP3,
        "STLS is not offered, and QUIT is refused.",
        Answer(verb="QUIT", reply=b"-ERR please stay\r\n"),
        severity="medium",
        sources=("RFC 2595 section 2.5", "RFC 1939 section 4"),
        variant_of="quit-odd",
    ),
    _strips(
        "capa-rejected",
        _POP3,
        "CAPA is not known, and STLS is not either: a server from before both.",
        Answer(verb="CAPA", reply=b"-ERR no such command\r\n"),
        sources=("RFC 2449 section 5", "RFC 2595 section 2.5"),
    ),
    _strips(
        "capa-empty",
        _POP3,
        "CAPA is answered with an empty list.",
        Hide(names=_POP3_TAGS),
        sources=("RFC 2449 section 5", "RFC 2595 section 2.5"),
    ),
    _strips(
        "capa-err-auth-list",
        _POP3,
        "CAPA is not known; AUTH alone lists mechanisms, and each of them is taken in clear.",
        Answer(verb="CAPA", reply=b"-ERR [SYS/PERM] no such command\r\n"),
        sources=("RFC 2595 section 2.5",),
    ),
    _strips(
        "capability-missing-imap",
        _IMAP,
        "The greeting lists nothing, and CAPABILITY is not known.",
        Greet(data=b"* OK ready\r\n"),
        Answer(verb="CAPABILITY", reply=UNKNOWN[_IMAP]),
        sources=("RFC 2595 section 2.5", "RFC 9051 section 11.1"),
    ),
    _strips(
        "capability-imap4-only",
        _IMAP,
        "The greeting and CAPABILITY list IMAP4 alone.",
        Greet(data=b"* OK [CAPABILITY IMAP4] ready\r\n"),
        Answer(verb="CAPABILITY", reply=b"* CAPABILITY IMAP4\r\n{tag} OK done\r\n"),
        sources=("RFC 2595 section 2.5", "RFC 9051 section 11.1"),
    ),
    _proves(
        "mechanisms-all-no-starttls",
        "Every mechanism that has a name is listed in clear, and a few are taken; STARTTLS is not offered.",
        _lists(*_ALL_MECHANISMS),
        severity="critical",
        settings={"auth": replace(_PROOFS_IN_CLEAR, advertised=False)},
    ),
    _proves(
        "ntlm-in-clear",
        "NTLM alone is listed in clear, and STARTTLS is not offered.",
        _lists("NTLM"),
        family="O",
    ),
    _proves(
        "apop-timestamp-strip",
        "The greeting has a timestamp for APOP; STLS is offered, and everything is taken in clear as well.",
        lambda _protocol, _timeout: (),
        rules=(_DERIVED,),
        protocols=(_POP3,),
        auth="password",
        settings={"auth": _APOP_IN_CLEAR},
    ),
    _proves(
        "apop-timestamp-strip-no-stls",
        "The greeting has a timestamp for APOP; STLS is not offered.",
        _with(),
        protocols=(_POP3,),
        auth="password",
        settings={"auth": _APOP_IN_CLEAR},
        variant_of="apop-timestamp-strip",
    ),
    _bad_timestamp(
        "apop-bad-timestamp",
        Security.IMPLICIT,
        AuthPolicy(mechanisms=("APOP",)),
        b"+OK ready <\x91\x02\xf3.\xb5\x07@mail.example.test>\r\n",
        "bytes that are no printable ASCII",
    ),
    _bad_timestamp(
        "apop-bad-timestamp-in-clear",
        Security.NONE,
        AuthPolicy(mechanisms=(), before_tls=("APOP",), password_commands="always"),
        b"+OK ready <1896.697170952@mail@example.test>\r\n",
        "two @",
    ),
    _without_credentials(
        "no-auth-no-tls-configured", "STARTTLS is not offered; mail is taken in clear.", stripped(UNKNOWN[_SMTP])
    ),
    _without_credentials(
        "no-auth-no-tls-configured-refused",
        "STARTTLS is offered and refused; mail is taken in clear.",
        lambda _protocol, _timeout: (Answer(verb="STARTTLS", reply=b"454 4.7.0 TLS not available\r\n"),),
    ),
    Scenario(
        name="logindisabled-only-in-capability-cmd",
        family="D",
        summary="The greeting lists nothing; CAPABILITY lists LOGINDISABLED, and no mechanism. STARTTLS is refused.",
        rules=("respect-logindisabled",),
        severity="high",
        sources=("RFC 9051 section 6.2.3", "RFC 2595 section 3.2"),
        protocols=(_IMAP,),
        modes=(Security.NONE,),
        server_security=Security.STARTTLS,
        settings={"auth": AuthPolicy(password_commands="never")},
        deviations=lambda _protocol, _timeout: (
            Greet(data=b"* OK ready\r\n"),
            Answer(verb="STARTTLS", reply=b"{tag} NO TLS is not available\r\n"),
        ),
    ),
    Scenario(
        name="mail-refused-until-tls",
        family="O",
        summary="STARTTLS is offered; in clear no mechanism is listed, and MAIL is refused.",
        rules=("no-operation-before-required-tls",),
        severity="medium",
        sources=("S2", "RFC 3207 section 4"),
        protocols=(_SMTP,),
        modes=(Security.STARTTLS,),
        deviations=lambda _protocol, _timeout: (
            Answer(verb="MAIL", reply=b"530 5.7.0 Must issue a STARTTLS command first\r\n"),
        ),
    ),
    Scenario(
        name="pass-refused-until-tls",
        family="O",
        summary="STLS is offered, and USER in clear is taken; PASS is refused there.",
        rules=("no-identity-in-clear",),
        severity="critical",
        sources=("S12", "RFC 8314 section 5.2"),
        protocols=(_POP3,),
        modes=(Security.STARTTLS,),
        deviations=lambda _protocol, _timeout: (
            Announce(lines=("USER",)),
            Answer(verb="USER", reply=b"+OK send PASS\r\n"),
            Answer(verb="PASS", reply=b"-ERR [AUTH] TLS required\r\n"),
        ),
    ),
    Scenario(
        name="imap-id-before-tls",
        family="O",
        summary="An honest server that lists ID in clear, beside STARTTLS.",
        rules=("no-identity-in-clear",),
        severity="low",
        sources=("RFC 8314 section 5.2", "RFC 2971"),
        protocols=(_IMAP,),
        modes=(Security.STARTTLS,),
    ),
    Scenario(
        name="tls-dropped-from-previous",
        family="D",
        summary="The client is told to make a transfer before; while it is at work, STARTTLS goes, and never was.",
        rules=("starttls-required-is-required",),
        severity="critical",
        sources=("RFC 3207 section 6", "RFC 8314 section 5.2"),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
        deviations=lambda protocol, timeout: (
            Cut(verbs=AT_WORK[protocol], then=_with()(protocol, timeout), resets=False),
        ),
        earlier=Earlier(),
    ),
)
