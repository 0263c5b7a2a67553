"""Classes E and O: what a client says between STARTTLS and TLS, and what it keeps of what it was told in clear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.scenarios.handshakes import always, row
from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.judge.scenarios.starttls import STARTTLS_VERB
from pytest_mailauth.model.config import IN_CLEAR, AuthPolicy
from pytest_mailauth.model.deviations import Agree, Announce, Answer, Delay, Deviation, Greet, GreetAgain, Withhold
from pytest_mailauth.model.exchanges import CAPABILITIES
from pytest_mailauth.model.terms import Protocol, Security

if TYPE_CHECKING:
    from pytest_mailauth.judge.scenarios.scenario import Deviations

_SMTP, _POP3, _IMAP = Protocol.SMTP, Protocol.POP3, Protocol.IMAP

_GREETING: Final = b"* OK IMAP4rev1 server ready\r\n"

_OFFERED: Final = {_SMTP: "AUTH {}", _POP3: "SASL {}", _IMAP: "{}"}

_WITHHELD: Final = 0.4
"""Share of the time-out for which a reply is held back."""


def _in_clear(*mechanisms: str) -> Deviations:
    """In clear the list names these mechanisms, true or not."""

    def make(protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
        names = [f"AUTH={name}" for name in mechanisms] if protocol is _IMAP else [" ".join(mechanisms)]
        return (Announce(lines=tuple(_OFFERED[protocol].format(name) for name in names)),)

    return make


def _nothing_inside(protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    """Inside TLS the list is empty."""
    empty = {_SMTP: b"250 localhost\r\n", _POP3: b"+OK\r\n.\r\n", _IMAP: b"{tag} OK done\r\n"}[protocol]
    return (Answer(verb=CAPABILITIES[protocol], reply=empty, over_tls=True),)


def _unanswered(protocol: Protocol, _timeout: float) -> tuple[Deviation, ...]:
    """Inside TLS no list is to be had, in a greeting neither."""
    greeting = (Greet(data=_GREETING),) if protocol is _IMAP else ()
    return (*greeting, Answer(verb=CAPABILITIES[protocol], reply=b"", over_tls=True))


def _all(*makers: Deviations) -> Deviations:
    return lambda protocol, timeout: tuple(x for make in makers for x in make(protocol, timeout))


def _withheld(_protocol: Protocol, timeout: float) -> tuple[Deviation, ...]:
    return (Withhold(patience=_WITHHELD * timeout),)


_nothing: Final = always()

_STATE: Final[dict[str, Any]] = {
    "severity": "medium",
    "sources": ("RFC 3207 section 4.2", "RFC 2595 section 4", "RFC 9051 section 6.2.1"),
}
_FROM_IMAP: Final[dict[str, Any]] = {
    "severity": "medium",
    "sources": ("RFC 9051 section 6.2.1",),
    "protocols": (_IMAP,),
}

ROWS: Final = (
    Scenario(
        name="capabilities-change-after-tls",
        family="E",
        summary="In clear the list names LOGIN alone, inside TLS every mechanism but that.",
        rules=("relearn-capabilities-after-tls", "discard-pretls-state"),
        modes=(Security.STARTTLS,),
        settings={"auth": AuthPolicy(mechanisms=("SCRAM-SHA-256", "PLAIN"))},
        deviations=_in_clear("LOGIN"),
        control=_nothing,
        **_STATE,
    ),
    row(
        "capabilities-only-before-tls",
        "discard-pretls-state",
        "In clear the list names ways to log in, and inside TLS it is empty.",
        _all(_in_clear("PLAIN", "LOGIN"), _nothing_inside),
        control=_nothing_inside,
        **_STATE,
    ),
    row(
        "capability-in-starttls-ok",
        "discard-pretls-state",
        "The reply to STARTTLS lists capabilities; inside TLS every reply is held back.",
        _all(
            always(Agree(reply=b"{tag} OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=LOGIN] begin TLS\r\n")),
            _withheld,
        ),
        control=_withheld,
        waits=True,
        patience=4,
        **_FROM_IMAP,
    ),
    row(
        "unsolicited-capability-before-tls",
        "discard-pretls-state",
        "Capabilities that nobody asked for follow the greeting; they name a mechanism that is not offered inside TLS.",
        always(Greet(data=_GREETING + b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\n")),
        settings={"auth": AuthPolicy(mechanisms=("LOGIN",))},
        control=always(Greet(data=_GREETING)),
        **_FROM_IMAP,
    ),
    row(
        "unsolicited-capability-before-starttls-ok",
        "discard-pretls-state",
        "Capabilities that nobody asked for stand before the reply to STARTTLS; they name a mechanism that is not "
        "offered inside TLS.",
        always(Agree(reply=b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\n{tag} OK begin TLS\r\n")),
        settings={"auth": AuthPolicy(mechanisms=("LOGIN",))},
        control=_nothing,
        variant_of="unsolicited-capability-before-tls",
        **_FROM_IMAP,
    ),
    row(
        "ehlo-not-repeated",
        "relearn-capabilities-after-tls",
        "An honest server: a client should introduce itself to it again inside TLS.",
        _nothing,
        severity="low",
        sources=("RFC 3207 section 4.2",),
        protocols=(_SMTP,),
    ),
    # Not IMAP, where an untagged OK may come at any time and tags keep replies from being shifted. Not POP3, whose
    # greeting is a sound reply to whatever comes first, so that nobody can notice. The catalogue has all three.
    row(
        "starttls-then-second-greeting",
        "check-starttls-reply",
        "Inside TLS the server greets again, and every further reply is held back.",
        _all(always(GreetAgain(data=b"220 localhost ESMTP ready\r\n")), _withheld),
        sources=("RFC 5321 section 4.2", "Opossum (2025)"),
        protocols=(_SMTP,),
        control=_withheld,
        waits=True,
        patience=4,
    ),
    row(
        "starttls-reply-withheld",
        "nothing-between-starttls-and-tls",
        "The reply to STARTTLS comes late.",
        lambda protocol, timeout: (Delay(verb=STARTTLS_VERB[protocol], seconds=_WITHHELD * timeout),),
        severity="medium",
        sources=("RFC 2595 section 3.1", "RFC 2595 section 4", "RFC 3207 section 4"),
        waits=True,
    ),
    # Of class F in the catalogue; it is about what a client sends, and nothing is injected.
    row(
        "client-pipelines-after-starttls",
        "nothing-between-starttls-and-tls",
        "An honest server, which looks at what comes in clear behind STARTTLS.",
        _nothing,
        severity="medium",
        sources=("RFC 3207 section 4", "RFC 2595 section 3.1", "RFC 2595 section 4"),
    ),
    Scenario(
        name="auth-ir-sent-before-capability",
        family="O",
        # Not only late, as in the catalogue: so whoever has the list by chance cannot be taken for one that waited.
        summary="Inside TLS the question what is offered is not answered; every other command is.",
        rules=("offered-mechanisms-only",),
        severity="medium",
        sources=("RFC 4954 section 4", "RFC 4954 section 3"),
        deviations=_unanswered,
        waits=True,
    ),
    Scenario(
        name="auth-pipelined-with-starttls",
        family="O",
        summary="The server offers PIPELINING, and authentication in clear.",
        rules=("nothing-between-starttls-and-tls",),
        severity="critical",
        sources=("RFC 3207 section 4",),
        modes=(Security.STARTTLS,),
        settings={"auth": IN_CLEAR},
    ),
)
