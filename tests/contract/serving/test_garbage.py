"""Bytes that are no requests, or hardly any."""

import asyncio
import random
from collections.abc import Iterator

import grpc
import pytest
from parley.serving.v1 import model_serving_pb2 as pb

from services.serving.servicer import SERVICE
from tests.contract.serving.server import WAIT_S

Code = grpc.StatusCode
BODIES = 10_000
AT_ONCE = 32
SEED = 20260101
METHODS = ("Generate", "CountTokens", "ListLoadedModels")
ALLOWED = {
    Code.OK,
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.RESOURCE_EXHAUSTED,
    Code.FAILED_PRECONDITION,
}
VALID = (
    pb.GenerateRequest(
        model="tiny",
        conversation=pb.Conversation(
            messages=[pb.ChatMessage(role=pb.CHAT_ROLE_USER, content="hé 😀")] * 2
        ),
        sampling=pb.Sampling(temperature=0.5, top_p=0.5, top_k=5, seed=1),
        stopping=pb.Stopping(tokens_max=3, stop_strings=["x", "yz"]),
        choices=2,
        logprobs=True,
    ),
    pb.GenerateRequest(
        tokens=pb.TokenIds(ids=[1, 2, 3]),
        stopping=pb.Stopping(tokens_max=2),
        output_format=pb.OutputFormat(regex="[ab]+"),
    ),
    pb.CountTokensRequest(text="hello"),
    pb.ListLoadedModelsRequest(page_size=5, page_token="x"),
)
BYTES = [message.SerializeToString() for message in VALID]


def make_body(dice: random.Random) -> bytes:
    """One body of a kind that breaks decoders."""
    valid = dice.choice(BYTES)
    field = dice.randrange(1, 20)
    match dice.randrange(6):
        case 0:
            return dice.randbytes(dice.randrange(200))
        case 1:
            return valid[: dice.randrange(len(valid))]
        case 2:
            at = dice.randrange(len(valid))
            return valid[:at] + dice.randbytes(1) + valid[at + 1 :]
        case 3:
            # A field of any wire type, before something valid.
            return bytes([field << 3 & 0xFF | dice.randrange(8)]) + valid
        case 4:
            # A length far beyond the body.
            return bytes([field << 3 & 0x7F | 2]) + b"\xff\xff\xff\xff\x07" + valid
    # A string that is not UTF-8.
    return b"\x1a\x04" + dice.randbytes(3) + b"\xff"


async def code_of(channel: grpc.aio.Channel, method: str, body: bytes) -> grpc.StatusCode:
    """How a call with this body ends."""
    call = channel.unary_stream(f"/{SERVICE}/{method}", None, None)(body, timeout=WAIT_S)
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code()
    return Code.OK


async def send(channel: grpc.aio.Channel, work: Iterator[tuple[str, bytes]], found: list) -> None:
    """Sends from the common pile until there is no more."""
    for method, body in work:
        code = await code_of(channel, method, body)
        found.append((code, method, body))


@pytest.mark.slow
async def test_garbage_is_the_callers_fault_and_the_server_goes_on(serving):
    """Ten thousand bodies: no crash, no hang, no blame on the server, and no place is lost."""
    serving.engine.automatic = True
    dice = random.Random(SEED)
    work = ((dice.choice(METHODS), make_body(dice)) for _ in range(BODIES))
    found: list = []
    await asyncio.gather(*(send(serving.channel, work, found) for _ in range(AT_ONCE)))
    assert len(found) == BODIES
    assert [row for row in found if row[0] not in ALLOWED] == []
    assert {Code.OK, Code.INVALID_ARGUMENT} <= {code for code, _, _ in found}
    assert serving.idle
    call = serving.generate(stopping=pb.Stopping(tokens_max=1))
    assert [event.WhichOneof("event") async for event in call] == ["started", "delta", "finished"]
