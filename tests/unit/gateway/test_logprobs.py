"""Log probabilities in both shapes."""

import json
import math

import pytest
from parley.serving.v1.model_serving_pb2 import TokenLogprob

from gateway.logprobs import ChatLogprobs, TextLogprobs

EURO = [TokenLogprob(logprob=-1, token=part) for part in (b"a", b"\xe2\x82", b"\xac", b"b")]


def test_bytes_are_exact_where_text_cannot_be() -> None:
    """The pieces of a character split over tokens can be put together again."""
    content = ChatLogprobs().render(EURO)["content"]
    assert bytes(byte for entry in content for byte in entry["bytes"]).decode() == "a€b"
    assert content[1]["token"] == "\ufffd"
    assert content[1]["top_logprobs"] == []


def test_offsets_count_characters_across_deltas() -> None:
    """A token's offset is where its text begins, over all that came before."""
    logprobs = TextLogprobs()
    offsets = logprobs.render(EURO[:2])["text_offset"] + logprobs.render(EURO[2:])["text_offset"]
    assert offsets == [0, 1, 1, 2]


@pytest.mark.parametrize("logprob", [-math.inf, math.nan])
def test_no_number_leaves_that_json_does_not_know(logprob: float) -> None:
    """An impossible token's -inf becomes OpenAI's own stand-in."""
    rendered = ChatLogprobs().render([TokenLogprob(logprob=logprob, token=b"a")])
    assert json.loads(json.dumps(rendered, allow_nan=False))["content"][0]["logprob"] == -9999.0
