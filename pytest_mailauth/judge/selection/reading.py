"""What a selector's answer means, whatever it is made of: words, enumerations, pairs of booleans, settings objects.

An answer is never guessed at: what has two meanings, or none, is an error of whoever wrote the adapter. And it is never
shown as it is, since a settings object may hold a password.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, Final

from pytest_mailauth.judge.selection.situation import OPPORTUNISTIC, Choice
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Security

WORDS: Final = {
    **dict.fromkeys(("implicit", "ssl", "ssl/tls", "smtps", "imaps", "pop3s", "ssltls"), str(Security.IMPLICIT)),
    **dict.fromkeys(("starttls", "explicit", "stls", "start_tls", "start-tls"), str(Security.STARTTLS)),
    **dict.fromkeys(("none", "plain", "clear", "cleartext", "plaintext", "insecure", "off", "no"), str(Security.NONE)),
    **dict.fromkeys((OPPORTUNISTIC, "starttls-if-available", "auto", "prefer", "maybe"), OPPORTUNISTIC),
}
"""Words for a TLS mode, in lower case, and what they mean."""

AMBIGUOUS: Final = "tls"
"""Implicit TLS to some, and STARTTLS to others, who call the first one SSL."""

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

AUTH: Final = {
    **dict.fromkeys(("oauth", "oauth2", "oauth 2.0", "xoauth2", "oauthbearer", "bearer", "token"), "oauth"),
    **dict.fromkeys(("password", "plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "basic"), "password"),
}
"""Words for a login, in lower case; what is none of them is not looked at, since it may be a secret."""

_VERSION: Final = re.compile(r"(?:tls)?\s*v?\s*1(?:[._]([0-3]))?")
_PORT: Final = re.compile(r"-?\d{1,9}")
_HARMLESS: Final = re.compile(r"[A-Za-z0-9_/+. -]{0,24}")
"""A string that may be shown: too short and too plain for most secrets, and long enough for a misspelled mode."""
_SECRET: Final = re.compile(
    r"(?i)(\w*(?:passw|pwd|secret|token)\w*)(['\"]?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s,;)}\]]+)"
)
"""A name that says that its value is one, and the value."""
_BOOLEANS: Final = {
    (True, False): str(Security.IMPLICIT),
    (True, True): str(Security.IMPLICIT),  # TLS comes first, whatever is asked for inside it
    (False, True): str(Security.STARTTLS),
    (False, False): str(Security.NONE),
}


def choice_of(answer: object) -> Choice:
    """Return what an answer means.

    Args:
        answer: A word for a mode, an enumeration's member with such a name or value, a pair ``(implicit, starttls)`` of
            booleans, a :class:`~pytest_mailauth.judge.selection.situation.Choice`, or an object, a named tuple or a
            mapping with such fields as ``mode``, ``port`` and ``host``, or with two booleans under their usual names.

    Raises:
        ConfigError: It is nothing of the kind, or has two meanings. The text shows no more of it than its type and the
            names of its parts, unless it is a short word.

    Examples:
        >>> choice_of("SSL/TLS").mode, choice_of((False, True)).mode
        ('implicit', 'starttls')
        >>> choice_of({"use_ssl": True, "use_starttls": False, "port": 465, "password": "secret"})
        Choice(mode='implicit', port=465, host=None, auth=None, min_tls=None, verify=None, refusal=None)
    """
    if isinstance(answer, Choice):
        return _checked(answer)
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise ConfigError("the selector is asynchronous; let adapt=... run it and return what it answered")
    mode = _mode(answer)
    return Choice(mode=mode) if mode is not None else _from_fields(answer)


def shown(answer: object) -> str:
    """Return what may be said of an answer: a short word as it is, else the type and the names of the parts.

    Examples:
        >>> shown("startls"), shown({"user": "bob", "password": "secret"})
        ("'startls'", 'a dict with user, password')
    """
    if answer is None or isinstance(answer, (bool, int)):
        return repr(answer)
    kind = type(answer).__name__
    if isinstance(answer, Enum):
        return f"{kind}.{answer.name}"
    if isinstance(answer, str):
        return repr(answer) if _HARMLESS.fullmatch(answer) else f"a {kind} of {len(answer)} characters"
    if isinstance(answer, (tuple, list)):
        return f"a {kind} of {len(answer)}: {', '.join(type(part).__name__ for part in answer[:4])}"
    names = list(answer) if isinstance(answer, Mapping) else list(getattr(answer, "__dict__", ()))
    said = ", ".join(
        str(name) for name in names[:8] if _HARMLESS.fullmatch(str(name)) and not str(name).startswith("_")
    )
    article = "an" if kind[0] in "aeiouAEIOU" else "a"
    return f"{article} {kind} with {said}" if said else f"{article} {kind}"


def redacted(text: str) -> str:
    """Return a selector's own words without what they call a password, a secret or a token.

    Examples:
        >>> redacted("no mode in Settings(port=2525, password='correct horse')")
        'no mode in Settings(port=2525, password=***)'
    """
    return _SECRET.sub(r"\1\2***", text)


def _mode(answer: object) -> str | None:
    """Return the mode that a word, a member or a pair stands for; None if it is none of them."""
    if isinstance(answer, Enum):
        return _of_words(answer, answer.value, answer.name)
    if isinstance(answer, str):
        return _of_words(answer, answer)
    if isinstance(answer, (tuple, list)) and not hasattr(answer, "_fields"):  # a named tuple is read by its names
        pair: tuple[object, ...] = tuple(answer)
        is_pair = len(pair) == 2 and all(isinstance(part, bool) for part in pair)
        return _BOOLEANS[bool(pair[0]), bool(pair[1])] if is_pair else None
    return None


def _of_words(answer: object, *values: object) -> str:
    words = [value.strip().lower() for value in values if isinstance(value, str)]
    found = next((WORDS[word] for word in words if word in WORDS), None)
    if found is None and AMBIGUOUS in words:
        raise ConfigError(
            "the selector answered 'tls', which is implicit TLS to some and STARTTLS to others; let adapt=... return "
            "'implicit' or 'starttls'"
        )
    return found or _unknown(answer)


def _from_fields(answer: object) -> Choice:
    held: Mapping[str, Any] = answer if isinstance(answer, Mapping) else _attributes(answer)
    found: dict[str, Any] = {}
    for field, names in FIELDS.items():
        name = next((name for name in names if held.get(name) is not None), None)
        if name is not None and not isinstance(held[name], bool):
            found[field] = held[name]
    if "mode" in found:
        found["mode"] = _mode(found["mode"]) or _unknown(answer)
    else:
        pair = next((pair for pair in PAIRS if all(isinstance(held.get(name), bool) for name in pair)), None)
        if pair is not None:
            found["mode"] = _BOOLEANS[held[pair[0]], held[pair[1]]]
    if not found:
        _unknown(answer)
    verify = next((held[name] for name in VERIFY if isinstance(held.get(name), bool)), None)
    return _checked(Choice(verify=verify, **found))


def _attributes(answer: object) -> dict[str, Any]:
    names = {name for group in (*FIELDS.values(), *PAIRS, VERIFY) for name in group}
    return {name: getattr(answer, name) for name in names if hasattr(answer, name)}


def _checked(choice: Choice) -> Choice:
    """Return a choice in our own words; a port may be digits, a version an ``ssl.TLSVersion``."""
    said = {name: value for name, value in vars(choice).items() if value is not None}
    if not said:
        raise ConfigError("the selector's answer says nothing; a Choice has a mode, a port, a host or a refusal")
    if "refusal" in said and len(said) > 1:
        others = ", ".join(name for name in said if name != "refusal")
        raise ConfigError(f"the selector's answer refuses, and says {others} too; who refuses connects to nobody")
    read: dict[str, Any] = {name: _READ[name](value) for name, value in said.items() if name in _READ}
    return replace(choice, **read)


def _port(value: object) -> int:
    text = str(value.value if isinstance(value, Enum) else value)
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not _PORT.fullmatch(text):
        raise ConfigError(f"the selector's port is {shown(value)}; it is a whole number such as 587")
    return int(text)


def _host(value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"the selector's host is {shown(value)}; it is a string")
    return str(value)


def _auth(value: object) -> str | None:
    word = value.value if isinstance(value, Enum) else value
    return AUTH.get(word.strip().lower()) if isinstance(word, str) else None


def _min_tls(value: object) -> str:
    text = value.name if isinstance(value, Enum) else str(value)
    version = _VERSION.fullmatch(text.strip().lower())
    if version is None and not _HARMLESS.fullmatch(text):
        raise ConfigError(f"the selector's oldest TLS version is {shown(value)}; it is one such as '1.2'")
    return f"1.{version[1] or 0}" if version else text


_READ: Final = {
    "mode": lambda mode: _mode(mode) or _unknown(mode),
    "port": _port,
    "host": _host,
    "auth": _auth,
    "min_tls": _min_tls,
}


def _unknown(answer: object) -> Any:
    raise ConfigError(
        f"the selector returned {shown(answer)}, and nobody knows what that means; return 'implicit' or 'starttls', "
        "raise ValueError to refuse, or let adapt=... return a Choice(mode=..., port=..., host=...)"
    )
