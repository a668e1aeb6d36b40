"""Prometheus metrics of the facade. Labels are bounded: route templates, statuses, phases."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "parley_gateway_requests_total",
    "HTTP requests whose headers were answered, by route and status; 499 means the client left.",
    ["route", "status"],
)
FIRST_BYTE = Histogram(
    "parley_gateway_first_byte_seconds",
    "Time from the request's arrival to the first byte of its answer.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
GENERATIONS_OPEN = Gauge("parley_gateway_generations_open", "Generations that are being relayed.")
DISCONNECTS = Counter(
    "parley_gateway_disconnects_total", "Clients that left before their answer ended.", ["phase"]
)
SLOW_READERS = Counter(
    "parley_gateway_slow_readers_total", "Connections cut off since their readers took nothing."
)
RETRIES = Counter("parley_gateway_retries_total", "Generations asked for again after UNAVAILABLE.")
MIGRATIONS = Counter(
    "parley_gateway_migrations_total",
    "Times that an answer left its replica for another one in mid-stream, by reason.",
    ["reason"],
)
MIGRATION_STALL = Histogram(
    "parley_gateway_migration_stall_seconds",
    "Time from the loss of a replica to what its successor brought first.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
SPANS = Counter(
    "parley_gateway_spans_total", "Spans of generations that MLflow took, or did not.", ["outcome"]
)
BROKEN_STREAMS = Counter(
    "parley_gateway_broken_streams_total",
    "Event streams that ended with an error frame, by its code.",
    ["code"],
)
