"""What all settings have in common: a name that is misspelt and a value of the wrong kind are told when they are made.

Each message names the setting and what would be taken instead. What a setting means stands beside the setting.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pytest_mailauth.model.errors import ConfigError, UnknownSetting

_T = TypeVar("_T")


def known_by_name(**parts: type) -> Callable[[type[_T]], type[_T]]:
    """Return a decorator that lets a class refuse unknown keyword arguments with the closest known name.

    Args:
        parts: Settings of the class that are settings themselves. A name that belongs to one of them is sent there.
    """

    def decorate(kind: type[_T]) -> type[_T]:
        made = kind.__init__
        own = _names(kind)

        @functools.wraps(made)
        def checked(self: Any, *args: Any, **settings: Any) -> None:
            for name in settings:
                if name not in own:
                    raise UnknownSetting(f"{kind.__name__} has no setting {name!r}; {_remedy(name, own, parts)}")
            made(self, *args, **settings)

        kind.__init__ = checked  # type: ignore[method-assign]
        return kind

    return decorate


def _names(kind: type) -> tuple[str, ...]:
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return tuple(inspect.signature(kind.__init__).parameters)[1:]  # type: ignore[misc]


def _remedy(name: str, own: tuple[str, ...], parts: Mapping[str, type]) -> str:
    for part, kind in parts.items():
        if name in _names(kind):
            return f"it belongs to {kind.__name__}: {part}={kind.__name__}({name}=...)"
    close = difflib.get_close_matches(name, own, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(own)}"


def names_of(value: object, setting: str, what: str) -> tuple[str, ...]:
    """Return *value* as a tuple of strings.

    Raises:
        ConfigError: It is one string, or no list of strings.
    """
    if isinstance(value, str) or not isinstance(value, list | tuple | set | frozenset):
        one = f", not one string: {setting}=({value!r},)" if isinstance(value, str) else ""
        raise ConfigError(f"{setting}={value!r} must be a list of {what}{one}")
    for item in value:
        if not isinstance(item, str):
            raise ConfigError(f"{setting}: {item!r} is not one of the {what}; give text")
    return tuple(value)


def check_switches(settings: object, *names: str) -> None:
    """Check that these settings are True or False.

    Raises:
        ConfigError: One is not: the text ``"no"`` would count as yes.
    """
    for name in names:
        value = getattr(settings, name)
        if not isinstance(value, bool):
            raise ConfigError(f"{name}={value!r} must be True or False")


def check_number(value: object, setting: str, least: int) -> None:
    """Check that *value* is a whole number of at least *least*.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{setting}={value!r} must be a whole number, at least {least}")
    if value < least:
        raise ConfigError(f"{setting}={value!r} must be at least {least}")


def check_seconds(value: object, setting: str, example: str) -> None:
    """Check that *value* is a number of seconds, whole or not, and not below zero.

    Raises:
        ConfigError: It is not. The message goes on with *example*.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise ConfigError(f"{setting}={value!r} must be a number of seconds, 0 or more; use {example}")


def check_text(value: object, setting: str, example: str) -> None:
    """Check that *value* is text, and not empty.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{setting}={value!r} must be text such as {example}")


def check_rate(value: object, setting: str) -> None:
    """Check that *value* is a pair: so many in so many seconds.

    Raises:
        ConfigError: It is not.
    """
    match value:
        case (int() as most, int() | float() as seconds) if most >= 1 and seconds > 0:
            return
    raise ConfigError(f"{setting}={value!r} must be a number of attempts and of seconds, such as (5, 60.0)")


def check_mapping(value: object, setting: str, example: str) -> None:
    """Check that *value* maps text to text.

    Raises:
        ConfigError: It does not.
    """
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise ConfigError(f"{setting}={value!r} must be a mapping of texts such as {example}")


def check_callable(value: object, setting: str) -> None:
    """Check that *value* can be called, or is None.

    Raises:
        ConfigError: It cannot.
    """
    if value is not None and not callable(value):
        raise ConfigError(f"{setting}={value!r} must be a function, or None")
