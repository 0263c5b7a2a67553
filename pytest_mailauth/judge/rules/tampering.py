"""What a server says before it may: a client that believes it shows its user somebody else's mailbox."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.rules.evidence import spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model.deviations import Greet, Precede
from pytest_mailauth.model.reports import INSIDE, texts
from pytest_mailauth.model.terms import Layer, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.trial import Trial

_DATA: Final = re.compile(rb"\* (?:\d+ )?(?!(?:OK|NO|BAD|BYE|PREAUTH|CAPABILITY)\b)([A-Z]+)\b")
"""How a response with data begins, which nobody asked for: status and capabilities may come at any time."""

_KEYS: Final = {
    b"EXISTS": {"exists"},
    b"RECENT": {"recent"},
    b"FLAGS": {"flags"},
    b"SEARCH": {"search"},
    b"ESEARCH": {"search"},
    b"STATUS": {"status"},
    b"EXPUNGE": {"expunged", "exists"},
    b"VANISHED": {"expunged"},
    b"NAMESPACE": {"namespace"},
    b"ID": {"id"},
    b"ENABLED": {"enabled"},
    b"QUOTAROOT": {"quota"},
    b"METADATA": {"metadata"},
}
"""Where in a reported mailbox a response shows: keys of :data:`~pytest_mailauth.model.reports.MAILBOX`."""

_COUNTED: Final = ("exists", "expunged")
"""What an EXPUNGE changes. Its number is one that a client may have for itself, so it is compared with the control."""


@rule(
    "ignore-unsolicited-before-auth",
    requirement="Before the login a client heeds status and capabilities alone, and nothing about messages until a "
    "mailbox is selected.",
    expected="The client passes over the lines that it did not ask for, and asks for everything inside TLS.",
    sources=("RFC 9051 section 11.3", "CVE-2021-29969", "CVE-2021-38370"),
    severity="high",
    advice="Forget every untagged response when TLS starts, and drop those that do not belong to the state.",
)
def ignore_unsolicited_before_auth(trial: Trial) -> Finding:
    """Look for what only the hostile lines said: in what the client sent, and in what it reports.

    What stands in front of a tagged reply may belong to it. So the trigger is not the place of the lines, but that they
    came before TLS, or before a mailbox was selected.
    """
    lines = _lines(trial)
    said = [line for line in lines if any(line in s.clear_out or line in s.tls_out for s in trial.sessions)]
    if not said or not trial.marker:
        return Finding(Verdict.INCONCLUSIVE, "the client left before it was told anything that it had not asked for")
    what = f"{_named(said)} came {'before TLS' if _in_clear(said, trial) else 'before a mailbox was selected'}"
    used = [c for s in trial.sessions for c in s.commands if trial.marker.encode() in c.argument]
    if used:
        return Finding(Verdict.VIOLATION, f"{what}, and the client used it: {spoken(used)}")
    if any(trial.marker.encode() in heard for s in trial.sessions for heard in (s.clear_in, s.tls_in)):
        return Finding(Verdict.VIOLATION, f"{what}, and stands in what the client sent")
    facts = trial.outcome.facts
    believed = [name for name in INSIDE if trial.marker in "\n".join(texts(facts.get(name)))]
    if believed:
        return Finding(Verdict.VIOLATION, f"{what}, and stands in what the client reports: {', '.join(believed)}")
    changed = _changed(trial) if _is_counted(said) else None
    if changed is not None:
        return Finding(Verdict.VIOLATION, f"{what}; {changed}")
    if not any(trial.logged_in(layer) for layer in Layer):
        return Finding(Verdict.PASS, f"{what}, and the client gave up")
    keys = set().union(*(_KEYS.get(kind, set()) for kind in _kinds(said)))
    mailbox = facts.get("mailbox")
    if "mailbox" in trial.wants and keys and isinstance(mailbox, dict) and not keys & mailbox.keys():
        return Finding(
            Verdict.NOT_APPLICABLE,
            f"{what}; the client did not report {' or '.join(sorted(keys))}: case.report(mailbox={{...}})",
        )
    return Finding(Verdict.PASS, f"{what}, and nothing that the client sent or reports shows it")


def _lines(trial: Trial) -> list[bytes]:
    """Return the lines that the server says although nobody asked."""
    said = [d.data for d in trial.served.deviations if isinstance(d, Greet | Precede)]
    return [line for data in said for line in data.splitlines() if _DATA.match(line)]


def _kinds(lines: list[bytes]) -> list[bytes]:
    return list(dict.fromkeys(found[1] for line in lines if (found := _DATA.match(line))))


def _named(lines: list[bytes]) -> str:
    """Return the names of the responses: ``"LIST"``, ``"NAMESPACE, ID"``."""
    return ", ".join(kind.decode() for kind in _kinds(lines))


def _in_clear(lines: list[bytes], trial: Trial) -> bool:
    return any(line in session.clear_out for line in lines for session in trial.sessions)


def _is_counted(lines: list[bytes]) -> bool:
    return b"EXPUNGE" in _kinds(lines)


def _changed(trial: Trial) -> str | None:
    """Return what the client reports otherwise than without these lines, or None."""
    now, usual = (_counts(one) for one in (trial, trial.control))
    differing = [key for key in _COUNTED if key in now and key in usual and now[key] != usual[key]]
    if not differing:
        return None
    told = "; ".join(f"{key} is {now[key]}, and {usual[key]} without them" for key in differing)
    return f"what the client reports has changed: {told}"


def _counts(trial: Trial | None) -> dict[str, Any]:
    mailbox = trial.outcome.facts.get("mailbox") if trial is not None else None
    return mailbox if isinstance(mailbox, dict) else {}
