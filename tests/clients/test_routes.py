"""Reference clients that are not told everything: where they turn, without any connection."""

from __future__ import annotations

import pytest
from clients import FAULTY, Faults, Unconfigured
from clients.routes import routes
from routes_taken import BY_PORT, IMPLICIT
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
