"""Bytes that are checked on their way."""

import hashlib
import io

import pytest

from services.objects.verified import Budget, VerifiedReader, WrongBytes, write_checked

BODY = b"0123456789"
DIGEST = hashlib.sha256(BODY).hexdigest()


def reader(content, size_bytes=10, budget=None):
    """A reader over these bytes."""
    return VerifiedReader(io.BytesIO(content), size_bytes, DIGEST, budget or Budget(60))


def test_a_reader_gives_the_whole():
    """What is read in pieces is what the file holds."""
    reading = reader(BODY)
    assert [reading.read(4), reading.read(4), reading.read(4), reading.read(4)] == [
        b"0123",
        b"4567",
        b"89",
        b"",
    ]


def test_a_reader_never_gives_the_last_of_wrong_bytes():
    """Whoever sends what it reads cannot finish."""
    reading = reader(b"012345678X")
    assert reading.read(9) == b"012345678"
    with pytest.raises(WrongBytes):
        reading.read(1)


def test_a_file_that_shrank_is_wrong():
    """An end before the size that was told is an error."""
    reading = reader(BODY[:4])
    reading.read(4)
    with pytest.raises(WrongBytes):
        reading.read(4)


def test_no_bytes_are_checked_too():
    """An empty file has a digest as well."""
    with pytest.raises(WrongBytes):
        reader(b"", 0)


def test_a_stopped_transfer_reads_no_more():
    """A thread that nobody waits for ends at its next piece."""
    budget = Budget(60)
    reading = reader(BODY, budget=budget)
    budget.stop()
    with pytest.raises(TimeoutError):
        reading.read(1)


def test_a_transfer_out_of_time_ends():
    """A peer that sends a little for ever does not hold a thread for ever."""
    with pytest.raises(TimeoutError):
        reader(BODY, budget=Budget(-1)).read(1)


def test_a_wrong_file_replaces_nothing(tmp_path):
    """What was there stays, and nothing half is left beside it."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(WrongBytes):
        write_checked(path, [b"wr", b"ong"], DIGEST, Budget(60))
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"old"]
