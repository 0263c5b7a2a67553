"""Rules and scenarios as a reader meets them: listed by name, explained one by one, and as JSON."""

from __future__ import annotations

import difflib
import json
import textwrap
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios import SCENARIOS, Setting
from pytest_mailauth.judge.selection.laws import LAWS
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.report.text import labelled

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_mailauth.judge.rules import Rule
    from pytest_mailauth.judge.scenarios import Scenario
    from pytest_mailauth.judge.selection.laws import Law

CLASSES: Final = {
    "A": "honest servers",
    "B": "modes and ports",
    "C": "blocked ports",
    "D": "STARTTLS taken away or refused",
    "E": "STARTTLS that does not start TLS",
    "F": "bytes injected before TLS",
    "G": "IMAP greetings that skip the login",
    "H": "mailboxes and state tampered with before TLS",
    "I": "texts that deceive the reader",
    "J": "referrals to other servers",
    "K": "TLS versions",
    "L": "cipher suites and other parameters of TLS",
    "M": "certificates and names",
    "N": "several protocols and services",
    "O": "policies for passwords",
    "P": "SCRAM",
    "Q": "OAuth 2.0",
    "R": "submission and relaying",
    "S": "fallback over several connections",
    "T": "discovery and automatic configuration",
    "U": "policies of MTAs",
    "V": "what the client itself sends",
    "W": "robustness",
    "X": "secrets outside the wire",
}
"""What the classes of scenarios are about."""

GROUND: Final = "control"
"""Explained like a rule, and never listed as one: it is what the rules stand on."""


def rules_json() -> str:
    """Return every rule as JSON, a list of objects; without the control, which is none."""
    return _json(
        {
            "name": rule.name,
            "requirement": rule.requirement,
            "expected": rule.expected,
            "severity": rule.severity,
            "sources": rule.sources,
            "since": rule.since,
            "advice": rule.advice,
            "scenarios": _scenarios_of(rule),
        }
        for rule in _rules()
    )


def scenarios_json() -> str:
    """Return every scenario as JSON, a list of objects; ``ids`` are its cases, one a protocol and mode."""
    return _json(
        {
            "name": scenario.name,
            "class": scenario.family,
            "summary": scenario.summary,
            "protocols": scenario.protocols,
            "modes": scenario.modes,
            "declared": scenario.only_for,
            "rules": scenario.rules,
            "severity": scenario.severity,
            "sources": scenario.sources,
            "profile": scenario.profile,
            "since": scenario.since,
            "catalogue": scenario.variant_of or scenario.name,
            "ids": _ids(scenario),
        }
        for scenario in SCENARIOS.values()
    )


def rules_text(width: int) -> str:
    """Return every rule with its requirement."""
    return "\n".join(
        f"{rule.name} ({rule.severity})\n{_wrapped(rule.requirement, width)}"
        for rule in sorted(_rules(), key=lambda rule: rule.name)
    )


def scenarios_text(width: int) -> str:
    """Return every scenario with its summary, class by class."""
    blocks = []
    for family in sorted({scenario.family for scenario in SCENARIOS.values()}):
        blocks.append(f"Class {family}: {CLASSES[family]}")
        for scenario in SCENARIOS.values():
            if scenario.family == family:
                only_for = "".join(f"; {name}={value}" for name, value in scenario.only_for.items())
                where = f"{', '.join(scenario.protocols)}; {', '.join(scenario.modes)}{only_for}"
                blocks.append(f"  {scenario.name} ({where})\n{_wrapped(scenario.summary, width)}")
    return "\n".join(blocks)


def explain(name: str, width: int) -> str:
    """Return what there is to say about a rule, a scenario, one case of a scenario, or a law of selection.

    Args:
        name: The name of a rule, a scenario or a law, or the id of a case, as the report shows them.
        width: Columns to wrap at.

    Raises:
        ConfigError: There is nothing of that name.
    """
    cases = {case: scenario for scenario in SCENARIOS.values() for case in _ids(scenario)}
    told = []
    if name in RULES:
        told.append(_explain_rule(RULES[name], width))
    if scenario := SCENARIOS.get(name) or cases.get(name):
        told.append(_explain_scenario(scenario, width))
    if name in LAWS:  # some rules, which look at the wire, and laws, which look at a choice, demand the same
        told.append(_explain_law(LAWS[name], width))
    if not told:
        text = unknown("rule, scenario or law", name, (*RULES, *SCENARIOS, *LAWS))
        raise ConfigError(f"{text} The laws are {', '.join(LAWS)}.")
    return "\n\n".join(told)


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """Return what to say about a name that is not known: the nearest names, and how to list them all."""
    near = difflib.get_close_matches(name, known, 3)
    guess = f"; did you mean {', '.join(near)}?" if near else "."
    return f"there is no {kind} {name!r}{guess} 'mailauth rules' and 'mailauth scenarios' list them all."


def _explain_rule(rule: Rule, width: int) -> str:
    told = {
        "Requirement": rule.requirement,
        "Expected": rule.expected,
        "Severity": rule.severity,
        "Sources": _sources(rule.sources),
        "Tested by": ", ".join(_scenarios_of(rule)) or "every scenario, beside its own rules",
        "Next step": rule.advice,
    }
    return "\n".join([f"{rule.name} (rule)", *(labelled(label, text, width) for label, text in told.items())])


def _explain_scenario(scenario: Scenario, width: int) -> str:
    told = {
        "Server": scenario.summary,
        "Class": f"{scenario.family}, {CLASSES[scenario.family]}",
        "Severity": scenario.severity,
        "Sources": _sources(scenario.sources),
        "Profile": scenario.profile,
        "Cases": ", ".join(_ids(scenario)),
    }
    if scenario.only_for:
        told["Declared"] = "only for " + ", ".join(f"{name}={value}" for name, value in scenario.only_for.items())
    lines = [f"{scenario.name} (scenario)", *(labelled(label, text, width) for label, text in told.items())]
    for name in scenario.rules:
        rule = RULES[name]
        lines += [
            "",
            f"looked at by the rule {name}",
            labelled("Requirement", rule.requirement, width),
            labelled("Expected", rule.expected, width),
            labelled("Next step", rule.advice, width),
        ]
    return "\n".join(lines)


def _explain_law(law: Law, width: int) -> str:
    told = {
        "Law": law.statement,
        "Why": law.reason,
        "Sources": _sources(law.sources),
        "Asked by": f'pytest_mailauth.selection.check_selection(function, laws=["{law.name}"])',
    }
    return "\n".join([f"{law.name} (law of selection)", *(labelled(name, text, width) for name, text in told.items())])


def _rules() -> list[Rule]:
    return [rule for rule in RULES.values() if rule.name != GROUND]


def _scenarios_of(rule: Rule) -> list[str]:
    return [scenario.name for scenario in SCENARIOS.values() if rule.name in scenario.rules]


def _ids(scenario: Scenario) -> list[str]:
    return [Setting(scenario, protocol, mode).id for protocol in scenario.protocols for mode in scenario.modes]


def _sources(sources: Iterable[str]) -> str:
    everything = tuple(sources)
    paragraphs = any(source[:1] == "S" and source[1:].isdigit() for source in everything)
    return ", ".join(everything) + (" (S: paragraphs of the source document)" if paragraphs else "")


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(text, width=width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def _json(objects: Iterable[dict[str, Any]]) -> str:
    return json.dumps(list(objects), indent=2) + "\n"
