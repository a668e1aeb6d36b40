"""Which parameters are honoured, and how the others are refused."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import translate
from gateway.errors import ApiError
from gateway.schemas import ChatRequest, CompletionRequest, Wire
from gateway.validation import validate

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TEXT: dict[str, Any] = {"model": "m", "prompt": "hi"}


def _said(content: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content, **more}]}


def _refused(kind: type[Wire], body: dict[str, Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        validate(kind, body)
    assert caught.value.status == 400
    assert caught.value.kind == "invalid_request_error"
    return caught.value


REFUSED_CHATS = [
    ({"surprise": 1}, "surprise", "unknown_parameter"),
    ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
    ({"tool_choice": "auto"}, "tool_choice", "unsupported_parameter"),
    ({"functions": [{}]}, "functions", "unsupported_parameter"),
    ({"logit_bias": {"5": 1}}, "logit_bias", "unsupported_parameter"),
    ({"modalities": ["text", "audio"]}, "modalities", "unsupported_parameter"),
    ({"audio": {"voice": "x"}}, "audio", "unsupported_parameter"),
    ({"prediction": {}}, "prediction", "unsupported_parameter"),
    ({"web_search_options": {}}, "web_search_options", "unsupported_parameter"),
    ({"reasoning_effort": "low"}, "reasoning_effort", "unsupported_parameter"),
    ({"parallel_tool_calls": True}, "parallel_tool_calls", "unsupported_parameter"),
    ({"store": True}, "store", "unsupported_parameter"),
    ({"store": 0}, "store", "unsupported_parameter"),
    ({"service_tier": "flex"}, "service_tier", "unsupported_parameter"),
    ({"top_logprobs": 1, "logprobs": True}, "top_logprobs", "unsupported_parameter"),
    ({"model": None}, "model", "invalid_type"),
    ({"model": ""}, "model", "invalid_value"),
    ({"messages": []}, "messages", "invalid_value"),
    ({"messages": "hi"}, "messages", "invalid_type"),
    ({"messages": ["hi"]}, "messages.0", "invalid_type"),
    (_said(None), "messages.0.content", "invalid_type"),
    (_said(5), "messages.0.content", "invalid_type"),
    (_said([]), "messages.0.content", "invalid_value"),
    (_said([{"type": "text"}]), "messages.0.content.0.text", "invalid_type"),
    (
        _said([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]),
        "messages.0.content.1",
        "invalid_value",
    ),
    (_said([{"type": "text", "text": "a", "x": 1}]), "messages.0.content.0.x", "unknown_parameter"),
    (_said("a", name="Ann"), "messages.0.name", "unsupported_parameter"),
    (_said("a", tool_calls=[{}]), "messages.0.tool_calls", "unsupported_parameter"),
    ({"messages": [{"role": "tool", "content": "a"}]}, "messages.0.role", "invalid_value"),
    ({"messages": [{"content": "a"}]}, "messages.0.role", "missing_required_parameter"),
    ({"temperature": 2.1}, "temperature", "invalid_value"),
    ({"temperature": True}, "temperature", "invalid_type"),
    ({"temperature": "1"}, "temperature", "invalid_type"),
    ({"top_p": 0}, "top_p", "invalid_value"),
    ({"n": 0}, "n", "invalid_value"),
    ({"n": 9}, "n", "invalid_value"),
    ({"n": 1.0}, "n", "invalid_type"),
    ({"stop": ["a"] * 5}, "stop", "invalid_value"),
    ({"stop": ""}, "stop.0", "invalid_value"),
    ({"stop": ["a", "b" * 257]}, "stop.1", "invalid_value"),
    ({"stop": [1]}, "stop.0", "invalid_type"),
    ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    ({"max_tokens": 10**30}, "max_tokens", "invalid_value"),
    ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens", "invalid_value"),
    ({"seed": 2**63}, "seed", "invalid_value"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
    ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x", "unknown_parameter"),
    ({"stream": "yes"}, "stream", "invalid_type"),
    ({"logprobs": 1}, "logprobs", "invalid_type"),
    ({"response_format": {"type": "xml"}}, "response_format", "invalid_value"),
    ({"response_format": {}}, "response_format", "missing_required_parameter"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
        "response_format.json_schema.schema",
        "missing_required_parameter",
    ),
    ({"response_format": {"type": "text", "x": 1}}, "response_format.x", "unknown_parameter"),
    ({"min_p": 1}, "min_p", "invalid_value"),
    ({"top_k": -2}, "top_k", "invalid_value"),
    ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
]
REFUSED_TEXTS = [
    ({"prompt": ["a", "b"]}, "prompt", "invalid_value"),
    ({"prompt": ""}, "prompt", "invalid_value"),
    ({"prompt": []}, "prompt", "invalid_value"),
    ({"prompt": [1, "a"]}, "prompt", "invalid_type"),
    ({"prompt": [True]}, "prompt", "invalid_type"),
    ({"prompt": [-1]}, "prompt", "invalid_type"),
    ({"prompt": [2**32]}, "prompt", "invalid_type"),
    ({"prompt": None}, "prompt", "invalid_type"),
    ({"echo": True}, "echo", "unsupported_parameter"),
    ({"suffix": "end"}, "suffix", "unsupported_parameter"),
    ({"best_of": 2}, "best_of", "unsupported_parameter"),
    ({"logprobs": 2}, "logprobs", "invalid_value"),
    ({"logprobs": True}, "logprobs", "invalid_type"),
    ({"messages": []}, "messages", "unknown_parameter"),
]


@pytest.mark.parametrize(("change", "param", "code"), REFUSED_CHATS)
def test_chat_that_is_not_honoured_is_refused_by_name(
    change: dict[str, Any], param: str, code: str
) -> None:
    """A 400 names the parameter and the kind of fault."""
    told = _refused(ChatRequest, CHAT | change)
    assert (told.param, told.code) == (param, code)


@pytest.mark.parametrize(("change", "param", "code"), REFUSED_TEXTS)
def test_completion_that_is_not_honoured_is_refused_by_name(
    change: dict[str, Any], param: str, code: str
) -> None:
    """A 400 names the parameter and the kind of fault."""
    told = _refused(CompletionRequest, TEXT | change)
    assert (told.param, told.code) == (param, code)


@pytest.mark.parametrize("name", ["model", "messages"])
def test_needed_parameter_is_missed_by_name(name: str) -> None:
    """A missing parameter is named."""
    told = _refused(ChatRequest, {key: value for key, value in CHAT.items() if key != name})
    assert (told.param, told.code) == (name, "missing_required_parameter")


@pytest.mark.parametrize(
    "change",
    [
        {"tools": [], "functions": [], "logit_bias": {}, "modalities": ["text"]},
        {"tool_choice": "none", "store": False, "service_tier": "auto", "top_logprobs": 0},
        {"user": "u", "metadata": {"a": "b"}, "safety_identifier": "s", "prompt_cache_key": "k"},
        {"temperature": None, "n": None, "stop": None, "tools": None, "response_format": None},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"messages": [{"role": "assistant", "content": "a", "refusal": None, "annotations": []}]},
        {"messages": [{"role": "user", "content": "\0"}]},
    ],
)
def test_what_asks_for_nothing_passes(change: dict[str, Any]) -> None:
    """Values that mean the default, or nothing, are no reason to refuse."""
    assert validate(ChatRequest, CHAT | change).model == "m"


def test_parts_of_content_are_one_text() -> None:
    """Text parts follow one another without anything between them."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    wanted = validate(ChatRequest, CHAT | {"messages": [{"role": "user", "content": parts}]})
    assert wanted.messages[0].content == "ab"


@pytest.mark.parametrize(("prompt", "taken"), [(["a"], "a"), ([[1, 2]], [1, 2]), ([3], [3])])
def test_prompt_in_a_list_of_one_is_that_prompt(prompt: Any, taken: Any) -> None:
    """Clients that always send a list of prompts are understood while it has one."""
    assert validate(CompletionRequest, TEXT | {"prompt": prompt}).prompt == taken


def test_best_of_all_choices_is_all_choices() -> None:
    """best_of equal to n asks for nothing more than n."""
    assert validate(CompletionRequest, TEXT | {"n": 2, "best_of": 2}).n == 2


def test_completion_is_16_tokens_unless_told_otherwise() -> None:
    """OpenAI's default for this endpoint."""
    assert validate(CompletionRequest, TEXT).tokens_max == 16


def test_endless_name_is_cut_in_param() -> None:
    """A parameter's name as long as the body does not come back whole."""
    assert len(_refused(ChatRequest, CHAT | {"x" * 100_000: 1}).body()) < 1000


anything = st.deferred(
    lambda: (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
        | st.lists(anything, max_size=2)
        | st.dictionaries(st.sampled_from(NAMES), anything, max_size=2)
    )
)
NAMES = sorted(
    {*ChatRequest.model_fields, *ChatRequest.idle, *CompletionRequest.model_fields}
    | {"role", "content", "type", "text", "json_schema", "schema", "regex", "name", "\0"}
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), anything, max_size=4))
def test_any_json_is_a_request_or_a_refusal(body: dict[str, Any]) -> None:
    """Nothing that JSON can say ends in another exception, up to the bytes that gRPC sends."""
    for kind, whole, to_request in (
        (ChatRequest, CHAT | body, translate.chat),
        (CompletionRequest, TEXT | body, translate.completion),
    ):
        try:
            to_request(validate(kind, whole)).SerializeToString()
        except ApiError as told:
            assert 400 <= told.status < 500
            assert told.body()
