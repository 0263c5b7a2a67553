"""Rules about what TLS used to have and nobody may accept any more: weak keys, renegotiation, compression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import handshakes, leak, operations, spoken
from pytest_mailauth.judge.rules.negotiated import NAMES, accepted, forgery, negotiated, refusal
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model.obsolete import Obsolete, offers_secure_renegotiation
from pytest_mailauth.model.terms import Certificate, HandshakeOutcome, Layer, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.hello import ClientHello
    from pytest_mailauth.model.trial import Trial

WEAK_CERTIFICATES: Final = {
    Certificate.WEAK_KEY: "its RSA key has 1024 bits",
    Certificate.SHA1: "it is signed with SHA-1",
}
_NULL_COMPRESSION: Final = (0,)


@rule(
    "no-weak-keys",
    requirement="No key exchange goes over a group of less than 2048 bits or a curve of less than 224, and no "
    "certificate is better trusted that has an RSA key of less than 2048 bits or a signature with SHA-1 or MD5.",
    expected="The client breaks off the handshake when it sees the group, the curve, or the certificate.",
    sources=("RFC 9325 section 4.5", "RFC 9155"),
    severity="medium",
    advice="Leave the security level of the TLS library at 112 bits or more (OpenSSL's level 2).",
)
def no_weak_keys(trial: Trial) -> Finding:
    """Look at whether the client went on with a weak key exchange, or logged in beside a weak certificate."""
    what = negotiated(trial)
    if what in (Obsolete.DHE_1024, Obsolete.SMALL_CURVE):
        taken = accepted(trial)
        if taken is not None:
            return Finding(Verdict.VIOLATION, f"{NAMES[what]} was all that was to be had, and {taken}")
        return refusal(trial, what)
    fault = trial.served.shown_certificate
    if fault not in WEAK_CERTIFICATES:
        return Finding(Verdict.NOT_APPLICABLE, "the keys of the server are strong")
    return _beside(trial, WEAK_CERTIFICATES[fault])


def _beside(trial: Trial, fault: str) -> Finding:
    """Judge what was done beside a weak certificate. The MUST binds the server; a client that goes on gets advice."""
    tried = handshakes(trial)
    if not tried:
        return Finding(Verdict.INCONCLUSIVE, "the client never began a TLS handshake, so it never saw the certificate")
    found, done = leak(trial, Layer.TLS), operations(trial, Layer.TLS)
    if found is not None and found.verdict is Verdict.ERROR:
        return found
    if found is not None or done:
        evidence = found.evidence if found else f"the client went on inside TLS with {spoken(done)}"
        advice = "RFC 9325 section 4.5 binds the server; for the client it is advice"
        return Finding(Verdict.NOTE, f"the certificate is weak, {fault}: {evidence}; {advice}", should=True)
    facts = tried[-1].tls
    if facts is not None and (
        facts.client_refused or (facts.outcome is HandshakeOutcome.COMPLETED and tried[-1].closed)
    ):
        return Finding(
            Verdict.PASS, f"the certificate is weak, {fault}, and was refused: {facts.alert or facts.outcome}"
        )
    why = facts.reason if facts else "it had not ended"
    return Finding(Verdict.INCONCLUSIVE, f"the handshake failed for another reason than the certificate ({why})")


@rule(
    "secure-renegotiation",
    requirement="A client of TLS 1.2 sends renegotiation_info, and breaks off when the server does not acknowledge it.",
    expected="The client breaks off the handshake with the alert handshake_failure.",
    sources=("RFC 9325 section 3.5", "RFC 5746 section 3.4"),
    severity="low",
    advice="Do not allow legacy servers (OpenSSL: clear SSL_OP_LEGACY_SERVER_CONNECT, the default of version 3).",
)
def secure_renegotiation(trial: Trial) -> Finding:
    """Look at whether the client asked for renegotiation_info, and went on without it."""
    what = negotiated(trial)
    if what is not Obsolete.NO_RENEGOTIATION_INFO:
        return Finding(Verdict.NOT_APPLICABLE, "the server knows renegotiation_info")
    taken = accepted(trial)
    if taken is not None:
        return Finding(Verdict.VIOLATION, f"the server did not acknowledge renegotiation_info, and {taken}")
    for hello in _hellos(trial):
        if (not hello.versions or "1.2" in hello.versions) and not offers_secure_renegotiation(hello):
            return Finding(Verdict.VIOLATION, "the ClientHello has neither renegotiation_info nor the suite for it")
    return refusal(trial, what)


@rule(
    "no-tls-compression",
    requirement="TLS does not compress: no method but null is offered, and none is accepted.",
    expected="The client offers no compression, and breaks off the handshake when the server chooses it.",
    sources=("RFC 9325 section 3.3", "RFC 8446 section 4.1.2"),
    severity="low",
    advice="Switch compression off (OpenSSL: SSL_OP_NO_COMPRESSION, the default since version 1.1.0).",
)
def no_tls_compression(trial: Trial) -> Finding:
    """Look at what is offered, and at whether compression was accepted.

    RFC 9325 says SHOULD NOT, since TLS 1.2 allows it; a client that speaks TLS 1.3 as well must not offer it, and to
    accept what was never offered is to accept anything.
    """
    if negotiated(trial) is not Obsolete.COMPRESSION:
        return Finding(Verdict.NOT_APPLICABLE, "the server does not compress")
    taken = forgery(trial)
    offering = [hello for hello in _hellos(trial) if hello.compression not in ((), _NULL_COMPRESSION)]
    if taken is not None:
        verdict = Verdict.NOTE if offering else Verdict.VIOLATION
        said = "" if offering else " without having offered it"
        return Finding(
            verdict, f"the server chose DEFLATE, and the client took it{said}: {taken}", should=bool(offering)
        )
    for hello in offering:
        methods = ", ".join(map(str, hello.compression))
        if "1.3" in hello.versions:
            return Finding(
                Verdict.VIOLATION, f"the ClientHello is for TLS 1.3 and offers compression (methods {methods})"
            )
        return Finding(Verdict.NOTE, f"the ClientHello offers compression (methods {methods})", should=True)
    return refusal(trial, Obsolete.COMPRESSION)


def _hellos(trial: Trial) -> list[ClientHello]:
    return [facts.client_hello for s in handshakes(trial) if (facts := s.tls) and facts.client_hello]
