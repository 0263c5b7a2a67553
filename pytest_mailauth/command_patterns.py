"""The commands of a session against a list of what they should be, and where the two part.

Nothing here knows a server or a protocol: a command is a verb and a line that may be shown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import EllipsisType

    from pytest_mailauth.model.events import Command

ANY: Final = "..."
_WILD: Final = {"*": ".*", "?": "."}


class Mismatch(NamedTuple):
    """Where the commands left the pattern: in a sentence, and as lines marked with ``-`` and ``+``."""

    reason: str
    lines: tuple[str, ...]


class Pattern:
    """A list of commands with gaps.

    Args:
        items: Verbs, lines with ``*`` and ``?``, and Ellipsis for any run of commands.

    Raises:
        ConfigError: The list is empty, is one string, or holds something else.

    Examples:
        >>> from pytest_mailauth.model.events import Command
        >>> sent = [Command("EHLO", b"me", "EHLO me"), Command("QUIT", b"", "QUIT")]
        >>> Pattern(["EHLO", ..., "QUIT"]).compare(sent)
        >>> Pattern(["EHLO *", "NOOP"]).compare(sent).reason
        'command 2 is QUIT, not NOOP'
    """

    def __init__(self, items: Sequence[str | EllipsisType]) -> None:
        if isinstance(items, str) or not items:
            raise ConfigError(f"pattern={items!r} must be a list of commands, for example ['EHLO', ..., 'QUIT']")
        for item in items:
            if item is not ... and not (isinstance(item, str) and item.strip()):
                raise ConfigError(f"{item!r} in the pattern is neither a command nor an Ellipsis")
        self._items = tuple(ANY if item is ... else str(item).strip() for item in items)
        self._tests = tuple(None if item == ANY else _line(item) for item in self._items)

    def __str__(self) -> str:
        return ", ".join(self._items)

    def compare(self, commands: Sequence[Command]) -> Mismatch | None:
        """Return where *commands* leave the pattern, or None if they do not."""
        reached = self._reached(commands)
        if (len(self._items), len(commands)) in reached:
            return None
        # As far as the pattern can be followed, and there as early as possible: the rest is what is in the way.
        at = max(reached, key=lambda place: (place[0], -place[1]))
        return Mismatch(self._reason(at, commands), tuple(self._lines(at, commands)))

    def _matches(self, item: int, command: Command) -> bool:
        test = self._tests[item]
        return test is not None and (
            self._items[item].upper() == command.verb or test.fullmatch(command.line) is not None
        )

    def _reached(self, commands: Sequence[Command]) -> dict[tuple[int, int], None]:
        """Return how many items and commands can be read together from the start, every pair of them."""
        reached = {(0, 0): None}
        places = [(0, 0)]
        for item, sent in places:  # grows while it is walked
            if item == len(self._items):
                continue
            more = sent < len(commands)
            following = []
            if self._tests[item] is None:
                following += [(item + 1, sent), (item, sent + 1)] if more else [(item + 1, sent)]
            elif more and self._matches(item, commands[sent]):
                following.append((item + 1, sent + 1))
            places += [place for place in following if place not in reached]
            reached |= dict.fromkeys(following)
        return reached

    def _reason(self, at: tuple[int, int], commands: Sequence[Command]) -> str:
        item, sent = at
        if item == len(self._items):
            return f"the list ends before command {sent + 1}, {commands[sent].line}"
        wanted = self._items[item]
        if sent == len(commands) or self._tests[item - 1 if item else 0] is None:
            return f"{wanted} never came" + (f" after command {sent}, {commands[sent - 1].line}" if sent else "")
        return f"command {sent + 1} is {commands[sent].line}, not {wanted}"

    def _lines(self, at: tuple[int, int], commands: Sequence[Command]) -> list[str]:
        item, sent = at
        lines = [f"  {command.line}" for command in commands[:sent]]
        lines += [f"- {wanted}" for wanted in self._items[item:]]
        return lines + [f"+ {command.line}" for command in commands[sent:]]


def _line(item: str) -> re.Pattern[str]:
    # Not fnmatch: brackets are common in IMAP, and mean themselves.
    return re.compile("".join(_WILD.get(c, re.escape(c)) for c in item), re.IGNORECASE | re.DOTALL)
