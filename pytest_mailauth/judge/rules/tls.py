"""Rules about the parameters of TLS. What was negotiated is judged, session by session; settings only explain it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import ABOUT_CERTIFICATES, handshakes, spoke, went_on
from pytest_mailauth.judge.rules.negotiated import downgraded, negotiated, refusal
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model import events as e
from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.hello import in_words, rank
from pytest_mailauth.model.obsolete import Obsolete
from pytest_mailauth.model.terms import (
    NO_COMMON_SUITE,
    NO_COMMON_VERSION,
    TLS_VERSIONS,
    HandshakeOutcome,
    Layer,
    Verdict,
)
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.hello import ClientHello
    from pytest_mailauth.model.record import SessionRecord, TLSFacts
    from pytest_mailauth.model.trial import Trial

FLOOR: Final = "1.2"
"""The oldest version that may be used at all (RFC 8996 sections 4 and 5)."""

_OLD_SUITES: Final = (
    range(0x0001, 0x003B),  # RFC 5246 appendix A.5 and the versions before it, RFC 2712, RFC 4785
    range(0x0041, 0x0047),  # Camellia, RFC 5932
    range(0x0084, 0x009C),  # Camellia, pre-shared keys (RFC 4279), SEED (RFC 4162)
    range(0xC001, 0xC023),  # elliptic curves (RFC 8422), SRP (RFC 5054)
)
"""Cipher suites that exist in TLS 1.0 and 1.1; all others came with TLS 1.2 or later."""


@rule(
    "tls12-or-newer",
    requirement="The client negotiates TLS 1.2 or newer, or its declared minimum, and nothing older.",
    expected="The client refuses TLS 1.0 and 1.1 during the handshake, and logs in over TLS 1.2 and 1.3.",
    sources=("S2", "S5", "S9", "S12", "RFC 8996 section 4", "RFC 8997", "RFC 9325 section 3.1.1"),
    severity="high",
    advice="Set the minimum TLS version to 1.2, or to the declared minimum; allow 1.3.",
)
def tls12_or_newer(trial: Trial) -> Finding:
    """Look at the oldest version in which the client spoke, or at why it spoke in none."""
    begun = handshakes(trial)
    if not begun:
        return Finding(Verdict.INCONCLUSIVE, "the client never began a TLS handshake")
    used = _used(trial)
    if used is not None:
        return _judged(trial, *used)
    last = next(((s, s.tls) for s in reversed(begun) if s.tls is not None), None)
    if last is None:
        return Finding(Verdict.INCONCLUSIVE, "the handshake had not ended")
    session, facts = last
    if negotiated(trial) is Obsolete.SSL3:
        return refusal(trial, Obsolete.SSL3)
    version = _newest(trial.served.tls)
    # The comparison is with the same server, where this host's own policy was relaxed.
    elsewhere = _used(trial.control) if trial.control and trial.control.served == trial.served else None
    if elsewhere is not None and elsewhere[0] < FLOOR:
        return Finding(
            Verdict.NOTE,
            f"TLS {version} was refused by this host, not by the client: with its policy relaxed {elsewhere[1]}",
        )
    ended = facts.alert or facts.reason or facts.outcome
    doubt = _doubt(trial, session, facts)
    if doubt is not None:
        return Finding(Verdict.INCONCLUSIVE, f"{doubt}, so nothing shows which versions it takes ({ended})")
    if version < FLOOR:
        return Finding(Verdict.PASS, f"TLS {version} was refused: {ended}")
    if version < trial.declared.min_tls:
        return Finding(Verdict.PASS, f"refused TLS {version}, as declared")
    # One version alone is a legal floor or ceiling: worth knowing, no violation.
    return Finding(Verdict.NOTE, f"does not speak TLS {version}: {ended}")


def _judged(trial: Trial, version: str, evidence: str) -> Finding:
    """Judge the oldest version that was used."""
    declared = trial.declared.min_tls
    if rank(version) < rank(declared):
        # RFC 9325 allows TLS 1.2 to a client that says nothing. One that declares 1.3 and takes 1.2 does not have the
        # minimum that its user believes in, and a declaration that cannot fail would be worth nothing.
        beyond = f"; its declared minimum is {declared}" if declared != FLOOR else ""
        return Finding(Verdict.VIOLATION, evidence + beyond)
    if rank(version) < rank(FLOOR):
        return Finding(Verdict.NOTE, f"{evidence}; it was declared to accept that")
    if trial.served.tls == TLSPolicy():
        return _listed(trial, version)
    if trial.logged_in(Layer.TLS):
        return Finding(Verdict.PASS, f"logged in over TLS {version}")
    return Finding(Verdict.NOTE, f"{evidence}, and did not log in")


def _listed(trial: Trial, version: str) -> Finding:
    """Judge what a client lists that an honest server would never choose: it is prepared to negotiate all of it.

    That is what the list is for (RFC 8446 section 4.2.1); without one a hello names the newest version alone.
    """
    hellos = [facts.client_hello for s in handshakes(trial) if (facts := s.tls) and facts.client_hello]
    listed = {one for hello in hellos for one in hello.versions}
    old = sorted((one for one in listed if 0 <= rank(one) < rank(FLOOR)), key=rank)
    if old:
        evidence = f"the ClientHello says that the client takes {', '.join(map(in_words, old))}"
        if all(rank(one) >= rank(trial.declared.min_tls) for one in old):
            return Finding(Verdict.NOTE, f"{evidence}; it was declared to accept that")
        return Finding(Verdict.VIOLATION, evidence)
    logged_in = "logged in" if trial.logged_in(Layer.TLS) else "spoke, and did not log in,"
    if not trial.logged_in(Layer.TLS) or not all(hello.versions for hello in hellos):
        unsaid = "" if all(hello.versions for hello in hellos) else "; its ClientHello does not say what else it takes"
        return Finding(Verdict.NOTE, f"{logged_in} over TLS {version}{unsaid}")
    return Finding(Verdict.PASS, f"logged in over TLS {version}, and lists nothing older than TLS {FLOOR}")


def _used(trial: Trial) -> tuple[str, str] | None:
    """Return the oldest version inside which the client spoke, with a sentence that says so, or None."""
    spoken = [(s.tls.version, went_on(s, s.tls)) for s in handshakes(trial) if s.tls and s.tls.version and spoke(s)]
    return min(spoken, key=lambda one: rank(one[0]), default=None)


def _doubt(trial: Trial, session: SessionRecord, facts: TLSFacts) -> str | None:
    """Return what else than the version may have ended the handshake, or None when it was the version."""
    policy, hello = trial.served.tls, facts.client_hello
    if hello is not None and hello.versions and not set(hello.versions) & set(_served(policy)):
        return None
    if policy.is_legacy and _newest(policy) >= FLOOR:
        return "old and new versions were served, and the client spoke in none"
    match facts.outcome:
        case HandshakeOutcome.NOT_TLS:
            return "the client did not speak TLS"
        case HandshakeOutcome.CLIENT_ALERT:
            return "the client refused the certificate" if facts.alert in ABOUT_CERTIFICATES else None
        case HandshakeOutcome.SERVER_REFUSED:
            return _refused_by_server(policy, facts, hello)
        case HandshakeOutcome.COMPLETED if not session.tls_in:
            return f"the TLS {facts.version} handshake finished, and the client stayed silent"
        case _:
            # Some clients send no alert over a bad certificate. A control that logged in shows that they trust it.
            return None if trial.control else "the client left, and may have done so over the certificate"


def _refused_by_server(policy: TLSPolicy, facts: TLSFacts, hello: ClientHello | None) -> str | None:
    if facts.reason == NO_COMMON_VERSION:
        return None
    if facts.reason != NO_COMMON_SUITE:
        return "this server broke off the handshake"
    offered = hello.ciphers if hello is not None else ()
    if policy.is_legacy and not any(suite in old for suite in offered for old in _OLD_SUITES):
        return None
    if not policy.is_legacy and policy.ciphers is None:
        return None
    return "this server has no cipher suite for the client"


def _served(policy: TLSPolicy) -> tuple[str, ...]:
    return tuple(version for version in TLS_VERSIONS if policy.min_version <= version <= _newest(policy))


def _newest(policy: TLSPolicy) -> str:
    return policy.max_version or TLS_VERSIONS[-1]


@rule(
    "no-version-fallback",
    requirement="After a handshake that failed, no ClientHello asks for an older version of TLS, and a client of "
    "TLS 1.3 is not led down by a server that knows 1.3, too.",
    expected="The client reports the failure, or tries again with the same versions. When the random of the server "
    "ends with the sign of a downgrade, it breaks off.",
    sources=("RFC 9325 section 3.1.3", "RFC 8446 section 4.1.3", "RFC 8446 appendix D.1"),
    severity="high",
    advice="Offer every version that is acceptable in one ClientHello, and take a failure for a failure.",
)
def no_version_fallback(trial: Trial) -> Finding:
    """Compare the newest version of each ClientHello with that of those before it, whose handshakes had failed.

    From TLS 1.2 nobody may fall back; from 1.3 to 1.2 it is not recommended. What a client says in clear after a
    failure is judged by the rules about that.
    """
    if negotiated(trial) is Obsolete.DOWNGRADE_MARKER:
        return downgraded(trial)
    hellos = [(session, seen.hello) for session in trial.sessions for seen in session.of(e.HelloSeen)]
    done = [s for s, _ in hellos if (facts := s.tls) and facts.outcome is HandshakeOutcome.COMPLETED]
    if not hellos or (done and done[0] is hellos[0][0]):
        return Finding(Verdict.INCONCLUSIVE, "no handshake of this client failed")
    first = hellos[0][1].offered
    lowest = min((hello.offered for _, hello in hellos), key=rank)
    if rank(lowest) >= rank(first):
        times = f"{len(hellos)} times" if len(hellos) > 1 else "once"
        return Finding(Verdict.PASS, f"asked for TLS {first} {times}, and for nothing older")
    evidence = f"the handshake for {in_words(first)} failed, and the client asked for {in_words(lowest)}"
    if rank(lowest) < rank(FLOOR):
        return Finding(Verdict.VIOLATION, evidence)
    return Finding(Verdict.NOTE, f"{evidence}, which RFC 8446 appendix D.1 does not recommend", should=True)
