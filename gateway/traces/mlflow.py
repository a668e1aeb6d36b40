"""Sends spans to MLflow by OTLP over HTTP, into an experiment that is found by its name.

Runs on the thread that batches spans, never on the event loop. What MLflow does not take within
the bounds is lost, and counted.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import httpx
import structlog
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from gateway import metrics

log = structlog.get_logger()

EXPERIMENT = "parley-chat"
UNIX = "unix:"
# The first request of a fresh MLflow takes it seconds; only the queue waits for it.
ANSWER_S, CONNECT_S = 20.0, 1.0
_API = "/api/2.0/mlflow/experiments"
_TRACES = "/v1/traces"
_EXPERIMENT_HEADER = "x-mlflow-experiment-id"


class MlflowExporter(SpanExporter):
    """Exports to `address`, which is `unix:/path` or an http URL; `token` may be empty."""

    def __init__(self, address: str, token: str = "") -> None:
        is_unix = address.startswith(UNIX)
        self._http = httpx.Client(
            # MLflow answers to names that it knows only.
            base_url="http://localhost" if is_unix else address,
            transport=httpx.HTTPTransport(uds=address.removeprefix(UNIX)) if is_unix else None,
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            trust_env=False,
        )
        self._experiment_id = ""
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends one batch. Never raises."""
        try:
            self._send(encode_spans(spans).SerializeToString())
        except Exception as error:
            metrics.SPANS.labels("lost").inc(len(spans))
            # Said once, and again only when it had worked in between.
            if not self._failing:
                log.warning("traces are lost", error=str(error) or type(error).__name__)
            self._failing = True
            return SpanExportResult.FAILURE
        metrics.SPANS.labels("sent").inc(len(spans))
        self._failing = False
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Closes the connection."""
        self._http.close()

    def _send(self, body: bytes) -> None:
        if not self._experiment_id:
            self._experiment_id = self._find() or self._make()
        headers = {
            "content-type": "application/x-protobuf",
            _EXPERIMENT_HEADER: self._experiment_id,
        }
        reply = self._http.post(_TRACES, content=body, headers=headers)
        if reply.status_code == HTTPStatus.NOT_FOUND:
            self._experiment_id = ""  # it was deleted
        reply.raise_for_status()

    def _find(self) -> str:
        reply = self._http.get(f"{_API}/get-by-name", params={"experiment_name": EXPERIMENT})
        if reply.status_code == HTTPStatus.NOT_FOUND:
            return ""
        experiment = _json(reply)["experiment"]
        if experiment.get("lifecycle_stage") == "deleted":
            raise ValueError(f"the experiment {EXPERIMENT} is deleted; restore it in MLflow")
        return str(experiment["experiment_id"])

    def _make(self) -> str:
        reply = self._http.post(f"{_API}/create", json={"name": EXPERIMENT})
        # Another facade may have been first.
        return self._find() if reply.is_client_error else str(_json(reply)["experiment_id"])


def _json(reply: httpx.Response) -> dict[str, Any]:
    reply.raise_for_status()
    return reply.json()
