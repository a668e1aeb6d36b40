"""parley.serving.v1.ModelServing as its callers see it."""

import json

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from parley.serving.v1 import model_serving_pb2 as pb

from services.rpc import metrics
from services.rpc.errors import from_rpc_error
from services.serving.prompts import read_prompts
from services.serving.servicer import SERVICE
from tests.contract.serving.server import WAIT_S, until
from tests.fakes.model import CONTEXT_TOKENS_MAX, write_model

Code = grpc.StatusCode
USER = pb.Conversation(messages=[pb.ChatMessage(role=pb.CHAT_ROLE_USER, content="hi")])
GENERATE = f"/{SERVICE}/Generate"


async def refusal_of(call):
    """How a call is refused, before anything was streamed."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        if isinstance(call, grpc.aio.UnaryUnaryCall):
            await call
        else:
            await call.read()
    return from_rpc_error(refused.value)


async def remaining(call):
    """All events to the end."""
    events = []
    while (event := await call.read()) is not grpc.aio.EOF:
        events.append(event)
    return events


async def test_a_whole_stream(serving):
    """Started, Deltas and a Finished with usage and times, then OK; nothing is held."""
    serving.engine.script(serving.ids("hey 😀"))
    call = serving.generate(logprobs=True)
    started = (await call.read()).started
    assert started.model == "tiny"
    assert started.version == serving.loaded.model.version
    assert (started.prompt_tokens, started.repeatable) == (2, False)
    serving.engine.step(20)
    *deltas, last = await remaining(call)
    assert "".join(event.delta.text for event in deltas) == "hey 😀"
    ids = [token_id for event in deltas for token_id in event.delta.token_ids]
    assert ids == serving.ids("hey 😀")
    shown = b"".join(row.token for event in deltas for row in event.delta.logprobs)
    assert shown.decode() == "hey 😀<|im_end|>"
    finished = last.finished
    assert finished.reason == pb.FINISH_REASON_STOP
    assert (finished.usage.prompt_tokens, finished.usage.completion_tokens) == (2, len(ids))
    times = finished.timings
    assert (
        times.queue_duration.ToMicroseconds()
        <= times.first_token_duration.ToMicroseconds()
        <= times.total_duration.ToMicroseconds()
    )
    assert await call.code() is Code.OK
    assert serving.idle


async def test_every_choice_is_finished_once(serving):
    """Eight of them, two at a time."""
    serving.engine.automatic = True
    call = serving.generate(choices=8, stopping=pb.Stopping(tokens_max=3))
    ended = [event.finished async for event in call if event.HasField("finished")]
    assert sorted(one.choice for one in ended) == list(range(8))
    assert {one.reason for one in ended} == {pb.FINISH_REASON_LENGTH}
    assert serving.idle


async def test_fields_reach_the_engine(serving):
    """What was set is passed on, and what was not is the model's own."""
    sampling = pb.Sampling(temperature=0.5, top_p=0.25, top_k=7, min_p=0.125, seed=9)
    call = serving.generate(sampling=sampling, stopping=pb.Stopping(tokens_max=4, ignore_end=True))
    await call.read()
    (sequence,) = serving.engine.submitted
    got = sequence.sampling
    assert (got.temperature, got.top_p, got.top_k, got.min_p, got.seed) == (0.5, 0.25, 7, 0.125, 9)
    assert got.repetition_penalty == 1
    assert (sequence.tokens_max, sequence.end_ids) == (4, ())


@pytest.mark.parametrize(
    ("wishes", "code", "reason", "field"),
    [
        ({"model": "other"}, Code.NOT_FOUND, "MODEL_NOT_FOUND", None),
        ({"model": "tiny@000000000000"}, Code.NOT_FOUND, "MODEL_NOT_FOUND", None),
        ({"text": "x" * 300}, Code.INVALID_ARGUMENT, "CONTEXT_LENGTH_EXCEEDED", None),
        (
            {"output_format": pb.OutputFormat(json_schema="{]")},
            Code.INVALID_ARGUMENT,
            "OUTPUT_FORMAT_INVALID",
            "output_format",
        ),
        (
            {"resume_token_ids": [1], "choices": 2},
            Code.FAILED_PRECONDITION,
            "RESUME_UNSUPPORTED",
            None,
        ),
        (
            {"tokens": pb.TokenIds(ids=[2**32 - 1])},
            Code.INVALID_ARGUMENT,
            "INVALID_FIELD",
            "tokens.ids",
        ),
        ({"choices": 9}, Code.INVALID_ARGUMENT, "INVALID_FIELD", "choices"),
        ({"text": ""}, Code.INVALID_ARGUMENT, "INVALID_FIELD", "text"),
        (
            {"sampling": pb.Sampling(temperature=float("nan"))},
            Code.INVALID_ARGUMENT,
            "INVALID_FIELD",
            "sampling.temperature",
        ),
        (
            {"sampling": pb.Sampling(top_p=0)},
            Code.INVALID_ARGUMENT,
            "INVALID_FIELD",
            "sampling.top_p",
        ),
        (
            {"stopping": pb.Stopping(tokens_max=0)},
            Code.INVALID_ARGUMENT,
            "INVALID_FIELD",
            "stopping.tokens_max",
        ),
        (
            {"stopping": pb.Stopping(stop_strings=[""])},
            Code.INVALID_ARGUMENT,
            "INVALID_FIELD",
            "stopping.stop_strings",
        ),
        (
            {"conversation": pb.Conversation(messages=[pb.ChatMessage(role=9, content="x")])},
            Code.INVALID_ARGUMENT,
            "INVALID_FIELD",
            "conversation.messages.role",
        ),
    ],
)
async def test_a_refusal_says_what_is_wrong(serving, wishes, code, reason, field):
    """Its code, its reason, the field where there is one; nothing is held."""
    error = await refusal_of(serving.generate(**wishes))
    assert (error.code, error.reason) == (code, reason)
    assert error.metadata.get("field") == field
    assert error.retry_after_s is None
    assert serving.idle


async def test_a_request_without_a_prompt_is_refused(serving):
    """The oneof is required, and named."""
    error = await refusal_of(serving.stub.Generate(pb.GenerateRequest(), timeout=WAIT_S))
    assert error.code is Code.INVALID_ARGUMENT
    assert "prompt" in error.message


@pytest.mark.parametrize(
    ("template", "code", "reason"),
    [
        ("", Code.FAILED_PRECONDITION, "NO_CHAT_TEMPLATE"),
        ("{{ raise_exception('no') }}", Code.INVALID_ARGUMENT, "TEMPLATE_REFUSED"),
    ],
)
async def test_a_template_refuses_conversations_alike(serving, tmp_path, template, code, reason):
    """For Generate and for CountTokens."""
    serving.loaded.prompts = read_prompts(write_model(tmp_path / "m", template=template))
    count = serving.stub.CountTokens(pb.CountTokensRequest(conversation=USER), timeout=WAIT_S)
    for call in (serving.generate(conversation=USER), count):
        error = await refusal_of(call)
        assert (error.code, error.reason) == (code, reason)


async def fill(serving):
    """Takes every place."""
    call = serving.generate(choices=8, stopping=pb.Stopping(tokens_max=3))
    await call.read()
    return call


async def test_a_full_queue_says_when_to_come_again(serving):
    """RESOURCE_EXHAUSTED with RetryInfo; those inside go on."""
    inside = await fill(serving)
    error = await refusal_of(serving.generate())
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert 1 <= error.retry_after_s <= 30
    assert serving.loaded.admission.waiting == 6
    inside.cancel()
    await until(lambda: serving.idle)


async def test_a_refusal_may_be_retried_by_a_proxy(serving):
    """No initial metadata goes before it: gRPC itself retries only what has sent none."""
    inside = await fill(serving)
    policy = {
        "maxAttempts": 3,
        "initialBackoff": "0.01s",
        "maxBackoff": "0.01s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["RESOURCE_EXHAUSTED"],
    }
    config = {"methodConfig": [{"name": [{"service": SERVICE}], "retryPolicy": policy}]}
    refused = metrics.RPCS.labels(GENERATE, "RESOURCE_EXHAUSTED")._value
    before = refused.get()
    options = [("grpc.service_config", json.dumps(config)), ("grpc.enable_retries", 1)]
    async with grpc.aio.insecure_channel(serving.address, options=options) as channel:
        call = channel.unary_stream(GENERATE, pb.GenerateRequest.SerializeToString, None)
        with pytest.raises(grpc.aio.AioRpcError):
            await call(pb.GenerateRequest(text="hi"), timeout=WAIT_S).read()
    assert refused.get() - before == 3
    inside.cancel()


async def test_a_caller_that_leaves_frees_its_place(serving):
    """In mid-answer, the engine hears of it."""
    call = serving.generate(choices=2)
    await call.read()
    serving.engine.step()
    await call.read()
    call.cancel()
    await until(lambda: serving.idle)
    assert len(serving.engine.cancelled) == 2


async def test_a_caller_that_leaves_the_queue_frees_its_place(serving):
    """The engine never hears of it."""
    busy = serving.generate(choices=2)
    await busy.read()
    queued = serving.generate()
    await queued.read()
    queued.cancel()
    await until(lambda: serving.loaded.admission.waiting == 0)
    assert len(serving.engine.submitted) == 2


async def test_a_deadline_frees_the_place(serving):
    """Work stops when the caller's time has run out."""
    call = serving.stub.Generate(pb.GenerateRequest(text="hi"), timeout=0.3)
    await call.read()
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await call.read()
    assert ended.value.code() is Code.DEADLINE_EXCEEDED
    await until(lambda: serving.idle)
    assert len(serving.engine.cancelled) == 1


async def test_an_engines_death_is_unavailable(serving):
    """With a reason that a caller can resume on, and a time to wait."""
    call = serving.generate()
    await call.read()
    serving.engine.die()
    error = await refusal_of(call)
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "ENGINE_DIED")
    assert error.retry_after_s


async def test_a_replica_whose_engine_keeps_dying_refuses_at_once(serving):
    """Another may answer."""
    serving.engine.die(final=True)
    error = await refusal_of(serving.generate())
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "ENGINE_DIED")


async def test_a_message_over_the_limit_is_refused(serving):
    """Before it is read whole; the server goes on."""
    error = await refusal_of(serving.generate(text="x" * (3 << 20)))
    assert error.code is Code.RESOURCE_EXHAUSTED
    assert (await serving.generate().read()).HasField("started")


async def test_health_follows_the_engine(loading):
    """NOT_SERVING while it loads, SERVING when ready, NOT_SERVING after its death."""
    stub = health_pb2_grpc.HealthStub(loading.channel)
    state = health_pb2.HealthCheckResponse
    for name in (SERVICE, ""):
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=WAIT_S)
        assert (await watch.read()).status == state.NOT_SERVING
        loading.engine.become_ready()
        assert (await watch.read()).status == state.SERVING
        loading.engine.die()
        assert (await watch.read()).status == state.NOT_SERVING
        watch.cancel()


async def test_a_request_waits_for_an_engine_that_loads(loading):
    """It has its place, and is answered after the start."""
    call = loading.generate(stopping=pb.Stopping(tokens_max=1))
    assert (await call.read()).HasField("started")
    loading.engine.become_ready()
    loading.engine.step()
    assert [one.WhichOneof("event") for one in await remaining(call)] == ["delta", "finished"]


async def test_reflection_lists_the_service(serving):
    """grpcurl and its like work."""
    stub = reflection_pb2_grpc.ServerReflectionStub(serving.channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    call = stub.ServerReflectionInfo(asked, timeout=WAIT_S)
    answer = await call.read()
    assert SERVICE in [one.name for one in answer.list_services_response.service]


@pytest.mark.parametrize("prompt", [{"conversation": USER}, {"text": "hello <|im_end|> é"}])
async def test_counting_agrees_with_generating(serving, prompt):
    """CountTokens gives the prompt tokens that Generate takes, and ids to send as they are."""
    counted = await serving.stub.CountTokens(pb.CountTokensRequest(**prompt), timeout=WAIT_S)
    assert counted.context_tokens_max == CONTEXT_TOKENS_MAX
    assert counted.prompt_tokens == len(counted.token_ids)
    for wishes in (prompt, {"tokens": pb.TokenIds(ids=counted.token_ids)}):
        started = (await serving.generate(**wishes).read()).started
        assert started.prompt_tokens == counted.prompt_tokens
        assert serving.engine.submitted[-1].prompt_ids == counted.token_ids


async def test_a_prompt_that_is_too_long_is_still_counted(serving):
    """Its size is told; ids that Generate would refuse are not."""
    asked = pb.CountTokensRequest(text="x" * (1 << 18))
    counted = await serving.stub.CountTokens(asked, timeout=WAIT_S)
    assert counted.prompt_tokens == 1 << 18
    assert not counted.token_ids


async def test_the_loaded_model_is_listed_with_its_load(serving):
    """Its name, version, state and how busy it is."""
    await serving.generate(choices=3).read()
    answer = await serving.stub.ListLoadedModels(pb.ListLoadedModelsRequest(), timeout=WAIT_S)
    (model,) = answer.models
    assert (model.model, model.version) == ("tiny", serving.loaded.model.version)
    assert model.state == pb.MODEL_STATE_READY
    assert model.context_tokens_max == CONTEXT_TOKENS_MAX
    assert (model.running, model.waiting, model.engine_restarts) == (2, 1, 0)
    assert model.cache_usage == pytest.approx(0.2)
    assert answer.next_page_token == ""


async def test_the_models_state_follows_the_engine(loading):
    """Loading, ready, loading again, failed, and draining."""

    async def state():
        answer = await loading.stub.ListLoadedModels(pb.ListLoadedModelsRequest(), timeout=WAIT_S)
        return answer.models[0].state

    assert await state() == pb.MODEL_STATE_LOADING
    loading.engine.become_ready()
    assert await state() == pb.MODEL_STATE_READY
    loading.engine.die()
    assert await state() == pb.MODEL_STATE_LOADING
    loading.engine.die(final=True)
    assert await state() == pb.MODEL_STATE_FAILED
    loading.replica.draining = True
    assert await state() == pb.MODEL_STATE_DRAINING


async def test_a_foreign_page_token_is_refused(serving):
    """This server makes none."""
    asked = pb.ListLoadedModelsRequest(page_token="x")
    error = await refusal_of(serving.stub.ListLoadedModels(asked, timeout=WAIT_S))
    assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", "page_token")
