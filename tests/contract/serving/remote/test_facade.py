"""The facade before a remote replica: its checks hold, and what cannot be is told."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import openai
import pytest

from gateway.app import create_app
from services.rpc.channel import open_channel
from tests.contract.serving.remote.conftest import Remote
from tests.fakes.facade import MESSAGES, answering, make_settings
from tests.fakes.openai_server import Reply, chunk, end, refusal


@pytest.fixture
async def sdk(remote: Remote, tmp_path: Path) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's SDK on a facade before the replica."""
    settings = make_settings(tmp_path, mesh_address=f"unix:{tmp_path}/remote.sock")
    async with (
        open_channel(settings.mesh_address) as channel,
        answering(create_app(settings, channel)) as url,
        httpx.AsyncClient() as http,
        openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key="any", max_retries=0, http_client=http
        ) as client,
    ):
        yield client


async def text_of(sdk: openai.AsyncOpenAI, **asked: object) -> str:
    """A streamed answer, joined."""
    stream = await sdk.chat.completions.create(
        model="tiny", messages=MESSAGES, stream=True, **asked
    )
    return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])


async def test_usage_is_the_servers(far, sdk):
    """Though the prompt's tokens are not known before the end."""
    far.replies = [Reply([chunk("he"), chunk("y"), *end(3, prompt=9)])]
    answer = await sdk.chat.completions.create(model="tiny", messages=MESSAGES)
    assert answer.choices[0].message.content == "hey"
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (9, 3, 12)


async def test_an_answer_that_broke_off_is_not_glued_together(far, sdk):
    """Without a seed another answer would be another one: the client is told that it broke."""
    far.replies = [Reply([chunk("half")], cut=True), Reply([chunk("other"), *end(1)])]
    with pytest.raises(openai.APIError, match="RESUME_UNSUPPORTED"):
        await text_of(sdk)
    assert len(far.bodies) == 1


async def test_a_seeded_answer_is_made_again(far, sdk):
    """And goes on where it broke, since what came again was the same."""
    far.replies = [Reply([chunk("a"), chunk("b")], cut=True),
                   Reply([chunk("a"), chunk("b"), chunk("c"), *end(3)])]  # fmt: skip
    assert await text_of(sdk, seed=1) == "abc"


async def test_an_answer_that_became_another_one_is_a_failure(far, sdk):
    """Stand-ins for ids tell one text from another."""
    far.replies = [Reply([chunk("a"), chunk("b")], cut=True),
                   Reply([chunk("a"), chunk("x"), chunk("c"), *end(3)])]  # fmt: skip
    with pytest.raises(openai.APIError, match="became a different one"):
        await text_of(sdk, seed=1)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"stop": ["a"]}, "stop"),
        ({"logprobs": True}, "logprobs"),
        ({"temperature": 0.5}, "temperature"),
        ({"extra_body": {"min_p": 0.5}}, "min_p"),
    ],
)
@pytest.mark.parametrize("told", [{"remote_kind": "transformers", "remote_model": "tiny"}])
async def test_what_is_refused_has_the_name_that_the_client_gave(far, sdk, told, asked, param):
    """As OpenAI's parameter."""
    with pytest.raises(openai.BadRequestError) as refused:
        await text_of(sdk, **asked)
    assert refused.value.param == param
    assert param in refused.value.message
    assert not far.bodies


async def test_a_prompt_that_is_too_long_is_the_prompts_fault(far, sdk):
    """Whatever field the server names."""
    error = {"code": "context_length_exceeded", "message": "too long", "param": "input_tokens"}
    far.replies = [refusal(400, {"error": error})]
    with pytest.raises(openai.BadRequestError) as refused:
        await text_of(sdk)
    assert (refused.value.param, refused.value.code) == ("messages", "context_length_exceeded")
