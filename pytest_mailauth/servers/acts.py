"""What a server does about one command when it does not simply carry it out, and the faults that a seed chooses.

Both are values: an act says in outputs what is to happen, and no engine needs to know why.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.events import Deviated
from pytest_mailauth.servers.engines.contract import Close, Drip, Reset, Send, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_mailauth.servers.engines.contract import Output

FAULTS: Final = ("drop", "reset", "delay", "garble")


class Act(NamedTuple):
    """What to do about one command.

    Attributes:
        kind: What the record calls it.
        said: Makes the reply from the tag of the IMAP command that is answered; None for none, or the honest one.
        wait: Seconds before the reply.
        drip: Seconds between two bytes of the reply; 0 sends it in one piece.
        end: How the connection ends behind the reply, or None.
        precedes: Whether the honest reply follows what is said.
        rest: Makes what follows the reply; None for nothing.
        pause: Seconds before that.
    """

    kind: str
    said: Callable[[bytes], bytes] | None = None
    wait: float = 0.0
    drip: float = 0.0
    end: Close | Reset | None = None
    precedes: bool = False
    rest: Callable[[bytes], bytes] | None = None
    pause: float = 0.0

    @property
    def carries_out(self) -> bool:
        """True when the command is carried out all the same, and its honest reply follows."""
        return (self.said is None or self.precedes) and self.end is None

    @property
    def ends(self) -> bool:
        """True when the session is over behind it."""
        return self.end is not None

    def outputs(self, verb: str, tag: bytes = b"*") -> list[Output]:
        """Return what happens, up to where the honest reply would follow."""
        data = self.said(tag) if self.said else b""
        return [
            Deviated(self.kind, verb, data),
            *([Wait(self.wait)] if self.wait else []),
            *([Drip(self.drip)] if self.drip else []),
            *([Send(data)] if data else []),
            *([Wait(self.pause)] if self.rest else []),
            *([Send(self.rest(tag))] if self.rest else []),
            *([self.end] if self.end is not None else []),
        ]


def garbage(seed: int | str) -> Callable[[bytes], bytes]:
    """Return a line that means nothing in any protocol, as a reply; the same seed gives the same line."""
    # Not for secrets: it has to be the same each time.
    chance = random.Random(f"garbage {seed}")  # noqa: S311
    line = bytes(chance.choices(range(0x80, 0x100), k=8 + chance.randrange(24))) + b"\r\n"
    return lambda _tag: line


class Faults(NamedTuple):
    """Faults that look random and are not: a fault follows from the seed and from where in the talk it falls.

    Attributes:
        seed: Chooses them.
        rate: The share of commands that meet one.
        kinds: Which ones there are.
        seconds: How long a delay lasts.
    """

    seed: int | str
    rate: float
    kinds: tuple[str, ...]
    seconds: float

    @classmethod
    def checked(cls, seed: int | str, rate: float, kinds: Iterable[str], seconds: float) -> Faults:
        """Return the faults.

        Raises:
            ConfigError: The rate is no share, or there is no such kind.
        """
        wanted = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        if not 0 <= rate <= 1:
            raise ConfigError(f"faults: rate={rate!r} is not a share of the commands; give a number from 0 to 1")
        if not wanted or set(wanted) - set(FAULTS):
            raise ConfigError(f"faults: kinds={kinds!r}; give one or more of {', '.join(FAULTS)}")
        return cls(seed, rate, wanted, seconds_of("faults", seconds))

    def act(self, session: int, number: int) -> Act | None:
        """Return the fault that one command meets, or None.

        Args:
            session: Which connection it comes on, from 1.
            number: How many commands came before it on this connection.
        """
        place = f"{self.seed} {session} {number}"
        chance = random.Random(place)  # noqa: S311 - see above
        if chance.random() >= self.rate:
            return None
        kind = self.kinds[int(chance.random() * len(self.kinds))]
        named = f"scripted {kind} (faults, seed={self.seed!r})"
        match kind:
            case "drop":
                return Act(named, end=Close())
            case "reset":
                return Act(named, end=Reset())
            case "delay":
                return Act(named, wait=self.seconds)
            case _:
                return Act(named, garbage(place))


def seconds_of(what: str, seconds: float) -> float:
    """Return a time that somebody can wait.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(seconds, int | float) or not 0 < seconds <= 3600:
        raise ConfigError(f"{what}: {seconds!r} is not a time; give seconds, more than 0 and at most 3600")
    return float(seconds)
