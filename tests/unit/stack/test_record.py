"""stack.json: what runs here."""

from stack import record


def test_a_record_is_read_as_written(planned):
    """Plan and phase survive."""
    record.write(planned, record.RUNNING)
    found = record.read(planned.home)
    assert found is not None
    assert (found.plan, found.phase) == (planned, record.RUNNING)


def test_no_record_is_none(home):
    """A home where nothing ran has no record."""
    assert record.read(home) is None


def test_half_a_record_is_none(planned):
    """A record that was cut off is not believed."""
    record.write(planned, record.RUNNING)
    whole = planned.home.record.read_text()
    planned.home.record.write_text(whole[: len(whole) // 2])
    assert record.read(planned.home) is None


def test_a_record_of_another_format_is_none(planned):
    """A record of another version of Parley is not guessed at."""
    record.write(planned, record.RUNNING)
    text = planned.home.record.read_text().replace('"format": 1', '"format": 0')
    planned.home.record.write_text(text)
    assert record.read(planned.home) is None
