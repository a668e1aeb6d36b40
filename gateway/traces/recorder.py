"""Makes a span of a generation that has ended, and hands it on to be sent in the background.

Costs one decision for each generation that is not sampled. Never waits and never fails: when the
queue is full, the oldest spans are lost. Prompts and answers are in a span only on request.
"""

import json
import threading
from typing import Any

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode
from parley.serving.v1 import model_serving_pb2 as pb

from gateway.generation import Generation
from gateway.shapes import CHAT, FINISH_REASONS
from gateway.traces import names
from gateway.traces.ended import Ended

log = structlog.get_logger()

SPANS_MAX = 2048
BATCH_SPANS_MAX = 256
BATCH_MS = 2000
ATTRIBUTE_CHARS_MAX = 65_536
CLOSE_S = 2.0
_ROLES = {
    pb.CHAT_ROLE_SYSTEM: "system",
    pb.CHAT_ROLE_USER: "user",
    pb.CHAT_ROLE_ASSISTANT: "assistant",
}
Attributes = dict[str, Any]


class Traces:
    """Records generations. `share` of them, from 0 to 1, are sent by `exporter`."""

    def __init__(self, exporter: SpanExporter, share: float, *, content: bool = False) -> None:
        self._content = content
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(share),
            resource=Resource({"service.name": "parley-gateway"}),
            span_limits=SpanLimits(max_attribute_length=ATTRIBUTE_CHARS_MAX),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=SPANS_MAX,
                max_export_batch_size=BATCH_SPANS_MAX,
                schedule_delay_millis=BATCH_MS,
            )
        )
        self._tracer = self._provider.get_tracer("parley.gateway")

    def record(self, ended: Ended) -> None:
        """Takes one generation. Never raises."""
        try:
            self._record(ended)
        except Exception as error:
            log.error("a trace failed", exc_info=error)

    def flush(self) -> None:
        """Sends what waits, and waits for that. Blocks."""
        self._provider.force_flush()

    def close(self) -> None:
        """Sends what waits, for two seconds at most. Blocks for as long."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    def _record(self, ended: Ended) -> None:
        span = self._tracer.start_span(
            f"{_operation(ended)} {ended.asked.model}",
            context=Context(),
            kind=SpanKind.SERVER,
            start_time=ended.generation.began_ns,
        )
        if not span.is_recording():
            return
        span.set_attributes(_request(ended) | _response(ended))
        if self._content:
            span.set_attributes(_content(ended))
        if reason := _failure(ended.generation):
            span.set_attribute(names.ERROR, reason)
            span.set_status(Status(StatusCode.ERROR, reason))
        span.end()


def _operation(ended: Ended) -> str:
    return "chat" if ended.answer.shape is CHAT else "text_completion"


def _failure(generation: Generation) -> str:
    if generation.done:
        return ""
    return generation.failure.reason if generation.failure else "CANCELLED"


def _request(ended: Ended) -> Attributes:
    asked = ended.asked
    said: Attributes = {
        names.OPERATION: _operation(ended),
        names.PROVIDER: "parley",
        names.REQUEST_MODEL: asked.model,
        names.REQUEST_CHOICES: asked.choices,
        names.REQUEST_STREAM: ended.stream,
        names.REQUEST_ID: ended.request_id,
    }
    if asked.stopping.HasField("tokens_max"):
        said[names.REQUEST_TOKENS_MAX] = asked.stopping.tokens_max
    if asked.stopping.stop_strings:
        said[names.REQUEST_STOPS] = list(asked.stopping.stop_strings)
    for field, name in names.REQUEST_SAMPLING.items():
        if asked.sampling.HasField(field):
            said[name] = getattr(asked.sampling, field)
    return said


def _response(ended: Ended) -> Attributes:
    started, finished = ended.generation.started, ended.generation.finished
    if started is None:
        return {}
    told: Attributes = {
        names.RESPONSE_ID: ended.answer.id(started),
        names.RESPONSE_MODEL: started.model,
        names.VERSION: started.version,
        names.DIGEST: started.digest,
        names.RUN: started.run_id,
        names.DATASET: started.dataset_digest,
        names.REVISION: started.revision,
        names.INPUT_TOKENS: started.prompt_tokens,
    }
    if migrations := ended.generation.migrations:
        told[names.MIGRATIONS] = len(migrations)
        told[names.MIGRATION_REASONS] = list(migrations)
    if finished:
        timings = [one.timings for one in finished]
        told[names.INPUT_TOKENS] = finished[0].usage.prompt_tokens
        told[names.FINISH_REASONS] = [FINISH_REASONS[one.reason] for one in finished]
        told[names.OUTPUT_TOKENS] = sum(one.usage.completion_tokens for one in finished)
        told[names.FIRST_TOKEN_S] = min(_seconds(one.first_token_duration) for one in timings)
        told[names.QUEUE_S] = max(_seconds(one.queue_duration) for one in timings)
    return {name: value for name, value in told.items() if value not in ("", [])}


def _content(ended: Ended) -> Attributes:
    asked = ended.asked
    said = [_message(_ROLES[one.role], one.content) for one in asked.conversation.messages] or [
        _message("user", asked.text)
    ]
    told = [_message("assistant", text) for text in ended.generation.texts]
    return {
        names.INPUT: json.dumps(said, ensure_ascii=False),
        names.OUTPUT: json.dumps(told, ensure_ascii=False),
    }


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _seconds(duration: Any) -> float:
    return duration.seconds + duration.nanos / 1e9
