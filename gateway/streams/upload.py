"""A request's bytes on their way to a service: in pieces, bounded, and never whole in memory."""

import asyncio
from collections.abc import AsyncIterator

import grpc
from google.protobuf.message import Message
from parley.jobs.v1 import feedback_pb2 as pb
from starlette.requests import Request

from gateway.bodies import too_large, too_slow
from services.rpc import errors

BYTES_MAX = 64 << 20
CHUNK_BYTES = 256 << 10
UPLOAD_S = 600.0


async def send_body(
    call: grpc.aio.StreamUnaryCall, name: str, request: Request, piece_s: float
) -> Message:
    """Writes the name and then the body; gives the service's answer.

    Waits for `piece_s` at most for each piece. Raises ApiError 408 or 413, ParleyError, or
    ClientDisconnect.
    """
    try:
        await _write(call, pb.UploadDatasetRequest(name=name))
        async for chunk in chunks(request, piece_s):
            await _write(call, pb.UploadDatasetRequest(chunk=chunk))
        await call.done_writing()
        return await call
    except grpc.aio.AioRpcError as error:
        raise errors.from_rpc_error(error) from None
    finally:
        call.cancel()


async def _write(call: grpc.aio.StreamUnaryCall, message: pb.UploadDatasetRequest) -> None:
    """Sends one message. Raises ParleyError.

    grpc.aio forgets the status of a call that ends while it is written to, so nothing better can be
    said then; a service that refuses reads to the end first.
    """
    try:
        await call.write(message)
    except asyncio.InvalidStateError:
        await call  # It has ended: its status says why.
    except grpc.aio.AioRpcError as error:
        told = errors.from_rpc_error(error)
        if errors.is_ours(told):
            raise told from None
        raise errors.Unavailable(
            "The dataset was not taken to its end. Send it again.", reason="UPLOAD_CUT"
        ) from None


async def chunks(request: Request, piece_s: float) -> AsyncIterator[bytes]:
    """The body in chunks that a message can hold. Raises ApiError and ClientDisconnect."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > BYTES_MAX:
        raise too_large(BYTES_MAX)
    pieces, left = aiter(request.stream()), BYTES_MAX
    while True:
        try:
            async with asyncio.timeout(piece_s):
                piece = await anext(pieces, None)
        except TimeoutError:
            raise too_slow(piece_s) from None
        if piece is None:
            return
        left -= len(piece)
        if left < 0:
            raise too_large(BYTES_MAX)
        for start in range(0, len(piece), CHUNK_BYTES):
            yield piece[start : start + CHUNK_BYTES]
