"""Secrets made for one test, and the search for them wherever the code under test may have left them.

Only looks, never hides: what finds its way into a log or an exception is the test's to judge. No server is needed.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.model.canary import Account, Secret, encodings, looks, redact
from pytest_mailauth.model.errors import ClientViolation, ConfigError
from pytest_mailauth.places import Place, places, put_back
from pytest_mailauth.report.text import explain_assertion, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

SHORTEST: Final = 8
"""Characters of the shortest secret that is searched for: a shorter one is found by chance."""
CONTEXT: Final = 40
"""Characters that are shown on either side of what was found."""
MOST: Final = 10
"""Findings that are shown; more are counted."""
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/=]*")


class Leak(NamedTuple):
    """A secret that was found: its label, where, in which encoding, and the text around it without it."""

    label: str
    place: str
    encoding: str
    around: str

    def __str__(self) -> str:
        return f"{self.label}, in {self.place}, as {self.encoding}: {self.around}"


class Secrets:
    """Credentials made for one test, searched for by :meth:`assert_absent`. The fixture ``mailauth_secrets`` is one.

    Args:
        others: Returns further accounts whose secrets are searched for; asked each time.
        more: Returns further secrets by label; asked each time.

    Attributes:
        account: An account that no server knows, with ``username``, ``password``, ``token`` and ``address``.

    Examples:
        >>> secrets = Secrets()
        >>> f"{secrets.password!r} {secrets.new('API key')!r}"
        'Secret(<redacted>) Secret(<redacted>)'
        >>> secrets.assert_absent("nothing to see here", {"password": "another one"})
    """

    def __init__(
        self, others: Callable[[], Iterable[Account]] = tuple, more: Callable[[], Mapping[str, Secret]] = dict
    ) -> None:
        self.account = Account.fresh()
        self._others = others
        self._more = more
        self._made: dict[str, Secret] = {}

    def __repr__(self) -> str:
        return f"<Secrets: {', '.join(('password', 'token', *self._made))}>"

    @property
    def username(self) -> str:
        """A login name made for this test. It is no secret, and not searched for."""
        return self.account.username

    @property
    def address(self) -> str:
        """The mail address that goes with it. No secret either."""
        return self.account.address

    @property
    def password(self) -> Secret:
        """A password made for this test."""
        return self.account.password

    @property
    def token(self) -> Secret:
        """A bearer token made for this test."""
        return self.account.token

    def new(self, label: str) -> Secret:
        """Return another unguessable secret, which failures call *label*.

        Raises:
            ConfigError: The label is empty or taken.
        """
        return self.watch(label, f"Cn{secrets.token_hex(12)}")

    def watch(self, label: str, value: str) -> Secret:
        """Search for *value* too, which comes from elsewhere, and return it as a :class:`Secret`.

        Raises:
            ConfigError: The label is empty or taken, or the value has less than 8 characters: it would be found
                by chance.
        """
        if not label or label in self._made or label in self.account.secrets:
            raise ConfigError(f"label={label!r} is {'taken' if label else 'empty'}; each secret needs one of its own")
        if len(value) < SHORTEST:
            raise ConfigError(f"{label} has less than {SHORTEST} characters and would be found by chance")
        self._made[label] = Secret(value)
        return self._made[label]

    def known(self) -> dict[str, Secret]:
        """Return everything that is searched for, by the label that failures show in its place."""
        known = {**self.account.secrets, **self._made, **self._more()}
        # Accounts may share an address, and are asked for again and again: what is known already is left out.
        values = set(known.values())
        for account in dict.fromkeys(self._others()):
            for name, secret in account.secrets.items():
                if len(secret) >= SHORTEST and secret not in values:
                    values.add(secret)
                    label = f"{name} of {account.address}"
                    known[f"{label} ({len(known)})" if label in known else label] = secret
        return known

    @property
    def hidden(self) -> tuple[tuple[str, str], ...]:
        """What must not be shown, each with the label to show in its place."""
        return tuple((str(secret), f"<{label}>") for label, secret in self.known().items())

    def assert_absent(self, *where: object, frame_locals: bool = False, attributes: bool = False) -> None:
        """Assert that none of the secrets is found in any of these places, in any encoding that mail uses.

        Encodings: plain, ISO-8859-1, UTF-16, quoted strings, JSON, HTML, Python's ``repr`` and ``ascii`` of text and
        bytes, percent-encoded, quoted-printable, hex, and base64 at any alignment; the last two over line breaks too.

        Args:
            where: Any mix of

                - ``caplog``, or log records: message, arguments, exception and every other attribute, of all phases
                  of the test. Nothing is consumed; records below the level that was captured were never there, so set
                  it first: ``caplog.set_level("DEBUG")``.
                - ``capsys``, ``capfd`` and their binary twins: what was printed since it was last read. It is put back,
                  so that a later ``readouterr()`` still returns it.
                - exceptions, or what ``pytest.raises`` gives: text, ``repr``, arguments, attributes, notes and
                  traceback, of all causes, contexts and members of groups.
                - ``recwarn``, or warnings.
                - strings and bytes, ``io.StringIO`` and ``io.BytesIO``; a :class:`pathlib.Path`: the content of a
                  file, or of all files below a folder, and their names.
                - mappings and other collections: each of their keys and items.
                - any other object: its ``repr`` and ``str``.
            frame_locals: Whether the ``repr`` of every local variable in the frames of a traceback is searched too, as
                reporters of errors and ``pytest --showlocals`` print it. Default False.
            attributes: Whether the attributes of objects are searched too, and those of the objects they hold, four
                deep: of objects that are given, of arguments and attributes of exceptions, of what log records carry.
                For what is pickled or serialised whole; a client itself may well know its password. Default False.
                No property is asked; modules, functions and classes are left out.

        Raises:
            ClientViolation: A secret was found. The text says which, where and in which encoding, and does not show it.
            ConfigError: There is nowhere to look, a path does not exist, or too many objects hang together.
        """
        __tracebackhide__ = True
        if not where:
            raise ConfigError("assert_absent needs to know where to look, for example assert_absent(caplog, capsys)")
        known = self.known()
        hidden = self.hidden
        found: dict[tuple[str, str], Leak] = {}
        searched: dict[str, None] = {}
        for one in where:
            captured = list(places(one, frame_locals=frame_locals, attributes=attributes))
            put_back(one, captured, lambda text: redact(text, hidden))
            for place in captured:
                searched[place.root] = None
                for label, secret in known.items():
                    leak = _search(place, label, secret, hidden)
                    if leak is not None:
                        # One leak is seen from many sides: as message and as argument, as text and as repr.
                        found.setdefault((label, leak.around), leak)
        if found:
            raise ClientViolation(_told(list(found.values()), list(searched)))


def _search(place: Place, label: str, secret: str, hidden: tuple[tuple[str, str], ...]) -> Leak | None:
    for data in looks(place.data):
        for encoding, form in encodings(secret):
            start = data.find(form)
            if start >= 0:
                end = start + len(form)
                if encoding == "base64":
                    start, end = _whole_word(data, start, end)
                before, after = data[max(0, start - CONTEXT) : start], data[end : end + CONTEXT]
                around = f"{_text(before)}<{label}>{_text(after)}"
                return Leak(label, redact(place.name, hidden), encoding, one_line(redact(around, hidden)))
    return None


def _whole_word(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Return the limits of the base64 around a finding: its edges hold the first and last characters of the secret."""
    while start and _BASE64.fullmatch(data[start - 1 : start]):
        start -= 1
    rest = _BASE64.match(data, end)
    return start, rest.end() if rest else end


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _told(leaks: list[Leak], searched: list[str]) -> str:
    lines = [f"- {leak}" for leak in leaks[:MOST]]
    if len(leaks) > MOST:
        lines.append(f"... and {len(leaks) - MOST} more")
    labels = ", ".join(dict.fromkeys(leak.label for leak in leaks))
    return explain_assertion(
        "assert_absent",
        expected=f"No secret of this test is found in {', '.join(searched)}.",
        actual=f"{labels} found",
        details={"Found": lines},
        step="Keep credentials out of what is logged, printed and raised: name the account, and leave the secret out.",
    )
