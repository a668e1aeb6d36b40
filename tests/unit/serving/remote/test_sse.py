"""Events out of bytes, however these are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.serving.remote.sse import EVENT_BYTES_MAX, TooLong, events

STREAM = b': hello\n\ndata: {"a":1}\r\n\r\nevent: x\ndata:one\ndata: two \xc3\xa9\n\ndata: cut off'


async def parts(data: bytes, cuts: list[int]):
    """The bytes in pieces."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for begin, stop in pairwise(places):
        yield data[begin:stop]


@given(st.lists(st.integers(0, 1000), max_size=8))
async def test_events_do_not_depend_on_how_bytes_come(cuts):
    """Comments are left out, lines of one event are joined, and half an event is none."""
    found = [event async for event in events(parts(STREAM, cuts))]
    assert found == ['{"a":1}', "one\ntwo é"]


@pytest.mark.parametrize("line", [b"x" * 65_536, b"data: " + b"x" * 65_530 + b"\n"])
async def test_an_event_has_a_bound(line):
    """Whether it is one endless line or endless lines."""
    taken = 0

    async def endless():
        nonlocal taken
        while True:
            taken += len(line)
            yield line

    with pytest.raises(TooLong):
        async for _ in events(endless()):
            pass
    assert taken < 2 * EVENT_BYTES_MAX
