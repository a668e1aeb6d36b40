"""Spans of chats as they leave for MLflow: OTLP over HTTP, to a server that follows a script."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from parley.serving.v1 import model_serving_pb2 as pb

from gateway.settings import GatewaySettings
from gateway.traces.opening import open_traces
from services.rpc import errors
from tests.fakes.facade import Facade, running
from tests.fakes.serving import HELLO, MODEL

STARTED = pb.Started(
    model=MODEL, version="3", digest="ab" * 32, run_id="c" * 32, dataset_digest="d" * 64, revision=7
)
ANSWER_WITHIN_S = 10


class FakeMlflow(ThreadingHTTPServer):
    """Knows experiments by name, and takes spans for one that it knows."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.experiments: dict[str, str] = {}
        self.spans: list[Any] = []
        self.tokens: set[str] = set()
        # Waited for before any answer, where there is one.
        self.hold: threading.Event | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeMlflow

    def do_GET(self) -> None:
        found = self.server.experiments.get("parley-chat")
        if found is None or "experiment_name=parley-chat" not in urlsplit(self.path).query:
            return self._answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST"})
        known = {"experiment_id": found, "lifecycle_stage": "active"}
        return self._answer(200, {"experiment": known})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.server.hold is not None:
            self.server.hold.wait(ANSWER_WITHIN_S)
        self.server.tokens.add(self.headers.get("authorization", ""))
        if self.path == "/api/2.0/mlflow/experiments/create":
            self.server.experiments[json.loads(body)["name"]] = "5"
            return self._answer(200, {"experiment_id": "5"})
        known = self.headers["x-mlflow-experiment-id"] in self.server.experiments.values()
        if not known or self.headers["content-type"] != "application/x-protobuf":
            return self._answer(404, {})
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.server.spans.extend(scope.spans)
        return self._answer(200, {})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        encoded = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def mlflow() -> Iterator[FakeMlflow]:
    """A running one."""
    with FakeMlflow() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@asynccontextmanager
async def _traced(settings: GatewaySettings) -> AsyncIterator[tuple[Facade, Any]]:
    traces = open_traces(settings)
    try:
        async with running(settings, traces=traces) as facade:
            yield facade, traces
    finally:
        await asyncio.to_thread(traces.close)


async def _spans(mlflow: FakeMlflow, facade: Facade, traces: Any) -> list[dict[str, Any]]:
    await facade.until_idle()
    await asyncio.to_thread(traces.flush)
    return [{one.key: _value(one.value) for one in span.attributes} for span in mlflow.spans]


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return [_value(one) for one in found.values] if kind == "array_value" else found


@pytest.mark.parametrize("stream", [True, False])
async def test_generation_becomes_a_span(settings_with, mlflow: FakeMlflow, stream: bool) -> None:
    """Who asked what, what answered, and what it took; the experiment is made on first use."""
    settings = settings_with(traces_address=mlflow.url, traces_share=1)
    async with _traced(settings) as (facade, traces):
        facade.serving.script.started = STARTED
        reply = await facade.post(n=2, stream=stream, temperature=0.5, max_tokens=50)
        (span,) = await _spans(mlflow, facade, traces)
    answer_id = json.loads(reply.text.splitlines()[0].removeprefix("data: "))["id"]
    assert mlflow.experiments == {"parley-chat": "5"}
    assert span["gen_ai.operation.name"] == "chat"
    assert span["gen_ai.request.model"] == span["gen_ai.response.model"] == MODEL
    assert span["gen_ai.response.id"] == answer_id
    assert span["gen_ai.usage.output_tokens"] == 2 * len(HELLO)
    assert span["gen_ai.response.finish_reasons"] == ["stop", "stop"]
    assert span["gen_ai.server.time_to_first_token"] == pytest.approx(0.01)
    assert span["gen_ai.request.temperature"] == 0.5
    assert span["gen_ai.request.stream"] is stream
    assert span["parley.request_id"] == reply.headers["x-request-id"]
    assert (span["parley.model_version"], span["parley.revision"]) == ("3", 7)
    assert (span["parley.run_id"], span["parley.dataset_digest"]) == ("c" * 32, "d" * 64)


async def test_content_is_in_a_span_on_request_only(settings_with, mlflow: FakeMlflow) -> None:
    """By default neither prompt nor answer leaves."""
    base = {"traces_address": mlflow.url, "traces_share": 1}
    for content in (False, True):
        mlflow.spans.clear()
        async with _traced(settings_with(**base, traces_content=content)) as (facade, traces):
            await facade.post()
            (span,) = await _spans(mlflow, facade, traces)
        whole = str(span)
        assert ("Say hello." in whole, "Hello, world!" in whole) == (content, content)


async def test_failure_is_in_its_span(settings_with, mlflow: FakeMlflow) -> None:
    """By its reason, also where the stream had begun."""
    async with _traced(settings_with(traces_address=mlflow.url, traces_share=1)) as (
        facade,
        traces,
    ):
        facade.serving.script.dies_at = 2
        facade.serving.script.dies_of = errors.Unavailable("It died.", reason="ENGINE_DIED")
        await facade.post(stream=True)
        (span,) = await _spans(mlflow, facade, traces)
    assert span["error.type"] == "ENGINE_DIED"
    assert "gen_ai.response.id" in span


async def test_migrations_are_in_the_span(settings_with, mlflow: FakeMlflow) -> None:
    """How many, and why each; an answer that stayed where it began says nothing."""
    async with _traced(settings_with(traces_address=mlflow.url, traces_share=1)) as (
        facade,
        traces,
    ):
        await facade.post()
        facade.serving.script.dies_at, facade.serving.script.deaths_max = 2, 1
        facade.serving.script.dies_of = errors.Unavailable("It died.", reason="ENGINE_DIED")
        await facade.post(stream=True)
        first, second = await _spans(mlflow, facade, traces)
    assert "parley.migrations" not in first
    assert second["parley.migrations"] == 1
    assert second["parley.migration_reasons"] == ["ENGINE_DIED"]
    assert second["gen_ai.usage.output_tokens"] == len(HELLO)


async def test_share_of_none_sends_none(settings_with, mlflow: FakeMlflow) -> None:
    """Nothing leaves, and nothing is asked of MLflow."""
    async with _traced(settings_with(traces_address=mlflow.url, traces_share=0)) as (
        facade,
        traces,
    ):
        await facade.post()
        assert await _spans(mlflow, facade, traces) == []
    assert not mlflow.experiments


async def test_mlflow_that_is_gone_or_slow_holds_nothing_up(
    settings_with, mlflow: FakeMlflow
) -> None:
    """Chats are answered all the same."""
    mlflow.hold = threading.Event()
    for address in ("http://127.0.0.1:9", mlflow.url):
        async with _traced(settings_with(traces_address=address, traces_share=1)) as (facade, _):
            for _ in range(3):
                assert (await facade.post()).status_code == 200
    mlflow.hold.set()


async def test_token_goes_along(settings_with, mlflow: FakeMlflow, tmp_path) -> None:
    """From its file, which must be private."""
    file = tmp_path / "mlflow_token"
    file.write_text("secret\n")
    settings = settings_with(traces_address=mlflow.url, traces_share=1, traces_token_file=file)
    file.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        open_traces(settings)
    file.chmod(0o600)
    async with _traced(settings) as (facade, traces):
        await facade.post()
        assert await _spans(mlflow, facade, traces)
    assert mlflow.tokens == {"Bearer secret"}
