"""Chat Completions as the official SDK sees them."""

import asyncio
import math

import openai
import pytest

from gateway.settings import GatewaySettings
from tests.fakes.facade import MESH_KEY, MESSAGES, Facade, running
from tests.fakes.serving import HELLO, MODEL, VERSION

WHOLE = b"".join(HELLO).decode()
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


async def test_answer_in_one_piece(facade: Facade) -> None:
    """Content, reason, usage and Parley's timings."""
    answer = await facade.sdk().chat.completions.create(model=MODEL, messages=MESSAGES)
    assert answer.object == "chat.completion"
    assert answer.model == MODEL
    assert answer.system_fingerprint == f"fp_{VERSION}"
    assert answer.choices[0].message.content == WHOLE
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage and answer.usage.total_tokens == 2 + len(HELLO)
    assert answer.model_extra and answer.model_extra["parley"]["time_to_first_token_ms"] == 10


async def test_stream_with_usage(facade: Facade) -> None:
    """Deltas, one reason, and the usage last."""
    stream = await facade.sdk().chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert [chunk.choices[0].delta.role for chunk in chunks if chunk.choices][:2] == [
        "assistant",
        None,
    ]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == WHOLE
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens == len(HELLO)
    assert chunks[-1].model_extra and chunks[-1].model_extra["parley"]["model_version"] == VERSION


async def test_stream_helper_of_the_sdk_builds_every_choice(facade: Facade) -> None:
    """The helper, which indexes choices as they come, is content with n=3."""
    sdk = facade.sdk()
    async with sdk.chat.completions.stream(model=MODEL, messages=MESSAGES, n=3) as stream:
        whole = await stream.get_final_completion()
    assert [choice.message.content for choice in whole.choices] == [WHOLE] * 3
    assert [choice.message.role for choice in whole.choices] == ["assistant"] * 3


async def test_several_choices_in_one_piece(facade: Facade) -> None:
    """n answers; the prompt is counted once."""
    answer = await facade.sdk().chat.completions.create(model=MODEL, messages=MESSAGES, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert [choice.message.content for choice in answer.choices] == [WHOLE] * 2
    assert answer.usage and answer.usage.prompt_tokens == 2
    assert answer.usage.completion_tokens == 2 * len(HELLO)


async def test_message_of_an_answer_goes_back_into_the_next_request(facade: Facade) -> None:
    """What the SDK makes of our message is a message that we take."""
    chat = facade.sdk().chat.completions
    first = await chat.create(model=MODEL, messages=MESSAGES)
    again = [*MESSAGES, first.choices[0].message, *MESSAGES]
    await chat.create(model=MODEL, messages=again)
    sent = facade.serving.seen.requests[1].conversation.messages
    assert [message.content for message in sent] == ["Say hello.", WHOLE, "Say hello."]


@pytest.mark.parametrize("stream", [True, False])
async def test_stop_text_is_not_shown(facade: Facade, stream: bool) -> None:
    """Also where it lies across two tokens."""
    answer = await facade.post(stop=["world"], stream=stream)
    assert "wor" not in answer.text
    assert '"finish_reason":"stop"' in answer.text


async def test_limit_ends_an_answer_as_length(facade: Facade) -> None:
    """finish_reason tells a limit from an end."""
    answer = await facade.sdk().chat.completions.create(
        model=MODEL, messages=MESSAGES, max_completion_tokens=2
    )
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content == "Hello, "


async def test_logprobs_of_a_split_character_are_exact(facade: Facade) -> None:
    """In a stream, bytes are exact and content never holds half a character."""
    facade.serving.script.tokens = [b"a", b"\xe2\x82", b"\xac"]
    stream = await facade.sdk().chat.completions.create(
        model=MODEL, messages=MESSAGES, logprobs=True, stream=True
    )
    choices = [chunk.choices[0] async for chunk in stream]
    assert "".join(choice.delta.content or "" for choice in choices) == "a€"
    entries = [entry for choice in choices if choice.logprobs for entry in choice.logprobs.content]
    assert bytes(byte for entry in entries for byte in entry.bytes) == "a€".encode()
    assert all(math.isclose(entry.logprob, -0.5) for entry in entries)


async def test_schema_passes_through(facade: Facade) -> None:
    """What the engine must hold to is what the client wrote."""
    await facade.post(
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    )
    (request,) = facade.serving.seen.requests
    assert request.output_format.json_schema == str(SCHEMA).replace("'", '"')


async def test_call_carries_id_key_and_deadline(facade: Facade) -> None:
    """The mesh sees who asks, under which id, and for how long."""
    headers = {"x-request-id": "from-the-edge", "x-stainless-read-timeout": "7"}
    reply = await facade.http.post(
        "/v1/chat/completions", json={"model": MODEL, "messages": MESSAGES}, headers=headers
    )
    assert reply.headers["x-request-id"] == "from-the-edge"
    (metadata,) = facade.serving.seen.metadata
    assert metadata["x-request-id"] == "from-the-edge"
    assert metadata["authorization"] == f"Bearer {MESH_KEY}"
    assert 5 < facade.serving.seen.deadlines_s[0] <= 7


async def test_stream_lives_longer_than_one_read(facade: Facade) -> None:
    """A client's patience for one read does not end a stream that keeps talking."""
    stream = facade.sdk(timeout=7).chat.completions
    async with stream.stream(model=MODEL, messages=MESSAGES) as opened:
        await opened.get_final_completion()
    assert facade.serving.seen.deadlines_s[0] > 500


async def test_every_reply_has_its_headers(facade: Facade) -> None:
    """An id that the SDK shows, the time taken and the wire's version."""
    raw = await facade.sdk().chat.completions.with_raw_response.create(
        model=MODEL, messages=MESSAGES
    )
    assert raw.request_id
    assert int(raw.headers["openai-processing-ms"]) >= 0
    assert raw.headers["openai-version"] == "2020-10-01"


async def test_forged_request_id_is_replaced(facade: Facade) -> None:
    """An id that could forge a log line goes no further."""
    reply = await facade.http.get("/healthz", headers={"x-request-id": 'a"}\t{'})
    assert reply.headers["x-request-id"].isalnum()


async def test_complete_answer_ends_its_call_as_ok(facade: Facade) -> None:
    """The client has it all before the status, and a replica counts no cancellation for it."""
    facade.serving.script.linger = asyncio.Event()
    reply = await facade.post(stream=True)
    assert reply.text.endswith("data: [DONE]\n\n")
    facade.serving.script.linger.set()
    await facade.serving.seen.until("ended")
    assert facade.serving.seen.cancelled == 0


async def test_more_generations_than_allowed_are_refused(settings_with) -> None:
    """The facade's own bound answers 429 at once."""
    settings: GatewaySettings = settings_with(generations_max=1)
    async with running(settings) as facade:
        facade.serving.script.admit = asyncio.Event()
        first = asyncio.create_task(facade.post())
        await facade.serving.seen.until("requests")
        with pytest.raises(openai.RateLimitError):
            await facade.sdk().chat.completions.create(model=MODEL, messages=MESSAGES)
        facade.serving.script.admit.set()
        assert (await first).status_code == 200
