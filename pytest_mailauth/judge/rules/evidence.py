"""The questions that rules ask of a trial, each asked in one place. Answers are sentences or lists, never verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import CANARY, find
from pytest_mailauth.model.config import OTHER_MECHANISMS, PASSWORD_MECHANISMS, PROOF_MECHANISMS, TOKEN_MECHANISMS
from pytest_mailauth.model.deviations import Greet
from pytest_mailauth.model.exchanges import LOGINS, is_operation
from pytest_mailauth.model.hello import in_words
from pytest_mailauth.model.record import FAREWELLS
from pytest_mailauth.model.terms import Layer, Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_mailauth.model.record import SessionRecord, TLSFacts
    from pytest_mailauth.model.trial import Trial

ABOUT_CERTIFICATES: Final = frozenset(
    {
        "bad_certificate",
        "unsupported_certificate",
        "certificate_revoked",
        "certificate_expired",
        "certificate_unknown",
        "unknown_ca",
    }
)
"""Alerts about the server's certificate (RFC 5246 section 7.2.2). It comes after the ServerHello, so the client had
taken the version by then."""


def operations(trial: Trial, layer: Layer, *, after: float = 0.0) -> list[e.Command]:
    """Return the commands on *layer* that are operations, in order, from the moment *after* on."""
    return [
        entry.fact
        for _, entry in trial.entries()
        if isinstance(entry.fact, e.Command)
        and entry.layer is layer
        and entry.at >= after
        and is_operation(trial.protocol, entry.fact)
    ]


def work(session: SessionRecord) -> list[e.Command]:
    """Return what a client did on a connection beside looking around and logging in."""
    return [c for c in session.commands if is_operation(session.protocol, c) and c.verb not in LOGINS]


def spoken(commands: Iterable[e.Command]) -> str:
    """Return the commands as evidence: ``"AUTH PLAIN <initial response of 40 bytes>", "MAIL FROM:<a@b>"``."""
    shown = [f'"{command.shown}"' for command in commands]
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def fired(trial: Trial, kind: str, verb: str | None = None) -> float | None:
    """Return when a deviation of this kind was first carried out, or None."""
    for _, entry in trial.entries():
        fact = entry.fact
        if isinstance(fact, e.Deviated) and fact.kind == kind and verb in (None, fact.verb):
            return entry.at
    return None


def connected(trial: Trial) -> bool:
    """Return whether the client opened at least one connection."""
    return any(session.of(e.Opened) for session in trial.sessions)


def greeting(session: SessionRecord) -> tuple[float, bytes] | None:
    """Return when the server first spoke and with what, or None when it had not before the client's first command."""
    for entry in session.entries:
        if isinstance(entry.fact, e.Sent):
            return entry.at, entry.fact.data
        if isinstance(entry.fact, e.Command) and entry.fact.verb:
            return None
    return None


def never_greets(trial: Trial) -> bool:
    """Return whether the server says nothing to a client that waits: by its mode, or because it is to say nothing."""
    waits_for_tls = trial.served.security is Security.IMPLICIT and trial.security is not Security.IMPLICIT
    return waits_for_tls or any(isinstance(d, Greet) and not d.data for d in trial.served.deviations)


def leak(trial: Trial, layer: Layer, *, strangers: bool = True) -> Finding | None:
    """Return an account of a password or token crossing on *layer*, or None when none did.

    Two witnesses are heard: the engine's parser, and a search of the raw bytes for the canaries. What the parser
    saw and the search cannot find is our contradiction (ERROR), unless it is too short for a search to tell anything.
    What the search finds and the parser did not recognise is still a leak: a canary cannot be guessed. A secret that
    no account here has is the client's own, which only the parser can know; it is as bad to lose.

    Args:
        trial: What was seen.
        layer: Where.
        strangers: Whether secrets count that no account here has.
    """
    where = "in clear" if layer is Layer.CLEAR else "inside TLS"
    for session in trial.sessions:
        data = in_clear(session) if layer is Layer.CLEAR else session.tls_in
        at = f"session {session.number} on the {session.listener} port"
        presented: dict[str, str] = {
            fact.secret: fact.mechanism for fact in reversed(session.of(e.Authentication, layer))
        }
        for name, secret in _secrets(trial, session):
            mechanism, encoding = presented.pop(secret, None), find(secret, data)
            if len(secret) < CANARY:
                encoding = "it was read" if mechanism else None
            if mechanism and encoding is None:
                return Finding(
                    Verdict.ERROR, f"{at}: the parser saw the {name} {where}, the search of the bytes did not"
                )
            if encoding is not None:
                how = f"with {mechanism}" if mechanism else "outside any login command"
                found = "" if len(secret) < CANARY else f" (found as {encoding})"
                return Finding(Verdict.VIOLATION, f"{at}: the {name} crossed {where} {how}{found}")
        for secret, mechanism in presented.items():
            if secret and strangers:
                return Finding(
                    Verdict.VIOLATION, f"{at}: a secret that is no account's here crossed {where} with {mechanism}"
                )
    return None


def unreadable_login(trial: Trial) -> str | None:
    """Return a login in clear whose credentials nobody here could read, as evidence, or None when there is none.

    Whoever sends something of the kind has sent credentials, whatever it is that they were wrapped in.
    """
    for session in trial.sessions:
        if session.of(e.Authentication, Layer.CLEAR):
            continue
        for command in session.of(e.Command, Layer.CLEAR):
            name, _, rest = command.argument.strip().partition(b" ")
            sasl = command.verb in ("AUTH", "AUTHENTICATE")
            reveals = name.decode("ascii", "replace").upper() not in (*PROOF_MECHANISMS, *OTHER_MECHANISMS)
            if (sasl and reveals and rest.strip(b" =")) or (command.verb in ("LOGIN", "PASS") and name):
                return f"session {session.number}: {spoken([command])} in clear, which could not be read"
    return None


def proofs(trial: Trial) -> list[e.Command]:
    """Return the logins that were begun in clear and do not carry the password, in order: what they carry proves it."""
    reveals = (*PASSWORD_MECHANISMS, *TOKEN_MECHANISMS)
    found = []
    for session in trial.sessions:
        for command in session.of(e.Command, Layer.CLEAR):
            name = command.argument.strip().partition(b" ")[0].decode("ascii", "replace").upper()
            if command.verb == "APOP" or (command.verb in ("AUTH", "AUTHENTICATE") and name and name not in reveals):
                found.append(command)
    return found


def in_clear(session: SessionRecord) -> bytes:
    """Return what anybody on the way could read: the server name in a ClientHello is not encrypted either."""
    hellos = [fact.hello.raw for fact in session.of(e.HelloSeen)]
    return b"\n".join((session.clear_in, *hellos))


def _secrets(trial: Trial, session: SessionRecord) -> Iterator[tuple[str, str]]:
    """Yield the secrets of the trial's account, and of those that a test added, each with what it is called."""
    yield from trial.account.secrets.items()
    for account in session.accounts:
        if account is not trial.account:
            yield from ((f"{name} of {account.username}", secret) for name, secret in account.secrets.items())


def handshakes(trial: Trial) -> list[SessionRecord]:
    """Return the sessions in which a TLS handshake was begun."""
    return [session for session in trial.sessions if session.of(e.HelloSeen)]


def spoke(session: SessionRecord) -> bool:
    """Return whether the client did more inside TLS than take its leave, which is a way to refuse."""
    return bool(session.tls_in) and session.verbs(Layer.TLS) != (FAREWELLS[session.protocol],)


def went_on(session: SessionRecord, facts: TLSFacts) -> str:
    """Return what was negotiated and what the client said in it, as a sentence."""
    said = ", ".join(session.verbs(Layer.TLS)) or f"{len(session.tls_in)} bytes"
    return f"the client negotiated {in_words(facts.version)} ({facts.cipher}) and went on with {said}"
