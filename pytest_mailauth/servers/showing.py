"""What a server shows of its sessions: text without secrets that every terminal, file and report can take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.events import Failed
from pytest_mailauth.model.transcript import hidden_values, presentable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.servers.mailstore import MailStore
    from pytest_mailauth.servers.server import MailServer

RECENT: Final = 20
"""Servers that are remembered after they were closed, where each has its own accounts: thousands may be made."""


class ShowsSessions:
    """What a server can show of what it has seen."""

    @property
    def sessions(self) -> tuple[SessionRecord, ...]:
        """What was observed, one record a connection."""
        raise NotImplementedError

    @property
    def _store(self) -> MailStore:
        """Where its accounts are."""
        raise NotImplementedError

    @property
    def hidden(self) -> tuple[tuple[str, str], ...]:
        """What must not be shown, each with the label to show in its place: secrets of its accounts and sessions."""
        return hidden_of(self._store, self.sessions)

    @property
    def failures(self) -> tuple[str, ...]:
        """What failed inside the server: our bugs, in words; an exception may quote what the client sent."""
        found = [fact for session in self.sessions for fact in session.of(Failed)]
        return tuple(self.shown(f"{self!r} failed inside:\n{fact.error}") for fact in found)

    def shown(self, text: str) -> str:
        """Return *text* as it may be shown."""
        return presentable(text, self.hidden)

    def transcript(self) -> str:
        """Return the transcripts of all sessions, secrets hidden."""
        # Once more together: what one session presented may stand in another.
        return self.shown("\n\n".join(f"session {s.number}\n{s.transcript()}" for s in self.sessions))


def hidden_of(store: MailStore, sessions: Iterable[SessionRecord]) -> tuple[tuple[str, str], ...]:
    """Return what must not be shown: secrets of the accounts, issued ones, and those that clients presented."""
    own = (*hidden_values(store.accounts), *store.issued())
    return tuple(dict.fromkeys((*own, *(value for session in sessions for value in session.hidden))))


def seen_since(servers: Iterable[MailServer], moment: float) -> list[MailServer]:
    """Return those of *servers* that a client spoke to since *moment*, in seconds on the monotonic clock."""

    def was_seen(server: MailServer) -> bool:
        return any(session.entries and session.entries[-1].at >= moment for session in server.sessions)

    return [server for server in dict.fromkeys(servers) if was_seen(server)]
