"""Sums over replicas: what is counted, what is not, and what a restart does."""

from dataclasses import asdict

from services.registry.canary.figures import SEEN_MAX, Counts, Phase, Report, Window, add, to_window

CHAMPION, CANARY = 1, 2


def counted(answers: int, failed: int = 0) -> Counts:
    """What so many answers amount to."""
    return Counts(answers - failed, failed, answers, answers * 0.1, answers * 20, answers * 0.2)


def report(
    number: int, answers: int, time_s: float, replica: str = "a", join_s: float = 0
) -> Report:
    """What a replica says at some time."""
    counts = counted(answers)
    return Report(replica, number, Phase.READY, counts, time_s=time_s, join_s=join_s)


def added(window: Window, *reports: Report) -> Window:
    """The window after one look."""
    return add(window, list(reports), CHAMPION, CANARY, now_s=reports[0].time_s)


def test_only_what_comes_after_the_first_look_counts():
    """A replica has a past; the champion's is what a canary is compared with at first."""
    window = added(Window(), report(CHAMPION, 100, 1), report(CANARY, 7, 1))
    assert (window.champion, window.canary) == (Counts(), Counts())
    assert window.reference == counted(100)
    window = added(window, report(CHAMPION, 130, 2), report(CANARY, 10, 2))
    assert (window.champion.answers, window.canary.answers) == (30, 3)


def test_replicas_are_added_up():
    """Also one that comes later, from what it counts behind its first report."""
    window = added(Window(), report(CANARY, 0, 1, "a"))
    window = added(window, report(CANARY, 5, 2, "a"), report(CANARY, 40, 2, "b"))
    window = added(window, report(CANARY, 6, 3, "a"), report(CANARY, 44, 3, "b"))
    assert window.canary.answers == 5 + 1 + 4


def test_a_replica_that_was_restarted_counts_from_zero():
    """What it had counted before stays counted, and nothing becomes negative."""
    window = added(Window(), report(CANARY, 0, 1))
    window = added(window, report(CANARY, 50, 2))
    window = added(window, report(CANARY, 4, 5, join_s=4))
    window = added(window, report(CANARY, 9, 6, join_s=4))
    assert window.canary.answers == 50 + 4 + 5


def test_a_replica_that_joins_again_goes_on_counting():
    """The mesh was restarted, or their connection broke: its numbers did not fall."""
    window = added(Window(), report(CANARY, 0, 1))
    window = added(window, report(CANARY, 50, 2))
    window = added(window, report(CANARY, 60, 5, join_s=4))
    assert window.canary.answers == 60


def test_a_report_counts_once():
    """Two registries may see the same report, or one an older one than the other has written."""
    window = added(Window(), report(CANARY, 0, 1))
    window = added(window, report(CANARY, 50, 3))
    again = added(window, report(CANARY, 50, 3))
    older = added(again, report(CANARY, 20, 2))
    late = added(older, report(CANARY, 20, 3.01))
    assert late.canary.answers == 50


def test_what_is_remembered_of_replicas_is_bounded():
    """Of many that came and went, the newest."""
    window = Window()
    for at in range(1, SEEN_MAX + 10):
        window = added(window, report(CANARY, 0, at, f"serving-{at}"))
    assert len(window.seen) == SEEN_MAX
    assert f"serving-{SEEN_MAX + 9}/{CANARY}" in window.seen
    assert f"serving-1/{CANARY}" not in window.seen


def test_other_versions_do_not_count():
    """A third version that a replica still holds is nobody's business here."""
    window = added(Window(), report(3, 5, 1))
    assert added(window, report(3, 90, 2)).seen == {}


def test_a_step_begins_anew_and_keeps_a_reference():
    """The champion's figures are kept for steps in which it hardly answers."""
    window = Window(champion=counted(30), canary=counted(9), reference=counted(5))
    assert window.anew(20) == Window(reference=counted(30))
    assert window.anew(31) == Window(reference=counted(5))


def test_a_window_survives_its_row():
    """Read back, it is the same, so that a killed registry goes on where it was."""
    window = added(Window(ready_s=3.5), report(CHAMPION, 10, 1), report(CANARY, 0, 1))
    window = added(window, report(CHAMPION, 15, 2), report(CANARY, 4, 2))
    assert to_window(asdict(window)) == window


def test_means_are_of_what_was_measured():
    """And zero where nothing was."""
    counts = counted(10, failed=2)
    assert (counts.error_rate, counts.answers) == (0.2, 10)
    assert round(counts.mean_first_token_s, 6) == 0.1
    assert round(counts.mean_next_token_s, 6) == 0.01
    assert (Counts().error_rate, Counts().mean_first_token_s, Counts().mean_next_token_s) == (
        0,
        0,
        0,
    )
