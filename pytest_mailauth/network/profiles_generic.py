"""Kinds of servers that have no name: what they do is what the source document and RFCs say.

Their host names end in a domain that nobody can have (RFC 2606), and their words are invented, so that a client cannot
rely on those of this package.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.terms import PortState, Protocol, Refusal, Security
from pytest_mailauth.network import sources as src
from pytest_mailauth.network.profile import Provider, Service, Source, Wording

_ANY: Final = ("PLAIN", "LOGIN")


class _Words(NamedTuple):
    """What a server says: its greeting and its refusals."""

    greeting: str
    refusals: dict[Refusal, str]

    @property
    def invented(self) -> dict[str, Any]:
        """The same as settings of a service."""
        texts = {refusal: Wording(text, invented=True) for refusal, text in self.refusals.items()}
        return {"greeting": Wording(self.greeting, invented=True), "texts": texts}


_ISP: Final = {
    Protocol.SMTP: _Words(
        "220 smtp.isp.example ESMTP ISP Mail, have a nice day",
        {
            Refusal.INVALID: "535 5.7.8 ISP Mail does not know this user name and password",
            Refusal.LOCKED: "535 5.7.8 ISP Mail has locked this account, see https://help.isp.example/locked",
        },
    ),
    Protocol.POP3: _Words(
        "+OK ISP Mail POP3, have a nice day",
        {
            Refusal.INVALID: "-ERR [AUTH] ISP Mail does not know this user name and password",
            Refusal.LOCKED: "-ERR [AUTH] ISP Mail has locked this account, see https://help.isp.example/locked",
        },
    ),
    Protocol.IMAP: _Words(
        "* OK ISP Mail IMAP, have a nice day",
        {
            Refusal.INVALID: "NO [AUTHENTICATIONFAILED] ISP Mail does not know this user name and password",
            Refusal.LOCKED: "NO [CONTACTADMIN] ISP Mail has locked this account, see https://help.isp.example/locked",
        },
    ),
}
_STRICT_WORDS: Final = _Words(
    "220 submit.strict.example ESMTP Submission for registered users",
    {
        Refusal.INVALID: "535 5.7.8 Authentication failed; the attempt was logged",
        Refusal.ENCRYPTION_NEEDED: "538 5.7.11 Start TLS first; this server accepts nothing in clear",
        Refusal.RATE_LIMITED: "454 4.7.0 Slow down; too many attempts from this address",
    },
)


def _generic(
    protocol: Protocol,
    security: Security,
    host: str,
    port: int,
    located: Source,
    *,
    mechanisms: tuple[str, ...] = _ANY,
    offered: Source = src.S9,
    port_state: PortState = PortState.OPEN,
    words: _Words | None = None,
) -> Service:
    return Service(
        protocol=protocol,
        security=security,
        host=host,
        port=port,
        located=located,
        mechanisms=mechanisms,
        offered=offered,
        password_commands="tls" if mechanisms == _ANY else "never",
        port_state=port_state,
        **(words or _ISP[protocol]).invented,
    )


ISP_BLOCKS_25: Final = Provider(
    name="isp-blocks-25",
    title="A network whose provider blocks port 25",
    services=(
        _generic(Protocol.SMTP, Security.STARTTLS, "smtp.isp.example", 587, src.S9),
        _generic(Protocol.SMTP, Security.IMPLICIT, "smtp.isp.example", 465, src.IMPLICIT),
        _generic(Protocol.SMTP, Security.NONE, "smtp.isp.example", 25, src.S11, port_state=PortState.TIMEOUT),
        _generic(Protocol.POP3, Security.IMPLICIT, "pop.isp.example", 995, src.S13),
        _generic(Protocol.POP3, Security.STARTTLS, "pop.isp.example", 110, src.S13),
        _generic(Protocol.IMAP, Security.IMPLICIT, "imap.isp.example", 993, src.S14),
        _generic(Protocol.IMAP, Security.STARTTLS, "imap.isp.example", 143, src.S14),
    ),
    notes='Port 25, which is `security="none"`, never answers: the attempt to connect times out.',
    sources=(src.S7, src.S8, src.S11, src.EXAMPLE_NAMES),
)

_STRICT: Final = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")

STRICT_SUBMISSION: Final = Provider(
    name="strict-submission",
    title="A strict submission server",
    services=(
        _generic(
            Protocol.SMTP,
            Security.IMPLICIT,
            "submit.strict.example",
            465,
            src.IMPLICIT,
            mechanisms=_STRICT,
            offered=src.SCRAM,
            words=_STRICT_WORDS,
        ),
        _generic(
            Protocol.SMTP,
            Security.STARTTLS,
            "submit.strict.example",
            587,
            src.SUBMISSION,
            mechanisms=_STRICT,
            offered=src.SCRAM,
            words=_STRICT_WORDS,
        ),
    ),
    notes="Sending only, TLS 1.2 or newer, and no mechanism that carries the password itself.",
    sources=(src.S9, src.IMPLICIT, src.SCRAM, src.EXAMPLE_NAMES),
)


def _legacy(protocol: Protocol, security: Security, host: str, port: int, located: Source) -> Service:
    old = (*_ANY, "CRAM-MD5", "APOP") if protocol is Protocol.POP3 else (*_ANY, "CRAM-MD5")
    return Service(
        protocol=protocol,
        security=security,
        host=host,
        port=port,
        located=located,
        mechanisms=old,
        before_tls=old if security is Security.STARTTLS else (),
        offered=src.APOP if protocol is Protocol.POP3 else src.CRAM,
        password_commands="always",
        tls=TLSPolicy(max_version="1.0"),
    )


LEGACY: Final = Provider(
    name="legacy",
    title="A server that nobody has touched for years",
    services=(
        _legacy(Protocol.SMTP, Security.STARTTLS, "smtp.legacy.example", 25, src.S9),
        _legacy(Protocol.SMTP, Security.IMPLICIT, "smtp.legacy.example", 465, src.IMPLICIT),
        _legacy(Protocol.POP3, Security.STARTTLS, "pop.legacy.example", 110, src.S13),
        _legacy(Protocol.POP3, Security.IMPLICIT, "pop.legacy.example", 995, src.S13),
        _legacy(Protocol.IMAP, Security.STARTTLS, "imap.legacy.example", 143, src.S14),
        _legacy(Protocol.IMAP, Security.IMPLICIT, "imap.legacy.example", 993, src.S14),
    ),
    notes="TLS 1.0 and nothing newer, and passwords in clear for whoever sends them.",
    sources=(src.S8, src.S12, src.OLD_TLS, src.EXAMPLE_NAMES),
)
