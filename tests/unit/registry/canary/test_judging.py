"""A canary against the champion: what is worse, what is not, and what cannot be said yet."""

import json

import pytest

from services.registry.canary.figures import Counts
from services.registry.canary.judging import Judgement, Limits, judge, surely_above

LIMITS = Limits()


def counts(
    answers: int, failed: int = 0, first_s: float = 0.2, next_s: float = 0.02, tokens: int = 20
) -> Counts:
    """Answers with these mean times."""
    more = answers * tokens
    return Counts(answers - failed, failed, answers, answers * first_s, more, more * next_s)


CHAMPION = counts(500, failed=1)


@pytest.mark.parametrize(
    ("canary", "judgement"),
    [
        (counts(20), Judgement.HOLDS),
        (counts(500, failed=2), Judgement.HOLDS),
        (counts(20, first_s=0.45, next_s=0.03), Judgement.HOLDS),
        (counts(0), Judgement.TOO_FEW),
        (counts(19), Judgement.TOO_FEW),
        (counts(19, next_s=0.2), Judgement.TOO_FEW),
        (counts(2, failed=2), Judgement.TOO_FEW),
        (counts(3, failed=3), Judgement.WORSE),
        (counts(40, failed=4), Judgement.WORSE),
        (counts(20, next_s=0.06), Judgement.WORSE),
        (counts(20, first_s=0.6), Judgement.WORSE),
    ],
)
def test_the_judgement(canary: Counts, judgement: Judgement):
    """Failures are believed soon, slowness once there is enough to take a mean of."""
    assert judge(CHAMPION, canary, LIMITS).judgement is judgement


def test_failures_that_may_be_bad_luck_are_borne():
    """Three of two hundred are not surely more than two percent above none; twelve are."""
    assert judge(counts(500), counts(200, failed=3), LIMITS).judgement is Judgement.HOLDS
    assert judge(counts(500), counts(200, failed=12), LIMITS).judgement is Judgement.WORSE


def test_a_champion_that_fails_as_often_excuses_a_canary():
    """The margin is above the champion's rate, not above none."""
    canary = counts(100, failed=10)
    assert judge(counts(1000, failed=100), canary, LIMITS).judgement is Judgement.HOLDS
    assert judge(counts(1000), canary, LIMITS).judgement is Judgement.WORSE


def test_without_a_champion_to_compare_with_only_failures_count():
    """Times mean nothing by themselves."""
    slow = counts(50, first_s=9, next_s=9)
    assert judge(Counts(), slow, LIMITS).judgement is Judgement.HOLDS
    assert judge(Counts(), counts(50, failed=9), LIMITS).judgement is Judgement.WORSE


def test_a_better_canary_is_no_worse():
    """Faster, and without failures."""
    assert judge(CHAMPION, counts(50, first_s=0.01, next_s=0.001), LIMITS).judgement is (
        Judgement.HOLDS
    )


def test_the_words_name_the_figures():
    """People read how much, against what, and how much would be borne."""
    words = judge(CHAMPION, counts(20, next_s=0.06), LIMITS).words
    assert "each next token after 60.0 ms, the champion's after 20.0 ms (at most 31.0 ms)" in words
    assert "3 of 3 answers failed (100%)" in judge(CHAMPION, counts(3, failed=3), LIMITS).words
    assert judge(CHAMPION, counts(0), LIMITS).words == "no answers yet; it takes 20 to judge"


def test_the_figures_are_plain_json():
    """For the audit, which keeps the limits of the day as well."""
    figures = judge(CHAMPION, counts(20, next_s=0.06), LIMITS).figures
    assert json.loads(json.dumps(figures)) == figures
    assert figures["canary"]["next_token_s"] == 0.06
    assert figures["champion"]["answers"] == 500
    assert figures["limits"]["answers_min"] == LIMITS.answers_min


def test_the_bound_of_a_rate():
    """Known values of Wilson's bound; it grows with what is known, and is never negative."""
    assert surely_above(0, 0) == surely_above(0, 50) == 0
    assert round(surely_above(3, 3), 3) == 0.526
    assert surely_above(3, 3) < surely_above(30, 30) < 1
    assert surely_above(10, 100) < 0.1


@pytest.mark.parametrize("next_s", [0.002, 0.02, 0.2])
def test_three_times_as_slow_is_too_slow(next_s: float):
    """However fast the champion is; a tenth more is not."""
    champion = counts(200, next_s=next_s)
    assert judge(champion, counts(20, next_s=3 * next_s), LIMITS).judgement is Judgement.WORSE
    assert judge(champion, counts(20, next_s=1.1 * next_s), LIMITS).judgement is Judgement.HOLDS
