"""What of a request reaches the contract."""

from typing import Any

import pytest
from parley.serving.v1 import model_serving_pb2 as pb

from gateway import translate
from gateway.errors import ApiError
from gateway.schemas import ChatRequest, CompletionRequest

MESSAGES = [{"role": "user", "content": "hi"}]


def _chat(**more: Any) -> pb.GenerateRequest:
    return translate.chat(ChatRequest.model_validate({"model": "m", "messages": MESSAGES} | more))


def _completion(**more: Any) -> pb.GenerateRequest:
    body = {"model": "m", "prompt": "hi"} | more
    return translate.completion(CompletionRequest.model_validate(body))


def test_what_was_not_asked_is_not_set() -> None:
    """The model's own defaults hold wherever the client says nothing."""
    request = _chat()
    assert request.sampling == pb.Sampling()
    assert request.stopping == pb.Stopping()
    assert not request.HasField("output_format")
    assert request.choices == 1


def test_every_sampling_parameter_arrives() -> None:
    """Each has its field, also where the value is 0."""
    request = _chat(
        temperature=0, top_p=0.5, top_k=5, min_p=0, presence_penalty=-1, frequency_penalty=0,
        repetition_penalty=1.25, seed=7,
    )  # fmt: skip
    assert request.sampling == pb.Sampling(
        temperature=0, top_p=0.5, top_k=5, min_p=0, presence_penalty=-1, frequency_penalty=0,
        repetition_penalty=1.25, seed=7,
    )  # fmt: skip


@pytest.mark.parametrize("top_k", [0, -1])
def test_no_top_k_means_all_tokens(top_k: int) -> None:
    """0 and -1 overrule a model's own default with all there are."""
    assert _chat(top_k=top_k).sampling.top_k == 1_000_000


@pytest.mark.parametrize(("seed", "sent"), [(-1, 2**63 - 1), (-(2**63), 0), (2**63 - 1, 2**63 - 1)])
def test_every_seed_of_openai_is_a_seed(seed: int, sent: int) -> None:
    """Negative seeds repeat their answers as others do."""
    assert _chat(seed=seed).sampling.seed == sent


def test_developer_speaks_as_system() -> None:
    """OpenAI's newer name for the same role."""
    said = [{"role": role, "content": "a"} for role in ("developer", "system", "user", "assistant")]
    roles = [message.role for message in _chat(messages=said).conversation.messages]
    assert roles == [
        pb.CHAT_ROLE_SYSTEM,
        pb.CHAT_ROLE_SYSTEM,
        pb.CHAT_ROLE_USER,
        pb.CHAT_ROLE_ASSISTANT,
    ]


def test_limit_and_stops_arrive() -> None:
    """Under both names of the limit."""
    assert _chat(max_tokens=3).stopping.tokens_max == 3
    assert _chat(max_completion_tokens=4, stop="a").stopping == pb.Stopping(
        tokens_max=4, stop_strings=["a"]
    )


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({"type": "json_object"}, pb.OutputFormat(json_object=True)),
        ({"type": "regex", "regex": "a+"}, pb.OutputFormat(regex="a+")),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "string"}}},
            pb.OutputFormat(json_schema='{"type": "string"}'),
        ),
    ],
)
def test_output_format_arrives(wanted: dict[str, Any], sent: pb.OutputFormat) -> None:
    """Each form that an answer can be held to."""
    assert _chat(response_format=wanted).output_format == sent


def test_schema_with_infinity_is_refused() -> None:
    """1e999 is JSON to read, but no JSON to write."""
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"maximum": 1e999}}}
    with pytest.raises(ApiError) as caught:
        _chat(response_format=schema)
    assert caught.value.param == "response_format.json_schema.schema"


def test_prompt_arrives_as_it_is() -> None:
    """Text stays text and ids stay ids."""
    assert _completion(prompt="a b").text == "a b"
    assert list(_completion(prompt=[1, 2]).tokens.ids) == [1, 2]


@pytest.mark.parametrize(("logprobs", "sent"), [(None, False), (0, True), (1, True)])
def test_logprobs_of_a_completion_are_a_number(logprobs: int | None, sent: bool) -> None:
    """0 asks for the sampled tokens' own, which is not the same as not asking."""
    assert _completion(logprobs=logprobs).logprobs is sent
