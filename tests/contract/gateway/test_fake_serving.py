"""The scripted replica keeps the contract, or what it proves would be worth nothing."""

from pathlib import Path

import grpc
import protovalidate
import pytest
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from services.rpc.channel import open_channel
from tests.fakes import serving as fake


async def _generate(folder: Path, **fields: object) -> list[pb.GenerateResponse]:
    replica = await fake.start(f"unix:{folder}/mesh.sock", fake.FakeServing())
    try:
        async with open_channel(f"unix:{folder}/mesh.sock") as channel:
            request = pb.GenerateRequest(**{"model": fake.MODEL, "text": "Say hello.", **fields})
            protovalidate.validate(request)
            return [event async for event in pb_grpc.ModelServingStub(channel).Generate(request)]
    finally:
        await replica.grpc.stop(None)


async def test_stream_is_started_deltas_and_a_finish_for_each_choice(tmp_path: Path) -> None:
    """Positions follow one another, and the text is whole."""
    first, *rest = await _generate(tmp_path, choices=2)
    assert first.HasField("started")
    for choice in range(2):
        mine = [event.delta for event in rest if event.HasField("delta")]
        mine = [delta for delta in mine if delta.choice == choice]
        assert [delta.position for delta in mine] == list(range(len(fake.HELLO)))
        assert "".join(delta.text for delta in mine) == b"".join(fake.HELLO).decode()
    assert sum(event.HasField("finished") for event in rest) == 2


async def test_stop_string_is_held_back_and_named(tmp_path: Path) -> None:
    """It is not part of the answer."""
    events = await _generate(tmp_path, stopping=pb.Stopping(stop_strings=["world"]))
    assert "".join(event.delta.text for event in events) == "Hello, "
    assert events[-1].finished.stop_string == "world"


async def test_unknown_model_is_not_found(tmp_path: Path) -> None:
    """With the reason that serving gives."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _generate(tmp_path, model="nobody")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
