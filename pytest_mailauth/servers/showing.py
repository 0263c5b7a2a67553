"""What a server shows of its sessions: text without secrets that every terminal, file and report can take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.model.events import Failed
from pytest_mailauth.model.transcript import hidden_values, presentable

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.servers.mailstore import MailStore


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
        sessions = [value for session in self.sessions for value in session.hidden]
        return tuple(dict.fromkeys((*hidden_values(self._store.accounts), *sessions)))

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
