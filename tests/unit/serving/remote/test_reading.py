"""Answers of other servers, chunk by chunk."""

import pytest

from services.rpc.errors import Internal, InvalidArgument, ResourceExhausted, Unavailable
from services.serving.remote.failures import Secrets
from services.serving.remote.reading import STAND_IN, Reading, prompt_tokens
from tests.fakes.openai_server import chunk, end

SECRETS = Secrets("sk-1", "org/tiny", "tiny")


def read(*chunks: dict):
    """A whole answer's pieces, and its reading."""
    reading = Reading(SECRETS)
    pieces = [reading.take(one) for one in chunks if isinstance(one, dict)]
    return [*filter(None, [*pieces, reading.finish()])], reading


def ids(*chunks: dict) -> list[int]:
    """A whole answer's ids."""
    return [one for piece in read(*chunks)[0] for one in piece.ids]


def test_stand_ins_are_as_many_as_the_server_counts():
    """One with each text, the rest at the end, all above any vocabulary."""
    pieces, reading = read(chunk(), chunk("a"), chunk("b c"), *end(5, prompt=7))
    assert [(piece.text, len(piece.ids)) for piece in pieces] == [("a", 1), ("b c", 1), ("", 3)]
    assert all(one >= STAND_IN for piece in pieces for one in piece.ids)
    assert (reading.count, reading.prompt_tokens, reading.reason) == (5, 7, "stop")


def test_the_usage_may_come_with_the_end():
    """As transformers has it, and without [DONE]."""
    usage = {"prompt_tokens": 4, "completion_tokens": 2}
    ending = chunk(finish_reason="length") | {"usage": usage}
    pieces, reading = read({"choices": [{"delta": {"role": "assistant"}}]}, chunk("a"), ending)
    assert [piece.text for piece in pieces] == ["a", ""]
    assert (reading.count, reading.prompt_tokens, reading.reason) == (2, 4, "length")


def test_equal_stand_ins_mean_equal_text():
    """However an answer was cut before: each holds all the text up to it."""
    first = ids(chunk("a"), chunk("b"), *end(2))
    assert first == ids(chunk("a"), chunk("b"), *end(2))
    assert first[0] != ids(chunk("x"), chunk("b"), *end(2))[0]
    assert first[1] != ids(chunk("x"), chunk("b"), *end(2))[1]
    assert first[1] == ids(chunk("ab"), *end(1))[0]


def test_the_servers_own_ids_are_passed_on():
    """Also those that have no text yet."""
    chunks = [chunk("", token_ids=[4]), chunk("é", token_ids=[5, 6]), *end(3)]
    pieces, _ = read(*chunks)
    assert [(piece.ids, piece.text) for piece in pieces] == [([4], ""), ([5, 6], "é")]


def test_log_probabilities_tell_tokens_apart():
    """One stand-in for each entry, the same ones wherever the chunks are cut."""

    def entry(token: str, value: float = -0.5) -> dict:
        return {"token": token, "bytes": list(token.encode()), "logprob": value}

    one = chunk("ab", logprobs={"content": [entry("a"), entry("b", 0.1)]})
    two = [chunk(text, logprobs={"content": [entry(text)]}) for text in "ab"]
    assert ids(one, *end(2)) == ids(*two, *end(2))
    (piece,), _ = read(one, *end(2))
    assert piece.tokens == [b"a", b"b"]
    assert piece.logprobs == [-0.5, 0.0]


def test_completions_have_another_shape():
    """Text beside the choice, and parallel lists."""
    told = {"tokens": ["a", "b"], "token_logprobs": [-1, None]}
    choice = {"text": "ab", "logprobs": told, "finish_reason": "length"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    (piece,), reading = read({"choices": [choice], "usage": usage})
    assert (piece.text, len(piece.ids), reading.reason) == ("ab", 2, "length")


def test_the_stop_string_is_told_where_it_is_known():
    """A number there is a token."""
    ending = chunk(finish_reason="stop", stop_reason="END")
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    assert read(chunk("a"), ending, usage)[1].stop_string == "END"
    ending = chunk(finish_reason="stop", stop_reason=2)
    assert read(chunk("a"), ending, usage)[1].stop_string == ""


@pytest.mark.parametrize(
    ("chunks", "kind", "reason"),
    [
        ([chunk("a")], Unavailable, "REMOTE_BROKE_OFF"),
        ([chunk("a", finish_reason="abort")], Unavailable, "REMOTE_BROKE_OFF"),
        ([chunk("a", finish_reason="stop")], Internal, "REMOTE_NOT_UNDERSTOOD"),
        ([chunk("a"), chunk("b"), *end(1)], Internal, "REMOTE_NOT_UNDERSTOOD"),
        ([chunk("a", finish_reason="content_filter")], Internal, "REMOTE_NOT_UNDERSTOOD"),
        ([chunk("a"), {"error": {"message": "out of memory"}}], Unavailable, "REMOTE_BROKE_OFF"),
        ([{"error": "boom"}], Unavailable, "REMOTE_BROKE_OFF"),
        ([{"error": {"code": 429}}], ResourceExhausted, "REMOTE_BUSY"),
        ([{"error": {"code": 400, "message": "no"}}], InvalidArgument, "REMOTE_REFUSED"),
    ],
)
def test_an_answer_that_is_not_whole_is_a_failure(chunks, kind, reason):
    """No end, an end that we have no word for, an error, or no count that fits."""
    with pytest.raises(kind) as failed:
        read(*chunks)
    assert failed.value.reason == reason
    assert "out of memory" not in failed.value.message


@pytest.mark.parametrize("odd", [[], "x", None, 3])
def test_a_chunk_is_an_object(odd):
    """Anything else is no answer."""
    with pytest.raises(Internal):
        Reading(SECRETS).take(odd)


@pytest.mark.parametrize(
    "odd",
    [{}, {"choices": None}, {"choices": [3]}, {"choices": [{"delta": []}]},
     {"choices": [{"delta": {"content": 3}, "logprobs": {"content": [1]}, "token_ids": ["x"]}]},
     {"usage": {"prompt_tokens": -1, "completion_tokens": True}}],
)  # fmt: skip
def test_what_says_nothing_is_passed_over(odd):
    """Whatever its shape."""
    assert Reading(SECRETS).take(odd) is None


def test_a_prompt_is_counted_by_its_usage():
    """Or not at all."""
    assert prompt_tokens({"usage": {"prompt_tokens": 9}}) == 9
    assert prompt_tokens({"usage": None}) is None
