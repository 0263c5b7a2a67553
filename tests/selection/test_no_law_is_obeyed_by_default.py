"""What a critic tries: to obey a law without having been asked, and to be found guilty without being it."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectors_in_the_wild import MODES, Selector, select

from pytest_mailauth import ConfigError
from pytest_mailauth.judge.selection.questions import PROBES, PROVIDER
from pytest_mailauth.model.terms import Protocol
from pytest_mailauth.selection import LAWS, Choice, LawBroken, NotAsked, Situation, check_selection


def whole(function, asked):
    return function(asked)


def broken_by(selector, **options):
    with pytest.raises(LawBroken) as failure:
        check_selection(selector, **options)
    return failure.value.law.name


def test_whoever_answers_the_first_questions_only_obeys_nothing():
    first = {(str(probe.protocol), probe.port, probe.stated and str(probe.stated)) for probe in PROBES}

    def only_probes(protocol, port, stated):
        if (protocol, port, stated) not in first:
            raise ValueError("not now")
        return select(protocol, port, stated)

    assert broken_by(only_probes) == "standard-ports"


def test_a_law_whose_questions_are_never_asked_is_not_obeyed():
    def standard_only(function, asked):
        if asked.port not in MODES:
            raise NotAsked
        return function(asked.protocol, asked.port, asked.stated)

    checked = check_selection(select, adapt=standard_only)
    assert "standard-ports" in checked.laws
    assert checked.not_asked["custom-port-needs-mode"] == "adapt= raised NotAsked for each of its questions"
    with pytest.raises(ConfigError, match="custom-port-needs-mode cannot be asked: adapt= raised NotAsked"):
        check_selection(select, adapt=standard_only, laws=["custom-port-needs-mode"])


def test_whoever_refuses_every_provider_has_not_found_the_right_host():
    class NoProviders(Selector):
        def host(self, asked):
            if asked.service:
                raise ValueError("providers are not known here")
            return "localhost"

    with pytest.raises(ConfigError, match="right-name-for-right-job cannot be asked: the selector refused all of its"):
        check_selection(NoProviders(), adapt=whole, laws=["right-name-for-right-job"])
    # Here a refusal is an answer: the law has it.
    assert "oauth-when-required" in check_selection(NoProviders(), adapt=whole, laws=["oauth-when-required"]).laws
    assert broken_by(NoProviders(), adapt=whole) == "standard-ports"


def test_whoever_cannot_do_oauth_may_refuse_it_and_is_asked_the_rest():
    class OnlyPasswords(Selector):
        def auth(self, asked):
            if super().auth(asked) == "oauth":
                raise ValueError("this provider wants OAuth 2.0, which this program does not know")
            return "password"

    assert check_selection(OnlyPasswords(), adapt=whole).laws == tuple(LAWS)


def test_whoever_refuses_wherever_it_matters_has_kept_no_password():
    def where_asked_for(protocol, port, stated):
        if stated is None:
            return select(protocol, port, stated)
        raise ValueError("no modes, please")

    assert broken_by(where_asked_for) == "stated-mode-wins"


def test_a_constant_is_told_that_nothing_about_it_was_asked():
    with pytest.raises(ConfigError, match=r"no law about what the selector chooses can be asked:\n  standard-ports: "):
        check_selection(lambda: "starttls", adapt=lambda function, _: function())


def test_a_bare_deterministic_may_be_asked_for_by_name():
    checked = check_selection(lambda: "starttls", adapt=lambda function, _: function(), laws="deterministic")
    assert checked.laws == ("deterministic",)


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_no_port_is_a_port_without_a_mode(port):
    def lenient(protocol, asked, stated):
        return "starttls" if asked == port and not stated else select(protocol, asked, stated)

    with pytest.raises(LawBroken, match=f"port={port}, stated=None") as failure:
        check_selection(lenient)
    assert failure.value.law.name == "custom-port-needs-mode"


@pytest.mark.parametrize("port", [1, 24, 26, 65535])
def test_the_ends_and_the_neighbours_are_asked(port):
    def lenient(protocol, asked, stated):
        return "starttls" if asked == port and not stated else select(protocol, asked, stated)

    with pytest.raises(LawBroken, match=f"port={port}, stated=None"):
        check_selection(lenient)


def test_words_are_never_in_upper_case_unless_the_adapter_makes_them_so():
    def shouting(function, asked):
        if asked.port is None:
            raise NotAsked
        return function(str(asked.protocol).upper(), asked.port, asked.stated and str(asked.stated))

    def only_lower(protocol, port, stated):
        if protocol not in ("smtp", "pop3", "imap"):
            raise ValueError(f"no protocol {protocol}")
        return select(protocol, port, stated)

    assert "standard-ports" in check_selection(only_lower).laws
    with pytest.raises(ConfigError, match="no protocol SMTP"):
        check_selection(only_lower, adapt=shouting)


def test_a_selector_that_tells_words_from_members_is_found_out():
    class StatedByIdentity(Selector):
        def mode(self, asked):
            return super().mode(dataclasses.replace(asked, stated=None) if asked.stated == "implicit" else asked)

    assert broken_by(StatedByIdentity(), adapt=whole) == "stated-mode-wins"


def test_what_a_selector_does_to_a_question_is_its_own_affair():
    held = dict(PROVIDER.retrieving)

    class Vandal(Selector):
        def __call__(self, asked):
            answer = super().__call__(asked)
            if asked.service:
                asked.service.retrieving.clear()
            object.__setattr__(asked, "port", 25)
            object.__setattr__(asked, "protocol", "none")
            return answer

    assert check_selection(Vandal(), adapt=whole, examples=20).laws == tuple(LAWS)
    assert PROVIDER.retrieving == held


def test_a_selector_that_remembers_the_last_question_is_not_deterministic():
    class Remembers(Selector):
        last = None

        def choice(self, asked, port, mode):
            kept, self.last = self.last, asked.protocol
            return super().choice(asked, port, "starttls" if kept == "imap" and asked.port is None else mode)

    assert broken_by(Remembers(), adapt=whole) == "deterministic"


def test_a_selector_that_is_changed_by_another_question_is_not_deterministic():
    class Afraid(Selector):
        """A failure in one account makes it choose otherwise in the next; asked twice in a row it says the same."""

        afraid = False

        def __call__(self, asked):
            self.afraid = self.afraid if asked.port is None and not asked.before else bool(asked.before)
            return super().__call__(asked)

        def choice(self, asked, port, mode):
            return super().choice(asked, 587 if asked.port is None and self.afraid else port, mode)

    assert broken_by(Afraid(), adapt=whole, laws=["deterministic"]) == "deterministic"


def test_a_selector_that_is_wrong_once_is_not_deterministic():
    class Once(Selector):
        done = False

        def habit(self, port):
            if port == 143 and not self.done:
                self.done = True
                return "implicit"
            return super().habit(port)

    once, probes = Once(), iter(PROBES)

    def not_in_a_probe(function, asked):
        return Selector()(asked) if next(probes, None) else function(asked)

    with pytest.raises(LawBroken, match="as at another time") as failure:
        check_selection(once, adapt=not_in_a_probe, laws="standard-ports")
    assert failure.value.law.name == "deterministic"


def test_chance_is_found_out():
    dice = random.Random(7)  # noqa: S311 - no secret
    assert broken_by(lambda *_: dice.choice(("implicit", "starttls"))) in ("standard-ports", "deterministic")


def test_an_older_tls_after_a_failed_handshake_is_a_weaker_attempt():
    class OlderThen(Selector):
        def after(self, asked):
            if asked.failed.failure == "handshake":
                return Choice(mode=asked.failed.mode, port=asked.failed.port, min_tls="1.0")
            return super().after(asked)

    with pytest.raises(LawBroken, match=r"failed \(handshake\)\n .*min_tls='1.2' or '1.3', as before") as failure:
        check_selection(OlderThen(), adapt=whole)
    assert failure.value.law.name == "never-weaker-after-failure"


@pytest.mark.parametrize("text", ["port 15870 is blocked", "port 4650", "try another port"])
def test_the_port_for_submission_has_to_be_named_as_a_number_of_its_own(text):
    class Names(Selector):
        def after(self, _asked):
            raise ValueError(text)

    assert broken_by(Names(), adapt=whole) == "blocked-25-names-587"


def test_a_port_in_digits_is_a_port():
    class Digits(Selector):
        def port(self, asked):
            return "25" if asked.port is None and asked.protocol == "smtp" else super().port(asked)

        def mode(self, asked):
            return asked.stated or "starttls" if asked.port is None else super().mode(asked)

    assert broken_by(Digits(), adapt=whole) == "submission-not-25"


def test_a_host_may_be_spelled_as_dns_allows():
    class Loud(Selector):
        def host(self, asked):
            return asked.service and asked.service.host_for(asked.protocol).upper() + "."

    assert "right-name-for-right-job" in check_selection(Loud(), adapt=whole).laws


def test_questions_are_asked_inside_another_property():
    @settings(max_examples=3, deadline=None, database=None)
    @given(port=st.sampled_from((2525, 8025)))
    def outer(port):
        def lenient(protocol, asked, stated):
            return "starttls" if asked == port and not stated else select(protocol, asked, stated)

        with pytest.raises(LawBroken, match=f"port={port}, stated=None"):
            check_selection(lenient, examples=300)

    outer()


def test_a_number_of_examples_is_the_most_that_is_asked():
    calls = []

    def counting(protocol, port, stated):
        calls.append(port)
        return select(protocol, port, stated)

    checked = check_selection(counting, laws="stated-mode-wins", examples=1)
    assert checked.asked == {"stated-mode-wins": 1}
    probes = sum(probe.port is not None for probe in PROBES)
    assert len(calls) == probes + 1


def test_a_question_can_be_hashed_and_compared():
    one, other = (Situation(protocol="smtp", service=dataclasses.replace(PROVIDER)) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize("protocol", ["smtp", "imap", "pop3"])
def test_a_host_is_found_by_the_plain_word_too(protocol):
    assert PROVIDER.host_for(protocol) == PROVIDER.host_for(Protocol(protocol)) != ""
