"""Parley's own facade as the server behind a replica."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from parley.serving.v1 import model_serving_pb2 as pb

from tests.contract.serving.remote.conftest import SERVING, Remote, remote_to
from tests.contract.serving.test_servicer import refusal_of, remaining
from tests.fakes import serving as fake
from tests.fakes.facade import Facade, make_settings, running


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[Facade]:
    """The facade over there."""
    folder = tmp_path / "there"
    folder.mkdir()
    async with running(make_settings(folder)) as facade:
        yield facade


@pytest.fixture
async def remote(behind: Facade, tmp_path: Path) -> AsyncIterator[Remote]:
    """A replica before it."""
    async with remote_to(f"{behind.url}/v1/", tmp_path) as remote:
        await remote.until_health(SERVING)
        yield remote


def ids_of(events: list[pb.GenerateResponse]) -> list[int]:
    """All ids of an answer."""
    return [one for event in events for one in event.delta.token_ids]


async def test_it_knows_its_own_kind(remote, behind):
    """Name, version and context are those over there, and a whole answer comes from it."""
    model = await remote.listed()
    assert (model.model, model.version) == (fake.MODEL, fake.VERSION)
    assert model.context_tokens_max == fake.CONTEXT_TOKENS_MAX
    events = await remaining(remote.generate(sampling=pb.Sampling(seed=1)))
    assert events[0].started.repeatable
    assert "".join(event.delta.text for event in events) == "Hello, world!"
    assert events[-1].finished.usage == pb.Usage(prompt_tokens=1, completion_tokens=5)


@pytest.mark.parametrize("prompt", [{}, {"text": "hi", "stopping": pb.Stopping(tokens_max=9)}])
async def test_each_token_is_told_apart(remote, behind, prompt):
    """One stand-in a token, the same ones in an answer that is the same."""
    first = ids_of(await remaining(remote.generate(**prompt)))
    assert len(first) == len(set(first)) == len(fake.HELLO)
    assert first == ids_of(await remaining(remote.generate(**prompt)))


async def test_everything_passes_that_a_client_may_ask(remote, behind):
    """And means the same there."""
    asked = {
        "sampling": pb.Sampling(temperature=0.5, top_k=3, min_p=0.25, repetition_penalty=1.5),
        "output_format": pb.OutputFormat(regex="a+"),
        "stopping": pb.Stopping(tokens_max=50, stop_strings=["zz"]),
    }
    await remaining(remote.generate(logprobs=True, **asked))
    (heard,) = behind.serving.seen.requests
    assert heard.sampling == asked["sampling"] or heard.sampling.HasField("seed")
    assert heard.output_format == asked["output_format"]
    assert heard.stopping == asked["stopping"]


async def test_its_refusals_keep_their_meaning(remote, behind):
    """A prompt that is too long there is too long here."""
    messages = [pb.ChatMessage(role=pb.CHAT_ROLE_USER, content="a " * 2000)]
    refused = await refusal_of(remote.generate(conversation=pb.Conversation(messages=messages)))
    assert refused.reason == "CONTEXT_LENGTH_EXCEEDED"


async def test_who_leaves_here_leaves_there(remote, behind):
    """The call over there is cancelled."""
    behind.serving.script.resume = asyncio.Event()
    behind.serving.script.resume_at = 2
    call = remote.generate()
    await call.read()
    await call.read()
    call.cancel()
    await behind.serving.seen.until("cancelled")
