"""Replaces functions of other modules, and puts them back: also when others do the same in between, in any order.

Each time a new function is put over whatever is found. One that somebody else has built upon cannot be taken away
without taking theirs: it stays where it is and only passes on, until it is found on top again.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Replacement = Callable[..., Any]

_MARK: Final = "__mailauth_patch__"
_INHERITED: Final = object()
_here = threading.local()


class Patch:
    """One function that is replaced.

    Args:
        owner: A module or a class.
        name: The name of the function in it.
        replacement: Called in place of it with the real one, and then its arguments.
        leads: Whether what it calls of the replaced functions is the real ones. Not so for one that only looks on:
            what is led goes on below it.
    """

    def __init__(self, owner: Any, name: str, replacement: Replacement, leads: bool = True) -> None:  # noqa: FBT001, FBT002 - a row of a table
        self._owner = owner
        self._name = name
        self._own = own = _uncovered(vars(owner).get(name, _INHERITED))
        real = _inherited(owner, name) if own is _INHERITED else own
        is_method = isinstance(owner, type)
        self._alive = True

        def function(*arguments: Any, **keywords: Any) -> Any:
            __tracebackhide__ = True  # a user's failure ends in the user's library
            call = functools.partial(_bound, real) if is_method else real
            if not self._alive or (leads and inside()):
                return call(*arguments, **keywords)
            if not leads:
                return replacement(call, *arguments, **keywords)
            _here.inside = True
            try:
                return replacement(call, *arguments, **keywords)
            finally:
                _here.inside = False

        functools.update_wrapper(function, real)
        setattr(function, _MARK, self)
        self._function = function
        setattr(owner, name, function)

    def take_away(self) -> None:
        """Put back what was there; if somebody has built upon it, pass on only from now on."""
        self._alive = False
        if vars(self._owner).get(self._name) is not self._function:
            return
        if self._own is _INHERITED:
            delattr(self._owner, self._name)  # it comes to light again
        else:
            setattr(self._owner, self._name, self._own)

    def is_left_over(self, function: Any) -> bool:
        """Return whether *function* is this patch's, which is over. Whoever wraps a function copies its marks."""
        return function is self._function and not self._alive

    @property
    def own(self) -> Any:
        """What was there before."""
        return self._own


def inside() -> bool:
    """Return whether this thread is in one of the replacements, where the real functions are called on purpose."""
    return getattr(_here, "inside", False)


@contextlib.contextmanager
def calling_the_real_ones() -> Iterator[None]:
    """Let this thread call the real functions, and be watched by nobody, for what is ours and no client's."""
    before, _here.inside = inside(), True
    try:
        yield
    finally:
        _here.inside = before


def replace(table: Iterable[tuple[Any, ...]]) -> list[Patch]:
    """Replace every function of *table*, or none of them when one cannot be."""
    done: list[Patch] = []
    try:
        for row in table:
            done.append(Patch(*row))  # noqa: PERF401 - those that were made are undone when another fails
    except BaseException:
        restore(done)
        raise
    return done


def restore(patches: list[Patch]) -> None:
    """Put everything back, the last one first."""
    for patch in reversed(patches):
        patch.take_away()


def _uncovered(found: Any) -> Any:
    """Return what is beneath patches that are over."""
    while isinstance(patch := getattr(found, _MARK, None), Patch) and patch.is_left_over(found):
        found = patch.own
    return found


def _inherited(owner: Any, name: str) -> Any:
    return next(vars(one)[name] for one in owner.__mro__[1:] if name in vars(one))


def _bound(real: Any, self: Any, *arguments: Any, **keywords: Any) -> Any:
    # As Python itself does it: a function of a class takes the object, another callable does not.
    get = getattr(type(real), "__get__", None)
    return (real if get is None else get(real, self, type(self)))(*arguments, **keywords)
