"""The registries of rules, scenarios, clients, certificates and settings as Markdown: pages and tables.

Every sentence comes from a registry or a docstring; prose written here is only a frame.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

sys.path.append(str(Path(__file__).resolve().parent.parent / "fixtures"))

from clients import FAULTY, HONEST

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios import SCENARIOS
from pytest_mailauth.judge.verdict import NET
from pytest_mailauth.model.causes.network import OBSTACLES
from pytest_mailauth.model.diagnosis import CAUSES, ESCAPED
from pytest_mailauth.model.terms import Certificate, PortState
from pytest_mailauth.network.providers import PROVIDERS
from pytest_mailauth.report.reference import CLASSES
from pytest_mailauth.servers.pki_faults import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_mailauth.judge.scenarios import Scenario
    from pytest_mailauth.network.profile import Provider, Service, Source

MATRIX: Final = {
    protocol: Path(__file__).resolve().parent / f"calibration-{protocol}.tsv" for protocol in ("smtp", "pop3", "imap")
}
"""Which scenario flagged which faulty client, as ``tests/calibration`` writes it."""

PARAGRAPHS: Final = tuple(f"S{number}" for number in range(1, 18))
"""The paragraphs of the source document."""

_NOTICE: Final = "<!-- Written by docs/generate.py. Change its source instead: {source} -->"

# Markdown.


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table."""
    lines = [list(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def code(*names: object) -> str:
    """Return names as code, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def links(page: str, names: Iterable[str]) -> str:
    """Return names as code that leads to their places on *page*."""
    return ", ".join(f"[`{name}`]({page}#{name})" for name in names)


def anchor(name: str) -> str:
    """Return a name as code, to which others can lead."""
    return f'<a id="{name}"></a>`{name}`'


_SOURCES: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"\bS(\d+)\b"), r"[S\1](source-document.md#s\1)"),
    (
        re.compile(r"\bRFC (\d+) section (\d+(?:\.\d+)*)"),
        r"[RFC \1 section \2](https://www.rfc-editor.org/rfc/rfc\1#section-\2)",
    ),
    (re.compile(r"\bRFC (\d+)\b(?! section|/)"), r"[RFC \1](https://www.rfc-editor.org/rfc/rfc\1)"),
    (re.compile(r"\b(CVE-\d+-\d+)\b"), r"[\1](https://www.cve.org/CVERecord?id=\1)"),
)


def cited(text: str) -> str:
    """Return *text* with its sources as links."""
    for pattern, link in _SOURCES:
        text = pattern.sub(link, text)
    return text


def prose(docstring: str) -> str:
    """Return a sentence of a docstring as Markdown."""
    named = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", docstring)
    return cited(named.replace("``", "`"))


def page(title: str, source: str, *parts: str) -> str:
    """Return a whole generated page."""
    return "\n\n".join([f"# {title}", _NOTICE.format(source=source), *parts]) + "\n"


# Pages.


def rules_page() -> str:
    """Return what every rule demands, where that stands, and what shows that the rule works."""
    parts = []
    for name, rule in sorted(RULES.items()):
        scenarios = [scenario.name for scenario in SCENARIOS.values() if name in scenario.rules]
        faulty = [client for client, row in FAULTY.items() if row.rule == name]
        facts = {
            "Severity": rule.severity,
            "Expected": rule.expected,
            "Sources": cited(", ".join(rule.sources)),
            "Scenarios": links("scenarios.md", scenarios)
            + ("; also asked in every other scenario whose own rules found nothing" if name in NET else ""),
            "Shown to work by": links("calibration.md", faulty) or "every client that cannot log in",
            "Next step": rule.advice,
        }
        parts += [f"## {name}", rule.requirement, "\n".join(f"- {label}: {text}" for label, text in facts.items())]
    return page(
        "Rules",
        "pytest_mailauth/judge/rules/",
        "What a client must do. `mailauth rules` lists them, `mailauth explain NAME` shows one of them. How a rule "
        "comes to its verdict stands in [verdicts](verdicts.md). `control` is no rule about security: it is the ground "
        "that the others stand on, and only explained.",
        *parts,
    )


def scenarios_page() -> str:
    """Return what the server of every scenario does, class by class."""
    parts = []
    for family in sorted({scenario.family for scenario in SCENARIOS.values()}):
        rows = [
            (
                anchor(scenario.name),
                scenario.summary + _conditions(scenario),
                ", ".join(scenario.protocols),
                ", ".join(scenario.modes),
                links("rules.md", scenario.rules),
                scenario.severity,
                cited(", ".join(scenario.sources)),
            )
            for scenario in SCENARIOS.values()
            if scenario.family == family
        ]
        head = ("Scenario", "What the server does", "Protocols", "Modes", "Rule", "Severity", "Sources")
        parts += [f"## Class {family}: {CLASSES[family]}", table(head, rows)]
    return page(
        "Scenarios",
        "pytest_mailauth/judge/scenarios/",
        "What a client is run against. One scenario in one protocol and one mode is a case, and its identifier is made "
        "of the three: `smtp-starttls-cert-expired`. `mailauth scenarios` lists the same.",
        *parts,
    )


def _conditions(scenario: Scenario) -> str:
    """Return what has to be so for a client to meet the scenario, as further sentences."""
    only_for = [f"{name}={value}" for name, value in scenario.only_for.items()]
    declared = f" Only for clients declared {code(*only_for)}." if only_for else ""
    return declared + (" Name and port are real." if scenario.network is not None else "")


def calibration_page() -> str:
    """Return which faulty client shows which rule to work."""
    order = list(RULES)
    flagged = _flagged_by()
    where = [
        (
            links("rules.md", (row.rule,)),
            anchor(client),
            ", ".join(row.protocols),
            ", ".join(row.security),
            links("scenarios.md", flagged.get(client, ())),
        )
        for client, row in sorted(FAULTY.items(), key=lambda item: order.index(item[1].rule))
    ]
    honest = "\n".join(f"- `{name}`" for name in HONEST)
    return page(
        "Calibration",
        "fixtures/clients/faulty",
        "The judge on trial. Each faulty client is the honest client of `fixtures/clients/` with one switch changed. "
        "The rule in its row has to flag it, and no other rule may, whatever the scenario. `tox -e calibration` runs "
        "every client through every scenario that exists for it, and compares what it found with what stands here and, "
        "case by case, in the tables for [SMTP](calibration-smtp.tsv), [POP3](calibration-pop3.tsv) and "
        "[IMAP](calibration-imap.tsv). A client whose fault is in finding out port, mode or "
        "server meets the scenarios about that, and a few of each other kind.",
        "## Which client breaks which rule, and where it shows",
        "In every other scenario, the client is left alone.",
        table(("Rule", "Faulty client", "Protocols", "Modes", "Scenarios that flag it"), where),
        "## Honest clients",
        "Clients differ in ways that are not wrong. Each of these passes every rule in every scenario:",
        honest,
    )


def _flagged_by() -> dict[str, dict[str, list[str]]]:
    """Return what flagged each faulty client: the scenarios, each with the protocols in which it did."""
    found: dict[str, dict[str, list[str]]] = {}
    for protocol, file in MATRIX.items():
        for line in file.read_text(encoding="utf-8").splitlines()[1:]:
            client, scenario, _modes = line.split("\t")
            found.setdefault(client, {}).setdefault(scenario, []).append(protocol)
    return found


# Tables.

_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def settings(kind: type) -> str:
    """Return the fields of a settings class with their defaults, as its docstring explains them."""
    section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    told = {name: prose(" ".join(text.split())) for name, text in _ATTRIBUTE.findall(section)}
    rows = [(code(field.name), _default(field), told[field.name]) for field in dataclasses.fields(kind)]
    return table(("Field", "Default", "Meaning"), rows)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return code(f"{type(field.default_factory()).__name__}()")
    if field.default is dataclasses.MISSING:
        return "required"
    return code(repr(field.default.value if isinstance(field.default, Enum) else field.default))


def certificates() -> str:
    """Return every certificate that a server can show."""
    scenario_of = {
        Certificate(scenario.settings["certificate"]): scenario.name
        for scenario in SCENARIOS.values()
        if "certificate" in scenario.settings
    }
    rows = [
        (
            code(name),
            fault.description,
            fault.differs,
            links("scenarios.md", (scenario_of[name],)) if name in scenario_of else "every other",
            cited(fault.source),
        )
        for name, fault in TABLE.items()
    ]
    return table(("Name", "What is wrong", "What differs", "Scenario", "Source"), rows)


def causes() -> str:
    """Return every cause that a failure can have, in the order in which they are told."""
    rows = [
        (anchor(row.name), f"{row.words}.", row.advice, cited(", ".join(row.sources)) or "-")
        for row in (*ESCAPED, *CAUSES, *OBSTACLES[len(ESCAPED) :])
    ]
    return table(("Name", "Cause", "What to do", "Sources"), rows)


def citations() -> str:
    """Return which rules, scenarios and causes follow from which paragraph of the source document."""
    rows = []
    for paragraph in PARAGRAPHS:
        rules = sorted(name for name, rule in RULES.items() if paragraph in rule.sources)
        scenarios = [name for name, scenario in SCENARIOS.items() if paragraph in scenario.sources]
        named = [row.name for row in (*CAUSES, *OBSTACLES) if paragraph in row.sources]
        linked = (links("rules.md", rules), links("scenarios.md", scenarios), links("diagnosis.md", named))
        rows.append((cited(paragraph), *(each or "-" for each in linked)))
    return table(("Paragraph", "Rules", "Scenarios", "Causes"), rows)


# Providers.


def provider_profiles() -> str:
    """Return every provider profile: its services, what they say, and where each fact can be read."""
    return "\n\n".join(part for one in PROVIDERS.values() for part in _profile(one))


def _profile(one: Provider) -> Iterable[str]:
    yield f'### <a id="{one.name}"></a>{one.title}'
    yield f"`{one.name}`. {one.notes} Sources: {', '.join(map(_read, one.sources))}."
    head = ("Service", "Host", "Port", "TLS", "Mechanisms", "The account's password")
    yield table(head, [_service(service) for service in one.services])
    rows: dict[tuple[str, ...], list[str]] = {}
    for service in one.services:
        said = {"greeting": service.greeting} if service.greeting else {}
        for when, wording in (said | {f"`{refusal}`": text for refusal, text in service.texts.items()}).items():
            shown = "<br>".join(f"`{line}`" for line in wording.text.split("\n"))
            unseen = "invented, like the server" if wording.invented else "not verified: our wording"
            source = _read(wording.source) if wording.source else unseen
            services = rows.setdefault((when, shown, source), [])
            services.append(_name(service))
        if service.token_answer is not None:
            first = f"error challenge with the scope {code(service.token_scope)}, then the refusal"
            answer = first if service.challenges else "the refusal at once, without an error challenge"
            rows.setdefault(("a token is refused", answer, _read(service.token_answer)), []).append(_name(service))
    if rows:
        yield table(
            ("When", "What it says", "Service", "Source"),
            [(when, shown, ", ".join(services), source) for (when, shown, source), services in rows.items()],
        )


def _name(service: Service) -> str:
    return f"{service.protocol} {service.security}"


def _service(service: Service) -> Iterable[str]:
    offered = _read(service.offered) if service.offered else "not verified"
    mechanisms = f"{code(*service.mechanisms)} ({offered})"
    if service.before_tls:
        mechanisms += "; the same in clear"
    yield _name(service)
    yield f"{code(service.host)} ({_read(service.located) if service.located else 'not verified'})"
    yield str(service.port)
    yield f"{service.tls.max_version} only" if service.tls.max_version else f"{service.tls.min_version} or newer"
    if service.port_state is not PortState.OPEN:
        yield "-"
        yield f"nobody comes so far: {code(service.port_state)}"
    else:
        yield mechanisms
        yield "taken" if service.less_secure_apps else "refused: `oauth-required`"


def _read(source: Source) -> str:
    return f"[{source.title}]({source.address})" if source.address else cited(source.title)
