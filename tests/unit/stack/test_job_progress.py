"""How far a job has come, and how it is drawn."""

import pytest
from parley.jobs.v1 import jobs_pb2 as pb
from rich.console import Console

from stack.commands import watching
from stack.job_progress import LINES_MAX, LOSSES_MAX, Progress, sparkline


def event(time_s=0.0, **what):
    """A message of a watch."""
    made = pb.JobEvent(**what)
    made.time.FromNanoseconds(round(time_s * 1e9))
    return pb.WatchJobResponse(event=made)


def begun():
    """A job that has begun."""
    job = pb.Job(id="one", spec=pb.JobSpec(finetune=pb.FinetuneSpec(model="m")))
    return Progress(job)


def at(percent, time_s):
    """Progress at a moment."""
    return event(time_s, progress=pb.ProgressEvent(percent=percent, message=f"at {percent}"))


@pytest.mark.parametrize(
    ("values", "width", "bars"),
    [
        ([], 8, ""),
        ([3], 8, "▁"),
        ([1, 2, 3], 8, "▁▅█"),
        ([8, 8, 1, 1], 2, "█▁"),
        ([1, float("nan"), 2, float("inf")], 8, "▁█"),
    ],
)
def test_sparkline_shows_the_shape(values, width, bars):
    """At any length, and without what is no number."""
    assert sparkline(values, width) == bars


def test_sparkline_has_one_bar_for_each_stretch():
    """Never more than it is wide."""
    assert len(sparkline(range(1000), 32)) == 32
    assert len(sparkline(range(33), 32)) == 32


def test_estimate_is_by_the_pace_of_the_last_minute():
    """A slow beginning does not count for ever."""
    progress = begun()
    for message in (at(1, 0), at(10, 600), at(20, 630), at(30, 660)):
        progress.take(message)
    assert progress.eta_s == pytest.approx(70 / (20 / 60))


@pytest.mark.parametrize(
    "way",
    [
        [],
        [at(10, 0)],
        [at(1, 0), at(3, 60)],
        [at(10, 0), at(10, 60)],
        [at(50, 0), at(100, 60)],
    ],
)
def test_no_estimate_where_it_would_be_a_guess(way):
    """Too early, standing still, or at the end."""
    progress = begun()
    for message in way:
        progress.take(message)
    assert progress.eta_s is None


def test_progress_never_falls_and_keeps_bounds():
    """Whatever comes, and however much."""
    progress = begun()
    progress.take(at(50, 0))
    progress.take(at(20, 1))
    assert progress.percent == 50
    for step in range(LOSSES_MAX + 5):
        progress.take(event(metrics=pb.MetricsEvent(step=step, values={"loss": step})))
        progress.take(event(line=pb.LogLine(text=f"{step}")))
    assert (len(progress.losses), len(progress.lines)) == (LOSSES_MAX, LINES_MAX)
    assert progress.losses[-1] == LOSSES_MAX + 4


def test_screen_shows_bar_task_loss_and_time_left(monkeypatch):
    """And commands no terminal with what others wrote."""
    console = Console(record=True, width=100, force_terminal=True, color_system=None)
    monkeypatch.setattr(watching, "talk", console)
    progress = begun()
    running = pb.JobTask(name="train", state=pb.TASK_STATE_RUNNING)
    progress.take(event(task=running))
    for message in (at(10, 0), at(20, 10)):
        progress.take(message)
    progress.message = "epoch 2\x1b[2J"
    values = {"loss": 0.25, "tokens_per_s": 1234.0}
    progress.take(event(metrics=pb.MetricsEvent(step=1, values=values)))
    screen = watching._Live(progress)
    console.print(screen._draw())
    screen.close()
    shown = console.export_text()
    assert "finetune" in shown and "20%" in shown and "about 80 s left" in shown
    assert "train" in shown and "epoch 2[2J" in shown
    assert "▁  0.25   1,234 tokens/s" in shown
