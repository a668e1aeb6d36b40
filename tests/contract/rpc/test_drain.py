"""How a server goes: a real process, real signals."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest
from parley.serving.v1 import model_serving_pb2 as pb

from services.rpc.server import EXIT_SECOND_SIGNAL
from tests.contract.rpc.conftest import WAIT_S, Peer, Process

POLL_S = 0.02


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The file that the process's streams wait for."""
    return tmp_path / "gate"


@pytest.fixture
async def held(begin, gate: Path):
    """Starts a process with one stream under way; gives both and another channel to it."""
    channels = []

    async def start(**options: float) -> tuple[Process, grpc.aio.UnaryStreamCall, Peer]:
        process = begin(**options)
        for _ in range(2):
            channels.append(grpc.aio.insecure_channel(process.address))
        await asyncio.wait_for(channels[0].channel_ready(), WAIT_S)
        await asyncio.wait_for(channels[1].channel_ready(), WAIT_S)
        stream = Peer(channels[0]).stub.Generate(pb.GenerateRequest(text=str(gate)), timeout=WAIT_S)
        assert (await stream.read()).HasField("started")
        return process, stream, Peer(channels[1])

    yield start
    for channel in channels:
        await channel.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits until a condition holds, for at most WAIT_S."""
    async with asyncio.timeout(WAIT_S):
        while not await condition():  # noqa: ASYNC110 (another process's state)
            await asyncio.sleep(POLL_S)


async def rest_of(stream: grpc.aio.UnaryStreamCall) -> list[str]:
    """The kinds of events up to the stream's good end."""
    kinds = []
    while (event := await stream.read()) is not grpc.aio.EOF:
        kinds.append(event.WhichOneof("event"))
    assert await stream.code() is grpc.StatusCode.OK
    return kinds


async def refused(peer: Peer) -> bool:
    """Whether new RPCs are turned away as UNAVAILABLE; any other failure is a failure.

    One is none: gRPC's core cancels a call that came but was not handed over when it shut down.
    """
    try:
        await peer.stub.CountTokens(pb.CountTokensRequest(text="x"), timeout=WAIT_S)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.CANCELLED:
            return False
        assert error.code() is grpc.StatusCode.UNAVAILABLE, error
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_running_stream_ends_whole(held, gate: Path, number: signal.Signals):
    """After the signal new RPCs are refused, the running one gets all its events, the exit is 0."""
    process, stream, other = await held()
    process.popen.send_signal(number)
    await until(lambda: refused(other))
    gate.touch()  # noqa: ASYNC240 (a moment, in a test)
    assert await rest_of(stream) == ["delta", "delta", "delta", "finished"]
    assert await process.end() == 0


async def test_health_turns_before_rpcs_are_refused(held, gate: Path):
    """Proxies see NOT_SERVING while the server still answers, so no request is lost to a drain."""
    process, stream, other = await held()
    watch = other.watch()
    assert await anext(watch) == "SERVING"
    process.popen.send_signal(signal.SIGTERM)
    assert await anext(watch) == "NOT_SERVING"
    counted = await other.stub.CountTokens(pb.CountTokensRequest(text="x"), timeout=WAIT_S)
    assert counted.prompt_tokens == 1
    gate.touch()  # noqa: ASYNC240 (a moment, in a test)
    assert (await rest_of(stream))[-1] == "finished"
    assert await process.end() == 0


@pytest.mark.parametrize(("words", "code"), [("full", "RESOURCE_EXHAUSTED"), ("crash", "INTERNAL")])
async def test_a_failing_stream_does_not_break_the_drain(held, gate: Path, words: str, code: str):
    """An RPC that is aborted during the grace gives its status; the process still ends with 0."""
    process, stream, other = await held()
    process.popen.send_signal(signal.SIGTERM)
    await until(lambda: refused(other))
    gate.with_suffix(".part").write_text(words)
    gate.with_suffix(".part").rename(gate)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stream.read()
    assert raised.value.code() is grpc.StatusCode[code]
    assert await process.end() == 0


async def test_a_stream_that_never_ends_is_cut_off(held):
    """A drain has a bound: what runs longer is ended, and the exit is still 0."""
    process, stream, _ = await held(drain_s=0.3)
    process.popen.send_signal(signal.SIGTERM)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stream.read()
    assert raised.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert await process.end() == 0


async def test_a_second_signal_ends_at_once(held):
    """Who asks twice is not made to wait for the drain."""
    process, _, other = await held(drain_s=600)
    process.popen.send_signal(signal.SIGTERM)
    await until(lambda: refused(other))
    process.popen.send_signal(signal.SIGTERM)
    assert await process.end() == EXIT_SECOND_SIGNAL == 130
