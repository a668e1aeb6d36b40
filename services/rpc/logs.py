"""Structured logs with one request id from the edge to the engine.

One JSON object a line on stdout, or words for people on a terminal. Prompts and answers are never
logged. Knows nothing of gRPC or HTTP: the id arrives by `bind_request_id`.
"""

import logging
import re
import sys
import uuid

import structlog
from structlog.typing import EventDict

REQUEST_ID_KEY = "x-request-id"
# What Envoy and the common SDKs send, and nothing that could forge a log line.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def configure(service: str) -> None:
    """Sets logging up for the whole process, standard library's loggers included. Call it once,
    first."""

    def name(_logger: object, _method: str, event: EventDict) -> EventDict:
        return {**event, "service": service}

    shared = [
        name,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    render = (
        structlog.dev.ConsoleRenderer()
        if sys.stdout.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # It tells of each request, and some of ours come each second.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def bind_request_id(given: str | None) -> str:
    """Takes the caller's request id, or makes one, for every log line of the running task; returns
    it."""
    request_id = given if given and _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return request_id
