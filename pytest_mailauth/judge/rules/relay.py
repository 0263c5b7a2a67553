"""Rules about submission: refused recipients are told to the user, and for the reason for which they were refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import connected
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.wording import blames_credentials, own_words
from pytest_mailauth.model.exchanges import exchanges
from pytest_mailauth.model.relay import comparable
from pytest_mailauth.model.terms import Layer, Protocol, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.exchanges import Exchange
    from pytest_mailauth.model.trial import Trial

_PATH: Final = re.compile(rb"<([^<>]*)>")
_HINT: Final = "let it raise, print, or call case.report(sent=[address, ...])"
_UNTOLD: Final = Finding(Verdict.NOT_APPLICABLE, f"a recipient was refused, and the client said nothing: {_HINT}")


def _refused(trial: Trial) -> list[Exchange]:
    """Return the RCPT and MAIL commands that were refused, with their replies."""
    said = [one for session in trial.sessions for one in exchanges(session)]
    return [one for one in said if one.is_refused and one.command.verb in ("MAIL", "RCPT")]


def _address(one: Exchange) -> str:
    found = _PATH.search(one.command.argument)
    return comparable(found[1].decode("utf-8", "replace")) if found else ""


def _believes_sent(trial: Trial) -> list[str] | None:
    """Return the addresses that the client believes to have sent to, or None when it did not say."""
    told = trial.outcome.facts.get("sent")
    return [comparable(str(one)) for one in told] if isinstance(told, list | tuple | set) else None


@rule(
    "no-open-relay-reliance",
    requirement="A client does not depend on servers that relay for everybody, and tells a refusal to relay as that.",
    expected="The client logs in before it sends to somebody elsewhere; refused, it reports the refused recipient.",
    sources=("S3", "S17"),
    severity="medium",
    advice="Log in before MAIL, and show the reply to RCPT; do not ask for another password because of it.",
)
def no_open_relay_reliance(trial: Trial) -> Finding:
    """Look for the refusal of a recipient, and at what the client made of it."""
    if trial.protocol is not Protocol.SMTP:
        return Finding(Verdict.NOT_APPLICABLE, "messages are submitted over SMTP only")
    if not connected(trial):
        return Finding(Verdict.INCONCLUSIVE, "the client never connected")
    refused = [one for one in _refused(trial) if one.reply[:3] in ("530", "550", "554")]
    if not refused:
        if trial.logged_in(Layer.TLS) and any(session.stored for session in trial.sessions):
            return Finding(Verdict.PASS, "the client logged in, and its message was taken")
        return Finding(Verdict.INCONCLUSIVE, "no recipient was refused, and no message was taken")
    cause = f"{refused[0].command.verb} was refused with {refused[0].reply[:3]}"
    said = own_words(trial)
    if said is not None and blames_credentials(said):
        accepted = any(trial.logged_in(layer) for layer in Layer)
        which = "which had been accepted" if accepted else "which nobody had asked for"
        return Finding(Verdict.VIOLATION, f"{cause}, and the client blamed the credentials, {which}")
    if said is None:  # whether it believes to have sent is report-rejected-recipients' matter
        return _UNTOLD
    return Finding(Verdict.PASS, f"{cause}, and the client reported that it did not send")


@rule(
    "report-rejected-recipients",
    requirement="A refused recipient is reported, also when others were accepted, and nothing is sent when all are.",
    expected="The client names the refused recipient, or reports an error.",
    sources=("S17", "RFC 5321 section 3.3"),
    severity="low",
    advice="Keep the reply to each RCPT, and hand the refused ones to the caller.",
)
def report_rejected_recipients(trial: Trial) -> Finding:
    """Compare the recipients that were refused with those that the client believes to have sent to."""
    refused = [one for one in _refused(trial) if one.command.verb == "RCPT"]
    if not refused:
        return Finding(Verdict.INCONCLUSIVE, "no recipient was refused")
    told = trial.tells.get("recipients", ())
    count = f"{len(refused)} of {len(told)} recipients were refused"
    sent = _believes_sent(trial)
    hidden = sorted({_address(one) for one in refused} & set(sent or ()))
    if hidden:
        return Finding(
            Verdict.VIOLATION, f"{count}, and the client reported the message as sent to {', '.join(hidden)}"
        )
    if sent is None and own_words(trial) is None:
        return _UNTOLD
    return Finding(Verdict.PASS, f"{count}, and the client reported that")
