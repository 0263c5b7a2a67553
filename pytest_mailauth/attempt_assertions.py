"""What a test asserts about the attempts of its clients to connect: which, how strong, and how long.

Each function asks one question of ``network.attempts``, and fails with the list of attempts and the transcript of the
one that is at fault. None of them passes on an empty list: a client that tried nothing has not done anything right.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple, NoReturn

from pytest_mailauth.model.attempts import Attempt, AttemptOutcome, Strength
from pytest_mailauth.model.config import choose
from pytest_mailauth.model.diagnosis import diagnose, ending
from pytest_mailauth.model.errors import ClientViolation, ConfigError
from pytest_mailauth.model.events import Command, HandshakeEnded, HelloSeen
from pytest_mailauth.model.exchanges import TLS_STARTERS, is_operation
from pytest_mailauth.model.terms import Layer
from pytest_mailauth.model.transcript import presentable
from pytest_mailauth.network.network import Network
from pytest_mailauth.report.claims import told

Entry = int | tuple[str, int] | tuple[str, int, str]
"""What is expected of one attempt: its port; name and port; name, port and outcome."""

_HIGHEST: Final = 65_535
_ENTRY: Final = "give a port, (name, port), or (name, port, outcome)"
_MODES: Final = {
    Strength.CLEAR: "in clear",
    Strength.RELAY: "explicit TLS on port 25, which is for relaying",
    Strength.EXPLICIT: "explicit TLS",
    Strength.IMPLICIT: "implicit TLS",
}


class _Wanted(NamedTuple):
    """One expected attempt. ``name`` is in lower case, with ``*`` and ``?``; None for any name and any outcome."""

    port: int
    name: str | None
    outcome: AttemptOutcome | None

    def __str__(self) -> str:
        host = f"{self.name or '*'}:{self.port}"
        return host if self.outcome is None else f"{host} {self.outcome}"

    def fits(self, attempt: Attempt) -> bool:
        said = {(attempt.name or "").lower().rstrip("."), attempt.address} - {""}
        named = self.name is None or any(fnmatch.fnmatchcase(one, self.name) for one in said)
        return named and self.port == attempt.port and self.outcome in (None, attempt.outcome)


class _Question:
    """The attempts that an assertion asks about, and how it fails.

    Raises:
        ConfigError: There is no network and no list of attempts.
    """

    def __init__(self, name: str, network: Network | Iterable[Attempt], expected: str) -> None:
        __tracebackhide__ = True
        self._name = name
        self._expected = expected
        self._servers = network.servers.servers if isinstance(network, Network) else ()
        self.attempts = tuple(network.attempts if isinstance(network, Network) else network)
        if not all(isinstance(one, Attempt) for one in self.attempts):
            raise ConfigError(f"{name} needs a network, or a list of its attempts")
        if not self.attempts:
            self.fail("no client tried to connect", None)

    def fail(self, actual: str, attempt: Attempt | None, compared: Sequence[str] = ()) -> NoReturn:
        """Fail, with the attempts and the transcript of the one concerned.

        Raises:
            ClientViolation: Always.
        """
        __tracebackhide__ = True
        hidden = [value for server in self._servers for value in server.hidden]
        hidden += [value for one in self.attempts if one.session is not None for value in one.session.hidden]
        values = tuple(dict.fromkeys(hidden))
        session = attempt.session if attempt is not None else None
        listed = [f"{one.number}. {one}" for one in self.attempts]
        text = told(
            self._name,
            self._expected,
            actual,
            {"Compared": compared} if compared else {"Attempts": listed},
            transcript=session.transcript() if session is not None else None,
            diagnosis=ending(diagnose(attempts=self.attempts, hidden=values)) if self.attempts else (),
        )
        raise ClientViolation(presentable(text, values))


def assert_attempts(network: Network | Iterable[Attempt], expected: Sequence[Entry]) -> None:
    """Assert what the clients tried, from the first attempt to the last, and nothing else.

    Args:
        network: The network, or a list of its attempts.
        expected: An attempt each: its port (``587``), name and port (``("smtp.example.test", 587)``), or name, port
            and outcome (``("smtp.example.test", 25, "timeout")``). In a name, ``*`` stands for any characters and
            ``?`` for one; upper and lower case are the same. An address is a name, too.

    Raises:
        ClientViolation: The attempts are others, or there are none.
        ConfigError: *expected* is empty, or an entry is none of these.

    Examples:
        >>> import smtplib
        >>> from pytest_mailauth import MailServers, Network, assert_attempts
        >>> with MailServers() as servers, Network(servers) as network:
        ...     _ = network.host("smtp.example.test").smtp(587)
        ...     smtplib.SMTP("smtp.example.test", 587, timeout=5).close()
        ...     assert_attempts(network, [("smtp.example.test", 587, "connected")])
    """
    __tracebackhide__ = True
    if isinstance(expected, str | bytes) or not isinstance(expected, Sequence):
        raise ConfigError(f"expected={expected!r} is no list of attempts; {_ENTRY} for each")
    if not expected:
        raise ConfigError("expected is empty; that nothing was tried is said by `assert not network.attempts`")
    wanted = [_wanted(one) for one in expected]
    said = f"The clients try {', '.join(map(str, wanted))}, and nothing else."
    question = _Question("assert_attempts", network, said)
    for at, (one, attempt) in enumerate(zip_longest(wanted, question.attempts), start=1):
        if one is None or attempt is None or not one.fits(attempt):
            question.fail(_difference(at, one, attempt), attempt, _compared(wanted, question.attempts))


def assert_never_weaker(network: Network | Iterable[Attempt], *, allow_explicit: bool = False) -> None:
    """Assert that no attempt is weaker than an earlier one for the same protocol: no fallback, on any port or name.

    Strongest first: implicit TLS; explicit TLS, with nothing but discovery and STARTTLS in clear; the same on port 25;
    anything else in clear. What a client did decides; where it did nothing, what its port stands for. So a fallback
    from 993 to 143, or from 465 to 587 to 25, is seen even if the last port is closed, and a second try in clear on the
    same port is, too. So is going on in clear after STARTTLS on the same connection.

    Sources: S11, S13, S14; RFC 8314 section 5.2.

    Args:
        network: The network, or some of its attempts: those of one name, where several accounts are used.
        allow_explicit: Whether explicit TLS is as good as implicit TLS (S14: the client may choose). Then 587 after 465
            is no fallback as long as nothing but discovery and STARTTLS is said in clear; port 25 still is one.
            Default False.

    Raises:
        ClientViolation: An attempt was weaker, none was made, or none shows how strong it was.
    """
    __tracebackhide__ = True
    question = _Question("assert_never_weaker", network, "No attempt is weaker than an earlier one.")
    ranked = [(one, one.strength) for one in question.attempts if one.strength is not None]
    if not ranked:
        question.fail("no attempt shows how strong it was meant to be", question.attempts[0])
    for at, (attempt, strength) in enumerate(ranked):
        gave_up = _turned_to_clear(attempt)
        if gave_up is not None:
            question.fail(f"{_named(attempt)} {gave_up}", attempt)
        enough = Strength.EXPLICIT if allow_explicit else Strength.IMPLICIT
        for earlier, other in reversed(ranked[:at]):
            if strength < min(other, enough) and _is_same_service(earlier, attempt):
                question.fail(
                    f"{_named(attempt)} was {_MODES[strength]}, after {_named(earlier)} was {_MODES[other]}", attempt
                )


def assert_bounded(network: Network | Iterable[Attempt], limit: float | None = None) -> None:
    """Assert that clients limit how long they wait for a connection (RFC 5321 section 4.5.3.2).

    A time-out is known of clients that set one on a blocking socket, and of those that met a port where nothing
    answers. At least one attempt has to show it.

    Args:
        network: The network, or a list of its attempts.
        limit: Seconds that are the most for a time-out on connecting; None (default) for any time-out.

    Raises:
        ClientViolation: A client would have waited for the system's own limit, or has a longer one than *limit*; no
            attempt was made, or none shows a time-out.
        ConfigError: *limit* is no positive number.
    """
    __tracebackhide__ = True
    if limit is not None and not limit > 0:
        raise ConfigError(f"limit={limit!r} must be a number of seconds above 0")
    most = "" if limit is None else f" of at most {limit:g} s"
    question = _Question("assert_bounded", network, f"Every client that connects has a time-out{most}.")
    known = []
    for attempt in question.attempts:
        if attempt.outcome is AttemptOutcome.UNBOUNDED:
            question.fail(f"{_named(attempt)} had none, and would have waited as long as the system does", attempt)
        seconds = [one for one in (attempt.timeout, attempt.waited) if one is not None]
        known += seconds
        if limit is not None and seconds and max(seconds) > limit:
            question.fail(f"{_named(attempt)} had one of {max(seconds):g} s", attempt)
    if not known:
        actual = "no attempt shows a time-out; let the client meet a port where nothing answers: network.block(port)"
        question.fail(actual, question.attempts[0])


def _wanted(entry: Entry) -> _Wanted:
    name, port, outcome = None, entry, None
    if isinstance(entry, tuple) and len(entry) in (2, 3):
        name, port, *rest = entry
        outcome = choose(AttemptOutcome, rest[0], "outcome") if rest else None
        if not isinstance(name, str) or not name:
            raise ConfigError(f"{entry!r} names no host; {_ENTRY}")
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= _HIGHEST:
        raise ConfigError(f"{entry!r} has no port; {_ENTRY}")
    return _Wanted(port, None if name is None else name.lower().rstrip("."), outcome)


def _difference(at: int, wanted: _Wanted | None, attempt: Attempt | None) -> str:
    if wanted is None:
        return f"the list ends before attempt {at}, {attempt}"
    return f"{wanted} never came" if attempt is None else f"attempt {at} is {attempt}, not {wanted}"


def _compared(wanted: Sequence[_Wanted], attempts: Sequence[Attempt]) -> list[str]:
    """Return both lists as one: ``-`` for what did not come, ``+`` for what came instead."""
    fitting = [next((str(one) for one in wanted if one.fits(attempt)), f"+{attempt.number}") for attempt in attempts]
    matcher = difflib.SequenceMatcher(None, [str(one) for one in wanted], fitting, autojunk=False)
    lines: list[str] = []
    for kind, first, last, start, end in matcher.get_opcodes():
        if kind == "equal":
            lines += [f"  {attempt}" for attempt in attempts[start:end]]
        else:
            lines += [f"- {one}" for one in wanted[first:last]]
            lines += [f"+ {attempt}" for attempt in attempts[start:end]]
    return lines


def _named(attempt: Attempt) -> str:
    return f"attempt {attempt.number} ({attempt.name or attempt.address}:{attempt.port})"


def _is_same_service(one: Attempt, other: Attempt) -> bool:
    """Return whether both are for the same protocol, as far as that is known."""
    return None in (one.service, other.service) or one.service is other.service


def _turned_to_clear(attempt: Attempt) -> str | None:
    """Return what a client went on with in clear on a connection on which it had asked for TLS."""
    if attempt.session is None:
        return None
    asked = False
    for entry in attempt.session.entries:
        fact = entry.fact
        if isinstance(fact, Command) and entry.layer is Layer.CLEAR:
            if asked and is_operation(attempt.session.protocol, fact):
                return f"asked for TLS and went on in clear with {fact.line}"
            asked = asked or fact.verb in TLS_STARTERS
        asked = asked or isinstance(fact, HelloSeen | HandshakeEnded)
    return None
