"""Every wrong planner is caught by its law and by no other, and the right ones by none."""

from __future__ import annotations

from enum import Enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planners_in_the_wild import RIGHT, WRONG, ClearAfterTimeout, PingPong, Planner, WithoutVerification

from pytest_mailauth import ConfigError
from pytest_mailauth.selection import PLAN_LAWS, Choice, LawBroken, NotAsked, PlanBroken, check_connection_plan


def asked_whole(function, asked):
    return function(asked)


def text_of(step, **options):
    with pytest.raises(PlanBroken) as caught:
        check_connection_plan(step, **options)
    return str(caught.value)


@pytest.mark.parametrize("right", RIGHT, ids=lambda right: right.__name__)
def test_a_right_planner_obeys_every_law_for_ten_thousand_steps(right):
    checked = check_connection_plan(right(), adapt=asked_whole, examples=600)
    assert checked.laws == tuple(PLAN_LAWS)
    assert checked.not_asked == {}
    assert checked.steps >= 10_000


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_planner_is_caught_by_its_law_and_by_no_other(wrong):
    with pytest.raises(PlanBroken):
        check_connection_plan(wrong(), laws=[WRONG[wrong]], adapt=asked_whole, examples=100)
    others = [law for law in PLAN_LAWS if law != WRONG[wrong]]
    assert check_connection_plan(wrong(), laws=others, adapt=asked_whole, examples=100).laws == tuple(others)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_planner_is_caught_when_every_law_is_asked_at_once(wrong):
    with pytest.raises(PlanBroken) as caught:
        check_connection_plan(wrong(), adapt=asked_whole)
    assert caught.value.law.name == WRONG[wrong]


def test_every_law_catches_a_wrong_planner():
    assert set(WRONG.values()) == set(PLAN_LAWS)


def test_the_failure_tells_the_smallest_history():
    """After a time-out in clear: one attempt before is enough, for the first of the protocols."""
    assert text_of(ClearAfterTimeout(), adapt=asked_whole) == (
        "the law never-weaker-after-failure is broken (S11, RFC 8314 section 5.2)\n"
        "  Law:       After a failure the next attempt is as secure as the one before, or there is none.\n"
        "  Why:       An attacker who can block a port or break a handshake would choose the security.\n"
        "  Story:     smtp, with credentials\n"
        "             1. implicit on port 465 of smtp.example.test with TLS 1.2 or newer: nothing answered\n"
        "             2. mode='none', port=465, host='smtp.example.test', min_tls='1.2', verify=True  <- here\n"
        "  Expected:  mode='implicit' or mode='starttls', as before, or giving up\n"
        "  Actual:    mode='none', port=465, host='smtp.example.test', min_tls='1.2', verify=True\n"
        "  Next step: Take attempts that do without TLS out of the plan: give up, and tell the user what failed."
    )


def test_the_story_says_what_was_given_up_before():
    story = text_of(WithoutVerification(), adapt=asked_whole)
    assert "1. implicit on port 465 of smtp.example.test with TLS 1.2 or newer: the certificate is not to be" in story
    assert "verify=False  <- here" in story


def test_the_failure_is_a_law_broken_with_its_parts():
    with pytest.raises(LawBroken) as caught:
        check_connection_plan(PingPong(), adapt=asked_whole, limit=3)
    failure = caught.value
    assert failure.law is PLAN_LAWS["plan-ends"]
    assert [one.port for one in failure.asked.before] == [465, 587, 465]
    assert failure.choice.port == 587
    assert failure.expected == "None or ValueError, to give up after 3 attempts"


def test_the_story_says_what_the_user_stated():
    step = lambda _protocol, attempts: [(465, "implicit"), (2525, "starttls"), None][min(len(attempts), 2)]  # noqa: E731
    story = text_of(step, laws=["blocked-25-names-587"])
    assert "  Story:     smtp, with credentials, port 25 stated by the user\n" in story
    assert "             1. starttls on port 25: nothing answered\n             2. mode='starttls', port=2525" in story


def test_the_limit_is_what_a_plan_may_have():
    def thrice(protocol, attempts):
        return (465, "implicit") if protocol == "smtp" and len(attempts) < 3 else None

    assert "plan-ends" in check_connection_plan(thrice, limit=3).laws
    with pytest.raises(PlanBroken, match="plan-ends"):
        check_connection_plan(thrice, limit=2)


def test_a_plain_function_gets_plain_tuples():
    seen = []

    def step(protocol, attempts):
        seen.extend((type(protocol), *map(type, one)) for one in attempts)
        return None if attempts else (993, "implicit")

    checked = check_connection_plan(step)
    assert set(seen) == {(str, int, str, str)}
    assert checked.not_asked == {
        name: f"the steps do not say {what}; return a settings object, a mapping or a Choice that does"
        for name, what in {
            "tls-floor": "min_tls",
            "never-older-tls-after-failure": "min_tls",
            "always-verifies": "verify",
            "same-host-after-failure": "host",
        }.items()
    }


def test_giving_up_without_a_word_says_nothing_wrong():
    check_connection_plan(lambda _protocol, attempts: None if attempts else (465, "implicit"))
    with pytest.raises(PlanBroken, match="blocked-25-names-587"):
        check_connection_plan(lambda _protocol, attempts: _raise("failed") if attempts else (465, "implicit"))
    check_connection_plan(lambda _protocol, attempts: _raise("use port 587") if attempts else (465, "implicit"))


def _raise(text):
    raise ValueError(text)


@pytest.mark.parametrize(
    "answer",
    [
        (465, "SSL"),
        (465, (True, False)),
        {"port": 465, "mode": "implicit"},
        Choice(port=465, mode="implicit"),
        {"port": 465, "use_ssl": True, "use_tls": False},
        (465, Enum("Mode", {"IMPLICIT": 1}).IMPLICIT),
    ],
)
def test_a_step_is_read_whatever_it_is_made_of(answer):
    assert check_connection_plan(lambda _protocol, attempts: None if attempts else answer).laws


@pytest.mark.parametrize("name", ["verify", "verify_certificate", "validate_certs", "verify_ssl"])
def test_verification_is_read_from_a_mapping(name):
    def step(_protocol, attempts):
        verify = not attempts or attempts[-1][2] != "certificate"
        return {"port": 465, "mode": "implicit", name: verify} if len(attempts) < 2 else None

    with pytest.raises(PlanBroken, match="always-verifies"):
        check_connection_plan(step)


@pytest.mark.parametrize(
    ("step", "options", "reason"),
    [
        (lambda *_: None, {}, "the planner tries nothing"),
        (lambda *_: "implicit", {}, "does not say port and mode; return"),
        (lambda *_: {"port": 465}, {}, "does not say port and mode; return"),
        (lambda *_: 465, {}, "nobody knows what that means"),
        (lambda *_: (465, "implicit"), {"laws": ["standard-ports"]}, "there is no law of plans 'standard-ports'"),
        (lambda *_: (465, "implicit"), {"laws": ["tls-floor"]}, "the law tls-floor cannot be asked: the steps do not"),
        (lambda *_: (465, "implicit"), {"laws": []}, "laws= names no law"),
        (lambda *_: (465, "implicit"), {"limit": 0}, "limit=0 must be at least 1"),
        (lambda *_: (465, "implicit"), {"examples": 0}, "examples=0 must be at least 1"),
    ],
)
def test_a_planner_that_cannot_be_asked_is_a_mistake_of_the_user(step, options, reason):
    with pytest.raises(ConfigError) as caught:
        check_connection_plan(step, **options)
    assert reason in str(caught.value)


def test_what_an_adapter_leaves_out_is_not_asked():
    asked = set()

    def imap_only(function, situation):
        if situation.protocol != "imap":
            raise NotAsked
        asked.add(situation.protocol)
        return function(situation)

    checked = check_connection_plan(Planner(), adapt=imap_only)
    assert asked == {"imap"}
    never = dict.fromkeys(("submission-not-25", "blocked-25-names-587"), "no step came to what it is about")
    assert checked.not_asked == never
    assert set(checked.laws) == set(PLAN_LAWS) - set(never)
    with pytest.raises(ConfigError, match="submission-not-25 cannot be asked: no step came to what it is about"):
        check_connection_plan(Planner(), adapt=imap_only, laws="submission-not-25")


def test_an_error_of_the_planner_is_its_own():
    def step(protocol, attempts):
        return (465, "implicit") if len(attempts) < 2 else 1 / 0

    with pytest.raises(ZeroDivisionError):
        check_connection_plan(step)


def test_the_same_planner_is_told_the_same_twice():
    first, second = (text_of(PingPong(), adapt=asked_whole) for _ in range(2))
    assert first == second


def test_a_planner_can_be_asked_inside_another_property():
    """A user may draw the planner, or its settings."""

    @settings(max_examples=2, deadline=None, database=None, derandomize=True)
    @given(port=st.sampled_from([465, 587]))
    def ask(port):
        mode = "implicit" if port == 465 else "starttls"
        check_connection_plan(lambda _protocol, attempts: None if attempts else (port, mode), examples=2)

    ask()


def test_nothing_of_a_settings_object_is_shown():
    with pytest.raises(ConfigError) as caught:
        check_connection_plan(lambda *_: {"mode": "implicit", "password": "hunter2"})
    assert "a dict with mode, password, does not say port and mode" in str(caught.value)
    assert "hunter2" not in str(caught.value)
