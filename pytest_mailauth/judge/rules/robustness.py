"""Rules about what a server may make a client do: read without end, fall over, or ask for ever."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import connected, fired
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.wording import own_words
from pytest_mailauth.model import events as e
from pytest_mailauth.model.floods import Flood, Trickle
from pytest_mailauth.model.terms import Layer, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.trial import Trial

_CRASH: Final = re.compile(
    r"\b(?:RecursionError|MemoryError|AttributeError|TypeError|IndexError|KeyError|UnboundLocalError|ZeroDivisionError|"
    r"AssertionError|NullPointerException|NullReferenceException|StackOverflow\w*|OutOfMemory\w*)\b|"
    r"[Ss]egmentation fault|stack overflow|out of memory|SIG(?:SEGV|ABRT|BUS|KILL)|core dumped|panic:|"
    r"(?:signal|status|code) -?(?:6|7|9|11|134|135|137|139)\b"
)
"""What a program ends with that has fallen over: names of mistakes in programs, and signals."""
_MOST: Final = 10
"""How often one command may be repeated on a connection before it counts as asking for ever."""


@rule(
    "bounded-resources",
    requirement="Whatever a server sends, a client comes to an end: it reads, nests and repeats only so much.",
    expected="The client gives up with an error of its own after a limit, well before megabytes were read.",
    sources=("CWE-400", "CWE-674", "CVE-2026-42245", "CVE-2020-16117"),
    severity="low",
    advice="Limit the length of a line, the lines of a reply, the size of a literal, the depth of what is parsed, and "
    "the time that a whole reply may take.",
)
def bounded_resources(trial: Trial) -> Finding:
    """Look at what was read of a flood, at what was repeated, and at how the client ended."""
    if not connected(trial):
        return Finding(Verdict.INCONCLUSIVE, "the client never connected")
    if fired(trial, "flood taken") is not None:
        return Finding(Verdict.VIOLATION, "the client read a reply of many megabytes that had no end")
    trickle = next((one for one in trial.served.deviations if isinstance(one, Trickle)), None)
    if trickle is not None:
        return _of_time(trial, trickle)
    for session in trial.sessions:
        repeated = Counter((command.verb, command.argument) for command in session.commands)
        for (verb, _), times in repeated.most_common(1):
            if times > _MOST:
                return Finding(Verdict.VIOLATION, f"session {session.number}: {verb} was sent {times} times")
    said = own_words(trial)
    if said is not None and _CRASH.search(said):
        return Finding(Verdict.VIOLATION, f"the client fell over: {said}")
    floods = [one for one in trial.served.deviations if isinstance(one, Flood)]
    if floods and not any(_began(trial, flood) for flood in floods):
        return Finding(Verdict.NOT_APPLICABLE, f"the client never sent {floods[0].verb}, whose reply has no end")
    if trial.outcome.hung and floods:
        # It may have been a busy machine: what counts is how much was read.
        return Finding(Verdict.INCONCLUSIVE, "the client was still reading a reply without end when its time was over")
    if said is None and floods:
        return Finding(Verdict.INCONCLUSIVE, "the client reported no error, though the reply had no end")
    return Finding(Verdict.PASS, f"the client came to an end; it said: {said}" if said else "the client came to an end")


def _began(trial: Trial, flood: Flood) -> bool:
    """Return whether the reply was asked for; nobody asks for a greeting."""
    layer = Layer.TLS if flood.over_tls else Layer.CLEAR
    return not flood.verb or any(flood.verb in session.verbs(layer) for session in trial.sessions)


def _of_time(trial: Trial, trickle: Trickle) -> Finding:
    """Judge how long a client waited for a reply that came byte by byte."""
    seconds = trickle.pause * trickle.most
    ended = [session for session in trial.sessions if any(x.kind == "trickle over" for x in session.of(e.Deviated))]
    if any(session.closed is not None and session.closed.by == "client" for session in ended):
        times = seconds / trial.declared.timeout
        waited = (
            f"the client waited {seconds:.1f} s, {times:.0f} times its time-out, for a reply that came byte by byte"
        )
        return Finding(Verdict.VIOLATION, f"{waited}, and gave up only when no more came")
    if trial.outcome.hung:
        # It outstayed the silence behind the trickle, too: what it lacks is not a limit for the whole alone.
        return Finding(Verdict.INCONCLUSIVE, "the client gave up neither while bytes came nor when no more came")
    if not any(len(session.clear_out + session.tls_out) > 1 for session in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, "the client did not stay until a second byte came")
    said = own_words(trial)
    if said is None:
        return Finding(Verdict.INCONCLUSIVE, "the client reported no error, though the reply never came whole")
    return Finding(Verdict.PASS, f"the client did not wait for the whole of the reply; it said: {said}")
