"""The one interceptor of every server: request ids, validation, errors, metrics, for unary and
streamed answers, and for streamed requests.

Bytes that do not decode and messages that break their protovalidate rules become INVALID_ARGUMENT,
our errors become their status, and anything else is logged and answered by a fixed text. Streams
both ways that are not of a contract of ours (reflection, Envoy's) pass through untouched.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
import protovalidate
import structlog
from google.protobuf.message import DecodeError, Message

from services.rpc import errors, logs, metrics
from services.rpc.waits import Waits

log = structlog.get_logger()

Handler = grpc.RpcMethodHandler
Context = grpc.aio.ServicerContext


# The methods of our own contracts begin so.
OURS = "/parley."


class _Undecodable:
    """Stands for a request whose bytes are not a message."""


class Interceptor(grpc.aio.ServerInterceptor):
    """Wraps each RPC. A reader of a stream that takes nothing for `send_timeout_s` is cut off.

    Safe to share between servers.
    """

    def __init__(self, send_timeout_s: float) -> None:
        self._validator = protovalidate.Validator()
        self._send_timeout_s = send_timeout_s

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Finds the method's handler and wraps it."""
        handler = await continuation(details)
        both = handler and handler.request_streaming and handler.response_streaming
        if handler is None or (both and not details.method.startswith(OURS)):
            return handler
        known = _KnownCall(details.method, _find_request_id(details.invocation_metadata))
        decode = _forgiving(handler.request_deserializer)
        if both:
            return grpc.stream_stream_rpc_method_handler(
                self._conversing(handler.stream_stream, known), decode, handler.response_serializer
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streamed(handler.unary_stream, known), decode, handler.response_serializer
            )
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                self._collecting(handler.stream_unary, known), decode, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler.unary_unary, known), decode, handler.response_serializer
        )

    def _unary(
        self, behave: Callable[[Any, Context], Awaitable[Any]], known: "_KnownCall"
    ) -> Callable[[Any, Context], Awaitable[Any]]:
        async def answer(request: Any, context: Context) -> Any:
            with known:
                try:
                    self._check(request)
                    return await behave(request, context)
                except Exception as error:
                    await known.fail(error, context)

        return answer

    def _collecting(
        self, behave: Callable[[AsyncIterator[Any], Context], Awaitable[Any]], known: "_KnownCall"
    ) -> Callable[[AsyncIterator[Any], Context], Awaitable[Any]]:
        async def answer(requests: AsyncIterator[Any], context: Context) -> Any:
            with known:
                try:
                    return await behave(self._checked(requests), context)
                except Exception as error:
                    await known.fail(error, context)

        return answer

    def _conversing(
        self,
        behave: Callable[[AsyncIterator[Any], Context], AsyncGenerator[Any]],
        known: "_KnownCall",
    ) -> Callable[[AsyncIterator[Any], Context], Awaitable[None]]:
        async def answer(requests: AsyncIterator[Any], context: Context) -> None:
            with known:
                try:
                    await self._send_all(behave(self._checked(requests), context), context)
                except Exception as error:
                    await known.fail(error, context)

        return answer

    async def _checked(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            self._check(request)
            yield request

    def _streamed(
        self,
        behave: Callable[[Any, Context], AsyncGenerator[Any] | Awaitable[None]],
        known: "_KnownCall",
    ) -> Callable[[Any, Context], Awaitable[None]]:
        async def answer(request: Any, context: Context) -> None:
            with known:
                try:
                    self._check(request)
                    await self._send_all(behave(request, context), context)
                except Exception as error:
                    await known.fail(error, context)

        return answer

    async def _send_all(
        self, responses: AsyncGenerator[Any] | Awaitable[None], context: Context
    ) -> None:
        """Sends what a method yields; a method that yields nothing sends by itself, as
        Health.Watch."""
        if isinstance(responses, Awaitable):
            await responses
            return
        # Closed here, not by the garbage collector: a cancelled call frees its slot now.
        async with aclosing(responses):
            with Waits(self._send_timeout_s) as waits:
                async for response in responses:
                    await self._send(waits, context.write(response))

    async def _send(self, waits: Waits, written: Awaitable[None]) -> None:
        try:
            await waits.wait(written)
        except TimeoutError:
            raise errors.DeadlineExceeded(
                f"Nothing of the answer was read for {self._send_timeout_s:g} s.",
                reason="READER_TOO_SLOW",
            ) from None

    def _check(self, request: Message | _Undecodable) -> None:
        if isinstance(request, _Undecodable):
            raise errors.InvalidArgument(
                "The request's bytes are not a message of this method.", reason="UNDECODABLE"
            )
        # The first one only: a megabyte of small wrong messages has half a million.
        found = self._validator.collect_violations(request, fail_fast=True)
        if found:
            field = _path(found[0].proto)
            raise errors.InvalidArgument(
                f"{field}: {found[0].proto.message}",
                reason="INVALID_FIELD",
                metadata={"field": field},
            )


class _KnownCall:
    """One method's name and one call's id, and what the call comes to."""

    def __init__(self, method: str, request_id: str | None) -> None:
        self._method = method
        self._request_id = request_id
        self._code = grpc.StatusCode.OK
        self._started_s = 0.0

    def __enter__(self) -> None:
        logs.bind_request_id(self._request_id)
        self._started_s = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._code is grpc.StatusCode.OK and kind is not None:
            self._code = grpc.StatusCode.CANCELLED
        metrics.RPCS.labels(self._method, self._code.name).inc()
        metrics.RPC_DURATION.labels(self._method).observe(time.monotonic() - self._started_s)

    async def fail(self, error: Exception, context: Context) -> None:
        """Ends the call with the status that `error` means. Always raises."""
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if not isinstance(error, errors.ParleyError):
            log.error("rpc failed", method=self._method, exc_info=error)
            error = errors.Internal(
                "Something went wrong on our side. Ask again; if it stays, look "
                "the request id up in the logs.",
                reason="INTERNAL_ERROR",
            )
        self._code = error.code
        status = errors.to_status(error)
        await context.abort(
            error.code, error.message, ((errors.STATUS_DETAILS_KEY, status.SerializeToString()),)
        )


def _forgiving(decode: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """Keeps gRPC from answering bad bytes with a status of its own that blames the server."""
    if decode is None:
        return None

    def attempt(data: bytes) -> Any:
        try:
            return decode(data)
        except (DecodeError, UnicodeDecodeError):
            return _Undecodable()

    return attempt


def _find_request_id(metadata: Any) -> str | None:
    return next((value for key, value in metadata or () if key == logs.REQUEST_ID_KEY), None)


def _path(violation: Any) -> str:
    names = [element.field_name for element in violation.field.elements] if violation.field else []
    return ".".join(names) or "request"
