"""Functions of every form are asked, and their answers read for what they are, or not at all."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import ssl
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple
from unittest.mock import Mock

import pytest
from selectors_in_the_wild import MODES, select

from pytest_mailauth import ConfigError
from pytest_mailauth.judge.selection.reading import choice_of
from pytest_mailauth.selection import LAWS, Choice, LawBroken, NotAsked, check_selection

OF_PLAIN = (
    "standard-ports",
    "custom-port-needs-mode",
    "stated-mode-wins",
    "never-cleartext-credentials",
    "deterministic",
)


class Mode(Enum):
    SSL = auto()
    STARTTLS = auto()


class Django(Enum):
    """A name that is clear beside a value that is not."""

    SSL = "ssl"
    STARTTLS = "tls"


class Unclear(Enum):
    TLS = 1
    MAYBE_LATER = "correct horse"


class Words(Enum):
    TLS_FIRST = "SSL/TLS"
    TLS_LATER = "STARTTLS"


@dataclass
class Settings:
    use_ssl: bool
    use_tls: bool
    port: int = 0
    password: str = "correct-horse-battery"


class Flags(NamedTuple):
    """The other way round than a bare pair: a named tuple is read by its names."""

    starttls: bool
    ssl: bool


FORMS = {
    "word": str,
    "upper case": str.upper,
    "enumeration, by name": lambda mode: Mode.SSL if mode == "implicit" else Mode.STARTTLS,
    "enumeration, by value": lambda mode: Words.TLS_FIRST if mode == "implicit" else Words.TLS_LATER,
    "enumeration, by its clear part": lambda mode: Django.SSL if mode == "implicit" else Django.STARTTLS,
    "pair": lambda mode: (mode == "implicit", mode == "starttls"),
    "list": lambda mode: [mode == "implicit", mode == "starttls"],
    "named tuple": lambda mode: Flags(starttls=mode == "starttls", ssl=mode == "implicit"),
    "settings": lambda mode: Settings(use_ssl=mode == "implicit", use_tls=mode == "starttls"),
    "mapping": lambda mode: {"security": mode.upper()},
    "mapping of flags": lambda mode: {"use_tls": mode == "implicit", "start_tls": mode == "starttls"},
    "Choice": lambda mode: Choice(mode=mode.upper()),
}


def select_as(form):
    return lambda protocol, port, stated: FORMS[form](select(protocol, port, stated))


@pytest.mark.parametrize("form", FORMS)
def test_the_right_function_is_right_in_every_form(form):
    assert check_selection(select_as(form), examples=30).laws[:4] == OF_PLAIN[:4]


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_answer_is_wrong_in_every_form(form):
    def wrong(protocol, port, stated):
        return FORMS[form]("implicit" if port == 587 and not stated else select(protocol, port, stated))

    with pytest.raises(LawBroken, match=r"port=587, stated=None\n .*'starttls'\n .*'implicit'") as failure:
        check_selection(wrong, examples=30)
    assert failure.value.law.name == "standard-ports"


def test_the_plain_form_is_given_strings_and_no_members():
    seen = set()

    def watching(protocol, port, stated):
        seen.update(map(type, (protocol, port, stated)))
        return select(protocol, port, stated)

    check_selection(watching)
    assert seen == {str, int, type(None)}


def test_the_plain_form_is_told_what_it_was_not_asked():
    checked = check_selection(select)
    assert checked.laws == OF_PLAIN
    assert set(checked.not_asked) == set(LAWS) - set(OF_PLAIN)
    assert set(checked.asked) == set(OF_PLAIN)
    assert checked.asked["standard-ports"] == len(MODES)


def test_an_adapter_may_run_a_coroutine():
    async def choose(protocol, port, stated):
        return select(protocol, port, stated)

    async def never(*_):
        """Not reached."""

    def run(function, asked):
        if asked.port is None:
            raise NotAsked
        return asyncio.run(function(str(asked.protocol), asked.port, asked.stated))

    assert "standard-ports" in check_selection(choose, adapt=run, examples=5).laws
    with pytest.raises(ConfigError, match="asynchronous"):
        check_selection(never)


def test_an_adapter_may_replace_and_cache_questions():
    @functools.cache
    def choose(asked):
        return select(asked.protocol, asked.port, asked.stated)

    def known_port(function, asked):
        return function(dataclasses.replace(asked, port=587 if asked.port is None else asked.port))

    assert "standard-ports" in check_selection(choose, adapt=known_port).laws


def test_a_question_that_is_printed_is_not_looked_at():
    def printing(function, asked):
        if asked.port is None:
            raise NotAsked
        str(asked), repr(asked)
        return function(asked.protocol, asked.port, asked.stated)

    assert "asked.service" in check_selection(select, adapt=printing).not_asked["right-name-for-right-job"]


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ((True, True), Choice(mode="implicit")),
        ((False, False), Choice(mode="none")),
        ("starttls-if-available", Choice(mode="opportunistic")),
        ({"mode": "ssl", "port": "465"}, Choice(mode="implicit", port=465)),
        ({"mode": "ssl", "auth": "XOAUTH2"}, Choice(mode="implicit", auth="oauth")),
        ({"mode": "ssl", "auth": ("bob", "correct-horse")}, Choice(mode="implicit")),
        ({"mode": "ssl", "auth": "correct-horse"}, Choice(mode="implicit")),
        ({"mode": "ssl", "min_tls": ssl.TLSVersion.TLSv1_2}, Choice(mode="implicit", min_tls="1.2")),
        ({"mode": "ssl", "min_tls": "TLSv1"}, Choice(mode="implicit", min_tls="1.0")),
        ({"mode": "ssl", "min_tls": 1.3}, Choice(mode="implicit", min_tls="1.3")),
        ({"mode": "ssl", "min_tls": ssl.TLSVersion.SSLv3}, Choice(mode="implicit", min_tls="SSLv3")),
        ({"mode": None, "use_ssl": True, "use_tls": False}, Choice(mode="implicit")),
        ({"mode": "ssl", "validate_certs": False}, Choice(mode="implicit", verify=False)),
        (Choice(refusal="no"), Choice(refusal="no")),
    ],
)
def test_what_an_answer_means(answer, read):
    assert choice_of(answer) == read


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "returned None"),
        (True, "returned True"),
        ("startls", "returned 'startls'"),
        ("TLS", "implicit TLS to some and STARTTLS to others"),
        ((587, "starttls"), "a tuple of 2: int, str"),
        (object(), "an object"),
        (Mock(), "a Mock"),
        ({"secure": True}, "a dict with secure"),
        ({"mode": {"port": 25}}, "a dict with mode"),
        ({"mode": "ssl", "port": 587.5}, "port is a float"),
        ({"mode": "ssl", "port": "smtps"}, "port is 'smtps'"),
        ({"mode": "ssl", "host": b"smtp"}, "host is a bytes"),
        ({"mode": "ssl", "min_tls": "the newest that there is"}, None),
        (Unclear.TLS, "implicit TLS to some"),
        (Unclear.MAYBE_LATER, "returned Unclear.MAYBE_LATER"),
        (asyncio.Future(loop=Mock()), "asynchronous"),
        (Choice(), "says nothing"),
        (Choice(mode="none", refusal="but"), "refuses, and says mode too"),
        (Choice(mode="sometimes"), "'sometimes'"),
    ],
)
def test_what_means_nothing_is_said_to_mean_nothing(answer, told):
    if told is None:
        assert choice_of(answer).min_tls not in ("1.2", "1.3")
        return
    with pytest.raises(ConfigError) as failure:
        choice_of(answer)
    assert told in str(failure.value)


@pytest.mark.parametrize(
    "answer",
    [
        {"login": "bob", "password": "correct-horse-battery"},
        type("Account", (), {"__repr__": lambda _: "Account(password='correct-horse-battery')"})(),
        "smtps://bob:correct-horse-battery@smtp.example.test:465",
        ("bob", "correct-horse-battery"),
        {"correct horse battery, staple": 1},
        {"mode": "ssl", "port": "correct-horse-battery!"},
        {"mode": "ssl", "host": ["correct-horse-battery"]},
        {"mode": "ssl", "min_tls": "correct-horse-battery, or the newest that there is"},
    ],
)
def test_no_failure_shows_a_secret_of_an_answer(answer):
    with pytest.raises(ConfigError) as failure:
        check_selection(lambda *_: answer)
    assert "horse" not in str(failure.value)


@pytest.mark.parametrize(
    "text",
    [
        "no mode in Settings(port=465, password='correct horse', user='bob')",
        'bad: {"port": 465, "smtp_password": "correct horse"}',
        "access_token: horse; port 465",
        "SECRET=horse",
    ],
)
def test_a_refusal_is_shown_without_what_it_calls_a_secret(text):
    def refusing(protocol, port, stated):
        if port == 465 and not stated:
            raise ValueError(text)
        return select(protocol, port, stated)

    with pytest.raises(LawBroken, match=r"refused: .*\*\*\*") as failure:
        check_selection(refusing)
    assert "horse" not in str(failure.value)
    assert ("465" in str(failure.value.choice)) is ("465" in text)


def test_a_broken_law_shows_no_more_of_a_settings_object_than_was_judged():
    with pytest.raises(LawBroken) as failure:
        check_selection(lambda *_: Settings(use_ssl=False, use_tls=True, port=465))
    assert str(failure.value).endswith("Actual:   mode='starttls', port=465")
