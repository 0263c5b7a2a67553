"""Reference clients that are not told everything: where they turn, without any connection."""

from __future__ import annotations

import pytest
from clients import FAULTY, Faults, Unconfigured
from clients.routes import Route, guessed, routes, weaker
from routes_taken import BY_CHOICE, BY_PORT, CUSTOM, IMPLICIT, NONE, STARTTLS
from visits import PASSWORD, USERNAME

from pytest_mailauth import ConfigError
from pytest_mailauth.judge.clients.case import Case
from pytest_mailauth.model.canary import Secret


def told(*, security=None, host="mail.example.test", port=None):
    return Case(
        protocol="smtp",
        security=security,
        host=host,
        port=port,
        username=USERNAME,
        password=PASSWORD,
        token=Secret("none"),
        cafile="",
    )


def faults_of(name):
    return FAULTY[name].faults if name else Faults()


@pytest.mark.parametrize(
    ("port", "name", "modes"), [(port, name, modes) for port, row in BY_PORT.items() for name, modes in row.items()]
)
def test_the_modes_that_are_tried_on_a_port(port, name, modes):
    assert [route.security for route in routes(told(port=port), faults_of(name))] == modes


def test_whoever_is_told_everything_has_one_way():
    (route,) = routes(told(security=IMPLICIT, port=2525), Faults())
    assert (route.host, route.port, route.security) == ("mail.example.test", 2525, IMPLICIT)


def test_a_port_that_stands_for_nothing_is_refused():
    with pytest.raises(Unconfigured, match="port 2525 does not tell"):
        routes(told(port=2525), Faults())


@pytest.mark.parametrize(
    ("kept_back", "advice"), [("security", "derive it from case.port"), ("port", "choose one"), ("host", "case.domain")]
)
def test_what_is_kept_back_says_what_to_do(kept_back, advice):
    case = told(**{"security": IMPLICIT, "port": 465, "host": "mail.example.test"} | {kept_back: None})
    assert case.untold == (kept_back,)
    with pytest.raises(ConfigError, match=rf"case\.{kept_back}: .*{advice}"):
        getattr(case, kept_back)
    assert kept_back not in repr(case)


@pytest.mark.parametrize(("name", "ways"), BY_CHOICE.items())
def test_the_ports_that_are_chosen(name, ways):
    assert [(route.port, route.security) for route in routes(told(), faults_of(name))] == ways


@pytest.mark.parametrize(("mode", "port"), [(IMPLICIT, 465), (STARTTLS, 587)])
def test_a_stated_mode_leaves_one_port(mode, port):
    assert [route.port for route in routes(told(security=mode), Faults())] == [port]


@pytest.mark.parametrize(("name", "modes"), CUSTOM.items())
def test_what_is_stated_for_a_custom_port(name, modes):
    stated, tried = modes
    (route,) = routes(told(security=stated, port=2525), faults_of(name))
    assert route.security is tried


@pytest.mark.parametrize("name", ["takes-unknown-port-for-clear", "speaks-first-on-unknown-port"])
def test_an_unknown_port_is_taken_for_clear(name):
    assert [route.security for route in routes(told(port=2525), faults_of(name))] == [NONE]


def test_only_faulty_clients_turn_elsewhere():
    route = Route("mail.example.test", 465, IMPLICIT)
    assert weaker(route, Faults()) is None
    assert weaker(route, faults_of("knows-weaker-ports")) == Route("mail.example.test", 587, NONE)
    assert guessed(route, Faults()) is None
    assert guessed(route, faults_of("guesses-host")) == Route("example.test", 465, IMPLICIT)
