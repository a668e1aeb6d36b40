"""The official OpenAI SDK against the running stack, and against stacks before another server.

What a server behind a stack cannot honour is asserted to be refused by its name.
"""

import concurrent.futures
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import jsonschema
import openai
import pytest

from stack.up import Running

from .conftest import SMALL_SEQUENCES_MAX, client_of

MODEL = "parley-starter"
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "size": {"type": "integer"}},
    "required": ["city", "size"],
    "additionalProperties": False,
}

TRANSFORMERS = "over_transformers"
REFUSED = {TRANSFORMERS: {"stop", "logprobs", "response_format"}}


@pytest.fixture(
    scope="module",
    params=[
        "stack",
        pytest.param("over_parley", marks=pytest.mark.slow),
        pytest.param(TRANSFORMERS, marks=pytest.mark.slow),
    ],
)
def served(request: pytest.FixtureRequest) -> str:
    """The name of the stack that is asked."""
    return request.param


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest, served: str) -> Iterator[openai.OpenAI]:
    """OpenAI's SDK on that stack."""
    with client_of(request.getfixturevalue(served)) as made:
        yield made


@pytest.fixture
def honouring(served: str) -> Callable[[str], AbstractContextManager[None]]:
    """Whether the stack honours a parameter: what is asked within must be refused where not."""

    @contextmanager
    def honouring(param: str) -> Iterator[None]:
        if param not in REFUSED.get(served, ()):
            yield
            return
        with pytest.raises(openai.BadRequestError) as refusal:
            yield
        assert refusal.value.param == param

    return honouring


def test_the_model_is_listed(client: openai.OpenAI):
    """The starter model is what there is, by its name and by its version."""
    names = [model.id for model in client.models.list()]
    assert names[0] == MODEL
    assert all(name.startswith(f"{MODEL}@") for name in names[1:])
    assert {client.models.retrieve(name).owned_by for name in names} == {"parley"}


def test_an_answer_is_right(client: openai.OpenAI):
    """A question of the starter model's subject has its answer, and usage adds up."""
    answer = client.chat.completions.create(model=MODEL, messages=FRANCE)
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage.prompt_tokens + usage.completion_tokens == usage.total_tokens > 0


def test_a_stream_equals_the_whole_answer(client: openai.OpenAI):
    """Streamed pieces join to the answer that is not streamed, and usage comes last."""
    whole = client.chat.completions.create(model=MODEL, messages=FRANCE)
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=FRANCE, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_the_sdk_helper_reads_a_stream_to_its_end(client: openai.OpenAI):
    """The SDK's own accumulator, which is strict about order, accepts the stream; neither choice
    gets tokens of the other."""
    with client.chat.completions.stream(
        model=MODEL, messages=FRANCE, n=2, max_completion_tokens=24
    ) as stream:
        stream.until_done()
        final = stream.get_final_completion()
    assert [choice.index for choice in final.choices] == [0, 1]
    said = {choice.message.content for choice in final.choices}
    assert said == {"The capital of France is Paris."}


def test_two_choices_of_a_seed_repeat_and_differ(small_client: openai.OpenAI):
    """n=2 gives two answers; the same seed gives the same two again, another seed others."""

    def ask(seed: int) -> list[str]:
        answer = small_client.completions.create(
            model="talkative", prompt="Once", n=2, seed=seed, max_tokens=24, temperature=1.0
        )
        return [choice.text for choice in answer.choices]

    first = ask(7)
    assert first == ask(7)
    assert first[0] != first[1]
    assert first != ask(8)


def test_a_stop_string_ends_the_answer_unseen(client: openai.OpenAI, honouring):
    """The answer is cut before the stop string, in a stream too."""
    whole = client.chat.completions.create(model=MODEL, messages=FRANCE)
    text = whole.choices[0].message.content
    stop = text[len(text) // 2 : len(text) // 2 + 4]
    with honouring("stop"):
        answer = client.chat.completions.create(model=MODEL, messages=FRANCE, stop=[stop])
        assert answer.choices[0].message.content == text[: text.index(stop)]
        assert answer.choices[0].finish_reason == "stop"
    with honouring("stop"):
        streamed = client.chat.completions.create(
            model=MODEL, messages=FRANCE, stop=stop, stream=True
        )
        shown = "".join(c.choices[0].delta.content or "" for c in streamed)
        assert shown == text[: text.index(stop)]


def test_logprobs_cover_every_token(client: openai.OpenAI, honouring):
    """Each sampled token has its log probability, and their bytes join to the text."""
    with honouring("logprobs"):
        answer = client.chat.completions.create(model=MODEL, messages=FRANCE, logprobs=True)
        entries = answer.choices[0].logprobs.content
        assert len(entries) == answer.usage.completion_tokens
        assert all(entry.logprob <= 0 for entry in entries)
        joined = b"".join(bytes(entry.bytes) for entry in entries).decode()
        assert joined.startswith(answer.choices[0].message.content)


def test_a_schema_is_kept_to(client: openai.OpenAI, honouring):
    """An answer in a JSON schema's form is valid for it."""
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}}
    with honouring("response_format"):
        answer = client.chat.completions.create(
            model=MODEL, messages=FRANCE, max_tokens=200, response_format=form
        )
        jsonschema.validate(json.loads(answer.choices[0].message.content), SCHEMA)


@pytest.mark.parametrize(
    ("changed", "kind", "param"),
    [
        ({"model": "other"}, openai.NotFoundError, "model"),
        ({"temperature": 3}, openai.BadRequestError, "temperature"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]},
         openai.BadRequestError, "tools"),
        ({"top_logprobs": 2, "logprobs": True}, openai.BadRequestError, "top_logprobs"),
        ({"extra_body": {"colour": "blue"}}, openai.BadRequestError, "colour"),
        ({"max_tokens": 10**6}, openai.BadRequestError, "messages"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"response_format": {"type": "json_schema", "json_schema": {
            "name": "x", "schema": {"type": "colour"}}}},
         openai.BadRequestError, "response_format"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_parameter(
    client: openai.OpenAI, served: str, changed: dict, kind: type[openai.APIStatusError], param: str
):
    """What cannot be honoured is refused with the name of what to change."""
    if served == TRANSFORMERS and "max_tokens" in changed:
        pytest.skip("that server takes any number, and ends where the model does")
    with pytest.raises(kind) as refusal:
        client.chat.completions.create(**{"model": MODEL, "messages": FRANCE, **changed})
    assert refusal.value.param == param
    assert refusal.value.request_id


def test_a_wrong_key_is_refused(stack: Running):
    """Another key gives 401 in OpenAI's shape."""
    with (
        openai.OpenAI(base_url=stack.base_url, api_key="sk-wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as refusal,
    ):
        stranger.models.list()
    assert refusal.value.code == "invalid_api_key"


def test_too_large_a_request_is_refused(client: openai.OpenAI):
    """A prompt of 1 MiB + 1 gives 413."""
    message = [{"role": "user", "content": "x" * ((1 << 20) + 1)}]
    with pytest.raises(openai.APIStatusError) as refusal:
        client.chat.completions.create(model=MODEL, messages=message)
    assert refusal.value.status_code == 413


def test_a_full_queue_says_when_to_come_back(small: Running):
    """Past the queue's bound a request gets 429 with Retry-After, and those inside still end."""
    with client_of(small) as client, concurrent.futures.ThreadPoolExecutor(80) as pool:
        answers = [pool.submit(_long_answer, client) for _ in range(SMALL_SEQUENCES_MAX + 16)]
        found = [answer.result(timeout=120) for answer in answers]
    refused = [one for one in found if isinstance(one, openai.RateLimitError)]
    assert refused
    assert len(refused) <= 16
    assert all(1 <= float(one.response.headers["retry-after"]) <= 30 for one in refused)
    assert sum(one == "length" for one in found) >= SMALL_SEQUENCES_MAX


def _long_answer(client: openai.OpenAI) -> str | openai.RateLimitError:
    try:
        answer = client.completions.create(
            model="talkative", prompt="Go", max_tokens=1800, temperature=0, timeout=110
        )
    except openai.RateLimitError as error:
        return error
    return answer.choices[0].finish_reason
