"""The register of rules. A rule is a pure function from a trial to a finding; it imports the model and nothing else.

A rule that cannot tell says INCONCLUSIVE. No rule returns PASS unless its trigger was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.trial import Finding, Trial


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A documented security rule for mail clients.

    Attributes:
        name: Its name in the catalogue of rules.
        requirement: What a client must do, in one sentence.
        expected: What an obedient client does on the wire, in one sentence.
        sources: Paragraphs of the source document (S-numbers) and sections of RFCs.
        severity: ``"critical"``, ``"high"``, ``"medium"``, ``"low"`` or ``"info"``.
        advice: What the author of a client does about a violation.
        check: The function that looks at a trial.
        since: The rule set that it came with.
    """

    name: str
    requirement: str
    expected: str
    sources: tuple[str, ...]
    severity: str
    advice: str
    check: Callable[[Trial], Finding]
    since: str = "2026.1"


RULES: Final[dict[str, Rule]] = {}
"""Every rule by name. Filled by :func:`rule`."""


def rule(
    name: str, *, requirement: str, expected: str, sources: tuple[str, ...], severity: str, advice: str
) -> Callable[[Callable[[Trial], Finding]], Callable[[Trial], Finding]]:
    """Register the decorated function as the rule *name*."""

    def register(check: Callable[[Trial], Finding]) -> Callable[[Trial], Finding]:
        if name in RULES:
            raise ValueError(f"two rules are called {name!r}")
        RULES[name] = Rule(
            name=name,
            requirement=requirement,
            expected=expected,
            sources=sources,
            severity=severity,
            advice=advice,
            check=check,
        )
        return check

    return register
