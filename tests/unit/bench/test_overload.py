"""What is made of an open loop's requests."""

import pytest

from bench.overload import Asked, Overload, came, level_of, recovered_after_s

DEADLINE_S = 15.0


def good(at_s: float, total_s: float = 1.0) -> Asked:
    """An answer."""
    return Asked(at_s, total_s, first_s=total_s / 2)


def refused(at_s: float, *, hinted: bool = True) -> Asked:
    """A refusal."""
    return Asked(at_s, 0.01, refused=True, hinted=hinted)


def test_only_whole_answers_in_time_are_good():
    """Late ones, refusals and failures are counted apart."""
    found = [
        *(good(0), good(1, DEADLINE_S), good(2, DEADLINE_S + 0.1)),
        *(refused(3), refused(4, hinted=False), Asked(5, 1.0, failed=True)),
    ]
    level = level_of(2, 10, found, DEADLINE_S, good_came=3)
    assert (level.asked, level.good, level.late, level.refused, level.failed) == (6, 2, 1, 2, 1)
    assert level.hinted == 1
    assert level.goodput_per_s == 0.3
    assert level.refusal.p99_ms == 10


def test_good_answers_count_when_they_come():
    """In the level that goes on then; what comes behind the last one counts in none."""
    first = (10.0, [good(0), good(8, 3.0), good(9, DEADLINE_S + 0.1), refused(1)])
    second = (10.0, [good(0), good(9.5)])
    assert came([first, second], DEADLINE_S) == [1, 2]


@pytest.mark.parametrize(
    ("found", "after_s"),
    [
        ([good(second) for second in range(200)], 0),
        ([refused(0), refused(1), *(good(second) for second in range(2, 50))], 2),
        ([good(0, 1.2), *(good(second, 1.05) for second in range(1, 50))], 1),
        # One in a hundred is as usual.
        ([*(good(second) for second in range(150)), refused(150), good(151)], 0),
        ([good(0), refused(1)], None),
    ],
)
def test_recovery_is_when_requests_fare_as_before(found, after_s):
    """No refusals, and no answer slower than the usual p99 and a tenth."""
    assert recovered_after_s(1.0, found) == after_s


def test_what_is_kept_is_a_share_of_the_best_level():
    """Whichever that is."""
    levels = [
        level_of(times, 10, [], DEADLINE_S, good_came=count)
        for times, count in ((1, 90), (2, 100), (3, 85), (5, 70), (1, 90))
    ]
    found = Overload(10, DEADLINE_S, tuple(levels), 3.0, retries=0)
    assert found.kept == 0.85
    assert found.to_json()["kept_at_3_times"] == 0.85
