"""Rules about the server's certificate: who was trusted that should not have been, and what a client overlooked in it.

On the wire an accepted certificate looks the same whatever was not checked. Which rule is broken is therefore read off
what the same client did elsewhere, and each accepted certificate breaks one rule and no other:

- A client that breaks off once it has logged in, where with the honest server it goes to work, checks too late:
  ``verify-before-credentials``. The certificate was looked at, and the password was gone.
- A client that takes a certificate for quite another host, too, looks at no name: ``verify-hostname``, and that its
  wildcards are strict cannot be seen. One that refuses that and takes a name that is almost the host's compares
  carelessly: ``strict-name-matching``.
- A client that takes a self-signed certificate from anybody has no use for an exception: ``verify-chain``. One that
  refuses it, and takes it from a host that it knows or that its user has accepted something of, extends the exception:
  ``no-blanket-exception``; and one that takes it when nobody has spoken of TLS has an unsafe default:
  ``verify-before-credentials``.

A bare record has nothing to compare with: there ``verify-before-credentials`` is asked about every fault.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import handshakes, leak, operations, spoken, work
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.resumption import taken_elsewhere
from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import Swap
from pytest_mailauth.model.terms import (
    ALMOST_FOR_THE_HOST,
    FOR_ANOTHER_HOST,
    NO_COMMON_SUITE,
    NO_COMMON_VERSION,
    SOUND,
    Certificate,
    HandshakeOutcome,
    Layer,
    Verdict,
)
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial

TOO_LATE: Final = "verify-before-credentials"
CHAIN: Final = "verify-chain"
HOST: Final = "verify-hostname"
MATCHING: Final = "strict-name-matching"
EXCEPTION: Final = "no-blanket-exception"

_ADVISORY: Final[dict[Certificate, str]] = {
    Certificate.INCOMPLETE_CHAIN: "an honest client may fetch or remember the missing intermediate",
    Certificate.NO_SAN: "RFC 7817 allows the CN, RFC 9525 forbids it",
    Certificate.WEAK_KEY: "RFC 9325 section 4.5 binds the server; for the client it is advice",
    Certificate.SHA1: "RFC 9325 section 4.5 binds the server; for the client it is advice",
    Certificate.MAIL_DOMAIN: "RFC 7817 section 3 lets a client look for the domain of the mail address",
}
"""Faults that an honest client may accept, each with the reason: accepting them is a NOTE."""

_REFUSALS: Final = {
    HandshakeOutcome.CLIENT_ALERT: "refused with the alert {alert}",
    HandshakeOutcome.CLIENT_LEFT_DURING: "left during the handshake",
    HandshakeOutcome.CLIENT_LEFT_AFTER: "left after the handshake without sending anything",
}

_MATTERS: Final = {
    TOO_LATE: "that it checks too late",
    CHAIN: "that it does not check the chain",
    HOST: "that it looks for no name, or for another one",
    MATCHING: "that it compares names carelessly",
    EXCEPTION: "that it extends an exception",
}
"""What each rule says of a client that broke it, for the others."""


@rule(
    CHAIN,
    requirement="The certificate has a valid path to a trusted authority: signatures, dates, constraints, purpose.",
    expected="The client breaks off the handshake with an alert, or leaves right after it, without logging in.",
    sources=("S17", "RFC 8314 section 5.3", "RFC 5280 section 6"),
    severity="critical",
    advice="Use a verifying TLS context (in Python: ssl.create_default_context()), and switch none of its checks off.",
)
def verify_chain(trial: Trial) -> Finding:
    """Look for a password or an operation behind a certificate that nobody trusted vouches for, or behind none."""
    return _judged(CHAIN, trial)


@rule(
    HOST,
    requirement="The certificate names the host that the client was told to connect to, whatever the DNS says.",
    expected="The client breaks off the handshake with an alert, or leaves right after it, without logging in.",
    sources=("S4", "S8", "RFC 7817 section 3", "RFC 9525 section 6", "RFC 4954 section 14"),
    severity="critical",
    advice="Tell the TLS library the host name that the user gave you (in Python: server_hostname), to be checked.",
)
def verify_hostname(trial: Trial) -> Finding:
    """Look for a password or an operation behind a certificate for another host."""
    if trial.earlier is not None and trial.earlier.other_host:
        return taken_elsewhere(trial, too_late=False)
    return _judged(HOST, trial)


@rule(
    MATCHING,
    requirement="Names are compared whole: a wildcard is one label, an address is an iPAddress, a URI is no name.",
    expected="The client leaves where the host only seems to be named, and takes a wildcard, an address or capitals.",
    sources=("RFC 7817 section 3", "RFC 9525 section 6.3", "RFC 9525 section 6.4"),
    severity="high",
    advice="Leave the comparison of names to the TLS library; write no pattern matching of your own.",
)
def strict_name_matching(trial: Trial) -> Finding:
    """Look for a password behind almost the name of the host, or for a refusal of a certificate that has it."""
    fault = _fault(trial)
    if fault not in SOUND - {Certificate.VALID}:
        return _judged(MATCHING, trial)
    if not handshakes(trial):
        return Finding(Verdict.INCONCLUSIVE, "the client never began a TLS handshake, so it never saw the certificate")
    if trial.logged_in(Layer.TLS) or operations(trial, Layer.TLS):
        return Finding(Verdict.PASS, f"{fault}: the client found the host in the certificate, and went on")
    found = _refused(trial, str(fault))
    if found.verdict is not Verdict.PASS:
        return found
    return Finding(Verdict.NOTE, f"{found.evidence}, though the certificate is for the host", should=True)


@rule(
    TOO_LATE,
    requirement="A password goes only to a server whose certificate chain and host name were verified.",
    expected="The client breaks off the handshake with an alert, or leaves right after it, without logging in.",
    sources=("S9", "RFC 8314 section 5.3", "RFC 7817 section 3", "RFC 4954 section 14"),
    severity="critical",
    advice="Use a verifying TLS context with the host name (in Python: ssl.create_default_context()).",
)
def verify_before_credentials(trial: Trial) -> Finding:
    """Look for a client that left after its login because of the certificate, or that verifies on request alone."""
    if trial.earlier is not None and trial.earlier.other_host:
        return taken_elsewhere(trial, too_late=True)
    return _judged(TOO_LATE, trial)


@rule(
    EXCEPTION,
    requirement="An exception that a user has made holds for one certificate and for one account.",
    expected="Every other certificate is verified as ever, at each connection.",
    sources=("RFC 8314 section 5.4", "CVE-2020-24661"),
    severity="high",
    advice="Keep the fingerprint of an accepted certificate with the account; compare it, and verify everything else.",
)
def no_blanket_exception(trial: Trial) -> Finding:
    """Look for a password behind a certificate that was not the accepted one, or not accepted for this account."""
    return _judged(EXCEPTION, trial)


def _judged(name: str, trial: Trial) -> Finding:
    """Return what the rule *name* says of how the client took the certificate."""
    fault = _fault(trial)
    if name not in _concerned(trial, fault):
        return Finding(Verdict.NOT_APPLICABLE, "the certificate has no fault that this is about")
    if _makes_two(trial) and trial.earlier is None:
        return Finding(
            Verdict.NOT_APPLICABLE,
            "this client makes one transfer; if it makes several, let it make case.earlier first",
        )
    shown = replace(trial, sessions=_exposed(trial))
    called = "no certificate" if fault is None else str(fault)
    if not handshakes(shown):
        return _unseen(trial)
    found = _taken(shown)
    if found is None:
        return _refused(shown, called)
    if found.verdict is Verdict.ERROR:
        return found
    blamed = _blamed(shown, fault)
    if blamed != name and not (trial.control is None and name == TOO_LATE):
        return Finding(
            Verdict.NOT_APPLICABLE, f"{called}: {found.evidence}; what shows is {_MATTERS[blamed]}: {blamed}"
        )
    if trial.declared.verify == "none":
        return Finding(Verdict.NOTE, f"{called}: {found.evidence}; the client was declared not to verify")
    if fault in _ADVISORY:
        return Finding(Verdict.NOTE, f"{called}: {found.evidence}; {_ADVISORY[fault]}")
    was = "no certificate was shown" if fault is None else f"the certificate was {fault}"
    return Finding(Verdict.VIOLATION, f"{was}, and {found.evidence}{_beside(trial, name)}")


def _fault(trial: Trial) -> Certificate | None:
    """Return the certificate that is on trial; None where the server has none."""
    if trial.served.tls.is_anonymous:
        return None
    later = next((d.certificate for d in trial.served.deviations if isinstance(d, Swap)), None)
    return later or trial.served.shown_certificate


def _makes_two(trial: Trial) -> bool:
    """Return whether the certificate is on trial in the second of two transfers alone."""
    swaps = any(isinstance(deviation, Swap) for deviation in trial.served.deviations)
    return swaps or bool(trial.earlier and trial.earlier.pinned)


def _question(trial: Trial, fault: Certificate | None) -> str:
    """Return the rule that a certificate breaks which is taken, if the client does what it should elsewhere."""
    if _makes_two(trial) or "pinned" in trial.tells:
        return EXCEPTION
    if trial.tells.get("by_default"):
        return TOO_LATE
    if fault in FOR_ANOTHER_HOST:
        return HOST
    return MATCHING if fault in ALMOST_FOR_THE_HOST else CHAIN


def _concerned(trial: Trial, fault: Certificate | None) -> tuple[str, ...]:
    """Return the rules that have something to say about a certificate."""
    if fault in SOUND:
        return ()
    own = _question(trial, fault)
    return (own, TOO_LATE, *((HOST,) if own == MATCHING else ()), *((CHAIN,) if own in (EXCEPTION, TOO_LATE) else ()))


def _exposed(trial: Trial) -> tuple[SessionRecord, ...]:
    """Return the connections at which the certificate was on trial: those of the second transfer where there are two.

    It begins where the first one has logged in.
    """
    if not _makes_two(trial):
        return trial.sessions
    at = next((x.at for _, x in trial.entries() if isinstance(x.fact, e.Authentication) and x.fact.accepted), None)
    if at is None:
        return ()
    return tuple(session for session in trial.sessions if session.entries and session.entries[0].at > at)


def _unseen(trial: Trial) -> Finding:
    """Say why a client has not seen the certificate that is on trial."""
    if not _makes_two(trial):
        return Finding(Verdict.INCONCLUSIVE, "the client never began a TLS handshake, so it never saw the certificate")
    if not trial.logged_in(Layer.TLS):
        return Finding(
            Verdict.INCONCLUSIVE, f"the client did not make the earlier transfer; it said: {trial.outcome.error}"
        )
    baseline = _baseline(trial)
    usual = max((len(work(session)) for session in baseline.sessions), default=0) if baseline else 0
    if max(len(work(session)) for session in trial.sessions) > usual > 0:
        return Finding(Verdict.NOT_APPLICABLE, "both transfers went over one connection, so one certificate was shown")
    return Finding(
        Verdict.INCONCLUSIVE, f"nothing shows that the second transfer was tried; it said: {trial.outcome.error}"
    )


def _taken(trial: Trial) -> Finding | None:
    """Return what crossed inside TLS that only a server must have which is trusted; None when nothing did."""
    found = leak(trial, Layer.TLS)
    if found is not None:
        return found
    done = operations(trial, Layer.TLS)
    return Finding(Verdict.VIOLATION, f"the client went on inside TLS with {spoken(done)}") if done else None


def _refused(trial: Trial, called: str) -> Finding:
    """Say how a client left to which nothing happened, or that its leaving proves nothing."""
    last = handshakes(trial)[-1]
    facts = last.tls
    if facts is not None and facts.outcome in _REFUSALS:
        return Finding(Verdict.PASS, f"{called}: {_REFUSALS[facts.outcome].format(alert=facts.alert)}")
    if facts is not None and facts.outcome is HandshakeOutcome.COMPLETED and last.closed:
        said = ", ".join(last.verbs(Layer.TLS))
        return Finding(Verdict.PASS, f"{called}: said only {said} inside TLS, and left")
    is_anonymous = trial.served.tls.is_anonymous
    if is_anonymous and facts is not None and facts.reason in (NO_COMMON_SUITE, NO_COMMON_VERSION):
        # TLS 1.3 has no such suites, so a client of that version alone is as safe.
        return Finding(Verdict.PASS, f"{called}: {facts.reason}")
    why = facts.reason if facts else "it had not ended"
    return Finding(Verdict.INCONCLUSIVE, f"{called}: the handshake failed for another reason ({why})")


def _baseline(trial: Trial) -> Trial | None:
    """Return the trial with the honest server."""
    beside = trial.control
    return beside.control if beside is not None and _fault(beside) not in SOUND else beside


def _blamed(trial: Trial, fault: Certificate | None) -> str:
    """Return the one rule that was broken by a client that took the certificate."""
    baseline, beside = _baseline(trial), trial.control
    if baseline is not None and _broke_off(trial, baseline):
        return TOO_LATE
    if beside is not None and beside is not baseline and _taken(beside) is not None:
        other = HOST if _fault(beside) in FOR_ANOTHER_HOST else CHAIN
        if other in _concerned(trial, fault):
            return other
    return _question(trial, fault)


def _broke_off(trial: Trial, baseline: Trial) -> bool:
    """Return whether a client logged in and then did not do the work that it does with the honest server."""
    works = any(work(session) for session in baseline.sessions)
    return works and trial.logged_in(Layer.TLS) and not any(work(session) for session in trial.sessions)


def _beside(trial: Trial, name: str) -> str:
    """Return what the violation is read off, where the certificate alone does not say it."""
    if name == CHAIN and trial.tells.get("by_default"):
        return "; it was called without any TLS setting"
    if trial.control is None:
        return ""
    if name == EXCEPTION:
        return "; the same client refuses a certificate like that where there is no exception"
    if name == TOO_LATE:
        default = "verifies only when it is told to" if trial.tells.get("by_default") else None
        return f"; it {default or 'left there, and with the honest server it goes to work'}"
    return ""
