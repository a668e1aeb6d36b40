"""GET /api/v1/jobs/{id}/events and POST /api/v1/datasets: the calls that are streams."""

import asyncio
from functools import partial

import grpc
from fastapi import FastAPI
from parley.jobs.v1 import feedback_pb2, jobs_pb2
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Send

from gateway.api.client import ApiClient
from gateway.api.jobs import LAST_EVENT_ID, UPLOAD, WATCH
from gateway.api.messages import Reader, to_json
from gateway.api.requests import parameters, principal
from gateway.errors import invalid, overloaded
from gateway.origin import check_cookie_use
from gateway.replies import Relayed, json_reply
from gateway.settings import GatewaySettings
from gateway.streams.events import JobEvents
from gateway.streams.upload import UPLOAD_S, send_body
from gateway.streams.watch import JobWatch

# Each holds a connection and a task for as long as its job runs.
WATCHES_MAX = 256
UPLOADS_MAX = 16


class StreamRoutes:
    """Answers both. ParleyError and ApiError are the application's to put into words."""

    def __init__(
        self, client: ApiClient, settings: GatewaySettings, stopping: asyncio.Event
    ) -> None:
        self._client = client
        self._settings = settings
        self._stopping = stopping
        self._watches = asyncio.Semaphore(WATCHES_MAX)
        self._uploads = asyncio.Semaphore(UPLOADS_MAX)
        self._watch_reader = Reader(WATCH.request_type)
        self._upload_reader = Reader(UPLOAD.request_type)

    def add_to(self, app: FastAPI) -> None:
        """Adds both routes."""
        app.add_api_route(WATCH.path, self.watch, methods=[WATCH.method])
        app.add_api_route(UPLOAD.path, self.upload, methods=[UPLOAD.method])

    async def watch(self, request: Request) -> Response:
        """A job's events, after the last one that the client has. Raises ApiError."""
        check_cookie_use(request)
        values = parameters(WATCH, request)
        if last := request.headers.get(LAST_EVENT_ID):
            if not (last.isascii() and last.isdecimal()):
                raise invalid(f"{LAST_EVENT_ID} is no revision of a job.", param=LAST_EVENT_ID)
            values["revision"] = int(last[:20])
        asked = self._watch_reader.read(values)
        return Relayed(partial(self._relay, asked, request))

    async def upload(self, request: Request) -> Response:
        """Stores a dataset. Raises ApiError."""
        check_cookie_use(request)
        asked = self._upload_reader.read(parameters(UPLOAD, request))
        if not asked.name:
            raise invalid("A dataset needs a name: ?name=", param="name")
        if self._uploads.locked():
            raise overloaded()
        async with self._uploads:
            metadata = self._client.metadata(request.scope["request_id"], principal(request))
            call = self._client.upload(UPLOAD.rpc, UPLOAD_S, metadata)
            told: feedback_pb2.UploadDatasetResponse = await send_body(
                call, asked.name, request, self._settings.body_s
            )
        return json_reply(to_json(told), UPLOAD.status)

    async def _relay(
        self, asked: jobs_pb2.WatchJobRequest, request: Request, receive: Receive, send: Send
    ) -> None:
        if self._watches.locked():
            raise overloaded()
        request_id = request.scope["request_id"]
        metadata = self._client.metadata(request_id, principal(request))

        def open_stream(
            again: jobs_pb2.WatchJobRequest, timeout_s: float
        ) -> grpc.aio.UnaryStreamCall:
            return self._client.watch(WATCH.rpc, again, timeout_s, metadata)

        messages = JobWatch(open_stream, asked.id, asked.revision).messages()
        async with self._watches:
            events = JobEvents(messages, self._settings.keepalive_s, self._stopping, request_id)
            await events.relay(receive, send)
