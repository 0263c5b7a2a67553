"""Rules about SCRAM: the server has to prove that it knows the password, and a client has to look."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.judge.rules.evidence import spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.judge.rules.tries import tries
from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import MisplaySCRAM
from pytest_mailauth.model.exchanges import CAPABILITIES, LOGINS, is_operation
from pytest_mailauth.model.terms import Layer, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial

_PLUS: Final = "SCRAM-SHA-256-PLUS"
_FINAL: Final = re.compile(rb"c=[^,]+,r=.*,p=[^,]+", re.DOTALL)
"""The client's last message, with its proof (RFC 5802 section 7)."""
_FIRST: Final = re.compile(rb"(n|y|p=[^,]+),[^,]*,n=")
"""The beginning of the client's first message; the flag says what it makes of channel binding (section 6)."""
_PATIENCE: Final = 2.5
"""Multiples of its time-out after which a client that refuses does so late."""
_SLACK: Final = 1.0
"""Seconds added to a time-out, for a busy machine."""


class _Met(NamedTuple):
    """A message, or a success, that was wrong on purpose: where it stands in the record, and what was wrong."""

    session: SessionRecord
    at: int
    mechanism: str
    kind: str

    @property
    def lines(self) -> tuple[bytes, ...]:
        """What the client said from there on, line by line."""
        heard = (x.fact.data for x in self.session.entries[self.at :] if isinstance(x.fact, e.Received))
        return tuple(b"".join(heard).splitlines())

    @property
    def went_on(self) -> list[e.Command]:
        """What it did from there on as though it were logged in."""
        commands = (x.fact for x in self.session.entries[self.at :] if isinstance(x.fact, e.Command))
        return [c for c in commands if is_operation(self.session.protocol, c) and c.verb not in LOGINS]

    @property
    def sent_proof(self) -> bool:
        """True when the client's last message came, with the proof in it."""
        return any(_FINAL.fullmatch(_decoded(line)) for line in self.lines)


def _decoded(line: bytes) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        return b""


def _met(trial: Trial) -> list[_Met]:
    return [
        _Met(session, at, entry.fact.verb, entry.fact.kind)
        for session in trial.sessions
        for at, entry in enumerate(session.entries)
        if isinstance(entry.fact, e.Deviated) and entry.fact.kind in ("misplayed", "admitted")
    ]


def _play(trial: Trial) -> MisplaySCRAM | None:
    return next((d for d in trial.served.deviations if isinstance(d, MisplaySCRAM)), None)


def _without_scram(trial: Trial) -> Finding:
    """Return what is to be said of a client that met nothing of the kind."""
    made = tries(trial)
    if any(one.mechanism.startswith("SCRAM-") for one in made):
        return Finding(Verdict.INCONCLUSIVE, "the client began SCRAM, and did not come to what is looked at here")
    if made or any(CAPABILITIES[trial.protocol] in session.verbs(Layer.TLS) for session in trial.sessions):
        return Finding(Verdict.NOT_APPLICABLE, "the client does not log in with SCRAM")
    return Finding(Verdict.INCONCLUSIVE, "the client never came so far as to log in")


@rule(
    "scram-verify-server",
    requirement="With SCRAM the client checks the nonce, the server's signature and the channel binding.",
    expected="The client cancels the exchange, or leaves, when a message is wrong or the server has proved nothing.",
    sources=("RFC 5802 section 5", "RFC 5802 section 5.1", "RFC 5802 section 6", "RFC 7677"),
    severity="high",
    advice="Compare the beginning of the nonce, compute the server's signature, and take no success without it.",
)
def scram_verify_server(trial: Trial) -> Finding:
    """Look at what followed a wrong message, or at what the client said about channel binding."""
    if trial.declared.channel_binding == "yes" and _PLUS in trial.served.auth.mechanisms:
        return _bound(trial)
    met, play = _met(trial), _play(trial)
    if not met:
        return _without_scram(trial)
    findings = [_after_admission(one) if one.kind == "admitted" else _after(one, play) for one in met]
    return min(findings, key=lambda finding: (Verdict.VIOLATION, Verdict.NOTE, Verdict.PASS).index(finding.verdict))


def _after(one: _Met, play: MisplaySCRAM | None) -> Finding:
    if play is not None and play.spoils_first_message:
        what = "the server's first message was not to be answered"
        if play.nonce != "extended":
            what = f"the server's nonce was not the client's, extended, but {play.nonce}"
        elif play.extension:
            what = "the server's first message began with a mandatory extension"
        if one.sent_proof:
            return Finding(Verdict.VIOLATION, f"{what}, and the client went on and sent its proof")
        return Finding(Verdict.PASS, f"{what}, and the client sent no proof")
    what = "the server's signature was wrong" if play and play.signature == "wrong" else "the server gave no signature"
    if one.went_on:
        return Finding(Verdict.VIOLATION, f"{what}, and the client went on with {spoken(one.went_on)}")
    return Finding(Verdict.PASS, f"{what}, and the client did not go on")


def _after_admission(one: _Met) -> Finding:
    what = f"{one.mechanism} was answered with success at once"
    if not one.went_on:
        return Finding(Verdict.PASS, f"{what}, and the client did not go on")
    evidence = f"{what}, and the client went on with {spoken(one.went_on)}"
    if one.mechanism.startswith("SCRAM-"):
        return Finding(Verdict.VIOLATION, evidence)
    # No server proves anything with CRAM-MD5, so an impostor could have sent a challenge as well.
    return Finding(Verdict.NOTE, f"{evidence}; this mechanism never shows who the server is")


def _bound(trial: Trial) -> Finding:
    """Look at the flag of a client that binds to its TLS connection, and at what it bound to (section 6)."""
    flags = list(_flags(trial))
    if not flags:
        return _without_scram(trial)
    announced = trial.served.auth.advertised
    mechanism, flag = flags[-1]
    flaws = [fact.reason for session in trial.sessions for fact in session.of(e.Malformed) if "binding" in fact.reason]
    if flag == "n":
        return Finding(Verdict.VIOLATION, "the client can bind to its TLS connection, and denied it")
    if not announced and flag == "y":
        return Finding(Verdict.PASS, "the client told the server that channel binding had not been offered")
    if announced and flag == "y":
        return Finding(Verdict.VIOLATION, "channel binding was offered, and the client said that it was not")
    if flaws:
        return Finding(Verdict.VIOLATION, f"the client bound to something else, with {flag}: {flaws[-1]}")
    if any(fact.accepted for session in trial.sessions for fact in session.auth):
        return Finding(Verdict.PASS, f"the client logged in with {mechanism} and {flag}")
    return Finding(Verdict.INCONCLUSIVE, f"the client began {mechanism} with {flag}, and was not let in")


def _flags(trial: Trial) -> Iterator[tuple[str, str]]:
    """Yield the mechanism and the flag of each first message of SCRAM."""
    for one in tries(trial):
        if not one.mechanism.startswith("SCRAM-"):
            continue
        at = next(at for at, entry in enumerate(one.session.entries) if entry.fact is one.command)
        initial = one.command.argument.partition(b" ")[2].strip()
        heard = (x.fact.data for x in one.session.entries[at:] if isinstance(x.fact, e.Received))
        for line in (initial, *b"".join(heard).splitlines()):
            found = _FIRST.match(_decoded(line))
            if found:
                yield one.mechanism, found[1].decode("ascii", "replace")
                break


@rule(
    "scram-sane-iterations",
    requirement="With SCRAM the client refuses an iteration count that is absurdly low or high.",
    expected="The client cancels the exchange at once.",
    sources=("RFC 7677 section 3", "CVE-2026-42256"),
    severity="medium",
    advice="Refuse fewer than 4096 iterations, and more than take a fraction of a second.",
)
def scram_sane_iterations(trial: Trial) -> Finding:
    """Look for the proof, which a low count makes guessable, and at the time, which is what a high one takes."""
    met, play = _met(trial), _play(trial)
    if not met or play is None or play.iterations is None:
        return _without_scram(trial)
    what = f"the server asked for {play.iterations:,} iteration{'s' if play.iterations > 1 else ''}"
    if trial.outcome.hung:
        took = f"{trial.outcome.seconds:.1f} s (declared time-out: {trial.declared.timeout:g} s)"
        return Finding(Verdict.VIOLATION, f"{what}, and the client was still busy after {took}")
    if any(one.sent_proof for one in met):
        return Finding(Verdict.VIOLATION, f"{what}, and the client made them and sent its proof")
    usual = trial.control.outcome.seconds if trial.control is not None else 0.0
    if trial.outcome.seconds > _PATIENCE * trial.declared.timeout + _SLACK + 2 * usual:
        return Finding(Verdict.NOTE, f"{what}, and the client gave up only after {trial.outcome.seconds:.1f} s")
    return Finding(Verdict.PASS, f"{what}, and the client refused")
