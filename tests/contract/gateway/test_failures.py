"""Every class of failure, before the first byte and after it."""

import asyncio
import time

import openai
import pytest

from services.rpc import errors
from tests.fakes.facade import MESSAGES, Facade, running
from tests.fakes.serving import MODEL

LOADING = errors.Unavailable("The model is loading.", reason="MODEL_LOADING")
DIED = errors.Unavailable("The engine died.", reason="ENGINE_DIED")
CLASSES = [
    (
        errors.InvalidArgument("No.", reason="OUTPUT_FORMAT_INVALID"),
        openai.BadRequestError,
        "invalid_response_format",
    ),
    (errors.NotFound("No.", reason="MODEL_NOT_FOUND"), openai.NotFoundError, "model_not_found"),
    (
        errors.ResourceExhausted("Full.", reason="QUEUE_FULL", retry_after_s=3.2),
        openai.RateLimitError,
        "rate_limit_exceeded",
    ),
    (
        errors.DeadlineExceeded("Late.", reason="QUEUE_TIMEOUT"),
        openai.InternalServerError,
        "timeout",
    ),
    (
        errors.Internal("Broke.", reason="INTERNAL_ERROR"),
        openai.InternalServerError,
        "internal_error",
    ),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("error", "kind", "code"), CLASSES)
async def test_refusal_is_the_sdks_own_error(
    facade: Facade,
    error: errors.ParleyError,
    kind: type[openai.APIStatusError],
    code: str,
    stream: bool,
) -> None:
    """A refusal before the start is an HTTP status, streaming or not, in the service's words."""
    facade.serving.script.refusals = [error]
    with pytest.raises(kind) as caught:
        await facade.sdk().chat.completions.create(model=MODEL, messages=MESSAGES, stream=stream)
    assert caught.value.code == code
    assert caught.value.body["message"] == error.message
    assert len(facade.serving.seen.requests) == 1


async def test_full_queue_says_when_to_come_back(facade: Facade) -> None:
    """In whole seconds for all, in milliseconds for SDKs."""
    facade.serving.script.refusals = [
        errors.ResourceExhausted("Full.", reason="QUEUE_FULL", retry_after_s=3.2)
    ]
    reply = await facade.post()
    assert reply.status_code == 429
    assert (reply.headers["retry-after"], reply.headers["retry-after-ms"]) == ("4", "3200")


async def test_unknown_model_is_named(facade: Facade) -> None:
    """404, and `model` is to blame."""
    reply = await facade.post(model="nobody")
    assert reply.status_code == 404
    assert reply.json()["error"]["param"] == "model"


@pytest.mark.parametrize("stream", [True, False])
async def test_unavailable_before_the_start_is_tried_again(settings_with, stream: bool) -> None:
    """The client sees a whole answer, not the two refusals before it."""
    async with running(settings_with(retry_s=60)) as facade:
        facade.serving.script.refusals = [LOADING, DIED]
        reply = await facade.post(stream=stream)
        assert reply.status_code == 200
        assert len(facade.serving.seen.requests) == 3


@pytest.mark.alone
async def test_retries_end(facade: Facade) -> None:
    """After `retry_s` of refusals the client is told 503, when to come back, and why."""
    facade.serving.script.refusals = [LOADING] * 1000
    begun_s = time.monotonic()
    reply = await facade.post()
    assert time.monotonic() - begun_s < facade.settings.retry_s + 1
    assert reply.status_code == 503
    assert reply.headers["retry-after"] == "1"
    assert reply.json()["error"]["message"] == "The model is loading."
    assert 3 <= len(facade.serving.seen.requests) <= 6


async def test_patience_begins_with_the_first_refusal(settings_with) -> None:
    """A replica that froze while the request waited there is lost late, and another one answers."""
    async with running(settings_with(retry_s=0.2)) as facade:
        script = facade.serving.script
        script.admit, script.refusals_admitted = asyncio.Event(), [LOADING]
        asking = asyncio.create_task(facade.post())
        await facade.serving.seen.until("requests")
        await asyncio.wait({asking}, timeout=0.5)
        script.admit.set()
        assert (await asking).status_code == 200
    assert len(facade.serving.seen.requests) == 2


async def test_hint_that_is_longer_than_our_patience_is_passed_on(facade: Facade) -> None:
    """A replica that needs 10 s is not asked again within 1."""
    facade.serving.script.refusals = [
        errors.Unavailable("Loading.", reason="MODEL_LOADING", retry_after_s=10)
    ]
    reply = await facade.post()
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "10")
    assert len(facade.serving.seen.requests) == 1


async def test_dead_mesh_is_a_503_in_our_words(facade: Facade) -> None:
    """gRPC's own text, with its addresses, stays inside."""
    await facade.stop_replica()
    reply = await facade.post()
    assert reply.status_code == 503
    assert reply.json()["error"]["code"] == "service_unavailable"
    assert "sock" not in reply.text
    assert (await facade.http.get("/v1/models")).status_code == 503


@pytest.mark.parametrize(
    ("death", "code", "calls"),
    [
        (DIED, "server_is_overloaded", 4),
        (None, "internal_error", 1),
        (ValueError(), "internal_error", 1),
    ],
)
async def test_stream_that_breaks_ends_with_an_error(
    facade: Facade, death: Exception | None, code: str, calls: int
) -> None:
    """An engine that dies wherever the answer goes on, an end without Finished and a bug: one error
    frame, which the SDK raises."""
    facade.serving.script.dies_at, facade.serving.script.dies_of = 2, death
    stream = await facade.sdk().chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    texts = []
    with pytest.raises(openai.APIError) as caught:
        async for chunk in stream:
            texts.append(chunk.choices[0].delta.content)
    assert texts == ["", "Hello", ", "]
    assert caught.value.code == code
    assert len(facade.serving.seen.requests) == calls


async def test_broken_stream_has_no_done(facade: Facade) -> None:
    """Nothing after the error frame could be taken for a clean end."""
    facade.serving.script.dies_at, facade.serving.script.dies_of = 2, DIED
    frames = (await facade.post(stream=True)).text.split("\n\n")
    assert frames[-1] == ""
    assert frames[-2].startswith('data: {"error":{"message":"The engine died."')
    assert "[DONE]" not in "".join(frames)


@pytest.mark.parametrize(("death", "status", "calls"), [(DIED, 503, 4), (None, 500, 1)])
async def test_answer_in_one_piece_that_breaks_is_a_status(
    facade: Facade, death: errors.ParleyError | None, status: int, calls: int
) -> None:
    """Half an answer is never given as a whole one, however often it was gone on with."""
    facade.serving.script.dies_at, facade.serving.script.dies_of = 2, death
    assert (await facade.post()).status_code == status
    assert len(facade.serving.seen.requests) == calls


async def test_gap_in_the_tokens_is_an_error(facade: Facade) -> None:
    """A lost token would be a wrong answer that looks right."""
    facade.serving.script.skips_at = 3
    reply = await facade.post()
    assert reply.status_code == 500
    assert reply.headers["x-should-retry"] == "false"


async def test_broken_stream_is_cancelled_at_its_replica(facade: Facade) -> None:
    """What cannot be trusted is not generated to its end."""
    facade.serving.script.skips_at = 1
    facade.serving.script.resume, facade.serving.script.resume_at = asyncio.Event(), 3
    assert (await facade.post()).status_code == 500
    await facade.serving.seen.until("cancelled", wait_s=1)


async def test_deadline_ends_an_answer(settings_with) -> None:
    """504 in our words once `deadline_s` is over."""
    async with running(settings_with(deadline_s=1)) as facade:
        facade.serving.script.admit = asyncio.Event()
        reply = await facade.post()
        assert reply.status_code == 504
        assert reply.json()["error"]["code"] == "timeout"
        await facade.serving.seen.until("cancelled")


async def test_long_queue_is_kept_company(settings_with) -> None:
    """Headers and comments come before admission, and the answer after it is whole."""
    async with running(settings_with(first_event_wait_s=0.05, keepalive_s=0.1)) as facade:
        facade.serving.script.admit = asyncio.Event()
        body = {"model": MODEL, "messages": MESSAGES, "stream": True}
        async with facade.http.stream("POST", "/v1/chat/completions", json=body) as reply:
            lines = reply.aiter_lines()
            comments = [line async for line in _first(lines, 6) if line]
            facade.serving.script.admit.set()
            rest = [line async for line in lines if line.startswith("data")]
    assert comments == [": keep-alive"] * 3
    assert rest[-1] == "data: [DONE]"


async def test_refusal_after_a_long_queue_is_an_error_frame(settings_with) -> None:
    """With the headers gone, the frame is what is left to say it."""
    async with running(settings_with(first_event_wait_s=0.05, retry_s=0.5)) as facade:
        facade.serving.script.refusals = [LOADING] * 1000
        stream = await facade.sdk().chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True
        )
        with pytest.raises(openai.APIError, match="The model is loading"):
            async for _ in stream:
                pass


async def test_silence_between_tokens_is_broken_by_comments(settings_with) -> None:
    """A slow engine looks alive, and no comment comes where tokens do."""
    async with running(settings_with(keepalive_s=0.1)) as facade:
        facade.serving.script.resume, facade.serving.script.resume_at = asyncio.Event(), 2
        body = {"model": MODEL, "messages": MESSAGES, "stream": True}
        async with facade.http.stream("POST", "/v1/chat/completions", json=body) as reply:
            lines = [line async for line in _until(reply.aiter_lines(), ": keep-alive")]
            facade.serving.script.resume.set()
    assert sum(line.startswith("data") for line in lines) == 3
    assert lines.count(": keep-alive") == 1


async def _first(lines, count: int):
    for _ in range(count):
        yield await anext(lines)


async def _until(lines, wanted: str):
    async for line in lines:
        yield line
        if line == wanted:
            return
