"""What went wrong, named from what was seen: every cause that applies, the most telling one first.

Nothing is claimed that a record does not show. Where no cause of the tables applies, it is said what was seen instead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.canary import redact
from pytest_mailauth.model.causes.cause import Cause, Diagnosis, Obstacle, Seen
from pytest_mailauth.model.causes.connection import CONNECTION, LATE
from pytest_mailauth.model.causes.handshake import HANDSHAKE
from pytest_mailauth.model.causes.network import OBSTACLES
from pytest_mailauth.model.causes.replies import REPLIES
from pytest_mailauth.model.hello import in_words
from pytest_mailauth.model.terms import Certificate, PortState
from pytest_mailauth.model.transcript import encodable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_mailauth.model.attempts import Attempt
    from pytest_mailauth.model.config import ServerConfig
    from pytest_mailauth.model.record import SessionRecord

CAUSES: Final[tuple[Cause, ...]] = (*CONNECTION, *HANDSHAKE, *REPLIES, *LATE)
"""Causes that a connection shows, most telling first."""
ESCAPED: Final = OBSTACLES[:1]
"""What is told before anything else: a test that reaches out of this machine."""
NOTHING_KNOWN: Final = "nothing-known"
NOBODY: Final = "nobody-came"
UNTOLD: Final = (NOTHING_KNOWN, NOBODY)
"""Names of what is said where no cause is known."""
SHOWN: Final = 3
"""Diagnoses at the end of a failure; more are counted."""
_SESSIONS: Final = 3
"""Sessions that are told of when no cause is known."""
_CLOSED_DOORS: Final = {
    PortState.REFUSED: "port-refused",
    PortState.TIMEOUT: "port-blocked",
    PortState.PROHIBITED: "no-way-there",
}
_SUBSUMED: Final = {
    "tls-needed": {"password-before-tls", "login-before-tls", "work-before-tls"},
    "command-refused": {
        "password-before-tls",
        "login-before-tls",
        "no-valid-recipients",
        "relaying-denied",
        "work-before-tls",
        "tls-where-starttls-belongs",
    },
    "not-understood": {"tls-where-starttls-belongs", "text-where-tls-belongs"},
    "no-greeting": {"port-25-blocked", "port-blocked"},
    "left-during-handshake": {"turned-away"},
    "client-hung": {"waited-where-tls-belongs", "no-greeting"},
}
"""Causes that say nothing new beside one of these."""


def diagnose(
    sessions: Iterable[SessionRecord] = (),
    *,
    attempts: Sequence[Attempt] = (),
    served: ServerConfig | None = None,
    hidden: tuple[tuple[str, str], ...] = (),
) -> tuple[Diagnosis, ...]:
    """Return what went wrong, most telling first; one that says what was seen when no cause is known.

    Args:
        sessions: Records of connections.
        attempts: What clients tried; their own sessions are looked at too.
        served: The settings of the server, as far as one server is asked about.
        hidden: What must not be shown beside the secrets of the sessions, each value with its label.
    """
    places = _places(sessions, attempts)
    hidden = tuple(dict.fromkeys((*hidden, *(value for _, session in places for value in session.hidden))))
    certificate = None if served is None else Certificate(served.certificate)
    looked = [
        (where, Seen(session=session, hidden=hidden, certificate=_of_main(session, certificate)))
        for where, session in places
    ]
    found = [
        *_obstacles(ESCAPED, attempts),
        *(one for cause in CAUSES if (one := _found(cause, looked)) is not None),
        *_obstacles(OBSTACLES[1:], attempts),
    ]
    names = {one.name for one in found}
    told = [one for one in found if not names & _SUBSUMED.get(one.name, set())]
    told = told or [_unknown(places, attempts, served)]
    return tuple(_clean(one, hidden) for one in told)


def ending(diagnoses: Sequence[Diagnosis]) -> tuple[str, ...]:
    """Return the paragraphs that end a failure: the most telling diagnoses, and how many more there are."""
    paragraphs = [str(one) for one in diagnoses[:SHOWN]]
    more = len(diagnoses) - SHOWN
    return (*paragraphs, *([f"And {more} more, less telling."] if more > 0 else []))


def _places(sessions: Iterable[SessionRecord], attempts: Sequence[Attempt]) -> list[tuple[str, SessionRecord]]:
    """Return every session once, with the words that say which one it is."""
    told: dict[int, tuple[str, SessionRecord]] = {}
    for attempt in attempts:
        if attempt.session is not None:
            where = f"attempt {attempt.number} ({attempt.name or attempt.address}:{attempt.port})"
            told[id(attempt.session)] = (where, attempt.session)
    for session in sessions:
        port = "" if session.listener == "main" else f" on the {session.listener} port"
        told.setdefault(id(session), (f"session {session.number}{port}", session))
    return list(told.values())


def _of_main(session: SessionRecord, certificate: Certificate | None) -> Certificate | None:
    return certificate if session.listener == "main" else None


def _found(cause: Cause, looked: Sequence[tuple[str, Seen]]) -> Diagnosis | None:
    evidence = [(where, said) for where, seen in looked if (said := cause.look(seen)) is not None]
    return _made(cause, [(f"{where}: {said}", where) for where, said in evidence])


def _obstacles(obstacles: Iterable[Obstacle], attempts: Sequence[Attempt]) -> list[Diagnosis]:
    found = []
    for obstacle in obstacles:
        seen = [one for one in attempts if obstacle.look(one) is not None]
        made = _made(obstacle, [(f"attempt {one.number}, {one}", f"attempt {one.number}") for one in seen])
        found += [made] if made is not None else []
    return found


def _made(row: Cause | Obstacle, seen: Sequence[tuple[str, str]]) -> Diagnosis | None:
    """Return the diagnosis of a row from what was seen first, with the places where the same was seen."""
    if not seen:
        return None
    others = [where for _, where in seen[1:]]
    more = f" and {len(others) - _SESSIONS} more" if len(others) > _SESSIONS else ""
    same = f"; the same in {', '.join(others[:_SESSIONS])}{more}" if others else ""
    return Diagnosis(name=row.name, cause=row.words, evidence=seen[0][0] + same, advice=row.advice, sources=row.sources)


def _unknown(
    places: Sequence[tuple[str, SessionRecord]], attempts: Sequence[Attempt], served: ServerConfig | None
) -> Diagnosis:
    if places or attempts:
        told = [f"{where} {_account(session)}" for where, session in places[:_SESSIONS]]
        told += [f"and {len(places) - _SESSIONS} more"] if len(places) > _SESSIONS else []
        return Diagnosis(
            name=NOTHING_KNOWN,
            cause="No known cause of a failed connection, login or delivery was seen",
            evidence="; ".join(told) or f"{len(attempts)} attempts to connect, of which no server has a record",
        )
    state = PortState.OPEN if served is None else PortState(served.port_state)
    row = next((one for one in OBSTACLES if one.name == _CLOSED_DOORS.get(state)), None)
    if row is not None:
        evidence = f"the port of this server is {str(state)!r}, where no attempt can be seen"
        return Diagnosis(name=row.name, cause=row.words, evidence=evidence, advice=row.advice, sources=row.sources)
    return Diagnosis(
        name=NOBODY,
        cause="No client connected",
        evidence="no server here has a record of one",
        advice="Check that the client was given name and port of this server, and that it connects at all.",
        sources=("S4", "S6"),
    )


def _account(session: SessionRecord) -> str:
    """Return what a session came to, in a few words."""
    facts = session.tls
    parts = [f"was inside {in_words(facts.version)}" if session.over_tls and facts is not None else "was in clear"]
    parts += [f"logged in with {one.mechanism}" for one in session.auth[:1] if one.accepted]
    if session.stored:
        parts.append(f"handed over {len(session.stored)} message{'' if len(session.stored) == 1 else 's'}")
    last = session.commands[-1] if session.commands else None
    open_still = " and is still open" if session.closed is None else ""
    parts.append((f"ended with {last.verb}" if last is not None and last.verb else "had no command") + open_still)
    return ", ".join(parts)


def _clean(one: Diagnosis, hidden: tuple[tuple[str, str], ...]) -> Diagnosis:
    return replace(one, evidence=encodable(redact(one.evidence, hidden)))
