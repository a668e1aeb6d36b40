"""What serving counts, by model and version, with the meaning of vLLM's metrics of like names."""

from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import Counter, Gauge, Histogram

from services.serving.engine import Load

LABELS = ("model", "version")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

FIRST_TOKEN = Histogram(
    "parley_time_to_first_token_seconds",
    "From admission to the first token.",
    LABELS,
    buckets=SECONDS,
)
INTER_TOKEN = Histogram(
    "parley_inter_token_latency_seconds", "Between tokens of one answer.", LABELS, buckets=SECONDS
)
QUEUE = Histogram(
    "parley_request_queue_time_seconds",
    "From admission to the start of work.",
    LABELS,
    buckets=SECONDS,
)
DURATION = Histogram(
    "parley_e2e_request_latency_seconds",
    "From admission to the end of an answer.",
    LABELS,
    buckets=SECONDS,
)
PROMPT_TOKENS = Counter("parley_prompt_tokens_total", "Prompt tokens of finished answers.", LABELS)
ANSWER_TOKENS = Counter("parley_generation_tokens_total", "Tokens of finished answers.", LABELS)
FINISHES = Counter(
    "parley_request_success_total", "Answers that ended, by reason.", (*LABELS, "finished_reason")
)
CANCELS = Counter("parley_request_cancelled_total", "Answers whose caller left.", LABELS)
RUNNING = Gauge("parley_num_requests_running", "Sequences in the engine.", LABELS)
WAITING = Gauge("parley_num_requests_waiting", "Sequences that wait for the engine.", LABELS)
CACHE = Gauge("parley_kv_cache_usage_ratio", "Share of the key-value cache in use.", LABELS)
PREEMPTIONS = Gauge(
    "parley_num_preemptions",
    "Sequences that made way for others in a full cache and begin again, since the start.",
    LABELS,
)
RESTARTS = Gauge("parley_engine_restarts", "Engine processes started again.", LABELS)
MIRRORED = Counter(
    "parley_mirrored_requests_total",
    "Copies of requests for a mirror version: done, failed, or skipped since it was busy.",
    (*LABELS, "outcome"),
)


@dataclass(slots=True)
class Counts:
    """What a version has done since this process began; as parley.mesh.v1.Counts."""

    finished: int = 0
    failed: int = 0
    first_tokens: int = 0
    first_token_s: float = 0.0
    next_tokens: int = 0
    next_token_s: float = 0.0


# As the metrics above, they outlive what is loaded.
_counts: dict[tuple[str, str], Counts] = {}


def counts_of(model: str, version: str) -> Counts:
    """The counts of one model version."""
    return _counts.setdefault((model, version), Counts())


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """One model version's own children of the metrics, looked up once."""

    model: str
    version: str
    first_token: Histogram
    inter_token: Histogram
    queue: Histogram
    counts: Counts = field(default_factory=Counts)

    def first(self, tokens: int, since_s: float) -> None:
        """Counts the first tokens of an answer, which came `since_s` after its admission."""
        self.first_token.observe(since_s)
        self.counts.first_tokens += 1
        self.counts.first_token_s += since_s
        self.counts.next_tokens += tokens - 1

    def later(self, tokens: int, since_s: float) -> None:
        """Counts more tokens of an answer, which came `since_s` after those before them."""
        self.inter_token.observe(since_s / tokens)
        self.counts.next_tokens += tokens
        self.counts.next_token_s += since_s

    def failed(self) -> None:
        """Counts an answer that ended by the version's or its engine's fault."""
        self.counts.failed += 1

    def finished(self, reason: str, prompt_tokens: int, tokens: int, total_s: float) -> None:
        """Counts an answer that ended by itself."""
        DURATION.labels(self.model, self.version).observe(total_s)
        PROMPT_TOKENS.labels(self.model, self.version).inc(prompt_tokens)
        ANSWER_TOKENS.labels(self.model, self.version).inc(tokens)
        FINISHES.labels(self.model, self.version, reason).inc()
        self.counts.finished += 1

    def cancelled(self) -> None:
        """Counts an answer that nobody waits for any more."""
        CANCELS.labels(self.model, self.version).inc()

    def mirrored(self, outcome: str) -> None:
        """Counts a copy of a request by what became of it."""
        MIRRORED.labels(self.model, self.version, outcome).inc()

    def follow(
        self, load: Callable[[], Load], waiting: Callable[[], int], restarts: Callable[[], int]
    ) -> None:
        """Reads the gauges from their sources whenever somebody looks."""
        labels = (self.model, self.version)
        RUNNING.labels(*labels).set_function(lambda: load().running)
        CACHE.labels(*labels).set_function(lambda: load().cache_usage)
        WAITING.labels(*labels).set_function(waiting)
        PREEMPTIONS.labels(*labels).set_function(lambda: load().preemptions)
        RESTARTS.labels(*labels).set_function(restarts)

    def forget(self) -> None:
        """Shows the gauges no longer, since there is nothing behind them."""
        for gauge in (RUNNING, CACHE, WAITING, PREEMPTIONS, RESTARTS):
            gauge.remove(self.model, self.version)


def model_metrics(model: str, version: str) -> ModelMetrics:
    """Returns the metrics of one model version."""
    labels = (model, version)
    return ModelMetrics(
        model,
        version,
        FIRST_TOKEN.labels(*labels),
        INTER_TOKEN.labels(*labels),
        QUEUE.labels(*labels),
        counts_of(model, version),
    )
