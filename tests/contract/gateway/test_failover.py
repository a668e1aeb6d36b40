"""Replicas that are lost in mid-answer, as the HTTP client sees it: not at all, if that can be."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from parley.serving.v1 import model_serving_pb2 as pb
from prometheus_client import REGISTRY

from services.rpc import errors
from tests.fakes.facade import Facade, make_settings, running
from tests.fakes.serving import HELLO, MODEL, VERSION

DIED = errors.Unavailable("The engine died.", reason="ENGINE_DIED", retry_after_s=9)
USAGE = {"stream_options": {"include_usage": True}}
SMILE = "😀".encode()
# Half characters, and text that may begin a stop string.
TOKENS = (b"a", SMILE[:1], SMILE[1:3], SMILE[3:], b"ST", b"O ST", b"OP", b" never")


@pytest.fixture
async def fixed(tmp_path: Path) -> AsyncIterator[Facade]:
    """A facade whose answers all have the same id and time."""
    parts = {"clock": lambda: 5.0, "make_id": lambda: "1"}
    async with running(make_settings(tmp_path, silence_s=0.2), **parts) as facade:
        yield facade


def _joined(text: str) -> list[Any]:
    """Frames of a stream without its times, its texts and its log probabilities joined."""
    frames, texts, logprobs = [], {}, {}
    for part in text.split("\n\n"):
        frame = part.removeprefix("data: ")
        if not frame.startswith("{"):
            frames.append(frame)
            continue
        frame = json.loads(frame)
        frame.pop("parley", None)
        for choice in frame["choices"]:
            index = choice["index"]
            texts[index] = texts.get(index, "") + choice["delta"].get("content", "")
            found = choice.pop("logprobs") or {}
            logprobs.setdefault(index, []).extend(found.get("content", []))
        if not any(set(choice["delta"]) == {"content"} for choice in frame["choices"]):
            frames.append(frame)
    return [frames, texts, logprobs]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"logprobs": True},
        {"stop": ["STOP"], "logprobs": True},
        {"stop": ["OST", "STOP"]},
        {"max_completion_tokens": 6},
        {"seed": 3, "stop": "STOP", "logprobs": True},
        {"response_format": {"type": "json_object"}, "logprobs": True},
        {"n": 3, "stop": "STOP", "logprobs": True},
    ],
    ids=str,
)
async def test_stream_is_unbroken(fixed: Facade, asked: dict[str, Any]) -> None:
    """One role, one id, each text and log probability once, one usage, whichever token was next."""
    script = fixed.serving.script
    script.tokens, script.dies_of = TOKENS, DIED
    whole = await fixed.post(stream=True, **USAGE, **asked)
    for position in range(len(TOKENS)):
        script.dies_at, script.deaths_max = position, 1
        broken = await fixed.post(stream=True, **USAGE, **asked)
        assert _joined(broken.text) == _joined(whole.text)


@pytest.mark.parametrize("n", [1, 3])
async def test_answer_in_one_piece_says_that_it_migrated(fixed: Facade, n: int) -> None:
    """It is the undisturbed one, with a header and a count beside the timings."""
    script = fixed.serving.script
    whole = await fixed.post(n=n, temperature=0)
    script.dies_at, script.deaths_max, script.dies_of = 2, 1, DIED
    reply = await fixed.post(n=n, temperature=0)
    assert reply.headers["x-parley-migrations"] == "1"
    assert "x-parley-migrations" not in whole.headers
    assert reply.json()["parley"]["migrations"] == 1
    for field in ("id", "choices", "usage", "system_fingerprint"):
        assert reply.json()[field] == whole.json()[field]


async def test_each_unfinished_choice_goes_on_from_its_own_tokens(fixed: Facade) -> None:
    """A finished one is not asked for again; seeds follow each other."""
    script = fixed.serving.script
    script.by_seed = {5: HELLO[:1], 6: HELLO, 7: HELLO[::-1]}
    whole = await fixed.post(n=3, seed=5)
    script.dies_at, script.deaths_max, script.dies_of = 3, 1, DIED
    reply = await fixed.post(n=3, seed=5)
    assert reply.json()["choices"] == whole.json()["choices"]
    later = fixed.serving.seen.requests[2:]
    assert sorted(request.sampling.seed for request in later) == [6, 7]
    assert all(request.choices == 1 for request in later)


async def test_same_version_is_asked_behind_the_tokens(fixed: Facade) -> None:
    """The request names what Started named, and keeps its id and its bounds."""
    script = fixed.serving.script
    script.dies_at, script.deaths_max, script.dies_of = 2, 1, DIED
    await fixed.post(max_completion_tokens=4)
    first, second = fixed.serving.seen.requests
    assert (first.model, second.model) == (MODEL, f"{MODEL}@{VERSION}")
    assert list(second.resume_token_ids) == [0, 1]
    assert second.stopping == first.stopping
    metadata = fixed.serving.seen.metadata
    assert metadata[0]["x-request-id"] == metadata[1]["x-request-id"]


async def test_frozen_replica_is_left(fixed: Facade) -> None:
    """Once nothing came for `silence_s` after a token; its call is cancelled."""
    fixed.serving.script.freezes_at = [2]
    reply = await fixed.post()
    assert reply.json()["choices"][0]["message"]["content"] == "Hello, world!"
    await fixed.serving.seen.until("cancelled")


async def test_queue_is_no_silence(fixed: Facade) -> None:
    """Before the first token a replica may take as long as the deadline allows."""
    script = fixed.serving.script
    script.resume, script.resume_at = asyncio.Event(), 0
    asking = asyncio.create_task(fixed.post())
    await fixed.serving.seen.until("requests")
    done, _ = await asyncio.wait({asking}, timeout=4 * fixed.settings.silence_s)
    assert not done
    script.resume.set()
    assert (await asking).status_code == 200
    assert len(fixed.serving.seen.requests) == 1


async def test_slow_replicas_are_no_error(fixed: Facade) -> None:
    """After three silences the last replica is waited for."""
    script = fixed.serving.script
    script.tokens = HELLO * 2
    script.freezes_at = [2, 3, 4]
    script.resume, script.resume_at = asyncio.Event(), 6
    asking = asyncio.create_task(fixed.post())
    await fixed.serving.seen.until("requests", 4)
    await asyncio.wait({asking}, timeout=2 * fixed.settings.silence_s)
    script.resume.set()
    assert (await asking).json()["parley"]["migrations"] == 3


@pytest.mark.parametrize("off", [1, -1])
async def test_wrong_positions_are_an_error(fixed: Facade, off: int) -> None:
    """A replica that goes on with a gap or a repeat is not believed."""
    script = fixed.serving.script
    script.dies_at, script.deaths_max, script.dies_of = 2, 1, DIED
    script.resumes_off = off
    reply = await fixed.post(stream=True)
    assert "internal_error" in reply.text
    assert "[DONE]" not in reply.text


async def test_another_answer_is_an_error(fixed: Facade) -> None:
    """Where an answer is made again, it must be the same one."""
    script = fixed.serving.script
    script.dies_at, script.deaths_max, script.dies_of = 2, 1, DIED
    script.wrong_again = True
    reply = await fixed.post(stream=True, seed=1)
    assert "became a different one" in reply.text
    assert "[DONE]" not in reply.text


@pytest.mark.parametrize(
    "other",
    [
        pb.Started(model=MODEL, version="9"),
        pb.Started(model=MODEL, version=VERSION, digest="ab"),
        pb.Started(model=MODEL, version=VERSION, prompt_tokens=99),
    ],
    ids=str,
)
async def test_other_files_do_not_go_on(fixed: Facade, other: pb.Started) -> None:
    """An answer is of one version, and of one prompt, or an error says so."""
    script = fixed.serving.script
    script.dies_at, script.deaths_max, script.dies_of = 2, 1, DIED
    script.started_later = [other]
    reply = await fixed.post(stream=True)
    assert "RESUME_UNSUPPORTED" in reply.text
    assert "[DONE]" not in reply.text


async def test_refused_resumption_is_a_typed_error(fixed: Facade) -> None:
    """In its frame, with the replica's reason."""
    script = fixed.serving.script
    script.dies_at, script.deaths_max, script.dies_of = 2, 1, DIED
    script.refusals_later = [errors.NotFound("Gone.", reason="MODEL_NOT_FOUND")]
    reply = await fixed.post(stream=True)
    assert "no other one can go on with this answer (MODEL_NOT_FOUND)" in reply.text
    assert "[DONE]" not in reply.text


async def test_busy_replicas_are_asked_again(fixed: Facade) -> None:
    """Neither a full queue nor a replica that loads ends what has begun; hints are another's."""
    script = fixed.serving.script
    script.dies_at, script.deaths_max, script.dies_of = 2, 1, DIED
    script.refusals_later = [
        errors.ResourceExhausted("Full.", reason="QUEUE_FULL", retry_after_s=60),
        errors.Unavailable("Loading.", reason="MODEL_LOADING", retry_after_s=60),
    ]
    reply = await fixed.post()
    assert (reply.status_code, reply.json()["parley"]["migrations"]) == (200, 1)


async def test_no_replica_in_time_is_an_error(tmp_path: Path) -> None:
    """After `resume_s` of refusals the stream ends with the frame."""
    async with running(make_settings(tmp_path, resume_s=0.3)) as facade:
        script = facade.serving.script
        script.dies_at, script.deaths_max, script.dies_of = 2, 1, DIED
        script.refusals_later = [DIED] * 1000
        reply = await facade.post(stream=True)
    assert "The engine died." in reply.text
    assert "[DONE]" not in reply.text


async def test_deadline_holds_over_migrations(tmp_path: Path) -> None:
    """Nothing is begun anew by going on elsewhere."""
    async with running(make_settings(tmp_path, deadline_s=1, silence_s=0.2)) as facade:
        facade.serving.script.freezes_at = [2] * 100
        reply = await facade.post()
        assert reply.status_code == 504
        await facade.serving.seen.until("cancelled", len(facade.serving.seen.requests))


async def test_leaving_after_a_migration_cancels(fixed: Facade) -> None:
    """At every replica that is still at work."""
    script = fixed.serving.script
    script.dies_at, script.deaths_max, script.dies_of = 2, 1, DIED
    script.resume, script.resume_at = asyncio.Event(), 4
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "n": 3, "stream": True}
    async with fixed.http.stream("POST", "/v1/chat/completions", json=body) as reply:
        await _read_until(reply, '"wor"')
    await fixed.serving.seen.until("cancelled", 3)
    await fixed.until_idle()


async def test_migrations_are_counted(fixed: Facade) -> None:
    """By reason, and how long the stream stood still."""
    labels = {"reason": "ENGINE_DIED"}
    name, stall = "parley_gateway_migrations_total", "parley_gateway_migration_stall_seconds_count"
    before = REGISTRY.get_sample_value(name, labels) or 0, REGISTRY.get_sample_value(stall)
    script = fixed.serving.script
    script.dies_at, script.deaths_max, script.dies_of = 2, 1, DIED
    await fixed.post()
    assert REGISTRY.get_sample_value(name, labels) == before[0] + 1
    assert REGISTRY.get_sample_value(stall) == before[1] + 1


async def _read_until(reply: httpx.Response, wanted: str) -> None:
    async for line in reply.aiter_lines():
        if wanted in line:
            return
