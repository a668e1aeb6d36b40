"""An engine's messages: few and large when there are many streams, at once when it matters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.serving.pace import Outbox, Pace

PACE = Pace(interval_s_min=0.025, messages_per_s_max=400)


def sent(outbox: Outbox, now_s: float, streams: int, *rows: tuple) -> list | None:
    """What a step sends whose rows are (id, token ids[, why it ended])."""
    full = [(number, ids, [], *end) if end else (number, ids, [], "") for number, ids, *end in rows]
    found = outbox.step(full, now_s, streams)
    return found and [(number, ids) for number, ids, _, _ in found]


@pytest.mark.parametrize(
    ("streams", "interval_s"), [(1, 0.025), (10, 0.025), (16, 0.04), (64, 0.16)]
)
def test_the_interval_grows_with_the_streams(streams, interval_s):
    """Few streams are bounded by the shortest interval, many by the messages of all."""
    assert PACE.interval_s(streams) == pytest.approx(interval_s)


def test_first_tokens_and_ends_do_not_wait():
    """The reader sees a beginning and an end with the step that made them; the rest stays."""
    outbox = Outbox(PACE, 0.0)
    assert sent(outbox, 0.001, 2, (1, [10])) == [(1, [10])]
    assert sent(outbox, 0.002, 2, (1, [11])) is None
    assert sent(outbox, 0.003, 2, (1, [12]), (2, [20])) == [(2, [20])]
    assert sent(outbox, 0.004, 2, (1, [13], "length"), (2, [21])) == [(1, [11, 12, 13])]


def test_the_nearest_step_speaks():
    """A step that ends a little early speaks rather than letting readers wait for the next."""
    outbox = Outbox(PACE, 0.0)
    assert sent(outbox, 0.010, 1, (1, [10])) == [(1, [10])]
    assert sent(outbox, 0.020, 1, (1, [11])) == [(1, [11])]


def test_a_silent_step_says_that_the_engine_lives():
    """Long prompts take many steps without a token: the watchdog hears of them."""
    outbox = Outbox(PACE, 0.0)
    assert outbox.step([], 0.001, 1) is None
    assert outbox.step([], 0.030, 1) == []


def test_a_cancelled_sequence_is_told_at_once():
    """Its end is news, though no token comes with it."""
    outbox = Outbox(PACE, 0.0)
    assert sent(outbox, 0.001, 1, (1, [], "cancelled")) == [(1, [])]


@given(st.lists(st.tuples(st.integers(1, 4), st.floats(0.0005, 0.05)), max_size=60))
def test_nothing_is_lost_or_turned_round(steps):
    """Each sequence's tokens arrive whole and in order, whatever the steps' lengths."""
    outbox, now_s, came = Outbox(PACE, 0.0), 0.0, {}
    made: dict[int, list[int]] = {}
    ends = [(number, 0.001, "length") for number in range(1, 5)]
    for token, (number, step_s, *end) in enumerate([*steps, *ends]):
        now_s += step_s
        made.setdefault(number, []).append(token)
        for found, ids, logprobs, _ in (
            outbox.step([(number, [token], [-float(token)], *(end or [""]))], now_s, 4) or []
        ):
            assert logprobs == [-float(one) for one in ids]
            came.setdefault(found, []).extend(ids)
    assert came == made
