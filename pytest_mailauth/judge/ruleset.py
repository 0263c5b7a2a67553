"""What is asked of a client: a profile of scenarios, a version of the rules, and whether a SHOULD counts.

A version holds every rule and scenario that came with it or before it. A build that names one meets no rule that came
later; within a version only errors are mended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Verdict

if TYPE_CHECKING:
    from pytest_mailauth.judge.scenarios.scenario import Scenario
    from pytest_mailauth.model.trial import Finding

VERSIONS: Final = ("2026.1",)
"""The versions of the rules, oldest first."""

PROFILES: Final = {
    "core": "what every client can be asked, with the TLS library of this Python",
    "full": "and what takes the client's own words, a task of its own, or more time",
    "extended": "and old TLS by a second TLS library (extra: legacy), and what is looked up on the way",
}
"""The profiles by size, each with what it adds to those before it."""

STRICT: Final = "strict"
"""Beside or in place of a profile: a SHOULD that is not followed is a violation. Alone it means all of ``full``."""


@dataclass(frozen=True)
class RuleSet:
    """What is asked.

    Attributes:
        profile: ``"core"`` (default), ``"full"``, ``"extended"``, ``"strict"``, or a size and strict:
            ``"extended,strict"``.
        rules: A version of the rules; the newest by default.

    Raises:
        ConfigError: There is no such profile or version.

    Examples:
        >>> RuleSet("extended,strict", rules="2026.1").is_strict
        True
    """

    profile: str = "core"
    rules: str = VERSIONS[-1]

    def __post_init__(self) -> None:
        words = self._words
        sizes = [word for word in words if word in PROFILES]
        if len(sizes) > 1 or set(words) - {*PROFILES, STRICT} or len(set(words)) < len(words):
            names = ", ".join((*PROFILES, STRICT))
            raise ConfigError(f"profile={self.profile!r} is not known; use one of {names}, or two: 'extended,strict'")
        if self.rules not in VERSIONS:
            raise ConfigError(f"rules={self.rules!r} is not known; use one of {', '.join(VERSIONS)}")

    @property
    def _words(self) -> list[str]:
        return [word.strip() for word in self.profile.split(",")]

    @property
    def is_strict(self) -> bool:
        """Whether a SHOULD counts."""
        return STRICT in self._words

    @property
    def size(self) -> str:
        """The profile of scenarios."""
        return next((word for word in self._words if word in PROFILES), "full")

    def has(self, scenario: Scenario) -> bool:
        """Return whether a scenario is run."""
        sizes = list(PROFILES)
        return sizes.index(scenario.profile) <= sizes.index(self.size) and self._came_by(scenario.since)

    def asks(self, rule: str) -> bool:
        """Return whether a rule is asked."""
        return self._came_by(RULES[rule].since)

    def weighed(self, finding: Finding) -> Finding:
        """Return a finding as it counts: under ``strict`` a SHOULD that was not followed is a violation."""
        if not (self.is_strict and finding.should and finding.verdict is Verdict.NOTE):
            return finding
        return replace(finding, verdict=Verdict.VIOLATION)

    def _came_by(self, version: str) -> bool:
        return VERSIONS.index(version) <= VERSIONS.index(self.rules)


EVERYTHING: Final = RuleSet("extended")
"""Every scenario and rule there is."""


def chosen(profile: str | None, rules: str | None, *, by_name: bool = False) -> RuleSet:
    """Return what somebody chose.

    Args:
        profile: A profile; None for ``core``.
        rules: A version of the rules; None for the newest.
        by_name: Whether scenarios were named: they are run whatever their profile.

    Raises:
        ConfigError: There is no such profile or version.
    """
    asked = RuleSet(profile or "core", rules or VERSIONS[-1])
    if not by_name:
        return asked
    return replace(asked, profile=f"extended,{STRICT}" if asked.is_strict else "extended")
