"""ModelServing by another server, as its callers see it."""

import grpc
import pytest
from parley.serving.v1 import model_serving_pb2 as pb

from gateway.choices import Choice, Intake
from services.rpc.errors import Unavailable, from_rpc_error
from services.serving.remote.cards import derived_version
from tests.contract.serving.remote.conftest import KEY, USER
from tests.contract.serving.server import WAIT_S, until
from tests.contract.serving.test_servicer import refusal_of, remaining
from tests.fakes.openai_server import MODEL, Reply, chunk, end, refusal

VERSION = derived_version(MODEL)


async def test_a_whole_stream(far, remote):
    """Started, Deltas and a Finished with the server's usage; its checks pass in the facade."""
    far.replies = [Reply([chunk(), chunk("he"), chunk("y"), *end(4, prompt=7)])]
    call = remote.generate(model="tiny", stopping=pb.Stopping(tokens_max=9))
    started = (await call.read()).started
    assert (started.model, started.version, started.digest) == ("tiny", VERSION, "")
    assert not started.repeatable
    *deltas, last = await remaining(call)
    intake = Intake(Choice(0, keep_text=True), resumed=False)
    for event in deltas:
        intake.take(event.delta)
    intake.finish(last.finished)
    assert "".join(intake.choice.texts) == "hey"
    assert last.finished.reason == pb.FINISH_REASON_STOP
    usage = last.finished.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 4)
    assert await call.code() is grpc.StatusCode.OK
    assert far.keys == [f"Bearer {KEY}"]
    assert far.bodies[0]["model"] == MODEL


async def test_each_choice_is_a_request(far, remote):
    """With usage of its own, and the seed that the contract gives it."""
    far.replies = [Reply([chunk("a"), *end(2)]), Reply([chunk("b"), *end(3, reason="length")])]
    call = remote.generate(choices=2, sampling=pb.Sampling(seed=5))
    events = await remaining(call)
    ended = {e.finished.choice: e.finished for e in events if e.HasField("finished")}
    assert sorted(ended) == [0, 1]
    assert sorted(one.usage.completion_tokens for one in ended.values()) == [2, 3]
    assert sorted(body["seed"] for body in far.bodies) == [5, 6]
    # Servers that keep their work by this id would mix the two.
    assert len(set(far.request_ids)) == 2
    assert len({one.rpartition("-")[0] for one in far.request_ids}) == 1


async def test_log_probabilities_have_their_tokens_bytes(far, remote):
    """As the server tells them, one for each id."""
    entry = {"token": "�", "bytes": [195], "logprob": -0.25}
    far.replies = [Reply([chunk("", logprobs={"content": [entry]}, token_ids=[7]), *end(1)])]
    events = await remaining(remote.generate(logprobs=True))
    delta = events[1].delta
    assert list(delta.token_ids) == [7]
    assert [(row.token, row.logprob) for row in delta.logprobs] == [(b"\xc3", -0.25)]


async def test_what_it_cannot_honour_is_refused_before_the_server_hears(far, remote):
    """By the name of the field; and a resumed answer as the facade knows it."""
    refused = await refusal_of(remote.generate(output_format=pb.OutputFormat(regex="a")))
    assert refused.reason == "REMOTE_UNSUPPORTED"
    assert refused.metadata["field"] == "output_format.regex"
    resumed = await refusal_of(remote.generate(resume_token_ids=[1]))
    assert (resumed.code, resumed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "RESUME_UNSUPPORTED",
    )
    assert (await refusal_of(remote.generate(model="other"))).reason == "MODEL_NOT_FOUND"
    assert not far.bodies


@pytest.mark.parametrize(
    ("reply", "code", "reason"),
    [
        (refusal(429, {}, retry_after="7"), grpc.StatusCode.RESOURCE_EXHAUSTED, "REMOTE_BUSY"),
        (refusal(503, {}), grpc.StatusCode.UNAVAILABLE, "REMOTE_UNAVAILABLE"),
        (refusal(400, {"error": {"message": "no", "param": "top_p"}}),
         grpc.StatusCode.INVALID_ARGUMENT, "REMOTE_REFUSED"),
        (Reply([b"{}"], media="application/json"), grpc.StatusCode.INTERNAL,
         "REMOTE_NOT_UNDERSTOOD"),
    ],
)  # fmt: skip
async def test_a_refusal_of_the_servers_is_ours(far, remote, reply, code, reason):
    """With its hint of when to come back, and the field to blame."""
    far.replies = [reply]
    refused = await refusal_of(remote.generate())
    assert (refused.code, refused.reason) == (code, reason)
    assert refused.retry_after_s == {"REMOTE_BUSY": 7, "REMOTE_UNAVAILABLE": 1}.get(reason)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        assert refused.metadata == {"field": "sampling.top_p"}


async def test_a_wrong_key_is_the_operators_to_see(far, remote, caplog, capsys):
    """The log names what to mend and not the key; the caller hears that it is not his fault."""
    far.replies = [refusal(401, {"error": {"message": f"wrong key {KEY}"}})]
    refused = await refusal_of(remote.generate())
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.UNAVAILABLE,
        "REMOTE_MISCONFIGURED",
    )
    assert "key" not in refused.message
    said = caplog.text + capsys.readouterr().out
    assert "PARLEY_SERVING_REMOTE_URL" in said
    assert KEY not in said


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply([chunk("a")]), grpc.StatusCode.UNAVAILABLE),
        (Reply([chunk("a")], cut=True), grpc.StatusCode.UNAVAILABLE),
        (Reply([chunk("a"), b"data: [DONE]\n\n"]), grpc.StatusCode.UNAVAILABLE),
        (Reply([chunk("a"), {"error": {"message": "oom"}}]), grpc.StatusCode.UNAVAILABLE),
        (Reply([chunk("a"), b"data: {\n\n"]), grpc.StatusCode.INTERNAL),
        (Reply([chunk("a"), b"data: " + b"x" * (2 << 20)]), grpc.StatusCode.INTERNAL),
        (Reply([chunk("a"), b"data: \xff\n\n"]), grpc.StatusCode.INTERNAL),
    ],
)
async def test_an_answer_that_is_not_whole_is_never_a_clean_end(far, remote, reply, code):
    """However its stream ends."""
    far.replies = [reply]
    call = remote.generate()
    assert (await call.read()).HasField("started")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await remaining(call)
    assert failed.value.code() is code


@pytest.mark.parametrize("leave", ["cancel", "deadline"])
async def test_who_leaves_ends_the_servers_work(far, remote, leave):
    """By closing the connection, also when a deadline passes."""
    far.replies = [Reply([chunk("a")], held=True)]
    asked = pb.GenerateRequest(conversation=USER)
    call = remote.stub.Generate(asked, timeout=1 if leave == "deadline" else WAIT_S)
    await call.read()
    if leave == "cancel":
        call.cancel()
    await far.left.wait()
    await until(lambda: remote.idle)


async def test_the_queue_has_a_bound(far, remote):
    """Two are asked at a time, one waits, and the next is told when to come back."""
    far.replies = [Reply([chunk("a")], held=True, after=end(1))]
    calls = [remote.generate() for _ in range(2)]
    for call in calls:
        assert (await call.read()).HasField("started")
    third = remote.generate()
    standing = next(iter(remote.replica.versions.values()))
    await until(lambda: standing.admission.waiting == 1)
    refused = await refusal_of(remote.generate())
    assert (refused.reason, refused.retry_after_s) == ("QUEUE_FULL", 1)
    assert (await remote.listed()).running == 2
    far.released.set()
    for call in [*calls, third]:
        assert (await remaining(call))[-1].HasField("finished")


async def test_a_long_silence_is_bridged(far, remote):
    """Empty Deltas say that the answer goes on, so that nobody takes it for lost."""
    next(iter(remote.replica.versions.values())).generations._alive_s = 0.05
    far.replies = [Reply([chunk("a")], held=True)]
    call = remote.generate()
    first = [await call.read() for _ in range(3)][1:]
    assert [(e.delta.position, e.delta.text) for e in first] == [(0, "a"), (1, "")]
    call.cancel()


async def test_a_server_that_goes_silent_is_given_up(far, remote):
    """Where an answer has begun; the caller may ask again, and nothing is held."""
    next(iter(remote.replica.versions.values())).generations._wire.silence_s = 0.05
    far.replies = [Reply([chunk("a")], held=True)]
    with pytest.raises(grpc.aio.AioRpcError) as broken:
        await remaining(remote.generate())
    told = from_rpc_error(broken.value)
    assert (type(told), told.reason) == (Unavailable, "REMOTE_BROKE_OFF")
    assert "fell silent" in told.message
    await until(lambda: remote.idle)


async def test_a_prompt_is_counted_by_the_server(far, remote):
    """As the usage of an answer of one token."""
    whole = {"usage": {"prompt_tokens": 11, "completion_tokens": 1}}
    far.replies = [refusal(200, whole)]
    asked = pb.CountTokensRequest(conversation=USER)
    counted = await remote.stub.CountTokens(asked, timeout=WAIT_S)
    assert (counted.prompt_tokens, counted.context_tokens_max) == (11, 512)
    assert far.bodies[0]["max_tokens"] == 1
