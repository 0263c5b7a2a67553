"""What became of a handshake in which nothing but one obsolete parameter was to be had. Evidence, for several rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import ABOUT_CERTIFICATES, handshakes, spoke, went_on
from pytest_mailauth.model.deviations import Negotiate
from pytest_mailauth.model.hello import in_words
from pytest_mailauth.model.obsolete import WENT_ON, Obsolete
from pytest_mailauth.model.suites import RC4, TRIPLE_DES, offered_weakness
from pytest_mailauth.model.terms import NO_COMMON_SUITE, NO_COMMON_VERSION, HandshakeOutcome, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.record import SessionRecord, TLSFacts
    from pytest_mailauth.model.trial import Trial

_SSL3_SUITES: Final = range(0x0001, 0x003B)
"""Suites that SSL 3.0 can have (RFC 6101, RFC 3268)."""
_DHE_SUITES: Final = frozenset(
    {*range(0x0011, 0x0017), 0x0032, 0x0033, 0x0038, 0x0039, 0x0040, 0x0044, 0x0045, 0x0067, 0x006A, 0x006B}
    | {*range(0x0087, 0x0089), 0x009E, 0x009F, 0x00A2, 0x00A3, 0xC09E, 0xC09F, 0xCCAA}
)
"""Suites with an ephemeral Diffie-Hellman exchange over a finite field, as the registry of IANA has them."""

_NEEDS: Final[dict[Obsolete, Callable[[int], bool]]] = {
    Obsolete.SSL3: lambda code: code in _SSL3_SUITES,
    Obsolete.RC4: lambda code: offered_weakness(code) is RC4,
    Obsolete.TRIPLE_DES: lambda code: offered_weakness(code) is TRIPLE_DES,
    Obsolete.DHE_1024: lambda code: code in _DHE_SUITES,
}
"""The suites that a client has to offer to be able to accept it; others are not refused for their suites."""

NAMES: Final = {
    Obsolete.SSL3: "SSL 3.0",
    Obsolete.RC4: "RC4",
    Obsolete.TRIPLE_DES: "3DES",
    Obsolete.EXPORT: "a key of export strength",
    Obsolete.DHE_1024: "a group of 1024 bits",
    Obsolete.SMALL_CURVE: "the curve secp192r1",
    Obsolete.NO_RENEGOTIATION_INFO: "a server without renegotiation_info",
    Obsolete.COMPRESSION: "compression",
    Obsolete.DOWNGRADE_MARKER: "the sign of a downgrade",
}


def negotiated(trial: Trial) -> Obsolete | None:
    """Return the obsolete parameter that the server negotiates, or None for an honest server."""
    return next((d.what for d in trial.served.deviations if isinstance(d, Negotiate)), None)


def forgery(trial: Trial) -> str | None:
    """Return that the client went on with a forged flight, as evidence, or None."""
    for session in handshakes(trial):
        facts = session.tls
        if facts is not None and facts.reason == WENT_ON:
            return f"the server chose {in_words(facts.version)} ({facts.cipher}), and {WENT_ON}"
    return None


def accepted(trial: Trial) -> str | None:
    """Return that the client accepted what the server negotiated, as evidence, or None."""
    for session in handshakes(trial):
        if session.tls is not None and session.tls.version and spoke(session):
            return went_on(session, session.tls)
    return forgery(trial)


def refusal(trial: Trial, what: Obsolete) -> Finding:
    """Judge a handshake that came to nothing: whether it was this parameter that the client did not want."""
    begun = handshakes(trial)
    if not begun:
        return Finding(Verdict.INCONCLUSIVE, "the client never began a TLS handshake")
    session, name = begun[-1], NAMES[what]
    facts = session.tls
    if facts is None:
        return Finding(Verdict.INCONCLUSIVE, "the handshake had not ended")
    ended = facts.alert or facts.reason or facts.outcome
    # The comparison is with the same server, where this host's own policy was relaxed.
    elsewhere = accepted(trial.control) if trial.control and trial.control.served == trial.served else None
    if elsewhere is not None:
        return Finding(
            Verdict.NOTE, f"{name} was refused by this host, not by the client: with its policy relaxed {elsewhere}"
        )
    doubt = _doubt(trial, what, session, facts)
    if doubt is not None:
        return Finding(Verdict.INCONCLUSIVE, f"{doubt}, so nothing shows whether it takes {name} ({ended})")
    return Finding(Verdict.PASS, f"{name} was refused: {ended}")


def downgraded(trial: Trial) -> Finding:
    """Judge what a client does whose server says by its random that the version could be newer."""
    hellos = [facts.client_hello for s in handshakes(trial) if (facts := s.tls) and facts.client_hello]
    if hellos and not any("1.3" in hello.versions for hello in hellos):
        return Finding(Verdict.NOT_APPLICABLE, "this client does not speak TLS 1.3, so TLS 1.2 is no step down")
    taken = forgery(trial)
    if taken is not None:
        return Finding(Verdict.VIOLATION, f"the server's random ends with the sign of a downgrade: {taken}")
    return refusal(trial, Obsolete.DOWNGRADE_MARKER)


def _doubt(trial: Trial, what: Obsolete, session: SessionRecord, facts: TLSFacts) -> str | None:
    """Return what else than the parameter may have ended the handshake, or None when it was the parameter."""
    match facts.outcome:
        case HandshakeOutcome.NOT_TLS:
            return "the client did not speak TLS"
        case HandshakeOutcome.CLIENT_ALERT:
            return "the client refused the certificate" if facts.alert in ABOUT_CERTIFICATES else None
        case HandshakeOutcome.SERVER_REFUSED:
            return _refused_by_server(what, facts)
        case HandshakeOutcome.COMPLETED if not session.closed:
            return "the handshake finished, and the client is still there"
        case _:
            # Some clients send no alert over a bad certificate. A control that logged in shows that they trust it.
            return None if trial.control else "the client left, and may have done so over the certificate"


def _refused_by_server(what: Obsolete, facts: TLSFacts) -> str | None:
    hello, needs = facts.client_hello, _NEEDS.get(what)
    # A client that speaks only versions which have no such thing is as safe.
    if facts.reason == NO_COMMON_VERSION:
        return None
    if facts.reason != NO_COMMON_SUITE or hello is None or needs is None:
        return "this server broke off the handshake"
    return "this server has no cipher suite for the client" if any(map(needs, hello.ciphers)) else None
