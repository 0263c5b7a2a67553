"""What a failure says, word for word, and how it is shown by pytest."""

from __future__ import annotations

import pytest
from selectors_in_the_wild import DowngradesOnTimeout, OneHostForBoth, SaysOnlyFailed, Undecided, select

from pytest_mailauth import ConfigError
from pytest_mailauth.judge.selection.reading import choice_of
from pytest_mailauth.selection import LAWS, Choice, LawBroken, NotAsked, check_selection

GOLDEN = {
    "custom-port-needs-mode": """\
the law custom-port-needs-mode is broken (S10)
  Law:      Any other port needs a stated mode; without one, the client refuses.
  Why:      A number such as 2525 does not tell whether TLS comes first; guessing ends in clear, or nowhere.
  Asked:    protocol='smtp', port=2525, stated=None
  Expected: a refusal that tells the user to state implicit or starttls
  Actual:   mode='none'""",
    "never-weaker-after-failure": """\
the law never-weaker-after-failure is broken (S11, RFC 8314 section 5.2)
  Law:      After a failure the next attempt is as secure as the one before, or there is none.
  Why:      An attacker who can block a port or break a handshake would choose the security.
  Asked:    protocol='smtp', port=587, stated=None, after starttls on port 587 failed (timeout)
  Expected: mode='implicit' or mode='starttls', as before, or a refusal
  Actual:   mode='none', port=587, auth='password', min_tls='1.2'""",
    "right-name-for-right-job": """\
the law right-name-for-right-job is broken (S4, S8)
  Law:      Sending goes to the provider's host for sending, retrieving to the one for retrieving.
  Why:      Many providers have different names for the two.
  Asked:    protocol='smtp', port=587, stated=None, provider='example' (requires OAuth 2.0)
  Expected: host='smtp.example.test'
  Actual:   mode='starttls', port=587, host='imap.example.test', auth='oauth', min_tls='1.2'""",
    "blocked-25-names-587": """\
the law blocked-25-names-587 is broken (S6, S7, S11)
  Law:      Where port 25 gives no answer, the client turns to 587 or 465, or names them.
  Why:      Providers block 25; submission has ports of its own, and the user has to hear of them.
  Asked:    protocol='smtp', port=25, stated=None, after starttls on port 25 failed (timeout)
  Expected: port=587 (or 465), or a refusal that names it
  Actual:   refused: could not speak smtp; check user name and password""",
}


def clear_on_2525(protocol, port, stated):
    return "none" if port == 2525 and not stated else select(protocol, port, stated)


def whole(function, asked):
    return function(asked)


BREAKING = {
    "custom-port-needs-mode": (clear_on_2525, {}),
    "never-weaker-after-failure": (DowngradesOnTimeout(), {"adapt": whole}),
    "right-name-for-right-job": (OneHostForBoth(), {"adapt": whole}),
    "blocked-25-names-587": (SaysOnlyFailed(), {"adapt": whole}),
}


@pytest.mark.parametrize("law", GOLDEN)
def test_a_failure_shows_the_law_its_paragraph_and_the_smallest_question(law):
    function, options = BREAKING[law]
    with pytest.raises(LawBroken) as failure:
        check_selection(function, laws=law, **options)
    assert str(failure.value) == GOLDEN[law]
    assert failure.value.law is LAWS[law]
    assert not getattr(failure.value, "__notes__", [])
    assert failure.value.__cause__ is failure.value.__context__ is None or failure.value.__suppress_context__


def test_an_answer_that_changes_is_shown_with_the_other_one():
    with pytest.raises(
        LawBroken, match=r"smtp', stated=None.*\n  Expected: mode=.*port=\d+, .*\n  Actual:   mode=.*port=\d+, "
    ) as failure:
        check_selection(Undecided(), laws="deterministic", adapt=whole)
    assert {failure.value.expected, str(failure.value.choice)} == {
        f"mode='implicit', port={port}, auth='password', min_tls='1.2'" for port in (465, 587)
    }


def test_a_failure_is_the_same_every_time():
    def text():
        with pytest.raises(LawBroken) as failure:
            check_selection(clear_on_2525)
        return str(failure.value)

    assert text() == text() == GOLDEN["custom-port-needs-mode"]


def test_pytest_shows_the_failure_and_none_of_our_frames(pytester):
    pytester.makepyfile(
        """
        from pytest_mailauth.selection import check_selection

        def select(protocol, port, stated):
            return "starttls"

        def test_selector():
            check_selection(select)
        """
    )
    result = pytester.runpytest_inprocess(
        "-p", "no:randomly", "-p", "no:asyncio", "-p", "no:cacheprovider", "--tb=short"
    )
    result.stdout.fnmatch_lines(
        [
            "test_*.py:7: in test_selector",
            "    check_selection(select)",
            "E   pytest_mailauth.selection.LawBroken: the law standard-ports is broken (S9, S13, S14, RFC 8314 section 3)",
            "E     Asked:    protocol='smtp', port=465, stated=None",
            "E     Expected: mode='implicit'",
            "E     Actual:   mode='starttls'",
            "*short test summary info*",
        ],
        consecutive=False,
    )
    result.stdout.no_fnmatch_line("*check.py*")
    result.stdout.no_fnmatch_line("*Failing test case*")
    result.stdout.no_fnmatch_line("*Falsifying*")


@pytest.mark.parametrize(
    ("error", "port"),
    [(KeyError(2525), 2525), (TypeError("no len()"), 465), (ZeroDivisionError("by zero"), 587)],
)
def test_a_defect_of_the_selector_stays_its_own_and_says_what_was_asked(error, port):
    def failing(protocol, asked_port, stated):
        if asked_port == port and stated is None:
            raise error
        return select(protocol, asked_port, stated)

    with pytest.raises(type(error)) as failure:
        check_selection(failing)
    assert failure.value is error
    assert failure.value.__notes__[-1] == (
        f"The selector was asked: protocol='smtp', port={port}, stated=None. {type(error).__name__} is no refusal: "
        "who refuses raises ValueError, with words for the user. Mend the selector, or adapt=, which called it."
    )


def test_a_refusal_may_have_a_cause_and_a_defect_keeps_it():
    table = {587: "starttls"}

    def refusing(protocol, port, stated):
        try:
            return table[port]
        except KeyError as error:
            raise ValueError(f"state a mode for port {port}") from error

    with pytest.raises(LawBroken, match=r"refused: state a mode for port 465\Z"):
        check_selection(refusing, laws="standard-ports")

    def failing(protocol, port, stated):
        try:
            return table[port]
        except KeyError as error:
            raise RuntimeError("no table") from error

    with pytest.raises(RuntimeError, match="no table") as failure:
        check_selection(failing)
    assert isinstance(failure.value.__cause__, KeyError)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"laws": ["standard-port"]}, "there is no law 'standard-port'; use some of standard-ports, "),
        ({"laws": []}, "names no law"),
        ({"laws": ()}, "names no law"),
        ({"laws": "tls-floor"}, "the law tls-floor cannot be asked: the answers do not say min_tls"),
        ({"laws": ["oauth-when-required"]}, "adapt= never looks at asked.service"),
        ({"examples": 0}, "examples=0: it is a whole number"),
        ({"examples": -5}, "examples=-5"),
        ({"examples": 1.5}, "examples=1.5"),
        ({"examples": True}, "examples=True"),
        ({"adapt": lambda _: "ssl"}, "cannot be called as adapt(function, asked)"),
    ],
)
def test_a_mistake_of_the_caller_is_explained(options, told):
    with pytest.raises(ConfigError) as failure:
        check_selection(select, **options)
    assert told in str(failure.value)


def test_a_function_of_another_form_is_told_the_form():
    def choose(port):
        """Not reached."""

    with pytest.raises(ConfigError, match=r"choose\(port\) cannot be called as select\(protocol, port, stated\)"):
        check_selection(choose)


def test_a_function_that_does_not_tell_its_form_is_called_all_the_same():
    with pytest.raises(TypeError, match="not supported") as failure:
        check_selection(max)  # written in C, without a signature
    assert "asked: protocol='smtp', port=587" in failure.value.__notes__[0]


def test_a_mistake_of_an_adapter_is_no_refusal():
    def adapt(_function, asked):
        return Choice(mode="starttls", refusal="both") if asked.port == 993 else choice_of("sometimes")

    with pytest.raises(
        ConfigError, match=r"'sometimes', and nobody .*\(asked: protocol='smtp', port=587, stated=None\)"
    ):
        check_selection(select, adapt=adapt)


def test_a_selector_that_refuses_everything_is_told_what_it_said():
    def refusing(*_):
        raise ValueError("no protocol SMTP")

    with pytest.raises(ConfigError, match=r"refused all of 15 questions.*'no protocol SMTP'"):
        check_selection(refusing)


def test_an_adapter_that_asks_nothing_is_told_so():
    def never(function, asked):
        raise NotAsked

    with pytest.raises(ConfigError, match="NotAsked for every question"):
        check_selection(select, adapt=never)
