"""Every wrong selector is caught by its law and by no other, and the right one by none."""

from __future__ import annotations

import pytest
from selectors_in_the_wild import WRONG, Selector

from pytest_mailauth.selection import LAWS, LawBroken, check_selection


def asked_whole(function, asked):
    return function(asked)


def broken(selector, **options):
    found = {}
    for law in LAWS:
        try:
            check_selection(selector, laws=[law], adapt=asked_whole, **options)
        except LawBroken as failure:
            found[law] = failure
    return found


def test_the_right_selector_obeys_every_law():
    checked = check_selection(Selector(), adapt=asked_whole, examples=1_400)
    assert sum(checked.asked.values()) >= 10_000  # some laws have few questions
    assert checked.laws == tuple(LAWS)
    assert checked.not_asked == {}


class GoesOnTo587(Selector):
    """Right as well: where 25 gives no answer, it takes another port by itself."""

    def after(self, asked):
        if asked.failed.port == 25 and asked.failed.failure in ("timeout", "refused"):
            return self.choice(asked, 587, "starttls")
        return super().after(asked)


def test_whoever_goes_on_to_submission_obeys_every_law():
    assert check_selection(GoesOnTo587(), adapt=asked_whole).laws == tuple(LAWS)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_selector_is_caught_by_its_law_and_by_no_other(wrong):
    assert list(broken(wrong(), examples=100)) == [WRONG[wrong]]


def test_every_law_catches_a_wrong_selector():
    assert set(WRONG.values()) == set(LAWS)
