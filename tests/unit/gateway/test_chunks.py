"""Frames of a stream, put together as text, are the JSON that they should be."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.serving.v1 import model_serving_pb2 as pb

from gateway.chunks import DONE, Chunks
from gateway.shapes import CHAT, COMPLETION, Answer, Shape

STARTED = pb.Started(model="m", version="v", prompt_tokens=3)


def _chunks(shape: Shape = CHAT, usage: bool = False, **answer: Any) -> Chunks:
    made = Answer(shape, "1", 5, **{"choices": 1, "logprobs": False, **answer})
    return Chunks(made, STARTED, include_usage=usage)


def _read(frames: bytes) -> list[Any]:
    parts = frames.decode().split("\n\n")
    assert parts.pop() == ""
    return [json.loads(part.removeprefix("data: ")) for part in parts if part != "data: [DONE]"]


@given(st.text(min_size=1))
def test_any_text_comes_out_of_its_frame_as_it_went_in(text: str) -> None:
    """Quotes, line ends, controls and every script: one frame, the same text."""
    for shape in (CHAT, COMPLETION):
        (chunk,) = _read(_chunks(shape).delta(pb.Delta(text=text)))
        choice = chunk["choices"][0]
        assert (choice["delta"]["content"] if shape is CHAT else choice["text"]) == text


def test_role_comes_first_for_every_choice_in_order() -> None:
    """A client that counts choices meets 0 before 1."""
    chunks = _read(_chunks(choices=3).first())
    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0, 1, 2]
    assert all(chunk["choices"][0]["delta"]["role"] == "assistant" for chunk in chunks)


def test_later_deltas_carry_no_role() -> None:
    """A role in each chunk is joined into "assistantassistant" by SDKs."""
    (chunk,) = _read(_chunks().delta(pb.Delta(text="a")))
    assert chunk["choices"][0]["delta"] == {"content": "a"}


def test_delta_without_text_makes_no_frame() -> None:
    """Tokens whose text is held back send nothing, least of all an empty event."""
    assert _chunks().delta(pb.Delta(token_ids=[1])) == b""


def test_logprobs_are_sent_even_without_text() -> None:
    """A token's log probability is not lost where its text comes later."""
    tokens = [pb.TokenLogprob(logprob=-1, token=b"\xe2\x82")]
    frame = _chunks(logprobs=True).delta(pb.Delta(token_ids=[1], logprobs=tokens))
    choice = _read(frame)[0]["choices"][0]
    assert choice["delta"] == {"content": ""}
    assert choice["logprobs"]["content"][0]["bytes"] == [0xE2, 0x82]


@pytest.mark.parametrize("usage", [True, False])
def test_usage_is_null_on_chunks_only_where_it_was_asked_for(usage: bool) -> None:
    """And comes once, last, with no choices."""
    chunks = _chunks(usage=usage)
    frames = chunks.first() + chunks.delta(pb.Delta(text="a"))
    frames += chunks.finish(pb.Finished(reason=pb.FINISH_REASON_STOP))
    assert all(("usage" in chunk) is usage for chunk in _read(frames))
    last = chunks.last()
    assert last.endswith(DONE)
    assert [chunk["choices"] for chunk in _read(last)] == ([[]] if usage else [])


def test_every_chunk_has_the_same_head() -> None:
    """One id, time, model and fingerprint for a whole stream."""
    chunks = _chunks(usage=True)
    frames = chunks.first() + chunks.delta(pb.Delta(text="a"))
    frames += chunks.finish(pb.Finished(reason=pb.FINISH_REASON_LENGTH)) + chunks.last()
    heads = {
        tuple(chunk[key] for key in ("id", "object", "created", "model", "system_fingerprint"))
        for chunk in _read(frames)
    }
    assert heads == {("chatcmpl-v-0-0-1", "chat.completion.chunk", 5, "m", "fp_v")}


@pytest.mark.parametrize(
    ("reason", "name"),
    [(pb.FINISH_REASON_STOP, "stop"), (pb.FINISH_REASON_LENGTH, "length")],
)
def test_finish_has_its_reason_and_no_text(reason: int, name: str) -> None:
    """The last chunk of a choice says why and nothing else."""
    (chunk,) = _read(_chunks(choices=2).finish(pb.Finished(choice=1, reason=reason)))
    assert chunk["choices"] == [{"index": 1, "delta": {}, "logprobs": None, "finish_reason": name}]
