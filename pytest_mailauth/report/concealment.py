"""What pytest shows of a failed test, without the secrets in it: the comparison of an assertion, and the report.

pytest compares texts character by character and shows raw values; a Secret that hides from ``repr`` is a text too.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.canary import SHOWN, Secret, redact, replacements
from pytest_mailauth.model.transcript import presentable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DEPTH: Final = 5
"""How deep a Secret is looked for inside collections and records."""
_WIDTH: Final = 240
"""Characters of an operand that are shown."""
_FEWEST: Final = 4
"""Characters of a secret that are hidden where a text was cut in the middle of it."""
_CUT: Final = re.compile(r"(\.{3,}|\u2026)")
"""How pytest and ``reprlib`` show that something was left out."""
_HOME: Final = "_pytest._code"
"""The module of the objects that make up a report, which hold nothing but texts and each other."""


def conceal_comparison(told: list[list[str]], op: str, left: object, right: object) -> list[list[str]]:
    """Return what may be shown of a comparison that did not hold; *told* is what pytest would choose from."""
    secrets = {*_held(left), *_held(right)}
    if not secrets:
        return told
    hidden = tuple((str(secret), SHOWN) for secret in secrets)

    def short(value: object) -> str:
        text = redact(repr(value), hidden)
        return text if len(text) <= _WIDTH else f"{text[: _WIDTH // 2]}...{text[-_WIDTH // 2 :]}"

    lines = next(filter(None, told), None)
    summary = [f"{short(left)} {op} {short(right)}", ""]
    if isinstance(left, Secret) or isinstance(right, Secret):
        lines = [*summary, "The text of a Secret is not shown."]
    elif lines is not None and type(left) is type(right) and (names := _fields(left)):
        # pytest would compare the fields one by one, texts character by character.
        pairs = [(name, getattr(left, name), getattr(right, name)) for name in names]
        lines = [*summary, *(f"{name}: {short(one)} != {short(two)}" for name, one, two in pairs if one != two)]
    return [] if lines is None else [[redact(line, hidden) for line in lines]]


def conceal_texts(left: str, right: str, hidden: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    """Return two texts that are compared without the hidden values, or None where there is nothing to hide.

    Of long texts pytest leaves out what is the same, without a mark, and may show the end of a secret alone.
    """
    clean = redact(left, hidden), redact(right, hidden)
    # A label may hold a secret that is an everyday word: there is no end to hiding that.
    settled = clean == (redact(clean[0], hidden), redact(clean[1], hidden))
    return clean if settled and clean != (left, right) else None


def _without_halves(text: str, hidden: tuple[tuple[str, str], ...]) -> str:
    """Return *text* with labels for what is left of a hidden value where something was cut out: pytest cuts first."""
    pieces = _CUT.split(text)
    if len(pieces) == 1:
        return text
    forms = replacements(hidden)
    for at in range(0, len(pieces), 2):
        if at + 1 < len(pieces):
            pieces[at] = _without_beginning(pieces[at], forms)
        if at:
            pieces[at] = _without_end(pieces[at], forms)
    return "".join(pieces)


def _without_beginning(text: str, forms: Sequence[tuple[str, str]]) -> str:
    """Return *text* with a label for the longest beginning of a form that it ends with."""
    found = [(size, label) for form, label in forms if (size := _shared(form, text))]
    size, label = max(found, default=(0, ""))
    return text[: len(text) - size] + label


def _without_end(text: str, forms: Sequence[tuple[str, str]]) -> str:
    """Return *text* with a label for the longest end of a form that it begins with."""
    found = [(size, label) for form, label in forms if (size := _shared(text, form))]
    size, label = max(found, default=(0, ""))
    return label + text[size:]


def _shared(beginning: str, end: str) -> int:
    """Return how many characters *beginning* begins with and *end* ends with, or 0 if they are too few to matter."""
    most = min(len(beginning), len(end))
    return next((size for size in range(most, _FEWEST - 1, -1) if end.endswith(beginning[:size])), 0)


def conceal_report(shown: object, hidden: tuple[tuple[str, str], ...]) -> object:
    """Return what a report shows of a failure with the hidden values replaced by their labels."""
    if isinstance(shown, str):
        return _without_halves(presentable(shown, hidden), hidden)
    if isinstance(shown, list):
        return [conceal_report(one, hidden) for one in shown]
    if type(shown) is tuple:
        return tuple(conceal_report(one, hidden) for one in shown)
    if type(shown).__module__.startswith(_HOME):
        for name, value in vars(shown).items():
            setattr(shown, name, conceal_report(value, hidden))
    return shown


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
