"""Class O: how passwords and their mechanisms are offered, asked for and refused, and what a client makes of that."""

from __future__ import annotations

from typing import Any, Final

from pytest_mailauth.judge.scenarios.scenario import Deviations, Scenario
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.config import PASSWORD_MECHANISMS, AuthPolicy
from pytest_mailauth.model.deviations import Announce, Answer, Challenge, Deviation, Hide, Refuse, SwapPrompts
from pytest_mailauth.model.relay import RelayPolicy
from pytest_mailauth.model.terms import Protocol, Refusal, Security

_SMTP, _POP3, _IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP
_NONE: Final = (Security.NONE,)
_STRONG: Final = ("SCRAM-SHA-256", "CRAM-MD5")
_ALL: Final = (*_STRONG, *PASSWORD_MECHANISMS)
_LISTS: Final = {_SMTP: "AUTH {}", _POP3: "SASL {}", _IMAP: "AUTH={}"}
"""How mechanisms are announced; IMAP has an item for each."""

_UNQUOTABLE: Final = Secret("geheim-\u00fc\u00f6\u00e4-f\u00fcr-diesen-Fall")
"""A password that no quoted string can hold (RFC 3501 section 4.3): IMAP clients send it as a literal."""


def announced(*mechanisms: str, over_tls: bool = True) -> Deviations:
    """These mechanisms are announced on one layer, whatever is accepted."""

    def lines(protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
        lists = mechanisms if protocol is _IMAP else (" ".join(mechanisms),)
        return (Announce(lines=tuple(_LISTS[protocol].format(one) for one in lists), over_tls=over_tls),)

    return lines


def _answered(verb: str, replies: dict[Protocol, bytes]) -> Deviations:
    return lambda protocol, _timeout: (Answer(verb=verb, reply=replies[protocol], over_tls=True),)


def _refuses(*mechanisms: str) -> Deviations:
    return lambda _protocol, _timeout: (Refuse(mechanisms=mechanisms),)


def _no_334(name: str, what: str, replies: dict[Protocol, bytes], **row: Any) -> Scenario:
    return Scenario(
        name=name,
        family="O",
        auth="password",
        summary=f"Only LOGIN is offered, in which the server asks first; AUTH is answered with {what}.",
        rules=("credentials-only-after-continuation",),
        severity="medium",
        sources=("RFC 4954 section 4", "RFC 5034 section 4"),
        protocols=tuple(replies),
        settings={"auth": AuthPolicy(mechanisms=("LOGIN",), password_commands="never")},
        deviations=_answered("AUTH", replies),
        **row,
    )


def _literal(name: str, summary: str, deviations: Deviations, **row: Any) -> Scenario:
    return Scenario(
        name=name,
        family="O",
        auth="password",
        summary=f"Only the LOGIN command is possible, with a password that takes a literal; {summary}.",
        protocols=(_IMAP,),
        settings={"auth": AuthPolicy(mechanisms=())},
        deviations=deviations,
        tells={"password": _UNQUOTABLE},
        profile="full",
        **row,
    )


def _refused(name: str, summary: str, reject: Refusal, severity: str, *rules: str) -> Scenario:
    return Scenario(
        name=name,
        family="O",
        auth="password",
        summary=summary,
        rules=rules,
        severity=severity,
        sources=("S1", "RFC 4954 section 6", "RFC 5530 section 3", "RFC 3206 section 4", "RFC 3206 section 5"),
        settings={"auth": AuthPolicy(reject=reject)},
    )


_DIAGNOSED: Final = "auth-failure-is-not-network-failure"

ROWS: Final = (
    Scenario(
        name="auth-refused-until-tls",
        family="O",
        summary="Authentication is offered in clear, and refused there until TLS is started.",
        rules=("no-cleartext-credentials",),
        severity="critical",
        sources=("S1", "S2", "RFC 4954 section 6", "RFC 5530 section 3"),
        modes=(Security.STARTTLS,),
        deviations=announced(*PASSWORD_MECHANISMS, over_tls=False),
    ),
    Scenario(
        name="auth-refused-until-tls-in-clear",
        family="O",
        auth="password",
        # Not POP3: it has no code for that, and [AUTH] says that the credentials are wrong (RFC 3206 section 5).
        summary="The same, for a client that is told to use no TLS: what does it say?",
        rules=(_DIAGNOSED,),
        severity="medium",
        sources=("S1", "RFC 4954 section 6", "RFC 5530 section 3"),
        protocols=(_SMTP, _IMAP),
        modes=_NONE,
        server_security=Security.STARTTLS,
        deviations=announced(*PASSWORD_MECHANISMS, over_tls=False),
        variant_of="auth-refused-until-tls",
    ),
    _refused(
        "auth-wrong-password",
        "Every login is refused, as with a wrong password.",
        Refusal.INVALID,
        "medium",
        _DIAGNOSED,
        "bounded-auth-retries",
    ),
    _refused(
        "auth-temporary-failure",
        "Every login is answered with a temporary failure.",
        Refusal.TEMPORARY,
        "low",
        _DIAGNOSED,
    ),
    Scenario(
        name="auth-login-prompt-swap",
        family="O",
        auth="password",
        # A client that answers by position names itself with its password, and is told that nobody is called so.
        summary="LOGIN alone is offered; it asks for the password first, then for the user name, and nobody is let in.",
        rules=("secrets-not-logged",),
        severity="low",
        sources=("CWE-532",),
        protocols=(_SMTP,),
        settings={"auth": AuthPolicy(mechanisms=("LOGIN",), reject=Refusal.INVALID)},
        deviations=lambda _protocol, _timeout: (SwapPrompts(),),
    ),
    Scenario(
        name="auth-not-offered-after-tls",
        family="O",
        auth="password",
        summary="Inside TLS no AUTH is offered, and MAIL is taken from everybody.",
        rules=("authenticate-before-submission",),
        severity="medium",
        sources=("S3", "S8", "RFC 6409 section 4.3"),
        protocols=(_SMTP,),
        settings={"auth": AuthPolicy(mechanisms=())},
    ),
    Scenario(
        name="auth-required-on-mail",
        family="O",
        auth="password",
        # AUTH is hidden, not missing: a client that does not look whether it is offered can log in.
        summary="Inside TLS no AUTH is offered, and MAIL is answered with 530: authentication required.",
        rules=("authenticate-before-submission",),
        severity="low",
        sources=("S3", "RFC 4954 section 6"),
        protocols=(_SMTP,),
        settings={"auth": AuthPolicy(advertised=False), "relay": RelayPolicy(login_first=True)},
    ),
    Scenario(
        name="auth-reject-strong-in-clear",
        family="O",
        auth="password",
        summary="No TLS; CRAM-MD5 is offered and always refused, PLAIN, LOGIN and USER would be accepted.",
        rules=("no-mechanism-downgrade",),
        severity="critical",
        sources=("RFC 4422 section 6.1.2", "CVE-2026-41319"),
        modes=_NONE,
        settings={"auth": AuthPolicy(before_tls=("CRAM-MD5", *PASSWORD_MECHANISMS), password_commands="always")},
        deviations=_refuses("CRAM-MD5"),
    ),
    Scenario(
        name="apop-over-downgrade",
        family="O",
        auth="password",
        summary="No TLS; the greeting offers APOP, which is always refused, USER and PASS would be accepted.",
        rules=("no-mechanism-downgrade",),
        severity="critical",
        sources=("RFC 1939 section 7", "RFC 4422 section 6.1.2"),
        protocols=(_POP3,),
        modes=_NONE,
        settings={"auth": AuthPolicy(before_tls=("APOP",), password_commands="always")},
        deviations=_refuses("APOP"),
    ),
    Scenario(
        name="auth-reject-strong-in-tls",
        family="O",
        auth="password",
        summary="Inside TLS SCRAM-SHA-256 and CRAM-MD5 are offered and always refused, PLAIN and LOGIN accepted.",
        rules=("no-mechanism-downgrade",),
        severity="low",
        sources=("RFC 4954 section 4",),
        settings={"auth": AuthPolicy(mechanisms=_ALL)},
        deviations=_refuses(*_STRONG),
    ),
    Scenario(
        name="auth-mechanism-too-weak",
        family="O",
        auth="password",
        summary="CRAM-MD5, PLAIN and LOGIN are answered with 534, the mechanism is too weak; SCRAM-SHA-256 works.",
        rules=("no-mechanism-downgrade",),
        severity="low",
        sources=("RFC 4954 section 6",),
        protocols=(_SMTP,),
        settings={
            "auth": AuthPolicy(
                # The order in which a client meets them that tries one after another.
                mechanisms=("CRAM-MD5", *PASSWORD_MECHANISMS, "SCRAM-SHA-256"),
                too_weak=("CRAM-MD5", *PASSWORD_MECHANISMS),
            )
        },
    ),
    Scenario(
        name="auth-mechanism-not-offered",
        family="O",
        auth="password",
        summary="Only SCRAM-SHA-256 is offered and accepted.",
        rules=("offered-mechanisms-only",),
        severity="medium",
        sources=("RFC 4954 section 3", "RFC 5034 section 3"),
        settings={"auth": AuthPolicy(mechanisms=("SCRAM-SHA-256",), password_commands="never")},
    ),
    Scenario(
        name="auth-legacy-equals-form",
        family="O",
        auth="password",
        summary="LOGIN is offered in the old form AUTH=LOGIN alone, which no standard has.",
        rules=("offered-mechanisms-only",),
        severity="info",
        sources=("RFC 4954 section 3",),
        protocols=(_SMTP,),
        settings={"auth": AuthPolicy(mechanisms=("LOGIN",), advertised=False)},
        deviations=lambda _protocol, _timeout: (Announce(lines=("AUTH=LOGIN",), over_tls=True),),
    ),
    Scenario(
        name="external-without-cert",
        family="O",
        auth="password",
        summary="EXTERNAL is offered before PLAIN and LOGIN to a client that has no certificate.",
        rules=("offered-mechanisms-only",),
        severity="low",
        sources=("RFC 4422 appendix A", "RFC 8314 section 5.5"),
        protocols=(_SMTP, _IMAP),
        settings={"auth": AuthPolicy(advertised=False)},
        deviations=announced("EXTERNAL", *PASSWORD_MECHANISMS),
    ),
    Scenario(
        name="anonymous-offered",
        family="O",
        auth="password",
        summary="Only ANONYMOUS is offered.",
        rules=("offered-mechanisms-only",),
        severity="low",
        sources=("RFC 4505 section 2",),
        settings={"auth": AuthPolicy(mechanisms=("ANONYMOUS",), password_commands="never")},
    ),
    _no_334(
        "auth-no-334",
        "a refusal",
        {_SMTP: b"535 5.7.8 Authentication credentials invalid\r\n", _POP3: b"-ERR authentication failed\r\n"},
    ),
    _no_334(
        "auth-no-334-success",
        "a success that asks for nothing",
        {_SMTP: b"250 2.0.0 OK\r\n", _POP3: b"+OK go on\r\n"},
        variant_of="auth-no-334",
    ),
    Scenario(
        name="auth-cancelled-exchange",
        family="O",
        auth="password",
        summary="Only LOGIN is offered, and each of its challenges is '***', which nobody can decode.",
        rules=("credentials-only-after-continuation",),
        severity="low",
        sources=("RFC 4954 section 4",),
        settings={"auth": AuthPolicy(mechanisms=("LOGIN",), password_commands="never")},
        deviations=lambda _protocol, _timeout: (Challenge(mechanisms=("LOGIN",), line=b"***"),),
    ),
    Scenario(
        name="auth-plain-challenge-text",
        family="O",
        auth="password",
        # IMAP alone: elsewhere a client may always send its response with the command, and is asked nothing then.
        summary="PLAIN alone is offered, without SASL-IR, and its challenge holds a text where it should be empty.",
        rules=("credentials-only-after-continuation",),
        severity="info",
        sources=("RFC 4616 section 2",),
        protocols=(_IMAP,),
        settings={"auth": AuthPolicy(mechanisms=("PLAIN",))},
        deviations=lambda _protocol, _timeout: (
            Hide(names=("SASL-IR",)),
            Challenge(mechanisms=("PLAIN",), line=b"dGV4dA=="),
        ),
    ),
    _literal(
        "auth-login-literal-refused",
        "it is answered with BAD",
        _answered("LOGIN", {_IMAP: b"{tag} BAD no literals here\r\n"}),
        rules=("credentials-only-after-continuation",),
        severity="medium",
        sources=("RFC 9051 section 4.3",),
    ),
    _literal(
        "auth-literal-plus-unannounced",
        "LITERAL+ is not offered",
        lambda _protocol, _timeout: (Hide(names=("LITERAL+",)),),
        rules=("offered-mechanisms-only",),
        severity="low",
        sources=("RFC 7888 section 3",),
    ),
)
