"""Counting what choices took together."""

from google.protobuf.duration_pb2 import Duration
from parley.serving.v1 import model_serving_pb2 as pb

from gateway.usage import Tally


def _finished(queue_ms: int, first_ms: int, total_ms: int, tokens: int) -> pb.Finished:
    spans = [Duration(nanos=value * 1_000_000) for value in (queue_ms, first_ms, total_ms)]
    timings = pb.Timings(
        queue_duration=spans[0], first_token_duration=spans[1], total_duration=spans[2]
    )
    return pb.Finished(usage=pb.Usage(prompt_tokens=3, completion_tokens=tokens), timings=timings)


def test_prompt_counts_once_and_answers_all() -> None:
    """Three choices read the same prompt."""
    tally = Tally(pb.Started(prompt_tokens=3))
    for tokens in (1, 2, 3):
        tally.add(_finished(0, 1, 2, tokens))
    assert tally.usage() == {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}


def test_timings_span_all_choices() -> None:
    """The first token of any, the longest wait, the last end."""
    tally = Tally(pb.Started(version="v"))
    tally.add(_finished(10, 30, 210, 10))
    tally.add(_finished(20, 50, 420, 10))
    assert tally.timings() == {
        "model_version": "v",
        "time_to_first_token_ms": 30,
        "generation_ms": 400,
        "queue_ms": 20,
        "tokens_per_second": 50,
    }


def test_no_time_makes_no_rate() -> None:
    """An engine that reports nothing divides nothing."""
    assert Tally(pb.Started()).timings()["tokens_per_second"] == 0
