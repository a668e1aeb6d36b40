"""What the facade tells the mesh about a request, as a replica behind it reads it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from parley.serving.v1 import model_serving_pb2 as pb

from gateway.affinity import draw_of
from services.rpc import errors
from tests.fakes.facade import MESSAGES, Facade, make_settings, running
from tests.fakes.serving import MODEL, VERSION

DIED = errors.Unavailable("The engine died.", reason="ENGINE_DIED")
GONE = errors.Unavailable("The engine is loading.", reason="MODEL_LOADING")
PATHS = ["/v1/chat/completions", "/v1/completions"]
KEY = "conversation-1"


@pytest.fixture
async def named(facade: Facade) -> Facade:
    """A facade before a replica that has a name."""
    facade.serving.script.started = _started("a")
    return facade


@pytest.fixture
async def narrow(tmp_path: Path) -> AsyncIterator[Facade]:
    """One that prefers no replica that has more calls than another."""
    async with running(make_settings(tmp_path, affinity_margin=0)) as facade:
        yield facade


def _started(replica: str) -> pb.Started:
    return pb.Started(model=MODEL, version=VERSION, replica=replica)


def _told(facade: Facade) -> list[dict[str, str]]:
    """What each call said to the mesh."""
    return [
        {name: value for name, value in metadata.items() if name.startswith("x-parley-")}
        for metadata in facade.serving.seen.metadata
    ]


@pytest.mark.parametrize("path", PATHS)
async def test_a_request_without_a_key_names_its_model_alone(named: Facade, path: str) -> None:
    """The mesh draws a version and a replica as it likes, each time."""
    for _ in range(2):
        assert (await named.post(path)).status_code == 200
    assert _told(named) == [{"x-parley-model": MODEL}] * 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", PATHS)
async def test_a_conversation_draws_alike_and_returns(
    named: Facade, path: str, stream: bool
) -> None:
    """The second request asks for the replica that answered the first; the key stays here."""
    for _ in range(2):
        reply = await named.post(path, prompt_cache_key=KEY, stream=stream)
        assert reply.status_code == 200
    first = {"x-parley-model": MODEL, "x-parley-draw": str(draw_of(KEY))}
    assert _told(named) == [first, {**first, "x-parley-replica": "a"}]
    assert KEY not in str(named.serving.seen.metadata)


async def test_the_sdk_sends_the_key(named: Facade) -> None:
    """By OpenAI's own parameter."""
    chat = named.sdk().chat.completions
    await chat.create(model=MODEL, messages=MESSAGES, prompt_cache_key=KEY)
    assert _told(named)[0]["x-parley-draw"] == str(draw_of(KEY))


async def test_other_conversations_and_models_go_their_own_ways(named: Facade) -> None:
    """Who holds one says nothing about another."""
    await named.post(prompt_cache_key=KEY)
    await named.post(prompt_cache_key="conversation-2")
    await named.post(prompt_cache_key=KEY, model=f"{MODEL}@{VERSION}")
    assert ["x-parley-replica" in told for told in _told(named)] == [False] * 3
    assert _told(named)[2]["x-parley-model"] == f"{MODEL}@{VERSION}"


async def test_the_conversation_follows_who_answered_last(named: Facade) -> None:
    """The mesh may send it elsewhere; what was computed last is there."""
    for replica in ("a", "b", "b"):
        named.serving.script.started = _started(replica)
        await named.post(prompt_cache_key=KEY)
    assert [told.get("x-parley-replica") for told in _told(named)] == [None, "a", "b"]


async def test_a_retry_prefers_nobody(named: Facade) -> None:
    """Who refused is not asked for again; the draw stays, so that the version does."""
    await named.post(prompt_cache_key=KEY)
    named.serving.script.refusals = [GONE]
    assert (await named.post(prompt_cache_key=KEY)).status_code == 200
    _, preferring, retried = _told(named)
    assert preferring.pop("x-parley-replica") == "a"
    assert retried == preferring


async def test_a_migration_prefers_nobody_and_the_conversation_stays_there(named: Facade) -> None:
    """It is pinned to the version; afterwards the successor holds the conversation."""
    await named.post(prompt_cache_key=KEY)
    script = named.serving.script
    script.dies_at, script.deaths_max, script.dies_of = 2, 1, DIED
    script.started_later = [_started("b")]
    assert (await named.post(prompt_cache_key=KEY)).headers["x-parley-migrations"] == "1"
    await named.post(prompt_cache_key=KEY)
    _, preferring, migrated, later = _told(named)
    assert preferring["x-parley-replica"] == "a"
    assert "x-parley-replica" not in migrated
    assert migrated["x-parley-model"] == f"{MODEL}@{VERSION}"
    assert later["x-parley-replica"] == "b"


async def test_a_busy_holder_is_not_preferred_until_its_calls_end(narrow: Facade) -> None:
    """The facade counts its own calls on each replica, from Started to their end."""
    script = narrow.serving.script
    script.started = _started("b")
    await narrow.post()
    script.started, script.resume, script.resume_at = _started("a"), asyncio.Event(), 1
    async with AsyncExitStack() as open_streams:
        lines = [await _begun(narrow, open_streams) for _ in range(2)]
        third = await _begun(narrow, open_streams)
        assert "x-parley-replica" not in _told(narrow)[3]
        script.resume.set()
        for one in (*lines, third):
            assert [line async for line in one if line][-1] == "data: [DONE]"
    # A stream's last line comes before its call has ended.
    await narrow.until_idle()
    await narrow.post(prompt_cache_key=KEY)
    assert _told(narrow)[4]["x-parley-replica"] == "a"


async def test_clients_that_leave_are_not_counted_on(narrow: Facade) -> None:
    """A cancelled call gives its place back."""
    script = narrow.serving.script
    script.started = _started("b")
    await narrow.post()
    script.started, script.resume, script.resume_at = _started("a"), asyncio.Event(), 1
    async with AsyncExitStack() as open_streams:
        await _begun(narrow, open_streams)
    await narrow.serving.seen.until("cancelled")
    script.resume.set()
    await narrow.post(prompt_cache_key=KEY)
    assert _told(narrow)[2]["x-parley-replica"] == "a"


async def _begun(facade: Facade, open_streams: AsyncExitStack) -> AsyncIterator[str]:
    """A stream of the conversation whose first token has come; the rest of its lines."""
    body = {"model": MODEL, "messages": MESSAGES, "prompt_cache_key": KEY, "stream": True}
    opened = facade.http.stream("POST", PATHS[0], json=body)
    lines = (await open_streams.enter_async_context(opened)).aiter_lines()
    async for line in lines:
        if '"content":"Hello"' in line:
            break
    return lines


async def test_a_model_that_no_header_can_say_is_asked_for_without(named: Facade) -> None:
    """The replica then says itself that it does not have it."""
    for model in ("modèle", "a\nb", " a"):
        reply = await named.post(model=model)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
    assert _told(named) == [{}] * 3


async def test_a_replica_whose_name_no_header_can_say_is_not_asked_for(facade: Facade) -> None:
    """Its answers are as good as any."""
    facade.serving.script.started = _started("é")
    for _ in range(2):
        assert (await facade.post(prompt_cache_key=KEY)).status_code == 200
    assert ["x-parley-replica" in told for told in _told(facade)] == [False] * 2


@pytest.mark.parametrize("path", PATHS)
async def test_a_key_is_at_most_256_characters(facade: Facade, path: str) -> None:
    """Refused by its name; an empty one is none."""
    assert (await facade.post(path, prompt_cache_key="k" * 256)).status_code == 200
    reply = await facade.post(path, prompt_cache_key="k" * 257)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "prompt_cache_key")
    reply = await facade.post(path, prompt_cache_key=7)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_type")
    assert (await facade.post(path, prompt_cache_key="")).status_code == 200
    assert "x-parley-draw" not in _told(facade)[1]
