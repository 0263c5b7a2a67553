"""Decisions: what to advertise now, who may log in how, what to answer instead. Pure; engines ask, never decide.

What is advertised is derived from what is accepted, so that the two cannot drift apart.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_mailauth.model.deviations import (
    AllowEarlyData,
    Announce,
    Answer,
    BreakOff,
    Cut,
    Delay,
    Deviation,
    Greet,
    Hide,
    Precede,
    fill,
)
from pytest_mailauth.model.terms import Protocol, Security
from pytest_mailauth.servers.acts import Act
from pytest_mailauth.servers.engines.contract import Close, Reset
from pytest_mailauth.servers.logins import Desk, Logins
from pytest_mailauth.servers.relaying import Relaying
from pytest_mailauth.servers.script import Script

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from pytest_mailauth.model.canary import Account
    from pytest_mailauth.model.config import ServerConfig
    from pytest_mailauth.servers.sasl import Peer
    from pytest_mailauth.servers.script import Dialogue

    _D = TypeVar("_D", bound=Deviation)


class Policy:
    """The decisions of one server.

    Args:
        config: The server's settings.
        accounts: Who may log in. Accounts that are added later may log in too.
        script: What a test told this server to do; nothing by default.
        clock: Tells seconds, for the rate limit.
    """

    def __init__(
        self,
        config: ServerConfig,
        accounts: Sequence[Account],
        script: Script | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.config = config
        self.accounts = accounts
        self.script = script or Script(Protocol(config.protocol))
        self.logins = Logins(config.auth, accounts, clock, self.script.errors)
        self.relaying = Relaying(config.relay, self.logins)
        self._deviate(config.deviations)

    def _deviate(self, deviations: tuple[Deviation, ...]) -> None:
        self._deviations: dict[type, list[Any]] = defaultdict(list)
        for deviation in deviations:
            self._deviations[type(deviation)].append(deviation)
        self._answers = {(d.verb, d.over_tls): d for d in self.all(Answer)}
        self._preceding = {(d.verb, d.over_tls): d.data for d in self.all(Precede)}
        self._delays = {(d.verb, d.over_tls): d.seconds for d in self.all(Delay)}
        self._hidden = frozenset(name for d in self.all(Hide) for name in d.names)
        self._cut = self.one(Cut)
        self._broken_off = {(verb, d.over_tls): d for d in self.all(BreakOff) for verb in d.verbs}

    def remember(self, other: Policy) -> None:
        """Share the memory of *other*, which is about the same server: lock-outs, attempts, greylisting."""
        self.logins, self.relaying = other.logins, other.relaying

    def all(self, kind: type[_D]) -> tuple[_D, ...]:
        """Return the deviations of one kind."""
        return tuple(self._deviations.get(kind, ()))

    def one(self, kind: type[_D]) -> _D | None:
        """Return the deviation of one kind, or None."""
        found = self._deviations.get(kind)
        return found[0] if found else None

    def act_on(self, verb: str, argument: bytes, dialogue: Dialogue, *, over_tls: bool) -> Act | None:
        """Return what to do about a command, or None to carry it out. Asked once a command.

        Args:
            verb: The command in upper case.
            argument: What stands behind it; the message for the end of an SMTP message.
            dialogue: The session's share of the script.
            over_tls: Whether the command came inside TLS.
        """
        answer = self._answers.get((verb, over_tls)) if self._answers else None
        if answer is not None:
            return _answered(answer, b" ".join((verb.encode(), argument)).rstrip())
        if self._delays and (verb, over_tls) in self._delays:
            return Act("delay", wait=self._delays[verb, over_tls])
        before = self._preceding.get((verb, over_tls)) if self._preceding else None
        if before is not None:
            return Act("precede", partial(fill, before), precedes=True)
        if self._broken_off:
            two_words = f"{verb} {argument.partition(b' ')[0].decode('ascii', 'replace').upper()}"
            broken = self._broken_off.get((verb, over_tls)) or self._broken_off.get((two_words, over_tls))
            if broken is not None:
                return Act("broken off", partial(fill, broken.reply), end=Close(abruptly=True))
        if self._cut is not None and over_tls and verb in self._cut.verbs:
            end = Reset() if self._cut.resets else None
            self._deviate(self._cut.then)
            return Act("cut", end=end)
        return dialogue.act(verb, argument)

    @property
    def is_lenient(self) -> bool:
        """True when a line may be longer than the protocol allows."""
        return self.config.line_limits == "lenient"

    def dialogue(self) -> Dialogue:
        """Return the share of one session in the script. An engine asks for it when it begins."""
        return self.script.dialogue()

    @property
    def greeting(self) -> bytes | None:
        """The greeting to send instead of the honest one, or None."""
        greet = self.one(Greet)
        return greet.data if greet else None

    def advertised(self, names: tuple[str, ...], *, over_tls: bool) -> tuple[str, ...]:
        """Return the honest capability lines *names* as this server announces them on one layer.

        A line is hidden by its first word (``"AUTH PLAIN LOGIN"`` by ``"AUTH"``).
        """
        if not self._deviations:
            return names
        kept = tuple(name for name in names if name.split()[0] not in self._hidden)
        added = tuple(x for d in self.all(Announce) if d.over_tls is over_tls for x in d.lines)
        return kept + added

    def may_start_tls(self, *, over_tls: bool) -> bool:
        """True when STARTTLS is offered: the server wants it and TLS is not active yet."""
        return self.config.security is Security.STARTTLS and not over_tls

    def mechanisms(self, peer: Peer | None, *, over_tls: bool) -> tuple[str, ...]:
        """Return the mechanisms that are accepted on one connection.

        Args:
            peer: The other end of its TLS. Without a certificate that names somebody there is no EXTERNAL: it rests
                on what was shown outside of it (RFC 4422 appendix A).
            over_tls: Whether TLS is active.
        """
        if not over_tls:
            return self.config.auth.before_tls
        taken = self.config.auth.mechanisms
        if "EXTERNAL" not in taken or (peer is not None and peer.identities()):
            return taken
        return tuple(name for name in taken if name != "EXTERNAL")

    def announced_mechanisms(self, peer: Peer | None, *, over_tls: bool) -> tuple[str, ...]:
        """Return the SASL mechanisms that are announced on one connection: the accepted ones, or none."""
        if not self.config.auth.advertised:
            return ()
        return tuple(name for name in self.mechanisms(peer, over_tls=over_tls) if name != "APOP")

    @property
    def takes_apop(self) -> bool:
        """True when the POP3 greeting carries a timestamp, which is how APOP is announced (RFC 1939 section 7).

        There is no other greeting after STLS, so what is accepted on either layer counts.
        """
        return "APOP" in self.config.reachable_mechanisms

    def may_authenticate(self, mechanism: str, peer: Peer | None, *, over_tls: bool) -> bool:
        """True when this mechanism (any case) is accepted on one connection."""
        return mechanism.upper() in self.mechanisms(peer, over_tls=over_tls)

    @property
    def binds_channels(self) -> bool:
        """True when a mechanism is accepted that binds to the TLS connection (RFC 5802 section 6)."""
        return any(name.endswith("-PLUS") for name in self.config.auth.mechanisms)

    @property
    def of_tls(self) -> dict[str, bool]:
        """What TLS has to know beyond its context."""
        return {"may_export": self.binds_channels, "early_data": self.one(AllowEarlyData) is not None}

    def lacks_tls(self, mechanism: str, *, over_tls: bool) -> bool:
        """True when nothing but TLS is missing for this mechanism (any case) to be accepted."""
        return not over_tls and mechanism.upper() in self.config.auth.mechanisms

    def may_use_password_command(self, *, over_tls: bool) -> bool:
        """True when IMAP LOGIN and POP3 USER/PASS are accepted on this layer."""
        where = self.config.auth.password_commands
        return where == "always" or (where == "tls" and over_tls)

    def desk(self, peer: Peer | None, mechanism: str = "") -> Desk:
        """Return the desk at which a client of one connection logs in with *mechanism*."""
        return Desk(self.config.host, self.logins, peer, mechanism, self._deviations)


def _answered(answer: Answer, line: bytes) -> Act:
    """Return how a command is answered otherwise."""
    ends: dict[str, Close | Reset] = {"close": Close(), "reset": Reset()}
    return Act(
        "hung up" if answer.end else "answer",
        partial(fill, answer.reply, line=line),
        end=ends.get(answer.end),
        rest=partial(fill, answer.rest) if answer.rest else None,
        pause=answer.pause,
    )
