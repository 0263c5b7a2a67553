"""What went wrong, for whoever has a server, a session, an attempt, a network or a trial in hand: as text and as data.

The same paragraphs end the failures of this package.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pytest_mailauth.judge.verdict import Result
from pytest_mailauth.model.attempts import Attempt
from pytest_mailauth.model.canary import redact
from pytest_mailauth.model.diagnosis import UNTOLD, ending
from pytest_mailauth.model.diagnosis import diagnose as diagnose_records
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.record import SessionRecord
from pytest_mailauth.model.transcript import encodable
from pytest_mailauth.model.trial import Trial
from pytest_mailauth.network.network import Network
from pytest_mailauth.report.text import WIDTH, diagnosed, one_line
from pytest_mailauth.servers.environment import MailServers
from pytest_mailauth.servers.server import MailServer

if TYPE_CHECKING:
    from pytest_mailauth.model.causes.cause import Diagnosis

Explainable = (
    MailServer | MailServers | Network | SessionRecord | Attempt | Trial | Result | Iterable[SessionRecord | Attempt]
)
"""What can be explained."""


def diagnose(subject: Explainable) -> tuple[Diagnosis, ...]:
    """Return what went wrong as data, most telling first; see :func:`explain` for the argument.

    There is always one: where no cause is known, its name is ``"nothing-known"`` and it says what was seen.

    Raises:
        ConfigError: *subject* is nothing that can be explained.
    """
    match subject:
        case MailServer():
            return diagnose_records(subject.sessions, served=subject.config, hidden=subject.hidden)
        case MailServers():
            hidden = tuple(value for server in subject.servers for value in server.hidden)
            sessions = [session for server in subject.servers for session in server.sessions]
            return diagnose_records(sessions, hidden=hidden)
        case Network():
            hidden = tuple(value for server in subject.servers.servers for value in server.hidden)
            return diagnose_records(attempts=subject.attempts, hidden=hidden)
        case Trial():
            return diagnose_records(subject.sessions, attempts=subject.attempts, served=subject.served)
        case Result():
            return subject.diagnosis
        case SessionRecord():
            return diagnose_records([subject])
        case Attempt():
            return diagnose_records(attempts=[subject])
        case _:
            return _diagnose_several(subject)


def _diagnose_several(subject: object) -> tuple[Diagnosis, ...]:
    several = list(subject) if isinstance(subject, Iterable) and not isinstance(subject, str | bytes) else [subject]
    sessions = [one for one in several if isinstance(one, SessionRecord)]
    attempts = [one for one in several if isinstance(one, Attempt)]
    if len(sessions) + len(attempts) < len(several):
        raise ConfigError(
            f"explain() cannot explain {type(subject).__name__}: give it a server, a session, an attempt, a list of "
            "these, a network, or a trial"
        )
    return diagnose_records(sessions, attempts=attempts)


def explain(subject: Explainable, *, width: int = WIDTH) -> str:
    """Return what went wrong in plain words: every cause that was seen, the most telling one first.

    A paragraph each: the cause, where it was seen, what to do, and the paragraph of the source document or the
    section of an RFC that says so. Nothing is claimed that was not seen, and no secret is shown.

    Args:
        subject: A server, the servers of an environment, a network, a session, an attempt, a list of sessions or
            attempts, a trial or its result.
        width: Columns to wrap at.

    Raises:
        ConfigError: *subject* is nothing that can be explained.

    Examples:
        >>> import smtplib
        >>> from pytest_mailauth import MailServers, explain
        >>> with MailServers() as servers:
        ...     server = servers.smtp()
        ...     with smtplib.SMTP(server.host, server.port, timeout=2) as client:
        ...         _ = client.ehlo()
        ...     print(explain(server, width=80))
        The server offers STARTTLS, and the client did not use it. Session 1: the answer
        to EHLO named it, and the client left without TLS and without logging in. Use
        STARTTLS (POP3: STLS) before logging in: without it most servers offer no login.
        (source document S2, S9, S12)
    """
    return wrapped((str(one) for one in diagnose(subject)), width)


def endings(subject: Explainable) -> tuple[str, ...]:
    """Return the paragraphs that end a failure about *subject*."""
    return ending(diagnose(subject))


def known_endings(subject: Explainable) -> tuple[str, ...]:
    """Return the paragraphs that end a failure about *subject*; none where no cause is known."""
    return ending([one for one in diagnose(subject) if one.name not in UNTOLD])


def network_section(network: Network, hidden: tuple[tuple[str, str], ...], *, told: bool) -> str:
    """Return what a failed test shows of its network: what clients tried, and what went wrong where no server saw it.

    Args:
        network: The network.
        hidden: What must not be shown, each with the label to show in its place.
        told: Whether the failure itself has said what went wrong.
    """
    unseen = [] if told else [one for one in network.attempts if one.session is None]
    return redact("\n".join([network.summary(), *diagnosed(known_endings(unseen) if unseen else ())]), hidden)


def wrapped(paragraphs: Iterable[str], width: int) -> str:
    """Return paragraphs as text, a blank line between them."""
    return encodable("\n\n".join(_filled(one, width) for one in paragraphs))


def _filled(paragraph: str, width: int) -> str:
    return textwrap.fill(one_line(paragraph), max(width, 40), break_long_words=False, break_on_hyphens=False)
