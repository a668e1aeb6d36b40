"""Claims about telling places that keep runs, which may be slow, broken or away."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from training.errors import JobFailure, Stopped
from training.tracking import sink as module
from training.tracking.picture import compare
from training.tracking.sink import Outlet, RunStart
from training.tracking.tracker import Tracker

WAIT_S = 20
START = RunStart("job", "kites")


class Kept:
    """A sink that keeps what it is told; it may fail, or hang until it is let go."""

    def __init__(self, fails: bool = False, gate: threading.Event | None = None) -> None:
        self.told: list[tuple[int, dict[str, float]]] = []
        self.closed: list[tuple[bool, bool]] = []
        self.fails, self.gate = fails, gate
        self.abandoned = 0

    def open(self, start: RunStart) -> str:
        if self.gate:
            self.gate.wait(WAIT_S)
        return f"run of {start.job_id}"

    def log_metrics(self, step: int, values: dict[str, float]) -> None:
        if self.fails:
            raise OSError("the disk is full")
        self.told.append((step, values))

    def close(self, has_ended: bool, is_failed: bool) -> None:
        self.closed.append((has_ended, is_failed))

    def abandon(self) -> None:
        self.abandoned += 1


def wait_until(holds: Callable[[], bool]) -> None:
    """Waits until a condition holds; fails past the bound."""
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_what_is_told_arrives_in_order() -> None:
    """The run is opened first, and closed last."""
    kept = Kept()
    outlet = Outlet("Place", lambda: kept, START)
    for step in range(20):
        outlet.tell(lambda sink, step=step: sink.log_metrics(step, {}))
    assert outlet.run_id(WAIT_S) == "run of job"
    outlet.close(has_ended=True, is_failed=False, within_s=WAIT_S)
    assert [step for step, _ in kept.told] == list(range(20))
    assert kept.closed == [(True, False)]
    assert kept.abandoned == 0


def test_a_place_that_hangs_holds_nobody_up(capsys: pytest.CaptureFixture[str]) -> None:
    """More than the queue holds is dropped, with one warning; ids and ends are not waited for."""
    gate = threading.Event()
    kept = Kept(gate=gate)
    outlet = Outlet("Place", lambda: kept, START)
    for step in range(3 * module.WAITING_MAX):
        outlet.tell(lambda sink, step=step: sink.log_metrics(step, {}))
    assert outlet.run_id(0.01) == ""
    began_s = time.monotonic()
    outlet.close(False, False, within_s=WAIT_S)
    assert time.monotonic() - began_s < WAIT_S / 2
    assert capsys.readouterr().err.count("too slow") == 1
    assert kept.abandoned == 1
    gate.set()


def test_a_place_that_fails_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    """A few failures in a row, one warning, and then peace."""
    kept = Kept(fails=True)
    outlet = Outlet("Place", lambda: kept, START)
    for step in range(10):
        outlet.tell(lambda sink, step=step: sink.log_metrics(step, {}))
    outlet.close(False, False, within_s=WAIT_S)
    assert capsys.readouterr().err.count("cannot be told: OSError: the disk is full") == 1
    assert kept.abandoned == 1


def test_a_place_that_is_away_gives_no_run() -> None:
    """Who asks for the id learns at once that there is none."""

    def absent() -> Kept:
        raise ConnectionError("refused")

    outlet = Outlet("Place", absent, START)
    assert outlet.run_id(WAIT_S) == ""
    outlet.close(False, False)


def test_a_comparison_has_every_metric_of_every_model(tmp_path: Path) -> None:
    """What one of them lacks is empty, and there is a picture."""
    found = compare(tmp_path, {"candidate": {"a": 1.0, "b": 2.0}, "champion": {"a": 0.5}})
    assert found.metrics == {"a": (1.0, 0.5), "b": (2.0, None)}
    assert found.picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("error", "closed"),
    [
        (JobFailure("LOSS_NOT_FINITE", "no number"), (True, True)),
        (Stopped("told to end"), (False, False)),
    ],
)
def test_work_that_fails_lets_go_of_its_run(error: Exception, closed: tuple[bool, bool]) -> None:
    """It has failed for good, or goes on in another process; neither is left open here."""
    kept = Kept()
    tracker = Tracker({"Place": lambda: kept}, START)
    with pytest.raises(type(error)), tracker:
        raise error
    wait_until(lambda: bool(kept.closed))
    assert kept.closed == [closed]


def test_who_opens_after_all_is_waited_for() -> None:
    """An id that was asked for too early does not cost what was told."""
    gate = threading.Event()
    kept = Kept(gate=gate)
    outlet = Outlet("Place", lambda: kept, START)
    outlet.tell(lambda sink: sink.log_metrics(1, {}))
    assert outlet.run_id(0.0) == ""
    gate.set()
    wait_until(lambda: bool(kept.told))
    outlet.close(True, False, within_s=WAIT_S)
    assert kept.closed == [(True, False)]
