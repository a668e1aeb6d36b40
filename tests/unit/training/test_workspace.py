"""Claims about a job's folder."""

import threading
from pathlib import Path

import pytest

from training.errors import Stopped, Unavailable
from training.tasks.workspace import Workspace


def test_an_outcome_is_found_again(tmp_path: Path) -> None:
    """A repeat of a task learns what it came to."""
    assert Workspace(tmp_path, "a").outcome("train") is None
    Workspace(tmp_path, "a").keep_outcome("train", {"folder": "model"})
    assert Workspace(tmp_path, "a").outcome("train") == {"folder": "model"}


def test_no_id_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Ids come from outside; each is one folder below the root."""
    for job_id in ("../../etc", "manual__2026-01-01T00:00:00+00:00", "a/b"):
        assert Workspace(tmp_path / "work", job_id).folder.parent == tmp_path / "work"


def test_two_never_work_at_once(tmp_path: Path) -> None:
    """The second waits for a while, and then leaves it to be tried again."""
    with (
        Workspace(tmp_path, "a").lock(lambda: None),
        pytest.raises(Unavailable),
        Workspace(tmp_path, "a").lock(lambda: None, wait_s=0.05),
    ):
        pytest.fail("both hold the lock")
    with Workspace(tmp_path, "a").lock(lambda: None, wait_s=0.05):
        pass


def test_the_younger_begins_when_the_older_leaves(tmp_path: Path) -> None:
    """An orphan that gives way is followed at once."""
    asked = threading.Event()
    older = Workspace(tmp_path, "a").lock(lambda: None)
    older.__enter__()

    def check() -> None:
        if not asked.is_set():
            asked.set()
            older.__exit__(None, None, None)

    with Workspace(tmp_path, "a").lock(check):
        assert asked.is_set()


def test_who_waits_can_be_stopped(tmp_path: Path) -> None:
    """A cancel reaches a process that has not begun."""

    def check() -> None:
        raise Stopped

    with (
        Workspace(tmp_path, "a").lock(lambda: None),
        pytest.raises(Stopped),
        Workspace(tmp_path, "a").lock(check),
    ):
        pytest.fail("it was stopped")
