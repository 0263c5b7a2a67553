"""Class J, and rows of H and Q that belong to it: the server names another server, where somebody listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.scenarios.plan import REAL_PORTS, Decoy
from pytest_mailauth.judge.scenarios.scenario import BOTH, EVERY, Scenario
from pytest_mailauth.judge.scenarios.starttls import stripped
from pytest_mailauth.model.config import IN_CLEAR, AuthPolicy
from pytest_mailauth.model.deviations import Announce, Answer, Deviation, Greet, Hide, Precede
from pytest_mailauth.model.terms import Protocol, Security

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mailauth.judge.scenarios.scenario import Deviations

_SMTP, _IMAP = Protocol.SMTP, Protocol.IMAP
_STARTTLS, _IMPLICIT = Security.STARTTLS, Security.IMPLICIT
_RULE: Final = ("no-automatic-referral",)
_PASSWORD: Final = {"auth": "password"}
"""What a client with a token does is asked by a rule of its own."""

_STRIPPED: Final = Decoy(security=_STARTTLS, settings={"auth": IN_CLEAR, "deviations": (Hide(names=("STARTTLS",)),)})
"""It takes passwords in clear, and offers no TLS: equal protection is not to be had there."""

_BY_COMMAND: Final = {"auth": AuthPolicy(mechanisms=())}
_BY_MECHANISM: Final = {"auth": AuthPolicy(password_commands="never")}
_LOGINS: Final = ("LOGIN", "AUTHENTICATE")


def _refers(*verbs: str, reply: str, announces: str) -> tuple[Deviation, ...]:
    """Answer these commands inside TLS with a referral."""
    answers = (Answer(verb=verb, reply=f"{{tag}} {reply}\r\n".encode(), over_tls=True) for verb in verbs)
    return (Announce(lines=(announces,), over_tls=True), *answers)


def _login_referral(*verbs: str, status: str = "NO", url: str = "imap://;AUTH=*@{decoy}/") -> tuple[Deviation, ...]:
    return _refers(*verbs, reply=f"{status} [REFERRAL {url}] Try another server", announces="LOGIN-REFERRALS")


def _mailbox_referral() -> tuple[Deviation, ...]:
    reply = "NO [REFERRAL imap://;AUTH=*@{decoy}/INBOX] Remote mailbox"
    return _refers("SELECT", "EXAMINE", reply=reply, announces="MAILBOX-REFERRALS")


def _untagged(place: str) -> bytes:
    return f"* OK [REFERRAL imaps://{{decoy}}/] This server has moved ({place})\r\n".encode()


def _referred(
    name: str,
    summary: str,
    deviations: Deviations,
    *,
    rules: tuple[str, ...] = _RULE,
    sources: tuple[str, ...] = ("RFC 2221 section 4.1",),
    settings: Mapping[str, Any] | None = None,
    variant_of: str = "",
) -> Scenario:
    """Return a row in which a client is referred to a server that offers no TLS."""
    return Scenario(
        name=name,
        family="J",
        summary=summary,
        rules=rules,
        severity="critical",
        sources=sources,
        protocols=(_IMAP,),
        needs=_PASSWORD,
        settings=settings or {},
        deviations=deviations,
        decoy=_STRIPPED,
        profile="full",
        variant_of=variant_of,
    )


ROWS: Final = (
    _referred(
        "login-referral-on-login",
        "Inside TLS, LOGIN is refused with a referral to a server that offers no TLS.",
        lambda _protocol, _timeout: _login_referral("LOGIN"),
        settings=_BY_COMMAND,
    ),
    _referred(
        "login-referral-on-auth",
        "Inside TLS, AUTHENTICATE is refused with a referral to a server that offers no TLS.",
        lambda _protocol, _timeout: _login_referral("AUTHENTICATE"),
        settings=_BY_MECHANISM,
    ),
    _referred(
        "login-referral-in-ok",
        "Inside TLS, the login succeeds with a referral to a server that offers no TLS.",
        lambda _protocol, _timeout: _login_referral(*_LOGINS, status="OK"),
        variant_of="login-referral-on-auth",
    ),
    _referred(
        "mailbox-referral-preauth",
        "The greeting is PREAUTH, and SELECT is refused with a referral to a server that offers no TLS.",
        lambda protocol, timeout: (
            *stripped(b"{tag} NO not allowed\r\n")(protocol, timeout),
            *_mailbox_referral(),
        ),
        # Where STARTTLS is required, a client has left at the greeting; who has not is told so by that rule.
        rules=(*_RULE, "preauth-ends-required-starttls"),
        sources=("RFC 2193 section 3", "RFC 9051 section 7.1.4"),
        settings={"auth": AuthPolicy(preauthenticated=True)},
    ),
    _referred(
        "mailbox-referral-in-tls",
        "Inside TLS and after the login, SELECT is refused with a referral to a server that offers no TLS.",
        lambda _protocol, _timeout: _mailbox_referral(),
        sources=("RFC 2193 section 3",),
    ),
    Scenario(
        name="referral-scheme-downgrade",
        family="J",
        summary="On a port with implicit TLS, the login is refused with a referral to imap://, and there is no TLS.",
        rules=_RULE,
        severity="critical",
        sources=("RFC 2221 section 4.1", "RFC 8314 section 5.2"),
        protocols=(_IMAP,),
        modes=(_IMPLICIT,),
        needs=_PASSWORD,
        deviations=lambda _protocol, _timeout: _login_referral(*_LOGINS, url="imap://{decoy}/"),
        decoy=Decoy(settings={"auth": IN_CLEAR}),
        profile="full",
    ),
    Scenario(
        name="tamper-referral-code",
        family="H",
        summary="Before TLS the server sends an OK with a referral to imaps:// that nobody asked for, twice.",
        rules=_RULE,
        severity="high",
        sources=("RFC 9051 section 11.3", "RFC 2221 section 4.2"),
        protocols=(_IMAP,),
        modes=(_STARTTLS,),
        deviations=lambda _protocol, _timeout: (
            Greet(data=b"* OK IMAP4rev1 server ready\r\n" + _untagged("1")),
            Precede(verb="STARTTLS", data=_untagged("2")),
        ),
        decoy=Decoy(security=_IMPLICIT),
        profile="full",
    ),
    Scenario(
        name="tamper-capability-url",
        family="H",
        summary="In clear the list of capabilities has the address of a server for scripts, without TLS.",
        # The catalogue gives it to discard-pretls-state. Whether a client goes where it is sent is one question,
        # wherever the address stood.
        rules=_RULE,
        severity="medium",
        sources=("RFC 9051 section 11.3",),
        protocols=(_IMAP,),
        modes=(_STARTTLS,),
        deviations=lambda _protocol, _timeout: (Announce(lines=("IMAPSIEVE=sieve://{decoy}",)),),
        decoy=Decoy(settings={"auth": IN_CLEAR}),
        profile="full",
    ),
    Scenario(
        name="smtp-251-551-forward",
        family="J",
        summary="Inside TLS, the recipient is refused with 551 and an address at a host that takes mail in clear.",
        rules=_RULE,
        severity="low",
        sources=("RFC 5321 section 3.4",),
        protocols=(_SMTP,),
        modes=BOTH,
        deviations=lambda _protocol, _timeout: (
            Answer(verb="RCPT", reply=b"551 5.1.6 User not local; please try <bob@{decoy host}>\r\n", over_tls=True),
        ),
        # An address has no port, so the other host needs a name.
        network=REAL_PORTS,
        decoy=Decoy(settings={"auth": IN_CLEAR}),
        profile="full",
    ),
    Scenario(
        name="oauth-token-after-referral",
        family="Q",
        summary="Inside TLS, a token is answered with a referral to a server that takes it in clear.",
        rules=("token-stays-with-its-host",),
        severity="critical",
        sources=("RFC 2221 section 4.1", "RFC 7628 section 3.1"),
        protocols=(_IMAP,),
        auth="oauth",
        deviations=lambda _protocol, _timeout: _login_referral("AUTHENTICATE"),
        decoy=Decoy(settings={"auth": IN_CLEAR.for_tokens()}),
        profile="full",
    ),
    Scenario(
        name="oauth-error-points-elsewhere",
        family="Q",
        summary="The error challenge of a refused token names an http:// address as the OpenID configuration.",
        rules=("token-stays-with-its-host",),
        severity="medium",
        sources=("RFC 7628 section 3.2.2",),
        protocols=EVERY,
        auth="oauth",
        decoy=Decoy(in_error_challenge=True),
        profile="full",
    ),
)
