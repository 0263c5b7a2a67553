"""Rules about connections that outlive one transfer: the next one may use them only on the same terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.judge.rules.evidence import spoken, work
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model.terms import Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.trial import Earlier, Trial


@rule(
    "reuse-matches-security",
    requirement="A connection is used again only for the same account, TLS mode and certificate checks.",
    expected="The second transfer opens a connection of its own, or fails there.",
    sources=("RFC 8314 section 5.2", "CVE-2026-4873", "CVE-2026-8286", "CVE-2022-22576"),
    severity="high",
    advice="Make account, TLS mode and certificate checks part of what a kept connection is looked up by.",
)
def reuse_matches_security(trial: Trial) -> Finding:
    """Count what was done on each connection: more than one transfer takes is the work of two.

    How much one transfer takes is known from the control. Logins are not counted, since whoever uses a connection
    again does not log in again. Where other work was done elsewhere, the second transfer may have been there.
    """
    earlier = trial.earlier
    if earlier is None:
        return Finding(
            Verdict.NOT_APPLICABLE,
            "this client makes one transfer; if it keeps connections, let it make case.earlier first",
        )
    usual = max((len(work(session)) for session in trial.control.sessions), default=0) if trial.control else 0
    if not usual:
        return Finding(Verdict.INCONCLUSIVE, "nothing shows how much one transfer of this client takes")
    busy = [session for session in trial.sessions if work(session)]
    if not busy:
        return Finding(
            Verdict.INCONCLUSIVE, f"the client did not make the earlier transfer; it said: {trial.outcome.error}"
        )
    first, *others = busy
    if len(work(first)) > usual and not others:
        return Finding(
            Verdict.VIOLATION,
            f"the transfer {_terms(earlier)} left a connection, and the next one, which asks for more, went on there: "
            f"{spoken(work(first)[usual:])} on session {first.number}",
        )
    opened = [session for session in trial.sessions if session is not first]
    if not opened:
        return Finding(
            Verdict.INCONCLUSIVE, f"nothing shows that the second transfer was tried; it said: {trial.outcome.error}"
        )
    return Finding(Verdict.PASS, f"after the transfer {_terms(earlier)} the next one opened a connection of its own")


def _terms(earlier: Earlier) -> str:
    """Return in what the earlier transfer differed, as in ``"in clear"``."""
    if earlier.other_account:
        return "of another account"
    if earlier.other_token:
        return "with another token"
    return "in clear" if earlier.security is Security.NONE else "without certificate checks"
