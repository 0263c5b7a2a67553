"""What asking a selector and driving a planner have in common: which laws are meant, and how Hypothesis is run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import HealthCheck, Phase, currently_in_test_context, settings

from pytest_mailauth.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_mailauth.judge.selection.laws import Law

_T = TypeVar("_T")


def meant(laws: Iterable[str] | None, table: Mapping[str, Law], kind: str) -> list[Law]:
    """Return the laws that a user named, or all of *table* for None.

    Args:
        laws: Names; one alone may be a text.
        table: Every law by name.
        kind: What a law of the table is called, such as ``"law of plans"``.

    Raises:
        ConfigError: There is no such law, or none is named.
    """
    names = table if laws is None else (laws,) if isinstance(laws, str) else tuple(laws)
    for name in names:
        if name not in table:
            raise ConfigError(f"there is no {kind} {name!r}; use some of {', '.join(table)}")
    if not names:
        raise ConfigError("laws= names no law, so nothing would be asked; leave it out to ask all of them")
    return [table[name] for name in names]


def unsaid(law: Law, answers: frozenset[str], what: str) -> str | None:
    """Return why a law cannot judge *answers*, which are called *what*; None when it can."""
    missing = sorted(law.answers - answers)
    if not missing:
        return None
    return f"the {what} do not say {missing[0]}; return a settings object, a mapping or a Choice that does"


def repeatable(examples: int, **more: Any) -> settings:
    """Return the settings of Hypothesis under which every run asks the same, and nothing is kept."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=(HealthCheck.too_slow,),
        report_multiple_bugs=False,
        **more,
    )


def apart(do: Callable[[], _T]) -> _T:
    """Do something with Hypothesis here; in another thread when a test with ``@given`` is running in this one.

    Hypothesis minds that another property is made or run inside one, and knows of it by the thread.
    """
    if not currently_in_test_context():
        return do()
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(do).result()
