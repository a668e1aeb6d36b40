"""A Feedback service in memory that keeps the contract's rules, without a store behind it."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
from parley.jobs.v1 import feedback_pb2 as pb
from parley.jobs.v1 import feedback_pb2_grpc as pb_grpc

from services.rpc import errors

STORE_S = 0.05
_ANSWER_ID = re.compile(r"(?:chatcmpl|cmpl)-[0-9a-f]{12}-(\d+)-\d+-\w+")


class FakeFeedback(pb_grpc.FeedbackServicer):
    """Holds everything in plain sight, for tests to look at and to change."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str, int], pb.FeedbackEntry] = {}
        self.datasets: dict[str, bytes] = {}
        self.chunks: list[int] = []
        self.metadata: list[dict[str, str]] = []
        # An upload is refused once it has this many bytes.
        self.bytes_max = 1 << 40

    def add_to(self, server: grpc.aio.Server) -> None:
        """Adds the service to a server."""
        pb_grpc.add_FeedbackServicer_to_server(self, server)

    async def GiveFeedback(
        self, request: pb.GiveFeedbackRequest, context: Any
    ) -> pb.GiveFeedbackResponse:
        """The later word takes the place of the earlier one."""
        self.metadata.append(dict(context.invocation_metadata() or ()))
        match = _ANSWER_ID.fullmatch(request.response_id)
        if not match:
            raise errors.InvalidArgument("That is no id of an answer.", reason="INVALID_FIELD")
        who = self.metadata[-1].get("x-parley-principal", "local")
        entry = pb.FeedbackEntry(
            response_id=request.response_id,
            choice=request.choice,
            rating=request.rating,
            correction=request.correction,
            reason=request.reason,
            conversation=request.conversation,
            given_by=who,
            model="m",
            version=int(match[1]),
        )
        entry.time.GetCurrentTime()
        self.entries[who, entry.response_id, entry.choice] = entry
        return pb.GiveFeedbackResponse(entry=entry)

    async def ListFeedback(
        self, request: pb.ListFeedbackRequest, context: Any
    ) -> pb.ListFeedbackResponse:
        """Newest first."""
        found = [
            one
            for one in reversed(self.entries.values())
            if request.model in ("", one.model) and request.response_id in ("", one.response_id)
        ]
        return pb.ListFeedbackResponse(entries=found[: request.page_size or 50])

    async def ExportFeedback(
        self, request: pb.ExportFeedbackRequest, context: Any
    ) -> pb.ExportFeedbackResponse:
        """Those that have a conversation."""
        used = [one for one in self.entries.values() if one.conversation]
        if not used:
            raise errors.NotFound("There is no feedback to use.", reason="NO_FEEDBACK")
        lines = [
            json.dumps([{"role": turn.role, "content": turn.content} for turn in one.conversation])
            for one in used
        ]
        dataset = self._store("feedback", "\n".join(lines).encode())
        return pb.ExportFeedbackResponse(dataset=dataset, unusable=len(self.entries) - len(used))

    async def UploadDataset(
        self, requests: AsyncIterator[pb.UploadDatasetRequest], context: Any
    ) -> pb.UploadDatasetResponse:
        """Each line is to be JSON."""
        self.metadata.append(dict(context.invocation_metadata() or ()))
        name, body = "", bytearray()
        async for request in requests:
            if request.HasField("name"):
                name = request.name
                continue
            body += request.chunk
            self.chunks.append(len(request.chunk))
        # A call that was cancelled looks whole at first; the cancellation comes a moment later, and
        # before a store would be done.
        await asyncio.sleep(STORE_S)
        if len(body) > self.bytes_max:
            too_large = errors.ResourceExhausted("It is too large.", reason="DATASET_TOO_LARGE")
            await _abort(too_large, context)
        for number, line in enumerate(bytes(body).splitlines(), 1):
            try:
                json.loads(line)
            except ValueError:
                error = errors.InvalidArgument(
                    f"Line {number} is no JSON.",
                    reason="DATASET_INVALID",
                    metadata={"line": str(number)},
                )
                await _abort(error, context)
        return pb.UploadDatasetResponse(dataset=self._store(name, bytes(body)))

    def _store(self, name: str, body: bytes) -> pb.Dataset:
        digest = hashlib.sha256(body).hexdigest()
        self.datasets[digest] = body
        return pb.Dataset(
            digest=digest,
            name=name,
            rows=len(body.splitlines()),
            size_bytes=len(body),
            uri=f"s3://parley/datasets/{digest}",
        )


async def _abort(error: errors.ParleyError, context: grpc.aio.ServicerContext) -> None:
    details = errors.to_status(error).SerializeToString()
    await context.abort(error.code, error.message, ((errors.STATUS_DETAILS_KEY, details),))
