"""Worlds are played for real: right clients are left alone in any, wrong ones are caught in the simplest one."""

from __future__ import annotations

import re
import threading

import players
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pytest_mailauth import AuthPolicy, ClientUnusable, ClientViolation, ConfigError, TLSPolicy, strategies
from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.worlds import Port, World, WorldBroken

RUN = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
)
SEARCH = settings(
    RUN, max_examples=400, phases=[Phase.generate, Phase.shrink], suppress_health_check=[HealthCheck.too_slow]
)


def simplest(client, servers, worlds):
    """Return the failure in the smallest world that the search comes to."""

    @SEARCH
    @given(world=worlds)
    def search(world):
        world.play(client, servers)

    with pytest.raises(WorldBroken) as caught:
        search()
    return caught.value


@pytest.mark.parametrize("client", [players.planner, players.modest])
def test_a_right_client_is_left_alone(mailauth_factory, client):
    kinds = set()

    @RUN
    @given(world=strategies.worlds())
    def play(world):
        played = world.play(client, mailauth_factory)
        kinds.add((world.protocol, world.is_honest, played.logged_in))

    play()
    assert {logged_in for _, _, logged_in in kinds} == {True, False}
    assert {protocol for protocol, is_honest, _ in kinds if is_honest} == {"smtp", "imap", "pop3"}


STARTTLS = {"number": 587, "security": "starttls"}
IMPLICIT = {"number": 465, "security": "implicit"}
STRIPPED = Port(**STARTTLS, strips=True, auth=IN_CLEAR)
WITHOUT_TLS = Port(**STARTTLS, state="intercepted-no-tls")
BLOCKED = Port(**IMPLICIT, state="timeout")


@pytest.mark.parametrize(
    ("client", "rule", "worlds"),
    [
        (
            players.clear_when_stripped,
            "no-cleartext-credentials",
            [World(ports=(one,)) for one in (STRIPPED, WITHOUT_TLS)],
        ),
        (
            players.unverified_after_bad_certificate,
            "verify-before-credentials",
            [
                World(ports=(Port(**IMPLICIT, certificate="expired"),)),
                World(ports=(Port(**IMPLICIT, state="intercepted"),)),
            ],
        ),
        (
            players.clear_on_587_after_465,
            "no-cleartext-credentials",
            [World(ports=(BLOCKED, one)) for one in (STRIPPED, Port(**STARTTLS, auth=IN_CLEAR))],
        ),
        (players.older_tls, "tls12-or-newer", [World(ports=(Port(**IMPLICIT, tls=TLSPolicy(max_version="1.1")),))]),
        (players.relay_in_the_end, "assert_never_weaker", [World(ports=(BLOCKED,))]),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_a_wrong_client_is_caught_in_the_simplest_world(mailauth_factory, client, rule, worlds):
    """Where two worlds are as simple, it is one of them."""
    broken = simplest(client, mailauth_factory, strategies.worlds(protocol="smtp"))
    assert str(broken).startswith(f"{rule}: ")
    assert broken.world in worlds


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_a_wrong_client_is_caught_in_any_protocol(mailauth_factory, protocol):
    broken = simplest(players.clear_when_stripped, mailauth_factory, strategies.worlds(protocol=protocol))
    assert str(broken).startswith("no-cleartext-credentials: ")
    assert broken.world.protocol == protocol


def test_the_failure_tells_the_world_and_no_secret(mailauth_factory):
    seen = []

    def client(case):
        seen.append(case.password)
        players.clear_when_stripped(case)

    world = World(ports=(STRIPPED,))
    with pytest.raises(ClientViolation) as caught:
        world.play(client, mailauth_factory)
    text = str(caught.value)
    assert text.splitlines()[0] == "no-cleartext-credentials: VIOLATION (the client broke this rule)"
    assert "  Transcript:\n" in text
    assert text.endswith(
        "  World:\n"
        "    smtp.example.test over SMTP, stated: port 587, STARTTLS\n"
        "      port 587, STARTTLS: STARTTLS is stripped; passwords are taken in clear\n"
        "      any other port is closed\n"
        "  Attempts:\n"
        "    1. smtp.example.test:587 connected, text first, spoke in clear\n"
        "    2. smtp.example.test:587 connected, text first, spoke in clear, credentials in clear\n"
        "  The client: raised nothing"
    )
    assert str(seen[0]) not in text
    assert caught.value.played.logged_in


def test_what_a_client_raises_is_kept_without_its_secret(mailauth_factory):
    def client(case):
        players.log_in(case)
        raise OSError(f"cannot go on with {case.password!s}")

    played = World().play(client, mailauth_factory)
    assert played.logged_in
    assert re.fullmatch(r"OSError: cannot go on with <[^>]+>", played.error)


def test_attempts_and_sessions_are_kept():
    """And no servers have to be there already."""
    threads = threading.active_count()
    blocked = Port(number=465, security="implicit", state="timeout")
    played = World(ports=(blocked, Port(number=587, security="starttls"))).play(players.planner)
    assert [(one.port, str(one.outcome)) for one in played.attempts] == [(465, "timeout"), (587, "connected")]
    assert played.attempts[0].waited == 2.0
    assert [one.over_tls for one in played.sessions] == [True]
    assert played.error is None
    assert threading.active_count() == threads


def test_a_coroutine_function_plays():
    async def client(case):
        players.modest(case)

    assert World().play(client).logged_in


def test_a_client_that_tries_nothing_proves_nothing(mailauth_factory):
    with pytest.raises(ClientUnusable, match=r"connect to nobody\n  World:\n    smtp\.example\.test over SMTP, stated"):
        World(ports=(Port(number=465, security="implicit", state="timeout"),)).play(lambda _: None, mailauth_factory)


def test_a_client_has_to_log_in_where_nothing_is_in_its_way(mailauth_factory):
    def client(case):
        players.log_in(case, port=587, security="starttls")

    with pytest.raises(ClientUnusable, match=r"did not log in, and nothing was in its way(.|\n)*Error"):
        World().play(client, mailauth_factory)


def test_an_assertion_of_the_client_is_the_tests_own(mailauth_factory):
    def client(case):
        players.modest(case)
        raise AssertionError("mine")

    with pytest.raises(AssertionError, match=r"^mine$"):
        World().play(client, mailauth_factory)


@pytest.mark.parametrize(
    ("changed", "is_honest"),
    [
        ({}, True),
        ({"certificate": "wildcard"}, True),
        ({"auth": IN_CLEAR}, True),
        ({"tls": TLSPolicy(max_version="1.2")}, True),
        ({"state": "timeout"}, False),
        ({"strips": True}, False),
        ({"certificate": "expired"}, False),
        ({"tls": TLSPolicy(max_version="1.1")}, False),
        ({"tls": TLSPolicy(client_certificate="required")}, False),
        ({"auth": AuthPolicy(reject="invalid")}, False),
        ({"auth": AuthPolicy(less_secure_apps=False)}, False),
        ({"auth": AuthPolicy(mechanisms=("XOAUTH2",))}, False),
        ({"auth": AuthPolicy(password_commands="never")}, False),
        ({"security": "none"}, False),
    ],
)
def test_a_world_is_honest_when_a_good_client_gets_in(mailauth_factory, changed, is_honest):
    settings = {"number": 587, "security": "starttls"} | changed
    world = World(ports=(Port(**settings),))
    assert world.is_honest is is_honest
    if is_honest:
        assert world.play(players.modest, mailauth_factory).logged_in


def test_settings_that_do_not_fit_are_not_honest():
    port = Port(number=587, security="starttls")
    assert not World(ports=(port,), port=587, security="implicit").is_honest
    assert not World(ports=(port,), port=465, security="implicit").is_honest


def test_a_world_is_written_as_what_makes_it():
    world = World(
        protocol="imap",
        host="mail.example.test",
        ports=(
            Port(number=993, security="implicit", tls=TLSPolicy(max_version="1.1")),
            Port(number=143, security="starttls", strips=True, auth=IN_CLEAR, certificate="expired"),
        ),
        port=143,
    )
    assert eval(repr(world)) == world  # noqa: S307 - written by this test
    assert repr(World()) == "World()"
    assert str(world) == (
        "mail.example.test over IMAP, stated: port 143, STARTTLS\n"
        "  port 993, implicit TLS: TLS 1.1 is served; no TLS newer than 1.1 is\n"
        "  port 143, STARTTLS: STARTTLS is stripped; the certificate is expired; passwords are taken in clear\n"
        "  any other port is closed"
    )


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: World(ports=()), r"ports=\[\] must be one port or more"),
        (lambda: World(ports=(Port(number=25, security="none"),) * 2), r"ports=\[25, 25\] must be one port or more"),
        (lambda: World(port=587), "port=587 has nothing behind it, so state its security, too"),
        (lambda: World(port=0), "port=0 must be a number from 1 to 65535"),
        (lambda: World(protocol="nntp"), "protocol='nntp' is not known"),
        (lambda: World(security="tls"), "security='tls' is not known"),
        (
            lambda: Port(number=465, security="implicit", strips=True),
            "strips=True takes STARTTLS away, and security is",
        ),
        (lambda: Port(number=70000, security="implicit"), "port=70000 must be a number"),
        (lambda: Port(number=465, security="implicit", state="asleep"), "state='asleep' is not known"),
    ],
)
def test_a_world_that_cannot_be_is_a_mistake_of_the_user(make, reason):
    with pytest.raises(ConfigError, match=reason):
        make()


@settings(RUN, max_examples=15)
@given(blocks=strategies.networks())
def test_any_network_can_be_brought_about(mailauth_factory, blocks):
    from pytest_mailauth import Network  # noqa: PLC0415 - of this test alone

    with mailauth_factory.environment() as servers, Network(servers) as network:
        for port, how in blocks.items():
            network.block(port, how=how)
