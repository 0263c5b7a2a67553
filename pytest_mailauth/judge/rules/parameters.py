"""Rules about what else than its version makes TLS strong: cipher suites.

Suites are judged where they were used. Where a server has every modern one, what a client offers is judged as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import ABOUT_CERTIFICATES, handshakes, spoke, went_on
from pytest_mailauth.judge.rules.negotiated import forgery, negotiated, refusal
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model.suites import ENCRYPT_THEN_MAC, Weakness, offered_weakness, weakness
from pytest_mailauth.model.terms import (
    NO_COMMON_SUITE,
    NO_COMMON_VERSION,
    HandshakeOutcome,
    Layer,
    Protocol,
    Verdict,
)
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.hello import ClientHello
    from pytest_mailauth.model.record import SessionRecord, TLSFacts
    from pytest_mailauth.model.trial import Trial

MTI: Final = 0xC02F
"""TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256."""
_MTI_NAME: Final = "ECDHE-RSA-AES128-GCM-SHA256"


@rule(
    "no-weak-ciphers",
    requirement="No cipher suite is used that is NULL, anonymous, RC4, of export strength or below 112 bits; 3DES, "
    "static RSA, and CBC without encrypt-then-MAC are better not used.",
    expected="The client offers none of these suites, and breaks off the handshake when the server has nothing else.",
    sources=("S2", "RFC 9325 section 4.1", "RFC 9325 section 4.2", "RFC 7465"),
    severity="high",
    advice="Leave the list of cipher suites as the TLS library has it, or allow only ECDHE with AES-GCM or ChaCha20.",
)
def no_weak_ciphers(trial: Trial) -> Finding:
    """Look at the suites inside which the client spoke; then at those that it offers, or at why it spoke in none."""
    if not handshakes(trial):
        return Finding(Verdict.INCONCLUSIVE, "the client never began a TLS handshake")
    used = _weak(trial)
    if used is not None:
        return _judged(trial, *used)
    obsolete = negotiated(trial)
    if obsolete is not None:
        taken = forgery(trial)
        return refusal(trial, obsolete) if taken is None else Finding(Verdict.VIOLATION, taken)
    if trial.served.tls.ciphers is None and not trial.served.tls.is_legacy:
        return _offer(trial)
    if trial.logged_in(Layer.TLS):
        return Finding(Verdict.PASS, f"logged in with {_suites(trial)}, which has none of these weaknesses")
    return _refusal(trial)


def _weak(trial: Trial) -> tuple[Weakness, str] | None:
    """Return the worst weakness of a suite in which the client spoke, with a sentence that says so, or None."""
    found = [
        (what, f"{went_on(session, facts)}: {facts.cipher}, {what.words}")
        for session in handshakes(trial)
        if (facts := session.tls) is not None and facts.cipher and spoke(session)
        if (what := weakness(facts.cipher, encrypts_then_macs=_encrypts_then_macs(facts))) is not None
    ]
    return max(found, key=lambda one: one[0].is_forbidden, default=None)


def _encrypts_then_macs(facts: TLSFacts) -> bool:
    """Return whether encrypt-then-MAC was negotiated: these servers take it from everybody who offers it."""
    return facts.client_hello is not None and ENCRYPT_THEN_MAC in facts.client_hello.extensions


def _judged(trial: Trial, what: Weakness, evidence: str) -> Finding:
    if not what.is_forbidden:
        return Finding(Verdict.NOTE, evidence, should=True)
    if what.is_anonymous and trial.declared.verify == "none":
        return Finding(Verdict.NOTE, f"{evidence}; the client was declared not to verify")
    return Finding(Verdict.VIOLATION, evidence)


def _offer(trial: Trial) -> Finding:
    """Judge what the hellos list. A suite that is offered is one that a server, or who stands before it, may choose."""
    hellos = [facts.client_hello for s in handshakes(trial) if (facts := s.tls) and facts.client_hello]
    if not hellos:
        return Finding(Verdict.INCONCLUSIVE, "no complete ClientHello came")
    listed = dict.fromkeys(code for hello in hellos for code in hello.ciphers)
    weak = [(code, what) for code in listed if (what := offered_weakness(code)) is not None]
    worst = [(code, what) for code, what in weak if what.is_forbidden]
    if not weak:
        return Finding(Verdict.PASS, f"offers {len(listed)} cipher suites, none of them weak")
    shown = ", ".join(f"0x{code:04x}, {what.words}" for code, what in (worst or weak)[:3])
    more = f" and {len(worst or weak) - 3} more" if len(worst or weak) > 3 else ""
    evidence = f"the ClientHello offers {shown}{more}"
    excused = trial.declared.verify == "none" and all(what.is_anonymous for _, what in worst)
    if worst and not excused:
        return Finding(Verdict.VIOLATION, evidence)
    return Finding(Verdict.NOTE, evidence, should=not worst)


def _refusal(trial: Trial) -> Finding:
    """Judge a handshake that came to nothing: whether it was the suite that the client did not want."""
    session = handshakes(trial)[-1]
    facts = session.tls
    ciphers = trial.served.tls.ciphers or "weak suites"
    if facts is None:
        return Finding(Verdict.INCONCLUSIVE, "the handshake had not ended")
    ended = facts.alert or facts.reason or facts.outcome
    elsewhere = _weak(trial.control) if trial.control and trial.control.served == trial.served else None
    if elsewhere is not None:
        return Finding(
            Verdict.NOTE,
            f"{ciphers} was refused by this host, not by the client: with its policy relaxed {elsewhere[1]}",
        )
    doubt = _doubt(trial, session, facts)
    if doubt is not None:
        return Finding(Verdict.INCONCLUSIVE, f"{doubt}, so nothing shows which suites it takes ({ended})")
    return Finding(Verdict.PASS, f"{ciphers} was refused: {ended}")


def _doubt(trial: Trial, session: SessionRecord, facts: TLSFacts) -> str | None:
    """Return what else than the suite may have ended the handshake, or None when it was the suite."""
    match facts.outcome:
        case HandshakeOutcome.NOT_TLS:
            return "the client did not speak TLS"
        case HandshakeOutcome.CLIENT_ALERT:
            # The ServerHello names the suite, and comes before the certificate (RFC 5246 section 7.3).
            return "the client refused the certificate" if facts.alert in ABOUT_CERTIFICATES else None
        case HandshakeOutcome.SERVER_REFUSED:
            # Suites of TLS 1.2 are nothing to a client of TLS 1.3 alone.
            known = (NO_COMMON_SUITE, NO_COMMON_VERSION)
            return None if facts.reason in known else "this server broke off the handshake"
        case HandshakeOutcome.COMPLETED if not session.closed:
            return "the handshake finished, and the client is still there"
        case _:
            return None if trial.control else "the client left, and may have done so over the certificate"


def _suites(trial: Trial) -> str:
    return ", ".join(dict.fromkeys(facts.cipher for s in handshakes(trial) if (facts := s.tls) and facts.cipher))


@rule(
    "support-mti-suite",
    requirement="A client of TLS 1.2 has TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256.",
    expected="The client logs in to a server that has this suite alone.",
    sources=("RFC 9051 section 11.1", "RFC 9325 section 4.2"),
    severity="low",
    advice="Have ECDHE with RSA and AES-128-GCM among the cipher suites of TLS 1.2.",
)
def support_mti_suite(trial: Trial) -> Finding:
    """Look for a login with the suite, or for a hello without it.

    IMAP has it as a MUST; for SMTP and POP3 there is the recommendation of RFC 9325 alone.
    """
    if trial.served.tls.ciphers != _MTI_NAME:
        return Finding(Verdict.NOT_APPLICABLE, "the server has other suites")
    last = next((facts for s in reversed(handshakes(trial)) if (facts := s.tls) is not None), None)
    hello = last.client_hello if last is not None else None
    if last is None or hello is None:
        return Finding(Verdict.INCONCLUSIVE, "the client began no TLS handshake that ended")
    if trial.logged_in(Layer.TLS):
        return Finding(Verdict.PASS, f"logged in with {_suites(trial)}")
    if not _has_tls12(hello):
        return Finding(Verdict.NOT_APPLICABLE, "this client does not speak TLS 1.2")
    if MTI in hello.ciphers:
        ended = last.alert or last.reason or last.outcome
        return Finding(Verdict.INCONCLUSIVE, f"the suite was offered, and the client did not log in ({ended})")
    missing = f"speaks TLS 1.2 and offers {len(hello.ciphers)} cipher suites, {_MTI_NAME} is none of them"
    relaxed = trial.control if trial.control and trial.control.served == trial.served else None
    if relaxed is not None and relaxed.logged_in(Layer.TLS):
        return Finding(Verdict.NOTE, f"{missing}; with this host's policy relaxed it is")
    if trial.protocol is not Protocol.IMAP:
        return Finding(Verdict.NOTE, f"{missing}; RFC 9325 section 4.2 recommends it", should=True)
    return Finding(Verdict.VIOLATION, missing)


def _has_tls12(hello: ClientHello) -> bool:
    return "1.2" in hello.versions if hello.versions else hello.offered == "1.2"
