"""What is made of an open loop's requests."""

import pytest

from bench.overload import Asked, Overload, Recovery, arrivals_s, came, level_of, recover

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


def steady(seconds: int, *other: Asked) -> list[Asked]:
    """An answer each second but for those at which something else came."""
    taken = {one.at_s for one in other}
    return [*other, *(good(second) for second in range(seconds) if second not in taken)]


@pytest.mark.parametrize(
    ("after", "after_s"),
    [
        (steady(60), 0),
        (steady(60, refused(0), refused(1)), 2),
        (steady(60, good(0, 1.2), good(1, 1.05)), 1),
        ([*(good(second / 10) for second in range(600)), refused(30.05)], 0),
        (steady(60, *(refused(second) for second in range(0, 60, 15))), None),
        ([good(0), refused(1)], None),
    ],
)
def test_recovery_is_when_requests_fare_as_before(after, after_s):
    """For twenty seconds, no more than one in a hundred is refused, or slower than the usual p99
    and a tenth."""
    found = recover(steady(60), after)
    assert (found and found.after_s) == after_s


def test_what_fared_badly_before_the_overload_may_do_so_behind_it():
    """At about that time of the level; any more is the overload's."""
    before = steady(60, refused(10), refused(11))
    assert recover(before, steady(60, refused(9), refused(12))) == Recovery(0, 0)
    assert recover(steady(60), steady(60, refused(9), refused(12))) == Recovery(13, 0)


def test_what_fares_worse_once_it_is_itself_again_is_told():
    """It is a share of all from then on."""
    after = steady(60, refused(0), refused(30), good(31, 1.2), good(32, 1.05))
    assert recover(steady(60), after) == Recovery(1, round(2 / 59, 3))


def test_requests_come_as_often_as_asked_and_at_the_same_times_each_time():
    """So that two levels at one rate differ in what came before them."""
    found = arrivals_s(30, 20)
    assert len(found) == 600
    assert found == sorted(found) == arrivals_s(30, 20)
    assert 0 <= found[0] <= found[-1] <= 20


def test_what_is_kept_is_a_share_of_the_best_level():
    """Whichever that is."""
    levels = [
        level_of(times, 10, [], DEADLINE_S, good_came=count)
        for times, count in ((1, 90), (2, 100), (3, 85), (5, 70), (1, 90))
    ]
    found = Overload(10, DEADLINE_S, tuple(levels), Recovery(3.0, 0), retries=0)
    assert found.kept == 0.85
    assert found.to_json()["kept_at_3_times"] == 0.85
