"""How findings become the verdict of a row, and rows the verdict of a client."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.ruleset import EVERYTHING
from pytest_mailauth.model import events as e
from pytest_mailauth.model.floods import Flood, Trickle
from pytest_mailauth.model.reports import INSIDE, REPORTS, WORK
from pytest_mailauth.model.terms import Layer, Protocol, Security, Verdict, worst
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.judge.ruleset import RuleSet
    from pytest_mailauth.judge.scenarios import Setting
    from pytest_mailauth.model.causes.cause import Diagnosis
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial

NET: Final = (
    "no-cleartext-credentials",
    "no-operation-before-required-tls",
    "no-identity-in-clear",
    "token-only-over-verified-tls",
)
"""Rules that are asked in every scenario when its own rules found no violation: no leak passes unseen because the
scenario was about something else. A leak is reported once, under the rule that explains it best. The last one is for
clients that may send passwords in clear: tokens they may not (RFC 7628 section 3)."""


QUOTABLE: Final = 8
"""Characters from which on a line does not stand in a text by chance."""


@dataclass(frozen=True)
class Judgement:
    """What one rule said about one trial."""

    rule: str
    finding: Finding

    @property
    def requirement(self) -> str:
        """What the rule demands."""
        return RULES[self.rule].requirement


@dataclass(frozen=True, kw_only=True)
class Result:
    """The verdict on one client in one scenario.

    Attributes:
        client: The client's name.
        setting: The scenario, protocol and mode.
        judgements: What each rule said.
        transcript: What was said on the wire, secrets hidden.
        seconds: How long the client ran.
        diagnosis: What went wrong in plain words; empty where nothing did.
    """

    client: str
    setting: Setting
    judgements: tuple[Judgement, ...]
    transcript: str
    seconds: float
    diagnosis: tuple[Diagnosis, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of its rules."""
        return worst([j.finding.verdict for j in self.judgements])

    @property
    def protocol(self) -> Protocol:
        """The protocol of the row."""
        return self.setting.protocol

    @property
    def security(self) -> Security:
        """The mode of the row."""
        return self.setting.security


def honest(trial: Trial) -> Finding:
    """Ask the control about a trial with the honest server; what the client told its user about a failure is quoted.

    A program that ends well may have printed why it did not log in.
    """
    finding = RULES["control"].check(trial)
    said = trial.outcome.facts.get("error")
    if finding.verdict is Verdict.PASS or trial.outcome.error or not said:
        return finding
    return Finding(finding.verdict, f"{finding.evidence}; it said: {said}")


def judge(trial: Trial, rules: tuple[str, ...], ruleset: RuleSet = EVERYTHING) -> tuple[Judgement, ...]:
    """Ask *rules* about a trial, as far as *ruleset* has them, and the safety net if none of them found a violation."""
    asked = [Judgement(name, ruleset.weighed(_considered(name, trial))) for name in rules if ruleset.asks(name)]
    may_be_clear = trial.earlier is not None and trial.earlier.security is Security.NONE
    if not may_be_clear and not any(j.finding.verdict is Verdict.VIOLATION for j in asked):
        for name in NET:
            if name not in rules:
                caught = Judgement(name, _check(name, trial))
                if caught.finding.verdict in (Verdict.VIOLATION, Verdict.ERROR):
                    asked.append(caught)
                    break
    return tuple(asked)


def _considered(name: str, trial: Trial) -> Finding:
    """Ask one rule, and doubt what cannot have been shown."""
    return _unless_untold(_unless_mute(_unless_hung(_check(name, trial), trial), trial), trial)


def _unless_untold(finding: Finding, trial: Trial) -> Finding:
    """What the client never read it cannot have done, and what it does not report nobody can know."""
    if finding.verdict in (Verdict.VIOLATION, Verdict.ERROR):
        return finding
    if trial.unheard:
        does = ", ".join(WORK[name] for name in trial.unheard)
        return Finding(Verdict.NOT_APPLICABLE, f"this scenario is for a client that {does}; this one never read it")
    inside = any(trial.logged_in(layer) for layer in Layer)
    missing = [name for name in trial.wants if name not in trial.outcome.facts and (inside or name not in INSIDE)]
    if missing:
        hints = "; ".join(REPORTS[name] for name in missing)
        return Finding(Verdict.NOT_APPLICABLE, f"only the client knows what is judged here, and did not report {hints}")
    return finding


def _check(name: str, trial: Trial) -> Finding:
    """Ask one rule. One that fails inside costs its own row and not the report of all clients."""
    try:
        return RULES[name].check(trial)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is our bug, and the report must say so
        # Not the exception's text, in which bytes of the record, and so secrets, may stand.
        where = extract_tb(error.__traceback__)[-1]
        return Finding(
            Verdict.ERROR,
            f"the rule failed inside: {type(error).__name__} at {Path(where.filename).name}:{where.lineno}",
        )


def _unless_hung(finding: Finding, trial: Trial) -> Finding:
    """A client that had to be cut off has not obeyed; it did not get to the point where it could have failed."""
    if not trial.outcome.hung or finding.verdict is not Verdict.PASS:
        return finding
    return Finding(
        Verdict.INCONCLUSIVE, f"the client hung and was cut off after {trial.outcome.seconds:.1f} s; {finding.evidence}"
    )


def _unless_mute(finding: Finding, trial: Trial) -> Finding:
    """A client that was greeted and said nothing has obeyed only if it can have read the greeting.

    The record shows what was sent, not what was read. Two things together speak for the client: it closed in good
    order, since a system resets a connection whose owner leaves with unread bytes (RFC 1122 section 4.2.2.13), and it
    reported an error, which one that connects and closes does not have. So does an error that quotes the greeting.
    """
    greeted = [session for session in trial.sessions if session.clear_out or session.tls_out]
    spoke = any(session.of(e.Received) or session.of(e.HelloSeen) for session in trial.sessions)
    if finding.verdict is not Verdict.PASS or spoke or not greeted:
        return finding
    said = trial.outcome.facts.get("error", trial.outcome.error)
    reported = said is not None
    endless = (d for d in trial.served.deviations if isinstance(d, Flood | Trickle))
    if reported and any(isinstance(d, Trickle) or not d.verb for d in endless):
        return finding  # nobody leaves a greeting without end in good order
    if reported and any(
        session.closed == e.Closed("client", "close") or _quotes(str(said), session) for session in greeted
    ):
        return finding
    return Finding(
        Verdict.INCONCLUSIVE,
        "nothing shows that the client read the greeting: it sent not one byte, and "
        + (
            "did not close in good order"
            if reported
            else "reported no error; let it raise, or call case.report(error=...)"
        )
        + f"; {finding.evidence}",
    )


def _quotes(said: str, session: SessionRecord) -> bool:
    """Return whether the first line that the server sent stands in what the client said."""
    line = (session.clear_out or session.tls_out).partition(b"\r\n")[0].decode("utf-8", "replace")
    return len(line) >= QUOTABLE and line in said


def combine(runs: list[tuple[Judgement, ...]]) -> tuple[Judgement, ...]:
    """Return the judgements of a scenario that was run several times: the worst run speaks, and the share is said."""
    if len(runs) == 1:
        return runs[0]
    verdicts = [worst([j.finding.verdict for j in run]) for run in runs]
    overall = worst(verdicts)
    chosen = runs[verdicts.index(overall)]
    count = verdicts.count(overall)
    if count == len(runs):
        return chosen
    share = f" ({count} of {len(runs)} runs)"
    return tuple(Judgement(j.rule, Finding(j.finding.verdict, j.finding.evidence + share)) for j in chosen)
