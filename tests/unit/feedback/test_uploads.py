"""Receiving and checking a dataset, where time runs out."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from services.jobs.data.checking import Checker
from services.jobs.data.datasets import Datasets
from services.jobs.data.uploads import Uploads
from services.jobs.data.workplace import Workplace
from services.rpc.errors import DeadlineExceeded, ResourceExhausted
from tests.fakes.bucket import Bucket

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


class Objects(Bucket):
    """A bucket that answers."""

    async def stat(self, key: str) -> object:
        """Looks at an object."""
        return key


async def never() -> AsyncIterator[bytes]:
    """One piece, and then nothing."""
    yield b"{"
    await asyncio.Event().wait()


async def test_an_upload_that_stalls_ends(tmp_path: Path):
    """It takes no place for ever, and leaves nothing behind."""
    datasets, workplace = Datasets(Objects(), "parley"), Workplace(tmp_path, 1)
    uploads = Uploads(datasets, workplace, Checker(), 100, stall_s=0.05)
    for _ in range(2):
        with pytest.raises(DeadlineExceeded) as caught:
            await uploads.take("mine", never())
        assert caught.value.reason == "UPLOAD_TOO_SLOW"
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


async def test_a_check_that_takes_too_long_ends(tmp_path: Path):
    """The caller hears it, and no process is left."""
    before = set(psutil.Process().children())
    with pytest.raises(DeadlineExceeded) as caught:
        await Checker(SLEEP, within_s=0.2).count_rows(tmp_path)
    assert caught.value.reason == "DATASET_CHECK_TOO_SLOW"
    assert set(psutil.Process().children()) <= before


def test_a_workplace_begins_without_what_a_dead_process_left(tmp_path: Path):
    """Half datasets do not gather."""
    (tmp_path / "old.part").touch()
    workplace = Workplace(tmp_path, 1)
    with workplace.file() as file:
        assert list(tmp_path.iterdir()) == [Path(file.name)]
        with pytest.raises(ResourceExhausted), workplace.file():
            pass
    assert list(tmp_path.iterdir()) == []
