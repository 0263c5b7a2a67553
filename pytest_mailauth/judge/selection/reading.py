"""What a selector's answer means, whatever it is made of: words, enumerations, pairs of booleans, settings objects."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from pytest_mailauth.judge.selection.situation import OPPORTUNISTIC, Choice
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Security

WORDS: Final = {
    **dict.fromkeys(("implicit", "ssl", "tls", "ssl/tls", "smtps", "imaps", "pop3s", "ssltls"), str(Security.IMPLICIT)),
    **dict.fromkeys(("starttls", "explicit", "stls", "start_tls", "start-tls"), str(Security.STARTTLS)),
    **dict.fromkeys(("none", "plain", "clear", "cleartext", "plaintext", "insecure", "off", "no"), str(Security.NONE)),
    **dict.fromkeys((OPPORTUNISTIC, "starttls-if-available", "auto", "prefer", "maybe"), OPPORTUNISTIC),
}
"""Words for a TLS mode, in lower case, and what they mean."""

FIELDS: Final = {
    "mode": ("mode", "security", "tls", "tls_mode", "encryption"),
    "port": ("port",),
    "host": ("host", "hostname", "server"),
    "auth": ("auth", "authentication"),
    "min_tls": ("min_tls", "minimum_tls", "min_version", "minimum_version"),
}
"""What a settings object or a mapping may call the parts of a choice."""

PAIRS: Final = (("use_ssl", "use_starttls"), ("use_ssl", "use_tls"), ("use_tls", "start_tls"), ("ssl", "starttls"))
"""What it may call two booleans: for implicit TLS, and for STARTTLS."""

VERIFY: Final = ("verify", "verify_certificate", "validate_certs", "verify_ssl")
"""What it may call the boolean for verifying the certificate."""

_BOOLEANS: Final = {
    (True, False): str(Security.IMPLICIT),
    (True, True): str(Security.IMPLICIT),  # TLS comes first, whatever is asked for inside it
    (False, True): str(Security.STARTTLS),
    (False, False): str(Security.NONE),
}


def choice_of(answer: object) -> Choice:
    """Return what *answer* means.

    It may be a :class:`Choice`; a word, or a member of an enumeration whose value or name is one; a pair of booleans,
    for implicit TLS and for STARTTLS; a mapping or an object with such fields as ``mode``, ``port`` and ``host``, or
    with the two booleans under their usual names.

    Raises:
        ConfigError: It is nothing of the kind.

    Examples:
        >>> choice_of("SSL/TLS").mode, choice_of((False, True)).mode
        ('implicit', 'starttls')
    """
    if isinstance(answer, Choice):
        return answer
    if isinstance(answer, Enum):
        return Choice(mode=_word(answer.value) or _word(answer.name) or _unknown(answer))
    if isinstance(answer, str):
        return Choice(mode=_word(answer) or _unknown(answer))
    if isinstance(answer, tuple) and len(answer) == 2 and all(isinstance(part, bool) for part in answer):
        return Choice(mode=_pair(*answer))
    return _from_fields(answer)


def _from_fields(answer: object) -> Choice:
    held: Mapping[str, Any] = answer if isinstance(answer, Mapping) else _attributes(answer)
    found: dict[str, Any] = {}
    for field, names in FIELDS.items():
        name = next((name for name in names if held.get(name) is not None), None)
        if name is not None and not isinstance(held[name], bool):
            found[field] = held[name]
    if "mode" in found:
        found["mode"] = choice_of(found["mode"]).mode
    else:
        pair = next((pair for pair in PAIRS if all(isinstance(held.get(name), bool) for name in pair)), None)
        if pair is not None:
            found["mode"] = _pair(*(held[name] for name in pair))
    if not found:
        _unknown(answer)
    port = found.pop("port", None)
    verify = next((held[name] for name in VERIFY if isinstance(held.get(name), bool)), None)
    return Choice(port=port, verify=verify, **{name: str(_plain(value)) for name, value in found.items()})


def _attributes(answer: object) -> dict[str, Any]:
    names = {name for group in (*FIELDS.values(), *PAIRS, VERIFY) for name in group}
    return {name: getattr(answer, name) for name in names if hasattr(answer, name)}


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _pair(implicit: bool, starttls: bool) -> str:  # noqa: FBT001 - a pair, as it is read
    return _BOOLEANS[implicit, starttls]


def _word(value: object) -> str | None:
    return WORDS.get(value.strip().lower()) if isinstance(value, str) else None


def _unknown(answer: object) -> str:
    raise ConfigError(
        f"the selector returned {answer!r}, and nobody knows what that means; return 'implicit' or 'starttls', raise "
        "ValueError to refuse, or let adapt=... return a Choice(mode=..., port=..., host=...)"
    )
