"""What pytest shows of a failed test, without the secrets in it: the comparison of an assertion, and the report.

pytest compares texts character by character and shows raw values; a Secret that hides from ``repr`` is a text too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.canary import SHOWN, Secret, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DEPTH: Final = 5
"""How deep a Secret is looked for inside collections and records."""
_WIDTH: Final = 240
"""Characters of an operand that are shown."""
_HOME: Final = "_pytest._code"
"""The module of the objects that make up a report, which hold nothing but texts and each other."""


def conceal_comparison(told: list[list[str]], op: str, left: object, right: object) -> list[list[str]]:
    """Return what may be shown of a comparison that did not hold; *told* is what pytest would choose from."""
    secrets = {*_held(left), *_held(right)}
    if not secrets:
        return told
    lines = next(filter(None, told), None)
    summary = [f"{_short(left)} {op} {_short(right)}", ""]
    if isinstance(left, Secret) or isinstance(right, Secret):
        lines = [*summary, "The text of a Secret is not shown."]
    elif lines is not None and type(left) is type(right) and (names := _fields(left)):
        # pytest would compare the fields one by one, texts character by character.
        pairs = [(name, getattr(left, name), getattr(right, name)) for name in names]
        lines = [*summary, *(f"{name}: {_short(one)} != {_short(two)}" for name, one, two in pairs if one != two)]
    hidden = tuple((str(secret), SHOWN) for secret in secrets)
    return [] if lines is None else [[redact(line, hidden) for line in lines]]


def conceal_report(shown: object, hidden: tuple[tuple[str, str], ...]) -> object:
    """Return what a report shows of a failure with the hidden values replaced by their labels."""
    if isinstance(shown, str):
        return redact(shown, hidden)
    if isinstance(shown, list):
        return [conceal_report(one, hidden) for one in shown]
    if type(shown) is tuple:
        return tuple(conceal_report(one, hidden) for one in shown)
    if type(shown).__module__.startswith(_HOME):
        for name, value in vars(shown).items():
            setattr(shown, name, conceal_report(value, hidden))
    return shown


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH // 2]}...{text[-_WIDTH // 2 :]}"


def _fields(value: object) -> Sequence[str]:
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value) if field.compare]
    return getattr(value, "_fields", ()) if isinstance(value, tuple) else ()


def _held(value: object, depth: int = _DEPTH) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif depth:
        inside: Sequence[object] = ()
        if isinstance(value, Mapping):
            inside = [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | AbstractSet):
            inside = list(value)
        elif dataclasses.is_dataclass(value):
            inside = [getattr(value, name) for name in _fields(value)]
        for one in inside:
            yield from _held(one, depth - 1)
